//! Which messages reach whom, in which order (M1.1 to M1.4, M1.7, M1.8).

use std::thread;

use serde_json::json;

use super::{fits, fragments, frame};
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Message, Session, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "M1.1/text-and-binary",
            "text and binary frames reach the other members as they are",
            text_and_binary,
        ),
        case(
            "M1.1/every-other-member",
            "a message reaches every other member",
            every_other_member,
        )
        .connections(4),
        case(
            "M1.1/looks-like-a-header",
            "a message that looks like a header is a message like any other",
            looks_like_a_header,
        ),
        case(
            "M1.1/every-form-of-length",
            "messages arrive whole at the lengths where the form of the length in a frame changes",
            every_form_of_length,
        ),
        case(
            "M1.2/not-to-the-sender",
            "nobody receives an own message",
            not_to_the_sender,
        ),
        case(
            "M1.3/order-of-one-sender",
            "the messages of one session arrive in the order in which it has sent them",
            order_of_one_sender,
        ),
        case(
            "M1.3/one-order-for-all",
            "when several send at the same time, all receive what they have sent in one order",
            one_order_for_all,
        )
        .connections(4),
        case(
            "M1.4/nobody-else-there",
            "a message is stored, also if there is nobody to receive it",
            nobody_else_there,
        ),
        case(
            "M1.7/live",
            "empty messages, text and binary, are distributed",
            empty,
        ),
        case(
            "M1.7/in-fragments",
            "a message of empty fragments is distributed as an empty message",
            empty_in_fragments,
        ),
        case(
            "M1.7/stored",
            "empty messages are stored and replayed",
            empty_stored,
        ),
        case(
            "M1.8/another-channel",
            "a message does not reach the members of another channel",
            another_channel,
        )
        .connections(4),
        case(
            "M1.8/before-the-header",
            "a message does not reach a session that has sent no header",
            before_the_header,
        )
        .connections(4),
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
    for message in messages.iter().filter(|message| fits(bench, message)) {
        alice.send(&frame(message))?;
        bob.hears_message(message)?;
    }
    Ok(())
}

fn every_other_member(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut alice, &mut carol)?;
    let mut dave = bench.join("dave")?;
    bench.acquaint(&mut alice, &mut dave)?;
    for (number, speaker) in ["alice", "bob", "carol", "dave"].iter().enumerate() {
        let all = [&mut alice, &mut bob, &mut carol, &mut dave];
        let text = format!("{speaker} to everybody");
        all[number].say(&text)?;
        for member in all {
            if member.who() != *speaker {
                // What was said before they met may come first.
                member.until(&text)?;
            }
        }
    }
    Ok(())
}

fn looks_like_a_header(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    bob.hears_announcements = true;
    let elsewhere = bench.another_channel();
    for text in [
        bench.header_on("alice", &elsewhere),
        bench.header("mallory"),
        format!(
            r#"{{ "uid": "alice", "channel": {} }}"#,
            json!(bench.channel)
        ),
        r#"{"uid":1}"#.to_owned(),
        r#"{"peer":true}"#.to_owned(),
    ] {
        alice.say(&text)?;
        bob.hears(&text)?;
    }
    // She is still where she was.
    bench.fence(&mut alice, &mut bob)?;
    bench.fence(&mut bob, &mut alice)?;
    Ok(())
}

fn every_form_of_length(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    for length in [1, 125, 126, 127, 4096, 4097, 65_535, 65_536, 65_537] {
        for message in [
            Message::text(&"x".repeat(length)),
            Message::binary(vec![0xfe; length]),
        ] {
            if fits(bench, &message) {
                alice.send(&frame(&message))?;
                bob.hears_message(&message)?;
            }
        }
    }
    Ok(())
}

fn not_to_the_sender(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.say("to bob")?;
    bob.hears("to bob")?;
    bench.nothing_but_fence(&mut bob, &mut alice, "an own message")
}

fn order_of_one_sender(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let limits = bench.limits();
    let long = limits.max_message.min(limits.outbox / 8).min(20_000);
    let long = usize::try_from(long).unwrap_or(20_000);
    // Long and short ones, so that a later one could overtake.
    let messages: Vec<_> = (0..60_usize)
        .map(|number| match number % 20 {
            0 => Message::binary(vec![0; long]),
            _ if number % 2 == 0 => Message::text(&format!("text {number}")),
            _ => Message::binary(format!("binary {number}")),
        })
        .collect();
    let frames: Vec<_> = messages.iter().map(frame).collect();
    alice.send_together(&frames)?;
    bob.hears_all(&messages)
}

