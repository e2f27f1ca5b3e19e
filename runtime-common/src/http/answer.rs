//! The answers, complete as they go on the wire.

use std::fmt::Write;

use crate::websocket::SUBPROTOCOL;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The request is granted: after `response` the connection is a WebSocket.
    Upgrade {
        /// The bytes to send.
        response: Vec<u8>,
    },
    /// The connection is closed after `response`.
    Close {
        /// The bytes to send.
        response: Vec<u8>,
        /// The status code in `response`, for the log.
        status: u16,
    },
}

/// Every status but 101.
pub const STATUSES: [u16; 10] = [200, 204, 400, 404, 405, 408, 426, 431, 503, 505];

/// Why a request gets an error in place of what it asked for (X1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The head is not HTTP: a bad byte, a folded line, a line without a colon (RFC 9112).
    Malformed,
    /// A line ends with a bare LF, or a bare CR stands in the head (RFC 9112 section 2.2).
    LineEnding,
    /// No `Host` in HTTP/1.1 (RFC 9112 section 3.2).
    NoHost,
    /// `Host` more than once.
    RepeatedHost,
    /// `Host` is not a host with an optional port.
    BadHost,
    /// The target is neither a path nor an absolute http(s) or ws(s) URI.
    BadTarget,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 section 6.1).
    LengthAndCoding,
    /// `Content-Length` more than once (RFC 9112 section 6.3).
    RepeatedLength,
    /// `Content-Length` is not a decimal number below 2^64.
    BadLength,
    /// An upgrade over HTTP/1.0 (RFC 6455 section 4.2.1).
    UpgradeOverHttp10,
    /// An upgrade without `Connection: Upgrade` (RFC 6455 section 4.2.1).
    NotConnectionUpgrade,
    /// No valid `Sec-WebSocket-Key`, or several (RFC 6455 section 4.2.1).
    WebSocketKey,
    /// An upgrade that does not offer the subprotocol (T2.4).
    Subprotocol,
    /// An upgrade that announces a body.
    UpgradeWithBody,
    /// Bytes that are not TLS, on the port for TLS.
    PlainHttp,
    /// Nothing is served at this path.
    NotFound,
    /// Nothing is served at this path of the port for metrics.
    OnlyMetrics,
    /// A method other than GET and HEAD.
    Method,
    /// The head was not complete in time.
    HeadTimeout,
    /// A WebSocket version other than 13 (RFC 6455 section 4.4).
    WebSocketVersion,
    /// More than [`HEAD_MAX`](super::HEAD_MAX) bytes of head.
    HeadTooLong,
    /// More than [`HEADERS_MAX`](super::HEADERS_MAX) header lines.
    TooManyHeaders,
    /// As many sessions as the server takes.
    Full,
    /// The server is about to end.
    ShuttingDown,
    /// An HTTP version other than 1.0 and 1.1.
    Version,
}

