//! Who is dialed, when: one peer at a time, in order, with backoff (spec: U1, G1.1).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use crate::action::Action;
use crate::event::{ConnId, DialFault, PeerId};
use crate::node::Node;
use crate::notice::{Notice, Trouble};
use crate::session::{Conn, ahead};
use crate::time::{Instant, Now};
use crate::timer::Timer;
use crate::violation::{Closing, Violation};

/// The search for an upstream, and for other trees.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seek {
    /// The list of peers, in order of preference.
    entries: Vec<PeerId>,
    /// The entry that is tried next.
    next: usize,
    pub(crate) state: State,
    /// The wait before the next pass over the list; zero if there was none yet.
    backoff: Duration,
    /// The wait behind an upstream that does not last long.
    relapse: Duration,
    /// The wait before other peers are looked at after the next change of the root, at least and at most
    /// (G1.1), and when the root changed last.
    patience: Option<(Duration, Duration)>,
    changed: Instant,
    /// Peers that have shown to be in the same tree, and until when they are left alone (G1.1).
    same: BTreeMap<PeerId, Instant>,
    /// What was in the way of each peer that was tried in vain.
    troubles: BTreeMap<PeerId, Trouble>,
    /// Dials that were given up before the runtime has answered them.
    forgotten: Vec<PeerId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody to dial.
    #[default]
    Rest,
    /// The next is dialed at this moment.
    Wait(Instant),
    /// The runtime dials, to stay or only to ask.
    Dialing { peer: PeerId, probe: bool },
    /// The reply is outstanding.
    Shaking { conn: ConnId },
}

impl Seek {
    /// Whether the timer is armed.
    #[cfg(debug_assertions)]
    pub(crate) fn waits(&self) -> bool {
        matches!(self.state, State::Wait(_))
    }

    pub(crate) fn hash<H: Hasher>(&self, now: Instant, state: &mut H) {
        (&self.entries, self.next, self.backoff, self.relapse).hash(state);
        (&self.forgotten, self.patience).hash(state);
        for (peer, until) in &self.same {
            (peer, ahead(*until, now)).hash(state);
        }
        if self.patience.is_some() {
            let calm = u64::try_from(CALM.as_micros()).unwrap_or(u64::MAX);
            ahead(now, self.changed).min(calm).hash(state);
        }
        match self.state {
            State::Rest => (0, 0).hash(state),
            State::Wait(at) => (1, ahead(at, now)).hash(state),
            State::Dialing { peer, probe } => (2, peer, probe).hash(state),
            State::Shaking { conn } => (3, conn).hash(state),
        }
    }
}

impl Node {
    /// The list of peers is this from now on (U1.1, U1.5).
    pub(crate) fn peers(&mut self, now: Now, peers: Vec<PeerId>) {
        let seek = &mut self.peering.seek;
        seek.troubles.retain(|peer, _| peers.contains(peer));
        seek.same.retain(|peer, _| peers.contains(peer));
        seek.entries = peers;
        seek.next = 0;
        if let State::Dialing { peer, .. } = seek.state
            && !seek.entries.contains(&peer)
        {
            seek.forgotten.push(peer);
            seek.state = State::Rest;
        }
        let listed = |entry: &PeerId| self.peering.seek.entries.contains(entry);
        let entry = self.peering.up().and_then(|link| link.entry);
        if entry.is_some_and(|entry| !listed(&entry))
            && let Some(conn) = self.peering.upstream
        {
            self.close(now, conn, Closing::Unneeded);
        }
        self.peering.seek.backoff = Duration::ZERO;
        self.seek_at(now, Duration::ZERO);
    }

    /// Waits before the next dial, unless one is under way, or nobody is left to dial.
    fn seek_at(&mut self, now: Now, wait: Duration) {
        match self.peering.seek.state {
            State::Dialing { .. } | State::Shaking { .. } => return,
            State::Wait(at) => self.timers.disarm(at, Timer::Dial),
            State::Rest => {}
        }
        // G1.6: while a turn is outstanding, what others say of their root is not to be trusted.
        if self.stopping || self.peering.upstream.is_some() && self.peering.is_turning() {
            self.peering.seek.state = State::Rest;
            return;
        }
        // Not before the first that is not left alone.
        let entries = self.peering.seek.entries.iter();
        let first = entries.filter_map(|entry| self.seek_from(*entry)).min();
        self.peering.seek.state = if let Some(first) = first {
            let at = (now.mono + wait).max(first);
            self.timers.arm(at, Timer::Dial);
            State::Wait(at)
        } else {
            State::Rest
        };
    }

    /// From when on an entry may be dialed; `None` if it is that of the upstream.
    fn seek_from(&self, entry: PeerId) -> Option<Instant> {
        let Some(link) = self.peering.up() else {
            return Some(Instant::default());
        };
        let until = self.peering.seek.same.get(&entry).copied();
        (link.entry != Some(entry)).then(|| until.unwrap_or_default())
    }

