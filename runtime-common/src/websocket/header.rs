//! Frame headers, both ways (RFC 6455 section 5.2).
//!
//! The syntax is written out here: an off-the-shelf parser accepts lengths that are not minimal and
//! reports an error only once the whole header is there.

use mles_sansio::{Fault, Kind};

use super::CONTROL_MAX;

/// The longest header of a client frame: two bytes, a 64-bit length, the mask.
pub(super) const CLIENT_HEADER_MAX: usize = 14;

/// Which end of a connection has sent what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// The longest header of a server frame: two bytes and a 64-bit length.
pub const SERVER_HEADER_MAX: usize = 10;

pub(super) const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
pub(super) const MASKED: u8 = 0x80;
pub(super) const LENGTH_16: u8 = 126;
pub(super) const LENGTH_64: u8 = 127;

const OP_CONTINUATION: u8 = 0x0;
const OP_TEXT: u8 = 0x1;
const OP_BINARY: u8 = 0x2;
pub(super) const OP_CLOSE: u8 = 0x8;
pub(super) const OP_PING: u8 = 0x9;
pub(super) const OP_PONG: u8 = 0xA;

/// A frame whose header is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload {
    pub(super) content: Content,
    /// Payload bytes that have not arrived.
    pub(super) remaining: u64,
    /// The masking key, turned so that its first byte belongs to the next payload byte; zero, which changes
    /// nothing, for a frame of a server.
    pub(super) mask: [u8; 4],
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    Data { kind: Kind, last: bool },
    Ping,
    Pong,
    Close,
}

/// Reads a frame header from the front of `bytes`: the frame and the length of its header, or
/// `None` when more bytes are needed. `open` is the kind of the fragmented message in progress.
///
/// Each field is judged as soon as it is there (section 5.2), whatever follows it.
pub(super) fn parse_header(
    bytes: &[u8],
    open: Option<Kind>,
    sender: Sender,
) -> Result<Option<(Payload, usize)>, Fault> {
    let [first, second, ref rest @ ..] = *bytes else {
        return Ok(None);
    };
    let last = first & FIN != 0;
    let masked = second & MASKED != 0;
    if first & RESERVED_BITS != 0 || masked != (sender == Sender::Client) {
        return Err(Fault::Protocol); // section 5.1: a client masks every frame, a server none
    }
    let content = match (first & 0x0F, open) {
        (OP_CONTINUATION, Some(kind)) => Content::Data { kind, last },
        (OP_TEXT, None) => Content::Data {
            kind: Kind::Text,
            last,
        },
        (OP_BINARY, None) => Content::Data {
            kind: Kind::Binary,
            last,
        },
        (OP_CLOSE, _) => Content::Close,
        (OP_PING, _) => Content::Ping,
        (OP_PONG, _) => Content::Pong,
        // Reserved, a continuation of nothing, or a message inside another (section 5.4).
        _ => return Err(Fault::Protocol),
    };
    let short = second & !MASKED;
    let is_control = !matches!(content, Content::Data { .. });
    if is_control && (!last || usize::from(short) > CONTROL_MAX) {
        return Err(Fault::Protocol); // section 5.5
    }
    let (length, size) = match short {
        LENGTH_16 => {
            let Some(&length) = rest.first_chunk() else {
                return Ok(None);
            };
            let length = u64::from(u16::from_be_bytes(length));
            if length < u64::from(LENGTH_16) {
                return Err(Fault::Protocol); // section 5.2: the minimal number of bytes
            }
            (length, 4)
        }
        LENGTH_64 => {
            let Some(&length) = rest.first_chunk() else {
                return Ok(None);
            };
            let length = u64::from_be_bytes(length);
            if length <= u64::from(u16::MAX) || length > i64::MAX.unsigned_abs() {
                return Err(Fault::Protocol); // section 5.2: minimal, and the top bit is 0
            }
            (length, 10)
        }
        short => (u64::from(short), 2),
    };
    let (mask, size) = match (sender, bytes[size..].first_chunk()) {
        (Sender::Client, Some(mask)) => (*mask, size + mask.len()),
        (Sender::Client, None) => return Ok(None),
        (Sender::Server, _) => ([0; 4], size),
    };
    let payload = Payload {
        content,
        remaining: length,
        mask,
    };
    Ok(Some((payload, size)))
}

/// The length, in bytes, of the header of a server frame whose payload has `len` bytes: 2, 4 or 10.
#[must_use]
pub const fn header_len(len: usize) -> usize {
    if len < LENGTH_16 as usize {
        2
    } else if len <= u16::MAX as usize {
        4
    } else {
        10
    }
}

/// The header of an unmasked, unfragmented message of `len` payload bytes (section 5.2), and how
/// many bytes of the array it takes, which is [`header_len`] of `len`.
#[must_use]
pub fn encode_header(kind: Kind, len: usize) -> ([u8; SERVER_HEADER_MAX], usize) {
    let opcode = match kind {
        Kind::Text => OP_TEXT,
        Kind::Binary => OP_BINARY,
    };
    let mut header = [0; SERVER_HEADER_MAX];
    header[0] = FIN | opcode;
    let used = header_len(len);
    match used {
        2 => header[1] = len as u8,
        4 => {
            header[1] = LENGTH_16;
            header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            header[1] = LENGTH_64;
            header[2..].copy_from_slice(&(len as u64).to_be_bytes());
        }
    }
    (header, used)
}
