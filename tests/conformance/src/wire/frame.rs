//! WebSocket frames (RFC 6455, section 5).

use std::fmt;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode(pub u8);

impl Opcode {
    /// A further fragment.
    pub const CONTINUATION: Self = Self(0);
    /// A text message, or its first fragment.
    pub const TEXT: Self = Self(1);
    /// A binary message, or its first fragment.
    pub const BINARY: Self = Self(2);
    /// The end of a session.
    pub const CLOSE: Self = Self(8);
    /// A sign of life is asked for.
    pub const PING: Self = Self(9);
    /// A sign of life.
    pub const PONG: Self = Self(10);

    /// Whether frames of this kind may stand between the fragments of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & 8 != 0
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("continuation"),
            1 => f.write_str("text"),
            2 => f.write_str("binary"),
            8 => f.write_str("close"),
            9 => f.write_str("ping"),
            10 => f.write_str("pong"),
            other => write!(f, "opcode {other}"),
        }
    }
}

/// One WebSocket frame, as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether it is the last fragment.
    pub fin: bool,
    /// The three reserved bits.
    pub reserved: u8,
    /// What it is for.
    pub opcode: Opcode,
    /// Whether its payload is masked on the wire.
    pub masked: bool,
    /// What it carries, unmasked.
    pub payload: Vec<u8>,
}

/// The code and the reason of a close frame; without a payload it has neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Why the session ends.
    pub code: Option<u16>,
    /// The same for a person.
    pub reason: String,
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "close {code} {:?}", self.reason),
            None => f.write_str("close without a code"),
        }
    }
}

/// How the length of a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As short as it goes, as RFC 6455 demands.
    Shortest,
    /// In two bytes.
    Two,
    /// In eight bytes.
    Eight,
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The head of a frame: its first byte, and a length that need not be that of what follows.
#[must_use]
pub fn head(first: u8, length: u64, form: Length, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut head = vec![first];
    let form = match (form, length) {
        (Length::Shortest, 0..=125) => None,
        (Length::Shortest, 126..=0xffff) => Some(Length::Two),
        (Length::Shortest, _) => Some(Length::Eight),
        (form, _) => Some(form),
    };
    match form {
        None => head.push(bit | length.to_be_bytes()[7]),
        Some(Length::Two) => {
            head.push(bit | 126);
            head.extend(&length.to_be_bytes()[6..]);
        }
        Some(_) => {
            head.push(bit | 127);
            head.extend(length.to_be_bytes());
        }
    }
    if masked {
        head.extend(MASK);
    }
    head
}

fn mask(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

impl Frame {
    /// A whole frame of a client.
    #[must_use]
    pub fn new(opcode: Opcode, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            reserved: 0,
            opcode,
            masked: true,
            payload: payload.into(),
        }
    }

    /// A text frame of a client.
    #[must_use]
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::TEXT, payload)
    }

    /// A binary frame of a client.
    #[must_use]
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::BINARY, payload)
    }

    /// A further fragment of a client.
    #[must_use]
    pub fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::CONTINUATION, payload)
    }

    /// A ping of a client.
    #[must_use]
    pub fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::PING, payload)
    }

    /// A pong of a client.
    #[must_use]
    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Opcode::PONG, payload)
    }

    /// A close frame of a client.
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(
            Opcode::CLOSE,
            [&code.to_be_bytes(), reason.as_bytes()].concat(),
        )
    }

    /// The same, not the last fragment.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The same with these reserved bits (4 is RSV1, 2 RSV2, 1 RSV3).
    #[must_use]
    pub fn reserved(mut self, bits: u8) -> Self {
        self.reserved = bits;
        self
    }

    /// The same as a server would send it, unmasked.
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.masked = false;
        self
    }

    /// The first byte on the wire.
    #[must_use]
    pub fn first_byte(&self) -> u8 {
        u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode.0
    }

    /// The bytes on the wire, the length in its shortest form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encode_as(Length::Shortest)
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode_as(&self, form: Length) -> Vec<u8> {
        let mut bytes = head(
            self.first_byte(),
            self.payload.len() as u64,
            form,
            self.masked,
        );
        let start = bytes.len();
        bytes.extend(&self.payload);
        if self.masked {
            mask(&mut bytes[start..], MASK);
        }
        bytes
    }

    /// What a close frame says.
    #[must_use]
    pub fn as_close(&self) -> Close {
        let (code, reason) = match self.payload.as_slice() {
            [high, low, reason @ ..] => (Some(u16::from_be_bytes([*high, *low])), reason),
            short => (None, short),
        };
        Close {
            code,
            reason: String::from_utf8_lossy(reason).into_owned(),
        }
    }
}

/// What comes out of a [`Decoder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole frame.
    Frame(Frame),
    /// A part of a frame that is too long to be held; the first begins with its head.
    Part {
        /// The first byte and the declared length, if this begins with the head.
        head: Option<(u8, u64)>,
        /// The bytes as they are on the wire.
        bytes: Vec<u8>,
    },
}

/// What no frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// Makes frames of bytes as they come in.
#[derive(Debug)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Where in `bytes` the next frame begins.
    start: usize,
    /// Longer payloads are given in parts.
    longest: u64,
    /// How much is still to come of one that is.
    rest: u64,
    /// Whether lengths have to be in their shortest form.
    strict: bool,
}

