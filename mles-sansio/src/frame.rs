//! The unit the protocol distributes: one complete WebSocket message (spec: M1).

use alloc::vec::Vec;

use bytes::Bytes;

/// Whether a frame travels as WebSocket text or binary. A frame keeps its kind for life (M1.1, J2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// UTF-8 text. The caller has checked the encoding (RFC 6455 section 8.1).
    Text,
    /// Arbitrary bytes.
    Binary,
}

/// One complete WebSocket message: fragments are reassembled before the core sees it.
///
/// The payload is reference counted: cloning a frame copies no bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Text or binary.
    pub kind: Kind,
    /// The payload, unmasked, byte for byte as it was sent.
    pub payload: Bytes,
}

impl Frame {
    /// A text frame. The caller vouches that `payload` is UTF-8.
    #[must_use]
    pub fn text(payload: impl Into<Bytes>) -> Self {
        Self {
            kind: Kind::Text,
            payload: payload.into(),
        }
    }

    /// A binary frame.
    #[must_use]
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self {
            kind: Kind::Binary,
            payload: payload.into(),
        }
    }
}

/// One frame, or two that are queued together or not at all: a header is never parted from the
/// payload that follows it on a link between servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Frames {
    /// A single frame.
    One(Frame),
    /// A header frame and the payload frame it announces.
    Pair(Frame, Frame),
}

impl Frames {
    /// The frames in the order in which they are sent.
    pub fn iter(&self) -> impl Iterator<Item = &Frame> {
        match self {
            Self::One(a) => [Some(a), None],
            Self::Pair(a, b) => [Some(a), Some(b)],
        }
        .into_iter()
        .flatten()
    }
}

impl From<Frame> for Frames {
    fn from(frame: Frame) -> Self {
        Self::One(frame)
    }
}

impl From<Vec<u8>> for Frame {
    /// A binary frame that takes the vector over without a copy.
    fn from(payload: Vec<u8>) -> Self {
        Self::binary(payload)
    }
}
