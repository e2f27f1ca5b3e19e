//! The server's life: who may come in, from the first connection to the last.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::RandomState;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_signal::{Signal, Signals};
use futures_rustls::TlsAcceptor;
use mles_sansio::{Event, Node};
use runtime_common::config::Config;
use runtime_common::http::Gate;
use runtime_common::limits::{self, Descriptors, Gatekeeper, Limits};
use rustls::ServerConfig;
use smol::stream::StreamExt;
use smol::{Async, LocalExecutor, Task, Timer};

use crate::driver::{Entrance, Outcome, serve};
use crate::io_thread::IoThread;
use crate::listen::{self, Bound};
use crate::sniff::Sniff;
use crate::turn::{self, Clock};

type Socket = Async<TcpStream>;

pub(crate) struct Server {
    io: IoThread<Sniff<Socket>>,
    entrance: Entrance,
    door: Door,
}

/// Who may come in, and who is coming in.
struct Door {
    gatekeeper: RefCell<Gatekeeper>,
    max_sessions: u32,
    stopping: Cell<bool>,
    start: Instant,
    next: Cell<u64>,
    /// The tasks of connections that are no sessions yet, so that one can be given up.
    coming: RefCell<HashMap<u64, Task<()>>>,
}

impl Server {
    pub(crate) fn new(config: &Config, descriptors: &Descriptors, tls: Arc<ServerConfig>) -> Self {
        let limits = Limits {
            filelimit: descriptors.filelimit,
            max_sessions: descriptors.max_sessions,
            per_ip_limit: config.per_ip_limit,
            rate_limit: config.rate_limit,
        };
        Self {
            io: IoThread::new(config.outbox, config.max_message),
            entrance: Entrance {
                acceptor: TlsAcceptor::from(tls),
                handshake_timeout: config.handshake_timeout,
            },
            door: Door {
                gatekeeper: RefCell::new(Gatekeeper::new(limits, RandomState::new())),
                max_sessions: descriptors.max_sessions,
                stopping: Cell::new(false),
                start: Instant::now(),
                next: Cell::new(0),
                coming: RefCell::default(),
            },
        }
    }
}

/// From the first connection to the last. `local` is the fingerprint of a certificate made here.
pub(crate) async fn live(
    server: Rc<Server>,
    mut node: Node,
    bound: Bound,
    local: Option<&str>,
) -> Result<(), String> {
    let executor = Rc::new(LocalExecutor::new());
    let signals = Signals::new([Signal::Term, Signal::Int]);
    let signals = signals.map_err(|error| format!("cannot listen for signals: {error}"))?;
    let accepting: Vec<_> = bound
        .listeners
        .into_iter()
        .map(|listener| {
            let (server, inner) = (server.clone(), executor.clone());
            executor.spawn(listen::accept(listener, move |stream, address| {
                admit(&server, &inner, stream, address);
            }))
        })
        .collect();
    announce(&bound.addresses, local)?;
    let stop = executor.spawn(stop(server.clone(), signals, accepting));
    // A task like the connections', so that it has its turn among them.
    let turns = executor.spawn(async move {
        let (io, stopping) = (&server.io, &server.door.stopping);
        turn::run(io, &mut node, &Clock::new(), stopping).await;
    });
    executor.run(turns).await;
    drop(stop);
    Ok(())
}

/// Says on stdout where to go; the last line says that the server accepts.
fn announce(addresses: &[SocketAddr], local: Option<&str>) -> Result<(), String> {
    let mut text = String::new();
    let port = addresses.first().map_or(0, SocketAddr::port);
    let host = match addresses.first() {
        Some(address)
            if local.is_none() || !address.ip().is_loopback() && !address.ip().is_unspecified() =>
        {
            address.to_string()
        }
        Some(_) | None => format!("localhost:{port}"),
    };
    if let Some(fingerprint) = local {
        text += &format!(
            "Page         https://{host}/  (its certificate is your own: let the browser accept it)\n\
             Fingerprint  SHA-256 {fingerprint}\n\
             Terminal     mles talk wss://{host} --uid me --channel lobby --fingerprint {fingerprint}\n"
        );
    }
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    text += &format!("mles listens on https://{host}/ ({})\n", all.join(", "));
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| format!("cannot write to stdout: {error}"))
}

/// Takes a connection in, if its source and the table have room.
fn admit(
    server: &Rc<Server>,
    executor: &Rc<LocalExecutor<'static>>,
    stream: Socket,
    address: SocketAddr,
) {
    let door = &server.door;
    let id = door.next.get();
    door.next.set(id + 1);
    let source = limits::Source::of(address.ip());
    let admitted = door
        .gatekeeper
        .borrow_mut()
        .admit(id, source, door.start.elapsed());
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refused) => return tracing::debug!("connection refused: {refused:?}"),
    };
    if let Some(evicted) = admitted.evict {
        // Dropping its task drops its socket.
        door.coming.borrow_mut().remove(&evicted);
        tracing::debug!("an unfinished connection gave way to a new one");
    }
    if let Err(error) = stream.get_ref().set_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {error}");
    }
    let inner = server.clone();
    let task = executor.spawn(async move {
        let door = &inner.door;
        let outcome = serve(
            &inner.io,
            &inner.entrance,
            stream,
            mles_sansio::Source(source.key()),
            || door.gate(),
            || door.came_in(id),
        )
        .await;
        match outcome {
            Outcome::Session => {}
            Outcome::Answered(status) => tracing::debug!("answered with HTTP {status}"),
            Outcome::Failed(error) => tracing::debug!("connection failed: {error}"),
        }
        door.gone(id);
    });
    door.coming.borrow_mut().insert(id, task);
}

impl Door {
    fn gate(&self) -> Gate {
        if self.stopping.get() {
            Gate::ShuttingDown
        } else if self.gatekeeper.borrow().sessions() >= self.max_sessions {
            Gate::Full
        } else {
            Gate::Open
        }
    }

    /// A connection has become a session: it can be given up no more.
    fn came_in(&self, id: u64) {
        if let Err(refused) = self.gatekeeper.borrow_mut().became_session(id) {
            tracing::error!("a connection came in that may not: {refused:?}");
        }
        self.let_go(id);
    }

    fn gone(&self, id: u64) {
        self.gatekeeper.borrow_mut().closed(id);
        self.let_go(id);
    }

    fn let_go(&self, id: u64) {
        if let Some(task) = self.coming.borrow_mut().remove(&id) {
            task.detach();
        }
    }
}

/// Waits for a signal, stops accepting and has the sessions closed; a second signal, or a client that
/// does not take its close frame, ends the process.
async fn stop(server: Rc<Server>, mut signals: Signals, accepting: Vec<Task<()>>) {
    if signals.next().await.is_none() {
        return;
    }
    tracing::info!("stopping: closing {} sessions", server.io.len());
    drop(accepting);
    server.door.stopping.set(true);
    server.io.report(Event::Shutdown);
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
