//! A link between two nodes, as one of them sees it (spec: F1, R1, G1).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::lane::Lane;
use super::wire::Label;
use crate::action::GroupId;
use crate::event::{Name, PeerId};
use crate::seed::NodeId;
use crate::session::ahead;
use crate::time::Instant;

/// A link whose handshake is done.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The other node.
    pub(crate) uid: NodeId,
    /// Which end is ours.
    pub(crate) end: End,
    /// The entry of the list that it was dialed by, if it was dialed by us.
    pub(crate) entry: Option<PeerId>,
    /// The largest payload that the other takes.
    pub(crate) max: u64,
    /// How far the other's clock is ahead of ours, in microseconds.
    pub(crate) ahead: i64,
    /// The nodes above the other, root first, if that is our upstream.
    pub(crate) path: Vec<NodeId>,
    /// Since when it stands.
    pub(crate) since: Instant,
    /// When something came last.
    pub(crate) heard: Instant,
    /// Pings sent since.
    pub(crate) pings: u8,
    /// When the keep-alive timer fires next.
    pub(crate) wake: Instant,
    /// When the answer to our turn has to be here (G1.7).
    pub(crate) turn_by: Option<Instant>,
    /// A message's header has come, its payload is next.
    pub(crate) label: Option<Label>,
    /// The channels that are joined on it, or about to be.
    pub(crate) lanes: BTreeMap<GroupId, Lane>,
    /// Lanes that may have something to send, each once, in turn.
    pub(crate) ready: VecDeque<GroupId>,
    /// What goes out ahead of any lane.
    pub(crate) control: VecDeque<Control>,
    /// The channels up to this one were looked at whether they are to be joined; `None` if all were.
    pub(crate) scan: Option<GroupId>,
    /// Whether frames are on their way to the socket: then nothing is added until they are through.
    pub(crate) busy: bool,
    /// What the lanes hold that the history does not.
    pub(crate) kept: u64,
}

/// Our end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum End {
    /// The other is our upstream.
    Lower,
    /// We are the other's upstream.
    Upper,
    /// As `Upper`, but the other does not know yet: what it sends until its `turn` is ignored (G1.4).
    Turning,
}

/// Something to be sent that belongs to no lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Control {
    /// Our path, as it is when there is room for it.
    Path,
    /// We have become the upper end; with our path, as it is then (G1.4).
    Turn,
    /// We have heard that we are the lower end (G1.5).
    Echo,
    /// A join that is refused (C1.8).
    Refuse(Name),
}

impl Link {
    /// Has our path sent, once; a turn that waits to be sent will say it too.
    pub(crate) fn owe_path(&mut self) {
        if !matches!(self.control.back(), Some(Control::Path | Control::Turn)) {
            self.control.push_back(Control::Path);
        }
    }

    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.pings = 0;
    }

    /// Has a lane looked at when there is room.
    pub(crate) fn wake(&mut self, group: GroupId) {
        if let Some(lane) = self.lanes.get_mut(&group)
            && !lane.queued
        {
            lane.queued = true;
            self.ready.push_back(group);
        }
    }

    pub(crate) fn has_something(&self) -> bool {
        !self.control.is_empty() || !self.ready.is_empty() || self.scan.is_some()
    }

    pub(crate) fn hash<H: Hasher>(&self, now: Instant, state: &mut H) {
        (
            self.uid, self.end, self.entry, self.max, self.ahead, &self.path,
        )
            .hash(state);
        (ahead(now, self.heard), self.pings, ahead(self.wake, now)).hash(state);
        self.turn_by.map(|by| ahead(by, now)).hash(state);
        let label = self.label.as_ref();
        label
            .map(|label| {
                (
                    &label.uid,
                    &label.channel,
                    label.origin,
                    label.seq,
                    label.ts,
                )
            })
            .hash(state);
        for (group, lane) in &self.lanes {
            group.hash(state);
            lane.hash(now, state);
        }
        (&self.ready, &self.control, self.scan, self.busy).hash(state);
        ahead(now, self.since).min(SINCE_MAX).hash(state);
    }
}

/// How long a link may have stood is no matter beyond this, in microseconds.
const SINCE_MAX: u64 = 60_000_000;
