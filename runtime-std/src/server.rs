//! The server's life, from the first connection to the last.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mles_sansio::{Event, Source};
use runtime_common::certificates::Certificates;
use runtime_common::config::Config;
use runtime_common::door::{Door, Ticket};
use runtime_common::http::Gate;
use runtime_common::life::{self, Ready, STOP_MAX};
use runtime_common::listening;
use runtime_common::metrics::Meter;
use runtime_common::others::Others;
use runtime_common::outbound::{self, Outbound};
use runtime_common::tls;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use socket2::SockRef;

use crate::driver::{Entrance, come_in};
use crate::inbox::Inbox;
use crate::listen::Listening;
use crate::thread::{self, CONNECTION, SERVICE};
use crate::turn::Turns;
use crate::{dialing, monitor, watch};

/// What the threads of connections share.
struct Server {
    door: Arc<Door>,
    inbox: Arc<Inbox>,
    entrance: Entrance,
    /// The sockets of connections that are no sessions yet, so that one can be given up.
    coming: Mutex<HashMap<u64, Arc<TcpStream>>>,
}

/// Serves until a signal ends it.
///
/// # Errors
///
/// One line that says what to do, before anything is served.
pub(crate) fn run(mut config: Config) -> Result<(), String> {
    // It would otherwise end the process, and what follows takes its time; the others may do so.
    let signals = Signals::new([SIGUSR1]).map_err(no_signals)?;
    // Each connection has a thread; what is for a number of threads is for the node's.
    config.threads = Some(1);
    let ready = Ready::new(config)?;
    let server = Arc::new(Server {
        door: ready.door.clone(),
        inbox: Arc::new(Inbox::new(outbound::budget(&ready.config))),
        entrance: Entrance {
            tls: tls::server_config(ready.certificates.shown()),
            handshake_timeout: ready.config.handshake_timeout,
            health: ready.door.health.clone(),
        },
        coming: Mutex::default(),
    });
    let others = ready.others.clone();
    let mut turns = server.start(ready, signals)?;
    turns.run(&|whom| dialing::spawn(&server.inbox, &others, &server.door, whom));
    Ok(())
}

