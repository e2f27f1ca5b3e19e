//! The server's life, from the first connection to the last.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_signal::{Signal, Signals};
use mles_sansio::{Event, Node};
use runtime_common::announcement::announcement;
use runtime_common::certificates::Certificates;
use runtime_common::clock::Clock;
use runtime_common::config::Config;
use runtime_common::door::{self, Door};
use runtime_common::http::Health;
use runtime_common::limits::{Descriptors, Limits};
use runtime_common::notices::Servers;
use runtime_common::tls;
use rustls::ServerConfig;
use smol::stream::StreamExt;
use smol::{Task, Timer};

use crate::bridges::Bridges;
use crate::certificates;
use crate::handover::Handover;
use crate::listen::{self, Bound};
use crate::monitor::{Monitor, Outlets};
use crate::peers::Peers;
use crate::peers_url;
use crate::socket::Socket;
use crate::turn::{self, Aside};
use crate::worker::{Arrival, Worker};

/// The I/O threads: this one, which is number 0 and has the node, and those beside it.
struct Server {
    door: Arc<Door>,
    own: Rc<Worker>,
    monitor: Rc<Monitor>,
    others: Vec<Arc<Handover<Arrival>>>,
}

/// The servers that this one connects to.
pub(crate) struct Others {
    pub(crate) servers: Rc<Servers>,
    pub(crate) peers: Option<Peers>,
    pub(crate) bridges: Option<Bridges>,
}

/// Serves until a signal ends it.
///
/// # Errors
///
/// One line that says what to do, before anything is served.
pub(crate) fn run(
    config: &Arc<Config>,
    descriptors: &Descriptors,
    certificates: Certificates,
    mut node: Node,
    Others {
        servers,
        peers,
        bridges,
    }: Others,
    bound: Bound,
    outlets: Outlets,
) -> Result<(), String> {
    let limits = Limits {
        filelimit: descriptors.filelimit,
        max_sessions: descriptors.max_sessions,
        per_ip_limit: config.per_ip_limit,
        rate_limit: config.rate_limit,
    };
    let health = Health::new(config.peering.is_on());
    let door = Arc::new(Door::new(limits, config.io_threads(), health));
    let tls = tls::server_config(certificates.shown());
    let others = (1..config.io_threads()).map(|thread| spawn(thread, config, &tls, &door));
    let server = Rc::new(Server {
        own: Worker::new(0, config, &tls, &door),
        monitor: Monitor::new(&door, config),
        others: others.collect::<Result<_, _>>()?,
        door,
    });
    smol::block_on(server.own.clone().executor.run(async {
        let signals = listen_for(&[Signal::Term, Signal::Int])?;
        let requests = listen_for(&[Signal::Hup])?;
        let executor = &server.own.executor;
        let accepting = bound.listeners.into_iter().map(|listener| {
            let server = server.clone();
            executor.spawn(listen::accept(listener, move |stream, address| {
                server.admit(Socket::new(stream), address.ip());
            }))
        });
        let accepting: Vec<_> = accepting.collect();
        let _telling = server.monitor.clone().tell(executor, outlets);
        announce(
            &bound.addresses,
            certificates.local_fingerprint().as_deref(),
        )?;
        let watch = executor.spawn(certificates::watch(certificates, requests));
        let stop = executor.spawn(stop(server.clone(), signals, accepting));
        // A task like the connections', so that it has its turn among them.
        let inner = server.clone();
        let peers = peers.map(Rc::new);
        if let Some(peers) = &peers {
            server.own.io.report(peers.first());
        }
        let listed = match &peers {
            Some(peers) => {
                let own = || server.own.clone();
                let requests = listen_for(&[Signal::Hup])?;
                let file = executor.spawn(peers.clone().watch(own(), requests));
                let requests = listen_for(&[Signal::Hup])?;
                let page = executor.spawn(peers_url::watch(peers.clone(), own(), requests));
                Some((file, page))
            }
            None => None,
        };
        let bridges = bridges.map(Rc::new);
        let turns = executor.spawn(async move {
            let (io, stopping) = (&inner.own.io, &inner.door.stopping);
            let (others, tally) = (&inner.others, &inner.monitor.tally);
            let aside = |aside| match (aside, &peers, &bridges) {
                (Aside::Dial(peer), Some(peers), _) => peers.dial(&inner.own, &inner.door, peer),
                (Aside::DialBridge(bridge, dial), _, Some(bridges)) => {
                    bridges.dial(&inner.own, &inner.door, bridge, dial);
                }
                (Aside::Notice(notice), _, _) => servers.log(&notice),
                (Aside::Dial(_), None, _) | (Aside::DialBridge(..), _, None) => {}
            };
            let clock = Clock::new();
            turn::run(io, others, &mut node, &clock, stopping, tally, &aside).await;
        });
        turns.await;
        drop((stop, watch, listed));
        Ok(())
    }))
}

