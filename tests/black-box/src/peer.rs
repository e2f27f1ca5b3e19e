//! A server's peer, made by hand: it says on a link what a test has it say.

use std::hash::Hasher;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use siphasher::sip::SipHasher24;
use tungstenite::http::HeaderValue;

use crate::{Client, Message, PEER_KEY, Server, offer};

/// The highest number that there is on a link (F1.2).
pub const NUMBER_MOST: u64 = (1 << 53) - 1;

/// One end of a connection to a server that takes it for a peer.
#[derive(Debug)]
pub struct Peer {
    /// The WebSocket.
    pub client: Client,
    /// Who this is.
    pub who: Who,
    /// The server's handshake, once it has come.
    pub reply: Value,
}

/// 32 hexadecimal digits that this process has not used yet: good for a uid or a nonce. As a uid it is less than
/// nearly all that servers draw.
#[must_use]
pub fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Peer {
    /// A connection that no handshake was sent on.
    #[must_use]
    pub fn open(server: &Server) -> Self {
        Self::open_on(server.tls())
    }

    /// The same, on a connection that is there.
    #[must_use]
    pub fn open_on(stream: crate::Tls) -> Self {
        let mut request = offer("/", &["mles-websocket"]);
        let dialer = nonce();
        let value = HeaderValue::from_str(&dialer).unwrap();
        request.headers_mut().insert("Mles-Nonce", value);
        let (client, response) = Client::open_with(stream, request).expect("upgrade");
        let acceptor = response.headers().get("Mles-Nonce").expect("a nonce");
        let acceptor = acceptor.to_str().unwrap().to_owned();
        Self {
            client,
            who: Who::new(dialer, acceptor),
            reply: Value::Null,
        }
    }

    /// A link to a server that has [`PEER_KEY`].
    #[must_use]
    pub fn link(server: &Server) -> Self {
        let mut peer = Self::open(server);
        peer.shake();
        peer
    }

    /// The same, and this has become its upper end (G1.4, G1.5).
    #[must_use]
    pub fn above(server: &Server) -> Self {
        let mut peer = Self::link(server);
        peer.say(&peer.turn_of(&[]));
        while peer.hear()["turn"] != true {}
        peer
    }

    /// Makes the connection a link.
    pub fn shake(&mut self) {
        let handshake = self.handshake(PEER_KEY.1);
        self.say(&handshake);
        self.reply = self.hear();
        assert_eq!(self.reply["peer"], true, "{}", self.reply);
    }

    /// The uid of the server.
    #[must_use]
    pub fn other(&self) -> &str {
        self.reply["uid"].as_str().expect("a reply")
    }

    /// Sends a frame.
    pub fn say(&mut self, frame: &Value) {
        self.client.send(frame.to_string());
    }

    /// The next frame, which is not a payload.
    #[must_use]
    pub fn hear(&mut self) -> Value {
        let message = self.client.recv();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    /// Joins a channel as one who has nothing of it, and passes what comes until it is synchronised.
    pub fn join(&mut self, channel: &str) {
        self.say(&self.join_of(channel));
        loop {
            let heard = self.hear();
            if heard["channel"] == channel && heard["done"] == true {
                return;
            }
            if !heard["node"].is_null() {
                let _ = self.client.recv();
            }
        }
    }

    /// Sends a message that this node claims to have from the client `eve` of this origin.
    pub fn tell(&mut self, channel: &str, origin: &str, seq: u64, ts: u64, payload: Message) {
        let header =
            json!({"uid": "eve", "channel": channel, "node": origin, "seq": seq, "ts": ts});
        self.say(&header);
        self.client.send(payload);
    }

    /// The server closes with this code, whatever else it sends before; and the connection ends.
    pub fn expect_close(&mut self, code: u16) {
        loop {
            match self.client.next_frame() {
                Message::Close(close) => {
                    let close = close.expect("a code");
                    assert_eq!(u16::from(close.code), code, "{}", close.reason);
                    assert!(!close.reason.is_empty(), "{code} without a reason");
                    assert!(close.reason.len() <= 123);
                    return self.client.expect_end();
                }
                Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
                message @ Message::Frame(_) => panic!("{message:?}"),
            }
        }
    }
}

/// Who one end of a connection claims to be, and the frames that it says so in.
#[derive(Debug)]
pub struct Who {
    /// Its uid.
    pub uid: String,
    /// What the dialer and the acceptor have drawn for the connection.
    pub nonces: [String; 2],
}

impl Who {
    pub(crate) fn new(dialer: String, acceptor: String) -> Self {
        Self {
            uid: nonce(),
            nonces: [dialer, acceptor],
        }
    }

    /// The handshake that is right if this is the key.
    #[must_use]
    pub fn handshake(&self, key: &str) -> Value {
        let auth = self.auth(key);
        json!({
            "uid": self.uid, "channel": "mles", "auth": auth, "peer": true, "path": [],
            "ts": clock(), "max": 16 << 20,
        })
    }

    fn auth(&self, key: &str) -> String {
        let mut hasher = SipHasher24::new();
        for part in [&*self.uid, "mles", key, &self.nonces[0], &self.nonces[1]] {
            hasher.write(part.as_bytes());
        }
        format!("{:016x}", hasher.finish())
    }

    /// The join of a channel.
    #[must_use]
    pub fn join_of(&self, channel: &str) -> Value {
        json!({"uid": self.uid, "channel": channel, "peer": true, "have": {}})
    }

    /// The leave of a channel.
    #[must_use]
    pub fn leave_of(&self, channel: &str) -> Value {
        json!({"uid": self.uid, "channel": channel, "peer": false})
    }

    /// This end's path.
    #[must_use]
    pub fn path_of(&self, path: &[&str]) -> Value {
        json!({"uid": self.uid, "peer": true, "path": path})
    }

    /// This end's path, and that the ends change places.
    #[must_use]
    pub fn turn_of(&self, path: &[&str]) -> Value {
        json!({"uid": self.uid, "peer": true, "path": path, "turn": true})
    }
}

impl Deref for Peer {
    type Target = Who;

    fn deref(&self) -> &Who {
        &self.who
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Who {
        &mut self.who
    }
}

/// Microseconds since 1970.
#[must_use]
pub fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_micros().try_into().unwrap()
}
