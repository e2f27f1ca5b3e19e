//! Keep-alive (client.md, section 10).

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
