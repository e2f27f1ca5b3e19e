//! The outbox and its bound (client.md, L3.1 to L3.5 and L3.10).

use std::thread;
use std::time::Duration;

use super::stall::{PING, Stall, certain, flooded_and_read, giant, outbox, payloads};
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::{Event, Session};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    let mut cases: Vec<_> = [
        case(
            "L3.1/has-a-bound",
            "not everything is kept for a member that does not read",
            has_a_bound,
        ),
        case(
            "L3.1/up-to-the-bound",
            "frames that wait are kept as long as their bytes, headers included, are not more than the bound",
            up_to_the_bound,
        ),
        case(
            "L3.2/in-progress-does-not-count",
            "a frame of any length is in progress, and another may wait",
            any_length,
        ),
        case(
            "L3.3/a-byte-more",
            "a frame that makes what waits one byte longer than the bound makes the session lagging",
            a_byte_more,
        ),
        case(
            "L3.4/in-progress-is-completed",
            "a lagging session gets the frame in progress, and nothing of what waited",
            in_progress_is_completed,
        ),
        case(
            "L3.5/ahead-of-what-waits",
            "a pong goes out ahead of the messages that wait",
            ahead_of_what_waits,
        ),
        case(
            "L3.5/not-lost-if-it-is-full",
            "a pong is not lost because the outbox is full",
            not_lost,
        ),
        case(
            "L3.10/two-of-the-largest",
            "two messages of the largest size may wait for sessions that do not read",
            two_of_the_largest,
        ),
    ]
    .map(alone)
    .into();
    cases.push(
        case(
            "L3.10/nobody-else",
            "if very much waits for several who do not read, nobody else is affected",
            nobody_else,
        )
        .connections(READERS + 5)
        .company(Company::Disruptive),
    );
    cases
}

fn has_a_bound(bench: &mut Bench) -> Judged {
    match flooded_and_read(bench)? {
        Ok(_) => Ok(()),
        Err(bytes) => Err(Stop::fail(
            format!(
                "alice, who did not read, becomes lagging when more than {} bytes wait for her",
                bench.limits().outbox
            ),
            format!("she got all of {bytes} bytes when she read again"),
        )),
    }
}

/// A message is in progress for alice, who does not read, and behind it wait so many bytes.
fn waiting(bench: &mut Bench, bytes: u64) -> Judged<Stall> {
    let giant = giant(bench)?;
    let mut stall = Stall::open(bench)?;
    let mut tell = |length| stall.tell(length).map_err(Stop::on_the_way);
    tell(giant)?;
    for length in payloads(bytes) {
        tell(length)?;
    }
    bench.note(format!(
        "{bytes} bytes wait for alice behind the frame that is in progress"
    ));
    Ok(stall)
}

/// Alice reads again and gets all of it.
fn gets_all(bench: &Bench, mut stall: Stall, why: &str) -> Judged {
    let drained = stall.read(bench)?;
    match drained.loads == stall.sent() {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("alice receives all {} messages: {why}", stall.sent()),
            drained.to_string(),
        )),
    }
}

fn up_to_the_bound(bench: &mut Bench) -> Judged {
    let bound = outbox(bench)?;
    let stall = waiting(bench, bound)?;
    gets_all(
        bench,
        stall,
        "what waited had just as many bytes as may wait",
    )
}

fn any_length(bench: &mut Bench) -> Judged {
    const MORE: u64 = 60_000;
    let bound = outbox(bench)?;
    let giant = giant(bench)?;
    if bound + MORE > bench.limits().max_message {
        return Err(Stop::Skip("no message is longer than the outbox".into()));
    }
    let mut stall = Stall::open(bench)?;
    for length in [giant, bound + MORE] {
        stall.tell(length).map_err(Stop::on_the_way)?;
    }
    gets_all(bench, stall, "one was in progress, and only one waited")
}

fn a_byte_more(bench: &mut Bench) -> Judged {
    let bound = outbox(bench)?;
    let giant = giant(bench)?;
    let mut stall = waiting(bench, bound + 1)?;
    let drained = stall.read(bench)?;
    if drained.loads == stall.sent() {
        let stop = Stop::fail(
            "alice, who did not read, becomes lagging by the last frame, \
             for with it one byte more than the bound waits",
            "she got everything when she read again",
        );
        drop(stall);
        return Err(certain(bench, giant, stop));
    }
    match &drained.close {
        Some(close) if close.code == Some(4008) => Ok(()),
        _ => Err(Stop::fail("alice is closed with 4008", drained.to_string())),
    }
}

