//! Channels: who is on them, what they remember, and the byte budget over all of them
//! (spec: J1, M3, L1, L3).

use alloc::collections::{BTreeMap, BTreeSet};
use core::hash::{Hash, Hasher};

use crate::action::GroupId;
use crate::config::Config;
use crate::event::{ConnId, Entry, Name};
use crate::header;
use crate::history::{Bounds, History};
use crate::time::Instant;

/// What a channel costs beyond its name and its history (M3.5).
const CHANNEL_COST: u64 = 256;

/// One channel. It exists while it has members or history.
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
        self.own_cost() + self.history.cost()
    }

    /// What it costs without any history (M3.5).
    fn own_cost(&self) -> u64 {
        CHANNEL_COST + self.name.len() as u64
    }

    /// Stores an entry within the bounds on this channel, unless the budget could never give it room;
    /// the budget itself is the caller's, for all channels alike (M3.7).
    pub(crate) fn remember(&mut self, entry: Entry, config: &Config) {
        let bytes = config.history_channel_bytes;
        let most = config.history_bytes.saturating_sub(self.own_cost());
        let bounds = Bounds {
            limit: config.history_limit,
            bytes,
            largest: bytes.min(most),
        };
        let announces = header::announces(&entry.frame, &entry.uid, &self.name);
        self.history.insert(entry, announces, bounds);
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
    /// What all channels cost.
    cost: u64,
    /// Sequence numbers start above all that were used on channels forgotten since.
    seq_floor: u64,
}

/// What has to give way when the budget is exceeded.
pub(crate) enum Excess {
    /// A step was made: a channel has lost its oldest frame (M3.7), or the index knows its activity.
    Step,
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
        let (cost, idle) = (channel.cost(), channel.members.is_empty());
        let (last_ts, held) = (channel.last_ts, channel.history.held_until());
        let result = change(channel);
        self.cost = self.cost - cost + channel.cost();
        if idle {
            self.idle.remove(&(last_ts, id));
        }
        let (idle, empty) = (channel.members.is_empty(), channel.history.is_empty());
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
        self.update(id, |channel| {
            channel.indexed = None;
            if channel.last_ts == indexed {
                channel.history.drop_oldest();
            }
        });
        Excess::Step
    }

    /// The channel without members that was active least recently, and when that was.
    pub(crate) fn oldest_idle(&self) -> Option<(u64, GroupId)> {
        self.idle.first().copied()
    }

    /// Counts members and costs anew, and panics if a channel should not exist.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) -> (u64, u64) {
        let (mut members, mut cost) = (0, 0);
        for channel in self.by_id.values() {
            let alive = !channel.members.is_empty() || !channel.history.is_empty();
            assert!(alive, "invariant 3: a channel without members and history");
            members += channel.members.len() as u64;
            cost += channel.cost();
        }
        (members, cost)
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
        self.seq_floor = self.seq_floor.max(channel.seq);
        Some(channel.name)
    }
}

impl Hash for Channels {
    /// The activity index and the costs follow from the rest; ids are in, as groups of the runtime.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_id.len().hash(state);
        for (id, channel) in &self.by_id {
            (id, &channel.name, &channel.members).hash(state);
            (&channel.history, channel.seq, channel.last_ts).hash(state);
        }
        (self.next_id, self.seq_floor).hash(state);
    }
}
