//! Who may come in, for all I/O threads together.

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::http::{Gate, Health};
use crate::limits::{self, Admitted, Gatekeeper, Limits, Refused};
use crate::metrics::Arrivals;

/// The limits before the session, and which thread a connection goes to.
#[derive(Debug)]
pub struct Door {
    gatekeeper: Mutex<Gatekeeper>,
    /// The limits.
    pub limits: Limits,
    /// Nobody comes in any more, and the sessions are being closed.
    pub stopping: AtomicBool,
    /// What is said of it over HTTP.
    pub health: Arc<Health>,
    /// Connections that were dialed, for which there are no limits here.
    pub dialed: AtomicU32,
    start: Instant,
    next: AtomicUsize,
    /// Connections of each thread.
    loads: Vec<AtomicUsize>,
    arrivals: Mutex<Arrivals>,
}

/// A connection that may come in.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// Its number, and in the last byte its thread.
    pub id: u64,
    /// Where it is from.
    pub source: limits::Source,
}

/// The thread that a connection of this number is on.
pub fn thread(id: u64) -> usize {
    (id & 0xff) as usize
}

impl Door {
    /// For this many I/O threads.
    pub fn new(limits: Limits, threads: u8, health: Health) -> Self {
        Self {
            limits,
            gatekeeper: Mutex::new(Gatekeeper::new(limits, RandomState::new())),
            stopping: AtomicBool::new(false),
            health: Arc::new(health),
            dialed: AtomicU32::new(0),
            start: Instant::now(),
            next: AtomicUsize::new(0),
            loads: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            arrivals: Mutex::default(),
        }
    }

    /// Takes a connection in, if its source and the table have room; another one may have to be given
    /// up for it.
    ///
    /// # Errors
    /// They have none.
    pub fn admit(&self, address: IpAddr) -> Result<(Ticket, Option<u64>), Refused> {
        let load = |at: &usize| self.loads[*at].load(Ordering::Relaxed);
        let thread = (0..self.loads.len()).min_by_key(load).unwrap_or_default();
        let number = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        let id = number << 8 | thread as u64;
        let source = limits::Source::of(address);
        let admitted = self.lock().admit(id, source, self.start.elapsed());
        match admitted {
            Ok(Admitted { evict: None }) => {}
            Ok(Admitted { evict: Some(_) }) => self.count().refused(Refused::NotPending),
            Err(refused) => self.count().refused(refused),
        }
        let admitted = admitted?;
        self.loads[thread].fetch_add(1, Ordering::Relaxed);
        Ok((Ticket { id, source }, admitted.evict))
    }

    /// Sessions at the moment, those among them to which this server is the client.
    pub fn sessions(&self) -> u32 {
        self.lock().sessions() + self.dialed.load(Ordering::Relaxed)
    }

    /// Whether the server is there for anybody; whether there is room is decided by [`Door::enter`].
    pub fn gate(&self) -> Gate {
        if self.stopping.load(Ordering::Relaxed) {
            Gate::ShuttingDown
        } else {
            Gate::Open
        }
    }

    /// A connection is to become a session: if it may, it can be given up no more.
    pub fn enter(&self, id: u64) -> Gate {
        match self.lock().became_session(id) {
            Ok(()) => Gate::Open,
            // One that gave way to another has no time left to read this.
            Err(_) => Gate::Full,
        }
    }

    /// A connection has ended.
    pub fn gone(&self, id: u64) {
        self.lock().closed(id);
        if let Some(load) = self.loads.get(thread(id)) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// It got this HTTP status.
    pub fn answered(&self, status: u16) {
        let mut arrivals = self.count();
        arrivals.answered(status);
        if status == 503 && !self.stopping.load(Ordering::Relaxed) {
            arrivals.refused(Refused::Sessions);
        }
    }

    /// It ended before it could be answered.
    pub fn failed(&self) {
        self.count().failed();
    }

    /// What became of those who are no sessions.
    pub fn arrivals(&self) -> Arrivals {
        self.count().clone()
    }

    /// Connections taken from the listening sockets.
    pub fn accepted(&self) -> u64 {
        self.next.load(Ordering::Relaxed) as u64
    }

    /// Connections that are no sessions, or not yet.
    pub fn pending(&self) -> u32 {
        self.lock().pending()
    }

    /// Connections of each thread.
    pub fn loads(&self) -> Vec<usize> {
        let load = |load: &AtomicUsize| load.load(Ordering::Relaxed);
        self.loads.iter().map(load).collect()
    }

    /// How long it has been open.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    fn count(&self) -> MutexGuard<'_, Arrivals> {
        let arrivals = self.arrivals.lock();
        arrivals.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Gatekeeper> {
        self.gatekeeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn whoever_is_refused_is_counted() {
        let limits = Limits {
            filelimit: 1,
            max_sessions: 1,
            per_ip_limit: NonZeroU32::new(2),
            rate_limit: NonZeroU32::new(4),
        };
        let door = Door::new(limits, 2, Health::default());
        let mut expected = Arrivals::default();
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let (first, evict) = door.admit(one).unwrap();
        assert_eq!((door.enter(first.id), evict), (Gate::Open, None));
        let (second, _) = door.admit(one).unwrap();
        assert_eq!(door.arrivals(), expected);
        door.answered(503);
        expected.answered(503);
        expected.refused(Refused::Sessions);
        assert_eq!(door.arrivals(), expected);
        assert_eq!(door.admit(one).unwrap_err(), Refused::PerIp);
        expected.refused(Refused::PerIp);
        let (third, evict) = door.admit(other).unwrap();
        assert_eq!(evict, Some(second.id));
        expected.refused(Refused::NotPending);
        door.gone(second.id);
        assert_eq!((door.pending(), door.loads()), (1, vec![2, 0]));
        door.gone(third.id);
        let (fourth, _) = door.admit(one).unwrap();
        door.gone(fourth.id);
        assert_eq!(door.admit(one).unwrap_err(), Refused::Rate);
        expected.refused(Refused::Rate);
        door.failed();
        expected.failed();
        // Nobody is full who ends.
        door.stopping.store(true, Ordering::Relaxed);
        door.answered(503);
        expected.answered(503);
        assert_eq!(door.arrivals(), expected);
        assert_eq!((door.accepted(), door.loads()), (6, vec![1, 0]));
    }
}
