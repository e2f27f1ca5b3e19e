//! WebSocket framing, server side (RFC 6455 sections 5, 7.4 and 8.1; spec: T2, M1, M2, M4, X1).
//!
//! Everything the product knows of WebSocket after the upgrade is in this file: [`Reader`] turns
//! the bytes of a client into messages and control frames, the `put_*` functions write the frames
//! of a server. There is no extension, so a reserved bit is always a violation, and a frame of the
//! server is the same bytes for every recipient: it is encoded once.
//!
//! The header syntax is written out here: an off-the-shelf parser accepts lengths that are not
//! minimal and reports an error only once the whole header is there.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use mles_sansio::{Fault, Frame, Kind};

/// The subprotocol that a client must offer and the server selects (T2.1, T2.3).
pub const SUBPROTOCOL: &str = "mles-websocket";

/// Most payload bytes of a control frame (RFC 6455 section 5.5).
pub const CONTROL_MAX: usize = 125;

/// Most bytes in the reason of a close frame: a control payload less the code (X1.1).
pub const REASON_MAX: usize = CONTROL_MAX - 2;

/// The longest header of a client frame: two bytes, a 64-bit length, the mask.
const CLIENT_HEADER_MAX: usize = 14;

/// The longest header of a server frame: two bytes and a 64-bit length.
pub const SERVER_HEADER_MAX: usize = 10;

/// First allocation, in bytes, for a message that did not arrive at once.
const FIRST_CAPACITY: usize = 64;

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

const OP_CONTINUATION: u8 = 0x0;
const OP_TEXT: u8 = 0x1;
const OP_BINARY: u8 = 0x2;
const OP_CLOSE: u8 = 0x8;
const OP_PING: u8 = 0x9;
const OP_PONG: u8 = 0xA;

/// What [`Reader::read`] found: a complete message, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A complete message, its fragments put together, unmasked; text is UTF-8 (M1).
    Message(Frame),
    /// A ping; it is answered with a pong of the same payload (section 5.5.2, [`put_pong`]).
    Ping(ControlPayload),
    /// A pong. Its payload is of no use: the pings of this server are empty.
    Pong,
    /// A close frame, the last item of a connection.
    Close {
        /// The code the client gave, one that may be on the wire (section 7.4); `None` when the
        /// frame was empty. The reason was checked to be UTF-8 and is dropped.
        code: Option<u16>,
    },
}

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

/// Reads the frames of one client, whatever the pieces in which they arrive.
///
/// Besides the caller's input it holds at most a partial frame header, a control payload, and the
/// message that is being put together. Memory follows the bytes received, at most twice as many;
/// a declared length reserves nothing (M4.3), and after a message nothing is retained.
#[derive(Debug)]
pub struct Reader {
    max_message: usize,
    phase: Phase,
    /// The kind of the fragmented message whose final frame has not ended yet.
    open: Option<Kind>,
    /// What has arrived of the message in progress, unmasked.
    message: Vec<u8>,
    /// What has arrived of the ping or close frame in progress, unmasked.
    control: ControlPayload,
}

/// What the reader waits for.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The rest of a frame header, of which the first `len` bytes are here.
    Header {
        bytes: [u8; CLIENT_HEADER_MAX],
        len: usize,
    },
    /// The rest of the payload of this frame.
    Payload(Payload),
    /// Nothing: the client has closed. What follows is discarded (section 1.4).
    Closed,
    /// Nothing: the client has broken the rules.
    Failed(Fault),
}

const NEXT_FRAME: Phase = Phase::Header {
    bytes: [0; CLIENT_HEADER_MAX],
    len: 0,
};

/// A frame whose header is complete.
#[derive(Clone, Copy, Debug)]
struct Payload {
    content: Content,
    /// Payload bytes that have not arrived.
    remaining: u64,
    /// The masking key, turned so that its first byte belongs to the next payload byte.
    mask: [u8; 4],
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Data { kind: Kind, last: bool },
    Ping,
    Pong,
    Close,
}

/// How far one step of the reader got.
enum Step {
    /// It needs more input.
    Starved,
    /// It goes on with what is left of the input.
    Further,
    /// It completed an item.
    Complete(Incoming),
}

