//! Deadlines: one ordered set, re-armed lazily. Traffic touches no timer; it only updates what is
//! looked at when a timer fires.

use alloc::collections::BTreeSet;

use crate::event::ConnId;
use crate::time::Instant;

/// What a deadline is for, and so why the runtime is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A connection owes its header (H3).
    Header(ConnId),
    /// An incumbent owes a sign of life to this newcomer (J1).
    Probe(ConnId),
    /// A session may have been silent for long (K1).
    KeepAlive(ConnId),
    /// A joiner should have taken its replay (L3).
    Replay(ConnId),
    /// The byte budget had more to drop than one event may cost (M3).
    Relief,
    /// The history of a channel without members may have expired (L1).
    Expiry,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(crate) fn arm(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn disarm(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<(Instant, Timer)> {
        self.0.first().copied()
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(timer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Instant, Timer)> {
        self.0.iter()
    }
}
