//! Outboxes and the execution of groups: what the core's `Send`, `Broadcast`, `Replay`, `Join`,
//! `Leave`, `Ping`, `Discard` and `Close` mean for the bytes of each connection.
//!
//! Pure: the runtime asks [`Groups::next`] for bytes, writes what its socket takes, says so with
//! [`Groups::advance`], and calls [`Groups::blocked`] when the socket takes no more. A broadcast is
//! encoded once into its group's log; a member is a cursor into it, so that history, live stream and
//! slow readers are one mechanism. Nothing here allocates, locks or wakes per message and member.
//!
//! For each connection, in this order: control frames (between two frames), then what was queued for
//! it alone (its replay first), then the log of its group.
//!
//! **Bounds.** A member may be `outbox` bytes behind, or one frame of any size, the frame that is
//! leaving not counted; with more it is *overrun*: it falls out of the log, and only the rest of that frame is kept (spec: L2, L3).
//! Control frames cost a fixed 256 bytes. A log holds what its slowest member has not taken, so at
//! most `outbox`, one frame, and what came since the last delivery.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use mles_sansio::{Closing, ConnId, Frame, Frames, GroupId};

use crate::log::{Log, Spares};
use crate::websocket::{self, ControlPayload};

/// The outboxes of one I/O thread's connections and its slice of the group table.
#[derive(Debug)]
pub struct Groups {
    outbox: usize,
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
struct Group {
    id: GroupId,
    log: Log,
    members: Vec<ConnId>,
    /// Where the log ended at the last delivery.
    delivered: u64,
    /// Members that the last delivery left behind.
    behind: usize,
}

#[derive(Debug)]
struct Recipient {
    conn: ConnId,
    control: Control,
    /// What is for this connection alone, before anything of the log.
    own: VecDeque<Own>,
    /// Bytes in `own` that count in the outbox.
    queued: usize,
    membership: Option<Membership>,
    state: State,
}

#[derive(Debug)]
struct Membership {
    /// The group's place in the table.
    place: usize,
    /// Its own place in the group's `members`.
    index: usize,
    cursor: u64,
    /// The end of the last unit that is kept from this member: before it, units have to be looked at.
    kept_until: u64,
    behind: bool,
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

#[derive(Debug)]
enum Own {
    /// Encoded bytes; `unit_end` after the last piece of a unit.
    Bytes {
        bytes: Bytes,
        begun: bool,
        unit_end: bool,
    },
    Replay {
        frames: Arc<[Frame]>,
        index: usize,
        offset: usize,
    },
}

#[derive(Debug, Default)]
struct Control {
    ping: bool,
    pong: Option<ControlPayload>,
    /// Encoded, on its way out.
    leaving: Vec<u8>,
    sent: usize,
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

/// How far a broadcast filled its group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fill {
    /// The group has something to deliver, and had nothing before.
    First,
    /// It had something before.
    Room,
    /// Deliver this group before anything else is broadcast on it.
    Deliver,
}

impl Groups {
    /// An empty table; a member may be `outbox` bytes behind.
    #[must_use]
    pub fn new(outbox: usize) -> Self {
        Self {
            outbox,
            recipients: Vec::new(),
            places: HashMap::new(),
            table: Vec::new(),
            free: Vec::new(),
            spares: Spares::default(),
            scratch: Vec::new(),
        }
    }

