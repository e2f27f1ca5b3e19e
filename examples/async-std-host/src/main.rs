//! `mles-async-std`: a Mles server that runs `runtime-smol`'s connection driver, as it is, on async-std. See README.md.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_signal::{Signal, Signals};
use async_std::io;
use async_std::net::TcpListener;
use async_std::stream::StreamExt;
use async_std::task::{self, JoinHandle, block_on, sleep, spawn_local};
use mles_sansio::{Event, Source};
use runtime_common::clock::Clock;
use runtime_common::config::Config;
use runtime_common::door::Door;
use runtime_common::http::Gate;
use runtime_common::life::{self, Ready, STOP_MAX};
use runtime_common::metrics::Meter;
use runtime_common::tls;
use runtime_smol::host::turn::{self, Aside};
use runtime_smol::host::{AtLast, Entrance, IoThread, Sniff, serve};

use socket::Socket;

mod socket;

fn main() -> ExitCode {
    let no_client = |_: &_| {
        eprintln!("error: this program has no clients: use those of mles");
        ExitCode::FAILURE
    };
    life::run(no_client, run)
}

/// Serves until a signal ends it.
fn run(mut config: Config) -> Result<(), String> {
    if config.peering.is_on() || !config.peering.bridges.is_empty() || config.metrics.is_some() {
        return Err("no peering, bridges or metrics here: use mles".to_owned());
    }
    if config.threads.is_some_and(|threads| threads > 1) {
        return Err("this program has one thread for connections: leave out --threads".to_owned());
    }
    config.threads = Some(1);
    let mut ready = Ready::new(config)?;
    let (config, door) = (&ready.config, &ready.door);
    let tls = tls::server_config(ready.certificates.shown());
    let host = Rc::new(Host {
        io: IoThread::new(0, config),
        entrance: Entrance::new(tls, config.handshake_timeout, door.health.clone()),
        door: door.clone(),
        coming: RefCell::default(),
    });
    block_on(async {
        let signals = Signals::new([Signal::Term, Signal::Int]);
        let signals = signals.map_err(|error| format!("cannot listen for signals: {error}"))?;
        let listeners = std::mem::take(&mut ready.bound.listeners).into_iter();
        let accepting = listeners.map(|listener| spawn_local(host.clone().accept(listener)));
        let accepting = accepting.collect();
        life::announce(&ready.announcement())?;
        spawn_local(stop(host.clone(), ready.meter.clone(), signals, accepting));
        let (mut node, meter, others) = (ready.node, ready.meter, ready.others);
        // A task like the connections', so that it has its turn among them.
        let turns = spawn_local(async move {
            let (io, stopping, clock) = (&host.io, &host.door.stopping, Clock::new());
            let aside = |aside| match aside {
                Aside::Notice(notice) => others.servers.log(&notice),
                Aside::Dial(_) => {} // It knows of nobody.
            };
            turn::run::<_, ()>(io, &[], &mut node, &clock, stopping, &meter, &aside).await;
        });
        turns.await;
        Ok(())
    })
}

/// The one I/O thread, and who comes in there.
struct Host {
    io: IoThread<Sniff<Socket>>,
    entrance: Entrance,
    door: Arc<Door>,
    /// The tasks of connections that are no sessions yet, so that one can be given up.
    coming: RefCell<HashMap<u64, JoinHandle<()>>>,
}

impl Host {
    /// Takes connections for ever.
    async fn accept(self: Rc<Self>, listener: std::net::TcpListener) {
        let listener = TcpListener::from(listener);
        for count in 1_u64.. {
            if count % AT_ONCE == 0 {
                task::yield_now().await; // Those who are in have their turn.
            }
            match listener.accept().await {
                Ok((stream, address)) => {
                    self.take_in(Socket::new(stream), address.ip());
                }
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Takes a connection in, if it may.
    fn take_in(self: &Rc<Self>, stream: Socket, address: IpAddr) {
        let (ticket, evicted) = match self.door.admit(address) {
            Ok(admitted) => admitted,
            Err(refused) => return tracing::debug!("connection refused: {refused}"),
        };
        if let Some(task) = evicted.and_then(|id| self.coming.borrow_mut().remove(&id)) {
            // Dropping a handle of async-std's would only detach the task.
            spawn_local(task.cancel());
            tracing::debug!("an unfinished connection gave way to a new one");
        }
        let (host, id) = (self.clone(), ticket.id);
        let task = spawn_local(async move {
            let _gone = AtLast(|| {
                host.door.gone(id);
                host.coming.borrow_mut().remove(&id);
            });
            let source = Source(ticket.source.key());
            let (gate, enter) = (|| host.door.gate(), || host.enter(id));
            let (io, entrance) = (&host.io, &host.entrance);
            let outcome = serve(
                io,
                entrance,
                stream,
                source,
                gate,
                enter,
                Socket::acknowledge,
            )
            .await;
            outcome.count(&host.door);
        });
        self.coming.borrow_mut().insert(id, task);
    }

    /// A connection is to become a session: its task belongs to itself then.
    fn enter(&self, id: u64) -> Gate {
        let gate = self.door.enter(id);
        if gate == Gate::Open {
            self.coming.borrow_mut().remove(&id);
        }
        gate
    }
}

/// Waits for a signal, stops accepting and has the sessions closed; a second signal, or a client that does not take its
/// close frame, ends the process.
async fn stop(
    host: Rc<Host>,
    meter: Arc<Meter>,
    mut signals: Signals,
    accepting: Vec<JoinHandle<()>>,
) {
    if signals.next().await.is_none() {
        return;
    }
    // Waited for: who reads the next line finds nobody listening.
    for task in accepting {
        task.cancel().await;
    }
    life::stop(&host.door, &meter);
    host.io.report(Event::Shutdown);
    life::exit(
        io::timeout(STOP_MAX, async { Ok(signals.next().await) })
            .await
            .is_ok(),
    )
}

/// Connections taken in one go.
const AT_ONCE: u64 = 16;

/// The pause after a failed accept.
const BACK_OFF: Duration = Duration::from_millis(50);
