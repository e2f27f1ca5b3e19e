//! What a server does that dials its peers: the judge is these.

mod choosing;
mod merging;
mod opening;

use serde_json::Value;

use crate::case::{Case, Judged, Stop};
use crate::link::Heard;

pub(super) fn cases() -> Vec<Case> {
    [opening::cases(), choosing::cases(), merging::cases()].concat()
}

/// Whether a handshake asks for the reply only.
fn is_probe(handshake: &Heard) -> bool {
    handshake.head["probe"] == Value::Bool(true)
}

/// The handshake is of a node that wants to stay, or else a probe.
fn stays(handshake: &Heard, stays: bool) -> Judged {
    if is_probe(handshake) != stays {
        return Ok(());
    }
    let expected = match stays {
        true => "a handshake to stay",
        false => "a probe",
    };
    Err(Stop::fail(expected, handshake.to_string()))
}
