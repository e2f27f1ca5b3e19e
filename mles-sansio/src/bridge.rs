//! Bridges: a server that knows no peering sees this node as one more client on each channel
//! (spec/peering.md, section "Bridges").
//!
//! A [`Crossing`] is one channel at one such server: a [`Client`](crate::client::Client), which dials, recognises
//! replays and sends again what was lost, and what the node's history has to do with that server's. This file
//! has what is common to them: who is wanted, connections, and what goes to and fro.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hasher;
use core::time::Duration;

use siphasher::sip::SipHasher24;

use crate::action::{Action, GroupId};
use crate::client::{Age, ClientAction, ClientEvent, ClientNotice, Delivery, End, Goodbye};
use crate::event::{BridgeId, ConnId, DialFault, DialId, Entry, Name};
use crate::frame::{Frame, Kind};
use crate::header;
use crate::node::{BATCH, Node, Sender};
use crate::notice::{BridgeTrouble, Notice};
use crate::seed::Seed;
use crate::session::Conn;
use crate::time::Now;
use crate::timer::Timer;
use crate::violation::{Closing, Violation};

mod catching_up;
mod crossing;
mod repeats;

use crossing::{Crossing, Waits};

/// A channel at the other end of a bridge.
pub(crate) type Key = (BridgeId, GroupId);

/// What a node knows of the servers that it is bridged to.
#[derive(Clone, Debug)]
pub(crate) struct Bridges {
    seed: Seed,
    /// Secret, so that nobody can make two messages that look alike.
    digest_key: [u8; 16],
    all: Vec<Bridge>,
    /// Dials that the runtime has not answered, and the name of each at its client.
    dials: BTreeMap<DialId, (Key, ConnId)>,
    next_dial: u64,
    /// Crossings made so far: each has a seed of its own.
    made: u64,
    /// Channels of which somebody may want or leave a crossing.
    awake: BTreeSet<GroupId>,
    /// All channels are looked at, from here on.
    scan: Option<GroupId>,
}

#[derive(Clone, Debug)]
struct Bridge {
    /// Its address, which is the uid of what comes from there (B1.5).
    name: Name,
    crossings: BTreeMap<GroupId, Crossing>,
    /// Channels that are wanted, and there is no room for them.
    crowded: BTreeSet<GroupId>,
    dialing: usize,
    /// Channels that wait for one of those dials to be over.
    line: VecDeque<GroupId>,
    open: usize,
    /// Messages that are as long as this are too long for it, as far as is known (B1.10).
    too_long: usize,
    /// What was in the way when it was last told of.
    trouble: Option<BridgeTrouble>,
}

impl Bridges {
    pub(crate) fn new(seed: &Seed, names: &[Name]) -> Self {
        let bridge = |name: &Name| Bridge {
            name: name.clone(),
            crossings: BTreeMap::new(),
            crowded: BTreeSet::new(),
            dialing: 0,
            line: VecDeque::new(),
            open: 0,
            too_long: usize::MAX,
            trouble: None,
        };
        let mut digest_key = [0; 16];
        for (half, index) in digest_key.chunks_mut(8).zip(0..) {
            half.copy_from_slice(&seed.block("bridge digest", index).to_le_bytes());
        }
        Self {
            seed: *seed,
            digest_key,
            all: names.iter().map(bridge).collect(),
            dials: BTreeMap::new(),
            next_dial: 0,
            made: 0,
            awake: BTreeSet::new(),
            scan: None,
        }
    }

    /// Somebody may want this channel now, or nobody any more.
    pub(crate) fn look(&mut self, group: GroupId) {
        if !self.all.is_empty() {
            self.awake.insert(group);
        }
    }

    /// What all channels wait for has changed.
    pub(crate) fn look_at_all(&mut self) {
        if !self.all.is_empty() {
            self.scan = Some(GroupId(0));
        }
    }

    fn get(&mut self, (bridge, _): Key) -> Option<&mut Bridge> {
        self.all.get_mut(bridge.0 as usize)
    }

    fn crossing(&mut self, key: Key) -> Option<&mut Crossing> {
        self.get(key)?.crossings.get_mut(&key.1)
    }

