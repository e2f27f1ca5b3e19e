//! One node, and peers that the test plays: what goes over links, clause by clause.

#[path = "../common/mod.rs"]
mod common;

mod channels;
mod joiners;
mod messages;
mod opening;
mod played;
mod tree;
mod upstream;
