//! When channels on links are to be looked at again: for each channel the earliest moment, so that who
//! comes and goes all the time leaves no more than one behind.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::action::GroupId;
use crate::time::Instant;

#[derive(Clone, Debug, Default)]
pub(crate) struct Reviews {
    by_time: BTreeSet<(Instant, GroupId)>,
    by_channel: BTreeMap<GroupId, Instant>,
}

impl Reviews {
    /// Has a channel looked at by then.
    pub(crate) fn add(&mut self, at: Instant, group: GroupId) {
        match self.by_channel.get(&group) {
            Some(known) if *known <= at => return,
            Some(known) => {
                self.by_time.remove(&(*known, group));
            }
            None => {}
        }
        self.by_channel.insert(group, at);
        self.by_time.insert((at, group));
    }

    /// Takes a channel whose moment has come.
    pub(crate) fn take(&mut self, now: Instant) -> Option<GroupId> {
        let (at, group) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_channel.remove(&group);
        Some(group)
    }

    /// The earliest of all.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Instant, GroupId)> {
        self.by_time.iter()
    }
}
