//! What the server counts, and how it is told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_signal::{Signal, Signals};
use mles_sansio::{Closing, Stats};
use runtime_common::metrics::{Process, Snapshot};
use smol::stream::StreamExt;
use smol::{LocalExecutor, Task, Timer};

use crate::door::Door;

/// What the node's thread counts, as of the last turn: a copy of some hundred bytes for each turn, so that
/// whoever looks neither waits for the node nor makes it wait.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) stats: Cell<Stats>,
    closes: RefCell<BTreeMap<Closing, u64>>,
}

impl Tally {
    /// The node closes a session.
    pub(crate) fn closes(&self, why: Closing) {
        *self.closes.borrow_mut().entry(why).or_default() += 1;
    }
}

/// The ways in which what is counted is asked for.
pub(crate) struct Outlets {
    /// SIGUSR1, which would otherwise end the process.
    wishes: Signals,
}

impl Outlets {
    /// To be called before anything that takes its time.
    ///
    /// # Errors
    ///
    /// One line.
    pub(crate) fn open() -> Result<Self, String> {
        let wishes = Signals::new([Signal::Usr1]);
        let wishes = wishes.map_err(|error| format!("cannot listen for signals: {error}"))?;
        Ok(Self { wishes })
    }
}

/// All that is counted, in one place. It lives on the node's thread.
pub(crate) struct Monitor {
    door: Arc<Door>,
    pub(crate) tally: Tally,
    history_limit: u64,
    started: Duration,
}

impl Monitor {
    pub(crate) fn new(door: &Arc<Door>, history_limit: u64) -> Rc<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Rc::new(Self {
            door: door.clone(),
            tally: Tally::default(),
            history_limit,
            started: now.unwrap_or_default(),
        })
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            stats: self.tally.stats.get(),
            closes: self.tally.closes.borrow().clone(),
            arrivals: self.door.arrivals(),
            accepted: self.door.accepted(),
            pending: self.door.pending(),
            threads: self.door.loads(),
            limits: self.door.limits,
            history_limit: self.history_limit,
            started: self.started,
            uptime: self.door.uptime(),
            process: Process::read(),
        }
    }

    /// Tells what is counted to who asks, for as long as the tasks are kept.
    pub(crate) fn tell(
        self: Rc<Self>,
        executor: &LocalExecutor<'static>,
        outlets: Outlets,
    ) -> Task<()> {
        executor.spawn(self.report(outlets.wishes))
    }

    /// Logs what is counted, whenever it is wished for and once in a while. Never ends.
    async fn report(self: Rc<Self>, mut wishes: Signals) {
        loop {
            let wish = async {
                if wishes.next().await.is_none() {
                    pending().await
                }
            };
            smol::future::or(wish, async {
                Timer::after(REPORT).await;
            })
            .await;
            tracing::info!("{}", self.snapshot().line());
        }
    }
}

/// The time from one line of numbers to the next.
const REPORT: Duration = Duration::from_secs(60 * 60);
