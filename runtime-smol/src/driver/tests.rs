//! A session's end, whichever way its task ends.

use std::cell::Cell;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_rustls::{TlsConnector, client};
use mles_sansio::{Ending, Event};
use runtime_common::batch::{Batch, READ_MAX};
use runtime_common::config::Config;
use runtime_common::{local_certificate::local_certificate, tls};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use smol::future::yield_now;
use smol::{Async, LocalExecutor, Task};

use super::*;

/// A stream that panics when it is read, once it is armed.
struct Trap {
    stream: Async<UnixStream>,
    armed: Rc<Cell<bool>>,
}

impl AsyncRead for Trap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        assert!(!self.armed.get(), "the trap");
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Trap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

type Io = IoThread<Sniff<Trap>>;
type Client = client::TlsStream<Async<UnixStream>>;

/// The part of a message that a client sends before its task ends.
const BEGINNING: &[u8] = b"\x02\xfd\0\0\0\0beginning";

/// X1.15: however a session's task ends, the node hears that the session has left, and nothing of it stays.
#[test]
fn a_task_that_ends_leaves_nothing() {
    let end = |how: fn(Task<Outcome>, &Cell<bool>)| {
        let io = Rc::new(Io::new(0, &config()));
        let executor = LocalExecutor::new();
        smol::block_on(executor.run(async {
            let armed = Rc::new(Cell::new(false));
            let (task, mut client) = session(&executor, &io, &armed).await;
            assert!(matches!(event(&io).await, Event::Opened { .. }));
            client.write_all(BEGINNING).await.unwrap();
            client.flush().await.unwrap();
            let Event::Heard { conn } = event(&io).await else {
                panic!("part of a message");
            };
            assert!(io.len() == 1 && io.unfinished() > 0);
            how(task, &armed);
            // The end of the client's stream wakes the task if nothing else does.
            let _ = client.close().await;
            let how = Ending::Lost;
            assert_eq!(event(&io).await, Event::Closed { conn, how });
            assert_eq!((io.len(), io.unfinished()), (0, 0));
            assert!(io.session(conn).is_none());
        }));
    };
    end(|task, _| task.detach());
    end(|task, _| drop(task));
    end(|task, armed| {
        armed.set(true);
        task.detach();
    });
}

/// When as much was read as one batch may hold, a connection waits without asking again, and reads on
/// when the batch is taken.
#[test]
fn a_connection_reads_on_when_the_batch_is_taken() {
    let io = Rc::new(Io::new(0, &config()));
    let executor = LocalExecutor::new();
    smol::block_on(executor.run(async {
        let (_task, mut client) = session(&executor, &io, &Rc::default()).await;
        assert!(matches!(event(&io).await, Event::Opened { .. }));
        io.has_read(READ_MAX);
        client.write_all(BEGINNING).await.unwrap();
        client.flush().await.unwrap();
        while io.waiting() == 0 {
            yield_now().await;
        }
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!((io.waiting(), io.unfinished()), (1, 0));
        assert!(matches!(event(&io).await, Event::Heard { .. }));
        assert!(io.waiting() == 0 && io.unfinished() > 0);
    }));
}

/// A session of its own task, and its client.
async fn session<'a>(
    executor: &LocalExecutor<'a>,
    io: &Rc<Io>,
    armed: &Rc<Cell<bool>>,
) -> (Task<Outcome>, Client) {
    let (identity, _) = local_certificate(None, SystemTime::now(), None).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let identities = Arc::new(tls::Identities::new(vec![identity]));
    let entrance = Entrance {
        health: Arc::default(),
        acceptor: TlsAcceptor::from(tls::server_config(&identities)),
        handshake_timeout: Duration::from_secs(60),
    };
    let (here, there) = Async::<UnixStream>::pair().unwrap();
    let (io, armed) = (io.clone(), armed.clone());
    let task = executor.spawn(async move {
        let stream = Trap {
            stream: there,
            armed,
        };
        let source = Source(1);
        let gate = || Gate::Open;
        let serve = serve(&io, &entrance, stream, source, gate, gate, |_| ());
        // For as long as a session lasts; what the way in needs is not part of it.
        assert!(size_of_val(&serve) <= 256, "{}", size_of_val(&serve));
        serve.await
    });
    let name = "localhost".try_into().unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut client = connector.connect(name, here).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: mles-websocket\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    (task, client)
}

/// The default one.
fn config() -> Config {
    Config::load(["mles".into()].into_iter(), &|_| None, &|_| Vec::new()).unwrap()
}

/// What happens next.
async fn event(io: &Io) -> Event {
    let next = poll_fn(|cx| {
        io.wakes(cx.waker());
        let mut taken = Batch::default();
        io.take(&mut taken);
        match &taken.events[..] {
            [] => Poll::Pending,
            [event] => Poll::Ready(event.clone()),
            events => panic!("one at a time: {events:?}"),
        }
    });
    within(Duration::from_secs(30), next).await.unwrap()
}
