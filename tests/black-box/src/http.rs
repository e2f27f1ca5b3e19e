//! Requests and answers as bytes.

use std::io::{Read, Write};

/// An HTTP answer, read until the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its head, from the status line to the empty line.
    pub head: String,
    /// What comes after it.
    pub body: Vec<u8>,
}

impl Response {
    /// Parses a whole answer.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
        let shown = String::from_utf8_lossy(bytes);
        let end = end.unwrap_or_else(|| panic!("no answer: {shown:?}")) + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        Self {
            status: status
                .unwrap_or_else(|| panic!("{shown:?}"))
                .parse()
                .unwrap(),
            head,
            body: bytes[end..].to_vec(),
        }
    }

    /// The value of a header field, which must not be there twice.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let named = |line: &str| {
            line.split_once(':')
                .is_some_and(|(it, _)| it.eq_ignore_ascii_case(name))
        };
        let mut lines = self.head.lines().filter(|line| named(line));
        let value = lines.next()?.split_once(':')?.1.trim();
        assert_eq!(lines.next(), None, "{name} twice");
        Some(value)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends a request, or whatever these bytes are, and reads the answer to the end of the connection.
pub fn request(mut stream: impl Read + Write, request: &[u8]) -> Response {
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("an answer and an orderly end");
    Response::parse(&answer)
}

/// Sends a request and reads the head of the answer alone; what follows stays in the stream.
pub fn upgrade(stream: &mut (impl Read + Write), request: &[u8]) -> Response {
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head of an answer");
        head.push(byte[0]);
    }
    Response::parse(&head)
}

/// Reads a request for a WebSocket, as its server, and grants it without a line more than that takes. Gives the head.
pub fn grant_upgrade(stream: &mut (impl Read + Write)) -> String {
    grant_upgrade_with(stream, "")
}

/// The same, with more lines, each with its end.
pub(crate) fn grant_upgrade_with(stream: &mut (impl Read + Write), lines: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head of a request");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let line = head
        .lines()
        .find(|line| line.starts_with("Sec-WebSocket-Key: "));
    let (_, key) = line.unwrap().split_once(": ").unwrap();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mles-websocket\r\n{lines}\r\n"
    );
    stream.write_all(answer.as_bytes()).unwrap();
    stream.flush().unwrap();
    head
}

/// A request for a WebSocket at this target, with these lines besides.
#[must_use]
pub fn upgrade_request(target: &str, lines: &[&str]) -> Vec<u8> {
    let mut request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for line in lines {
        request += line;
        request += "\r\n";
    }
    request += "\r\n";
    request.into_bytes()
}