    /// A peer has shown to be in the same tree: it is left alone for a while (G1.10).
    pub(crate) fn seek_same(&mut self, now: Now, peer: PeerId) {
        // Soon after a change there may be another.
        let since = now.mono.since(self.peering.seek.changed);
        let wait = self.spread(since.min(self.config.peering.probe_rest));
        if !wait.is_zero() && self.peering.upstream.is_some() {
            self.peering.seek.same.insert(peer, now.mono + wait);
        }
    }

    /// The timer for the next dial has fired.
    pub(crate) fn seek_due(&mut self, now: Now) {
        let probe = self.peering.upstream.is_some();
        let seek = &self.peering.seek;
        let count = seek.entries.len();
        let mut turns = (0..count).map(|turn| (seek.next + turn) % count);
        let due = |at: &usize| {
            let from = self.seek_from(seek.entries[*at]);
            from.is_some_and(|from| from <= now.mono)
        };
        let Some(at) = turns.find(due) else {
            self.peering.seek.state = State::Rest;
            return self.seek_at(now, Duration::ZERO);
        };
        let seek = &mut self.peering.seek;
        seek.next = at;
        let peer = seek.entries[at];
        seek.state = State::Dialing { peer, probe };
        // The runtime may be at it still, if the entry was out of the list in between.
        match seek.forgotten.iter().position(|known| *known == peer) {
            Some(at) => drop(seek.forgotten.remove(at)),
            None => self.emit(Action::Dial { peer }),
        }
    }

    /// A dial has led to a connection: whether it is to ask only, or `None` if it is not wanted.
    pub(crate) fn seek_opened(&mut self, conn: ConnId, peer: PeerId) -> Option<bool> {
        let upstream = self.peering.upstream.is_some();
        let seek = &mut self.peering.seek;
        if let Some(at) = seek.forgotten.iter().position(|known| *known == peer) {
            seek.forgotten.remove(at);
            return None;
        }
        let State::Dialing { peer: asked, probe } = seek.state else {
            return None;
        };
        if asked != peer {
            return None;
        }
        seek.state = State::Shaking { conn };
        Some(probe && upstream)
    }

    /// The runtime could not open a connection.
    pub(crate) fn dial_failed(&mut self, now: Now, peer: PeerId, why: DialFault) {
        let seek = &mut self.peering.seek;
        if let Some(at) = seek.forgotten.iter().position(|known| *known == peer) {
            seek.forgotten.remove(at);
            return;
        }
        match seek.state {
            State::Dialing { peer: asked, .. } if asked == peer => {
                seek.state = State::Rest;
                self.trouble(peer, Trouble::Dial(why));
                self.seek_next(now);
            }
            State::Dialing { .. } | State::Rest | State::Wait(_) | State::Shaking { .. } => {
                self.breach("a dial is answered once");
            }
        }
    }

    /// A peer cannot be had: that is worth a notice when it is for another reason than before.
    fn trouble(&mut self, peer: PeerId, trouble: Trouble) {
        if self.peering.seek.troubles.insert(peer, trouble) != Some(trouble) {
            self.notice(Notice::PeerTrouble { peer, trouble });
        }
    }

    /// The other end closes a connection that we have dialed, before it was a link.
    pub(crate) fn refused(&mut self, now: Now, conn: ConnId, code: u16) {
        let Some(Conn::AwaitReply(waiting)) = self.conns.get(&conn) else {
            return;
        };
        let peer = waiting.peer;
        match code {
            1000 => {}                         // A probe is over.
            4010 => self.seek_same(now, peer), // It is below.
            _ => self.trouble(peer, Trouble::Refused(code)),
        }
    }

    /// We close a connection that we have dialed, for what the other end says.
    pub(crate) fn refuses(&mut self, conn: ConnId, violation: Violation) {
        if let Some(Conn::AwaitReply(waiting)) = self.conns.get(&conn) {
            let peer = waiting.peer;
            self.trouble(peer, Trouble::Violated(violation));
        }
    }

    /// A connection that was dialed has ended before it was a link.
    pub(crate) fn seek_ended(&mut self, now: Now, conn: ConnId) {
        if let Some(Conn::AwaitReply(waiting)) = self.conns.remove(&conn) {
            self.timers.disarm(waiting.deadline, Timer::Header(conn));
        }
        if self.peering.seek.state == (State::Shaking { conn }) {
            self.peering.seek.state = State::Rest;
            self.seek_next(now);
        }
    }

