//! Slow readers (client.md, section 9).

mod lagging;
mod outbox;
mod replay;
pub(super) mod stall;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [lagging::cases(), outbox::cases(), replay::cases()].concat()
}
