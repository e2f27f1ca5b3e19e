//! Peering: the links of a node to others, and the tree that they form (spec/peering.md).
//!
//! `wire` has the syntax, `handshake` how a link opens, `tree` paths, rings and merging, `seek` who is
//! dialed when; `channels` and `lane` have a channel on a link, `interest` who wants it, `incoming` and
//! `outgoing` what goes over links, `seen` what a node knows already.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use crate::action::GroupId;
use crate::event::ConnId;
use crate::seed::{NodeId, Seed};
#[cfg(debug_assertions)]
use crate::session::Conn;
use crate::session::ahead;
use crate::time::Instant;

pub(crate) use self::lane::Lane;
pub(crate) use self::link::Link;
use self::reviews::Reviews;
pub(crate) use self::seek::Seek;
pub(crate) use self::seen::Seen;

mod channels;
mod config;
mod handshake;
mod incoming;
mod interest;
mod lane;
mod link;
mod outgoing;
mod renew;
mod reviews;
mod seek;
mod seen;
mod tree;
pub mod wire;

pub use self::config::Peering as Config;

/// What a node knows of its peers.
#[derive(Clone, Debug)]
pub(crate) struct Peering {
    seed: Seed,
    /// Random numbers drawn so far.
    draws: u64,
    /// How often the node took a new uid.
    renewals: u64,
    pub(crate) links: BTreeMap<ConnId, Link>,
    /// The link to the node above, if there is one.
    pub(crate) upstream: Option<ConnId>,
    /// The nodes above, root first; in a ring, the rest of it (R1.2).
    pub(crate) path: Vec<NodeId>,
    pub(crate) seek: Seek,
    /// Links that may have something to send.
    awake: BTreeSet<ConnId>,
    /// Channels whose members do not wait for history any more, and whose replays are to begin.
    releasing: BTreeSet<GroupId>,
    /// Links that were lost or turned, and the lanes that are still to be taken down: a bounded number
    /// at a time.
    gone: Vec<(ConnId, BTreeMap<GroupId, Lane>)>,
    reviews: Reviews,
    /// The moment for which the timer of reviews is armed.
    review_armed: Option<Instant>,
}

impl Peering {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self {
            seed: *seed,
            draws: 0,
            renewals: 0,
            links: BTreeMap::new(),
            upstream: None,
            path: Vec::new(),
            seek: Seek::default(),
            awake: BTreeSet::new(),
            releasing: BTreeSet::new(),
            gone: Vec::new(),
            reviews: Reviews::default(),
            review_armed: None,
        }
    }

    /// A span between the two, evenly spread.
    fn draw(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least);
        if span.is_zero() {
            return least;
        }
        let block = self.seed.block("jitter", self.draws);
        self.draws += 1;
        // The upper half of the bits is as random as all of them, and the product cannot overflow.
        least + span.mul_f64((block >> 32) as f64 / (1_u64 << 32) as f64)
    }

    /// The root of the tree that the node is in; `own` is its uid.
    fn root(&self, own: NodeId) -> NodeId {
        self.path.first().copied().unwrap_or(own)
    }

    /// Whether the other end of a link has not answered a turn yet.
    fn is_turning(&self) -> bool {
        let mut links = self.links.values();
        links.any(|link| link.end == link::End::Turning)
    }

    fn up(&self) -> Option<&Link> {
        self.links.get(&self.upstream?)
    }

    /// What decides what the node does next, deadlines relative to `now`.
    pub(crate) fn hash<H: Hasher>(&self, now: Instant, state: &mut H) {
        (
            self.draws,
            self.renewals,
            self.upstream,
            &self.path,
            &self.awake,
        )
            .hash(state);
        self.releasing.hash(state);
        self.seek.hash(now, state);
        self.links.len().hash(state);
        for (conn, link) in &self.links {
            conn.hash(state);
            link.hash(now, state);
        }
        self.gone.len().hash(state);
        for (conn, lanes) in &self.gone {
            conn.hash(state);
            lanes.keys().for_each(|group| group.hash(state));
        }
        for (at, group) in self.reviews.iter() {
            (ahead(*at, now), group).hash(state);
        }
    }

    /// Timers that are armed, but for those of links.
    #[cfg(debug_assertions)]
    pub(crate) fn timers(&self) -> usize {
        let turns = self.links.values().filter(|link| link.turn_by.is_some());
        turns.count() + usize::from(self.seek.waits()) + usize::from(self.review_armed.is_some())
    }

    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, conns: &BTreeMap<ConnId, Conn>, config: &Config) {
        for (conn, link) in &self.links {
            assert!(matches!(conns.get(conn), Some(Conn::Link)), "invariant 6");
            let lower = link.end == link::End::Lower;
            assert_eq!(lower, self.upstream == Some(*conn), "invariant 6: upstream");
            let kept: u64 = link.lanes.values().map(Lane::kept).sum();
            assert_eq!(kept, link.kept, "invariant 7: what a link keeps");
            let entries: usize = link.lanes.values().map(Lane::kept_entries).sum();
            let bounded = kept <= config.link_bytes || entries == 1;
            assert!(bounded, "invariant 7: {kept} bytes kept");
            let most = link.lanes.values().map(Lane::origins).max();
            let bounded = most <= Some(2 * (config.origins + 1) + 1);
            assert!(bounded, "invariant 9: {most:?} origins");
            let queued = link.ready.iter();
            let same = |(ticket, group): (&u64, &GroupId)| {
                let lane = link.lanes.get(group);
                assert!(lane.is_some_and(|lane| lane.queued == Some(*ticket)));
            };
            queued.for_each(same);
            let queued = link.lanes.values().filter(|lane| lane.queued.is_some());
            let count = queued.count();
            assert_eq!(count, link.ready.len(), "invariant 8: lanes in turn");
        }
    }
}
