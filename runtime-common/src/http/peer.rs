//! What is in an upgrade between two nodes: a nonce of each end in the header `Mles-Nonce` (spec: O1.1), and for the
//! end that dials the request and the answer to it.

use std::fmt;

use httparse::{EMPTY_HEADER, Response, Status};

use super::{HEAD_MAX, HEADERS_MAX, Head};
use crate::address::Address;
use crate::websocket::{self, SUBPROTOCOL};

const NONCE: &str = "Mles-Nonce";

/// The nonce of a request, if there is one of the right form: then it comes from a node, or from somebody who has
/// to be told about peering.
#[must_use]
pub fn nonce(head: &Head<'_>) -> Option<u128> {
    let mut values = head.values(NONCE);
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    parse_nonce(value)
}

/// Puts this end's nonce into the response of an [`Answer::Upgrade`](super::Answer::Upgrade).
pub fn add_nonce(response: &mut Vec<u8>, nonce: u128) {
    let end = response.len().saturating_sub(2);
    response.truncate(end);
    response.extend_from_slice(format!("{NONCE}: {nonce:032x}\r\n\r\n").as_bytes());
}

/// 32 lower-case hexadecimal digits.
fn parse_nonce(value: &[u8]) -> Option<u128> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if value.len() != 32 || !value.iter().all(is_digit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
}

/// A request for a WebSocket at a peer.
#[derive(Debug)]
pub struct Upgrade {
    key: String,
    /// The bytes to send.
    pub request: Vec<u8>,
}

impl Upgrade {
    /// To be sent to this address, with this nonce: none if the other is not taken for a node.
    #[must_use]
    pub fn new(address: &Address, nonce: Option<u128>) -> Self {
        let key = tungstenite::handshake::client::generate_key();
        let path = address.path();
        let nonce = nonce.map(|nonce| format!("{NONCE}: {nonce:032x}\r\n"));
        let nonce = nonce.unwrap_or_default();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\
             {nonce}\r\n"
        );
        Self {
            key,
            request: request.into_bytes(),
        }
    }

    /// Reads the answer from the front of `buf`: the other end's nonce, if it has one of the right form, and the
    /// length of the head; `None` while that is not complete. To be called again with the same bytes and more.
    ///
    /// # Errors
    ///
    /// It is no answer of a Mles server that lets us in: what it is, for the log.
    pub fn answer(&self, buf: &[u8]) -> Result<Option<(Option<u128>, usize)>, String> {
        self.judge(buf).map_err(|error| error.to_string())
    }

    /// The same, for who has to know what the answer was.
    ///
    /// # Errors
    ///
    /// It is no answer of a Mles server that lets us in.
    pub fn judge(&self, buf: &[u8]) -> Result<Option<(Option<u128>, usize)>, NotUpgraded> {
        let mut fields = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut fields);
        let buf = &buf[..buf.len().min(HEAD_MAX)];
        let used = match response.parse(buf) {
            Ok(Status::Complete(used)) => used,
            Ok(Status::Partial) if buf.len() < HEAD_MAX => return Ok(None),
            Ok(Status::Partial) => return Err(other("its answer is longer than any of Mles's")),
            Err(error) => return Err(other(format!("it does not speak HTTP ({error})"))),
        };
        match response.code {
            Some(101) => {}
            Some(code) => return Err(NotUpgraded::Status(code)),
            None => return Err(other("it does not speak HTTP")),
        }
        let value = |name: &str| {
            let named = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
            let mut values = response.headers.iter().filter(named);
            match (values.next(), values.next()) {
                (Some(field), None) => Some(field.value.trim_ascii()),
                (Some(_) | None, _) => None,
            }
        };
        let accept = websocket::accept_key(self.key.as_bytes());
        let is = |name, token: &str| {
            value(name).is_some_and(|value| value.eq_ignore_ascii_case(token.as_bytes()))
        };
        if !is("upgrade", "websocket")
            || !is("connection", "upgrade")
            || value("sec-websocket-accept") != Some(accept.as_bytes())
            || value("sec-websocket-extensions").is_some()
        {
            return Err(other("its answer is no WebSocket's"));
        }
        if value("sec-websocket-protocol") != Some(SUBPROTOCOL.as_bytes()) {
            return Err(other(format!("it did not choose {SUBPROTOCOL}")));
        }
        Ok(Some((value(NONCE).and_then(parse_nonce), used)))
    }
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotUpgraded {
    /// The answer has this status of HTTP.
    Status(u16),
    /// It is something else, as a clause.
    Other(String),
}

fn other(what: impl Into<String>) -> NotUpgraded {
    NotUpgraded::Other(what.into())
}

impl fmt::Display for NotUpgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(503) => f.write_str("it has no room now (HTTP 503)"),
            Self::Status(code) => write!(f, "it answers with HTTP {code}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}
