//! Runs the vectors of `spec/vectors` through the public API: every case of every file, and all that
//! fail are reported together. The expected values come from `spec/vectors/derive.py`, which shares
//! no code with this crate.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod frames;
mod handshakes;
mod merging;
mod paths;
mod player;
mod traces;

use mles_sansio::{Action, Closing, Frame, Kind};
use serde_json::Value;

/// Runs every case of a file; fails with all that are wrong.
pub(crate) fn each(file: &str, least: usize, check: impl Fn(&Value) -> Result<(), String>) {
    let cases = common::vectors(file);
    assert!(
        cases.len() >= least,
        "{file} has {} cases only",
        cases.len()
    );
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case["id"], check(case).err()?)))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {file} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    got: &T,
    expected: &T,
) -> Result<(), String> {
    if got == expected {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected:?}, got {got:?}"))
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

pub(crate) fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

pub(crate) fn closing(actions: &[Action]) -> Option<Closing> {
    actions.iter().find_map(|action| match action {
        Action::Close { why, .. } => Some(*why),
        Action::Send { .. }
        | Action::Broadcast { .. }
        | Action::Replay { .. }
        | Action::Join { .. }
        | Action::Leave { .. }
        | Action::Resume { .. }
        | Action::Ping { .. }
        | Action::Discard { .. }
        | Action::StoreHistory { .. }
        | Action::Dial { .. }
        | Action::DialBridge { .. }
        | Action::Notice(_) => None,
    })
}

pub(crate) fn kind(frame: &Frame) -> &'static str {
    match frame.kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
    }
}
