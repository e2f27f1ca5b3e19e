//! Mles v2 as a pure, deterministic state machine.
#![no_std]
extern crate alloc;

mod action;
pub mod auth;
mod channel;
mod check;
mod config;
mod describe;
mod event;
mod frame;
pub mod header;
mod history;
mod join;
mod json;
mod node;
mod notice;
mod seed;
mod session;
mod time;
mod timer;
mod violation;

pub use action::{Action, Actions, GroupId};
pub use auth::Key;
pub use config::Config;
pub use event::{ConnId, Ending, Entry, Event, Fault, Name, Role, Source};
pub use frame::{Frame, Frames, Kind};
pub use header::HEADER_MAX;
pub use node::{BATCH, Node};
pub use notice::{LagCause, Notice, Stats};
pub use seed::{NodeId, Seed};
pub use time::{Instant, Now};
pub use timer::Timer;
pub use violation::{Closing, Violation};
