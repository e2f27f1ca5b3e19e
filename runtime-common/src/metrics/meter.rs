//! Where the numbers that are not the node's come from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mles_sansio::{Closing, Node, Stats};

use super::{Place, Process, Snapshot};
use crate::config::Config;
use crate::door::Door;

/// All that is counted, in one place.
#[derive(Debug)]
pub struct Meter {
    door: Arc<Door>,
    history_limit: u64,
    peering: bool,
    started: Duration,
    counted: Mutex<Counted>,
}

/// What the node counts, as of the last turn: a copy of some hundred bytes for each turn, so that whoever looks neither
/// waits for the node nor makes it wait.
#[derive(Debug, Default)]
struct Counted {
    stats: Stats,
    place: Option<Place>,
    closes: BTreeMap<Closing, u64>,
}

impl Meter {
    /// For a server that is being started.
    pub fn new(door: &Arc<Door>, config: &Config) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            door: door.clone(),
            history_limit: config.history_bytes,
            peering: config.peering.is_on(),
            started: now.unwrap_or_default(),
            counted: Mutex::default(),
        }
    }

    /// Copies what the node counts.
    pub fn note(&self, node: &Node) {
        let stats = node.stats();
        self.door.health.note(&stats);
        let mut counted = self.counted();
        counted.stats = stats;
        counted.place = Some(Place::of(node));
    }

    /// The node closes a session.
    pub fn closes(&self, why: Closing) {
        *self.counted().closes.entry(why).or_default() += 1;
    }

    /// Links to other servers at the moment.
    pub fn links(&self) -> u64 {
        self.counted().stats.links
    }

    /// Everything, as of now.
    pub fn snapshot(&self) -> Snapshot {
        // The node does not wait for the rest.
        let (stats, place, closes) = {
            let counted = self.counted();
            (counted.stats, counted.place, counted.closes.clone())
        };
        Snapshot {
            stats,
            closes,
            arrivals: self.door.arrivals(),
            accepted: self.door.accepted(),
            pending: self.door.pending(),
            threads: self.door.loads(),
            limits: self.door.limits,
            history_limit: self.history_limit,
            place: place.filter(|_| self.peering),
            started: self.started,
            uptime: self.door.uptime(),
            process: Process::read(),
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
