//! What comes over links: frames and messages (spec: F1, S1).

use super::link::End;
use super::wire::{self, Label, LinkFrame};
use crate::accept::{Sender, Taken};
use crate::action::GroupId;
use crate::event::{ConnId, Entry};
use crate::frame::Frame;
use crate::history::Dropped;
use crate::node::{AHEAD_MAX, Node};
use crate::time::{Now, micros};
use crate::violation::Violation;

impl Node {
    /// A frame from the other end of a link.
    pub(crate) fn link_frame(&mut self, now: Now, conn: ConnId, frame: Frame) {
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        link.hear(now.mono);
        if let Some(label) = link.label.take() {
            return self.payload(now, conn, label, frame);
        }
        let Some(said) = wire::parse(&frame) else {
            return self.violated(now, conn, Violation::LinkFrame); // F1.4
        };
        let turning = link.end == End::Turning;
        let named = match &said {
            LinkFrame::Message(_) => link.uid,
            LinkFrame::Handshake(handshake) => handshake.uid,
            LinkFrame::Path { uid, .. }
            | LinkFrame::Join { uid, .. }
            | LinkFrame::Done { uid, .. }
            | LinkFrame::Leave { uid, .. } => *uid,
        };
        if named != link.uid {
            return self.violated(now, conn, Violation::LinkUid); // F1.4
        }
        match said {
            LinkFrame::Message(label) => link.label = Some(label),
            LinkFrame::Path {
                path, turn: true, ..
            } => self.turned(now, conn, path),
            LinkFrame::Handshake(_) => self.violated(now, conn, Violation::LinkFrame),
            _ if turning => {} // G1.4
            LinkFrame::Path { path, .. } => self.path_said(now, conn, path),
            LinkFrame::Join { channel, have, .. } => self.join_said(now, conn, &channel, &have),
            LinkFrame::Done { channel, .. } => self.done_said(now, conn, &channel),
            LinkFrame::Leave { channel, .. } => self.leave_said(now, conn, &channel),
        }
    }

    /// A sign of life from the other end of a link (U1.6).
    pub(crate) fn link_heard(&mut self, now: Now, conn: ConnId) {
        if let Some(link) = self.peering.links.get_mut(&conn) {
            link.hear(now.mono);
        }
    }

    /// What was on its way to a link's socket is there: more may follow.
    pub(crate) fn sent(&mut self, conn: ConnId) {
        if let Some(link) = self.peering.links.get_mut(&conn) {
            link.busy = false;
            self.peering.awake.insert(conn);
        }
    }

    /// A message has come over a link (S1.1).
    pub(super) fn payload(&mut self, now: Now, conn: ConnId, label: Label, frame: Frame) {
        let Some(link) = self.peering.links.get(&conn) else {
            return;
        };
        if frame.payload.len() as u64 > self.config.peering.max_payload {
            return self.violated(now, conn, Violation::LinkPayloadTooBig); // F1.5
        }
        let elapsed = micros(now.mono.since(link.since));
        let theirs = link.clock.saturating_add(elapsed);
        if label.ts > theirs.saturating_add(2 * AHEAD_MAX) {
            return self.violated(now, conn, Violation::LinkTime); // F1.6
        }
        let group = self.channels.id(&label.channel);
        let lane = group.and_then(|group| Some((group, link.lanes.get(&group)?)));
        let Some((group, lane)) = lane.filter(|(_, lane)| lane.hears()) else {
            self.stats.link_ignored += 1;
            return; // C1.5
        };
        let recovering = lane.is_recovering();
        self.stats.link_messages += 1;
        if label.ts > now.unix.saturating_add(AHEAD_MAX) {
            self.stats.link_ahead += 1;
            return; // F1.6
        }
        let (own, most) = (self.uid, self.channels.most_origins(group, &self.config));
        if let Some(link) = self.peering.links.get_mut(&conn)
            && let Some(lane) = link.lanes.get_mut(&group)
            && let Some(channel) = self.channels.get(group)
        {
            lane.trim(&channel.seen, &channel.history, own);
            lane.knows(label.origin, label.seq);
            link.received += 1;
        }
        let Label {
            uid,
            origin,
            seq,
            ts,
            ..
        } = label;
        let entry = Entry {
            origin,
            seq,
            ts,
            uid,
            frame,
        };
        let config = &self.config;
        let taken = self.channels.update(group, |channel| {
            let seen = match origin == own {
                true => seq <= channel.seq,
                false => channel.seen.has(origin, seq, ts),
            };
            if seen {
                return None;
            }
            if origin == own {
                channel.seq = seq; // S1.4
                channel.own_ts = channel.own_ts.max(ts);
            } else {
                channel.seen.note(origin, seq, ts, most);
            }
            channel.last_ts = channel.last_ts.max(ts);
            Some(Taken::by(channel, entry, config))
        });
        let Some(taken) = taken.flatten() else {
            self.stats.link_duplicates += 1;
            return;
        };
        self.stats.link_accepted += 1;
        self.stats.link_recovered += u64::from(recovering);
        self.distribute(now, group, taken, Sender::Link(conn)); // S1.2
    }

    /// An accepted message goes to every link on which its channel is joined, but the one it came from.
    pub(crate) fn forward(
        &mut self,
        group: GroupId,
        entry: &Entry,
        from: Option<ConnId>,
        dropped: &Dropped,
    ) {
        let Some(channel) = self.channels.get(group) else {
            return;
        };
        for conn in channel.links.iter().filter(|conn| Some(**conn) != from) {
            let Some(link) = self.peering.links.get_mut(conn) else {
                continue; // It is being taken down.
            };
            if let Some(lane) = link.lanes.get_mut(&group) {
                lane.look(entry);
                link.wake(group);
                self.peering.awake.insert(*conn);
            }
        }
        self.keep(group, dropped);
    }

    /// What has left the history, or was never in it, stays for the links that still need it, within
    /// their bounds (S1.6).
    pub(crate) fn keep(&mut self, group: GroupId, dropped: &Dropped) {
        let Some(channel) = self.channels.get(group) else {
            return;
        };
        let bound = self.config.peering.link_bytes;
        for entry in dropped.iter() {
            for conn in &channel.links {
                let Some(link) = self.peering.links.get_mut(conn) else {
                    continue;
                };
                let Some(lane) = link.lanes.get_mut(&group).filter(|lane| lane.wants(entry)) else {
                    continue;
                };
                if link.kept > 0 && link.kept + entry.cost() > bound {
                    self.stats.link_dropped += 1;
                } else {
                    link.kept += entry.cost();
                    lane.keep(entry.clone());
                }
            }
        }
    }
}
