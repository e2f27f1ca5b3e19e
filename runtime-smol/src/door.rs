//! Who may come in, for all I/O threads together.

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use runtime_common::http::Gate;
use runtime_common::limits::{self, Gatekeeper, Limits, Refused};

/// The limits before the session, and which thread a connection goes to.
pub(crate) struct Door {
    gatekeeper: Mutex<Gatekeeper>,
    max_sessions: u32,
    pub(crate) stopping: AtomicBool,
    start: Instant,
    next: AtomicUsize,
    /// Connections of each thread.
    loads: Vec<AtomicUsize>,
}

/// A connection that may come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// Its number, and in the last byte its thread.
    pub(crate) id: u64,
    pub(crate) source: limits::Source,
}

/// The thread that a connection of this number is on.
pub(crate) fn thread(id: u64) -> usize {
    (id & 0xff) as usize
}

impl Door {
    pub(crate) fn new(limits: Limits, threads: u8) -> Self {
        Self {
            max_sessions: limits.max_sessions,
            gatekeeper: Mutex::new(Gatekeeper::new(limits, RandomState::new())),
            stopping: AtomicBool::new(false),
            start: Instant::now(),
            next: AtomicUsize::new(0),
            loads: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Takes a connection in, if its source and the table have room; another one may have to be given
    /// up for it.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<(Ticket, Option<u64>), Refused> {
        let load = |at: &usize| self.loads[*at].load(Ordering::Relaxed);
        let thread = (0..self.loads.len()).min_by_key(load).unwrap_or_default();
        let number = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let id = number << 8 | thread as u64;
        let source = limits::Source::of(address);
        let admitted = self.lock().admit(id, source, self.start.elapsed())?;
        self.loads[thread].fetch_add(1, Ordering::Relaxed);
        Ok((Ticket { id, source }, admitted.evict))
    }

    /// Sessions at the moment.
    pub(crate) fn sessions(&self) -> u32 {
        self.lock().sessions()
    }

    /// Whether sessions are let in.
    pub(crate) fn gate(&self) -> Gate {
        if self.stopping.load(Ordering::Relaxed) {
            Gate::ShuttingDown
        } else if self.sessions() >= self.max_sessions {
            Gate::Full
        } else {
            Gate::Open
        }
    }

    /// A connection is to become a session: if it may, it can be given up no more.
    pub(crate) fn enter(&self, id: u64) -> Gate {
        match self.lock().became_session(id) {
            Ok(()) => Gate::Open,
            // One that gave way to another has no time left to read this.
            Err(_) => Gate::Full,
        }
    }

    /// A connection has ended.
    pub(crate) fn gone(&self, id: u64) {
        self.lock().closed(id);
        if let Some(load) = self.loads.get(thread(id)) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Gatekeeper> {
        self.gatekeeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
