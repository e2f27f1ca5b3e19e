//! Outboxes and the execution of groups: what the core's `Send`, `Broadcast`, `Replay`, `Join`,
//! `Leave`, `Ping`, `Discard` and `Close` mean for the bytes of each connection.
//!
//! Pure: the runtime asks [`Groups::next`] for bytes, writes what its socket takes, says so with
//! [`Groups::advance`], and calls [`Groups::blocked`] when the socket takes no more. A broadcast is
//! encoded once into its group's log; a member is a cursor into it, so that history, live stream and
//! slow readers are one mechanism. Nothing here allocates, locks or wakes per message and member.
//!
//! For each connection, in this order: control frames (between two units), then what was queued for
//! it alone (its replay first), then the log of its group.
//!
//! **Bounds.** A member may be `outbox` bytes behind, or one frame of any size; the frame that is
//! leaving and its own messages do not count. With more it is *overrun*: it falls out of the log, and
//! only the rest of that frame is kept (spec: L2, L3). Control frames cost a fixed 512 bytes. A log
//! holds what its slowest member has not taken, so at most `outbox`, one frame, and what came since the
//! last delivery; and all of them together have a budget.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use mles_sansio::{Closing, ConnId, Frame, Frames, GroupId};

pub use self::budget::Excess;
pub use self::members::Fill;
use self::members::{Group, Membership};
use self::outbox::{Control, Own};
use crate::log::{Log, Spares};
use crate::websocket::{self, ControlPayload};

mod budget;
mod members;
mod outbox;

/// The outboxes of one I/O thread's connections and its slice of the group table.
#[derive(Debug)]
pub struct Groups {
    outbox: usize,
    /// What all outboxes may hold together, and what came in since that was looked at.
    budget: u64,
    appended: u64,
    recipients: Vec<Option<Recipient>>,
    /// Where in `table` a group is.
    places: HashMap<GroupId, usize>,
    table: Vec<Option<Group>>,
    free: Vec<usize>,
    spares: Spares,
    /// Frames of a replay, encoded for one write.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Recipient {
    conn: ConnId,
    control: Control,
    /// What is for this connection alone, before anything of the log. Its place in the log is between
    /// two units unless this is empty.
    own: Own,
    membership: Option<Membership>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing more is queued; the core has been told, or is being told.
    Overrun,
    /// As before, and the core wants to know when the rest is gone.
    Discarded,
    /// The close frame is queued last.
    Closing,
}

/// What an `advance` completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to report.
    None,
    /// The last byte of the connection's replay is taken.
    Replayed,
}

/// What there is to say once a connection's bytes are all written and flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing to report.
    UpToDate,
    /// What a `Discard` had left is gone: the socket takes more.
    Drained,
    /// The close frame is out.
    Closed,
}

impl Groups {
    /// An empty table; a member may be `outbox` bytes behind, and all outboxes together may hold
    /// `budget` bytes (see [`Groups::relieve`]).
    #[must_use]
    pub fn new(outbox: usize, budget: u64) -> Self {
        Self {
            outbox,
            budget,
            appended: 0,
            recipients: Vec::new(),
            places: HashMap::new(),
            table: Vec::new(),
            free: Vec::new(),
            spares: Spares::default(),
            scratch: Vec::new(),
        }
    }

    /// Makes room for a connection. Its slot ([`slot`]) is used again only after `remove`.
    pub fn open(&mut self, conn: ConnId) {
        let slot = slot(conn);
        if self.recipients.len() <= slot {
            self.recipients.resize_with(slot + 1, || None);
        }
        self.recipients[slot] = Some(Recipient {
            conn,
            control: Control::default(),
            own: Own::default(),
            membership: None,
            state: State::Open,
        });
    }

    /// Forgets a connection and everything queued for it.
    pub fn remove(&mut self, conn: ConnId) {
        self.detach(conn);
        if self.recipient(conn).is_some() {
            self.recipients[slot(conn)] = None;
        }
    }

    /// `Action::Send`. Says whether the connection's outbox was full: then nothing was queued, what
    /// waited is dropped, and the core is to hear of the overrun.
    pub fn send(&mut self, conn: ConnId, frames: &Frames) -> bool {
        self.own_the_log(conn);
        let outbox = self.outbox as u64;
        let Some(recipient) = self.recipient(conn) else {
            return false;
        };
        if recipient.state != State::Open {
            return false;
        }
        let mut encoded = Log::default();
        let length = encoded.append(frames, None, &mut Spares::default());
        if recipient.own.waiting() > 0 && recipient.own.waiting() + length > outbox {
            self.overrun(conn);
            return true;
        }
        encoded.freeze(0);
        recipient.own.push(encoded.copy(0, length));
        self.appended += length;
        false
    }

    /// `Action::Replay`. One without frames is over at once.
    #[must_use]
    pub fn replay(&mut self, conn: ConnId, frames: Arc<[Frame]>) -> Progress {
        self.own_the_log(conn);
        match self.recipient(conn) {
            Some(recipient) if recipient.state == State::Open => {
                if frames.is_empty() {
                    return Progress::Replayed;
                }
                recipient.own.push_replay(frames);
                Progress::None
            }
            Some(_) | None => Progress::None,
        }
    }

