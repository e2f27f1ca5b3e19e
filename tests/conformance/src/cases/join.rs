//! Join (client.md, section 5).

mod announcement;
mod canonical;
mod pair;
mod replay;
mod same_pair;

use crate::bench::Bench;
use crate::case::Case;
use crate::session::Session;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    [
        same_pair::cases(),
        pair::cases(),
        replay::cases(),
        canonical::cases(),
        announcement::cases(),
    ]
    .concat()
}

/// Leaves small messages in a history that large ones were in. What comes of it is of no interest.
fn tidy(bench: &Bench, speaker: &mut Session) {
    let limit = usize::try_from(bench.limits().limit).unwrap_or(usize::MAX);
    let _ = speaker.send_together(&vec![Frame::text(""); limit.min(1000)]);
}