    /// Connections that stand.
    pub(crate) fn connections(&self) -> u64 {
        self.all.iter().map(|bridge| bridge.open as u64).sum()
    }

    #[cfg(debug_assertions)]
    pub(crate) fn timers(&self) -> usize {
        let crossings = self.all.iter().flat_map(|bridge| bridge.crossings.values());
        crossings
            .filter(|crossing| crossing.armed.is_some())
            .count()
    }

    /// Panics if what is counted is not so.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, conns: &BTreeMap<ConnId, Conn>) {
        let mut open = 0;
        for (bridge, id) in self.all.iter().zip(0..) {
            let crossings = || bridge.crossings.iter();
            let dialing = crossings().filter(|(_, it)| it.dialing.is_some()).count();
            assert_eq!(dialing, bridge.dialing, "invariant 11: dials");
            for (group, crossing) in crossings() {
                let waits = crossing.in_line;
                assert!(!waits || bridge.line.contains(group), "invariant 11: line");
                let Some((conn, _)) = crossing.conn else {
                    continue;
                };
                open += 1;
                let key = (BridgeId(id), *group);
                let known = matches!(conns.get(&conn), Some(Conn::Bridge(it)) if *it == key);
                assert!(known, "invariant 11: {conn:?} is no connection of a bridge");
            }
        }
        assert_eq!(open, self.connections(), "invariant 11: connections");
        let conns = conns.values();
        let conns = conns.filter(|conn| matches!(conn, Conn::Bridge(_))).count();
        assert_eq!(open, conns as u64, "invariant 11");
    }
}

impl Node {
    /// Looks at channels of which crossings may be wanted, or not any more: a bounded number (B1.2).
    pub(crate) fn pump_bridges(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        for _ in 0..BATCH {
            if let Some(group) = self.bridges.awake.pop_first() {
                self.review_crossings(now, group);
            } else if let Some(from) = self.bridges.scan {
                let next = self.channels.since(from).next().map(|(group, _)| group);
                self.bridges.scan = next.map(|group| GroupId(group.0 + 1));
                self.bridges.awake.extend(next);
            } else {
                return;
            }
        }
        self.timers.arm(now.mono, Timer::Relief);
    }

    fn review_crossings(&mut self, now: Now, group: GroupId) {
        let channel = self.channels.get(group);
        let wanted = channel.is_some_and(|channel| {
            !channel.members.is_empty() || self.is_wanted_below(group, channel)
        });
        let ready = self.is_synchronised(group);
        let linger = self.config.peering.linger;
        let most = self.config.bridge_channels;
        for id in 0..u32::try_from(self.bridges.all.len()).unwrap_or(u32::MAX) {
            let key = (BridgeId(id), group);
            let Some(bridge) = self.bridges.get(key) else {
                continue;
            };
            let full = bridge.crossings.len() >= most;
            match bridge.crossings.get_mut(&group) {
                Some(crossing) if wanted => crossing.unwanted = None,
                Some(crossing) => {
                    let until = now.mono + linger;
                    crossing.unwanted.get_or_insert(until);
                    self.arm_crossing(key);
                }
                None if !wanted => {
                    bridge.crowded.remove(&group);
                }
                None if !ready => {}
                None if full => {
                    let first = bridge.crowded.is_empty();
                    bridge.crowded.insert(group);
                    if first {
                        self.bridge_trouble(key, BridgeTrouble::Channels);
                    }
                }
                None => self.begin_crossing(now, key),
            }
            self.wake_crowded(key.0);
        }
    }

