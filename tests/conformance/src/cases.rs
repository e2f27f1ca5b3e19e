//! The cases, a module for each part of the specification.

mod auth;
mod clients;
mod closing;
mod header;
mod history;
mod join;
mod keep_alive;
mod leaving;
mod messages;
mod peering;
mod slow;
mod transport;
mod unjudged;

pub use unjudged::UNJUDGED;

use crate::case::Case;

/// All cases, in the order of the text.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        transport::cases(),
        header::cases(),
        auth::cases(),
        join::cases(),
        messages::cases(),
        history::cases(),
        leaving::cases(),
        slow::cases(),
        keep_alive::cases(),
        closing::cases(),
        peering::cases(),
        clients::cases(),
    ]
    .concat()
}