    /// `Action::Leave`: what is pending of the log stays the connection's own.
    pub fn leave(&mut self, conn: ConnId) {
        self.own_the_log(conn);
        self.detach(conn);
    }

    /// `Action::Ping`.
    pub fn ping(&mut self, conn: ConnId) {
        if let Some(recipient) = self.recipient(conn)
            && recipient.state != State::Closing
        {
            recipient.control.ping = true;
        }
    }

    /// Answers a ping. If the client sends them faster than it reads, the latest is answered
    /// (RFC 6455 section 5.5.3).
    pub fn pong(&mut self, conn: ConnId, payload: ControlPayload) {
        if let Some(recipient) = self.recipient(conn)
            && recipient.state != State::Closing
        {
            recipient.control.pong = Some(payload);
        }
    }

    /// `Action::Discard`.
    pub fn discard(&mut self, conn: ConnId) {
        self.drop_waiting(conn);
        if let Some(recipient) = self.recipient(conn)
            && recipient.state != State::Closing
        {
            recipient.state = State::Discarded;
        }
    }

    /// `Action::Close`: what is queued, then the close frame.
    pub fn close(&mut self, conn: ConnId, why: Closing) {
        self.leave(conn);
        let Some(recipient) = self.recipient(conn) else {
            return;
        };
        if recipient.state == State::Closing {
            return;
        }
        let mut bytes = Vec::new();
        websocket::put_close(&mut bytes, why.code(), why.reason());
        recipient.own.push([bytes.into()]);
        recipient.state = State::Closing;
        // Nothing follows the close frame.
        recipient.control.drop_due();
    }

    /// Bytes to write for a connection; empty if there are none.
    pub fn next(&mut self, conn: ConnId) -> &[u8] {
        let Some(Some(recipient)) = self.recipients.get_mut(slot(conn)) else {
            return &[];
        };
        if recipient.conn != conn {
            return &[];
        }
        let log = match &recipient.membership {
            Some(membership) => self.table[membership.place]
                .as_ref()
                .map(|group| &group.log),
            None => None,
        };
        let boundary = recipient.is_between_units(log);
        if boundary {
            recipient.control.start();
        }
        if !recipient.control.leaving().is_empty() {
            return recipient.control.leaving();
        }
        // Half a unit is out: a control frame that is due goes right behind it.
        let due = recipient.control.is_due();
        if !recipient.own.is_empty() {
            return recipient.own.next(due, &mut self.scratch);
        }
        let (Some(membership), Some(log)) = (&mut recipient.membership, log) else {
            return &[];
        };
        let mut until = log.end();
        if due || !boundary && membership.cursor < membership.kept_until {
            until = log.unit_end(membership.cursor);
        } else if membership.cursor < membership.kept_until {
            (membership.cursor, until) = log.stretch(membership.cursor, conn);
        }
        log.slice(membership.cursor, until)
    }

    /// The socket took the first `taken` bytes of what `next` gave.
    pub fn advance(&mut self, conn: ConnId, taken: usize) -> Progress {
        let Some(recipient) = self.recipient(conn) else {
            return Progress::None;
        };
        if !recipient.control.leaving().is_empty() {
            recipient.control.advance(taken);
        } else if !recipient.own.is_empty() {
            if recipient.own.advance(taken) {
                return Progress::Replayed;
            }
        } else if let Some(membership) = &mut recipient.membership {
            membership.cursor += taken as u64;
        }
        Progress::None
    }

    /// Everything `next` had is written and flushed.
    pub fn flushed(&mut self, conn: ConnId) -> Flushed {
        self.caught_up(conn);
        match self.recipient(conn).map(|recipient| &mut recipient.state) {
            Some(state @ State::Discarded) => {
                *state = State::Overrun;
                Flushed::Drained
            }
            Some(State::Closing) => Flushed::Closed,
            Some(State::Open | State::Overrun) | None => Flushed::UpToDate,
        }
    }

    /// The socket takes no more for now. Says whether the connection is too far behind: then what
    /// waits is dropped, and the core is to hear of the overrun.
    pub fn blocked(&mut self, conn: ConnId) -> bool {
        self.caught_up(conn); // The socket has not taken everything, but TLS may have.
        let outbox = self.outbox as u64;
        match self.waiting(conn) {
            Some((bytes, _)) if bytes > outbox => {}
            Some(_) | None => return false,
        }
        // Its own messages do not wait for it. So that they do not stay in the log either, it takes
        // what waits out of there.
        let recipient = self.recipient(conn);
        let membership = recipient.and_then(|recipient| recipient.membership.as_ref());
        if membership.is_some_and(|membership| membership.cursor < membership.kept_until) {
            self.own_the_log(conn);
        }
        match self.waiting(conn) {
            // One frame always fits into an empty outbox.
            Some((bytes, from)) if bytes > outbox && self.several_wait(conn, from) => {
                self.overrun(conn);
                true
            }
            Some(_) | None => false,
        }
    }

