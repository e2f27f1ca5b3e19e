//! History and its bounds (client.md, section 7).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
