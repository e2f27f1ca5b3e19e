//! Messages (client.md, section 6).

use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Event, Message, Session, listed};
use crate::transcript::shown;
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
        ),
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
        ),
        case(
            "M1.4/nobody-else-there",
            "a message is stored, also if there is nobody to receive it",
            nobody_else_there,
        ),
        case(
            "M1.5/reassembled",
            "a message that is sent in fragments arrives as if it had been sent whole",
            reassembled,
        ),
        case(
            "M1.5/control-frames-between",
            "pings and pongs between the fragments of a message do not disturb it",
            control_frames_between,
        ),
        case(
            "M1.5/only-when-complete",
            "a message is distributed when its last fragment has come, and nothing of it before",
            only_when_complete,
        ),
        case(
            "M1.5/discarded",
            "a message that is not complete when its session ends is not distributed and not stored",
            discarded,
        ),
        case(
            "M1.6/live",
            "messages and announcements are sent in one frame each, however they came",
            in_one_frame,
        ),
        case(
            "M1.6/replayed",
            "messages and announcements are replayed in one frame each",
            replayed_in_one_frame,
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
        ),
        case(
            "M1.8/before-the-header",
            "a message does not reach a session that has sent no header",
            before_the_header,
        ),
        case(
            "M2.1/not-distributed",
            "pings and pongs do not reach the other members in any form",
            not_distributed,
        ),
        case(
            "M2.1/not-stored",
            "pings and pongs are not in the history",
            not_stored,
        ),
        case("M2.2/pong", "a ping is answered with its own payload", pong),
        case(
            "M2.2/several-pings",
            "of several pings at once at least the latest is answered",
            several_pings,
        ),
        case(
            "M2.3/unasked",
            "a pong that nothing has asked for does no harm",
            unasked,
        ),
        case(
            "M2.3/counts",
            "a pong with another payload than the ping's is a sign of life like any other",
            unasked_counts,
        ),
        case(
            "M2.4/behind-messages",
            "when a ping is answered, the messages sent ahead of it are accepted",
            behind_messages,
        ),
    ]
}

fn frame(message: &Message) -> Frame {
    match message.text {
        true => Frame::text(message.payload.clone()),
        false => Frame::binary(message.payload.clone()),
    }
}

/// The same in so many fragments.
fn fragments(message: &Message, count: usize) -> Vec<Frame> {
    let size = message.payload.len().div_ceil(count).max(1);
    let mut parts: Vec<_> = message.payload.chunks(size).collect();
    parts.resize(count, &[]);
    let mut frames: Vec<_> = parts
        .into_iter()
        .map(|part| Frame::continuation(part).unfinished())
        .collect();
    frames[0].opcode = frame(message).opcode;
    frames[count - 1].fin = true;
    frames
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
            if length as u64 <= bench.limits().max_message {
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

fn reassembled(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let messages = [
        Message::text("in two fragments"),
        // Its characters are cut in two.
        Message::text("世界世界"),
        Message::binary([0xff; 100]),
        Message::binary(vec![0x80; 70_000]),
    ];
    for message in &messages {
        for count in [2, 3, 7] {
            for fragment in fragments(message, count) {
                alice.send(&fragment)?;
            }
            bob.hears_message(message)?;
        }
    }
    for parts in [["", "x", ""], ["x", "", ""], ["", "", "x"]] {
        alice.send_together(&[
            Frame::text(parts[0]).unfinished(),
            Frame::continuation(parts[1]).unfinished(),
            Frame::continuation(parts[2]),
        ])?;
        bob.hears("x")?;
    }
    Ok(())
}

fn control_frames_between(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let message = Message::text("in four fragments, with much between them");
    let mut frames = Vec::new();
    for fragment in fragments(&message, 4) {
        frames.extend([
            Frame::ping("between"),
            Frame::pong(""),
            fragment,
            Frame::ping(""),
        ]);
    }
    for frame in &frames {
        alice.send(frame)?;
    }
    bob.hears_message(&message)?;
    alice.send_together(&frames)?;
    bob.hears_message(&message)
}

fn only_when_complete(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut carol, &mut bob)?;
    let message = Message::text("not yet, not yet, now");
    let frames = fragments(&message, 3);
    for fragment in &frames[..2] {
        alice.send(fragment)?;
    }
    bench.nothing_but_fence(&mut carol, &mut bob, "a part of a message")?;
    alice.send(&frames[2])?;
    bob.hears_message(&message)
}

fn discarded(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut carol, &mut bob)?;
    alice.send(&Frame::text("never").unfinished())?;
    alice.send(&Frame::continuation(" complete").unfinished())?;
    alice.send(&Frame::close(1000, ""))?;
    // When it is answered, her session has ended.
    let closed = alice.close_frame(bench.patience(), "alice's close frame is answered");
    closed.map_err(Stop::on_the_way)?;
    bench.nothing_but_fence(&mut carol, &mut bob, "an incomplete message")?;
    // Nor does it come into the way of her next one.
    let mut again = bench.join_as("again", "alice")?;
    let said = "of the next session";
    again.say(said)?;
    bob.hears(said)?;
    drop(alice);
    let mut late = bench.join("late")?;
    let marker = bench.marker();
    carol.say(&marker)?;
    let came = late.until(&marker)?;
    match came.iter().any(|one| one.payload.starts_with(b"never")) {
        false => Ok(()),
        true => Err(Stop::fail(
            "the history does not have the incomplete message",
            listed(&came),
        )),
    }
}

