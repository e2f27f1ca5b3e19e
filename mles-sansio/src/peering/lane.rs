//! A channel on a link: what the other was told, and what is still to be sent (spec: C1, S1).

use alloc::collections::{BTreeMap, BTreeSet};
use core::hash::{Hash, Hasher};

use super::seen::Seen;
use crate::event::Entry;
use crate::history::{History, Order};
use crate::seed::NodeId;
use crate::session::ahead;
use crate::time::Instant;

/// A channel on a link.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) phase: Phase,
    /// The highest number of each origin that the other has: what it said, then what went either way.
    told: BTreeMap<NodeId, u64>,
    /// The history before this place was looked at.
    from: Order,
    /// What was accepted since and belongs before it, so that nothing is looked at twice; a few.
    late: BTreeSet<Order>,
    /// What is to be sent and is not in the history any more, or never was (S1.6).
    kept: BTreeMap<Order, Entry>,
    /// What that costs.
    kept_cost: u64,
    /// Where the link has it in its queue.
    pub(crate) queued: Option<u64>,
}

/// How far a channel on a link has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Lower end: the join is to be sent.
    Asking,
    /// Lower end: the reply is outstanding; what comes on the channel is ignored (C1.5).
    AwaitReply,
    /// Lower end: joined.
    Joined {
        /// Whether the upper end has sent all that was lacking.
        done: bool,
        /// Whether the channel is left once nothing waits to be sent.
        leaving: bool,
    },
    /// Lower end: the join was refused; it is tried again at this moment (C1.8).
    Refused { retry: Instant },
    /// Upper end: joined.
    Serving {
        /// Joins that have had no reply yet.
        owed: u32,
        /// Whether `done` was said since the last join.
        done: bool,
        /// When it is said even though the own upstream has not said it (S3.2).
        due: Instant,
    },
}

impl Lane {
    pub(crate) fn new(phase: Phase) -> Self {
        Self {
            phase,
            told: BTreeMap::new(),
            from: START,
            late: BTreeSet::new(),
            kept: BTreeMap::new(),
            kept_cost: 0,
            queued: None,
        }
    }

    /// Whether what comes on it counts (C1.5).
    pub(crate) fn hears(&self) -> bool {
        match self.phase {
            Phase::Joined { .. } | Phase::Serving { .. } => true,
            Phase::Asking | Phase::AwaitReply | Phase::Refused { .. } => false,
        }
    }

    /// Whether what comes on it is what this node lacks: the upstream has not said `done` yet.
    pub(crate) fn is_recovering(&self) -> bool {
        matches!(self.phase, Phase::Joined { done: false, .. })
    }

    /// The other says what it has: all that is above is sent, from the oldest on.
    pub(crate) fn tell(&mut self, have: impl Iterator<Item = (NodeId, u64)>) {
        self.told = have.collect();
        self.from = START;
        self.late.clear();
    }

    /// The other has this message: it came from there, or went there.
    pub(crate) fn knows(&mut self, origin: NodeId, seq: u64) {
        let told = self.told.entry(origin).or_insert(0);
        *told = seq.max(*told);
    }

    /// Forgets what the other has of origins that the channel does not remember, once they are as many as
    /// those that it does. At worst the other gets something again, and drops it.
    pub(crate) fn trim(&mut self, seen: &Seen, history: &History, own: NodeId) {
        if self.told.len() > 2 * (seen.len() + 1) {
            self.skip(history);
            self.told
                .retain(|origin, _| *origin == own || seen.highest(*origin).is_some());
        }
    }

