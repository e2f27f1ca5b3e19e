//! WebSocket framing (RFC 6455 sections 5, 7.4 and 8.1; spec: T2, M1, M2, M4, X1).
//!
//! Everything the product knows of WebSocket after the upgrade is in this module: [`Reader`] turns
//! the bytes of a client into messages and control frames, [`encode_header`] and the `put_*` functions
//! write the frames of a server. There is no extension, so a reserved bit is always a violation,
//! and a frame of the server is the same bytes for every recipient: it is encoded once.
//!
//! Where the server itself has dialed, it is the client: [`Reader::of_server`] reads, and a [`Masker`]
//! makes the frames of a client out of those of a server on their way out, so that outboxes are the same.

use std::fmt;
use std::ops::Deref;

mod fuzz;
mod header;
mod mask;
mod masking;
mod read;
mod write;

#[doc(hidden)]
pub use fuzz::fuzz;
pub use header::{SERVER_HEADER_MAX, encode_header, header_len};
pub use mask::Masker;
pub use masking::Masking;
pub use read::{Incoming, Reader};
pub use write::{put_close, put_ping, put_pong};

/// The subprotocol that a client must offer and the server selects (T2.1, T2.3).
pub const SUBPROTOCOL: &str = "mles-websocket";

/// Most payload bytes of a control frame (RFC 6455 section 5.5).
pub const CONTROL_MAX: usize = 125;

/// Most bytes in the reason of a close frame: a control payload less the code (X1.1).
pub const REASON_MAX: usize = CONTROL_MAX - 2;

/// The payload of a control frame: at most [`CONTROL_MAX`] bytes, held without the heap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ControlPayload {
    /// Zero beyond `len`, so that equality may be derived.
    bytes: [u8; CONTROL_MAX],
    len: u8,
}

impl ControlPayload {
    /// No payload.
    pub const EMPTY: Self = Self {
        bytes: [0; CONTROL_MAX],
        len: 0,
    };

    /// Appends `data`. The frame header has been checked: it always fits.
    fn push(&mut self, data: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + data.len()].copy_from_slice(data);
        self.len += u8::try_from(data.len()).expect("a control payload has at most 125 bytes");
    }
}

impl Deref for ControlPayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The value of `Sec-WebSocket-Accept` for the client's `Sec-WebSocket-Key` (section 4.2.2),
/// which the caller has checked.
#[must_use]
pub fn accept_key(client_key: &[u8]) -> String {
    tungstenite::handshake::derive_accept_key(client_key)
}

/// Appends `frame` to `out`: the tests have whole messages, the outboxes their parts.
#[cfg(test)]
pub(crate) fn put_frame(out: &mut Vec<u8>, frame: &mles_sansio::Frame) {
    let (header, used) = encode_header(frame.kind, frame.payload.len());
    out.extend_from_slice(&header[..used]);
    out.extend_from_slice(&frame.payload);
}

#[cfg(test)]
mod tests;