    fn begin_crossing(&mut self, now: Now, key: Key) {
        let name = self.channels.update(key.1, |channel| {
            channel.bridges += 1;
            channel.name.clone()
        });
        let Some(channel) = name else { return };
        let block = |index| {
            self.bridges
                .seed
                .block("bridge", 4 * self.bridges.made + index)
        };
        let mut seed = [0; 32];
        for (bytes, index) in seed.chunks_mut(8).zip(0..) {
            bytes.copy_from_slice(&block(index).to_le_bytes());
        }
        self.bridges.made += 1;
        let known = self.channels.get(key.1);
        let below = known.is_some_and(|channel| self.is_wanted_below(key.1, channel));
        let wait = self.config.peering.history_wait;
        let (config, digest_key) = (&self.config, self.bridges.digest_key);
        let keeps_history =
            config.history_limit > 0 && config.history_channel_bytes.min(config.history_bytes) > 0;
        let crossing = Crossing::new(self.uid, &channel, config.key.as_ref(), &Seed(seed));
        let Some(bridge) = self.bridges.get(key) else {
            return;
        };
        match crossing {
            Ok(mut crossing) => {
                if !keeps_history {
                    crossing.meet([].into_iter(), &bridge.name, &digest_key);
                }
                if below {
                    // What it has may be on its way, and at the other end already.
                    crossing.again(now.mono + wait, usize::MAX);
                }
                bridge.crossings.insert(key.1, crossing);
                self.crossing_due(now, key); // It begins with a timeout.
            }
            Err(violation) => {
                // The names are too long together for a header at that server.
                self.channels.update(key.1, |channel| channel.bridges -= 1);
                self.bridge_trouble(key, BridgeTrouble::Violated(violation));
            }
        }
    }

    fn end_crossing(&mut self, now: Now, key: Key) {
        let Some(bridge) = self.bridges.get(key) else {
            return;
        };
        let Some(crossing) = bridge.crossings.remove(&key.1) else {
            return;
        };
        bridge.dialing -= usize::from(crossing.dialing.is_some());
        if let Some(at) = crossing.armed {
            self.timers.disarm(at, Timer::Bridge(key.0, key.1));
        }
        if let Some((conn, _)) = crossing.conn {
            bridge.open -= 1;
            self.conns.remove(&conn);
            let why = Closing::Unneeded;
            self.emit(Action::Close { conn, why });
        }
        self.channels.update(key.1, |channel| channel.bridges -= 1);
        self.arm_expiry(now);
        self.wake_crowded(key.0);
        self.dial_next(key.0);
    }

    /// If there is room, the next channel that waits for it is looked at; when it does not take it, the one behind.
    fn wake_crowded(&mut self, bridge: BridgeId) {
        let most = self.config.bridge_channels;
        let bridge = self.bridges.all.get_mut(bridge.0 as usize);
        if let Some(bridge) = bridge.filter(|it| it.crossings.len() < most) {
            self.bridges.awake.extend(bridge.crowded.pop_first());
        }
    }

    /// All bridges are given up: the server stops.
    pub(crate) fn end_bridges(&mut self, now: Now) {
        for id in 0..u32::try_from(self.bridges.all.len()).unwrap_or(u32::MAX) {
            let bridge = BridgeId(id);
            while let Some(first) = self.bridges.all[id as usize].crossings.keys().next() {
                self.end_crossing(now, (bridge, *first));
            }
        }
    }

    /// The timer of a crossing has fired.
    pub(crate) fn crossing_due(&mut self, now: Now, key: Key) {
        let Some(bridge) = self.bridges.get(key) else {
            return;
        };
        let crowded = bridge.dialing >= DIALS_MAX;
        let Some(crossing) = bridge.crossings.get_mut(&key.1) else {
            return;
        };
        crossing.armed = None;
        if crossing.unwanted.is_some_and(|until| until <= now.mono) {
            if crossing.is_done() {
                return self.end_crossing(now, key);
            }
            crossing.unwanted = Some(now.mono + DONE_PAUSE);
        }
        let dials = crossing.conn.is_none() && crossing.dialing.is_none();
        if dials && crowded && crossing.client_is_due(now.mono) {
            if !crossing.in_line {
                crossing.in_line = true;
                bridge.line.push_back(key.1);
            }
            return self.arm_crossing(key);
        }
        crossing.in_line = false;
        self.advance(now, key, ClientEvent::Timeout);
    }

    /// A dial is over: the first in line is due at once.
    fn dial_next(&mut self, id: BridgeId) {
        while let Some(bridge) = self.bridges.all.get_mut(id.0 as usize)
            && let Some(group) = bridge.line.pop_front()
        {
            if let Some(crossing) = bridge.crossings.get_mut(&group)
                && core::mem::take(&mut crossing.in_line)
            {
                return self.arm_crossing((id, group));
            }
        }
    }

