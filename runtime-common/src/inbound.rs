//! What comes in on one session: from plaintext to events for the node.
//!
//! Pure: the runtime asks [`Inbound::room`] how much it may read, and hands over what it has read. How the node is to be
//! told is its own business; what the node answers comes back as [`resume`](Inbound::resume), [`wait`](Inbound::wait)
//! and [`closing`](Inbound::closing).

use mles_sansio::{ConnId, Ending, Event, HEADER_MAX};

use crate::websocket::{ControlPayload, Incoming, Reader};

/// The reading side of a session.
#[derive(Debug)]
pub struct Inbound {
    conn: ConnId,
    reader: Reader,
    phase: Phase,
    /// Plaintext that was read before reading was held.
    rest: Vec<u8>,
    /// The other end's close frame, or a fault, was the last that was understood of it.
    finished: bool,
    /// Its close frame has arrived.
    close_read: bool,
    /// Something came behind what ended it.
    behind: bool,
    /// Bytes that are still taken from it, and thrown away, while it closes.
    patience: usize,
}

/// What is read from a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first message, out of a bounded number of bytes.
    First,
    /// Nothing, until the node resumes it or has it wait.
    Held,
    /// No more than may be kept for later: only its end counts (J1.10). An end that stands behind more than
    /// that is seen when what is before it has been read: after the wait, which the probe's time bounds.
    Waiting,
    /// Everything.
    Open,
    /// The node closes it: only the other end's close frame counts.
    Closing,
    /// Nothing more.
    Ended,
}

/// What one read has brought: however much of it there is, the node hears of it once, messages excepted.
#[derive(Debug, Default)]
pub struct Seen {
    /// A message has ended: another one may have begun.
    pub message: bool,
    /// It was the session's first: the node's answer says whether it may be resumed.
    pub first: bool,
    /// The latest ping, to be answered when the node has had what came before it (M2.4).
    pub ping: Option<ControlPayload>,
    anything: bool,
    pong: bool,
}

impl Inbound {
    /// Of a session that begins. `dialed` says that this end is the client; `rest` is what came behind the
    /// request, or behind the answer to ours.
    pub fn new(conn: ConnId, dialed: bool, rest: Vec<u8>) -> Self {
        Self {
            conn,
            reader: match dialed {
                true => Reader::of_server(HEADER_MAX),
                false => Reader::new(HEADER_MAX),
            },
            phase: BEGIN,
            rest,
            finished: false,
            close_read: false,
            behind: false,
            patience: PATIENCE,
        }
    }

    /// What is read now.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How many bytes of plaintext may be read now; at most `most`.
    pub fn room(&self, most: usize) -> usize {
        let room = match self.phase {
            Phase::First | Phase::Open if self.finished => 0, // The node's answer is on its way.
            Phase::First => FIRST_MAX.saturating_sub(self.reader.buffered()),
            Phase::Waiting => FIRST_MAX.saturating_sub(self.rest.len()),
            Phase::Open => most,
            // What comes from a client at fault is not understood any more, but taken for a while:
            // a socket closed over unread bytes may take the close frame back.
            Phase::Closing => self.patience,
            Phase::Held | Phase::Ended => 0,
        };
        room.min(most)
    }

    /// Reads on where it was held, before anything new is read. Says whether there was something.
    pub fn read_rest(&mut self, seen: &mut Seen, report: impl FnMut(Event)) -> bool {
        let reads = matches!(self.phase, Phase::First | Phase::Open | Phase::Closing);
        if !reads || self.rest.is_empty() {
            return false;
        }
        let mut rest = std::mem::take(&mut self.rest);
        self.parse(&mut rest, seen, report);
        true
    }

    /// Takes plaintext that was read, as much as there was [room](Inbound::room) for. When the session
    /// [is over](Inbound::is_over) the bytes may be anything: they are only counted.
    pub fn read(&mut self, bytes: &mut [u8], seen: &mut Seen, report: impl FnMut(Event)) {
        match self.phase {
            Phase::Waiting => self.rest.extend_from_slice(bytes),
            Phase::Closing => {
                self.patience = self.patience.saturating_sub(bytes.len());
                self.parse(bytes, seen, report);
            }
            Phase::First | Phase::Held | Phase::Open | Phase::Ended => {
                self.parse(bytes, seen, report);
            }
        }
    }

    /// The end of what was seen: whether the node is to hear that there was anything (K1.3).
    pub fn was_heard(&self, seen: &Seen) -> bool {
        matches!(self.phase, Phase::First | Phase::Open)
            && seen.anything
            && !(seen.message || seen.pong || self.finished)
    }

