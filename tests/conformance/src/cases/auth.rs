//! Auth (client.md, section 4).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
