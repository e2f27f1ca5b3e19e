//! What goes over links: joins and their replies, messages with their headers, in one rule whether they
//! are old, new, or were held up (spec: C1, S1, S3).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::lane::Phase;
use super::link::{Control, Link, Turn};
use super::wire::{Label, LinkFrame};
use crate::action::{Action, GroupId};
use crate::channel::Channel;
use crate::event::ConnId;
use crate::frame::Frame;
use crate::node::{AHEAD_MAX, Node};
use crate::seed::NodeId;
use crate::time::Now;
use crate::timer::Timer;

/// Frames, and bytes beyond the first message, that are handed to a link at a time.
const BATCH_FRAMES: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

/// Lanes that are looked at for one batch: most have nothing to send.
const BATCH_LANES: usize = 1024;

impl Node {
    /// Hands every link that takes more what there is for it, a bounded amount.
    pub(crate) fn pump(&mut self, now: Now) {
        self.dissolve(now);
        self.release(now);
        let mut later = Vec::new();
        while let Some(conn) = self.peering.awake.pop_first() {
            let Some(link) = self.peering.links.get(&conn) else {
                continue;
            };
            if link.busy || !link.has_something() {
                continue;
            }
            let frames = self.fill(now, conn);
            if frames.is_empty() {
                later.push(conn);
                continue;
            }
            if let Some(link) = self.peering.links.get_mut(&conn) {
                link.busy = true;
            }
            let frames: Arc<[Frame]> = frames.into();
            self.emit(Action::Replay { conn, frames });
        }
        for conn in later {
            let link = self.peering.links.get(&conn);
            if link.is_some_and(Link::has_something) {
                // There was nothing to send among all that was looked at; there is more to look at.
                self.peering.awake.insert(conn);
                self.timers.arm(now.mono, Timer::Relief);
            }
        }
        self.arm_review();
    }

    fn arm_review(&mut self) {
        let first = self.peering.reviews.first();
        if first == self.peering.review_armed {
            return;
        }
        if let Some(armed) = self.peering.review_armed {
            self.timers.disarm(armed, Timer::Review);
        }
        if let Some(at) = first {
            self.timers.arm(at, Timer::Review);
        }
        self.peering.review_armed = first;
    }

    /// What goes out next on a link.
    fn fill(&mut self, now: Now, conn: ConnId) -> Vec<Frame> {
        let mut batch = Batch::default();
        while !batch.is_full()
            && let Some(link) = self.peering.links.get_mut(&conn)
            && let Some(control) = link.take_owed()
        {
            let frame = match control {
                Control::Path => self.path_frame(false),
                Control::Turn | Control::Echo => self.path_frame(true),
                Control::Refuse(channel) => {
                    let uid = self.uid;
                    LinkFrame::Leave { uid, channel }
                }
            };
            batch.put(frame.compose());
        }
        for _ in 0..BATCH_FRAMES {
            if batch.is_full() || !self.scan(now, conn) {
                break;
            }
        }
        let mut lanes = 0;
        while !batch.is_full()
            && lanes < BATCH_LANES
            && let Some(link) = self.peering.links.get_mut(&conn)
            && let Some(group) = link.take_ready()
        {
            lanes += 1;
            self.serve(now, conn, group, &mut batch);
        }
        batch.frames
    }

    /// Looks at some more channels whether they are to be joined on a new upstream link. Says whether
    /// there is more to look at (C1.3).
    fn scan(&mut self, now: Now, conn: ConnId) -> bool {
        let Some(link) = self.peering.links.get(&conn) else {
            return false;
        };
        let Some((turn, from)) = link.scan else {
            return false;
        };
        let next = self.channels.since(from).next();
        let next = next.map(|(group, channel)| (group, !channel.history.is_empty()));
        let scan = match (next, turn) {
            (Some((group, _)), _) => Some((turn, GroupId(group.0 + 1))),
            (None, Turn::Wanted) => Some((Turn::Quiet, GroupId(0))),
            (None, Turn::Quiet) => None,
        };
        let joined = next.is_some_and(|(group, _)| link.lanes.contains_key(&group));
        if let Some(link) = self.peering.links.get_mut(&conn) {
            link.scan = scan;
        }
        if let Some((group, remembers)) = next {
            let due = match turn {
                Turn::Wanted => self.is_wanted(now, group),
                Turn::Quiet => remembers,
            };
            if due && !joined {
                self.want(group);
            }
        }
        scan.is_some()
    }

