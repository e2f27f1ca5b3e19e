//! Channels on links: joins, replies, leaves, and what an end has been told (spec: C1, S1).

use super::lane::{Lane, Phase};
use super::link::{Control, End, Turn};
use crate::action::GroupId;
use crate::channel::Channel;
use crate::event::{ConnId, Name};
use crate::node::{BATCH, Node};
use crate::seed::NodeId;
use crate::time::{Instant, Now};
use crate::timer::Timer;
use crate::violation::Violation;

impl Node {
    pub(super) fn lane_mut(&mut self, conn: ConnId, group: GroupId) -> Option<&mut Lane> {
        self.peering.links.get_mut(&conn)?.lanes.get_mut(&group)
    }

    /// Whether somebody here or below wants the channel, or did lately (C1.1, C1.2).
    pub(super) fn is_wanted(&self, now: Now, group: GroupId) -> bool {
        self.channels.get(group).is_some_and(|channel| {
            !channel.members.is_empty()
                || channel.wanted_until.is_some_and(|until| until > now.mono)
                || self.is_wanted_below(group, channel)
        })
    }

    pub(crate) fn is_wanted_below(&self, group: GroupId, channel: &Channel) -> bool {
        channel.links.iter().any(|conn| {
            let link = self.peering.links.get(conn);
            link.is_some_and(|link| link.end == End::Upper && link.lanes.contains_key(&group))
        })
    }

    /// Joins a channel on the upstream link, unless it is joined there (C1.1).
    pub(crate) fn want(&mut self, group: GroupId) {
        self.bridges.look(group);
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
            link.scan = Some((Turn::Wanted, GroupId(0)));
            self.peering.awake.insert(conn);
        }
    }

    /// The lower end joins a channel, or the upper end replies to a join of ours.
    pub(super) fn join_said(
        &mut self,
        now: Now,
        conn: ConnId,
        channel: &Name,
        have: &[(NodeId, u64)],
    ) {
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
    pub(super) fn asked(&mut self, now: Now, conn: ConnId, name: &Name, have: &[(NodeId, u64)]) {
        let known = self.channels.id(name);
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        let joined = known.is_some_and(|group| link.lanes.contains_key(&group));
        let full = link.lanes.len() >= self.config.peering.channels
            || known.is_none() && self.channels.are_full(&self.config);
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
    pub(super) fn attach(&mut self, conn: ConnId, group: GroupId) {
        self.channels.update(group, |channel| {
            if !channel.links.contains(&conn) {
                channel.links.push(conn);
            }
        });
    }

    /// The other end of a link says what it has of a channel: what is above that is to be sent (S1.5).
    pub(super) fn tell(&mut self, conn: ConnId, group: GroupId, have: &[(NodeId, u64)]) {
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
    pub(super) fn reply_said(
        &mut self,
        now: Now,
        conn: ConnId,
        name: &Name,
        have: &[(NodeId, u64)],
    ) {
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
    pub(super) fn done_said(&mut self, now: Now, conn: ConnId, name: &Name) {
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
        self.stats.link_resyncs += u64::from(!*done);
        *done = true;
        self.synchronised(now, group);
    }

    /// The lower end leaves a channel, or the upper end refuses to have us on it.
    pub(super) fn leave_said(&mut self, now: Now, conn: ConnId, name: &Name) {
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
                self.stats.link_refusals += 1;
                self.peering.reviews.add(retry, group);
                self.synchronised(now, group);
            }
            End::Turning => {}
        }
    }

    /// A channel is no longer on a link.
    pub(super) fn take_down(&mut self, now: Now, conn: ConnId, group: GroupId) {
        let link = self.peering.links.get_mut(&conn);
        if link.is_some_and(|link| link.drop_lane(group)) {
            self.detach(now, conn, group);
        }
    }

    pub(super) fn detach(&mut self, now: Now, conn: ConnId, group: GroupId) {
        self.channels.update(group, |channel| {
            channel.links.retain(|link| *link != conn);
        });
        self.interest_may_end(now, group);
        self.arm_expiry(now); // L1.3, S2.1
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
    pub(super) fn dissolve(&mut self, now: Now) {
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
}

fn serving(due: Instant, owed: u32) -> Phase {
    let done = false;
    Phase::Serving { owed, done, due }
}

/// A node that hears of a number of its own that is higher than it knows goes on above it (S1.4).
fn above(channel: &mut Channel, own: NodeId, have: &[(NodeId, u64)]) {
    if let Some((_, seq)) = have.iter().find(|(origin, _)| *origin == own) {
        channel.seq = channel.seq.max(*seq);
    }
}