    /// What waits for an open member behind the frame that is leaving, its own messages counted, and
    /// where in the log that begins.
    fn waiting(&self, conn: ConnId) -> Option<(u64, u64)> {
        let recipient = self.recipients.get(slot(conn))?.as_ref()?;
        let membership = recipient.membership.as_ref()?;
        if recipient.conn != conn || recipient.state != State::Open {
            return None;
        }
        let log = &self.table[membership.place].as_ref()?.log;
        let from = log.unit_end(membership.cursor);
        Some((recipient.own.waiting() + (log.end() - from), from))
    }

    /// Whether more than one unit waits for a member, whose place in the log is `from`.
    fn several_wait(&self, conn: ConnId, from: u64) -> bool {
        let Some(Some(recipient)) = self.recipients.get(slot(conn)) else {
            return false;
        };
        let group = recipient.membership.as_ref();
        let group = group.and_then(|membership| self.table[membership.place].as_ref());
        let in_log = group.map_or(0, |group| group.log.units(from, conn).take(2).count());
        recipient.own.units_up_to_two() + in_log > 1
    }

    /// Too much waits for a connection.
    fn overrun(&mut self, conn: ConnId) {
        self.drop_waiting(conn);
        if let Some(recipient) = self.recipient(conn) {
            recipient.state = State::Overrun;
        }
    }

    /// Drops what waits for a connection, but for the rest of a unit that has begun to leave, and for
    /// control frames: they are not lost because others do not fit (L3.5).
    fn drop_waiting(&mut self, conn: ConnId) {
        let rest = self.rest_of_unit(conn);
        self.detach(conn);
        let Some(recipient) = self.recipient(conn) else {
            return;
        };
        if recipient.state == State::Closing {
            return;
        }
        recipient.own.drop_waiting();
        if !rest.is_empty() {
            recipient.own.push_rest(rest);
        }
    }

    /// The rest of the log's unit that a member is in the middle of.
    fn rest_of_unit(&mut self, conn: ConnId) -> Vec<Bytes> {
        let membership = self.recipient(conn).and_then(|r| r.membership.as_ref());
        let Some(&Membership { place, cursor, .. }) = membership else {
            return Vec::new();
        };
        let log = self.table[place].as_ref().map(|group| &group.log);
        log.map_or_else(Vec::new, |log| log.copy(cursor, log.unit_end(cursor)))
    }

    /// What a member has pending in the log becomes its own, so that something can follow it. No byte
    /// is copied.
    fn own_the_log(&mut self, conn: ConnId) {
        let recipient = self.recipients.get_mut(slot(conn)).and_then(Option::as_mut);
        let Some(recipient) = recipient.filter(|recipient| recipient.conn == conn) else {
            return;
        };
        let Some(membership) = &mut recipient.membership else {
            return;
        };
        let Some(Group { log, .. }) = &mut self.table[membership.place] else {
            return;
        };
        let from = std::mem::replace(&mut membership.cursor, log.end());
        if from < log.end() {
            log.freeze(from);
            let begun = log.unit_end(from);
            for unit in log.units(from, conn) {
                let pieces = log.copy(unit.start, unit.end);
                if unit.end == begun {
                    recipient.own.push_rest(pieces);
                } else {
                    recipient.own.push(pieces);
                }
            }
        }
        self.caught_up(conn);
    }

    fn recipient(&mut self, conn: ConnId) -> Option<&mut Recipient> {
        let recipient = self.recipients.get_mut(slot(conn))?.as_mut();
        recipient.filter(|recipient| recipient.conn == conn)
    }
}

impl Recipient {
    /// Whether nothing is half out, so that a control frame may go.
    fn is_between_units(&self, log: Option<&Log>) -> bool {
        if !self.own.is_empty() {
            return !self.own.has_begun();
        }
        match (&self.membership, log) {
            (Some(membership), Some(log)) => log.unit_end(membership.cursor) == membership.cursor,
            (Some(_) | None, _) => true,
        }
    }
}

/// The id of a connection: how many its thread had before it, the thread, and its place in the thread's
/// tables, which others have had before and will have after it.
#[must_use]
pub fn conn_id(generation: u32, thread: u8, slot: u32) -> ConnId {
    debug_assert!(slot <= SLOT_MASK, "a thread has fewer places than that");
    ConnId(u64::from(generation) << 32 | u64::from(thread) << SLOT_BITS | u64::from(slot))
}

/// A connection's place in the tables of its thread.
#[must_use]
pub fn slot(conn: ConnId) -> usize {
    (conn.0 & u64::from(SLOT_MASK)) as usize
}

/// The I/O thread that a connection is on.
#[must_use]
pub fn thread(conn: ConnId) -> usize {
    (conn.0 >> SLOT_BITS & 0xff) as usize
}

/// Bits of an id that hold the slot: more than the most sessions that can be configured.
const SLOT_BITS: u32 = 24;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;

#[cfg(test)]
mod tests;
