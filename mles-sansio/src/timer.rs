//! Deadlines: one ordered set, re-armed lazily. Traffic touches no timer; it only updates what is
//! looked at when a timer fires.

use alloc::collections::BTreeSet;

use crate::action::GroupId;
use crate::event::{BridgeId, ConnId};
use crate::time::Instant;

/// What a deadline is for, and so why the runtime is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A connection owes its header (H3.1).
    Header(ConnId),
    /// An incumbent owes a sign of life to this newcomer (J1.3).
    Probe(ConnId),
    /// A session may have been silent for long (K1.1).
    KeepAlive(ConnId),
    /// A joiner should have taken its replay (L3.7).
    Replay(ConnId),
    /// A joiner has waited long enough for the upstream's history (W1.1).
    History(ConnId),
    /// A peer owes the answer to a turn (G1.7).
    Turn(ConnId),
    /// A peer is to be dialed (U1.3).
    Dial,
    /// A channel on the links is to be looked at again (C1.2, C1.8, S3.2).
    Review,
    /// A channel at the other end of a bridge has something to do (B1).
    Bridge(BridgeId, GroupId),
    /// The byte budget had more to drop than one event may cost (M3.7).
    Relief,
    /// The history of a channel without members may have expired (L1.3).
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

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Instant, Timer)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn timers_come_in_the_order_of_time_then_kind_then_connection() {
        let mut timers = Timers::default();
        let one = ConnId(1);
        let two = ConnId(2);
        timers.arm(at(5), Timer::Expiry);
        timers.arm(at(5), Timer::KeepAlive(one));
        timers.arm(at(5), Timer::Header(two));
        timers.arm(at(5), Timer::Header(one));
        timers.arm(at(4), Timer::Relief);
        timers.arm(at(6), Timer::Probe(one));
        timers.arm(at(5), Timer::Replay(one));
        assert_eq!(timers.next(), Some((at(4), Timer::Relief)));
        assert_eq!(timers.due(at(3)), None);
        let due: alloc::vec::Vec<_> = core::iter::from_fn(|| timers.due(at(5))).collect();
        let expected = [
            Timer::Relief,
            Timer::Header(one),
            Timer::Header(two),
            Timer::KeepAlive(one),
            Timer::Replay(one),
            Timer::Expiry,
        ];
        assert_eq!(due, expected);
        assert_eq!(timers.next(), Some((at(6), Timer::Probe(one))));
    }

    #[test]
    fn a_timer_is_armed_once_and_disarmed_by_its_time() {
        let mut timers = Timers::default();
        let timer = Timer::Probe(ConnId(1));
        timers.arm(at(1), timer);
        timers.arm(at(1), timer);
        timers.disarm(at(2), timer);
        assert_eq!(timers.iter().count(), 1);
        timers.disarm(at(1), timer);
        assert_eq!(timers.next(), None);
        assert_eq!(timers.due(at(9)), None);
    }
}