impl Refusal {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 25] = [
        Self::Malformed,
        Self::LineEnding,
        Self::NoHost,
        Self::RepeatedHost,
        Self::BadHost,
        Self::BadTarget,
        Self::LengthAndCoding,
        Self::RepeatedLength,
        Self::BadLength,
        Self::UpgradeOverHttp10,
        Self::NotConnectionUpgrade,
        Self::WebSocketKey,
        Self::Subprotocol,
        Self::UpgradeWithBody,
        Self::PlainHttp,
        Self::NotFound,
        Self::OnlyMetrics,
        Self::Method,
        Self::HeadTimeout,
        Self::WebSocketVersion,
        Self::HeadTooLong,
        Self::TooManyHeaders,
        Self::Full,
        Self::ShuttingDown,
        Self::Version,
    ];

    /// The status code.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.describe().0
    }

    /// The sentence in the body: what to do, and nothing of what the client sent.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.describe().1
    }

    /// The complete response, with its body: for when there is no head to answer, or none yet.
    /// The connection is closed after it.
    #[must_use]
    pub fn response(self) -> Vec<u8> {
        self.write(true)
    }

    /// The answer to a request, with its body unless that was HEAD (RFC 9110 section 9.3.2).
    pub fn answer(self, with_body: bool) -> Answer {
        Answer::Close {
            response: self.write(with_body),
            status: self.status(),
        }
    }

    fn write(self, with_body: bool) -> Vec<u8> {
        let mut response = start(self.status());
        response.push_str(self.headers());
        response.push_str(PASSING);
        let sentence = format!("{}\n", self.sentence());
        finish(response, "text/plain", sentence.as_bytes(), with_body)
    }

    /// The header lines that only this refusal has, with `Connection`.
    const fn headers(self) -> &'static str {
        match self {
            Self::Method => "Connection: close\r\nAllow: GET, HEAD\r\n",
            Self::WebSocketVersion => {
                "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            }
            Self::Full => "Connection: close\r\nRetry-After: 10\r\n",
            Self::ShuttingDown => "Connection: close\r\nRetry-After: 2\r\n",
            Self::Malformed
            | Self::LineEnding
            | Self::NoHost
            | Self::RepeatedHost
            | Self::BadHost
            | Self::BadTarget
            | Self::LengthAndCoding
            | Self::RepeatedLength
            | Self::BadLength
            | Self::UpgradeOverHttp10
            | Self::NotConnectionUpgrade
            | Self::WebSocketKey
            | Self::Subprotocol
            | Self::UpgradeWithBody
            | Self::PlainHttp
            | Self::NotFound
            | Self::OnlyMetrics
            | Self::HeadTimeout
            | Self::HeadTooLong
            | Self::TooManyHeaders
            | Self::Version => "Connection: close\r\n",
        }
    }

    const fn describe(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => (
                400,
                "The request head is not valid HTTP/1.1: send a request line and one unfolded \
                 `name: value` line for each header.",
            ),
            Self::LineEnding => (
                400,
                "End every line of the request head with CR LF, and use neither alone.",
            ),
            Self::NoHost => (400, "Send a Host header: HTTP/1.1 requires it."),
            Self::RepeatedHost => (400, "Send the Host header only once."),
            Self::BadHost => (
                400,
                "Send a Host header that holds a host name or address, with a port if need be.",
            ),
            Self::BadTarget => (
                400,
                "Send a request target that starts with a slash, or a complete https:// address.",
            ),
            Self::LengthAndCoding => (
                400,
                "Send either Content-Length or Transfer-Encoding, not both.",
            ),
            Self::RepeatedLength => (400, "Send the Content-Length header only once."),
            Self::BadLength => (400, "Send a Content-Length that is a decimal number."),
            Self::UpgradeOverHttp10 => (
                400,
                "Ask for a WebSocket in HTTP/1.1: if a proxy is in between, make it speak that.",
            ),
            Self::NotConnectionUpgrade => (
                400,
                "Send Connection: Upgrade to get a WebSocket: if a proxy is in between, make it \
                 pass that on.",
            ),
            Self::WebSocketKey => (
                400,
                "Send exactly one Sec-WebSocket-Key header, 16 random bytes in base64.",
            ),
            Self::Subprotocol => (
                400,
                "Offer the WebSocket subprotocol mles-websocket in Sec-WebSocket-Protocol.",
            ),
            Self::UpgradeWithBody => (400, "Ask for a WebSocket without a request body."),
            Self::PlainHttp => (
                400,
                "This port speaks TLS: use https:// or wss:// in place of http:// or ws://.",
            ),
            Self::NotFound => (
                404,
                "There is nothing at this address: open / for the page, or connect a WebSocket.",
            ),
            Self::OnlyMetrics => (404, "There is nothing at this address: ask for /metrics."),
            Self::Method => (405, "Use GET or HEAD: this server takes no other method."),
            Self::HeadTimeout => (
                408,
                "The request head did not arrive in time: connect again and send it at once.",
            ),
            Self::WebSocketVersion => (426, "Use WebSocket version 13 (RFC 6455)."),
            Self::HeadTooLong => (
                431,
                "Send a shorter request head: this server takes at most 16 KiB.",
            ),
            Self::TooManyHeaders => (431, "Send fewer headers: this server takes at most 100."),
            Self::Full => (
                503,
                "This server has as many sessions as it takes: try again in ten seconds.",
            ),
            Self::ShuttingDown => (
                503,
                "This server is restarting: connect again in two seconds.",
            ),
            Self::Version => (
                505,
                "This server speaks HTTP/1.1: send the request in it, and offer only http/1.1 in \
                 ALPN.",
            ),
        }
    }
}