    fn arm_crossing(&mut self, key: Key) {
        let Some(crossing) = self.bridges.crossing(key) else {
            return;
        };
        let timer = Timer::Bridge(key.0, key.1);
        let due = crossing.due();
        // One that fires too early finds nothing to do, and is armed again.
        match (crossing.armed, due) {
            (Some(armed), Some(due)) if armed <= due => {}
            (armed, due) => {
                crossing.armed = due;
                if let Some(armed) = armed {
                    self.timers.disarm(armed, timer);
                }
                if let Some(due) = due {
                    self.timers.arm(due, timer);
                }
            }
        }
    }

    /// A dial for a bridge has led to a connection.
    pub(crate) fn bridge_opened(&mut self, now: Now, conn: ConnId, dial: DialId) {
        let Some((key, client_conn)) = self.answered_dial(dial) else {
            let why = Closing::Unneeded;
            return self.emit(Action::Close { conn, why });
        };
        let digest_key = self.bridges.digest_key;
        let Some(channel) = self.channels.get(key.1) else {
            return;
        };
        let Some(bridge) = self.bridges.get(key) else {
            return;
        };
        let Some(crossing) = bridge.crossings.get_mut(&key.1) else {
            return;
        };
        crossing.conn = Some((conn, client_conn));
        crossing.meet(channel.history.entries(), &bridge.name, &digest_key);
        bridge.open += 1;
        let first = bridge.open == 1;
        let recovered = bridge.trouble.take().is_some();
        self.conns.insert(conn, Conn::Bridge(key));
        self.emit(Action::Resume { conn, link: false });
        if first || recovered {
            self.notice(Notice::Bridged { bridge: key.0 });
        }
        self.advance(now, key, ClientEvent::Opened { conn: client_conn });
    }

    /// The runtime could not open a connection for a bridge.
    pub(crate) fn bridge_failed(&mut self, now: Now, dial: DialId, why: DialFault) {
        let Some((key, conn)) = self.answered_dial(dial) else {
            return;
        };
        self.bridge_trouble(key, BridgeTrouble::Dial(why));
        let lasting = false;
        self.advance(now, key, ClientEvent::Failed { conn, lasting });
    }

    /// Whose dial was answered, if it is still waited for.
    fn answered_dial(&mut self, dial: DialId) -> Option<(Key, ConnId)> {
        let (key, conn) = self.bridges.dials.remove(&dial)?;
        let bridge = self.bridges.get(key)?;
        let crossing = bridge.crossings.get_mut(&key.1)?;
        if crossing.dialing != Some(dial) {
            return None;
        }
        crossing.dialing = None;
        bridge.dialing -= 1;
        self.dial_next(key.0);
        Some((key, conn))
    }

    /// A connection of a bridge has ended, whoever ended it.
    pub(crate) fn bridge_lost(&mut self, now: Now, conn: ConnId, how: Goodbye) {
        let Some(Conn::Bridge(key)) = self.conns.get(&conn) else {
            return;
        };
        let key = *key;
        self.conns.remove(&conn);
        let Some(bridge) = self.bridges.get(key) else {
            return;
        };
        let crossing = bridge.crossings.get_mut(&key.1);
        let Some((_, conn)) = crossing.and_then(|crossing| crossing.conn.take()) else {
            return;
        };
        bridge.open -= 1;
        let last = bridge.open == 0;
        if last {
            self.notice(Notice::Unbridged { bridge: key.0 });
        }
        self.advance(now, key, ClientEvent::Closed { conn, how });
    }

    /// We end a connection of a bridge for what came on it.
    pub(crate) fn bridge_refuses(&mut self, conn: ConnId, violation: Violation) {
        if let Some(Conn::Bridge(key)) = self.conns.get(&conn) {
            let key = *key;
            self.bridge_trouble(key, BridgeTrouble::Violated(violation));
        }
    }

