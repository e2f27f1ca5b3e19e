//! Leaving and expiry (client.md, section 8).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
