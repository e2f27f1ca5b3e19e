//! One channel's history: what is kept, what goes first, what replays still hold (spec: M3, J3, L3).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::ops::Bound;

use crate::event::{ConnId, Entry};
use crate::frame::Frame;
use crate::seed::NodeId;
use crate::time::Instant;

/// What a stored frame costs beyond its payload and its sender's uid (M3.5).
const ENTRY_COST: u64 = 64;
/// What an unfinished replay costs for each frame it lists: its share of the list itself (L3.9).
const REPLAY_COST: u64 = 48;

/// The bounds on one channel's history (M3.3, M3.6).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Messages, and announcements beside them.
    pub(crate) limit: usize,
    /// Bytes of all entries.
    pub(crate) bytes: u64,
    /// Bytes of one entry: a larger one could never stay.
    pub(crate) largest: u64,
}

/// What a history has dropped: mostly one entry, so that nothing is allocated for it.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    first: Option<Entry>,
    more: Vec<Entry>,
}

impl Dropped {
    fn push(&mut self, entry: Entry) {
        match self.first {
            None => self.first = Some(entry),
            Some(_) => self.more.push(entry),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.first.iter().chain(&self.more)
    }
}

impl From<Entry> for Dropped {
    fn from(entry: Entry) -> Self {
        let (first, more) = (Some(entry), Vec::new());
        Self { first, more }
    }
}

impl Entry {
    /// What the entry counts in the byte bounds (M3.5).
    #[must_use]
    pub fn cost(&self) -> u64 {
        (self.frame.payload.len() + self.uid.len()) as u64 + ENTRY_COST
    }

    /// Its place in the history: by time stamp, then origin, then sequence.
    #[must_use]
    pub fn order(&self) -> (u64, NodeId, u64) {
        (self.ts, self.origin, self.seq)
    }
}

/// A place in a history.
pub(crate) type Order = (u64, NodeId, u64);

/// The newest messages, and apart from them the newest announcement of each uid, both in history
/// order, so that reconnecting clients never displace messages (J3.6, J3.7).
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    messages: VecDeque<Stored>,
    announcements: VecDeque<Stored>,
    /// What the stored entries cost.
    stored: u64,
    /// Counts changes; a replay and the entries it holds are told apart by it.
    tick: u64,
    /// Unfinished replays by the tick they started at.
    replays: BTreeMap<u64, Replay>,
    /// Those of them that hold entries no longer stored.
    holding: BTreeSet<u64>,
    /// What such entries and the lists of unfinished replays cost.
    held: u64,
}

#[derive(Clone, Debug)]
struct Stored {
    entry: Entry,
    /// The tick of its insertion: replays that started later hold it.
    since: u64,
}

#[derive(Clone, Debug)]
struct Replay {
    conn: ConnId,
    /// When it has to be over.
    deadline: Instant,
    /// What its list costs.
    cost: u64,
    /// Entries that it holds and the history does not, each at the first replay that does. They are
    /// of its list, so that its end costs no more than its beginning did.
    limbo: Vec<Limbo>,
}

#[derive(Clone, Debug)]
struct Limbo {
    /// The tick at which the history lost it: replays that started later do not hold it.
    until: u64,
    cost: u64,
}

impl History {
    /// Stores an entry where history order puts it, and drops what the bounds no longer allow.
    /// `announces` says whether it is an announcement of its sender. Gives back what is not stored, or
    /// not any more.
    pub(crate) fn insert(&mut self, entry: Entry, announces: bool, bounds: Bounds) -> Dropped {
        let mut dropped = Dropped::default();
        if bounds.limit == 0 || entry.cost() > bounds.largest {
            dropped.push(entry); // M3.4, M3.8: distributed, not stored.
            return dropped;
        }
        self.tick += 1;
        let list = if announces {
            // J3.6: a uid has at most one announcement, its latest.
            let same = self
                .announcements
                .iter()
                .position(|s| s.entry.uid == entry.uid);
            if let Some(at) = same {
                if self.announcements[at].entry.order() >= entry.order() {
                    dropped.push(entry);
                    return dropped;
                }
                if let Some(old) = self.announcements.remove(at) {
                    dropped.push(self.forget(old));
                }
            }
            &mut self.announcements
        } else {
            &mut self.messages
        };
        // New entries belong at the end; only restored or merged ones look further.
        let at = match list.back() {
            Some(last) if last.entry.order() >= entry.order() => {
                let found = list.binary_search_by(|s| s.entry.order().cmp(&entry.order()));
                match found {
                    Ok(_) => return dropped, // It is stored already.
                    Err(at) => at,
                }
            }
            Some(_) | None => list.len(),
        };
        self.stored += entry.cost();
        list.insert(
            at,
            Stored {
                entry,
                since: self.tick,
            },
        );
        let over = if list.len() > bounds.limit {
            list.pop_front() // M3.3
        } else {
            None
        };
        if let Some(old) = over {
            dropped.push(self.forget(old));
        }
        while self.stored > bounds.bytes {
            let Some(oldest) = self.drop_oldest() else {
                break; // M3.6
            };
            dropped.push(oldest);
        }
        dropped
    }

    /// Drops the oldest entry, message or announcement, and gives it back.
    pub(crate) fn drop_oldest(&mut self) -> Option<Entry> {
        let oldest = match (self.messages.front(), self.announcements.front()) {
            (Some(message), Some(announcement))
                if announcement.entry.order() < message.entry.order() =>
            {
                self.announcements.pop_front()
            }
            (Some(_), _) => self.messages.pop_front(),
            (None, _) => self.announcements.pop_front(),
        }?;
        self.tick += 1;
        Some(self.forget(oldest))
    }

