//! The control frames of a server. Its messages are encoded where they wait, a header
//! ([`encode_header`](super::encode_header)) and the payload.

use super::header::{FIN, OP_CLOSE, OP_PING, OP_PONG};
use super::{ControlPayload, REASON_MAX};

/// Appends a ping without payload (section 5.5.2; spec: K1.1).
pub fn put_ping(out: &mut Vec<u8>) {
    put_control(out, OP_PING, &[]);
}

/// Appends the pong that answers a ping with this payload (section 5.5.3; M2.2).
pub fn put_pong(out: &mut Vec<u8>, payload: &ControlPayload) {
    put_control(out, OP_PONG, payload);
}

/// Appends a close frame (section 5.5.1; X1.1). A reason of more than [`REASON_MAX`] bytes is the
/// caller's mistake: a debug assertion, and otherwise cut between two characters.
pub fn put_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    debug_assert!(reason.len() <= REASON_MAX, "close reason too long");
    let mut payload = ControlPayload::EMPTY;
    payload.push(&code.to_be_bytes());
    payload.push(clip(reason, REASON_MAX).as_bytes());
    put_control(out, OP_CLOSE, &payload);
}

/// The longest prefix of `text` that has at most `max` bytes and ends between two characters.
pub(super) fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

/// Appends a control frame. The payload has at most 125 bytes (section 5.5).
fn put_control(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.extend_from_slice(&[FIN | opcode, payload.len() as u8]);
    out.extend_from_slice(payload);
}
