//! A connection that this server opens, to a peer or over a bridge: TCP, TLS, the upgrade.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_rustls::client::TlsStream;
use mles_sansio::{DialFault, Event, Role, Source};
use runtime_common::dial::{DialError, prepare_for_server};
use runtime_common::door::Door;
use runtime_common::http::Upgrade;
use runtime_common::limits;
use runtime_common::tls;
use runtime_common::trusting::{Authorities, Trusting};
use runtime_smol::client::way::Way;
use rustls::ClientConfig;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use socket2::SockRef;

use crate::driver::{AtLast, TLS_BUFFER, live, within};
use crate::io_thread::IoThread;
use crate::sniff::Sniff;
use crate::socket::Socket;
use crate::transport::Transport;
use crate::worker::Worker;

/// A WebSocket at another server.
pub(crate) struct Dialed {
    stream: TlsStream<Sniff<Socket>>,
    /// What came behind the answer to the upgrade.
    rest: Vec<u8>,
    source: Source,
}

impl Dialed {
    /// The whole life of a session on it.
    pub(crate) async fn live(self, io: &IoThread<Sniff<Socket>>, door: &Door, role: Role) {
        let session = io.open(Transport::dialed(self.stream), self.rest, role, self.source);
        door.dialed.fetch_add(1, Ordering::Relaxed);
        let _gone = AtLast(|| {
            door.dialed.fetch_sub(1, Ordering::Relaxed);
        });
        live(io, &session).await;
    }
}

/// Has a task open a connection, and live on it; `failed` tells of one that could not be had. Nobody is told anything
/// when the server stops.
pub(crate) fn spawn(
    worker: &Rc<Worker>,
    door: &Arc<Door>,
    opening: impl Future<Output = Result<(Dialed, Role), (DialFault, String)>> + 'static,
    failed: impl FnOnce(DialFault, String) -> Event + 'static,
) {
    let (inner, door) = (worker.clone(), door.clone());
    let task = worker.executor.spawn(async move {
        // Boxed, so that what a dial needs is gone when the connection stands.
        let dialed = within(TIMEOUT, Box::pin(opening)).await;
        if door.stopping.load(Ordering::Relaxed) {
            return;
        }
        let slow = || {
            let text = "it did not answer in time".to_owned();
            Err((DialFault::Unreachable, text))
        };
        match dialed.unwrap_or_else(slow) {
            Ok((dialed, role)) => dialed.live(&inner.io, &door, role).await,
            Err((why, text)) => inner.io.report(failed(why, text)),
        }
    });
    task.detach();
}

/// Opens one; the nonce is what the answer has in `Mles-Nonce`.
///
/// # Errors
/// What was in the way, for the node and for the log.
pub(crate) async fn open(
    way: &Way,
    upgrade: &Upgrade,
) -> Result<(Dialed, Option<u128>), (DialFault, String)> {
    let unreachable = |error: DialError| (DialFault::Unreachable, error.text);
    let untrusted = |error: DialError| (DialFault::Untrusted, error.text);
    let no_mles = |text: String| (DialFault::NotMles, text);
    let lost = |error: io::Error| no_mles(format!("it ended the connection ({error})"));
    let tcp = way.tcp().await.map_err(unreachable)?;
    prepare_for_server(SockRef::from(&tcp)).map_err(lost)?;
    let source = tcp.get_ref().peer_addr();
    let source = source.map_or_else(
        |_| Source::default(),
        |address| Source(limits::Source::of(address.ip()).key()),
    );
    let stream = Sniff::dialed(Socket::new(tcp));
    let mut stream = way.tls(stream).await.map_err(untrusted)?;
    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    stream.write_all(&upgrade.request).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    let (nonce, used) = loop {
        let count = stream.read(&mut buffer).await.map_err(lost)?;
        if count == 0 {
            return Err(no_mles("it ended the connection".to_owned()));
        }
        head.extend_from_slice(&buffer[..count]);
        if let Some(answer) = upgrade.answer(&head).map_err(no_mles)? {
            break answer;
        }
    };
    let dialed = Dialed {
        stream,
        rest: head.split_off(used),
        source,
    };
    Ok((dialed, nonce))
}

/// What TLS needs to know for a dial, of the file of certificates as it is now.
///
/// # Errors
/// One line that says what to do: this machine trusts nobody.
pub(crate) async fn tls_now(
    trusting: &Trusting,
    authorities: Authorities,
) -> Result<Arc<ClientConfig>, String> {
    if let Some(file) = trusting.file().cloned() {
        // Elsewhere: it may be behind a network that has stopped.
        trusting.take_in(smol::unblock(move || tls::trusted_certificates(&file)).await);
    }
    trusting.tls(authorities, OPTIONS)
}

/// What the options begin with that say which servers to trust.
pub(crate) const OPTIONS: &str = "--peer-";

/// Time for a connection to another server, all in all.
const TIMEOUT: Duration = Duration::from_secs(10);
