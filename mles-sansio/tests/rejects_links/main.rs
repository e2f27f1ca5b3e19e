//! What a hostile peer can send, and what becomes of it: the link is closed with a code and a reason, or
//! it has no effect, and what the node holds stays bounded. Where it is practical the whole list of
//! actions is compared.

#[path = "../common/mod.rs"]
mod common;
mod floods;
mod frames;
#[path = "../link/mod.rs"]
mod link;
mod openings;
