//! A connection that this server opens, to a peer or over a bridge: TCP, TLS, the upgrade.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use runtime_common::dial::prepare_for_server;
use runtime_common::door::Door;
use runtime_common::others::{
    self, DIAL_TIMEOUT, Dial, Failed, OPTIONS, Others, Whom, lost, unreachable, untrusted,
};
use runtime_std::client::way::{Timed, Way};
use rustls::Stream;
use socket2::SockRef;

use crate::inbox::Inbox;
use crate::session::Session;
use crate::thread::{self, CONNECTION};
use crate::transport::Transport;

/// Has a thread open a connection, and start a session on it, or tell the node that there is none. Nobody is told
/// anything when the server stops.
pub(crate) fn spawn(inbox: &Arc<Inbox>, others: &Arc<Others>, door: &Arc<Door>, whom: Whom) {
    let (inner, servers, stopping) = (inbox.clone(), others.clone(), door.clone());
    let body = move || {
        let dialed = open(&inner, &servers, &stopping, whom);
        match dialed {
            Ok(Some(session)) => session.start(&inner, Counted::new(&stopping)),
            Ok(None) => {}
            Err(_) if stopping.stopping.load(Ordering::Relaxed) => {}
            Err(failed) => inner.report(servers.failed(whom, failed)),
        }
    };
    if let Err(error) = thread::spawn("dial", CONNECTION, body) {
        let failed = unreachable(format!("cannot start a thread: {error}"));
        inbox.report(others.failed(whom, failed));
    }
}

/// A connection that was dialed counts as long as this is there.
struct Counted(Arc<Door>);

impl Counted {
    fn new(door: &Arc<Door>) -> Self {
        door.dialed.fetch_add(1, Ordering::Relaxed);
        Self(door.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dialed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Opens one; none when the server stops.
fn open(
    inbox: &Inbox,
    others: &Others,
    door: &Door,
    whom: Whom,
) -> Result<Option<Arc<Session>>, Failed> {
    let deadline = Instant::now() + DIAL_TIMEOUT;
    let mut dial = Dial::new(&others.servers, whom)?;
    let tls = others.tls(dial.authorities).map_err(untrusted)?;
    let way = Way::new(dial.address.clone(), tls, OPTIONS);
    let stopping = || door.stopping.load(Ordering::Relaxed);
    let socket = way.tcp(deadline, &stopping).map_err(unreachable)?;
    prepare_for_server(SockRef::from(&socket)).map_err(lost)?;
    let source = others::source(socket.peer_addr());
    let mut tls = way.tls(&socket, deadline).map_err(untrusted)?;
    let mut timed = Timed::new(&socket, deadline);
    let mut stream = Stream::new(&mut tls, &mut timed);
    stream.write_all(dial.request()).map_err(lost)?;
    let mut buffer = [0; 2048];
    let (role, rest) = loop {
        let count = stream.read(&mut buffer).map_err(lost)?;
        if let Some(found) = dial.take_in(&buffer[..count])? {
            break found;
        }
    };
    Timed::end(&socket).map_err(lost)?;
    if stopping() {
        return Ok(None);
    }
    let session = inbox.open(role, source, |conn| {
        let socket = Arc::new(socket);
        let transport = Transport::dialed(tls, socket.clone());
        Session::new(conn, socket, transport, rest)
    });
    Ok(Some(session))
}
