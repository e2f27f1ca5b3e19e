//! A server's upstream, made by hand: it says on a link what a test has it say.

use std::net::TcpListener;
use std::ops::{Deref, DerefMut};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

use crate::http::grant_upgrade_with;
use crate::tls::{self, Accepted};
use crate::{DEADLINE, Message, PEER_KEY, TempDir, Who, nonce};

/// Where servers can dial a peer that is made by hand.
#[derive(Debug)]
pub struct Upstream {
    listener: TcpListener,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    /// Holds the certificate for the servers.
    files: TempDir,
}

/// A peer that a server has dialed.
#[derive(Debug)]
pub struct Dialed {
    socket: WebSocket<Accepted>,
    /// Who this is.
    pub who: Who,
    /// The server's handshake.
    pub hello: Value,
}

impl Upstream {
    /// One with a certificate of its own.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it listens")]
    pub fn new() -> Self {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = TempDir::new();
        files.file("peer.pem", pair.cert.pem());
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            certificate: pair.cert.der().clone(),
            key: pair.signing_key.serialize_der(),
            files,
        }
    }

    /// The arguments of a server that dials it.
    #[must_use]
    pub fn args(&self) -> [String; 4] {
        let port = self.listener.local_addr().unwrap().port();
        let file = self.files.path().join("peer.pem");
        let file = file.to_str().unwrap().to_owned();
        [
            "--peer".into(),
            format!("wss://localhost:{port}"),
            "--peer-ca".into(),
            file,
        ]
    }

    /// The next connection, whose handshake has come.
    #[must_use]
    pub fn accept(&self) -> Dialed {
        let wait = Timespec::try_from(DEADLINE).unwrap();
        let mut polled = [PollFd::new(&self.listener, PollFlags::IN)];
        assert_eq!(poll(&mut polled, Some(&wait)).unwrap(), 1, "nobody dials");
        let (stream, _) = self.listener.accept().unwrap();
        let mut stream = tls::accept(stream, self.certificate.clone(), self.key.clone());
        let acceptor = nonce();
        let line = format!("Mles-Nonce: {acceptor}\r\n");
        let head = grant_upgrade_with(&mut stream, &line);
        let mut lines = head.lines();
        let dialer = lines.find_map(|line| line.strip_prefix("Mles-Nonce: "));
        let who = Who::new(dialer.expect("a nonce").to_owned(), acceptor);
        let mut dialed = Dialed {
            socket: WebSocket::from_raw_socket(stream, Role::Server, None),
            who,
            hello: Value::Null,
        };
        dialed.hello = dialed.hear();
        dialed
    }
}

impl Dialed {
    /// Replies as it should, so that this is the server's upstream.
    pub fn reply(&mut self) {
        let reply = self.handshake(PEER_KEY.1);
        self.say(&reply);
    }

    /// Sends a frame.
    pub fn say(&mut self, frame: &Value) {
        let sent = self.socket.send(Message::text(frame.to_string()));
        sent.expect("the server takes it");
    }

    /// The next message, whatever it is.
    #[must_use]
    pub fn recv(&mut self) -> Message {
        loop {
            match self.socket.read().expect("a message") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The next frame, which is not a payload.
    #[must_use]
    pub fn hear(&mut self) -> Value {
        let message = self.recv();
        let text = message.to_text().expect("a frame");
        serde_json::from_str(text).unwrap_or_else(|_| panic!("a frame was expected: {text}"))
    }

    /// The server closes with this code.
    pub fn expect_close(&mut self, code: u16) {
        loop {
            if let Message::Close(close) = self.recv() {
                let close = close.expect("a code");
                assert_eq!(u16::from(close.code), code, "{}", close.reason);
                assert!(!close.reason.is_empty(), "{code} without a reason");
                return;
            }
        }
    }
}

impl Deref for Dialed {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.who
    }
}

impl DerefMut for Dialed {
    fn deref_mut(&mut self) -> &mut Who {
        &mut self.who
    }
}
