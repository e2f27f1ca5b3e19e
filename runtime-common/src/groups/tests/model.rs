//! What one connection should get.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use mles_sansio::{Frame, Frames, Kind};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

use crate::groups::State;
use crate::websocket::{self, ControlPayload};

/// What is queued whole or not at all.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) frames: Vec<Frame>,
    pub(super) bytes: Vec<u8>,
    /// Part of a replay; the last of it.
    pub(super) replay: Option<bool>,
}

impl Unit {
    pub(super) fn of(frames: &Frames) -> Self {
        Self::new(frames.iter().cloned().collect(), None)
    }

    pub(super) fn new(frames: Vec<Frame>, replay: Option<bool>) -> Self {
        let mut bytes = Vec::new();
        for frame in &frames {
            websocket::put_frame(&mut bytes, frame);
        }
        Self {
            frames,
            bytes,
            replay,
        }
    }
}

/// One connection as it should be.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) queue: VecDeque<Unit>,
    /// Bytes of the first unit that are gone.
    pub(super) sent: usize,
    pub(super) ping: bool,
    pub(super) pong: Option<ControlPayload>,
    /// Control frames on their way.
    pub(super) leaving: Vec<u8>,
    pub(super) group: Option<u64>,
    pub(super) state: Option<State>,
    /// Everything it got, and what that should mean.
    pub(super) got: Vec<u8>,
    pub(super) meant: Vec<Message>,
}

impl Model {
    pub(super) fn is_open(&self) -> bool {
        self.state == Some(State::Open)
    }

    pub(super) fn drop_waiting(&mut self) {
        self.group = None;
        self.queue.truncate(usize::from(self.sent > 0));
        if let Some(unit) = self.queue.front_mut() {
            unit.replay = None; // It ended with the drop.
        }
    }

    /// What counts in the outbox: bytes and units.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let waiting = self.queue.iter().skip(usize::from(self.sent > 0));
        let counted = waiting.filter(|unit| unit.replay.is_none());
        counted.fold((0, 0), |(bytes, units), unit| {
            (bytes + unit.bytes.len(), units + 1)
        })
    }

    /// Checks bytes that are to be written next.
    pub(super) fn check_next(&mut self, bytes: &[u8]) {
        if self.sent == 0 && self.leaving.is_empty() {
            if let Some(payload) = self.pong.take() {
                websocket::put_pong(&mut self.leaving, &payload);
                self.meant.push(Message::Pong(payload.to_vec().into()));
            }
            if std::mem::take(&mut self.ping) {
                websocket::put_ping(&mut self.leaving);
                self.meant.push(Message::Ping("".into()));
            }
        }
        if !self.leaving.is_empty() {
            return assert_eq!(bytes, self.leaving, "control frames between two units");
        }
        let all: usize = self.queue.iter().map(|unit| unit.bytes.len()).sum();
        assert_eq!(bytes.is_empty(), all == self.sent, "nothing is held back");
        let mut rest = bytes;
        let mut from = self.sent;
        for unit in &self.queue {
            let piece = &unit.bytes[from..];
            let common = rest.len().min(piece.len());
            assert_eq!(&rest[..common], &piece[..common]);
            rest = &rest[common..];
            if (self.ping || self.pong.is_some()) && from > 0 {
                break; // A control frame is due behind this one.
            }
            from = 0;
        }
        assert!(rest.is_empty(), "nothing that is not queued");
    }

    /// Takes bytes; says whether a replay ended.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        self.got.extend_from_slice(bytes);
        if !self.leaving.is_empty() {
            self.leaving.drain(..bytes.len());
            return false;
        }
        self.sent += bytes.len();
        let mut replayed = false;
        while let Some(unit) = self.queue.front()
            && self.sent >= unit.bytes.len()
        {
            self.sent -= unit.bytes.len();
            replayed |= unit.replay == Some(true);
            if let Some(unit) = self.queue.pop_front() {
                self.meant.extend(unit.frames.iter().map(message));
                if unit.frames.is_empty() {
                    self.meant.push(Message::Close(None));
                }
            }
        }
        replayed
    }
}

fn message(frame: &Frame) -> Message {
    match frame.kind {
        Kind::Text => Message::text(String::from_utf8_lossy(&frame.payload).into_owned()),
        Kind::Binary => Message::binary(frame.payload.clone()),
    }
}

/// Bytes that were received.
struct Received<'a>(&'a [u8]);

impl Read for Received<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Received<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What another implementation understands.
fn understood(bytes: &[u8]) -> Vec<Message> {
    let config = WebSocketConfig::default().read_buffer_size(1024);
    let mut socket = WebSocket::from_raw_socket(Received(bytes), Role::Client, Some(config));
    let mut messages = Vec::new();
    while let Ok(message) = socket.read() {
        let message = if message.is_close() {
            Message::Close(None) // Whatever it says.
        } else {
            message
        };
        messages.push(message);
    }
    messages
}

/// What left is whole frames and the beginning of one, nothing after a close frame.
pub(super) fn check_stream(model: &Model) {
    let mut meant = model.meant.clone();
    if !model.leaving.is_empty() {
        // Not all of it is out: at least nothing else is.
        meant.truncate(understood(&model.got).len());
    }
    let mut understood = understood(&model.got);
    if model.sent > 0 && understood.len() == meant.len() + 1 {
        understood.pop(); // The first of a pair, of which the second is on its way.
    }
    assert!(understood == meant, "{understood:?}\n{meant:?}");
    let close = meant.iter().position(Message::is_close);
    assert!(close.is_none_or(|at| at + 1 == meant.len()));
}
