//! Where the numbers that are not the node's come from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mles_sansio::{Closing, Stats};

use super::{Place, Process, Snapshot};
use crate::config::Config;
use crate::door::Door;

/// Takes snapshots.
#[derive(Debug)]
pub struct Meter {
    door: Arc<Door>,
    history_limit: u64,
    peering: bool,
    started: Duration,
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
        }
    }

    /// Everything, with what the node counts and has decided.
    pub fn snapshot(
        &self,
        stats: Stats,
        closes: BTreeMap<Closing, u64>,
        place: Option<Place>,
    ) -> Snapshot {
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
}