    /// The history as frames, oldest first, held for `conn` until `end_replay` of the tick that is
    /// given back; `None` if there is nothing to replay. `more` is what the history has dropped since
    /// the joiner began to wait; what `own` tells is the joiner's own is left out (W1.3, W1.4).
    pub(crate) fn start_replay<'a>(
        &mut self,
        conn: ConnId,
        deadline: Instant,
        more: impl Iterator<Item = &'a Entry>,
        own: impl Fn(&Entry) -> bool,
    ) -> Option<(u64, Arc<[Frame]>)> {
        let mut more = more.peekable();
        let mut frames = Vec::new();
        let mut extra = 0;
        let mut put = |entry: &Entry| {
            if !own(entry) {
                frames.push(entry.frame.clone());
                return entry.cost();
            }
            0
        };
        for entry in self.entries() {
            while let Some(dropped) = more.next_if(|more| more.order() < entry.order()) {
                extra += put(dropped);
            }
            put(entry);
        }
        extra += more.map(put).sum::<u64>();
        if frames.is_empty() {
            return None;
        }
        let frames: Arc<[Frame]> = frames.into();
        self.tick += 1;
        let cost = frames.len() as u64 * REPLAY_COST;
        self.held += cost + extra;
        let mut limbo = Vec::new();
        if extra > 0 {
            // Nobody else holds it: it goes with this replay.
            self.holding.insert(self.tick);
            let (until, cost) = (self.tick, extra);
            limbo.push(Limbo { until, cost });
        }
        let replay = Replay {
            conn,
            deadline,
            cost,
            limbo,
        };
        self.replays.insert(self.tick, replay);
        Some((self.tick, frames))
    }

    /// The replay that started at `tick` is over: what only it held is free.
    pub(crate) fn end_replay(&mut self, tick: u64) {
        let Some(replay) = self.replays.remove(&tick) else {
            return;
        };
        self.holding.remove(&tick);
        self.held -= replay.cost;
        for limbo in replay.limbo {
            self.held -= limbo.cost;
            self.hold(tick, limbo);
        }
    }

    /// The connection of the first replay that holds something only replays hold.
    pub(crate) fn holder(&self) -> Option<ConnId> {
        self.first_holding().map(|replay| replay.conn)
    }

    /// When that replay has to be over.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.first_holding().map(|replay| replay.deadline)
    }

    fn first_holding(&self) -> Option<&Replay> {
        self.replays.get(self.holding.first()?)
    }

    /// The entries in history order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        merged(self.messages.iter(), self.announcements.iter())
    }

    /// Whether it has an announcement of this uid.
    pub(crate) fn announces(&self, uid: &str) -> bool {
        self.announcements.iter().any(|it| *it.entry.uid == *uid)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.announcements.is_empty()
    }

    /// What the history and its unfinished replays cost.
    pub(crate) fn cost(&self) -> u64 {
        self.stored + self.held
    }

    /// The entry at a place.
    pub(crate) fn get(&self, order: Order) -> Option<&Entry> {
        let find = |list: &VecDeque<Stored>| {
            let at = list.binary_search_by(|s| s.entry.order().cmp(&order));
            at.ok()
        };
        let message = find(&self.messages).map(|at| &self.messages[at]);
        let stored =
            message.or_else(|| find(&self.announcements).map(|at| &self.announcements[at]));
        stored.map(|stored| &stored.entry)
    }

    /// The entries from a place on, in history order.
    pub(crate) fn since(&self, from: Order) -> impl Iterator<Item = &Entry> {
        let begin = |list: &VecDeque<Stored>| list.partition_point(|s| s.entry.order() < from);
        let (messages, announcements) = (begin(&self.messages), begin(&self.announcements));
        merged(
            self.messages.range(messages..),
            self.announcements.range(announcements..),
        )
    }

    /// An entry leaves the history, into limbo if a replay holds it.
    fn forget(&mut self, old: Stored) -> Entry {
        let cost = old.entry.cost();
        self.stored -= cost;
        let until = self.tick;
        self.hold(old.since, Limbo { until, cost });
        old.entry
    }

    /// Leaves an entry that is not stored any more to the first replay after `since` that holds it, if
    /// there is one.
    fn hold(&mut self, since: u64, limbo: Limbo) {
        let holders = (Bound::Excluded(since), Bound::Included(limbo.until));
        if let Some((&tick, replay)) = self.replays.range_mut(holders).next() {
            self.held += limbo.cost;
            self.holding.insert(tick);
            replay.limbo.push(limbo);
        }
    }
}

/// Two lists in history order as one.
fn merged<'a>(
    messages: impl Iterator<Item = &'a Stored>,
    announcements: impl Iterator<Item = &'a Stored>,
) -> impl Iterator<Item = &'a Entry> {
    let mut messages = messages.peekable();
    let mut announcements = announcements.peekable();
    core::iter::from_fn(move || {
        let next = match (messages.peek(), announcements.peek()) {
            (Some(message), Some(announcement))
                if announcement.entry.order() < message.entry.order() =>
            {
                announcements.next()
            }
            (Some(_), _) => messages.next(),
            (None, _) => announcements.next(),
        };
        next.map(|stored| &stored.entry)
    })
}

impl Hash for History {
    /// Ticks count up for ever; only how they lie to each other is state.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let rank = |tick: u64| self.replays.range(..=tick).count();
        for list in [&self.messages, &self.announcements] {
            list.len().hash(state);
            for stored in list {
                stored.entry.hash(state);
                rank(stored.since).hash(state);
            }
        }
        self.replays.len().hash(state);
        for replay in self.replays.values() {
            (replay.conn, replay.cost, replay.limbo.len()).hash(state);
            for limbo in &replay.limbo {
                (limbo.cost, rank(limbo.until)).hash(state);
            }
        }
    }
}
