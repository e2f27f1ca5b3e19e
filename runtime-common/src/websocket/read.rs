//! From the bytes of a client to messages and control frames.

use bytes::Bytes;
use mles_sansio::{Fault, Frame, Kind};

use super::ControlPayload;
use super::header::{CLIENT_HEADER_MAX, Content, Payload, Sender, parse_header};

/// First allocation, in bytes, for a message that did not arrive at once.
pub(super) const FIRST_CAPACITY: usize = 64;

/// What [`Reader::read`] found: a complete message, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A complete message, its fragments put together, unmasked; text is UTF-8 (M1).
    Message(Frame),
    /// A ping; it is answered with a pong of the same payload (section 5.5.2, [`put_pong`](super::put_pong)).
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

/// Reads the frames of one connection's other end, whatever the pieces in which they arrive.
///
/// Besides the caller's input it holds at most a partial frame header, a control payload, and the
/// message that is being put together. Memory follows the bytes received, at most twice as many;
/// a declared length reserves nothing (M4.3), and after a message nothing is retained.
#[derive(Debug)]
pub struct Reader {
    sender: Sender,
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
    /// A reader for what a client sends on a new connection. `max_message` is the largest message accepted,
    /// in payload bytes summed over its fragments; 0 accepts only empty messages, `usize::MAX` is no bound.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self::of(Sender::Client, max_message)
    }

    /// The same for what a server sends, where this end has dialed: its frames are not masked.
    #[must_use]
    pub fn of_server(max_message: usize) -> Self {
        Self::of(Sender::Server, max_message)
    }

    fn of(sender: Sender, max_message: usize) -> Self {
        Self {
            sender,
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
    #[cfg(test)]
    pub(super) fn is_between_messages(&self) -> bool {
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
        let Some((payload, size)) = parse_header(&bytes[..known], self.open, self.sender)? else {
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

/// A complete message, if its text is UTF-8.
fn message(kind: Kind, payload: Bytes) -> Result<Incoming, Fault> {
    if kind == Kind::Text && std::str::from_utf8(&payload).is_err() {
        return Err(Fault::NotUtf8); // section 8.1
    }
    Ok(Incoming::Message(Frame { kind, payload }))
}

/// The code in the payload of a close frame (sections 5.5.1 and 7.4).
pub(super) fn parse_close(payload: &[u8]) -> Result<Option<u16>, Fault> {
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
pub(super) fn unmask(data: &mut [u8], mask: &mut [u8; 4]) {
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
