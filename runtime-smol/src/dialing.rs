//! A connection that this server opens, to a peer or over a bridge: TCP, TLS, the upgrade.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_rustls::client::TlsStream;
use mles_sansio::{Role, Source};
use runtime_common::dial::prepare_for_server;
use runtime_common::door::Door;
use runtime_common::entrance::TLS_BUFFER;
use runtime_common::others::{
    self, DIAL_TIMEOUT, Dial, Failed, OPTIONS, Others, Whom, lost, unreachable, untrusted,
};
use runtime_common::trusting::Authorities;
use runtime_smol::client::way::Way;
use runtime_smol::host::{AtLast, IoThread, Sniff, Transport, live, within};
use rustls::ClientConfig;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use socket2::SockRef;

use crate::socket::Socket;
use crate::worker::Worker;

/// A WebSocket at another server.
struct Dialed {
    stream: TlsStream<Sniff<Socket>>,
    /// What came behind the answer to the upgrade.
    rest: Vec<u8>,
    role: Role,
    source: Source,
}

impl Dialed {
    /// The whole life of a session on it.
    async fn live(self, io: &IoThread<Sniff<Socket>>, door: &Door) {
        let stream = Transport::dialed(self.stream);
        let session = io.open(stream, self.rest, self.role, self.source);
        door.dialed.fetch_add(1, Ordering::Relaxed);
        let _gone = AtLast(|| {
            door.dialed.fetch_sub(1, Ordering::Relaxed);
        });
        live(io, &session).await;
    }
}

/// Has a task open a connection, and live on it, or tell the node that there is none. Nobody is told anything when the
/// server stops.
pub(crate) fn spawn(worker: &Rc<Worker>, others: &Arc<Others>, door: &Arc<Door>, whom: Whom) {
    let (inner, others, door) = (worker.clone(), others.clone(), door.clone());
    let task = worker.executor.spawn(async move {
        // Boxed, so that what a dial needs is gone when the connection stands.
        let dialed = within(DIAL_TIMEOUT, Box::pin(open(&others, whom))).await;
        if door.stopping.load(Ordering::Relaxed) {
            return;
        }
        match dialed.unwrap_or_else(|| Err(others::too_slow())) {
            Ok(dialed) => dialed.live(&inner.io, &door).await,
            Err(failed) => inner.io.report(others.failed(whom, failed)),
        }
    });
    task.detach();
}

/// Opens one.
async fn open(others: &Arc<Others>, whom: Whom) -> Result<Dialed, Failed> {
    let mut dial = Dial::new(&others.servers, whom)?;
    let tls = tls_now(others, dial.authorities).await;
    let tls = tls.map_err(untrusted)?;
    let way = Way::new(dial.address.clone(), tls, OPTIONS);
    let tcp = way.tcp().await.map_err(unreachable)?;
    prepare_for_server(SockRef::from(&tcp)).map_err(lost)?;
    let source = others::source(tcp.get_ref().peer_addr());
    let stream = Sniff::dialed(Socket::new(tcp));
    let mut stream = way.tls(stream).await.map_err(untrusted)?;
    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    stream.write_all(dial.request()).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut buffer = [0; 2048];
    loop {
        let count = stream.read(&mut buffer).await.map_err(lost)?;
        if let Some((role, rest)) = dial.take_in(&buffer[..count])? {
            return Ok(Dialed {
                stream,
                rest,
                role,
                source,
            });
        }
    }
}

/// What TLS needs to know, of the file of certificates as it is now.
///
/// # Errors
/// One line that says what to do: this machine trusts nobody.
pub(crate) async fn tls_now(
    others: &Arc<Others>,
    authorities: Authorities,
) -> Result<Arc<ClientConfig>, String> {
    // Elsewhere: the file may be behind a network that has stopped.
    let others = others.clone();
    smol::unblock(move || others.tls(authorities)).await
}
