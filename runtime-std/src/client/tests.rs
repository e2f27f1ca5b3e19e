//! The client against servers of the tests' own, which are tungstenite's.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use super::*;

mod connections;
mod threads;

/// How long anything may take that is expected to happen at once, on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(30);

type Socket = WebSocket<StreamOwned<ServerConnection, Counted>>;

/// A stream that counts the TLS records which are read from it.
struct Counted {
    stream: TcpStream,
    /// Header bytes of the next record.
    header: Vec<u8>,
    /// Bytes that are missing of this one.
    missing: usize,
    records: usize,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.count(&buffer[..count]);
        Ok(count)
    }
}

impl Counted {
    fn count(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.missing > 0 {
                let skipped = self.missing.min(bytes.len());
                self.missing -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header.push(*first);
            bytes = rest;
            if let [_, _, _, high, low] = self.header[..] {
                self.missing = usize::from(u16::from_be_bytes([high, low]));
                self.records += 1;
                self.header.clear();
            }
        }
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A server that has one connection: its URL, and what `serve` gives in the end. The first message that it gets is
/// the client's header.
fn server<T: Send + 'static>(
    serve: impl FnOnce(Socket) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url(&listener);
    let served = thread::spawn(move || serve(accept(&listener)));
    (url, served)
}

fn url(listener: &TcpListener) -> String {
    format!("wss://127.0.0.1:{}", listener.local_addr().unwrap().port())
}

fn accept(listener: &TcpListener) -> Socket {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (stream, _) = listener.accept().unwrap();
    let stream = Counted {
        stream,
        header: Vec::new(),
        missing: 0,
        records: 0,
    };
    let tls = ServerConnection::new(Arc::new(config)).unwrap();
    let stream = StreamOwned::new(tls, stream);
    #[expect(clippy::result_large_err, reason = "tungstenite's callback")]
    let select = |_: &_, mut response: tungstenite::handshake::server::Response| {
        let token = "mles-websocket".parse().unwrap();
        response
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", token);
        Ok(response)
    };
    tungstenite::accept_hdr(stream, select).unwrap()
}

fn options() -> Options {
    Options {
        trust: Trust::Anyone,
        ..Options::new("alice", "c")
    }
}

/// A close frame of the server's.
fn close(code: u16) -> CloseFrame {
    CloseFrame {
        code: CloseCode::from(code),
        reason: "".into(),
    }
}

/// The next message, or the end of the client.
#[track_caller]
fn received(client: &Client) -> Frame {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match client.next_until(deadline) {
            Ok(Some(Event::Received(delivery))) => return delivery.frame,
            Ok(Some(Event::Ended { why, .. })) => panic!("{why}"),
            Ok(Some(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// How it ends.
#[track_caller]
fn ended(client: &Client) -> End {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match client.next_until(deadline) {
            Ok(Some(Event::Ended { end, .. })) => return end,
            Ok(Some(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}
