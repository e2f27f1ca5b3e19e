//! Replays that are not taken at once (client.md, L3.6, L3.7 and L3.9).

use std::thread;
use std::time::{Duration, Instant};

use super::stall::{Drained, Stall, certain, flood, history, more, outbox, overflow, payloads};
use crate::Limits;
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::{Event, Session};

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    let mut cases: Vec<_> = [
        case(
            "L3.4/rest-of-the-replay",
            "the rest of the replay of a lagging session is dropped",
            rest_of_the_replay,
        ),
        case(
            "L3.6/larger-than-the-outbox",
            "a replay that is several times as large as the outbox reaches the joiner",
            larger_than_the_outbox,
        ),
        case(
            "L3.6/live-messages-wait-behind-it",
            "live messages up to the bound wait behind a replay that is not taken yet",
            live_behind_it,
        ),
        case(
            "L3.7/lagging-when-time-is-up",
            "who has not taken its replay in time becomes lagging",
            time_is_up,
        )
        .connections(4)
        .lasts(late),
        case(
            "L3.7/not-before",
            "who takes its replay in time gets all of it",
            not_before,
        )
        .connections(4)
        .lasts(|limits| limits.replay_timeout * 7 / 10),
    ]
    .map(alone)
    .into();
    cases.push(
        case(
            "L3.9/slowest-joiners-give-way",
            "if replays alone hold more than the total bound, the sessions whose replays began first become lagging, and the others get theirs",
            slowest_joiners,
        )
        .connections(CHANNELS + 4)
        .company(Company::Disruptive),
    );
    cases
}

fn rest_of_the_replay(bench: &mut Bench) -> Judged {
    outbox(bench)?;
    let size = history(bench)?;
    let before = Stall::before(bench)?.fill(bench, size)?;
    let mut stall = before.joined(bench)?;
    let replayed = stall.sent();
    let flooded = stall.flood(bench, flood(bench));
    flooded.map_err(Stop::on_the_way)?;
    let drained = stall.read(bench)?;
    if drained.loads < replayed {
        return Ok(());
    }
    let stop = Stop::fail(
        "alice, who became lagging while she did not take her replay, does not get all of it",
        drained.to_string(),
    );
    drop(stall);
    Err(certain(bench, size, stop))
}

fn larger_than_the_outbox(bench: &mut Bench) -> Judged {
    let bound = bench.limits().outbox;
    let size = history(bench)?;
    if size < 3 * bound {
        return Err(Stop::Skip(format!(
            "a history is not several times as large as an outbox, {bound} bytes"
        )));
    }
    let before = Stall::before(bench)?.fill(bench, size)?;
    let mut stall = before.joined_reading(bench)?;
    all(&stall.read(bench)?, &stall)
}

fn all(drained: &Drained, stall: &Stall) -> Judged {
    match drained.loads == stall.sent() {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("alice receives all {} messages", stall.sent()),
            drained.to_string(),
        )),
    }
}

fn live_behind_it(bench: &mut Bench) -> Judged {
    let bound = outbox(bench)?;
    let size = history(bench)?;
    let before = Stall::before(bench)?.fill(bench, size)?;
    let mut stall = before.joined(bench)?;
    for length in payloads(bound) {
        stall.tell(length).map_err(Stop::on_the_way)?;
    }
    all(&stall.read(bench)?, &stall)
}

/// When it is certain that time is up.
fn late(limits: &Limits) -> Duration {
    limits.replay_timeout * 5 / 4 + Duration::from_secs(1)
}

/// Waits, and has a session say something so often that it is not taken for dead.
fn wait(bench: &Bench, session: &mut Session, time: Duration) -> Judged {
    let deadline = Instant::now() + time;
    let step = (bench.limits().ping_interval / 2).min(Duration::from_secs(5));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(step));
        session.say("alive").map_err(Stop::on_the_way)?;
    }
}

fn time_is_up(bench: &mut Bench) -> Judged {
    outbox(bench)?;
    let size = history(bench)?;
    let before = Stall::before(bench)?.fill(bench, size)?;
    let mut stall = before.joined(bench)?;
    wait(bench, &mut stall.alice, late(bench.limits()))?;
    let drained = stall.read(bench)?;
    if drained.loads == stall.sent() {
        let stop = Stop::fail(
            "alice, who has not taken her replay in time, becomes lagging",
            "she got all of it when she read again",
        );
        drop(stall);
        return Err(certain(bench, size, stop));
    }
    match &drained.close {
        Some(close) if close.code == Some(4008) => Ok(()),
        _ => Err(Stop::fail("alice is closed with 4008", drained.to_string())),
    }
}

