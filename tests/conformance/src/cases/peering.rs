//! Peering (peering.md): the judge plays a peer.

mod bridges;
mod channels;
mod dialed;
mod frames;
mod merging;
mod messages;
mod opening;
mod paths;
mod upstream;
mod waiting;

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop};

pub(super) fn cases() -> Vec<Case> {
    [
        opening::cases(),
        frames::cases(),
        channels::cases(),
        messages::cases(),
        waiting::cases(),
        paths::cases(),
        merging::cases(),
        upstream::cases(),
        dialed::cases(),
        bridges::cases(),
    ]
    .concat()
}

/// How long a joining client waits for an upstream at most (W1.1).
const WAIT: Duration = Duration::from_secs(2);

/// What takes no wait may take as long as one on a machine that is busy, but not each time: it is tried three times. Each
/// try says when it began, and ends when what is expected is there.
fn without_a_wait(
    bench: &mut Bench,
    expected: &str,
    mut once: impl FnMut(&mut Bench) -> Judged<Instant>,
) -> Judged {
    let mut took = Vec::new();
    for _ in 0..3 {
        let began = once(bench)?;
        let time = began.elapsed();
        if time < WAIT * 4 / 5 {
            return Ok(());
        }
        took.push(format!("{:.1} s", time.as_secs_f32()));
    }
    Err(Stop::fail(
        format!("{expected} at once"),
        format!("after {}", took.join(", ")),
    ))
}

/// Goes on only if the server keeps what a case says on a channel.
fn keeps_history(bench: &Bench) -> Judged {
    match bench.limits().limit {
        0..=3 => Err(Stop::Skip("the server keeps no history".into())),
        _ => bench.keeps(4, 2048),
    }
}