    /// Passes what the other has, up to the first message that it lacks.
    fn skip<'a>(&mut self, history: &'a History) -> Option<&'a Entry> {
        for entry in history.since(self.from) {
            if is_news(&self.told, entry) {
                return Some(entry);
            }
            self.from = behind(entry);
        }
        None
    }

    /// A message was accepted that has to be looked at.
    pub(crate) fn look(&mut self, entry: &Entry) {
        if entry.order() >= self.from {
            return;
        }
        self.late.insert(entry.order());
        if self.late.len() > LATE_MAX
            && let Some(first) = self.late.pop_first()
        {
            self.from = first;
            self.late.clear();
        }
    }

    /// Whether a message that leaves the history is still to be sent.
    pub(crate) fn wants(&self, entry: &Entry) -> bool {
        !matches!(self.phase, Phase::Refused { .. })
            && (entry.order() >= self.from || self.late.contains(&entry.order()))
            && is_news(&self.told, entry)
    }

    /// Keeps a message that the history does not keep.
    pub(crate) fn keep(&mut self, entry: Entry) {
        self.kept_cost += entry.cost();
        if let Some(same) = self.kept.insert(entry.order(), entry) {
            self.kept_cost -= same.cost();
        }
    }

    fn unkeep(&mut self, order: Order) {
        if let Some(entry) = self.kept.remove(&order) {
            self.kept_cost -= entry.cost();
        }
    }

    /// The next message to be sent, in history order.
    pub(crate) fn next(&mut self, history: &History) -> Option<Entry> {
        while let Some((order, entry)) = self.kept.first_key_value() {
            if is_news(&self.told, entry) {
                break;
            }
            self.unkeep(*order); // It has come from there meanwhile, or `tell` says so.
        }
        let late = self.next_late(history);
        let stored = late.or_else(|| self.skip(history));
        match (self.kept.first_key_value(), stored) {
            (Some((order, kept)), Some(stored)) if *order < stored.order() => Some(kept.clone()),
            (_, Some(stored)) => Some(stored.clone()),
            (Some((_, kept)), None) => Some(kept.clone()),
            (None, None) => None,
        }
    }

    /// The first message that came late, is in the history still, and news.
    fn next_late<'a>(&mut self, history: &'a History) -> Option<&'a Entry> {
        while let Some(order) = self.late.first() {
            if let Some(entry) = history.get(*order)
                && is_news(&self.told, entry)
            {
                return Some(entry);
            }
            self.late.pop_first();
        }
        None
    }

    /// A message was sent, or cannot be.
    pub(crate) fn pass(&mut self, entry: &Entry, sent: bool) {
        self.unkeep(entry.order());
        self.late.remove(&entry.order());
        self.from = self.from.max(behind(entry));
        if sent {
            self.knows(entry.origin, entry.seq);
        }
    }

    pub(crate) fn hash<H: Hasher>(&self, now: Instant, state: &mut H) {
        match self.phase {
            Phase::Asking => (0, 0, 0).hash(state),
            Phase::AwaitReply => (1, 0, 0).hash(state),
            Phase::Joined { done, leaving } => (2, u64::from(done), u64::from(leaving)).hash(state),
            Phase::Refused { retry } => (3, ahead(retry, now), 0).hash(state),
            Phase::Serving { owed, done, due } => {
                (4, u64::from(owed), u64::from(done)).hash(state);
                ahead(due, now).hash(state);
            }
        }
        (&self.told, self.from, &self.late, &self.kept).hash(state);
    }

    #[cfg(debug_assertions)]
    pub(crate) fn kept_entries(&self) -> usize {
        self.kept.len()
    }

    /// Origins of which it knows what the other has.
    #[cfg(debug_assertions)]
    pub(crate) fn origins(&self) -> usize {
        self.told.len()
    }

    /// What is kept here beside the history costs.
    pub(crate) fn kept(&self) -> u64 {
        self.kept_cost
    }
}

fn is_news(told: &BTreeMap<NodeId, u64>, entry: &Entry) -> bool {
    told.get(&entry.origin).is_none_or(|seq| entry.seq > *seq)
}

/// The place just behind a message.
fn behind(entry: &Entry) -> Order {
    let (ts, origin, seq) = entry.order();
    (ts, origin, seq + 1)
}

/// How many messages may be known to have come late; with more, what is behind the first is looked at again.
const LATE_MAX: usize = 64;

/// Before every message.
const START: Order = (0, NodeId(0), 0);
