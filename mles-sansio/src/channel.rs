//! Channels: who is on them, what they remember, and the byte budget over all of them
//! (spec: J1, M3, L1, L3).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::action::GroupId;
use crate::config::Config;
use crate::event::{ConnId, Entry, Name};
use crate::frame::Frame;
use crate::header;
use crate::history::{Bounds, Dropped, History, Order};
use crate::node::AHEAD_MAX;
use crate::peering::Seen;
use crate::seed::NodeId;
use crate::time::{Instant, Now};

/// What a channel costs beyond its name and its history (M3.5).
const CHANNEL_COST: u64 = 256;

/// What it costs on each link on which it is joined.
const LINK_COST: u64 = 512;

/// What origins that are remembered may cost: this part of the byte budget, and this at least (S2.4).
const SEEN_PART: u64 = 4;
const SEEN_LEAST: u64 = 1 << 20;

/// One channel. It exists while it has members, history, or links on which it is joined.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) name: Name,
    /// The sessions on it, by uid.
    pub(crate) members: BTreeMap<Name, Member>,
    pub(crate) history: History,
    /// The sequence number this node gave last on this channel.
    pub(crate) seq: u64,
    /// The time stamp given or seen last: also when the channel was last active.
    pub(crate) last_ts: u64,
    /// The time stamp this node gave last on it.
    pub(crate) own_ts: u64,
    /// What other nodes accepted and this one has too (S1.1).
    pub(crate) seen: Seen,
    /// Links on which it is joined, or is to be.
    pub(crate) links: Vec<ConnId>,
    /// Bridges that have it at their other end.
    pub(crate) bridges: u32,
    /// Interest that has ended lingers until then (C1.2).
    pub(crate) wanted_until: Option<Instant>,
    /// Members that wait for the upstream's history (W1.1), and how much `awaited` had when they began to.
    pub(crate) waiting: BTreeMap<ConnId, usize>,
    /// What the history has dropped since the first of them began to wait (W1.3), in the order of its places,
    /// and how much was dropped before it.
    awaited: BTreeMap<Order, (usize, Entry)>,
    awaited_cost: u64,
    /// Where the activity index has it; it moves there only when somebody looks.
    indexed: Option<u64>,
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Member {
    pub(crate) conn: ConnId,
    /// The newcomer that waits for this session to show that it lives (J1.2).
    pub(crate) waiting: Option<ConnId>,
}

impl Channel {
    fn cost(&self) -> u64 {
        self.own_cost() + self.seen.cost() + self.awaited_cost + self.history.cost()
    }

    /// The time stamp that the next one is above: also of those that this node gave before it forgot the
    /// channel, unless the date was set back by more than others could bear (S2.3).
    pub(crate) fn last_given(&self, now: Now) -> u64 {
        if self.own_ts <= now.unix.saturating_add(AHEAD_MAX) {
            self.last_ts.max(self.own_ts)
        } else {
            self.last_ts
        }
    }

    fn is_idle(&self) -> bool {
        self.members.is_empty() && self.links.is_empty() && self.bridges == 0
    }

    /// What it costs without any history (M3.5).
    fn own_cost(&self) -> u64 {
        CHANNEL_COST + self.name.len() as u64 + self.links.len() as u64 * LINK_COST
    }

    /// Stores an entry within the bounds on this channel, unless the budget could never give it room;
    /// the budget itself is the caller's, for all channels alike (M3.7). Gives back what is not stored,
    /// or not any more.
    pub(crate) fn remember(&mut self, entry: Entry, config: &Config) -> Dropped {
        let bytes = config.history_channel_bytes;
        let most = config.history_bytes.saturating_sub(self.own_cost());
        let bounds = Bounds {
            limit: config.history_limit,
            bytes,
            largest: bytes.min(most),
        };
        let announces = header::announces(&entry.frame, &entry.uid, &self.name);
        let dropped = self.history.insert(entry, announces, bounds);
        self.await_history(dropped.iter());
        dropped
    }

    /// What leaves the history stays for those who wait for it (W1.3).
    fn await_history<'a>(&mut self, dropped: impl Iterator<Item = &'a Entry>) {
        if self.waiting.is_empty() {
            return;
        }
        for entry in dropped {
            self.awaited_cost += entry.cost();
            let before = self.awaited.len();
            self.awaited.insert(entry.order(), (before, entry.clone()));
        }
    }

    /// A member waits for the upstream's history from now on.
    pub(crate) fn wait(&mut self, conn: ConnId) {
        self.waiting.insert(conn, self.awaited.len());
    }

    /// Whether more is kept for those who wait than a channel may keep.
    pub(crate) fn awaits_much(&self, config: &Config) -> bool {
        self.awaited_cost > config.history_channel_bytes
    }

    /// A member has waited enough: its replay begins, without what it has sent itself: what this node,
    /// `origin`, has accepted from `uid` above `own` (W1.3, W1.4).
    pub(crate) fn release(
        &mut self,
        conn: ConnId,
        deadline: Instant,
        own: impl Fn(&Entry) -> bool,
    ) -> Option<(u64, Arc<[Frame]>)> {
        let since = self.waiting.get(&conn).copied().unwrap_or(usize::MAX);
        let awaited = self.awaited.values().filter(|(before, _)| *before >= since);
        let awaited = awaited.map(|(_, entry)| entry);
        let replay = self.history.start_replay(conn, deadline, awaited, own);
        self.wait_no_more(conn);
        replay
    }

    /// One that waits less.
    pub(crate) fn wait_no_more(&mut self, conn: ConnId) {
        self.waiting.remove(&conn);
        if self.waiting.is_empty() {
            self.awaited.clear();
            self.awaited_cost = 0;
        }
    }
}

