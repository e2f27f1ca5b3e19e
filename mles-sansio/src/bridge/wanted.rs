//! Which channels are bridged, and how long (spec: B1.2).

use super::Key;
use super::crossing::Crossing;
use crate::action::{Action, GroupId};
use crate::event::BridgeId;
use crate::node::{BATCH, Node};
use crate::notice::BridgeTrouble;
use crate::seed::Seed;
use crate::time::Now;
use crate::timer::Timer;
use crate::violation::Closing;

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

    pub(super) fn review_crossings(&mut self, now: Now, group: GroupId) {
        let channel = self.channels.get(group);
        let wanted = channel.is_some_and(|channel| {
            !channel.members.is_empty() || self.is_wanted_below(group, channel)
        });
        let ready = self.is_synchronised(group);
        let linger = self.config.peering.linger;
        let most = self.config.bridge_channels;
        for id in self.bridges.ids() {
            let key = (id, group);
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

    pub(super) fn begin_crossing(&mut self, now: Now, key: Key) {
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

    pub(super) fn end_crossing(&mut self, now: Now, key: Key) {
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
    pub(super) fn wake_crowded(&mut self, bridge: BridgeId) {
        let most = self.config.bridge_channels;
        let bridge = self.bridges.all.get_mut(bridge.0 as usize);
        if let Some(bridge) = bridge.filter(|it| it.crossings.len() < most) {
            self.bridges.awake.extend(bridge.crowded.pop_first());
        }
    }

    /// All bridges are given up: the server stops.
    pub(crate) fn end_bridges(&mut self, now: Now) {
        for bridge in self.bridges.ids() {
            while let Some(first) = self.bridges.all[bridge.0 as usize].crossings.keys().next() {
                self.end_crossing(now, (bridge, *first));
            }
        }
    }
}
