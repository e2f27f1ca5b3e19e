//! What goes over bridges, and what comes (spec: B1.4 to B1.9).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::Key;
use super::crossing::{Crossing, Waits};
use crate::accept::Sender;
use crate::action::{Action, GroupId};
use crate::client::{Age, ClientAction, ClientEvent, ClientNotice, Delivery, End, digest};
use crate::event::{BridgeId, Entry};
use crate::frame::Frame;
use crate::header;
use crate::node::Node;
use crate::notice::BridgeTrouble;
use crate::time::Now;

impl Node {
    /// The client of a crossing takes an event, and what it says is done.
    pub(super) fn advance(&mut self, now: Now, key: Key, event: ClientEvent) {
        let Some(crossing) = self.bridges.crossing(key) else {
            return;
        };
        let mut header = matches!(event, ClientEvent::Opened { .. });
        let mut frames = Vec::new();
        for action in crossing.handle(now, event) {
            match action {
                ClientAction::Dial { conn } => self.bridge_dial(key, conn),
                ClientAction::Send { frame, .. } if header => {
                    header = false; // What follows is written behind it.
                    let conn = self.bridges.crossing(key).and_then(|it| it.conn);
                    if let Some((conn, _)) = conn {
                        let frames = frame.into();
                        self.emit(Action::Send { conn, frames });
                    }
                }
                ClientAction::Send { frame, .. } => frames.push(frame),
                ClientAction::Deliver(delivery) => self.crossed(now, key, delivery),
                ClientAction::Refused { .. } => self.stats.bridge_dropped += 1,
                ClientAction::Notice(notice) => self.crossing_says(now, key, notice),
                // It gives a dial up, which is told by its id; it never closes, for it is never asked to finish.
                ClientAction::Drop { .. } => self.bridge_dial_over(key),
                ClientAction::Close { .. } | ClientAction::Room => {}
            }
        }
        let conn = self.bridges.crossing(key).and_then(|it| it.conn);
        if let Some((conn, _)) = conn.filter(|_| !frames.is_empty()) {
            self.stats.bridge_sent += frames.len() as u64;
            let frames: Arc<[Frame]> = frames.into();
            self.emit(Action::Replay { conn, frames });
        }
        self.arm_crossing(key);
    }

    pub(super) fn crossing_says(&mut self, now: Now, key: Key, notice: ClientNotice) {
        match notice {
            ClientNotice::CaughtUp { .. } => {
                let crossing = self.bridges.crossing(key);
                let frames = crossing.map(Crossing::caught_up).unwrap_or_default();
                for frame in frames {
                    self.bridge_send(now, key, frame);
                }
            }
            ClientNotice::Ended(end) => {
                if let Some(bridge) = self.bridges.get(key)
                    && let Some(crossing) = bridge.crossings.get_mut(&key.1)
                {
                    let longest = crossing.longest_in_doubt().filter(|it| *it > 0);
                    if let (End::Refused { code: 1009 }, Some(longest)) = (end, longest) {
                        bridge.too_long = bridge.too_long.min(longest);
                    }
                    crossing.again(now.mono + REFUSED_PAUSE, bridge.too_long);
                }
                if let End::Refused { code } = end {
                    self.bridge_trouble(key, BridgeTrouble::Refused(code));
                }
            }
            ClientNotice::Connected
            | ClientNotice::Waiting { .. }
            | ClientNotice::Resumed { .. } => {}
        }
    }

    /// A message has come from the other end of a bridge.
    pub(crate) fn bridge_frame(&mut self, now: Now, key: Key, frame: Frame) {
        let conn = self.bridges.crossing(key).and_then(|it| it.conn);
        if let Some((_, conn)) = conn {
            self.advance(now, key, ClientEvent::Frame { conn, frame });
        }
    }

    /// What was on its way to the socket of a bridge is there.
    pub(crate) fn bridge_written(&mut self, now: Now, key: Key) {
        let conn = self.bridges.crossing(key).and_then(|it| it.conn);
        if let Some((_, conn)) = conn {
            self.advance(now, key, ClientEvent::Written { conn });
        }
    }

    /// What this node has accepted goes over the bridges on whose far side it is not yet (B1.4).
    pub(crate) fn cross(
        &mut self,
        now: Now,
        group: GroupId,
        entry: &Entry,
        from: Option<BridgeId>,
    ) {
        for id in self.bridges.ids() {
            let key = (id, group);
            let Some(bridge) = self.bridges.get(key) else {
                continue;
            };
            if from == Some(key.0) || bridge.name == entry.uid {
                continue;
            }
            let Some(crossing) = bridge.crossings.get_mut(&group) else {
                continue;
            };
            match crossing.wait(&entry.frame) {
                Waits::No => self.bridge_send(now, key, entry.frame.clone()),
                Waits::Yes => {}
                Waits::Lost => self.stats.bridge_dropped += 1,
            }
        }
    }

    /// A message goes across, if it is not too long for the other end.
    pub(super) fn bridge_send(&mut self, now: Now, key: Key, frame: Frame) {
        match self.bridges.get(key) {
            Some(bridge) if frame.payload.len() < bridge.too_long => {
                self.advance(now, key, ClientEvent::Send { frame });
            }
            Some(_) | None => self.stats.bridge_dropped += 1,
        }
    }

    /// A message has come that the client takes for new: it is this node's, unless the node knows it
    /// in another way (B1.5, B1.6, B1.9).
    pub(super) fn crossed(&mut self, now: Now, key: Key, delivery: Delivery) {
        let group = key.1;
        let digest_key = self.bridges.digest_key;
        let Some(bridge) = self.bridges.all.get_mut(key.0.0 as usize) else {
            return;
        };
        let Some(crossing) = bridge.crossings.get_mut(&group) else {
            return;
        };
        let name = bridge.name.clone();
        let Some(channel) = self.channels.get(group) else {
            return;
        };
        let (uid, frame) = match &delivery.joined {
            Some(uid) => (uid.clone(), header::announcement(uid, &channel.name)), // A3, J3.1
            None => (name, delivery.frame),
        };
        self.stats.bridge_messages += 1;
        let announced = delivery.joined.is_some() && channel.history.announces(&uid);
        let digest = digest(&digest_key, &frame);
        if crossing.knows(digest) || announced || crossing.is_own(&uid) {
            self.stats.bridge_known += 1;
            return;
        }
        if delivery.age == Age::Live && crossing.repeats.too_often(now.mono, digest) {
            self.stats.bridge_repeats += 1;
            return self.bridge_trouble(key, BridgeTrouble::Loop);
        }
        self.accept(now, group, uid, frame, Sender::Bridge(key.0));
    }
}

/// The pause behind a refusal that the other end means to stay (B1.10).
const REFUSED_PAUSE: Duration = Duration::from_secs(5 * 60);