    /// On to the next entry; behind the last one the wait doubles (U1.3).
    fn seek_next(&mut self, now: Now) {
        let (min, max) = (
            self.config.peering.backoff_min,
            self.config.peering.backoff_max,
        );
        let seek = &mut self.peering.seek;
        seek.next += 1;
        seek.backoff = seek.backoff.max(min);
        let left = self.peering.seek.entries.iter();
        let mut left = left.skip(self.peering.seek.next);
        let due = |from: Instant| from <= now.mono;
        if !left.any(|entry| self.seek_from(*entry).is_some_and(due)) {
            let seek = &mut self.peering.seek;
            seek.next = 0;
            let wait = seek.backoff;
            seek.backoff = (wait * 2).min(max);
            let wait = self.spread(wait);
            self.seek_at(now, wait);
        } else {
            let wait = self.spread(min);
            self.seek_at(now, wait);
        }
    }

    fn spread(&mut self, wait: Duration) -> Duration {
        let off = wait * self.config.peering.jitter_percent / 100;
        self.peering.draw(wait.saturating_sub(off), wait + off)
    }

    /// A probe has found another tree: the same peer is dialed to stay (G1.2).
    pub(crate) fn seek_found(&mut self, peer: PeerId) {
        match self.peering.seek.state {
            State::Wait(at) => self.timers.disarm(at, Timer::Dial),
            State::Rest => {}
            State::Dialing { .. } | State::Shaking { .. } => return,
        }
        let probe = false;
        self.peering.seek.state = State::Dialing { peer, probe };
        self.emit(Action::Dial { peer });
    }

    /// Whether a peer is in the list still (U1.5).
    pub(crate) fn seek_lists(&self, peer: PeerId) -> bool {
        self.peering.seek.entries.contains(&peer)
    }

    /// The dialed connection has become a link.
    pub(crate) fn seek_linked(&mut self, now: Now, peer: PeerId) {
        self.peering.seek.troubles.remove(&peer);
        self.peering.seek.state = State::Rest;
        self.peering.seek.next = 0;
        self.seek_again(now);
    }

    /// The root has changed. The more often it does, the longer others are left alone: where trees are
    /// large, what they say of their root is old for a while, and a merge upon that makes more unrest (G1.9).
    pub(crate) fn root_changed(&mut self, now: Now) {
        let first = (
            self.config.peering.probe_after_min,
            self.config.peering.probe_after_max,
        );
        let seek = &mut self.peering.seek;
        let calm = now.mono.since(seek.changed) >= CALM;
        seek.changed = now.mono;
        seek.same.clear();
        seek.patience = Some(match seek.patience {
            Some((min, max)) if !calm => {
                let most = (first.0 * PATIENCE_MAX, first.1 * PATIENCE_MAX);
                ((min * 2).min(most.0), (max * 2).min(most.1))
            }
            Some(_) | None => first,
        });
        self.seek_again(now);
    }

    /// Other peers may be in another tree now (G1.1).
    pub(crate) fn seek_again(&mut self, now: Now) {
        let (min, max) = self.patience();
        if self.peering.upstream.is_some() {
            let wait = self.peering.draw(min, max);
            self.peering.seek.backoff = Duration::ZERO;
            self.seek_at(now, wait);
        }
    }

    /// The node has cut a ring. Those who were in it do not know that yet, and the next ring may be as near:
    /// it dials nobody sooner than it would probe (G1.1).
    pub(crate) fn seek_late(&mut self, now: Now) {
        let (min, max) = self.patience();
        let wait = self.peering.draw(min, max);
        if let State::Wait(at) = self.peering.seek.state {
            self.seek_at(now, wait.max(at.since(now.mono)));
        }
    }

    fn patience(&self) -> (Duration, Duration) {
        let first = (
            self.config.peering.probe_after_min,
            self.config.peering.probe_after_max,
        );
        self.peering.seek.patience.unwrap_or(first)
    }

    /// The upstream is gone: the entry behind its own is next (U1.2). One that did not last long does
    /// not end the backoff.
    pub(crate) fn seek_lost(&mut self, now: Now, entry: Option<PeerId>, since: Instant) {
        let (min, max) = (
            self.config.peering.backoff_min,
            self.config.peering.backoff_max,
        );
        let seek = &mut self.peering.seek;
        let at = entry.and_then(|entry| seek.entries.iter().position(|known| *known == entry));
        seek.next = at.map_or(0, |at| (at + 1) % seek.entries.len().max(1));
        let wait = match now.mono.since(since) < max {
            true => seek.relapse.max(min),
            false => min,
        };
        seek.relapse = (wait * 2).min(max);
        seek.backoff = Duration::ZERO;
        let wait = self.spread(wait);
        self.seek_at(now, wait);
    }
}

/// How long one root makes for calm (G1.9).
const CALM: Duration = Duration::from_secs(4 * 60);

/// How much longer than at first other peers are left alone, at most (G1.9).
const PATIENCE_MAX: u32 = 128;
