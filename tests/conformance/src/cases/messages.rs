//! Messages (client.md, section 6).

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Message, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "M1.1/text-and-binary",
            "text and binary frames reach the other members as they are",
            text_and_binary,
        ),
        case(
            "M1.2/not-to-the-sender",
            "nobody receives an own message",
            not_to_the_sender,
        ),
        case("M2.2/pong", "a ping is answered with its own payload", pong),
    ]
}

fn text_and_binary(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let messages = [
        Message::text("plain"),
        Message::text("Grüße, 世界 \u{1f30d}"),
        Message::text(" \t{\"not\": \"looked at\"}\n\0"),
        Message::binary([0, 255, 128, 7]),
        Message::binary(*b"plain"),
        Message::binary(vec![0xa5; 70_000]),
    ];
    for message in &messages {
        let frame = match message.text {
            true => Frame::text(message.payload.clone()),
            false => Frame::binary(message.payload.clone()),
        };
        alice.send(&frame)?;
        bob.hears_message(message)?;
    }
    Ok(())
}

fn not_to_the_sender(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.say("to bob")?;
    bob.hears("to bob")?;
    bench.nothing_but_fence(&mut bob, &mut alice, "an own message")
}

fn pong(bench: &mut Bench) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    for payload in [&b""[..], b"a", &[0xff; 125]] {
        alice.send(&Frame::ping(payload))?;
        let before = alice.pong(payload)?;
        if !before.is_empty() {
            return Err(Stop::fail("nothing but the pong", listed(&before)));
        }
    }
    Ok(())
}