fn listen_for(signals: &[Signal]) -> Result<Signals, String> {
    Signals::new(signals).map_err(|error| format!("cannot listen for signals: {error}"))
}

/// Starts an I/O thread beside the node's.
fn spawn(
    thread: u8,
    config: &Arc<Config>,
    tls: &Arc<ServerConfig>,
    door: &Arc<Door>,
) -> Result<Arc<Handover<Arrival>>, String> {
    /// A thread ends only by a panic, and its sessions with it: better to begin anew than to go on without.
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            tracing::error!("an I/O thread has died: exiting");
            std::process::exit(101);
        }
    }
    let handover = Arc::new(Handover::default());
    let (node, config, tls, door) = (handover.clone(), config.clone(), tls.clone(), door.clone());
    let body = move || {
        let _last = Last;
        let worker = Worker::new(thread, &config, &tls, &door);
        let inner = worker.clone();
        // A task like the connections', so that it has its turn among them.
        let relay = worker.executor.spawn(async move {
            let take_in = |arrival| inner.take_in(arrival);
            turn::relay(&inner.io, &node, take_in, |id| inner.give_up(id)).await
        });
        match smol::block_on(worker.executor.run(relay)) {}
    };
    let builder = std::thread::Builder::new().name(format!("mles-io-{thread}"));
    let spawned = builder.spawn(body);
    spawned.map_err(|error| format!("cannot start a thread: {error}; lower --threads"))?;
    Ok(handover)
}

impl Server {
    /// Takes a connection in, if it may, and gives it to its thread.
    fn admit(&self, stream: Socket, address: IpAddr) {
        let (ticket, evicted) = match self.door.admit(address) {
            Ok(admitted) => admitted,
            Err(refused) => return tracing::debug!("connection refused: {refused}"),
        };
        if let Some(evicted) = evicted {
            match self.other(evicted) {
                None => self.own.give_up(evicted),
                Some(other) => other.put_evicted(evicted),
            }
        }
        match self.other(ticket.id) {
            None => self.own.take_in((stream, ticket)),
            Some(other) => other.put_arrival((stream, ticket)),
        }
    }

    /// The thread of a connection, if it is not this one.
    fn other(&self, id: u64) -> Option<&Handover<Arrival>> {
        let other = door::thread(id).checked_sub(1)?;
        Some(&self.others[other])
    }
}

/// Says on stdout that the server is ready.
fn announce(addresses: &[SocketAddr], local: Option<&str>) -> Result<(), String> {
    let text = announcement(addresses, local, std::env::args_os().next());
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| format!("cannot write to stdout: {error}"))
}

/// Waits for a signal, stops accepting and has the sessions closed; a second signal, or a client that
/// does not take its close frame, ends the process.
async fn stop(server: Rc<Server>, mut signals: Signals, accepting: Vec<Task<()>>) {
    if signals.next().await.is_none() {
        return;
    }
    // Waited for: who reads the next line finds nobody listening.
    for task in accepting {
        task.cancel().await;
    }
    server.door.stopping.store(true, Ordering::Relaxed);
    let sessions = server.door.sessions();
    match server.monitor.links() {
        0 => tracing::info!("stopping: closing {sessions} sessions"),
        links => tracing::info!("stopping: closing {sessions} sessions, {links} of them links"),
    }
    server.own.io.report(Event::Shutdown);
    smol::future::or(
        async {
            let _ = signals.next().await;
            tracing::warn!("second signal: exiting at once");
        },
        async {
            Timer::after(STOP_MAX).await;
            tracing::info!("some sessions did not answer the close frame in time");
        },
    )
    .await;
    std::process::exit(0);
}

/// Time for sessions to take what is queued and the close frame: the whole stop takes less than 5 s.
const STOP_MAX: Duration = Duration::from_millis(4500);
