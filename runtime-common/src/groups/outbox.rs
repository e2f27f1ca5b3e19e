//! What is for one connection alone: control frames, and what leaves before anything of its group's
//! log.
//!
//! A *unit* is what is queued whole or not at all: a frame, or the two of a pair. Control frames go
//! between units. WebSocket would let them in between the two frames of a pair; what belongs together
//! is kept together all the same, so that one notion of a boundary serves for everything.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use mles_sansio::Frame;

use crate::websocket::{self, ControlPayload};

/// Pings and pongs: whatever the other end does, one of each is due, and one of each on its way.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) ping: bool,
    pub(super) pong: Option<ControlPayload>,
    /// Encoded, on its way out.
    leaving: Vec<u8>,
    sent: usize,
}

/// Units and replays, in the order in which they leave.
#[derive(Debug, Default)]
pub(super) struct Own {
    items: VecDeque<Item>,
    /// The first item is a piece of a unit that has begun to leave.
    begun: bool,
    /// Bytes of units that have not begun: they count in the outbox. A replay does not.
    waiting: u64,
}

#[derive(Debug)]
enum Item {
    /// Encoded bytes, never none; `last` of its unit or not.
    Piece { bytes: Bytes, last: bool },
    /// Frames of a history, at least one; so many bytes of the frame at `index` have left.
    Replay {
        frames: Arc<[Frame]>,
        index: usize,
        offset: usize,
    },
}

impl Control {
    /// What is on its way, still to be taken.
    pub(super) fn leaving(&self) -> &[u8] {
        &self.leaving[self.sent..]
    }

    pub(super) fn is_due(&self) -> bool {
        self.ping || self.pong.is_some()
    }

    /// Encodes what is due, if nothing is on its way.
    pub(super) fn start(&mut self) {
        if !self.leaving.is_empty() {
            return;
        }
        if let Some(payload) = self.pong.take() {
            websocket::put_pong(&mut self.leaving, &payload);
        }
        if std::mem::take(&mut self.ping) {
            websocket::put_ping(&mut self.leaving);
        }
    }

    pub(super) fn advance(&mut self, taken: usize) {
        self.sent += taken;
        if self.sent >= self.leaving.len() {
            self.leaving = Vec::new();
            self.sent = 0;
        }
    }

    /// Nothing more is started.
    pub(super) fn drop_due(&mut self) {
        self.ping = false;
        self.pong = None;
    }
}

impl Own {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes that count in the outbox.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Bytes of memory that it keeps from being free, those of replays not counted: they are the
    /// history's.
    pub(super) fn held(&self) -> u64 {
        let length = |item: &Item| match item {
            Item::Piece { bytes, .. } => bytes.len() as u64,
            Item::Replay { .. } => 0,
        };
        self.items.iter().map(length).sum()
    }

    /// Units that count in the outbox, up to two.
    pub(super) fn units_up_to_two(&self) -> usize {
        let last = |item: &&Item| matches!(item, Item::Piece { last: true, .. });
        let begun = usize::from(self.begun);
        self.items.iter().filter(last).take(2 + begun).count() - begun
    }

    /// Whether the first item is half out.
    pub(super) fn has_begun(&self) -> bool {
        match self.items.front() {
            Some(Item::Replay { offset, .. }) => *offset > 0,
            Some(Item::Piece { .. }) | None => self.begun,
        }
    }

    /// Queues a unit that has not begun.
    pub(super) fn push(&mut self, pieces: impl IntoIterator<Item = Bytes>) {
        self.waiting += self.append(pieces);
    }

    /// Queues what is left of a unit that has begun: before everything else.
    pub(super) fn push_rest(&mut self, pieces: impl IntoIterator<Item = Bytes>) {
        debug_assert!(self.is_empty(), "only the first unit can have begun");
        self.begun = self.append(pieces) > 0;
    }

    pub(super) fn push_replay(&mut self, frames: Arc<[Frame]>) {
        let (index, offset) = (0, 0);
        self.items.push_back(Item::Replay {
            frames,
            index,
            offset,
        });
    }

