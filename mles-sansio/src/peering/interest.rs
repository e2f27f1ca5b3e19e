//! Who wants a channel, for how long, and who waits for its history (spec: C1, S3, W1).

use alloc::vec::Vec;
use core::time::Duration;

use super::lane::Phase;
use crate::action::GroupId;
use crate::node::{BATCH, Node, REPLAY_BATCH};
use crate::time::{Instant, Now};
use crate::timer::Timer;

/// Channels joined upstream up to which they linger there without interest (C1.2).
const LINGERING_MAX: usize = 4096;

impl Node {
    /// The last member or lower end may have left the channel: it lingers upstream (C1.2).
    pub(crate) fn interest_may_end(&mut self, now: Now, group: GroupId) {
        self.bridges.look(group);
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
        let many = joined > LINGERING_MAX || self.channels.are_full(&self.config);
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
    pub(super) fn review(&mut self, now: Now, group: GroupId) {
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
    pub(super) fn review_again(&mut self, now: Now, group: GroupId) {
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
    pub(super) fn synchronised(&mut self, now: Now, group: GroupId) {
        self.bridges.look(group);
        self.await_no_more(now, group);
        self.review(now, group);
    }

    /// There is no upstream any more: nobody waits for it (W1.2). With many channels, the rest is left to
    /// their own timers.
    pub(crate) fn synchronised_all(&mut self, now: Now) {
        self.bridges.look_at_all();
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
    pub(super) fn release(&mut self, now: Now) {
        while let Some(group) = self.peering.releasing.first().copied() {
            let channel = self.channels.get(group);
            let Some(conn) = channel.and_then(|channel| channel.waiting.keys().next().copied())
            else {
                self.peering.releasing.pop_first();
                continue;
            };
            if self.replayed >= REPLAY_BATCH {
                return self.timers.arm(now.mono, Timer::Relief);
            }
            self.start_replay(now, conn);
        }
    }
}
