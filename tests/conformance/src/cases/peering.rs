//! Peering (peering.md): the judge plays a peer.

mod opening;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [opening::cases()].concat()
}
