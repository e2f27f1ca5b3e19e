//! Peering (peering.md): the judge plays a peer.

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    vec![]
}