impl Server {
    /// Starts all threads but the node's, which is this one, and says that the server is ready.
    fn start(self: &Arc<Self>, ready: Ready, signals: Signals) -> Result<Turns, String> {
        let announcement = ready.announcement();
        let mut listening = Vec::new();
        for listener in ready.bound.listeners {
            let server = self.clone();
            let take = move |stream, address: SocketAddr| server.admit(stream, address.ip());
            listening.push(Listening::start(listener, take).map_err(no_thread)?);
        }
        let hang_up = self.watch(ready.certificates, &ready.others)?;
        let ((wish, wishes), meter) = (channel(), ready.meter.clone());
        service("report", move || monitor::report(&meter, &wishes))?;
        if let Some(listener) = ready.metrics {
            let serving = monitor::serve(&ready.meter, listener);
            serving.map_err(|error| format!("metrics: {error}"))?;
        }
        let (server, meter) = (self.clone(), ready.meter.clone());
        let stopping = Stopping {
            server,
            meter,
            listening,
        };
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signals.add_signal(signal).map_err(no_signals)?;
        }
        service("signals", move || stopping.listen(signals, &hang_up, &wish))?;
        if let Some(event) = ready.others.first() {
            self.inbox.report(event);
        }
        life::announce(&announcement)?;
        let (inbox, door) = (self.inbox.clone(), ready.door);
        let outbound = Outbound::new(&ready.config);
        Ok(Turns::new(
            ready.node,
            inbox,
            outbound,
            door,
            ready.meter,
            ready.others,
        ))
    }

    /// Starts the threads that look after what may change, and gives what has them look at once.
    fn watch(
        &self,
        certificates: Certificates,
        others: &Arc<Others>,
    ) -> Result<Vec<Sender<()>>, String> {
        let (now, asked) = channel();
        let mut hang_up = vec![now];
        let body = move || watch::certificates(certificates, &asked);
        service("certificates", body)?;
        if others.file().is_some() {
            let (now, asked) = channel();
            hang_up.push(now);
            let (others, inbox) = (others.clone(), self.inbox.clone());
            let body = move || watch::peers_file(&others, &inbox, &asked);
            service("peers-file", body)?;
        }
        if others.page().is_some() {
            let (now, asked) = channel();
            hang_up.push(now);
            let (others, inbox) = (others.clone(), self.inbox.clone());
            let body = move || watch::peers_page(&others, &inbox, &asked);
            service("peers-page", body)?;
        }
        Ok(hang_up)
    }

    /// Takes a connection in, if it may, on a thread of its own.
    fn admit(self: &Arc<Self>, stream: TcpStream, address: IpAddr) -> io::Result<()> {
        listening::prepare(SockRef::from(&stream));
        let stream = Arc::new(stream);
        // Another thread that accepts finds this one here if it has to give way.
        let mut coming = self.coming();
        let (ticket, evicted) = match self.door.admit(address) {
            Ok(admitted) => admitted,
            Err(refused) => {
                tracing::debug!("connection refused: {refused}");
                return Ok(());
            }
        };
        coming.insert(ticket.id, stream.clone());
        if let Some(evicted) = evicted.and_then(|evicted| coming.remove(&evicted)) {
            // Its thread finds its socket closed.
            let _ = evicted.shutdown(Shutdown::Both);
            tracing::debug!("an unfinished connection gave way to a new one");
        }
        drop(coming);
        let gone = Gone(self.clone(), ticket.id);
        let server = self.clone();
        let body = move || server.serve(stream, ticket, gone);
        thread::spawn("connection", CONNECTION, body).map(drop)
    }

    /// A connection's life, up to where it is a session.
    fn serve(&self, socket: Arc<TcpStream>, ticket: Ticket, gone: Gone) {
        let gate = || self.door.gate();
        let enter = || self.enter(ticket.id);
        match come_in(&self.entrance, &socket, gate, enter) {
            Ok(opening) => {
                let source = Source(ticket.source.key());
                let session = opening.open(&self.inbox, socket, source);
                session.start(&self.inbox, gone);
            }
            Err(outcome) => outcome.count(&self.door),
        }
    }

    fn enter(&self, id: u64) -> Gate {
        let gate = self.door.enter(id);
        if gate == Gate::Open {
            self.coming().remove(&id);
        }
        gate
    }

    fn coming(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection is over when its thread is, whichever way that ends.
struct Gone(Arc<Server>, u64);

impl Drop for Gone {
    fn drop(&mut self) {
        let Self(server, id) = self;
        server.coming().remove(id);
        server.door.gone(*id);
    }
}

/// A thread that there is once.
fn service(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), String> {
    thread::spawn(name, SERVICE, body)
        .map(drop)
        .map_err(no_thread)
}

fn no_thread(error: io::Error) -> String {
    format!("cannot start a thread: {error}")
}

fn no_signals(error: io::Error) -> String {
    format!("cannot listen for signals: {error}")
}

/// Who does not look any more needs no request.
fn ask(request: &Sender<()>) {
    let _ = request.send(());
}

/// What a signal to stop has an end of.
struct Stopping {
    server: Arc<Server>,
    meter: Arc<Meter>,
    listening: Vec<Listening>,
}

impl Stopping {
    /// Passes signals on: to who looks after files, to who reports, and the first that says so ends the server. A second
    /// one, or a client that does not take its close frame, ends the process.
    fn listen(mut self, mut signals: Signals, hang_up: &[Sender<()>], wish: &Sender<()>) {
        let mut stopping = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => hang_up.iter().for_each(ask),
                SIGUSR1 => ask(wish),
                _ if stopping => life::exit(true),
                _ => {
                    stopping = true;
                    self.stop();
                }
            }
        }
    }

    fn stop(&mut self) {
        // Waited for: who reads the next line finds nobody listening.
        self.listening.drain(..).for_each(Listening::close);
        life::stop(&self.server.door, &self.meter);
        self.server.inbox.report(Event::Shutdown);
        let late = || {
            std::thread::sleep(STOP_MAX);
            life::exit(false)
        };
        if thread::spawn("late", SERVICE, late).is_err() {
            life::exit(false);
        }
    }
}
