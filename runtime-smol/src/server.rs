//! The server's life, from the first connection to the last.

use std::net::{IpAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use async_signal::{Signal, Signals};
use mles_sansio::Event;
use runtime_common::clock::Clock;
use runtime_common::config::Config;
use runtime_common::door::{self, Door};
use runtime_common::life::{self, Ready, STOP_MAX};
use runtime_common::listening;
use runtime_common::metrics::Meter;
use runtime_common::tls;
use runtime_smol::host::Handover;
use runtime_smol::host::turn::{self, Aside};
use rustls::ServerConfig;
use smol::stream::StreamExt;
use smol::{Async, Task, Timer};

use crate::dialing;
use crate::listen;
use crate::monitor;
use crate::socket::Socket;
use crate::watch;
use crate::worker::{Arrival, Worker};

/// The I/O threads: this one, which is number 0 and has the node, and those beside it.
struct Server {
    door: Arc<Door>,
    own: Rc<Worker>,
    meter: Arc<Meter>,
    others: Vec<Arc<Handover<Arrival>>>,
}

/// Serves until a signal ends it.
///
/// # Errors
///
/// One line that says what to do, before anything is served.
pub(crate) fn run(config: Config) -> Result<(), String> {
    // It would otherwise end the process, and what follows takes its time.
    let wishes = listen_for(&[Signal::Usr1])?;
    let mut ready = Ready::new(config)?;
    let config = &ready.config;
    let tls = tls::server_config(ready.certificates.shown());
    let others = (1..config.io_threads()).map(|thread| spawn(thread, config, &tls, &ready.door));
    let server = Rc::new(Server {
        own: Worker::new(0, config, &tls, &ready.door),
        others: others.collect::<Result<_, _>>()?,
        meter: ready.meter.clone(),
        door: ready.door.clone(),
    });
    smol::block_on(server.own.clone().executor.run(async {
        let signals = listen_for(&[Signal::Term, Signal::Int])?;
        let requests = || listen_for(&[Signal::Hup]);
        let own = || server.own.clone();
        let executor = &server.own.executor;
        let bound = std::mem::take(&mut ready.bound.listeners);
        let bound = bound.into_iter().zip(&ready.bound.addresses);
        let accepting = bound.map(|(listener, address)| {
            let listener = listener_of(listener, |error| listening::advice(*address, error))?;
            let server = server.clone();
            Ok(
                executor.spawn(listen::accept(listener, move |stream, address| {
                    server.admit(Socket::new(stream), address.ip());
                })),
            )
        });
        let accepting: Vec<_> = accepting.collect::<Result<_, String>>()?;
        let mut aside = vec![executor.spawn(monitor::report(ready.meter.clone(), wishes))];
        if let Some(listener) = ready.metrics.take() {
            let listener = listener_of(listener, |error| format!("metrics: {error}"))?;
            aside.push(executor.spawn(monitor::serve(ready.meter.clone(), listener)));
        }
        life::announce(&ready.announcement())?;
        aside.push(executor.spawn(watch::certificates(ready.certificates, requests()?)));
        aside.push(executor.spawn(stop(server.clone(), signals, accepting)));
        if let Some(event) = ready.others.first() {
            server.own.io.report(event);
        }
        let others = &ready.others;
        aside.push(executor.spawn(watch::peers_file(others.clone(), own(), requests()?)));
        aside.push(executor.spawn(watch::peers_page(others.clone(), own(), requests()?)));
        let (inner, others, mut node) = (server.clone(), ready.others, ready.node);
        // A task like the connections', so that it has its turn among them.
        let turns = executor.spawn(async move {
            let (io, stopping, meter) = (&inner.own.io, &inner.door.stopping, &inner.meter);
            let aside = |aside| match aside {
                Aside::Dial(whom) => dialing::spawn(&inner.own, &others, &inner.door, whom),
                Aside::Notice(notice) => others.servers.log(&notice),
            };
            let (clock, threads) = (Clock::new(), &inner.others);
            turn::run(io, threads, &mut node, &clock, stopping, meter, &aside).await;
        });
        turns.await;
        drop(aside);
        Ok(())
    }))
}

fn listen_for(signals: &[Signal]) -> Result<Signals, String> {
    Signals::new(signals).map_err(|error| format!("cannot listen for signals: {error}"))
}

fn listener_of(
    listener: TcpListener,
    advice: impl FnOnce(&std::io::Error) -> String,
) -> Result<Async<TcpListener>, String> {
    Async::new(listener).map_err(|error| advice(&error))
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
    life::stop(&server.door, &server.meter);
    server.own.io.report(Event::Shutdown);
    let asked = async { signals.next().await.is_some() };
    let late = async {
        Timer::after(STOP_MAX).await;
        false
    };
    life::exit(smol::future::or(asked, late).await)
}
