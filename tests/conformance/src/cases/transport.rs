//! Transport (client.md, section 2).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
