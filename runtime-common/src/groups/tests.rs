//! Random operations against a model that keeps, for each connection, a plain list of what is to
//! leave. The bytes are checked twice: against the model as they go, and by another WebSocket
//! implementation at the end.

use std::collections::BTreeMap;

use mles_sansio::Violation;
use proptest::prelude::*;

use self::model::{Model, Unit, check_stream};
use super::members::UNDELIVERED;
use super::*;
use crate::websocket::{Incoming, Reader};

mod examples;
mod model;

const OUTBOX: usize = 4096;
const SLOTS: usize = 5;
const GROUPS: u64 = 3;

/// A frame to be made: text or not, its length, what it is filled with.
#[derive(Clone, Copy, Debug)]
struct Plan(bool, usize, u8);

/// One frame, or a pair.
#[derive(Clone, Copy, Debug)]
struct Plans(Plan, Option<Plan>);

impl Plan {
    fn frame(self) -> Frame {
        let Self(text, length, fill) = self;
        if text {
            Frame::text(vec![b'a' + fill % 26; length])
        } else {
            Frame::binary(vec![fill; length])
        }
    }
}

impl Plans {
    fn frames(self) -> Frames {
        match self.1 {
            None => Frames::One(self.0.frame()),
            Some(second) => Frames::Pair(self.0.frame(), second.frame()),
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Open(usize),
    Remove(usize),
    Join(usize, u64),
    Leave(usize),
    Send(usize, Plans),
    Broadcast(u64, Option<usize>, Plans),
    Replay(usize, Vec<Plan>),
    Ping(usize),
    Pong(usize, u8),
    Discard(usize),
    Close(usize),
    /// Writes, so many bytes at a time; then the socket is full, or all is flushed.
    Write(usize, Vec<usize>),
    Deliver(u64, usize),
    /// An operation on an id that was in use before.
    Stale(usize, u8),
}

fn plan() -> impl Strategy<Value = Plan> {
    let length = prop_oneof![
        4 => 0usize..4,
        4 => 100usize..200,
        3 => 1000usize..3000,
        2 => 4000usize..20_000,
        1 => 60_000usize..140_000,
    ];
    (any::<bool>(), length, any::<u8>()).prop_map(|(text, length, fill)| Plan(text, length, fill))
}

fn plans() -> impl Strategy<Value = Plans> {
    (plan(), prop::option::weighted(0.25, plan())).prop_map(|(one, other)| Plans(one, other))
}

fn op() -> impl Strategy<Value = Op> {
    let slot = || 0..SLOTS;
    let group = || 0..GROUPS;
    let sizes = || {
        let size = prop_oneof![3 => 1usize..40, 2 => 1usize..5000, 1 => Just(usize::MAX)];
        prop::collection::vec(size, 0..12)
    };
    prop_oneof![
        3 => slot().prop_map(Op::Open),
        1 => slot().prop_map(Op::Remove),
        4 => (slot(), group()).prop_map(|(slot, group)| Op::Join(slot, group)),
        1 => slot().prop_map(Op::Leave),
        2 => (slot(), plans()).prop_map(|(slot, frames)| Op::Send(slot, frames)),
        12 => (group(), prop::option::of(slot()), plans())
            .prop_map(|(group, except, frames)| Op::Broadcast(group, except, frames)),
        2 => (slot(), prop::collection::vec(plan(), 0..6))
            .prop_map(|(slot, frames)| Op::Replay(slot, frames)),
        2 => slot().prop_map(Op::Ping),
        2 => (slot(), 0u8..125).prop_map(|(slot, length)| Op::Pong(slot, length)),
        1 => slot().prop_map(Op::Discard),
        1 => slot().prop_map(Op::Close),
        12 => (slot(), sizes()).prop_map(|(slot, sizes)| Op::Write(slot, sizes)),
        4 => (group(), 0usize..60_000).prop_map(|(group, room)| Op::Deliver(group, room)),
        1 => (slot(), any::<u8>()).prop_map(|(slot, what)| Op::Stale(slot, what)),
    ]
}

/// A ping payload as the runtime gets it.
fn payload(length: u8) -> ControlPayload {
    let mut ping = vec![0x89, 0x80 | length, 0, 0, 0, 0];
    ping.extend((0..length).map(|at| at ^ length));
    match Reader::new(0).read(&mut ping) {
        (_, Some(Ok(Incoming::Ping(payload)))) => payload,
        other => panic!("a ping: {other:?}"),
    }
}

struct Run {
    groups: Groups,
    conns: Vec<Option<(ConnId, Model)>>,
    generation: u64,
    /// Undelivered bytes of each group, as it is.
    grown: BTreeMap<u64, u64>,
}

impl Run {
    fn new() -> Self {
        Self {
            groups: Groups::new(OUTBOX, u64::MAX),
            conns: (0..SLOTS).map(|_| None).collect(),
            generation: 0,
            grown: BTreeMap::new(),
        }
    }

    fn get(&mut self, slot: usize) -> Option<(ConnId, &mut Model)> {
        self.conns[slot].as_mut().map(|(id, model)| (*id, model))
    }

    fn members(&self, group: u64) -> Vec<usize> {
        let is_in = |slot: &usize| {
            let model = self.conns[*slot].as_ref().map(|(_, model)| model);
            model.is_some_and(|model| model.group == Some(group))
        };
        (0..SLOTS).filter(is_in).collect()
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Open(slot) => {
                if self.conns[slot].is_none() {
                    self.generation += 1;
                    let conn = ConnId(self.generation << 32 | slot as u64);
                    self.groups.open(conn);
                    let state = Some(State::Open);
                    self.conns[slot] = Some((
                        conn,
                        Model {
                            state,
                            ..Model::default()
                        },
                    ));
                }
            }
            Op::Remove(slot) => {
                if let Some((conn, model)) = self.conns[slot].take() {
                    check_stream(&model);
                    self.groups.remove(conn);
                    assert!(self.groups.next(conn).is_empty());
                }
            }
            Op::Join(slot, group) => {
                if let Some((conn, model)) = self.get(slot)
                    && model.group.is_none()
                {
                    if model.is_open() {
                        model.group = Some(group);
                    }
                    self.groups.join(conn, GroupId(group));
                }
            }
            Op::Leave(slot) => {
                if let Some((conn, model)) = self.get(slot) {
                    model.group = None;
                    self.groups.leave(conn);
                }
            }
            Op::Send(slot, frames) => self.send(slot, &frames.frames()),
            Op::Broadcast(group, except, frames) => self.broadcast(group, except, &frames.frames()),
            Op::Replay(slot, frames) => {
                let frames: Arc<[Frame]> = frames.into_iter().map(Plan::frame).collect();
                let Some((conn, model)) = self.get(slot) else {
                    return;
                };
                let mut expected = Progress::None;
                if model.is_open() {
                    if frames.is_empty() {
                        expected = Progress::Replayed;
                    }
                    for (i, frame) in frames.iter().enumerate() {
                        let last = i + 1 == frames.len();
                        model
                            .queue
                            .push_back(Unit::new(vec![frame.clone()], Some(last)));
                    }
                }
                assert_eq!(self.groups.replay(conn, frames), expected);
            }
            Op::Ping(slot) => {
                if let Some((conn, model)) = self.get(slot) {
                    model.ping |= model.state != Some(State::Closing);
                    self.groups.ping(conn);
                }
            }
            Op::Pong(slot, length) => {
                if let Some((conn, model)) = self.get(slot) {
                    if model.state != Some(State::Closing) {
                        model.pong = Some(payload(length));
                    }
                    self.groups.pong(conn, payload(length));
                }
            }
            Op::Discard(slot) => {
                if let Some((conn, model)) = self.get(slot) {
                    if model.state != Some(State::Closing) {
                        model.drop_waiting();
                        model.state = Some(State::Discarded);
                    }
                    self.groups.discard(conn);
                }
            }
            Op::Close(slot) => {
                if let Some((conn, model)) = self.get(slot) {
                    let why = Closing::Violation(Violation::Lagging);
                    if model.state != Some(State::Closing) {
                        let mut unit = Unit::new(Vec::new(), None);
                        websocket::put_close(&mut unit.bytes, why.code(), why.reason());
                        model.queue.push_back(unit);
                        model.state = Some(State::Closing);
                        model.group = None;
                        (model.ping, model.pong) = (false, None);
                    }
                    self.groups.close(conn, why);
                }
            }
            Op::Write(slot, sizes) => self.write(slot, &sizes),
            Op::Deliver(group, room) => self.deliver(group, room),
            Op::Stale(slot, what) => {
                if self.generation > 0 {
                    self.stale(ConnId(self.generation << 48 | slot as u64), what);
                }
            }
        }
    }

    fn send(&mut self, slot: usize, frames: &Frames) {
        let Some((conn, model)) = self.get(slot) else {
            return;
        };
        let unit = Unit::of(frames);
        let (bytes, units) = model.waiting();
        let full = model.is_open() && units > 0 && bytes + unit.bytes.len() > OUTBOX;
        if full {
            model.drop_waiting();
            model.state = Some(State::Overrun);
        } else if model.is_open() {
            model.queue.push_back(unit);
        }
        assert_eq!(self.groups.send(conn, frames), full);
    }

    fn broadcast(&mut self, group: u64, except: Option<usize>, frames: &Frames) {
        let members = self.members(group);
        let unit = Unit::of(frames);
        for &slot in &members {
            if except != Some(slot)
                && let Some((_, model)) = self.get(slot)
            {
                model.queue.push_back(unit.clone());
            }
        }
        let except = except.and_then(|slot| self.get(slot)).map(|(id, _)| id);
        let fill = self.groups.broadcast(GroupId(group), except, frames);
        if members.is_empty() {
            return assert_eq!(fill, Fill::Room);
        }
        let grown = self.grown.entry(group).or_default();
        let first = *grown == 0;
        *grown += unit.bytes.len() as u64;
        let expected = match (first, *grown > UNDELIVERED) {
            (_, true) => Fill::Deliver,
            (true, _) => Fill::First,
            (false, _) => Fill::Room,
        };
        assert_eq!(fill, expected);
        if fill == Fill::Deliver {
            self.deliver(group, 10_000);
        }
    }

    /// Writes up to `room` bytes to each member.
    fn deliver(&mut self, group: u64, room: usize) {
        let members = self.groups.members(GroupId(group)).to_vec();
        let grown = self.grown.remove(&group).unwrap_or_default() > 0;
        let expected = if grown {
            self.members(group)
        } else {
            Vec::new()
        };
        let mut slots: Vec<_> = members.iter().map(|&conn| slot(conn)).collect();
        slots.sort_unstable();
        assert_eq!(slots, expected);
        for conn in members {
            self.write(slot(conn), &[room / 2 + 1, room / 2 + 1]);
        }
        self.groups.delivered(GroupId(group));
        self.check();
    }

    fn write(&mut self, slot: usize, sizes: &[usize]) {
        let Some((conn, model)) = &mut self.conns[slot] else {
            return;
        };
        let conn = *conn;
        let mut sizes = sizes.iter();
        loop {
            let bytes = self.groups.next(conn);
            model.check_next(bytes);
            if bytes.is_empty() {
                let expected = match model.state {
                    Some(State::Discarded) => {
                        model.state = Some(State::Overrun);
                        Flushed::Drained
                    }
                    Some(State::Closing) => Flushed::Closed,
                    Some(State::Open | State::Overrun) | None => Flushed::UpToDate,
                };
                return assert_eq!(self.groups.flushed(conn), expected);
            }
            let Some(&size) = sizes.next() else {
                break;
            };
            let taken = bytes[..size.min(bytes.len())].to_vec();
            let expected = if model.take(&taken) {
                Progress::Replayed
            } else {
                Progress::None
            };
            assert_eq!(self.groups.advance(conn, taken.len()), expected);
        }
        let (bytes, units) = model.waiting();
        let is_member = model.is_open() && model.group.is_some();
        let overrun = is_member && bytes > OUTBOX && units > 1;
        assert_eq!(self.groups.blocked(conn), overrun);
        if overrun {
            model.drop_waiting();
            model.state = Some(State::Overrun);
        }
    }

    /// Nothing happens to the connection that has the slot now.
    fn stale(&mut self, conn: ConnId, what: u8) {
        let frame = Frames::One(Frame::text("stale"));
        match what % 10 {
            0 => self.groups.remove(conn),
            1 => assert!(!self.groups.send(conn, &frame)),
            2 => self.groups.join(conn, GroupId(0)),
            3 => self.groups.leave(conn),
            4 => self.groups.ping(conn),
            5 => self.groups.discard(conn),
            6 => self.groups.close(conn, Closing::Restarting),
            7 => assert!(!self.groups.blocked(conn)),
            8 => assert_eq!(self.groups.advance(conn, 1), Progress::None),
            _ => assert_eq!(self.groups.flushed(conn), Flushed::UpToDate),
        }
        assert!(self.groups.next(conn).is_empty());
    }

    /// A group that nobody is in begins anew.
    fn forget_groups(&mut self) {
        let empty: Vec<_> = (0..GROUPS)
            .filter(|&it| self.members(it).is_empty())
            .collect();
        self.grown.retain(|group, _| !empty.contains(group));
    }

    /// The books are right, and the memory of the logs is bounded (L3.1, L3.8).
    fn check(&self) {
        let groups = &self.groups;
        let used = groups.table.iter().flatten().count();
        assert_eq!(groups.places.len(), used);
        assert_eq!(groups.free.len() + used, groups.table.len());
        let mut bound = 0;
        for (id, &place) in &groups.places {
            let group = groups.table[place].as_ref().expect("a group is there");
            assert_eq!(group.id, *id);
            assert!(!group.members.is_empty());
            let mut behind = 0;
            let mut all = true;
            for (index, conn) in group.members.iter().enumerate() {
                let recipient = groups.recipients[slot(*conn)].as_ref().expect("it is open");
                let membership = recipient.membership.as_ref().expect("it is a member");
                assert_eq!(recipient.conn, *conn);
                assert_eq!((membership.place, membership.index), (place, index));
                behind += usize::from(membership.behind);
                all &= membership.cursor == group.log.end();
                assert!(
                    membership.behind || membership.cursor >= group.delivered,
                    "it may be trimmed up to the last delivery"
                );
            }
            assert_eq!(group.behind, behind);
            if all && group.delivered == group.log.end() {
                assert_eq!(group.log.held(), 0, "everybody has everything");
            }
            // The outbox, the frame in progress and one that may wait; what is undelivered, and the
            // frame that ended that; and what packing costs.
            bound += 2 * (OUTBOX + 4 * 140_000 + UNDELIVERED as usize + 2 * 140_000) + 2 * 65_536;
        }
        assert!(groups.log_bytes() <= bound, "{}", groups.log_bytes());
    }

    /// Everybody reads: then nothing is left, and what was read makes sense.
    fn finish(mut self) {
        for slot in 0..SLOTS {
            self.write(slot, &[usize::MAX; 1000]);
        }
        for group in 0..GROUPS {
            self.deliver(group, 0);
        }
        assert_eq!(self.groups.log_bytes(), 0);
        for slot in 0..SLOTS {
            if let Some((_, model)) = self.get(slot) {
                assert!(model.queue.is_empty() && model.leaving.is_empty());
                check_stream(model);
            }
        }
        for slot in 0..SLOTS {
            self.step(Op::Remove(slot));
        }
        assert!(self.groups.places.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    /// M1.3, M1.6, L2.7, L3.2 to L3.6: each connection gets whole frames, in order, and a prefix of them
    /// if it does not read.
    fn every_connection_gets_its_stream(ops in prop::collection::vec(op(), 1..160)) {
        let mut run = Run::new();
        for slot in 0..3 {
            run.step(Op::Open(slot));
            run.step(Op::Join(slot, 0));
        }
        for op in ops {
            run.step(op);
            run.forget_groups();
            run.check();
        }
        run.finish();
    }
}
