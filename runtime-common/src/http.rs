//! The HTTP in front of WebSocket: one request head, one answer (RFC 9112 and 9110; RFC 6455
//! section 4.2; spec: T1, T2, X1).
//!
//! A connection carries one request. It becomes a WebSocket, or it gets one page file or one
//! sentence and is closed: bodies, pipelining and reuse, and what can be smuggled with them, do
//! not exist here. Whatever two readers of a head could understand differently is refused.
//!
//! The other way round there are two requests: for a WebSocket at a peer, and for a list of peers.

use httparse::{Error, Header, Status};

use crate::websocket::{self, SUBPROTOCOL};

mod answer;
mod fetch;
mod fuzz;
mod health;
mod peer;

pub use answer::{Answer, Refusal, STATUSES};
pub use fetch::Fetch;
#[doc(hidden)]
pub use fuzz::fuzz;
pub use health::Health;
pub use peer::{NotUpgraded, Upgrade, add_nonce, nonce};

/// The longest request head, in bytes, its final empty line included.
pub const HEAD_MAX: usize = 16 * 1024;

/// The most header lines in a request head.
pub const HEADERS_MAX: usize = 100;

/// A complete request head, valid as far as RFC 9112 goes, borrowed from the bytes received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'b> {
    /// As it was sent: methods are case-sensitive (RFC 9110 section 9.1).
    method: &'b str,
    target: &'b str,
    /// The 0 or 1 in `HTTP/1.x`.
    minor: u8,
    fields: Vec<Header<'b>>,
    announces_body: bool,
}

impl<'b> Head<'b> {
    /// The path of the request target, not decoded and without the query (RFC 9112 section 3.2).
    /// An absolute target without a path has the path `/`.
    fn path(&self) -> &'b str {
        path(self.target).unwrap_or(self.target)
    }

    /// The values of all header lines with this name (of any case), in the order received,
    /// without the white space around them.
    fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let named = move |field: &&Header<'b>| field.name.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|field| field.value)
    }

    /// The elements of the comma-separated lists in those values (RFC 9110 section 5.6.1).
    fn elements(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let elements = |value: &'b [u8]| value.split(|&byte| byte == b',');
        self.values(name).flat_map(elements).map(<[u8]>::trim_ascii)
    }

    /// Whether a list has this element, in any case.
    fn lists(&self, name: &str, token: &str) -> bool {
        self.elements(name)
            .any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// What `httparse` does not look at. Says whether a body is announced.
    fn check(&self) -> Result<bool, Refusal> {
        let mut hosts = self.values("host");
        match (hosts.next(), hosts.next()) {
            (None, _) if self.minor == 0 => {}
            (None, _) => return Err(Refusal::NoHost),
            (Some(_), Some(_)) => return Err(Refusal::RepeatedHost),
            (Some(host), None) if !host.iter().all(|&byte| is_host(byte)) => {
                return Err(Refusal::BadHost);
            }
            (Some(_), None) => {}
        }
        let is_asterisk = self.target == "*" && self.method == "OPTIONS";
        if path(self.target).is_none() && !is_asterisk && self.method != "CONNECT" {
            return Err(Refusal::BadTarget);
        }
        let is_coded = self.values("transfer-encoding").next().is_some();
        let mut lengths = self.values("content-length");
        let Some(length) = lengths.next() else {
            return Ok(is_coded);
        };
        if is_coded {
            return Err(Refusal::LengthAndCoding);
        }
        if lengths.next().is_some() {
            return Err(Refusal::RepeatedLength);
        }
        match parse_length(length) {
            Some(length) => Ok(length > 0),
            None => Err(Refusal::BadLength),
        }
    }
}

/// Reads a request head from the front of `buf`: the head and its length in bytes, or `None` while
/// it is not complete. What follows the head is not looked at.
///
/// To be called again with the same bytes and more. The answer does not depend on how the bytes
/// were cut, and a call reads at most [`HEAD_MAX`] bytes, two or three microseconds of work. A
/// client that sends single bytes thus has its head read quadratically, but only `HEAD_MAX`
/// times: the worst is `HEAD_MAX`² / 2 = 134 million bytes read, some 30 milliseconds in all.
///
/// # Errors
///
/// A [`Refusal`] that says what is wrong: syntax (RFC 9112 sections 2 to 6), another version,
/// more than [`HEAD_MAX`] bytes or [`HEADERS_MAX`] lines. It holds whatever comes after.
pub fn parse_head(buf: &[u8]) -> Result<Option<(Head<'_>, usize)>, Refusal> {
    let buf = &buf[..buf.len().min(HEAD_MAX)];
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let used = match request.parse(buf) {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) if buf.len() == HEAD_MAX => return Err(Refusal::HeadTooLong),
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(Refusal::TooManyHeaders),
        Err(Error::Version) => return Err(Refusal::Version),
        Err(Error::NewLine) => return Err(Refusal::LineEnding),
        Err(Error::HeaderName | Error::HeaderValue | Error::Status | Error::Token) => {
            return Err(Refusal::Malformed);
        }
    };
    if !ends_lines_with_crlf(&buf[..used]) {
        return Err(Refusal::LineEnding);
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Refusal::Malformed);
    };
    let mut head = Head {
        method,
        target,
        minor,
        fields: request.headers.to_vec(),
        announces_body: false,
    };
    head.announces_body = head.check()?;
    Ok(Some((head, used)))
}