fn in_progress_is_completed(bench: &mut Bench) -> Judged {
    let bound = outbox(bench)?;
    let giant = giant(bench)?;
    let mut stall = waiting(bench, 2 * bound)?;
    let drained = stall.read(bench)?;
    if drained.loads == 1 && drained.close.is_some() {
        return Ok(());
    }
    let stop = Stop::fail(
        "alice, who is lagging, receives the message that was in progress, \
         none of those that waited, and a close frame",
        drained.to_string(),
    );
    if drained.loads == 0 {
        return Err(stop);
    }
    drop(stall);
    Err(certain(bench, giant, stop))
}

/// Alice sends a ping, and it is known that it has come in.
fn ping(stall: &mut Stall) -> Judged {
    const BEHIND: &str = "behind the ping";
    stall
        .alice
        .send(&Frame::ping(PING))
        .map_err(Stop::on_the_way)?;
    stall.alice.say(BEHIND).map_err(Stop::on_the_way)?;
    stall.carol.until(BEHIND).map_err(Stop::on_the_way)?;
    Ok(())
}

fn ahead_of_what_waits(bench: &mut Bench) -> Judged {
    let bound = outbox(bench)?;
    let giant = giant(bench)?;
    let mut stall = waiting(bench, bound / 2)?;
    ping(&mut stall)?;
    let drained = stall.read(bench)?;
    match drained.before_pong {
        Some(0 | 1) => Ok(()),
        Some(count) => {
            let stop = Stop::fail(
                "alice receives the pong right behind the message that was in progress",
                format!("{count} messages before it"),
            );
            drop(stall);
            Err(certain(bench, giant, stop))
        }
        None => Err(Stop::fail(
            "alice receives a pong",
            format!("none with all that waited for her: {drained}"),
        )),
    }
}

fn not_lost(bench: &mut Bench) -> Judged {
    let bound = outbox(bench)?;
    let mut stall = waiting(bench, bound)?;
    ping(&mut stall)?;
    let drained = stall.read(bench)?;
    if drained.before_pong.is_some() {
        return Ok(());
    }
    // It may come last.
    let pong = stall.alice.pong(PING);
    pong.map(drop)
}

fn two_of_the_largest(bench: &mut Bench) -> Judged {
    // Their headers are no part of the size, nor is what else it costs to hold a frame.
    const HEADERS: u64 = 1024;
    const A_WHILE: Duration = Duration::from_millis(300);
    const MOST: u64 = 32 << 20;
    let size = bench.limits().max_message;
    if size > MOST {
        return Err(Stop::Skip(format!("the largest message has {size} bytes")));
    }
    let mut stall = Stall::open(bench)?;
    // Nothing may be under way to anybody else.
    stall.without_carol().map_err(Stop::on_the_way)?;
    for _ in 0..2 {
        stall.send(size - HEADERS).map_err(Stop::on_the_way)?;
    }
    // What has come in so far is all that may be asked for: a word of bob's would be one that waits too.
    thread::sleep(A_WHILE);
    gets_all(bench, stall, "they are two of the largest size")
}

/// How many do not read.
const READERS: usize = 4;

fn nobody_else(bench: &mut Bench) -> Judged {
    const MOST: u64 = 32 << 20;
    let size = bench.limits().max_message;
    if size > MOST {
        return Err(Stop::Skip(format!("the largest message has {size} bytes")));
    }
    let channel = bench.another_channel();
    let mut dave = bench.join_on("dave", &channel)?;
    let mut erin = bench.join_on("erin", &channel)?;
    bench.meet(&mut dave, &mut erin)?;
    let mut stall = Stall::open(bench)?;
    let mut readers: Vec<Session> = Vec::new();
    for nth in 0..READERS {
        let uid = format!("reader {nth}");
        let mut reader = bench.open_narrow(&uid)?;
        reader.say(&bench.header(&uid)).map_err(Stop::on_the_way)?;
        let there = format!("{uid} is there");
        reader.say(&there).map_err(Stop::on_the_way)?;
        stall.carol.until(&there).map_err(Stop::on_the_way)?;
        readers.push(reader);
    }
    // Who reads holds what is under way to it, too: nobody does.
    stall.without_carol().map_err(Stop::on_the_way)?;
    for _ in 0..READERS {
        stall.send(size)?;
        for reader in &mut readers {
            // So that it is not taken for dead (K1.3).
            reader.send(&Frame::pong("")).map_err(Stop::on_the_way)?;
        }
    }
    for _ in 0..3 {
        bench.nothing_but_fence(&mut dave, &mut erin, "anything else")?;
        bench.nothing_but_fence(&mut erin, &mut dave, "anything else")?;
    }
    for mut reader in readers {
        reader.widen();
        let patience = bench.time_for(size);
        loop {
            match reader.next_but_pings(patience)? {
                Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) => {}
                Some(Event::End(_)) | None => break,
                Some(Event::Close(close)) if close.code == Some(4008) => break,
                Some(Event::Close(close)) => {
                    let expected = "who did not read is closed with 4008, or cut off";
                    return Err(Stop::fail(expected, close.to_string()));
                }
            }
        }
    }
    Ok(())
}