/// All channels of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channels {
    by_id: BTreeMap<GroupId, Channel>,
    by_name: BTreeMap<Name, GroupId>,
    next_id: u64,
    /// Channels that may lose history, by an activity that may be out of date, but is never too new:
    /// those with entries that are not in `holding`.
    by_activity: BTreeSet<(u64, GroupId)>,
    /// Channels without members, by their last activity.
    idle: BTreeSet<(u64, GroupId)>,
    /// Channels of which replays hold something that the history has dropped, by the deadline of the
    /// first such replay.
    holding: BTreeSet<(Instant, GroupId)>,
    /// Channels with members that wait for the upstream's history.
    waiting: BTreeSet<GroupId>,
    /// What all channels cost.
    cost: u64,
    /// What of that is for the origins that they remember.
    seen_cost: u64,
    /// Sequence numbers and time stamps start above all that were given on channels forgotten since:
    /// others may remember those (S2.3).
    seq_floor: u64,
    ts_floor: u64,
}

/// What has to give way when the budget is exceeded.
pub(crate) enum Excess {
    /// A step was made: a channel has lost its oldest frame (M3.7), or the index knows its activity.
    Step(Option<(GroupId, Entry)>),
    /// No channel may lose anything any more, and the replay of this connection holds what the history
    /// has dropped (L3.9).
    Replay(ConnId),
    /// Nothing is left to drop.
    Nothing,
}

impl Channels {
    /// The channel of that name, made if there is none.
    pub(crate) fn open(&mut self, name: &Name) -> GroupId {
        if let Some(&id) = self.by_name.get(name) {
            return id;
        }
        let id = GroupId(self.next_id);
        self.next_id += 1;
        let channel = Channel {
            name: name.clone(),
            members: BTreeMap::new(),
            history: History::default(),
            seq: self.seq_floor,
            last_ts: 0,
            own_ts: self.ts_floor,
            seen: Seen::default(),
            links: Vec::new(),
            bridges: 0,
            wanted_until: None,
            waiting: BTreeMap::new(),
            awaited: BTreeMap::new(),
            awaited_cost: 0,
            indexed: None,
        };
        self.cost += channel.cost();
        self.idle.insert((0, id));
        self.by_name.insert(name.clone(), id);
        self.by_id.insert(id, channel);
        id
    }

    pub(crate) fn id(&self, name: &str) -> Option<GroupId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Channel> {
        self.by_id.get(&self.id(name)?)
    }

    pub(crate) fn get(&self, id: GroupId) -> Option<&Channel> {
        self.by_id.get(&id)
    }

    /// Changes a channel and keeps the indexes and the budget in step. A channel left without
    /// members and history is forgotten.
    pub(crate) fn update<R>(
        &mut self,
        id: GroupId,
        change: impl FnOnce(&mut Channel) -> R,
    ) -> Option<R> {
        let channel = self.by_id.get_mut(&id)?;
        let (cost, idle) = (channel.cost(), channel.is_idle());
        let seen_cost = channel.seen.cost();
        let (last_ts, held) = (channel.last_ts, channel.history.held_until());
        let waited = !channel.waiting.is_empty();
        let result = change(channel);
        match (waited, !channel.waiting.is_empty()) {
            (false, true) => {
                self.waiting.insert(id);
            }
            (true, false) => {
                self.waiting.remove(&id);
            }
            (false, false) | (true, true) => {}
        }
        self.cost = self.cost - cost + channel.cost();
        self.seen_cost = self.seen_cost - seen_cost + channel.seen.cost();
        if idle {
            self.idle.remove(&(last_ts, id));
        }
        let (idle, empty) = (channel.is_idle(), channel.history.is_empty());
        if idle && empty {
            self.forget(id);
            return Some(result);
        }
        if idle {
            self.idle.insert((channel.last_ts, id));
        }
        let holds = channel.history.held_until();
        if holds != held {
            held.map(|until| self.holding.remove(&(until, id)));
            holds.map(|until| self.holding.insert((until, id)));
        }
        match channel.indexed {
            None if !empty && holds.is_none() => {
                channel.indexed = Some(channel.last_ts);
                self.by_activity.insert((channel.last_ts, id));
            }
            Some(indexed) if holds.is_some() => {
                channel.indexed = None;
                self.by_activity.remove(&(indexed, id));
            }
            Some(_) | None => {}
        }
        Some(result)
    }

