//! Slow readers (client.md, section 9).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