/// As long as messages may be, up to what takes no time.
fn long(bench: &Bench) -> Message {
    let size = bench.limits().max_message.min(300_000);
    Message::binary(vec![0x5a; usize::try_from(size).unwrap_or(1)])
}

fn in_one(message: &Message) -> Judged {
    match message.frames {
        1 => Ok(()),
        _ => Err(Stop::fail("one frame", message.to_string())),
    }
}

fn in_one_frame(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let long = long(bench);
    for message in [&long, &Message::text("short")] {
        for count in [1, 2, 5] {
            for fragment in fragments(message, count) {
                alice.send(&fragment)?;
            }
            let came = bob.message(&message.to_string())?;
            in_one(&came)?;
            if !came.equals(message) {
                let why = format!("bob receives {came} instead of {message}");
                return Err(Stop::Inconclusive(why));
            }
        }
    }
    bob.hears_announcements = true;
    let mut carol = bench.join("carol")?;
    carol.say("here")?;
    let came = bob.until("here").map_err(Stop::on_the_way)?;
    came.iter().try_for_each(in_one)
}

fn replayed_in_one_frame(bench: &mut Bench) -> Judged {
    bench.keeps(10, 600_000)?;
    let (mut alice, mut bob) = bench.pair()?;
    let long = long(bench);
    for fragment in fragments(&long, 3) {
        alice.send(&fragment)?;
    }
    bob.hears_message(&long).map_err(Stop::on_the_way)?;
    alice.send(&frame(&long))?;
    bob.hears_message(&long).map_err(Stop::on_the_way)?;
    let (came, _late) = bench.replay("late", &mut alice)?;
    if !came.iter().any(|message| message.equals(&long)) {
        return Err(Stop::Inconclusive(format!("replayed: {}", listed(&came))));
    }
    came.iter().try_for_each(in_one)
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

fn not_distributed(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.send_together(&[
        Frame::ping("a ping of alice's"),
        Frame::pong("a pong of alice's"),
    ])?;
    let marker = bench.marker();
    alice.say(&marker)?;
    let expected = "bob receives nothing of alice's but her message";
    let deadline = Instant::now() + bench.patience();
    loop {
        match bob.next(deadline.saturating_duration_since(Instant::now()))? {
            Some(Event::Message(message)) if message.equals(&Message::text(&marker)) => {
                return Ok(());
            }
            Some(Event::Ping(payload) | Event::Pong(payload))
                if payload.ends_with(b" of alice's") =>
            {
                return Err(Stop::fail(expected, shown(&payload)));
            }
            // The server may have reasons of its own for others.
            Some(Event::Ping(_) | Event::Pong(_)) => {}
            Some(other) => return Err(Stop::fail(expected, other.to_string())),
            None => {
                let why = "bob does not receive what alice says";
                return Err(Stop::Inconclusive(why.into()));
            }
        }
    }
}

fn not_stored(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    alice.send_together(&[
        Frame::ping("a ping of alice's"),
        Frame::pong("a pong of alice's"),
        Frame::ping(""),
    ])?;
    bench
        .fence(&mut alice, &mut bob)
        .map_err(Stop::on_the_way)?;
    let mut late = bench.join("late")?;
    let marker = bench.marker();
    bob.say(&marker)?;
    let came = late.until(&marker).map_err(Stop::on_the_way)?;
    let said = [&Bench::met()[..], &[Message::text("marker 1")]].concat();
    match came.iter().find(|message| !said.contains(message)) {
        None => Ok(()),
        Some(other) => Err(Stop::fail(
            "what was said, and nothing else, is replayed",
            other.to_string(),
        )),
    }
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

fn several_pings(bench: &mut Bench) -> Judged {
    const COUNT: u8 = 20;
    let (mut alice, _bob) = bench.pair()?;
    let pings: Vec<_> = (1..=COUNT).map(|number| Frame::ping([number])).collect();
    alice.send_together(&pings)?;
    let expected = "pongs for some of the pings in their order, and for the latest";
    let deadline = Instant::now() + bench.patience();
    let mut latest = 0;
    loop {
        let event = alice.next(deadline.saturating_duration_since(Instant::now()))?;
        let came = match &event {
            Some(Event::Pong(payload)) => match payload.as_slice() {
                [COUNT] => return Ok(()),
                [number] if *number > latest && *number < COUNT => {
                    latest = *number;
                    continue;
                }
                other => format!("pong {} after that of ping {latest}", shown(other)),
            },
            Some(Event::Ping(_)) => continue,
            Some(other @ (Event::Message(_) | Event::Close(_) | Event::End(_))) => {
                other.to_string()
            }
            None => format!("nothing after the pong for ping {latest}"),
        };
        return Err(Stop::fail(expected, came));
    }
}

fn unasked(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    for payload in [&b""[..], b"unasked", &[0; 125]] {
        alice.send(&Frame::pong(payload))?;
        bench.fence(&mut alice, &mut bob)?;
        bench.fence(&mut bob, &mut alice)?;
    }
    Ok(())
}

fn unasked_counts(bench: &mut Bench) -> Judged {
    let (alice, mut bob) = bench.pair()?;
    let mut alice = alice.silent();
    let mut newcomer = bench.open("newcomer")?;
    bench.acquaint(&mut alice, &mut bob)?;
    newcomer.say(&bench.header("alice"))?;
    let pinged = alice.ping(bench.patience());
    pinged.map_err(Stop::on_the_way)?;
    alice.send(&Frame::pong("not what was in the ping"))?;
    newcomer.closed(4002)?;
    bench.fence(&mut bob, &mut alice)?;
    Ok(())
}

fn behind_messages(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut carol, &mut bob)?;
    let long = long(bench);
    let mut messages = vec![long];
    messages.extend((0..50).map(|number| Message::text(&format!("message {number}"))));
    let mut frames: Vec<_> = messages.iter().map(frame).collect();
    frames.push(Frame::ping("behind them"));
    alice.send_together(&frames)?;
    let ponged = alice.pong(b"behind them");
    ponged.map_err(Stop::on_the_way)?;
    // What is said now comes after all of them, whoever says it.
    let marker = bench.marker();
    carol.say(&marker)?;
    let came = bob.until(&marker)?;
    let same = came.len() == messages.len()
        && came
            .iter()
            .zip(&messages)
            .all(|(came, sent)| came.equals(sent));
    match same {
        true => Ok(()),
        false => Err(Stop::fail(
            format!(
                "all {} messages come before what is said after the pong",
                messages.len()
            ),
            format!("{} of them do: {}", came.len(), listed(&came)),
        )),
    }
}
