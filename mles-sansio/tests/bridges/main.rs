//! Bridges to a server that knows no peering, told as stories (spec/peering.md, section "Bridges").

#[path = "../net/mod.rs"]
mod net;

mod crossing;
mod lives;
mod meeting;
mod sessions;
mod told;
mod wanted;