fn not_before(bench: &mut Bench) -> Judged {
    let size = history(bench)?;
    let before = Stall::before(bench)?.fill(bench, size)?;
    let mut stall = before.joined(bench)?;
    let time = bench.limits().replay_timeout * 7 / 10;
    wait(bench, &mut stall.alice, time)?;
    all(&stall.read(bench)?, &stall)
}

/// How many channels there are at most whose history somebody takes who does not read.
const CHANNELS: usize = 40;

fn slowest_joiners(bench: &mut Bench) -> Judged {
    let size = history(bench)?;
    let limits = bench.limits().clone();
    if limits.limit > 2000 {
        return Err(Stop::Skip(format!(
            "so many messages as a history keeps would be needed, {}",
            limits.limit
        )));
    }
    // It takes a while, and nobody may be closed for anything else meanwhile.
    const A_WHILE: Duration = Duration::from_secs(30);
    if limits.replay_timeout < A_WHILE || limits.ping_interval * 4 < A_WHILE {
        return Err(Stop::Skip(
            "who does not read is closed too soon, for its replay or its silence".into(),
        ));
    }
    bench.note("how much do the sockets take?");
    let (_, measured) = overflow(bench).map_err(Stop::on_the_way)?;
    // What a replay holds that has left the history, with some room.
    let held = size.saturating_sub(measured.bytes) * 4 / 5;
    let count = limits.history_bytes.checked_div(held);
    let count = count.unwrap_or(u64::MAX).saturating_add(2);
    let Some(count) = usize::try_from(count)
        .ok()
        .filter(|count| *count <= CHANNELS)
    else {
        return Err(Stop::Skip(format!(
            "of a replay that nobody reads, sockets take {} bytes of {size}: \
             it takes more than {CHANNELS} such replays to hold more than the total bound",
            measured.bytes
        )));
    };
    // Channel by channel, until replays hold as much as there may be.
    let mut stalls = Vec::new();
    for _ in 0..count {
        bench.channel = bench.another_channel();
        let before = Stall::before(bench)?.fill(bench, size)?;
        let mut stall = before.joined(bench)?;
        stall.displace(limits.limit).map_err(Stop::on_the_way)?;
        let (alice, bob, carol) = stall.parts();
        bob.leave();
        carol.leave();
        stalls.push((alice, bench.channel.clone()));
    }
    // And some more, where it takes the place of nothing that could give way.
    for (_, channel) in stalls.iter().take(8) {
        bench.channel.clone_from(channel);
        let mut bob = bench.join("bob")?;
        let mut carol = bench.joined("carol", &mut bob)?;
        let told = more(&mut bob, &mut carol, limits.outbox / 2);
        told.map_err(Stop::on_the_way)?;
        bob.leave();
        carol.leave();
    }
    let Some(((mut last, _), (mut first, _))) = stalls.pop().zip(stalls.into_iter().next()) else {
        return Err(Stop::Inconclusive("there are no joiners".into()));
    };
    if close_code(bench, &mut first)? != Some(4008) {
        return Err(Stop::fail(
            "who did not take the replay that began first becomes lagging, \
             for replays hold more than the total bound",
            "it was not closed with 4008 when it read again",
        ));
    }
    if let Some(code) = close_code(bench, &mut last)? {
        return Err(Stop::fail(
            "who has joined last goes on, for those before give way",
            format!("it was closed with {code}"),
        ));
    }
    Ok(())
}

/// What closes somebody who reads again, if anything does.
fn close_code(bench: &Bench, alice: &mut Session) -> Judged<Option<u16>> {
    alice.note("reads again");
    alice.widen();
    loop {
        match alice.next_but_pings(bench.patience())? {
            Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) => {}
            Some(Event::Close(close)) => return Ok(Some(close.code.unwrap_or(0))),
            Some(Event::End(_)) => return Ok(Some(1006)),
            None => return Ok(None),
        }
    }
}