    /// Makes room for a connection. The lower 32 bits of its id are its slot; a slot is used again
    /// only after `close_connection`.
    pub fn open(&mut self, conn: ConnId) {
        let slot = slot(conn);
        if self.recipients.len() <= slot {
            self.recipients.resize_with(slot + 1, || None);
        }
        self.recipients[slot] = Some(Recipient {
            conn,
            control: Control::default(),
            own: VecDeque::new(),
            queued: 0,
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

    /// `Action::Send`. Says whether the connection's outbox was full: then nothing was queued, and
    /// the core is to hear of the overrun.
    pub fn send(&mut self, conn: ConnId, frames: &Frames) -> bool {
        self.own_the_log(conn);
        let outbox = self.outbox;
        let Some(recipient) = self.recipient(conn) else {
            return false;
        };
        if recipient.state != State::Open {
            return false;
        }
        let mut bytes = Vec::new();
        for frame in frames.iter() {
            let (head, used) = websocket::encode_header(frame.kind, frame.payload.len());
            bytes.extend_from_slice(&head[..used]);
            bytes.extend_from_slice(&frame.payload);
        }
        if recipient.queued > 0 && recipient.queued + bytes.len() > outbox {
            recipient.state = State::Overrun;
            return true;
        }
        recipient.push(bytes.into());
        false
    }

    /// `Action::Broadcast`.
    pub fn broadcast(&mut self, group: GroupId, except: Option<ConnId>, frames: &Frames) -> Fill {
        let Some(found) = self
            .places
            .get(&group)
            .and_then(|&place| self.table[place].as_mut())
        else {
            return Fill::Room;
        };
        let first = found.log.end() == found.delivered;
        let end = found.log.append(frames, except, &mut self.spares);
        let fill = if end - found.delivered > UNDELIVERED {
            Fill::Deliver
        } else if first {
            Fill::First
        } else {
            Fill::Room
        };
        if let Some(sender) = except.and_then(|conn| self.recipient(conn))
            && let Some(membership) = &mut sender.membership
        {
            membership.kept_until = end;
        }
        fill
    }

    /// `Action::Replay`.
    pub fn replay(&mut self, conn: ConnId, frames: Arc<[Frame]>) {
        if let Some(recipient) = self.recipient(conn)
            && recipient.state == State::Open
        {
            let (index, offset) = (0, 0);
            recipient.own.push_back(Own::Replay {
                frames,
                index,
                offset,
            });
        }
    }

    /// `Action::Join`.
    pub fn join(&mut self, conn: ConnId, id: GroupId) {
        if self.recipient(conn).is_none_or(|r| r.state != State::Open) {
            return;
        }
        let place = self.place(id);
        let Some(group) = self.table[place].as_mut() else {
            return;
        };
        let cursor = group.log.end();
        let membership = Membership {
            place,
            index: group.members.len(),
            cursor,
            kept_until: cursor,
            behind: false,
        };
        group.members.push(conn);
        if let Some(recipient) = self.recipient(conn) {
            debug_assert!(
                recipient.membership.is_none(),
                "a connection is in one group"
            );
            recipient.membership = Some(membership);
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
        self.drop_pending(conn);
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
        recipient.push(bytes.into());
        recipient.state = State::Closing;
        recipient.control.ping = false;
        recipient.control.pong = None;
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
        if recipient.control.is_leaving() {
            return &recipient.control.leaving[recipient.control.sent..];
        }
        match recipient.own.front() {
            Some(Own::Bytes { bytes, .. }) => return bytes,
            Some(Own::Replay {
                frames,
                index,
                offset,
            }) => {
                return replayed(frames, *index, *offset, &mut self.scratch);
            }
            None => {}
        }
        let (Some(membership), Some(log)) = (&mut recipient.membership, log) else {
            return &[];
        };
        let mut until = log.end();
        if membership.cursor < membership.kept_until {
            if boundary {
                let (start, end) = log.stretch(membership.cursor, conn);
                membership.cursor = start;
                until = end;
            } else {
                until = log.unit_end(membership.cursor);
            }
        }
        if recipient.control.is_due() {
            until = until.min(log.unit_end(membership.cursor));
        }
        log.slice(membership.cursor, until)
    }

    /// The socket took the first `taken` bytes of what `next` gave.
    pub fn advance(&mut self, conn: ConnId, taken: usize) -> Progress {
        let Some(recipient) = self.recipient(conn) else {
            return Progress::None;
        };
        if recipient.control.is_leaving() {
            recipient.control.advance(taken);
            return Progress::None;
        }
        match recipient.own.front_mut() {
            Some(Own::Bytes { bytes, begun, .. }) => {
                *begun = true;
                let _ = bytes.split_to(taken);
                recipient.queued = recipient.queued.saturating_sub(taken);
                if bytes.is_empty() {
                    recipient.own.pop_front();
                }
                Progress::None
            }
            Some(Own::Replay {
                frames,
                index,
                offset,
            }) => {
                skip(frames, index, offset, taken);
                if *index < frames.len() {
                    return Progress::None;
                }
                recipient.own.pop_front();
                Progress::Replayed
            }
            None => {
                if let Some(membership) = &mut recipient.membership {
                    membership.cursor += taken as u64;
                }
                Progress::None
            }
        }
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
        let outbox = self.outbox as u64;
        let Some(Some(recipient)) = self.recipients.get(slot(conn)) else {
            return false;
        };
        let (State::Open, Some(membership)) = (recipient.state, &recipient.membership) else {
            return false;
        };
        let Some(group) = &self.table[membership.place] else {
            return false;
        };
        // What waits behind the frame that is leaving; one frame always fits into an empty outbox.
        let log = &group.log;
        let first = log.unit_end(membership.cursor);
        let waiting = log.end() - first + recipient.queued as u64;
        let alone = recipient.queued == 0 && log.unit_end(first + 1) >= log.end();
        if waiting <= outbox || alone {
            return false;
        }
        self.drop_pending(conn);
        if let Some(recipient) = self.recipient(conn) {
            recipient.state = State::Overrun;
        }
        true
    }

    /// The members of a group whose log has grown, for one delivery; `delivered` ends it.
    #[must_use]
    pub fn members(&self, id: GroupId) -> &[ConnId] {
        let group = self
            .places
            .get(&id)
            .and_then(|&place| self.table[place].as_ref());
        group.map_or(&[], |group| &group.members)
    }

    /// Ends a delivery: what every member has taken is forgotten.
    pub fn delivered(&mut self, id: GroupId) {
        let Some(group) = self
            .places
            .get(&id)
            .and_then(|&place| self.table[place].as_mut())
        else {
            return;
        };
        let end = group.log.end();
        group.delivered = end;
        group.behind = 0;
        let mut floor = end;
        for &conn in &group.members {
            let recipient = self.recipients.get_mut(slot(conn)).and_then(Option::as_mut);
            if let Some(membership) = recipient.and_then(|r| r.membership.as_mut()) {
                membership.behind = membership.cursor < end;
                group.behind += usize::from(membership.behind);
                floor = floor.min(membership.cursor);
            }
        }
        group.log.trim(floor, &mut self.spares);
    }

    /// Bytes of memory that all logs hold.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.table
            .iter()
            .flatten()
            .map(|group| group.log.held())
            .sum()
    }

    /// A member that the last delivery left behind is at the end: the log may be free.
    fn caught_up(&mut self, conn: ConnId) {
        let Some(Some(recipient)) = self.recipients.get_mut(slot(conn)) else {
            return;
        };
        let Some(membership) = recipient.membership.as_mut().filter(|m| m.behind) else {
            return;
        };
        let Some(group) = &mut self.table[membership.place] else {
            return;
        };
        if membership.cursor >= group.delivered {
            membership.behind = false;
            group.behind -= 1;
            if group.behind == 0 {
                group.log.trim(group.delivered, &mut self.spares);
            }
        }
    }

    /// Drops what waits for a connection, but for the rest of a unit that has begun to leave.
    fn drop_pending(&mut self, conn: ConnId) {
        let rest = self.rest_of_unit(conn);
        self.detach(conn);
        let Some(recipient) = self.recipient(conn) else {
            return;
        };
        if recipient.state == State::Closing {
            return;
        }
        recipient.control.ping = false;
        recipient.control.pong = None;
        match recipient.own.front() {
            Some(Own::Bytes { begun: true, .. }) => {
                let last = recipient
                    .own
                    .iter()
                    .position(|own| matches!(own, Own::Bytes { unit_end: true, .. }));
                recipient.own.truncate(last.map_or(1, |last| last + 1));
            }
            Some(Own::Replay {
                frames,
                index,
                offset,
            }) if *offset > 0 => {
                let frame = frames[*index].clone();
                let (head, used) = websocket::encode_header(frame.kind, frame.payload.len());
                let in_payload = offset.saturating_sub(used);
                let mut pieces = vec![frame.payload.slice(in_payload..)];
                if *offset < used {
                    pieces.insert(0, Bytes::copy_from_slice(&head[*offset..used]));
                }
                recipient.own.clear();
                recipient.push_unit(pieces, true);
            }
            Some(_) => recipient.own.clear(),
            None => recipient.push_unit(rest, true),
        }
        recipient.queued = 0;
    }

    /// The rest of the log's unit that a member is in the middle of.
    fn rest_of_unit(&mut self, conn: ConnId) -> Vec<Bytes> {
        let Some(recipient) = self.recipient(conn) else {
            return Vec::new();
        };
        let Some(membership) = &recipient.membership else {
            return Vec::new();
        };
        let (place, cursor) = (membership.place, membership.cursor);
        let Some(group) = &self.table[place] else {
            return Vec::new();
        };
        group.log.copy(cursor, group.log.unit_end(cursor))
    }

    /// What a member has pending in the log becomes its own, so that something can follow it.
    fn own_the_log(&mut self, conn: ConnId) {
        loop {
            let Some(Some(recipient)) = self.recipients.get_mut(slot(conn)) else {
                return;
            };
            if recipient.conn != conn {
                return;
            }
            let Some(membership) = &mut recipient.membership else {
                return;
            };
            let Some(group) = &self.table[membership.place] else {
                return;
            };
            let inside = group.log.unit_end(membership.cursor);
            let (start, end, begun) = if inside > membership.cursor {
                (membership.cursor, inside, true)
            } else {
                let (start, end) = group.log.stretch(membership.cursor, conn);
                (start, end.min(next_unit(&group.log, start, end)), false)
            };
            membership.cursor = end.max(start);
            if start == end {
                break;
            }
            let pieces = group.log.copy(start, end);
            recipient.queued += usize::try_from(end - start).unwrap_or(usize::MAX);
            recipient.push_unit(pieces, begun);
        }
        self.caught_up(conn);
    }

    /// Ends a membership.
    fn detach(&mut self, conn: ConnId) {
        let Some(recipient) = self.recipient(conn) else {
            return;
        };
        let Some(membership) = recipient.membership.take() else {
            return;
        };
        let Some(group) = &mut self.table[membership.place] else {
            return;
        };
        group.behind -= usize::from(membership.behind);
        group.members.swap_remove(membership.index);
        if group.members.is_empty() {
            self.places.remove(&group.id);
            self.table[membership.place] = None;
            self.free.push(membership.place);
            return;
        }
        if group.behind == 0 {
            group.log.trim(group.delivered, &mut self.spares);
        }
        let moved = group.members.get(membership.index).copied();
        if let Some(moved) = moved.and_then(|conn| self.recipient(conn))
            && let Some(other) = &mut moved.membership
        {
            other.index = membership.index;
        }
    }

    /// Where a group is; it comes into being here.
    fn place(&mut self, id: GroupId) -> usize {
        let (table, free) = (&mut self.table, &mut self.free);
        *self.places.entry(id).or_insert_with(|| {
            let group = Some(Group {
                id,
                log: Log::default(),
                members: Vec::new(),
                delivered: 0,
                behind: 0,
            });
            match free.pop() {
                Some(place) => {
                    table[place] = group;
                    place
                }
                None => {
                    table.push(group);
                    table.len() - 1
                }
            }
        })
    }

    fn recipient(&mut self, conn: ConnId) -> Option<&mut Recipient> {
        let recipient = self.recipients.get_mut(slot(conn))?.as_mut();
        recipient.filter(|recipient| recipient.conn == conn)
    }
}

impl Recipient {
    /// Whether nothing is half out, so that a control frame may go.
    fn is_between_units(&self, log: Option<&Log>) -> bool {
        match self.own.front() {
            Some(Own::Bytes { begun, .. }) => !begun,
            Some(Own::Replay { offset, .. }) => *offset == 0,
            None => match (&self.membership, log) {
                (Some(membership), Some(log)) => {
                    log.unit_end(membership.cursor) == membership.cursor
                }
                (Some(_) | None, _) => true,
            },
        }
    }

    fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.push_unit(vec![bytes], false);
    }

    fn push_unit(&mut self, pieces: Vec<Bytes>, begun: bool) {
        let count = pieces.len();
        for (i, bytes) in pieces.into_iter().enumerate() {
            self.own.push_back(Own::Bytes {
                bytes,
                begun: begun || i > 0,
                unit_end: i + 1 == count,
            });
        }
    }
}

impl Control {
    fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    fn is_due(&self) -> bool {
        self.ping || self.pong.is_some()
    }

    /// Encodes what is due, if nothing is on its way.
    fn start(&mut self) {
        if self.is_leaving() || !self.is_due() {
            return;
        }
        if let Some(payload) = self.pong.take() {
            websocket::put_pong(&mut self.leaving, &payload);
        }
        if std::mem::take(&mut self.ping) {
            websocket::put_ping(&mut self.leaving);
        }
    }

    fn advance(&mut self, taken: usize) {
        self.sent += taken;
        if self.sent >= self.leaving.len() {
            self.leaving = Vec::new();
            self.sent = 0;
        }
    }
}

/// Frames of a replay from a place in it, encoded into `scratch` up to a record's worth, or one
/// large payload as it is.
fn replayed<'a>(
    frames: &'a [Frame],
    mut index: usize,
    mut offset: usize,
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
        if payload.len() >= room {
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
        let (_, used) = websocket::encode_header(frame.kind, frame.payload.len());
        let whole = used + frame.payload.len();
        if *offset < whole {
            return;
        }
        *offset -= whole;
        *index += 1;
    }
}

/// Where the unit that begins at `start` ends, at most `end`.
fn next_unit(log: &Log, start: u64, end: u64) -> u64 {
    if start == end {
        end
    } else {
        log.unit_end(start + 1).min(end)
    }
}

/// A connection's place in the tables of its thread: the lower half of its id.
#[must_use]
pub fn slot(conn: ConnId) -> usize {
    (conn.0 & 0xffff_ffff) as usize
}

/// What a log may take between two deliveries.
const UNDELIVERED: u64 = 256 * 1024;
/// The largest TLS record: what one write of a replay should fill.
const RECORD: usize = 16 * 1024;
