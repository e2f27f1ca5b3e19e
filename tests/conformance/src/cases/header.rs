//! Header (client.md, section 3).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