    /// A message has come from the other end of a bridge.
    pub(crate) fn bridge_frame(&mut self, now: Now, key: Key, frame: Frame) {
        let conn = self.bridges.crossing(key).and_then(|it| it.conn);
        if let Some((_, conn)) = conn {
            self.advance(now, key, ClientEvent::Frame { conn, frame });
        }
    }

    /// What was on its way to the socket of a bridge is there.
    pub(crate) fn bridge_written(&mut self, now: Now, key: Key) {
        let conn = self.bridges.crossing(key).and_then(|it| it.conn);
        if let Some((_, conn)) = conn {
            self.advance(now, key, ClientEvent::Written { conn });
        }
    }

    /// What this node has accepted goes over the bridges on whose far side it is not yet (B1.4).
    pub(crate) fn cross(
        &mut self,
        now: Now,
        group: GroupId,
        entry: &Entry,
        from: Option<BridgeId>,
    ) {
        for id in 0..u32::try_from(self.bridges.all.len()).unwrap_or(u32::MAX) {
            let key = (BridgeId(id), group);
            let Some(bridge) = self.bridges.get(key) else {
                continue;
            };
            if from == Some(key.0) || bridge.name == entry.uid {
                continue;
            }
            let Some(crossing) = bridge.crossings.get_mut(&group) else {
                continue;
            };
            match crossing.wait(&entry.frame) {
                Waits::No => self.bridge_send(now, key, entry.frame.clone()),
                Waits::Yes => {}
                Waits::Lost => self.stats.bridge_dropped += 1,
            }
        }
    }

    /// A message goes across, if it is not too long for the other end.
    fn bridge_send(&mut self, now: Now, key: Key, frame: Frame) {
        match self.bridges.get(key) {
            Some(bridge) if frame.payload.len() < bridge.too_long => {
                self.advance(now, key, ClientEvent::Send { frame });
            }
            Some(_) | None => self.stats.bridge_dropped += 1,
        }
    }

    /// The client of a crossing takes an event, and what it says is done.
    fn advance(&mut self, now: Now, key: Key, event: ClientEvent) {
        let Some(crossing) = self.bridges.crossing(key) else {
            return;
        };
        let mut header = matches!(event, ClientEvent::Opened { .. });
        let mut frames = Vec::new();
        for action in crossing.handle(now, event) {
            match action {
                ClientAction::Dial { conn } => self.bridge_dial(key, conn),
                ClientAction::Send { frame, .. } if header => {
                    header = false; // What follows is written behind it.
                    let conn = self.bridges.crossing(key).and_then(|it| it.conn);
                    if let Some((conn, _)) = conn {
                        let frames = frame.into();
                        self.emit(Action::Send { conn, frames });
                    }
                }
                ClientAction::Send { frame, .. } => frames.push(frame),
                ClientAction::Deliver(delivery) => self.crossed(now, key, delivery),
                ClientAction::Refused { .. } => self.stats.bridge_dropped += 1,
                ClientAction::Notice(notice) => self.crossing_says(now, key, notice),
                // It gives a dial up, which is told by its id; it never closes, for it is never asked to finish.
                ClientAction::Drop { .. } => self.bridge_dial_over(key),
                ClientAction::Close { .. } | ClientAction::Room => {}
            }
        }
        let conn = self.bridges.crossing(key).and_then(|it| it.conn);
        if let Some((conn, _)) = conn.filter(|_| !frames.is_empty()) {
            self.stats.bridge_sent += frames.len() as u64;
            let frames: Arc<[Frame]> = frames.into();
            self.emit(Action::Replay { conn, frames });
        }
        self.arm_crossing(key);
    }

    fn bridge_dial(&mut self, key: Key, conn: ConnId) {
        let dial = DialId(self.bridges.next_dial);
        self.bridges.next_dial += 1;
        if let Some(bridge) = self.bridges.get(key)
            && let Some(crossing) = bridge.crossings.get_mut(&key.1)
        {
            crossing.dialing = Some(dial);
            bridge.dialing += 1;
            self.bridges.dials.insert(dial, (key, conn));
            let bridge = key.0;
            self.emit(Action::DialBridge { bridge, dial });
        }
    }