    /// Turns plaintext into events.
    fn parse(&mut self, bytes: &mut [u8], seen: &mut Seen, mut report: impl FnMut(Event)) {
        let conn = self.conn;
        let mut at = 0;
        while at < bytes.len() {
            match self.phase {
                Phase::Held => {
                    self.rest = bytes[at..].to_vec();
                    return;
                }
                Phase::Waiting | Phase::Ended => return,
                Phase::First | Phase::Open | Phase::Closing => {}
            }
            if self.finished {
                self.behind = true;
                return;
            }
            seen.anything = true;
            let (used, item) = self.reader.read(&mut bytes[at..]);
            at += used;
            let closing = self.phase == Phase::Closing;
            match item {
                Some(Ok(Incoming::Message(frame))) if !closing => {
                    if self.phase == Phase::First {
                        self.phase = Phase::Held;
                        seen.first = true;
                    }
                    seen.message = true;
                    report(Event::Frame { conn, frame });
                }
                Some(Ok(Incoming::Ping(payload))) => {
                    seen.ping = Some(payload);
                }
                // One tells as much as many.
                Some(Ok(Incoming::Pong)) if !closing && !seen.pong => {
                    seen.pong = true;
                    report(Event::Pong { conn });
                }
                Some(Ok(Incoming::Close { code })) => {
                    self.finished = true;
                    self.close_read = true;
                    if !closing {
                        let how = Ending::CloseFrame(code.unwrap_or(NO_CODE));
                        report(Event::Closed { conn, how });
                    }
                }
                Some(Err(fault)) => {
                    self.finished = true;
                    if !closing {
                        report(Event::Faulted { conn, fault });
                    }
                }
                Some(Ok(Incoming::Message(_) | Incoming::Pong)) | None => {}
            }
        }
    }

    /// The node has accepted the header, or waits for none. Says whether more may be read now.
    pub fn resume(&mut self, max_message: usize) -> bool {
        let held = matches!(self.phase, Phase::First | Phase::Held | Phase::Waiting);
        if held {
            self.phase = Phase::Open;
            self.reader.set_max_message(max_message);
        }
        held
    }

    /// The node has seen the header, and neither resumed nor closed the connection. Says whether more may be read now.
    pub fn wait(&mut self) -> bool {
        let held = self.phase == Phase::Held;
        if held {
            self.phase = Phase::Waiting;
        }
        held
    }

    /// The node ends the connection. Says whether that is news.
    pub fn closing(&mut self) -> bool {
        let open = self.phase != Phase::Ended;
        if open {
            self.phase = Phase::Closing;
        }
        open
    }

    /// The connection is dropped whatever it still owes.
    pub fn end(&mut self) {
        self.phase = Phase::Ended;
    }

    /// The transport is gone. Says whether the node is to hear of it: it knows if it closes the connection, or has
    /// heard already.
    pub fn lost(&mut self) -> bool {
        let before = std::mem::replace(&mut self.phase, Phase::Ended);
        !matches!(before, Phase::Closing | Phase::Ended)
    }

    /// Reads nothing more of what comes, and frees what was read of it.
    pub fn give_up(&mut self) {
        self.finished = true;
        self.reader = Reader::new(0);
    }

    /// Bytes that its unfinished message holds.
    pub fn buffered(&self) -> usize {
        self.reader.buffered()
    }

    /// With this end's close frame on its way: whether both have crossed; or that of a client at fault cannot be told
    /// from the rest any more, and it learns from the end of the stream that nothing is to follow.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Closing && self.finished
    }

    /// Whether the other end's close frame has come, and nothing behind it that would have to be taken until the other end
    /// has read the last words: if it stayed unread, it would take them back (X1.16).
    pub fn may_be_dropped(&self) -> bool {
        self.close_read && (!self.behind || self.patience == 0)
    }
}

/// What is read of a session that begins.
#[cfg(not(feature = "echo"))]
const BEGIN: Phase = Phase::First;
/// No header comes first: the node resumes it at once.
#[cfg(feature = "echo")]
const BEGIN: Phase = Phase::Held;

/// What RFC 6455 says of a close frame without a code.
const NO_CODE: u16 = 1005;

/// Bytes of a connection that may be buffered before its first message is accepted (H2.2).
const FIRST_MAX: usize = 8 * 1024;

/// Bytes taken from a connection that is being closed.
const PATIENCE: usize = 1 << 20;

#[cfg(test)]
mod tests;
