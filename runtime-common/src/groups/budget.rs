//! The budget of all outboxes together: bounds on each session alone multiply with the sessions, and a
//! small host has one memory (spec: L3.10).

use std::collections::BinaryHeap;

use mles_sansio::ConnId;

use super::{Groups, slot};

/// Who has to give way when outboxes hold too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// What waited for this member is dropped: the core is to hear of the overrun.
    Overrun(ConnId),
    /// This connection is forgotten, in the middle of a frame: its transport has to go.
    Dropped(ConnId),
}

/// What holds memory: the log of the group at a place, or what is one connection's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Log(usize),
    Own(ConnId),
}

impl Groups {
    /// Brings what all outboxes hold back under the budget, and says who gave way. To be called after a
    /// delivery.
    ///
    /// It looks, at everything, only when an eighth of the budget has come in since the last time, so
    /// that the budget is exceeded by that much at most. The largest holder goes first: of a log, the
    /// members that are furthest behind.
    pub fn relieve(&mut self) -> Vec<Excess> {
        let mut excess = Vec::new();
        if self.appended < self.budget / 8 {
            return excess;
        }
        self.appended = 0;
        let logs = self.table.iter().enumerate().filter_map(|(place, group)| {
            let held = group.as_ref()?.log.held() as u64;
            Some((held, Holder::Log(place)))
        });
        let own = self.recipients.iter().flatten();
        let own = own.map(|recipient| (recipient.own.held(), Holder::Own(recipient.conn)));
        let mut holders: BinaryHeap<_> = logs.chain(own).filter(|(held, _)| *held > 0).collect();
        let mut total: u64 = holders.iter().map(|(held, _)| held).sum();
        while total > self.budget
            && let Some((held, holder)) = holders.pop()
        {
            total -= held;
            match holder {
                Holder::Log(place) => {
                    let behind = self.furthest_behind(place);
                    if behind.is_empty() {
                        continue; // It is about to be empty, or is kept by nobody.
                    }
                    for conn in behind {
                        self.overrun(conn);
                        excess.push(Excess::Overrun(conn));
                        // A frame in progress stays, now as the connection's own.
                        let own = self.recipient(conn).map_or(0, |r| r.own.held());
                        total += own;
                        holders.push((own, Holder::Own(conn)));
                    }
                    self.settle(place);
                    let group = self.table[place].as_ref();
                    let left = group.map_or(0, |group| group.log.held() as u64);
                    total += left;
                    holders.push((left, Holder::Log(place)));
                }
                Holder::Own(conn) => {
                    self.remove(conn);
                    excess.push(Excess::Dropped(conn));
                }
            }
        }
        excess
    }

    /// The members that keep a log longest.
    fn furthest_behind(&self, place: usize) -> Vec<ConnId> {
        let Some(group) = &self.table[place] else {
            return Vec::new();
        };
        let cursor = |conn: ConnId| {
            let recipient = self.recipients.get(slot(conn))?.as_ref()?;
            Some(recipient.membership.as_ref()?.cursor)
        };
        let cursors = || {
            group
                .members
                .iter()
                .filter_map(|&conn| Some((cursor(conn)?, conn)))
        };
        let floor = cursors().map(|(cursor, _)| cursor).min();
        let behind =
            cursors().filter(|(cursor, _)| Some(*cursor) == floor && *cursor < group.log.end());
        behind.map(|(_, conn)| conn).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mles_sansio::{Frame, Frames, GroupId};

    use super::*;
    use crate::groups::Progress;

    const KIB: usize = 1024;

    fn table(budget: usize, members: &[(u64, u64)]) -> Groups {
        let mut groups = Groups::new(1024 * KIB, budget as u64);
        for &(conn, group) in members {
            groups.open(ConnId(conn));
            groups.join(ConnId(conn), GroupId(group));
        }
        groups
    }

    fn broadcast(groups: &mut Groups, group: u64, length: usize) {
        let frames = Frames::One(Frame::binary(vec![7; length]));
        let _ = groups.broadcast(GroupId(group), None, &frames);
        groups.delivered(GroupId(group));
    }

    fn drain(groups: &mut Groups, conn: u64) -> usize {
        let mut taken = 0;
        loop {
            let length = groups.next(ConnId(conn)).len();
            if length == 0 {
                groups.flushed(ConnId(conn));
                return taken;
            }
            taken += length;
            groups.advance(ConnId(conn), length);
        }
    }

    /// L3.10: of the largest log, those who keep it longest go, and nobody else.
    #[test]
    fn the_furthest_behind_in_the_largest_log_give_way() {
        let mut groups = table(512 * KIB, &[(0, 1), (1, 1), (2, 1), (3, 2)]);
        for round in 0..5 {
            broadcast(&mut groups, 1, 100 * KIB);
            assert!(!groups.blocked(ConnId(0)));
            if round < 2 {
                drain(&mut groups, 1);
            }
            drain(&mut groups, 2);
            groups.delivered(GroupId(1));
        }
        broadcast(&mut groups, 2, 60 * KIB);
        assert_eq!(groups.relieve(), [Excess::Overrun(ConnId(0))]);
        // What members 1 and 3 wait for is still there, in full.
        assert_eq!(drain(&mut groups, 1), 3 * (100 * KIB + 10));
        assert_eq!(drain(&mut groups, 3), 60 * KIB + 4);
        assert_eq!(groups.next(ConnId(0)), [0; 0]);
        assert_eq!(groups.log_bytes(), 0);
    }

    /// L3.10: a frame in progress that a lagging session does not take goes with its connection.
    #[test]
    fn frames_in_progress_give_way_with_their_connections() {
        let mut groups = table(512 * KIB, &[(0, 1), (1, 2)]);
        broadcast(&mut groups, 1, 600 * KIB);
        assert!(!groups.next(ConnId(0)).is_empty());
        groups.advance(ConnId(0), 5);
        assert_eq!(
            groups.relieve(),
            [Excess::Overrun(ConnId(0)), Excess::Dropped(ConnId(0))]
        );
        assert!(groups.next(ConnId(0)).is_empty());
        assert_eq!(groups.log_bytes(), 0);
    }

    /// Nothing is looked at, and nobody gives way, while little has come in; a replay is the
    /// history's, not an outbox's (L3.6).
    #[test]
    fn replays_do_not_count() {
        let mut groups = table(512 * KIB, &[(0, 1)]);
        let frames: Arc<[Frame]> = vec![Frame::binary(vec![7; 600 * KIB]); 4].into();
        assert_eq!(groups.replay(ConnId(0), frames), Progress::None);
        broadcast(&mut groups, 1, 100 * KIB);
        assert_eq!(groups.relieve(), []);
        broadcast(&mut groups, 1, 10);
        assert_eq!(groups.relieve(), []);
        assert_eq!(
            drain(&mut groups, 0),
            4 * (600 * KIB + 10) + 100 * KIB + 10 + 12
        );
    }
}
