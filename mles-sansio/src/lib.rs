//! Mles v2 as a pure, deterministic state machine.
#![no_std]
extern crate alloc;

mod frame;

pub use frame::{Frame, Frames, Kind};

/// What the WebSocket layer found wrong with a connection; the core decides the close code (X1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A violation of RFC 6455: reserved bits, an unmasked frame, a bad opcode or length, … (1002).
    Protocol,
    /// A text message, or the reason of a close frame, that is not UTF-8 (1007).
    NotUtf8,
    /// A message above the bound in force (1009; 4000 for a header).
    TooBig,
}
