//! The node's invariants, and its state in 128 bits.
//!
//! 1. The node's sessions are the members of its channels, each under its own uid.
//! 2. A newcomer waits for exactly one incumbent, which knows it.
//! 3. A channel has members, history, or links on which it is joined.
//! 4. Each state has its timer, and each timer its state.
//! 5. What the budget counts is the sum over the channels.
//! 6. A link is a connection, and the upstream is a link whose lower end is this node's.
//! 7. What a link keeps is the sum over its lanes, and within its bound, or one message.
//! 8. Lanes that may have something to send are in turn, each once.
//! 9. A lane knows of no more origins at the other end than twice those that a channel remembers.
//! 10. The channels with members that wait for history are known.
//! 11. The connections of a bridge are connections, and its dials are counted.

use core::hash::Hash;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::action::GroupId;
use crate::node::Node;
use crate::session::{Conn, Flow, ahead};
use crate::time::Now;
#[cfg(debug_assertions)]
use crate::timer::Timer;

impl Node {
    /// A canonical hash of all protocol state: two nodes with the same digest do the same on the same
    /// events. Deadlines count relative to `now`; statistics and settings are not in it, and what bridges
    /// remember of the other end neither: it does not tell nodes with bridges apart.
    #[must_use]
    pub fn digest(&self, now: Now) -> u128 {
        let mut hasher = SipHasher24::new();
        (self.uid, self.stopping, self.conns.len()).hash(&mut hasher);
        for (id, conn) in &self.conns {
            id.hash(&mut hasher);
            match conn {
                Conn::AwaitHeader { deadline, dialer } => {
                    let nonces = dialer.map(|(nonces, _)| nonces);
                    (0, ahead(*deadline, now.mono), nonces).hash(&mut hasher);
                }
                Conn::AwaitReply(waiting) => {
                    let left = ahead(waiting.deadline, now.mono);
                    (3, waiting.peer, waiting.nonces, waiting.probe, left).hash(&mut hasher);
                }
                Conn::Link => 4.hash(&mut hasher),
                Conn::Bridge(key) => (5, key).hash(&mut hasher),
                Conn::AwaitIncumbent(waiting) => {
                    let left = ahead(waiting.deadline, now.mono);
                    (1, waiting.group, &waiting.uid, left, waiting.alive).hash(&mut hasher);
                }
                Conn::Joined(session) => {
                    let silent = ahead(now.mono, session.heard);
                    let wake = ahead(session.wake, now.mono);
                    (2, session.group, &session.uid).hash(&mut hasher);
                    (silent, session.pings, wake).hash(&mut hasher);
                    match session.flow {
                        Flow::AwaitHistory { deadline, own } => (3, ahead(deadline, now.mono), own),
                        Flow::Replaying { deadline, .. } => (2, ahead(deadline, now.mono), 0),
                        Flow::Live => (0, 0, 0),
                        Flow::Lagging => (1, 0, 0),
                    }
                    .hash(&mut hasher);
                }
            }
        }
        self.channels.hash(&mut hasher);
        for (group, channel) in self.channels.since(GroupId(0)) {
            let until = channel.wanted_until.map(|until| ahead(until, now.mono));
            (group, until).hash(&mut hasher);
        }
        self.peering.hash(now.mono, &mut hasher);
        let expiry = self.expiry.map(|at| ahead(at, now.mono));
        expiry.hash(&mut hasher);
        hasher.finish128().as_u128()
    }

    /// Panics if an invariant of this file does not hold. It costs one look at everything, so small
    /// nodes are checked after every event where debug assertions are on, large ones now and then.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) {
        let size = self.conns.len() + self.channels.len();
        if size > 64 && !self.events.is_multiple_of(size as u64) {
            return;
        }
        let mut sessions = 0;
        let mut timers = 0;
        for (&conn, state) in &self.conns {
            match state {
                Conn::AwaitHeader { .. } | Conn::AwaitReply(_) => timers += 1,
                Conn::Link => {
                    timers += 1;
                    assert!(self.peering.links.contains_key(&conn), "invariant 6");
                }
                Conn::Bridge(_) => {}
                Conn::AwaitIncumbent(waiting) => {
                    timers += 1;
                    let channel = self.channels.get(waiting.group);
                    let incumbent = channel.and_then(|c| c.members.get(&waiting.uid));
                    let knows = incumbent.is_some_and(|m| m.waiting == Some(conn));
                    assert!(knows, "invariant 2: {conn:?} waits for nobody");
                }
                Conn::Joined(session) => {
                    sessions += 1;
                    timers += 1 + usize::from(matches!(
                        session.flow,
                        Flow::Replaying { .. } | Flow::AwaitHistory { .. }
                    ));
                    let channel = self.channels.get(session.group);
                    let member = channel.and_then(|c| c.members.get(&session.uid));
                    let own = member.is_some_and(|m| m.conn == conn);
                    assert!(own, "invariant 1: {conn:?} is no member");
                }
            }
        }
        assert_eq!(sessions, self.stats.sessions, "invariant 1: sessions");
        self.peering.check(&self.conns, &self.config.peering);
        self.bridges.check(&self.conns);
        let (members, cost) = self.channels.check();
        assert_eq!(sessions, members, "invariant 1: members");
        assert_eq!(cost, self.channels.cost(), "invariant 5");
        let relief = |timer: &Timer| *timer == Timer::Relief;
        let armed = self
            .timers
            .iter()
            .filter(|(_, timer)| !relief(timer))
            .count();
        assert_eq!(
            armed,
            timers
                + usize::from(self.expiry.is_some())
                + self.peering.timers()
                + self.bridges.timers(),
            "invariant 4"
        );
    }
}
