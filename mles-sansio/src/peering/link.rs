//! A link between two nodes, as one of them sees it (spec: F1, R1, G1).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::lane::Lane;
use super::wire::Label;
use crate::action::GroupId;
use crate::event::{Name, PeerId, Source};
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
    /// The entry of the list that it was dialed by, if it was dialed by us and not turned since.
    pub(crate) entry: Option<PeerId>,
    /// The same, turned or not, and where the other end is: to be told.
    pub(crate) peer: Option<PeerId>,
    pub(crate) source: Source,
    /// Messages that came over it on joined channels, and that were sent over it: to be told.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// The largest payload that the other takes.
    pub(crate) max: u64,
    /// The other's clock when the link was opened, in microseconds since 1970.
    pub(crate) clock: u64,
    /// Our own then.
    pub(crate) own_clock: u64,
    /// The nodes above the other, root first, if that is our upstream.
    pub(crate) path: Vec<NodeId>,
    /// Since when it stands.
    pub(crate) since: Instant,
    /// When something came last.
    pub(crate) heard: Instant,
    /// When it was asked for a sign of life, if it is suspected to be dead (R1.6).
    pub(crate) suspected: Option<Instant>,
    /// When the keep-alive timer fires next.
    pub(crate) wake: Instant,
    /// When the answer to our turn has to be here (G1.7).
    pub(crate) turn_by: Option<Instant>,
    /// A message's header has come, its payload is next.
    pub(crate) label: Option<Label>,
    /// The channels that are joined on it, or about to be.
    pub(crate) lanes: BTreeMap<GroupId, Lane>,
    /// Lanes that may have something to send, each once, in turn: by the ticket that the lane knows.
    pub(crate) ready: BTreeMap<u64, GroupId>,
    /// What goes out ahead of any lane.
    pub(crate) control: VecDeque<Control>,
    /// What that costs.
    pub(crate) owed: u64,
    /// The channels up to this one were looked at whether they are to be joined, first those that somebody
    /// wants, then the others; `None` if all were.
    pub(crate) scan: Option<(Turn, GroupId)>,
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

/// Which channels are joined on a new upstream link (C1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// Those that somebody wants.
    Wanted,
    /// Those of which there is history.
    Quiet,
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

impl Control {
    fn cost(&self) -> u64 {
        match self {
            Self::Path | Self::Turn | Self::Echo => CONTROL_COST,
            Self::Refuse(name) => CONTROL_COST + name.len() as u64,
        }
    }
}

impl Link {
    /// Has something sent ahead of all lanes.
    pub(crate) fn owe(&mut self, control: Control) {
        self.owed += control.cost();
        self.control.push_back(control);
    }

    /// Has our path sent, once; a turn that waits to be sent will say it too.
    pub(crate) fn owe_path(&mut self) {
        if !matches!(self.control.back(), Some(Control::Path | Control::Turn)) {
            self.owe(Control::Path);
        }
    }

    /// What is to be sent ahead of all lanes.
    pub(crate) fn take_owed(&mut self) -> Option<Control> {
        let control = self.control.pop_front()?;
        self.owed -= control.cost();
        Some(control)
    }

    /// Whether the other has us owe it more than it takes (C1.8).
    pub(crate) fn owes_much(&self) -> bool {
        self.owed >= CONTROL_MAX
    }

    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Has a lane looked at when there is room.
    pub(crate) fn wake(&mut self, group: GroupId) {
        if let Some(lane) = self.lanes.get_mut(&group)
            && lane.queued.is_none()
        {
            let last = self.ready.last_key_value();
            let ticket = last.map_or(0, |(ticket, _)| ticket + 1);
            lane.queued = Some(ticket);
            self.ready.insert(ticket, group);
        }
    }

    /// The lane whose turn it is.
    pub(crate) fn take_ready(&mut self) -> Option<GroupId> {
        let (_, group) = self.ready.pop_first()?;
        if let Some(lane) = self.lanes.get_mut(&group) {
            lane.queued = None;
        }
        Some(group)
    }

    /// Ends a lane.
    pub(crate) fn drop_lane(&mut self, group: GroupId) -> bool {
        let Some(lane) = self.lanes.remove(&group) else {
            return false;
        };
        self.kept -= lane.kept().min(self.kept);
        if let Some(ticket) = lane.queued {
            self.ready.remove(&ticket);
        }
        true
    }

    pub(crate) fn has_something(&self) -> bool {
        !self.control.is_empty() || !self.ready.is_empty() || self.scan.is_some()
    }

    pub(crate) fn hash<H: Hasher>(&self, now: Instant, state: &mut H) {
        (
            self.uid, self.end, self.entry, self.max, self.clock, &self.path,
        )
            .hash(state);
        self.own_clock.hash(state);
        (ahead(now, self.heard), ahead(self.wake, now)).hash(state);
        let suspected = self
            .suspected
            .map(|since| (ahead(now, since), self.heard > since));
        suspected.hash(state);
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
        // Tickets count up for ever; only their order is state.
        self.ready.len().hash(state);
        self.ready.values().for_each(|group| group.hash(state));
        (&self.control, self.scan, self.busy).hash(state);
        ahead(now, self.since).min(SINCE_MAX).hash(state);
    }
}

/// What an entry of `control` costs beyond a name.
const CONTROL_COST: u64 = 64;

/// What may wait for a link outside of its lanes, in bytes (C1.8).
const CONTROL_MAX: u64 = 4 << 20;

/// How long a link may have stood is no matter beyond this, in microseconds.
const SINCE_MAX: u64 = 60_000_000;
