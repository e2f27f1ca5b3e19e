//! Closing (client.md, section 11).

mod causes;
mod connections;
mod ends;
mod http;
mod last;
mod order;
mod shutdown;

use crate::case::Case;

pub(super) fn cases() -> Vec<Case> {
    [
        causes::cases(),
        ends::cases(),
        http::cases(),
        last::cases(),
        order::cases(),
        connections::cases(),
        shutdown::cases(),
    ]
    .concat()
}
