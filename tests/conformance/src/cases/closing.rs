//! Closing (client.md, section 11).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
