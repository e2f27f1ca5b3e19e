//! Join (client.md, section 5).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
