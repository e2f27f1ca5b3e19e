//! A connection's way in behind TLS: one request, and a session or an answer (spec: T2, X1).

use std::io;
use std::time::Duration;

use mles_sansio::{Nonces, Role};

use crate::door::Door;
use crate::http::{self, Answer, Gate, Health};
use crate::random;

/// The head of a request, as far as it has come.
#[derive(Debug, Default)]
pub struct Request {
    head: Vec<u8>,
}

/// What is to become of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A session, when `response` is sent.
    Session {
        /// The bytes to send.
        response: Vec<u8>,
        /// What came behind the request: the session's first bytes.
        rest: Vec<u8>,
        /// Who may be there.
        role: Role,
    },
    /// Its end, when `response` is sent.
    Answer {
        /// The bytes to send.
        response: Vec<u8>,
        /// The status of HTTP in it, for the log.
        status: u16,
    },
}

impl Request {
    /// Takes in what was read; nothing comes of it while the head is not complete. `gate` says whether the server is
    /// there for anybody; `enter` is called when this one is to become a session, and says whether it may.
    ///
    /// # Errors
    /// The other end has ended the connection (there were no bytes), or the operating system gives no random numbers.
    pub fn take_in(
        &mut self,
        bytes: &[u8],
        gate: impl Fn() -> Gate,
        enter: impl Fn() -> Gate,
        health: &Health,
    ) -> io::Result<Option<Verdict>> {
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.head.extend_from_slice(bytes);
        let (answer, dialer, used) = match http::parse_head(&self.head) {
            Ok(Some((request, used))) => match http::respond(&request, gate(), health) {
                // A good request for a session; only now is a place taken.
                Answer::Upgrade { .. } => {
                    let nonce = http::nonce(&request);
                    (http::respond(&request, enter(), health), nonce, used)
                }
                answer @ Answer::Close { .. } => (answer, None, used),
            },
            Ok(None) => return Ok(None),
            Err(refusal) => (refusal.answer(true), None, 0),
        };
        Ok(Some(match answer {
            Answer::Close { response, status } => Verdict::Answer { response, status },
            Answer::Upgrade { mut response } => {
                let mut role = Role::Accepted;
                if let Some(dialer) = dialer {
                    let acceptor = random::nonce()?;
                    http::add_nonce(&mut response, acceptor);
                    role = Role::Peer(Nonces { dialer, acceptor });
                }
                Verdict::Session {
                    response,
                    rest: self.head.split_off(used),
                    role,
                }
            }
        }))
    }
}

/// What became of a connection.
#[derive(Debug)]
pub enum Outcome {
    /// It was a session, and is over.
    Session,
    /// It got this HTTP status.
    Answered(u16),
    /// It failed before it could be answered.
    Failed(io::Error),
}

impl Outcome {
    /// Counts it, if it was no session; why is logged at debug level.
    pub fn count(&self, door: &Door) {
        match self {
            Self::Session => {}
            Self::Answered(status) => {
                door.answered(*status);
                tracing::debug!("answered with HTTP {status}");
            }
            Self::Failed(error) => {
                door.failed();
                tracing::debug!("connection failed: {error}");
            }
        }
    }
}

/// Whether a connection that begins with this byte speaks plain HTTP: the commonest first mistake (X1.14).
pub fn is_plain_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}

/// Whether a connection that begins with this byte may speak TLS: what does not never reaches it.
pub fn may_be_tls(first: u8) -> bool {
    first == HANDSHAKE
}

/// A connection that took too long.
pub fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} timed out"))
}

/// Time for the request head, and for taking the answer to it.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time and bytes spent on a connection after its last answer: dropping a socket with unread data would take the
/// answer back.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// See [`FAREWELL_TIMEOUT`].
pub const FAREWELL_BYTES: usize = 256 * 1024;

/// Ciphertext that rustls may hold for a connection whose socket takes no more: two records.
pub const TLS_BUFFER: usize = 32 * 1024;

/// The type of the record that TLS begins with (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: mles-websocket\r\n";

    fn open() -> Gate {
        Gate::Open
    }

    fn status(verdict: Option<Verdict>) -> Option<u16> {
        match verdict? {
            Verdict::Answer { response, status } => {
                let line = format!("HTTP/1.1 {status} ");
                assert!(response.starts_with(line.as_bytes()));
                Some(status)
            }
            Verdict::Session { .. } => Some(101),
        }
    }

    /// T2: however it is cut, what is behind the request is the session's.
    #[test]
    fn a_session_begins_behind_the_request() {
        let bytes = format!("{UPGRADE}\r\nrest").into_bytes();
        for cut in [1, 50, bytes.len() - 5] {
            let health = Health::default();
            let mut request = Request::default();
            let (first, last) = bytes.split_at(cut);
            let none = request.take_in(first, open, open, &health).unwrap();
            assert_eq!(none, None);
            let verdict = request.take_in(last, open, open, &health).unwrap();
            let Some(Verdict::Session {
                response,
                rest,
                role,
            }) = verdict
            else {
                panic!("{verdict:?}");
            };
            // The example of RFC 6455 section 1.3.
            let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
            assert!(String::from_utf8(response).unwrap().contains(accept));
            assert_eq!((&rest[..], role), (&b"rest"[..], Role::Accepted));
        }
    }

    /// O1.1: a nonce makes it a peer, which gets one, too.
    #[test]
    fn a_nonce_is_answered_with_one() {
        let bytes = format!("{UPGRADE}Mles-Nonce: {:032x}\r\n\r\n", 7);
        let mut request = Request::default();
        let verdict = request.take_in(bytes.as_bytes(), open, open, &Health::default());
        let Some(Verdict::Session { response, role, .. }) = verdict.unwrap() else {
            panic!("no session");
        };
        let Role::Peer(Nonces { dialer, acceptor }) = role else {
            panic!("{role:?}");
        };
        assert_eq!(dialer, 7);
        let line = format!("Mles-Nonce: {acceptor:032x}\r\n");
        assert!(String::from_utf8(response).unwrap().contains(&line));
    }

    /// X1.9: a place is taken only by a request that gets it.
    #[test]
    fn who_may_come_in() {
        let health = Health::default();
        let upgrade = format!("{UPGRADE}\r\n");
        let cases = [
            (&upgrade[..], Gate::Open, Gate::Open, Some(101), true),
            (&upgrade, Gate::Open, Gate::Full, Some(503), true),
            (&upgrade, Gate::ShuttingDown, Gate::Open, Some(503), false),
            (
                "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
                Gate::Full,
                Gate::Open,
                Some(200),
                false,
            ),
            (
                "no request\r\n\r\n",
                Gate::Open,
                Gate::Open,
                Some(400),
                false,
            ),
            ("GET / HT", Gate::Open, Gate::Open, None, false),
        ];
        for (bytes, gate, enter, expected, asked) in cases {
            let entered = std::cell::Cell::new(false);
            let enter = || {
                entered.set(true);
                enter
            };
            let mut request = Request::default();
            let verdict = request.take_in(bytes.as_bytes(), || gate, enter, &health);
            assert_eq!(status(verdict.unwrap()), expected, "{bytes}");
            assert_eq!(entered.get(), asked, "{bytes}");
        }
        let ended = Request::default().take_in(&[], open, open, &health);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
