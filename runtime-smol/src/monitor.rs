//! What the server counts, and how it is told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_signal::{Signal, Signals};
use mles_sansio::{Closing, Node, Stats};
use runtime_common::config::Config;
use runtime_common::door::Door;
use runtime_common::http::{self, Answer, Health};
use runtime_common::metrics::{Meter, Place, Snapshot};
use smol::io::AsyncReadExt;
use smol::lock::Semaphore;
use smol::stream::StreamExt;
use smol::{Async, LocalExecutor, Task, Timer};

use crate::driver::{farewell, within};
use crate::listen;
use crate::socket::Socket;

/// What the node's thread counts, as of the last turn: a copy of some hundred bytes for each turn, so that
/// whoever looks neither waits for the node nor makes it wait.
#[derive(Default)]
pub(crate) struct Tally {
    stats: Cell<Stats>,
    place: Cell<Option<Place>>,
    health: Arc<Health>,
    closes: RefCell<BTreeMap<Closing, u64>>,
}

impl Tally {
    /// Copies what the node counts.
    pub(crate) fn note(&self, node: &Node) {
        let stats = node.stats();
        self.health.note(&stats);
        self.stats.set(stats);
        self.place.set(Some(Place::of(node)));
    }

    /// The node closes a session.
    pub(crate) fn closes(&self, why: Closing) {
        *self.closes.borrow_mut().entry(why).or_default() += 1;
    }
}

/// The ways in which what is counted is asked for.
pub(crate) struct Outlets {
    /// SIGUSR1, which would otherwise end the process.
    wishes: Signals,
    /// Where metrics are served, if they are.
    listener: Option<Async<TcpListener>>,
}

impl Outlets {
    /// To be called before anything that takes its time.
    ///
    /// # Errors
    ///
    /// One line.
    pub(crate) fn open(metrics: Option<SocketAddr>) -> Result<Self, String> {
        let wishes = Signals::new([Signal::Usr1]);
        let wishes = wishes.map_err(|error| format!("cannot listen for signals: {error}"))?;
        let listener = metrics.map(listen::bind_metrics).transpose()?;
        Ok(Self { wishes, listener })
    }
}

/// All that is counted, in one place. It lives on the node's thread.
pub(crate) struct Monitor {
    meter: Meter,
    pub(crate) tally: Tally,
}

impl Monitor {
    pub(crate) fn new(door: &Arc<Door>, config: &Config) -> Rc<Self> {
        Rc::new(Self {
            meter: Meter::new(door, config),
            tally: Tally {
                health: door.health.clone(),
                ..Tally::default()
            },
        })
    }

    /// Links to other servers at the moment.
    pub(crate) fn links(&self) -> u64 {
        self.tally.stats.get().links
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let closes = self.tally.closes.borrow().clone();
        self.meter
            .snapshot(self.tally.stats.get(), closes, self.tally.place.get())
    }

    /// Tells what is counted to who asks, for as long as the tasks are kept.
    pub(crate) fn tell(
        self: Rc<Self>,
        executor: &LocalExecutor<'static>,
        outlets: Outlets,
    ) -> Vec<Task<()>> {
        let mut tasks = vec![executor.spawn(self.clone().report(outlets.wishes))];
        if let Some(listener) = outlets.listener {
            if let Ok(address) = listener.get_ref().local_addr() {
                tracing::info!("metrics are at http://{address}/metrics");
            }
            tasks.push(executor.spawn(self.serve(listener)));
        }
        tasks
    }

    /// Serves metrics, to few at once and seldom: whoever reaches the port can do the service no harm. Never ends.
    async fn serve(self: Rc<Self>, listener: Async<TcpListener>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let executor = LocalExecutor::new();
        let accepting = async {
            loop {
                let place = room.acquire_arc().await;
                let pause = match listener.accept().await {
                    Ok((stream, _)) => {
                        let mut stream = Socket::new(stream);
                        let monitor = self.clone();
                        let serve = async move {
                            let metrics = || monitor.snapshot().exposition();
                            let _ = within(PATIENCE, answer(&mut stream, metrics)).await;
                            drop(place);
                        };
                        executor.spawn(serve).detach();
                        PACE
                    }
                    Err(error) => {
                        tracing::debug!("metrics: {error}");
                        BACK_OFF
                    }
                };
                Timer::after(pause).await;
            }
        };
        executor.run(accepting).await
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

/// Reads one request and answers it.
async fn answer(stream: &mut Socket, metrics: impl FnOnce() -> String) -> io::Result<()> {
    let mut head = [0; HEAD_MAX];
    let mut filled = 0;
    let answer = loop {
        let count = stream.read(&mut head[filled..]).await?;
        if count == 0 {
            // It has ended, or the head is longer than any scraper's.
            return Ok(());
        }
        filled += count;
        match http::parse_head(&head[..filled]) {
            Ok(Some((request, _))) => break http::respond_with_metrics(&request, metrics),
            Ok(None) => {}
            Err(refusal) => break refusal.answer(true),
        }
    };
    match answer {
        // Nobody is upgraded here.
        Answer::Upgrade { .. } => {}
        Answer::Close { response, .. } => {
            farewell(stream, &response, |it| it).await;
        }
    }
    Ok(())
}

/// Connections for metrics at once; further ones wait to be accepted.
const CONNECTIONS: usize = 8;

/// The least time from one of them to the next. They share the node's thread: an answer costs it less than a
/// millisecond without any optimisation, so that whoever does nothing but ask takes a few hundredths of its time.
const PACE: Duration = Duration::from_millis(20);

/// The pause after an accept that failed: when descriptors are short, others need them more.
const BACK_OFF: Duration = Duration::from_secs(1);

/// The time that a request and its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest request head that is read.
const HEAD_MAX: usize = 4 * 1024;

/// The time from one line of numbers to the next.
const REPORT: Duration = Duration::from_secs(60 * 60);