fn one_order_for_all(bench: &mut Bench) -> Judged {
    const EACH: usize = 100;
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut alice, &mut carol)?;
    let mut dave = bench.join("dave")?;
    bench.acquaint(&mut alice, &mut dave)?;
    // What was said before is behind all of them now.
    bench.fence(&mut dave, &mut bob).map_err(Stop::on_the_way)?;
    let marker = bench.marker();
    bob.say(&marker)?;
    for member in [&mut alice, &mut carol, &mut dave] {
        member.until(&marker).map_err(Stop::on_the_way)?;
    }
    let say = |from: &mut Session| -> Judged {
        let name = from.who().to_owned();
        (0..EACH).try_for_each(|number| from.say(&format!("{name} {number}")))
    };
    let said = thread::scope(|scope| {
        let (a, b) = (
            scope.spawn(|| say(&mut alice)),
            scope.spawn(|| say(&mut bob)),
        );
        [
            say(&mut carol),
            a.join().unwrap_or(Ok(())),
            b.join().unwrap_or(Ok(())),
        ]
    });
    said.into_iter().collect::<Judged>()?;
    // Dave hears them all, and the others hear the same without their own.
    let mut order = Vec::new();
    for _ in 0..EACH * 3 {
        order.push(dave.message("what the others have said")?);
    }
    for name in ["alice", "bob", "carol"] {
        let of = |message: &&Message| message.payload.starts_with(name.as_bytes());
        let came = order.iter().filter(of).cloned().collect::<Vec<_>>();
        let sent = (0..EACH).map(|number| Message::text(&format!("{name} {number}")));
        if !came.iter().eq(&sent.collect::<Vec<_>>()) {
            let expected = format!("dave receives what {name} has sent in its order");
            return Err(Stop::fail(expected, listed(&came)));
        }
    }
    for member in [&mut alice, &mut bob, &mut carol] {
        let name = member.who().to_owned();
        let others = order
            .iter()
            .filter(|message| !message.payload.starts_with(name.as_bytes()));
        for message in others {
            let came = member.message("what the others have said")?;
            if !came.equals(message) {
                let expected = format!("{name} receives {message} next, as dave does");
                return Err(Stop::fail(expected, came.to_string()));
            }
        }
    }
    Ok(())
}

fn nobody_else_there(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let mut alice = bench.join("alice")?;
    alice.say("one")?;
    alice.send(&Frame::binary(*b"two"))?;
    alice.leave();
    let mut bob = bench.join("bob")?;
    bob.hears_all(&[Message::text("one"), Message::binary(*b"two")])
}

fn empty(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    for message in [Message::text(""), Message::binary([]), Message::text("")] {
        alice.send(&frame(&message))?;
        bob.hears_message(&message)?;
    }
    Ok(())
}

fn empty_in_fragments(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    for message in [Message::text(""), Message::binary([])] {
        alice.send_together(&fragments(&message, 3))?;
        bob.hears_message(&message)?;
    }
    Ok(())
}

fn empty_stored(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let messages = [Message::text(""), Message::binary([])];
    for message in &messages {
        alice.send(&frame(message))?;
        bob.hears_message(message).map_err(Stop::on_the_way)?;
    }
    let mut late = bench.join("late")?;
    late.hears_all(&Bench::met()).map_err(Stop::on_the_way)?;
    late.hears_all(&messages)
}

fn another_channel(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let elsewhere = bench.another_channel();
    // One of them with a uid that is on both channels.
    let mut other = bench.join_on("alice", &elsewhere)?;
    let mut speaker = bench.join_on("speaker", &elsewhere)?;
    bench.meet(&mut speaker, &mut other)?;
    bench
        .fence(&mut alice, &mut bob)
        .map_err(Stop::on_the_way)?;
    bench
        .fence(&mut bob, &mut alice)
        .map_err(Stop::on_the_way)?;
    bench.nothing_but_fence(&mut speaker, &mut other, "what is said on another channel")?;
    bench.nothing_but_fence(&mut other, &mut speaker, "what is said on another channel")
}

fn before_the_header(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut nobody = bench.open("nobody")?;
    bench
        .fence(&mut alice, &mut bob)
        .map_err(Stop::on_the_way)?;
    let elsewhere = bench.another_channel();
    nobody.say(&bench.header_on("nobody", &elsewhere))?;
    nobody.is_on(&elsewhere);
    let mut speaker = bench.join_on("speaker", &elsewhere)?;
    // All that it has heard comes before this.
    speaker.say(Bench::HELLO)?;
    let expected = "nothing of a channel that it has not joined";
    let came = match bench.limits().limit {
        0 => return Err(Stop::Skip("the server keeps no history".into())),
        _ => nobody.until(Bench::HELLO).map_err(Stop::on_the_way)?,
    };
    match came.is_empty() {
        true => Ok(()),
        false => Err(Stop::fail(expected, listed(&came))),
    }
}