    /// What the budget counts.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// The first channels from an id on.
    pub(crate) fn since(&self, id: GroupId) -> impl Iterator<Item = (GroupId, &Channel)> {
        self.by_id.range(id..).map(|(id, channel)| (*id, channel))
    }

    /// How many origins a channel may remember: no more than now when all channels have used up their part
    /// of the budget, so that nobody fills it with them (S2.4).
    pub(crate) fn most_origins(&self, id: GroupId, config: &Config) -> usize {
        let part = (config.history_bytes / SEEN_PART).max(SEEN_LEAST);
        let most = config.peering.origins;
        if self.seen_cost < part {
            return most;
        }
        let now = self.get(id).map_or(0, |channel| channel.seen.len());
        most.min(now.max(1))
    }

    /// Whether the budget is used up: no channel has anything to give way (C1.2, C1.8).
    pub(crate) fn are_full(&self, config: &Config) -> bool {
        self.cost >= config.history_bytes && self.by_activity.is_empty()
    }

    /// Some channels with members that wait for history, at most so many.
    pub(crate) fn waiting(&self, most: usize) -> Vec<GroupId> {
        self.waiting.iter().copied().take(most).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Makes one step towards the budget, or says what the caller has to do for it: the quietest
    /// history goes first (M3.7), and a replay only when no other history is left (L3.9).
    pub(crate) fn relieve(&mut self) -> Excess {
        let Some((indexed, id)) = self.by_activity.pop_first() else {
            let holding = self.holding.first().and_then(|(_, id)| self.by_id.get(id));
            let holder = holding.and_then(|channel| channel.history.holder());
            return holder.map_or(Excess::Nothing, Excess::Replay);
        };
        // `update` puts the channel back where its activity belongs, if it has entries.
        let dropped = self.update(id, |channel| {
            channel.indexed = None;
            if channel.last_ts != indexed {
                return None;
            }
            let dropped = channel.history.drop_oldest()?;
            channel.await_history([&dropped].into_iter());
            Some((id, dropped))
        });
        Excess::Step(dropped.flatten())
    }

    /// The channel without members that was active least recently, and when that was.
    pub(crate) fn oldest_idle(&self) -> Option<(u64, GroupId)> {
        self.idle.first().copied()
    }

    /// Counts members and costs anew, and panics if a channel should not exist.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) -> (u64, u64) {
        let (mut members, mut cost, mut seen_cost) = (0, 0, 0);
        for (id, channel) in &self.by_id {
            let waits = self.waiting.contains(id);
            assert_eq!(
                waits,
                !channel.waiting.is_empty(),
                "invariant 10: who waits"
            );
            let alive = !channel.is_idle() || !channel.history.is_empty();
            assert!(
                alive,
                "invariant 3: a channel without members, links and history"
            );
            members += channel.members.len() as u64;
            cost += channel.cost();
            seen_cost += channel.seen.cost();
        }
        assert_eq!(seen_cost, self.seen_cost, "invariant 5: origins");
        (members, cost)
    }

    /// The node is another from now on: what it gave so far counts as that of the former one (S1.4).
    pub(crate) fn renew(&mut self, former: NodeId, origins: usize) {
        let channels: Vec<GroupId> = self.by_id.keys().copied().collect();
        for id in channels {
            self.update(id, |channel| {
                if channel.seq > 0 {
                    let (seq, ts) = (channel.seq, channel.own_ts);
                    channel.seen.note(former, seq, ts, origins);
                }
                channel.seq = 0;
            });
        }
        self.seq_floor = 0;
    }

    /// Forgets a channel and its history.
    pub(crate) fn forget(&mut self, id: GroupId) -> Option<Name> {
        let channel = self.by_id.remove(&id)?;
        self.by_name.remove(&channel.name);
        self.idle.remove(&(channel.last_ts, id));
        if let Some(indexed) = channel.indexed {
            self.by_activity.remove(&(indexed, id));
        }
        if let Some(until) = channel.history.held_until() {
            self.holding.remove(&(until, id));
        }
        self.cost -= channel.cost();
        self.seen_cost -= channel.seen.cost();
        self.seq_floor = self.seq_floor.max(channel.seq);
        self.ts_floor = self.ts_floor.max(channel.own_ts);
        Some(channel.name)
    }
}

impl Hash for Channels {
    /// The activity index and the costs follow from the rest; ids are in, as groups of the runtime.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_id.len().hash(state);
        for (id, channel) in &self.by_id {
            (id, &channel.name, &channel.members).hash(state);
            (
                &channel.history,
                channel.seq,
                channel.last_ts,
                channel.own_ts,
            )
                .hash(state);
            (
                &channel.seen,
                &channel.links,
                channel.bridges,
                &channel.waiting,
            )
                .hash(state);
            channel.awaited.hash(state);
        }
        (self.next_id, self.seq_floor, self.ts_floor).hash(state);
    }
}