    /// Sends what one channel has for a link, at most half a batch, so that others have their turn.
    fn serve(&mut self, now: Now, conn: ConnId, group: GroupId, batch: &mut Batch) {
        let uid = self.uid;
        let synchronised = self.is_synchronised(group);
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        let (Some(lane), Some(channel)) = (link.lanes.get_mut(&group), self.channels.get(group))
        else {
            return;
        };
        let name = || channel.name.clone();
        match &mut lane.phase {
            Phase::Asking => {
                lane.phase = Phase::AwaitReply;
                let (channel, have) = (name(), have(channel, uid));
                batch.put(LinkFrame::Join { uid, channel, have }.compose());
                return;
            }
            Phase::AwaitReply | Phase::Refused { .. } => return,
            Phase::Serving { owed, .. } => {
                while *owed > 0 {
                    if batch.is_full() {
                        return link.wake(group);
                    }
                    *owed -= 1;
                    let (channel, have) = (name(), have(channel, uid));
                    batch.put(LinkFrame::Join { uid, channel, have }.compose());
                }
            }
            Phase::Joined { .. } => {}
        }
        let share = batch.frames.len() + BATCH_FRAMES / 2;
        let before = lane.kept();
        let (mut more, mut early) = (false, false);
        while let Some(entry) = lane.next(&channel.history) {
            more = batch.is_full() || batch.frames.len() >= share;
            if more {
                break;
            }
            if entry.ts > now.unix.saturating_add(AHEAD_MAX) {
                early = true; // F1.6: the clock was set back since. So is all behind it, in history order.
                break;
            }
            let fits = entry.frame.payload.len() as u64 <= link.max;
            lane.pass(&entry, fits);
            if !fits {
                self.stats.link_too_big += 1; // F1.5
                continue;
            }
            let label = Label {
                uid: entry.uid,
                channel: name(),
                origin: entry.origin,
                seq: entry.seq,
                ts: entry.ts,
            };
            batch.put(LinkFrame::Message(label).compose());
            batch.put(entry.frame);
            self.stats.link_sent += 1;
            link.sent += 1;
        }
        link.kept = link.kept - before + lane.kept();
        lane.trim(&channel.seen, &channel.history, uid);
        if more {
            return link.wake(group);
        }
        if early {
            let later = now.mono + self.config.peering.backoff_max;
            self.peering.reviews.add(later, group);
        }
        match &mut lane.phase {
            Phase::Serving { done, due, .. } => {
                if !*done && (synchronised || *due <= now.mono) {
                    *done = true; // S3.1, S3.2
                    let channel = name();
                    batch.put(LinkFrame::Done { uid, channel }.compose());
                }
            }
            Phase::Joined { leaving: true, .. } if !early => {
                let channel = name();
                batch.put(LinkFrame::Leave { uid, channel }.compose()); // C1.7
                self.take_down(now, conn, group);
            }
            Phase::Joined { .. } | Phase::Asking | Phase::AwaitReply | Phase::Refused { .. } => {}
        }
    }
}

#[derive(Default)]
struct Batch {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Batch {
    fn put(&mut self, frame: Frame) {
        self.bytes += frame.payload.len();
        self.frames.push(frame);
    }

    fn is_full(&self) -> bool {
        self.frames.len() >= BATCH_FRAMES || self.bytes >= BATCH_BYTES
    }
}

/// What a node says that it has of a channel: its own, and what it has seen of others.
fn have(channel: &Channel, own: NodeId) -> Vec<(NodeId, u64)> {
    let own = Some((own, channel.seq)).filter(|(_, seq)| *seq > 0);
    own.into_iter().chain(channel.seen.iter()).collect()
}