/// Whether each LF follows a CR, and each CR precedes an LF: `httparse` takes bare LFs. `head`
/// ends with an LF.
fn ends_lines_with_crlf(head: &[u8]) -> bool {
    let mut after_cr = false;
    head.iter().all(|&byte| {
        let fits = (byte == b'\n') == after_cr;
        after_cr = byte == b'\r';
        fits
    })
}

/// The path in a target of origin-form or absolute-form, without the query.
fn path(target: &str) -> Option<&str> {
    let path_and_query = if target.starts_with('/') {
        target
    } else {
        let (scheme, rest) = target.split_once("://")?;
        let schemes = ["https", "http", "wss", "ws"];
        if !schemes
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return None;
        }
        &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
    };
    let path = path_and_query.split('?').next().unwrap_or_default();
    Some(if path.is_empty() { "/" } else { path })
}

/// Whether the byte may stand in `uri-host [":" port]` (RFC 9110 section 7.2).
fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte)
}

/// A decimal number without sign, as RFC 9110 section 8.6 has it.
fn parse_length(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether a new session may come up now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Yes.
    Open,
    /// No: the server has as many as it takes.
    Full,
    /// No: the server is about to end.
    ShuttingDown,
}

/// The answer to a request. `gate` matters only to a valid request for a WebSocket, and to who asks
/// for the server's `health`: it is well when it has as many sessions as it takes, too.
#[must_use]
pub fn respond(head: &Head<'_>, gate: Gate, health: &Health) -> Answer {
    let with_body = head.method != "HEAD";
    if head.method == "GET" && head.lists("upgrade", "websocket") {
        return match check_upgrade(head, gate) {
            Ok(key) => answer::upgrade(&websocket::accept_key(key)),
            Err(refusal) => refusal.answer(with_body),
        };
    }
    if !matches!(head.method, "GET" | "HEAD") {
        return Refusal::Method.answer(with_body);
    }
    if head.path() == "/healthz" {
        return match gate {
            Gate::Open | Gate::Full => answer::healthy(&health.text(), with_body),
            Gate::ShuttingDown => Refusal::ShuttingDown.answer(with_body),
        };
    }
    answer::file(head.path(), with_body).unwrap_or_else(|| Refusal::NotFound.answer(with_body))
}

/// The answer to a request on the port of the metrics, where nothing else is. `metrics` makes their text.
#[must_use]
pub fn respond_with_metrics(head: &Head<'_>, metrics: impl FnOnce() -> String) -> Answer {
    let with_body = head.method != "HEAD";
    if !matches!(head.method, "GET" | "HEAD") {
        return Refusal::Method.answer(with_body);
    }
    match head.path() {
        "/metrics" => answer::metrics(&metrics(), with_body),
        _ => Refusal::OnlyMetrics.answer(with_body),
    }
}

/// The conditions of RFC 6455 section 4.2.1 and T2; gives the client's key. Whether there is room
/// comes last: what no retry can mend is said first (X1.17).
fn check_upgrade<'b>(head: &Head<'b>, gate: Gate) -> Result<&'b [u8], Refusal> {
    if head.minor == 0 {
        return Err(Refusal::UpgradeOverHttp10);
    }
    if !head.lists("connection", "upgrade") {
        return Err(Refusal::NotConnectionUpgrade);
    }
    // T1.5, X1.17
    let mut versions = head.values("sec-websocket-version");
    if (versions.next(), versions.next()) != (Some(b"13"), None) {
        return Err(Refusal::WebSocketVersion);
    }
    let mut keys = head.values("sec-websocket-key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Refusal::WebSocketKey);
    };
    if !is_key(key) {
        return Err(Refusal::WebSocketKey);
    }
    // T2.2: the token is compared exactly.
    let mut offered = head.elements("sec-websocket-protocol");
    if !offered.any(|token| token == SUBPROTOCOL.as_bytes()) {
        return Err(Refusal::Subprotocol);
    }
    if head.announces_body {
        return Err(Refusal::UpgradeWithBody);
    }
    match gate {
        Gate::Open => Ok(key),
        Gate::Full => Err(Refusal::Full),
        Gate::ShuttingDown => Err(Refusal::ShuttingDown),
    }
}

/// Whether this is the base64 form of 16 bytes: 22 digits, two signs of padding.
fn is_key(key: &[u8]) -> bool {
    let Some((digits, padding)) = key.split_last_chunk::<2>() else {
        return false;
    };
    let is_digit = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    padding == b"==" && digits.len() == 22 && digits.iter().all(is_digit)
}

#[cfg(test)]
mod tests;