impl Reader {
    /// A reader for a new connection. `max_message` is the largest message accepted, in payload
    /// bytes summed over its fragments; 0 accepts only empty messages, `usize::MAX` is no bound.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self {
            max_message,
            phase: NEXT_FRAME,
            open: None,
            message: Vec::new(),
            control: ControlPayload::EMPTY,
        }
    }

    /// Changes the bound given to [`Reader::new`], from the next frame header on.
    pub fn set_max_message(&mut self, max_message: usize) {
        self.max_message = max_message;
    }

    /// Whether the connection stands between two messages: no frame is partly read, and no
    /// fragmented message is open. False for good after a fault or a close frame.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        matches!(self.phase, Phase::Header { len: 0, .. }) && self.open.is_none()
    }

    /// Bytes of heap held: at most twice what has arrived of the message in progress, plus a
    /// small constant.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.message.capacity()
    }

    /// Takes bytes from the front of `input`, up to and including the first complete item, and
    /// says how many they were. Payloads are unmasked in place. Without an item, all of `input`
    /// was taken. To be called in a loop until the input is used up.
    ///
    /// # Errors
    ///
    /// The fault of the client, as soon as the bytes that prove it are there:
    /// [`Fault::Protocol`] for a violation of sections 5 or 7.4, [`Fault::NotUtf8`] for a text
    /// message or a close reason (section 8.1), [`Fault::TooBig`] when the declared lengths of a
    /// message exceed the bound. The reader is then finished: it takes everything and repeats the
    /// fault. After a close frame it takes everything and returns nothing.
    pub fn read(&mut self, input: &mut [u8]) -> (usize, Option<Result<Incoming, Fault>>) {
        let mut used = 0;
        loop {
            let rest = &mut input[used..];
            let step = match self.phase {
                Phase::Header { bytes, len } => self.read_header(bytes, len, rest),
                Phase::Payload(payload) => self.read_payload(payload, rest),
                Phase::Closed => return (input.len(), None),
                Phase::Failed(fault) => Err(fault),
            };
            match step {
                Ok((taken, Step::Further)) => used += taken,
                Ok((taken, Step::Starved)) => return (used + taken, None),
                Ok((taken, Step::Complete(item))) => return (used + taken, Some(Ok(item))),
                Err(fault) => {
                    self.phase = Phase::Failed(fault);
                    self.open = None;
                    self.message = Vec::new();
                    return (input.len(), Some(Err(fault)));
                }
            }
        }
    }

    /// Goes on with a header of which `len` bytes are in `bytes`.
    fn read_header(
        &mut self,
        mut bytes: [u8; CLIENT_HEADER_MAX],
        len: usize,
        input: &[u8],
    ) -> Result<(usize, Step), Fault> {
        let taken = input.len().min(CLIENT_HEADER_MAX - len);
        bytes[len..len + taken].copy_from_slice(&input[..taken]);
        let known = len + taken;
        let Some((payload, size)) = parse_header(&bytes[..known], self.open)? else {
            self.phase = Phase::Header { bytes, len: known };
            return Ok((taken, Step::Starved));
        };
        if let Content::Data { kind, last } = payload.content {
            // M4.2: checked against what is declared, before any of it is here.
            let room = self.max_message.saturating_sub(self.message.len());
            if payload.remaining > room as u64 {
                return Err(Fault::TooBig);
            }
            if !last {
                self.open = Some(kind);
            }
        }
        self.phase = Phase::Payload(payload);
        Ok((size - len, Step::Further))
    }

    /// Goes on with the payload of a frame.
    fn read_payload(
        &mut self,
        mut payload: Payload,
        input: &mut [u8],
    ) -> Result<(usize, Step), Fault> {
        let taken = usize::try_from(payload.remaining).map_or(input.len(), |n| n.min(input.len()));
        let data = &mut input[..taken];
        unmask(data, &mut payload.mask);
        payload.remaining -= taken as u64;
        let complete = payload.remaining == 0;
        match payload.content {
            // The whole message at once: one copy, straight from the input.
            Content::Data { kind, last: true } if complete && self.message.is_empty() => {
                self.finish_frame();
                self.open = None;
                let message = message(kind, Bytes::copy_from_slice(data))?;
                return Ok((taken, Step::Complete(message)));
            }
            Content::Data { last, .. } => self.append(data, last.then_some(payload.remaining)),
            Content::Ping | Content::Close => self.control.push(data),
            Content::Pong => {}
        }
        if !complete {
            self.phase = Phase::Payload(payload);
            return Ok((taken, Step::Starved));
        }
        let control = self.finish_frame();
        let step = match payload.content {
            Content::Data { last: false, .. } => Step::Further,
            Content::Data { kind, last: true } => {
                self.open = None;
                Step::Complete(message(kind, self.take_message())?)
            }
            Content::Ping => Step::Complete(Incoming::Ping(control)),
            Content::Pong => Step::Complete(Incoming::Pong),
            Content::Close => {
                let code = parse_close(&control)?;
                self.phase = Phase::Closed;
                self.open = None;
                self.message = Vec::new();
                Step::Complete(Incoming::Close { code })
            }
        };
        Ok((taken, step))
    }

    /// Turns to the next frame and gives back the control payload of the one that ended.
    fn finish_frame(&mut self) -> ControlPayload {
        self.phase = NEXT_FRAME;
        std::mem::replace(&mut self.control, ControlPayload::EMPTY)
    }

    /// Adds `data` to the message. `to_come` is what is still missing of its final frame, if this
    /// is that: the capacity then never passes the final length, and rarely needs cutting.
    fn append(&mut self, data: &[u8], to_come: Option<u64>) {
        let len = self.message.len() + data.len();
        if len > self.message.capacity() {
            let doubled = (self.message.capacity() * 2).max(FIRST_CAPACITY).max(len);
            let end = to_come.and_then(|n| usize::try_from(n).ok()?.checked_add(len));
            let capacity = end.map_or(doubled, |end| doubled.min(end));
            self.message.reserve_exact(capacity - self.message.len());
        }
        self.message.extend_from_slice(data);
    }

    /// The finished message, in hardly more memory than it needs; the reader keeps none.
    fn take_message(&mut self) -> Bytes {
        let mut message = std::mem::take(&mut self.message);
        if message.capacity() > message.len() + message.len() / 8 {
            message.shrink_to_fit();
        }
        Bytes::from(message)
    }
}

