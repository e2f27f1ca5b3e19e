//! What a server does that shuts down (client.md, X1.8, and X1.5 for it).

use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::causes::has_code_and_reason;
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::cases::slow::stall::{Stall, giant};
use crate::session::Session;
use crate::wire::Close;

pub(super) fn cases() -> Vec<Case> {
    let last = |case: Case| case.company(Company::Last).connections(8);
    [
        case(
            "X1.8/every-session-with-1012",
            "a server that shuts down closes every session with 1012, whatever its state",
            every_session,
        ),
        case(
            "X1.1/1012-restart",
            "the close frame of a server that shuts down has a reason for a person",
            has_a_reason,
        ),
        case(
            "X1.5/what-waits-goes-out-before-1012",
            "if the server itself leaves, what waits for a session goes out before the close frame",
            what_waits_goes_out,
        ),
    ]
    .map(last)
    .into()
}

/// Waits for a server that was shut down for another case.
fn is_there(bench: &Bench) -> Judged {
    let deadline = Instant::now() + bench.patience();
    while bench.target().connect().is_err() {
        if Instant::now() > deadline {
            return Err(Stop::Skip(
                "the server is gone; if --shutdown-command restarts it, this can be tried too"
                    .into(),
            ));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Has the server shut down. The command may wait until it is gone.
fn shut_down(bench: &Bench) -> Judged<Child> {
    let command = bench.target().shutdown.clone().unwrap_or_default();
    bench.note(format!("runs: {command}"));
    let child = Command::new("sh").args(["-c", &command]).spawn();
    child.map_err(|error| Stop::Inconclusive(format!("{command}: {error}")))
}

/// The command has to have succeeded.
fn finish(mut child: Child) -> Judged {
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Stop::Inconclusive(format!(
            "the command has failed: {status}"
        ))),
        Err(error) => Err(Stop::Inconclusive(format!("the command: {error}"))),
    }
}

/// How long the last close frames may take.
fn within(bench: &Bench) -> Duration {
    Duration::from_secs(5) + bench.patience()
}

fn closed_with_1012(session: &mut Session, what: &str, within: Duration) -> Judged<Close> {
    let expected = format!("{what} is closed with 1012");
    let close = session.close_frame(within, &expected)?;
    match close.code == Some(1012) {
        true => Ok(close),
        false => Err(Stop::fail(expected, close.to_string())),
    }
}

fn every_session(bench: &mut Bench) -> Judged {
    is_there(bench)?;
    // Lagging, if that can be brought about.
    let outbox = bench.limits().outbox;
    let stall = match giant(bench) {
        Ok(giant) if outbox + 1000 <= bench.limits().max_message => {
            let mut stall = Stall::open(bench)?;
            for length in [giant, outbox + 1000, 100] {
                stall.tell(length).map_err(Stop::on_the_way)?;
            }
            Some(stall)
        }
        _ => None,
    };
    bench.channel = bench.another_channel();
    let (alice, mut bob) = bench.pair()?;
    let mut fresh = bench.open("fresh")?;
    let mut alice = alice.silent();
    let mut newcomer = bench.join_as("newcomer", "alice")?;
    alice.ping(alice.patience()).map_err(Stop::on_the_way)?;
    let command = shut_down(bench)?;
    let time = within(bench);
    closed_with_1012(&mut bob, "a member", time)?;
    closed_with_1012(&mut fresh, "a session without a header", time)?;
    closed_with_1012(&mut newcomer, "a newcomer that waits", time)?;
    closed_with_1012(&mut alice, "a member that is probed", time)?;
    if let Some(mut stall) = stall {
        let drained = stall.read(bench)?;
        let code = drained.close.as_ref().and_then(|close| close.code);
        if code != Some(1012) {
            return Err(Stop::fail(
                "a lagging session is closed with 1012",
                drained.to_string(),
            ));
        }
    }
    finish(command)
}

fn has_a_reason(bench: &mut Bench) -> Judged {
    is_there(bench)?;
    let (mut alice, _bob) = bench.pair()?;
    let command = shut_down(bench)?;
    let close = alice.close_frame(within(bench), "alice is closed");
    let close = close.map_err(Stop::on_the_way)?;
    has_code_and_reason(&close)?;
    finish(command)
}

fn what_waits_goes_out(bench: &mut Bench) -> Judged {
    is_there(bench)?;
    let giant = giant(bench)?;
    let mut stall = Stall::open(bench)?;
    let waits = (bench.limits().outbox / 8).clamp(100, 100_000);
    for length in [giant, waits, waits, waits] {
        stall.tell(length).map_err(Stop::on_the_way)?;
    }
    let command = shut_down(bench)?;
    // Bob hears of it first.
    let bobs = closed_with_1012(&mut stall.bob, "bob", within(bench));
    bobs.map_err(Stop::on_the_way)?;
    let drained = stall.read(bench)?;
    if !stall.has_sent(drained.loads) {
        return Err(Stop::fail(
            "alice, who reads again, receives what waited for her, and then a close frame",
            drained.to_string(),
        ));
    }
    closed_with_1012(&mut stall.alice, "alice", within(bench))?;
    finish(command)
}