    fn append(&mut self, pieces: impl IntoIterator<Item = Bytes>) -> u64 {
        let mut length = 0;
        for bytes in pieces.into_iter().filter(|bytes| !bytes.is_empty()) {
            length += bytes.len() as u64;
            let last = false;
            self.items.push_back(Item::Piece { bytes, last });
        }
        if length > 0
            && let Some(Item::Piece { last, .. }) = self.items.back_mut()
        {
            *last = true;
        }
        length
    }

    /// Bytes to write; none if there are none. With `one` they end where the first frame ends.
    pub(super) fn next<'a>(&'a self, one: bool, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        match self.items.front() {
            Some(Item::Piece { bytes, .. }) => bytes,
            Some(Item::Replay {
                frames,
                index,
                offset,
            }) => replayed(frames, *index, *offset, one, scratch),
            None => &[],
        }
    }

    /// The first `taken` bytes of what `next` gave are gone. Says whether a replay is over.
    pub(super) fn advance(&mut self, taken: usize) -> bool {
        if !self.begun {
            self.begin();
        }
        match self.items.front_mut() {
            Some(Item::Piece { bytes, last }) => {
                let _ = bytes.split_to(taken);
                if bytes.is_empty() {
                    self.begun = !*last;
                    self.items.pop_front();
                }
                false
            }
            Some(Item::Replay {
                frames,
                index,
                offset,
            }) => {
                skip(frames, index, offset, taken);
                let over = *index == frames.len();
                if over {
                    self.items.pop_front();
                }
                over
            }
            None => false,
        }
    }

    /// A unit that is first begins to leave: it waits no more.
    fn begin(&mut self) {
        for item in &self.items {
            let Item::Piece { bytes, last } = item else {
                return;
            };
            self.begun = true;
            self.waiting -= bytes.len() as u64;
            if *last {
                return;
            }
        }
    }

    /// Drops everything, but for what is left of the frame or pair that has begun.
    pub(super) fn drop_waiting(&mut self) {
        let kept = match self.items.front() {
            Some(Item::Piece { .. }) if self.begun => {
                let last = |item: &Item| matches!(item, Item::Piece { last: true, .. });
                self.items.iter().position(last).map_or(0, |last| last + 1)
            }
            Some(Item::Replay {
                frames,
                index,
                offset,
            }) if *offset > 0 => {
                let rest = rest(&frames[*index], *offset);
                self.items.clear();
                self.push_rest(rest);
                self.items.len()
            }
            Some(_) | None => 0,
        };
        self.items.truncate(kept);
        self.waiting = 0;
    }
}

/// What is left of a frame of which `offset` encoded bytes are gone.
fn rest(frame: &Frame, offset: usize) -> [Bytes; 2] {
    let (head, used) = websocket::encode_header(frame.kind, frame.payload.len());
    [
        Bytes::copy_from_slice(&head[offset.min(used)..used]),
        frame.payload.slice(offset.saturating_sub(used)..),
    ]
}

/// Frames of a replay from a place in it, encoded into `scratch` up to a record's worth, or one
/// large payload as it is; with `one`, no further than the first frame.
fn replayed<'a>(
    frames: &'a [Frame],
    mut index: usize,
    mut offset: usize,
    one: bool,
    scratch: &'a mut Vec<u8>,
) -> &'a [u8] {
    scratch.clear();
    while let Some(frame) = frames.get(index) {
        let (head, used) = websocket::encode_header(frame.kind, frame.payload.len());
        scratch.extend_from_slice(&head[offset.min(used)..used]);
        let payload = &frame.payload[offset.saturating_sub(used)..];
        if scratch.is_empty() && payload.len() > RECORD {
            return payload;
        }
        let room = RECORD.saturating_sub(scratch.len());
        scratch.extend_from_slice(&payload[..payload.len().min(room)]);
        if payload.len() >= room || one {
            break;
        }
        (index, offset) = (index + 1, 0);
    }
    scratch
}

/// Moves a place in a replay on by encoded bytes.
fn skip(frames: &[Frame], index: &mut usize, offset: &mut usize, taken: usize) {
    *offset += taken;
    while let Some(frame) = frames.get(*index) {
        let payload = frame.payload.len();
        let whole = websocket::header_len(payload) + payload;
        if *offset < whole {
            return;
        }
        *offset -= whole;
        *index += 1;
    }
}

/// The largest TLS record: what one write of a replay should fill.
const RECORD: usize = 16 * 1024;