    fn bridge_dial_over(&mut self, key: Key) {
        if let Some(bridge) = self.bridges.get(key)
            && let Some(crossing) = bridge.crossings.get_mut(&key.1)
            && crossing.dialing.take().is_some()
        {
            bridge.dialing -= 1;
            self.dial_next(key.0);
            self.bridge_trouble(key, BridgeTrouble::Dial(DialFault::Unreachable));
        }
    }

    fn crossing_says(&mut self, now: Now, key: Key, notice: ClientNotice) {
        match notice {
            ClientNotice::CaughtUp { .. } => {
                let crossing = self.bridges.crossing(key);
                let frames = crossing.map(Crossing::caught_up).unwrap_or_default();
                for frame in frames {
                    self.bridge_send(now, key, frame);
                }
            }
            ClientNotice::Ended(end) => {
                if let Some(bridge) = self.bridges.get(key)
                    && let Some(crossing) = bridge.crossings.get_mut(&key.1)
                {
                    let longest = crossing.longest_in_doubt().filter(|it| *it > 0);
                    if let (End::Refused { code: 1009 }, Some(longest)) = (end, longest) {
                        bridge.too_long = bridge.too_long.min(longest);
                    }
                    crossing.again(now.mono + REFUSED_PAUSE, bridge.too_long);
                }
                if let End::Refused { code } = end {
                    self.bridge_trouble(key, BridgeTrouble::Refused(code));
                }
            }
            ClientNotice::Connected
            | ClientNotice::Waiting { .. }
            | ClientNotice::Resumed { .. } => {}
        }
    }

    /// A message has come that the client takes for new: it is this node's, unless the node knows it
    /// in another way (B1.5, B1.6, B1.9).
    fn crossed(&mut self, now: Now, key: Key, delivery: Delivery) {
        let (group, own) = (key.1, alloc::format!("{}", self.uid));
        let digest_key = self.bridges.digest_key;
        let Some(bridge) = self.bridges.all.get_mut(key.0.0 as usize) else {
            return;
        };
        let Some(crossing) = bridge.crossings.get_mut(&group) else {
            return;
        };
        let name = bridge.name.clone();
        let Some(channel) = self.channels.get(group) else {
            return;
        };
        let (uid, frame) = match &delivery.joined {
            Some(uid) => (uid.clone(), header::announcement(uid, &channel.name)), // A3, J3.1
            None => (name, delivery.frame),
        };
        self.stats.bridge_messages += 1;
        let announced = delivery.joined.is_some() && channel.history.announces(&uid);
        let digest = digest(&digest_key, &frame);
        if crossing.knows(digest) || announced || *uid == *own {
            self.stats.bridge_known += 1;
            return;
        }
        if delivery.age == Age::Live && crossing.repeats.too_often(now.mono, digest) {
            self.stats.bridge_repeats += 1;
            return self.bridge_trouble(key, BridgeTrouble::Loop);
        }
        self.accept(now, group, uid, frame, Sender::Bridge(key.0));
    }

    /// Tells what is in the way of a bridge, when it is something else than before.
    fn bridge_trouble(&mut self, key: Key, trouble: BridgeTrouble) {
        let Some(bridge) = self.bridges.get(key) else {
            return;
        };
        // One channel may still be in trouble when others are not.
        let told = bridge.trouble.replace(trouble) == Some(trouble);
        if !told {
            let bridge = key.0;
            self.notice(Notice::BridgeTrouble { bridge, trouble });
        }
    }
}

/// What a message is recognised by.
fn digest(key: &[u8; 16], frame: &Frame) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write_u8(u8::from(frame.kind == Kind::Binary));
    hasher.write(&frame.payload);
    hasher.finish()
}

/// Dials of one bridge that are under way at once.
const DIALS_MAX: usize = 4;

/// How long one that nobody wants any more is given to get rid of what it has, each time.
const DONE_PAUSE: Duration = Duration::from_secs(1);

/// The pause behind a refusal that the other end means to stay (B1.10).
const REFUSED_PAUSE: Duration = Duration::from_secs(5 * 60);