/// The 101 that makes the connection a WebSocket. No extension is ever agreed to (T2.6).
pub(super) fn upgrade(accept: &str) -> Answer {
    let mut response = start(101);
    response.push_str("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    response.push_str(accept);
    response.push_str("\r\nSec-WebSocket-Protocol: ");
    response.push_str(SUBPROTOCOL);
    response.push_str("\r\n\r\n");
    Answer::Upgrade {
        response: response.into_bytes(),
    }
}

/// For what is true at the moment only, and nothing but text.
const PASSING: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";

/// The server is well.
pub(super) fn healthy(text: &str, with_body: bool) -> Answer {
    passing("text/plain", text, with_body)
}

/// What Prometheus reads.
pub(super) fn metrics(text: &str, with_body: bool) -> Answer {
    passing("text/plain; version=0.0.4", text, with_body)
}

fn passing(media_type: &str, text: &str, with_body: bool) -> Answer {
    let mut response = start(200);
    response.push_str("Connection: close\r\n");
    response.push_str(PASSING);
    Answer::Close {
        response: finish(response, media_type, text.as_bytes(), with_body),
        status: 200,
    }
}

/// What the page may do: load what this server serves, and connect to it.
const PAGE_HEADERS: &str = "Connection: close\r\n\
    Cache-Control: no-cache\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\n\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'\r\n\
    Cross-Origin-Opener-Policy: same-origin\r\n";

/// The file at `path`, if there is one. Some browsers ask for an icon at an address of their own
/// choice: there is none at that, and that is not an error.
pub(super) fn file(path: &str, with_body: bool) -> Option<Answer> {
    let (media_type, body): (_, &[u8]) = match path {
        "/" => ("text/html", include_bytes!("../../page/index.html")),
        "/app.js" => ("text/javascript", include_bytes!("../../page/app.js")),
        "/style.css" => ("text/css", include_bytes!("../../page/style.css")),
        "/icon.svg" => ("image/svg+xml", include_bytes!("../../page/icon.svg")),
        "/favicon.ico" => {
            let mut response = start(204);
            response.push_str("Connection: close\r\nCache-Control: max-age=86400\r\n\r\n");
            return Some(Answer::Close {
                response: response.into_bytes(),
                status: 204,
            });
        }
        _ => return None,
    };
    let mut response = start(200);
    response.push_str(PAGE_HEADERS);
    Some(Answer::Close {
        response: finish(response, media_type, body, with_body),
        status: 200,
    })
}

/// The status line.
fn start(status: u16) -> String {
    let reason = match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "", // RFC 9112 section 4: it may be empty
    };
    format!("HTTP/1.1 {status} {reason}\r\n")
}

/// The header lines that describe the body, the empty line, and the body if it is wanted.
fn finish(mut response: String, media_type: &str, body: &[u8], with_body: bool) -> Vec<u8> {
    write!(
        response,
        "Content-Type: {media_type}; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .expect("writing to a String does not fail");
    let mut response = response.into_bytes();
    if with_body {
        response.extend_from_slice(body);
    }
    response
}