/// Reads a frame header from the front of `bytes`: the frame and the length of its header, or
/// `None` when more bytes are needed. `open` is the kind of the fragmented message in progress.
///
/// Each field is judged as soon as it is there (section 5.2), whatever follows it.
fn parse_header(bytes: &[u8], open: Option<Kind>) -> Result<Option<(Payload, usize)>, Fault> {
    let [first, second, ref rest @ ..] = *bytes else {
        return Ok(None);
    };
    let last = first & FIN != 0;
    if first & RESERVED_BITS != 0 || second & MASKED == 0 {
        return Err(Fault::Protocol); // section 5.1: a client masks every frame
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
    let Some(&mask) = bytes[size..].first_chunk() else {
        return Ok(None);
    };
    let payload = Payload {
        content,
        remaining: length,
        mask,
    };
    Ok(Some((payload, size + mask.len())))
}

/// A complete message, if its text is UTF-8.
fn message(kind: Kind, payload: Bytes) -> Result<Incoming, Fault> {
    if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
        return Err(Fault::NotUtf8); // section 8.1
    }
    Ok(Incoming::Message(Frame { kind, payload }))
}

/// The code in the payload of a close frame (sections 5.5.1 and 7.4).
fn parse_close(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((&code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Fault::Protocol)
        };
    };
    let code = u16::from_be_bytes(code);
    // What the registry and section 7.4.2 allow on the wire: 1005, 1006 and 1015 are for APIs.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Fault::Protocol);
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Fault::NotUtf8);
    }
    Ok(Some(code))
}

/// Applies the masking key (section 5.3), eight bytes at a time, and turns it for what follows.
fn unmask(data: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, tail) = data.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
    mask.rotate_left(data.len() % 4);
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

/// Appends `frame` to `out` as one unmasked, unfragmented frame.
pub fn put_frame(out: &mut Vec<u8>, frame: &Frame) {
    let (header, used) = encode_header(frame.kind, frame.payload.len());
    out.reserve(used + frame.payload.len());
    out.extend_from_slice(&header[..used]);
    out.extend_from_slice(&frame.payload);
}

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
fn clip(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

/// Appends a control frame. The payload has at most [`CONTROL_MAX`] bytes.
fn put_control(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.extend_from_slice(&[FIN | opcode, payload.len() as u8]);
    out.extend_from_slice(payload);
}

/// The value of `Sec-WebSocket-Accept` for the client's `Sec-WebSocket-Key` (section 4.2.2),
/// which the caller has checked.
#[must_use]
pub fn accept_key(client_key: &[u8]) -> String {
    tungstenite::handshake::derive_accept_key(client_key)
}

/// Fuzz body. The first byte chooses the bound on messages, the second the pieces in which the
/// rest is read: whatever they are, the items are those of reading it whole, and memory stays
/// within twice the bytes received.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let [bound, pieces, ref stream @ ..] = *data else {
        return;
    };
    let max_message = [0, 5, 125, 126, 1000, 65_536, 1 << 20, usize::MAX][usize::from(bound & 7)];
    let read_in = |pieces: &mut dyn FnMut() -> usize| {
        let mut reader = Reader::new(max_message);
        let (mut items, mut start) = (Vec::new(), 0);
        while start < stream.len() {
            let end = stream.len().min(start + pieces());
            let mut piece = stream[start..end].to_vec();
            let mut rest = &mut piece[..];
            while !rest.is_empty() {
                let (used, item) = reader.read(rest);
                assert!(used > 0, "every call makes progress");
                assert!(
                    item.is_some() || used == rest.len(),
                    "starved means all is taken"
                );
                rest = &mut rest[used..];
                let failed = matches!(item, Some(Err(_)));
                items.extend(item);
                if failed {
                    assert_eq!(reader.buffered(), 0, "a fault frees the message");
                    return items;
                }
            }
            start = end;
            assert!(
                reader.buffered() <= 2 * end + FIRST_CAPACITY,
                "memory follows the bytes"
            );
        }
        items
    };
    let mut state = u32::from(pieces);
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 24) as usize % (1 + usize::from(pieces))
    };
    let whole = read_in(&mut || usize::MAX - stream.len());
    assert_eq!(whole, read_in(&mut random), "pieces make no difference");
    for item in &whole {
        if let Ok(Incoming::Message(frame)) = item {
            assert!(frame.payload.len() <= max_message, "the bound holds");
            let is_text = std::str::from_utf8(&frame.payload).is_ok();
            assert!(is_text || frame.kind == Kind::Binary, "text is UTF-8");
        }
    }
}

#[cfg(test)]
mod tests;