impl Decoder {
    /// A decoder that gives frames with payloads longer than this in parts.
    #[must_use]
    pub fn new(longest: u64) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            longest,
            rest: 0,
            strict: true,
        }
    }

    /// The same, and frames whose length is not in its shortest form come in parts too: for who only hands them on.
    #[must_use]
    pub fn lenient(longest: u64) -> Self {
        Self {
            strict: false,
            ..Self::new(longest)
        }
    }

    /// Takes bytes that have come in.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && (self.start == self.bytes.len() || self.start > 1 << 16) {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend(bytes);
    }

    /// Whether part of a frame has come in.
    #[must_use]
    pub fn is_within_frame(&self) -> bool {
        self.rest > 0 || self.start < self.bytes.len()
    }

    /// The next frame, if it has come in.
    ///
    /// # Errors
    /// A length is not in its shortest form.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, Fault> {
        let bytes = &self.bytes[self.start..];
        if self.rest > 0 {
            if bytes.is_empty() {
                return Ok(None);
            }
            let count = bytes
                .len()
                .min(usize::try_from(self.rest).unwrap_or(usize::MAX));
            self.rest -= count as u64;
            let bytes = bytes[..count].to_vec();
            self.start += count;
            return Ok(Some(Piece::Part { head: None, bytes }));
        }
        let [first, second, more @ ..] = bytes else {
            return Ok(None);
        };
        let (width, length) = match second & 0x7f {
            126 => match more {
                [a, b, ..] => (2, u64::from(u16::from_be_bytes([*a, *b]))),
                _ => return Ok(None),
            },
            127 => match more {
                [a, b, c, d, e, f, g, h, ..] => {
                    (8, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
                }
                _ => return Ok(None),
            },
            short => (0, u64::from(short)),
        };
        let masked = second & 0x80 != 0;
        let head = 2 + width + if masked { 4 } else { 0 };
        if bytes.len() < head {
            return Ok(None);
        }
        let shortest = match length {
            0..=125 => 0,
            126..=0xffff => 2,
            _ => 8,
        };
        if length > self.longest || (width != shortest && !self.strict) {
            let count = length.saturating_add(head as u64);
            self.rest = count;
            let given = bytes
                .len()
                .min(usize::try_from(count).unwrap_or(usize::MAX));
            self.rest -= given as u64;
            let piece = Piece::Part {
                head: Some((*first, length)),
                bytes: bytes[..given].to_vec(),
            };
            self.start += given;
            return Ok(Some(piece));
        }
        if width != shortest {
            return Err(Fault("a length that is not in its shortest form"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(payload) = bytes.get(head..head + length) else {
            return Ok(None);
        };
        let mut payload = payload.to_vec();
        if masked {
            let key = [
                bytes[head - 4],
                bytes[head - 3],
                bytes[head - 2],
                bytes[head - 1],
            ];
            mask(&mut payload, key);
        }
        let frame = Frame {
            fin: first & 0x80 != 0,
            reserved: first >> 4 & 7,
            opcode: Opcode(first & 0xf),
            masked,
            payload,
        };
        self.start += head + length;
        Ok(Some(Piece::Frame(frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_come_out_as_they_stand_there() {
        let hello = Frame::text("Hello Bob!");
        let bytes = [
            0x81, 0x8a, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58, 0xda, 0x63, 0x52,
            0x55, 0xdb,
        ];
        assert_eq!(hello.encode(), bytes);
        assert_eq!(
            Frame::close(1001, "").encode(),
            [0x88, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x34, 0x13]
        );
        assert_eq!(
            Frame::close(1000, "").unmasked().encode(),
            [0x88, 0x02, 0x03, 0xe8]
        );
    }

    #[test]
    fn frames_come_out_of_the_decoder_however_their_bytes_come_in() {
        let frames = [
            Frame::text("a").unfinished(),
            Frame::continuation(vec![7; 200]).unmasked(),
            Frame::binary(vec![1; 70_000]).reserved(5),
            Frame::close(4002, "why"),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        for size in [1, 3, 1000, bytes.len()] {
            let mut decoder = Decoder::new(1 << 20);
            let mut out = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.push(chunk);
                while let Ok(Some(Piece::Frame(frame))) = decoder.next_piece() {
                    out.push(frame);
                }
            }
            assert_eq!(out, frames, "{size} bytes at a time");
            assert!(!decoder.is_within_frame());
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_handed_on_as_it_is() {
        let long = Frame::binary(vec![3; 5000]).encode();
        let mut bytes = long.clone();
        bytes.extend(Frame::text("behind").encode());
        let mut decoder = Decoder::new(1000);
        let (mut parts, mut frames) = (Vec::new(), Vec::new());
        for chunk in bytes.chunks(700) {
            decoder.push(chunk);
            while let Some(piece) = decoder.next_piece().unwrap_or(None) {
                match piece {
                    Piece::Frame(frame) => frames.push(frame),
                    Piece::Part { head, bytes } => {
                        assert_eq!(head, parts.is_empty().then_some((0x82, 5000)));
                        parts.extend(bytes);
                    }
                }
            }
        }
        assert_eq!(parts, long);
        assert_eq!(frames, [Frame::text("behind")]);
    }
}
