//! History and its bounds (client.md, section 7).

mod book;
mod bytes;
mod frames;
mod numbers;
mod size;
mod total;
mod utf8;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [
        numbers::cases(),
        bytes::cases(),
        total::cases(),
        size::cases(),
        frames::cases(),
        utf8::cases(),
    ]
    .concat()
}
