//! Connections of bridges: who may dial, what comes of it, and how they end (spec: B1.1, B1.2, B1.10).

use core::time::Duration;

use super::Key;
use crate::action::Action;
use crate::client::{ClientEvent, Goodbye};
use crate::event::{BridgeId, ConnId, DialFault, DialId};
use crate::node::Node;
use crate::notice::{BridgeTrouble, Notice};
use crate::session::Conn;
use crate::time::Now;
use crate::timer::Timer;
use crate::violation::{Closing, Violation};

impl Node {
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

    pub(super) fn arm_crossing(&mut self, key: Key) {
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

    pub(super) fn bridge_dial(&mut self, key: Key, conn: ConnId) {
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

    /// A dial is over: the first in line is due at once.
    pub(super) fn dial_next(&mut self, id: BridgeId) {
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

    pub(super) fn bridge_dial_over(&mut self, key: Key) {
        if let Some(bridge) = self.bridges.get(key)
            && let Some(crossing) = bridge.crossings.get_mut(&key.1)
            && crossing.dialing.take().is_some()
        {
            bridge.dialing -= 1;
            self.dial_next(key.0);
            self.bridge_trouble(key, BridgeTrouble::Dial(DialFault::Unreachable));
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
    pub(super) fn answered_dial(&mut self, dial: DialId) -> Option<(Key, ConnId)> {
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
}

/// Dials of one bridge that are under way at once.
const DIALS_MAX: usize = 4;

/// How long one that nobody wants any more is given to get rid of what it has, each time.
const DONE_PAUSE: Duration = Duration::from_secs(1);
