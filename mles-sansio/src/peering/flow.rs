//! What goes over links: joins and their replies, messages with their headers, in one rule whether they
//! are old, new, or were held up (spec: C1, S1, S3, W1).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::lane::{Lane, Phase};
use super::link::{Control, End, Link};
use super::wire::{self, Label, LinkFrame};
use crate::action::{Action, GroupId};
use crate::channel::Channel;
use crate::event::{ConnId, Entry, Name};
use crate::frame::Frame;
use crate::history::Dropped;
use crate::node::{AHEAD_MAX, BATCH, Node, REPLAY_BATCH};
use crate::seed::NodeId;
use crate::time::{Instant, Now, micros};
use crate::timer::Timer;
use crate::violation::Violation;

/// Channels joined upstream up to which they linger there without interest (C1.2).
const LINGERING_MAX: usize = 4096;

/// Frames, and bytes beyond the first message, that are handed to a link at a time.
const BATCH_FRAMES: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

/// Lanes that are looked at for one batch: most have nothing to send.
const BATCH_LANES: usize = 1024;

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
    fn payload(&mut self, now: Now, conn: ConnId, label: Label, frame: Frame) {
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
        let Some(group) = group.filter(|group| link.lanes.get(group).is_some_and(Lane::hears))
        else {
            self.stats.link_ignored += 1;
            return; // C1.5
        };
        self.stats.link_messages += 1;
        if label.ts > now.unix.saturating_add(AHEAD_MAX) {
            self.stats.link_ahead += 1;
            return; // F1.6
        }
        let (own, most) = (self.uid, self.config.peering.origins);
        if let Some(link) = self.peering.links.get_mut(&conn)
            && let Some(lane) = link.lanes.get_mut(&group)
            && let Some(channel) = self.channels.get(group)
        {
            lane.trim(most, &channel.history, |origin| {
                origin == own || channel.seen.highest(origin).is_some()
            });
            lane.knows(label.origin, label.seq);
        }
        let (config, store) = (&self.config, self.config.store_history);
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
        let accepted = self.channels.update(group, |channel| {
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
            let dropped = channel.remember(entry.clone(), config);
            let stored = store.then(|| Action::StoreHistory {
                channel: channel.name.clone(),
                entry: entry.clone(),
            });
            Some((
                !channel.members.is_empty(),
                stored,
                dropped,
                channel.awaits_much(config),
            ))
        });
        let Some((members, stored, dropped, much)) = accepted.flatten() else {
            self.stats.link_duplicates += 1;
            return;
        };
        self.stats.link_accepted += 1;
        if members {
            self.emit(Action::Broadcast {
                group,
                except: None,
                frames: entry.frame.clone().into(),
            });
        }
        if let Some(stored) = stored {
            self.emit(stored);
        }
        self.forward(group, &entry, Some(conn), &dropped);
        if much {
            self.await_no_more(now, group); // W1.5
        }
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

    // --- channels on links ---

    fn lane_mut(&mut self, conn: ConnId, group: GroupId) -> Option<&mut Lane> {
        self.peering.links.get_mut(&conn)?.lanes.get_mut(&group)
    }

    /// Whether somebody here or below wants the channel, or did lately (C1.1, C1.2).
    fn is_wanted(&self, now: Now, group: GroupId) -> bool {
        self.channels.get(group).is_some_and(|channel| {
            !channel.members.is_empty()
                || channel.wanted_until.is_some_and(|until| until > now.mono)
                || self.is_wanted_below(group, channel)
        })
    }

    fn is_wanted_below(&self, group: GroupId, channel: &Channel) -> bool {
        channel.links.iter().any(|conn| {
            let link = self.peering.links.get(conn);
            link.is_some_and(|link| link.end == End::Upper && link.lanes.contains_key(&group))
        })
    }

    /// Joins a channel on the upstream link, unless it is joined there (C1.1).
    pub(crate) fn want(&mut self, group: GroupId) {
        let Some(conn) = self.peering.upstream else {
            return;
        };
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        match link.lanes.get_mut(&group) {
            Some(lane) => {
                if let Phase::Joined { leaving, .. } = &mut lane.phase {
                    *leaving = false;
                }
            }
            None => {
                link.lanes.insert(group, Lane::new(Phase::Asking));
                link.wake(group);
                self.peering.awake.insert(conn);
                self.attach(conn, group);
            }
        }
    }

    /// Whether the history of a channel is the upstream's, as far as it will be (W1.1).
    pub(crate) fn is_synchronised(&self, group: GroupId) -> bool {
        let Some(link) = self.peering.up() else {
            return true;
        };
        link.lanes.get(&group).is_some_and(|lane| match lane.phase {
            Phase::Joined { done, .. } => done,
            Phase::Refused { .. } => true,
            Phase::Asking | Phase::AwaitReply | Phase::Serving { .. } => false,
        })
    }

    /// All channels that the node knows are looked at, a number at a time, whether they are to be joined
    /// on this new upstream link (C1.3).
    pub(crate) fn begin_joins(&mut self, conn: ConnId) {
        if let Some(link) = self.peering.links.get_mut(&conn) {
            link.scan = Some(GroupId(0));
            self.peering.awake.insert(conn);
        }
    }

    /// The lower end joins a channel, or the upper end replies to a join of ours.
    fn join_said(&mut self, now: Now, conn: ConnId, channel: &Name, have: &[(NodeId, u64)]) {
        let Some(link) = self.peering.links.get(&conn) else {
            return;
        };
        match link.end {
            End::Lower => self.reply_said(now, conn, channel, have),
            End::Upper => self.asked(now, conn, channel, have),
            End::Turning => {}
        }
    }

    /// The lower end joins (C1.4).
    fn asked(&mut self, now: Now, conn: ConnId, name: &Name, have: &[(NodeId, u64)]) {
        let known = self.channels.id(name);
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        let joined = known.is_some_and(|group| link.lanes.contains_key(&group));
        let full = link.lanes.len() >= self.config.peering.channels
            || known.is_none() && self.channels.cost() >= self.config.history_bytes;
        if !joined && full {
            // C1.8
            if link.owes_much() {
                return self.violated(now, conn, Violation::LinkFlood);
            }
            link.owe(Control::Refuse(name.clone()));
            self.peering.awake.insert(conn);
            return;
        }
        let group = self.channels.open(name);
        let due = now.mono + self.config.peering.history_wait;
        let lane = link
            .lanes
            .entry(group)
            .or_insert_with(|| Lane::new(serving(due, 0)));
        let (owed, due) = match lane.phase {
            // One who joins again and again is not waited for longer.
            Phase::Serving {
                owed,
                done: false,
                due,
            } => (owed, due),
            Phase::Serving { owed, .. } => (owed, due),
            Phase::Asking | Phase::AwaitReply | Phase::Joined { .. } | Phase::Refused { .. } => {
                (0, due)
            }
        };
        lane.phase = serving(due, owed.saturating_add(1));
        self.attach(conn, group);
        self.tell(conn, group, have);
        self.peering.reviews.add(due, group); // S3.2
        self.want(group);
    }

    /// A channel is on a link from now on.
    fn attach(&mut self, conn: ConnId, group: GroupId) {
        self.channels.update(group, |channel| {
            if !channel.links.contains(&conn) {
                channel.links.push(conn);
            }
        });
    }

    /// The other end of a link says what it has of a channel: what is above that is to be sent (S1.5).
    fn tell(&mut self, conn: ConnId, group: GroupId, have: &[(NodeId, u64)]) {
        let own = self.uid;
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        let Some(lane) = link.lanes.get_mut(&group) else {
            return;
        };
        self.channels.update(group, |channel| {
            // Nothing that is here comes from an origin that is not known here.
            let known = |(origin, _): &&(NodeId, u64)| {
                *origin == own || channel.seen.highest(*origin).is_some()
            };
            lane.tell(have.iter().filter(known).copied());
            above(channel, own, have);
        });
        link.wake(group);
        self.peering.awake.insert(conn);
    }

    /// The upper end replies to our join (C1.5).
    fn reply_said(&mut self, now: Now, conn: ConnId, name: &Name, have: &[(NodeId, u64)]) {
        let group = self.channels.id(name);
        let lane = group.and_then(|group| Some((group, self.lane_mut(conn, group)?)));
        let Some((group, lane)) = lane.filter(|(_, lane)| lane.phase == Phase::AwaitReply) else {
            return self.violated(now, conn, Violation::LinkFrame);
        };
        let (done, leaving) = (false, false);
        lane.phase = Phase::Joined { done, leaving };
        self.tell(conn, group, have);
    }

    /// The upper end has sent what we lacked (S3.1).
    fn done_said(&mut self, now: Now, conn: ConnId, name: &Name) {
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        if link.end != End::Lower {
            return self.violated(now, conn, Violation::LinkFrame);
        }
        let group = self.channels.id(name);
        let Some(group) = group else { return };
        let lane = link.lanes.get_mut(&group);
        let Some(Phase::Joined { done, .. }) = lane.map(|lane| &mut lane.phase) else {
            return; // It belongs to a join that we have taken back.
        };
        *done = true;
        self.synchronised(now, group);
        self.review(now, group);
    }

    /// The lower end leaves a channel, or the upper end refuses to have us on it.
    fn leave_said(&mut self, now: Now, conn: ConnId, name: &Name) {
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        let Some(group) = self.channels.id(name) else {
            return;
        };
        match link.end {
            End::Upper => {
                self.take_down(now, conn, group);
            }
            End::Lower => {
                let Some(lane) = link.lanes.get_mut(&group) else {
                    return;
                };
                if lane.phase != Phase::AwaitReply {
                    return self.violated(now, conn, Violation::LinkFrame);
                }
                let retry = now.mono + self.config.peering.backoff_max;
                lane.phase = Phase::Refused { retry }; // C1.8
                self.peering.reviews.add(retry, group);
                self.synchronised(now, group);
            }
            End::Turning => {}
        }
    }

    /// A channel is no longer on a link.
    fn take_down(&mut self, now: Now, conn: ConnId, group: GroupId) {
        let link = self.peering.links.get_mut(&conn);
        if link.is_some_and(|link| link.drop_lane(group)) {
            self.detach(now, conn, group);
        }
    }

    fn detach(&mut self, now: Now, conn: ConnId, group: GroupId) {
        self.channels.update(group, |channel| {
            channel.links.retain(|link| *link != conn);
        });
        self.interest_may_end(now, group);
    }

    /// All lanes of a link are to be taken down, a number at a time.
    pub(crate) fn drop_lanes(&mut self, now: Now, conn: ConnId) {
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        let lanes = core::mem::take(&mut link.lanes);
        link.ready.clear();
        link.scan = None;
        link.kept = 0;
        if !lanes.is_empty() {
            self.peering.gone.push((conn, lanes));
            self.timers.arm(now.mono, Timer::Relief);
        }
    }

    /// Takes down some of the lanes of links that ended or turned.
    fn dissolve(&mut self, now: Now) {
        let mut left = BATCH;
        while let Some((conn, lanes)) = self.peering.gone.last_mut() {
            let Some((group, _)) = lanes.pop_first() else {
                self.peering.gone.pop();
                continue;
            };
            let conn = *conn;
            let again = self.lane_mut(conn, group).is_some();
            if !again {
                self.detach(now, conn, group);
            }
            left -= 1;
            if left == 0 {
                return self.timers.arm(now.mono, Timer::Relief);
            }
        }
    }

    /// The last member or lower end may have left the channel: it lingers upstream (C1.2).
    pub(crate) fn interest_may_end(&mut self, now: Now, group: GroupId) {
        let Some(upstream) = self.peering.upstream else {
            return;
        };
        let Some(channel) = self.channels.get(group) else {
            return;
        };
        let joined = channel.links.contains(&upstream);
        if !joined || !channel.members.is_empty() || self.is_wanted_below(group, channel) {
            return;
        }
        // Who comes and goes on ever new channels has none of them linger when there are many, or no room.
        let joined = self.peering.up().map_or(0, |link| link.lanes.len());
        let many = joined > LINGERING_MAX || self.channels.cost() >= self.config.history_bytes;
        let linger = if many {
            Duration::ZERO
        } else {
            self.config.peering.linger
        };
        let until = now.mono + linger;
        self.channels
            .update(group, |channel| channel.wanted_until = Some(until));
        self.peering.reviews.add(until, group);
    }

    /// Looks at a channel again: whether it is to be joined, left, tried again, said to be done (C1.2,
    /// C1.8, S3.2).
    fn review(&mut self, now: Now, group: GroupId) {
        let wanted = self.is_wanted(now, group);
        if let Some(conn) = self.peering.upstream {
            if let Some(lane) = self.lane_mut(conn, group) {
                match &mut lane.phase {
                    Phase::Joined { done, leaving } => *leaving = *done && !wanted,
                    Phase::Refused { .. } if !wanted => self.take_down(now, conn, group),
                    Phase::Refused { retry } if *retry <= now.mono => lane.phase = Phase::Asking,
                    Phase::Refused { .. }
                    | Phase::Asking
                    | Phase::AwaitReply
                    | Phase::Serving { .. } => {}
                }
            } else if wanted {
                self.want(group);
            }
        }
        let Some(channel) = self.channels.get(group) else {
            return;
        };
        for conn in &channel.links {
            if let Some(link) = self.peering.links.get_mut(conn) {
                link.wake(group);
                self.peering.awake.insert(*conn);
            }
        }
    }

    /// Says when a channel is to be looked at next, if it is: the first of all that may be due.
    fn review_again(&mut self, now: Now, group: GroupId) {
        let Some(channel) = self.channels.get(group) else {
            return;
        };
        let mut moments: Vec<Instant> = channel.wanted_until.into_iter().collect();
        for conn in &channel.links {
            let link = self.peering.links.get(conn);
            match link
                .and_then(|link| link.lanes.get(&group))
                .map(|lane| &lane.phase)
            {
                Some(Phase::Refused { retry }) => moments.push(*retry),
                Some(Phase::Serving { done, due, .. }) if !done => moments.push(*due),
                Some(_) | None => {}
            }
        }
        let next = moments.into_iter().filter(|at| *at > now.mono).min();
        if let Some(at) = next {
            self.peering.reviews.add(at, group);
        }
    }

    /// The timer for reviews has fired.
    pub(crate) fn review_due(&mut self, now: Now) {
        self.peering.review_armed = None;
        for _ in 0..BATCH {
            let Some(group) = self.peering.reviews.take(now.mono) else {
                break;
            };
            self.review(now, group);
            self.review_again(now, group);
        }
    }

    /// A channel is synchronised, or does not wait for it any more: who waits is served (W1.2, S3.1).
    fn synchronised(&mut self, now: Now, group: GroupId) {
        self.await_no_more(now, group);
        self.review(now, group);
    }

    /// There is no upstream any more: nobody waits for it (W1.2). With many channels, the rest is left to
    /// their own timers.
    pub(crate) fn synchronised_all(&mut self, now: Now) {
        let waiting = self.channels.waiting(BATCH);
        self.peering.releasing.extend(waiting);
        self.release(now);
    }

    /// Everybody who waits for the history of a channel gets what there is: many in turns.
    pub(crate) fn await_no_more(&mut self, now: Now, group: GroupId) {
        self.peering.releasing.insert(group);
        self.release(now);
    }

    /// Begins replays of those who wait no more, as many as one event may.
    fn release(&mut self, now: Now) {
        while let Some(group) = self.peering.releasing.first().copied() {
            let channel = self.channels.get(group);
            let Some(conn) = channel.and_then(|channel| channel.waiting.first().copied()) else {
                self.peering.releasing.pop_first();
                continue;
            };
            if self.replayed >= REPLAY_BATCH {
                return self.timers.arm(now.mono, Timer::Relief);
            }
            self.start_replay(now, conn);
        }
    }

    // --- what is sent ---

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
        let Some(from) = link.scan else {
            return false;
        };
        let next = self.channels.since(from).next();
        let next = next.map(|(group, channel)| (group, !channel.history.is_empty()));
        if let Some(link) = self.peering.links.get_mut(&conn) {
            link.scan = next.map(|(group, _)| GroupId(group.0 + 1));
        }
        let Some((group, remembers)) = next else {
            return false;
        };
        if remembers || self.is_wanted(now, group) {
            self.want(group);
        }
        true
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
        }
        link.kept = link.kept - before + lane.kept();
        let known = |origin| origin == uid || channel.seen.highest(origin).is_some();
        lane.trim(self.config.peering.origins, &channel.history, known);
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

fn serving(due: Instant, owed: u32) -> Phase {
    let done = false;
    Phase::Serving { owed, done, due }
}

/// What a node says that it has of a channel: its own, and what it has seen of others.
fn have(channel: &Channel, own: NodeId) -> Vec<(NodeId, u64)> {
    let own = Some((own, channel.seq)).filter(|(_, seq)| *seq > 0);
    own.into_iter().chain(channel.seen.iter()).collect()
}

/// A node that hears of a number of its own that is higher than it knows goes on above it (S1.4).
fn above(channel: &mut Channel, own: NodeId, have: &[(NodeId, u64)]) {
    if let Some((_, seq)) = have.iter().find(|(origin, _)| *origin == own) {
        channel.seq = channel.seq.max(*seq);
    }
}
