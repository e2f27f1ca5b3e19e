//! Peering (peering.md): the judge plays a peer.

mod frames;
mod opening;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [opening::cases(), frames::cases()].concat()
}
