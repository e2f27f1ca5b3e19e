//! Groups: their members, the log that all of them read, and its delivery.

use mles_sansio::{ConnId, Frames, GroupId};

use super::{Groups, State, slot};
use crate::log::Log;

#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) log: Log,
    pub(super) members: Vec<ConnId>,
    /// Where the log ended at the last delivery.
    pub(super) delivered: u64,
    /// Members that the last delivery left behind.
    pub(super) behind: usize,
}

#[derive(Debug)]
pub(super) struct Membership {
    /// The group's place in the table.
    pub(super) place: usize,
    /// This member's place in the group's `members`.
    pub(super) index: usize,
    pub(super) cursor: u64,
    /// The end of the last unit that is kept from this member: before it, units have to be looked at.
    pub(super) kept_until: u64,
    pub(super) behind: bool,
}

/// How far a broadcast filled its group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fill {
    /// The group has something to deliver, and had nothing before.
    First,
    /// It had something before.
    Room,
    /// Deliver this group before anything else is broadcast on it.
    Deliver,
}

impl Groups {
    /// `Action::Broadcast`.
    pub fn broadcast(&mut self, group: GroupId, except: Option<ConnId>, frames: &Frames) -> Fill {
        let Some(&place) = self.places.get(&group) else {
            return Fill::Room;
        };
        let Some(found) = self.table[place].as_mut() else {
            return Fill::Room;
        };
        let before = found.log.end();
        let first = before == found.delivered;
        let end = found.log.append(frames, except, &mut self.spares);
        self.appended += end - before;
        let fill = if end - found.delivered > UNDELIVERED {
            Fill::Deliver
        } else if first {
            Fill::First
        } else {
            Fill::Room
        };
        if let Some(sender) = except.and_then(|conn| self.recipient(conn))
            && let Some(membership) = &mut sender.membership
            && membership.place == place
        {
            membership.kept_until = end;
        }
        fill
    }

    /// `Action::Join`.
    pub fn join(&mut self, conn: ConnId, id: GroupId) {
        if self.recipient(conn).is_none_or(|r| r.state != State::Open) {
            return;
        }
        let place = self.place(id);
        let Some(group) = self.table[place].as_mut() else {
            return;
        };
        let cursor = group.log.end();
        let membership = Membership {
            place,
            index: group.members.len(),
            cursor,
            kept_until: cursor,
            behind: false,
        };
        group.members.push(conn);
        if let Some(recipient) = self.recipient(conn) {
            debug_assert!(
                recipient.membership.is_none(),
                "a connection is in one group"
            );
            recipient.membership = Some(membership);
        }
    }

    /// The members of a group if its log has grown, for one delivery; `delivered` ends it.
    #[must_use]
    pub fn members(&self, id: GroupId) -> &[ConnId] {
        let place = self.places.get(&id);
        match place.and_then(|&place| self.table[place].as_ref()) {
            Some(group) if group.log.end() > group.delivered => &group.members,
            Some(_) | None => &[],
        }
    }

    /// Ends a delivery: what every member has taken is forgotten.
    pub fn delivered(&mut self, id: GroupId) {
        let Some(&place) = self.places.get(&id) else {
            return;
        };
        let Some(group) = &mut self.table[place] else {
            return;
        };
        group.delivered = group.log.end();
        self.settle(place);
    }

    /// Counts who is behind, and forgets what every member has taken.
    pub(super) fn settle(&mut self, place: usize) {
        let Some(group) = &mut self.table[place] else {
            return;
        };
        let end = group.delivered;
        group.behind = 0;
        let mut floor = end;
        for &conn in &group.members {
            let recipient = self.recipients.get_mut(slot(conn)).and_then(Option::as_mut);
            if let Some(membership) = recipient.and_then(|r| r.membership.as_mut()) {
                membership.behind = membership.cursor < end;
                group.behind += usize::from(membership.behind);
                floor = floor.min(membership.cursor);
            }
        }
        group.log.trim(floor, &mut self.spares);
    }

    /// Bytes of memory that all logs hold.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.table
            .iter()
            .flatten()
            .map(|group| group.log.held())
            .sum()
    }

    /// A member that the last delivery left behind is at the end: the log may be free.
    pub(super) fn caught_up(&mut self, conn: ConnId) {
        let Some(Some(recipient)) = self.recipients.get_mut(slot(conn)) else {
            return;
        };
        let Some(membership) = recipient.membership.as_mut().filter(|m| m.behind) else {
            return;
        };
        let Some(group) = &mut self.table[membership.place] else {
            return;
        };
        if membership.cursor >= group.delivered {
            membership.behind = false;
            group.behind -= 1;
            if group.behind == 0 {
                group.log.trim(group.delivered, &mut self.spares);
            }
        }
    }

    /// Ends a membership.
    pub(super) fn detach(&mut self, conn: ConnId) {
        let Some(recipient) = self.recipient(conn) else {
            return;
        };
        let Some(membership) = recipient.membership.take() else {
            return;
        };
        let Some(group) = &mut self.table[membership.place] else {
            return;
        };
        group.behind -= usize::from(membership.behind);
        group.members.swap_remove(membership.index);
        if group.members.is_empty() {
            self.places.remove(&group.id);
            self.table[membership.place] = None;
            self.free.push(membership.place);
            return;
        }
        if group.behind == 0 {
            group.log.trim(group.delivered, &mut self.spares);
        }
        let moved = group.members.get(membership.index).copied();
        if let Some(moved) = moved.and_then(|conn| self.recipient(conn))
            && let Some(other) = &mut moved.membership
        {
            other.index = membership.index;
        }
    }

    /// Where a group is; it comes into being here.
    fn place(&mut self, id: GroupId) -> usize {
        let (table, free) = (&mut self.table, &mut self.free);
        *self.places.entry(id).or_insert_with(|| {
            let group = Some(Group {
                id,
                log: Log::default(),
                members: Vec::new(),
                delivered: 0,
                behind: 0,
            });
            match free.pop() {
                Some(place) => {
                    table[place] = group;
                    place
                }
                None => {
                    table.push(group);
                    table.len() - 1
                }
            }
        })
    }
}

/// What a log may take between two deliveries.
pub(super) const UNDELIVERED: u64 = 256 * 1024;
