//! Fragments (M1.5, M1.6).

use super::{fits, fragments, frame, long};
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Message, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
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
        ).connections(4),
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
    ]
}

fn in_one(message: &Message) -> Judged {
    match message.frames {
        1 => Ok(()),
        _ => Err(Stop::fail("one frame", message.to_string())),
    }
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
    for message in messages.iter().filter(|message| fits(bench, message)) {
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
