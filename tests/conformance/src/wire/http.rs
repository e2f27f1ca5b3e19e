//! The head of a request and of its answer.

use std::fmt::Write as _;

use data_encoding::BASE64;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// A request as it is to be sent, right or wrong.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, or another method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `HTTP/1.1`, or another version.
    pub version: String,
    /// The fields, in this order.
    pub fields: Vec<(String, String)>,
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// The fields, in the order in which they came.
    pub fields: Vec<(String, String)>,
    /// What came behind the head.
    pub body: Vec<u8>,
}

/// What a client sends as `Sec-WebSocket-Key`: the example of RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

impl Request {
    /// A right request for a WebSocket that offers `mles-websocket`.
    #[must_use]
    pub fn upgrade(host: &str) -> Self {
        let fields = [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Protocol", "mles-websocket"),
        ];
        Self {
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Self::plain(host)
        }
    }

    /// A request that asks for no upgrade.
    #[must_use]
    pub fn plain(host: &str) -> Self {
        Self {
            method: "GET".into(),
            target: "/".into(),
            version: "HTTP/1.1".into(),
            fields: vec![("Host".into(), host.into())],
        }
    }

    /// The same with one more field at its end.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The same without the fields of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields
            .retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self
    }

    /// The same with this value in place of the fields of this name.
    #[must_use]
    pub fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// The same for another path and query.
    #[must_use]
    pub fn at(mut self, target: &str) -> Self {
        self.target = target.into();
        self
    }

    /// The same with another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// The head's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Reads the head of a request, and says how long it is. None while it is not complete.
    ///
    /// # Errors
    /// It is not HTTP/1.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(length) = request.parse(bytes)? else {
            return Ok(None);
        };
        let request = Self {
            method: request.method.unwrap_or_default().into(),
            target: request.path.unwrap_or_default().into(),
            version: format!("HTTP/1.{}", request.version.unwrap_or_default()),
            fields: owned(request.headers),
        };
        Ok(Some((request, length)))
    }

    /// The values of the fields of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        all(&self.fields, name)
    }
}

impl Response {
    /// An answer with this status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The upgrade that a request asks for.
    #[must_use]
    pub fn upgraded(request: &Request) -> Self {
        let key = request.all("Sec-WebSocket-Key").next().unwrap_or_default();
        let accept = accept_of(key);
        let fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", &*accept),
            ("Sec-WebSocket-Protocol", "mles-websocket"),
        ];
        Self {
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Self::new(101)
        }
    }

    /// A refusal with a sentence.
    #[must_use]
    pub fn refusal(status: u16, sentence: &str) -> Self {
        Self::new(status)
            .with("Content-Type", "text/plain; charset=utf-8")
            .with("Content-Length", &sentence.len().to_string())
            .with("Connection", "close")
            .saying(sentence)
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The same without the fields of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields
            .retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self
    }

    /// The same with this value in place of the fields of this name.
    #[must_use]
    pub fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// The same with this body.
    #[must_use]
    pub fn saying(mut self, body: &str) -> Self {
        self.body = body.into();
        self
    }

    /// The bytes of head and body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} -\r\n", self.status);
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(&self.body);
        bytes
    }

    /// Reads the head of a response, and says how long it is. None while it is not complete.
    ///
    /// # Errors
    /// It is not HTTP/1.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(bytes)? else {
            return Ok(None);
        };
        let response = Self {
            status: response.code.unwrap_or_default(),
            fields: owned(response.headers),
            body: Vec::new(),
        };
        Ok(Some((response, length)))
    }

    /// The values of the fields of this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        all(&self.fields, name)
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Why this is not the answer that upgrades a connection (RFC 6455, 4.1).
    #[must_use]
    pub fn why_not_upgraded(&self, request: &Request) -> Option<String> {
        if self.status != 101 {
            return Some(format!("status {}: {}", self.status, self.text().trim()));
        }
        let key = request.all("Sec-WebSocket-Key").next().unwrap_or_default();
        let accept = accept_of(key);
        match self.field("Sec-WebSocket-Accept") {
            None => Some("101 without Sec-WebSocket-Accept".into()),
            Some(came) if came != accept => Some(format!(
                "Sec-WebSocket-Accept: {came}, which is not that of the key, {accept}"
            )),
            Some(_) => None,
        }
    }
}

/// How long the head at the beginning of these bytes is, once it is complete.
#[must_use]
pub fn complete(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

/// What a server answers to this key (RFC 6455, 4.2.2).
#[must_use]
pub fn accept_of(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

fn all<'a>(fields: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    fields
        .iter()
        .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn owned(fields: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let value = |bytes| String::from_utf8_lossy(bytes).into_owned();
    fields
        .iter()
        .map(|field| (field.name.to_owned(), value(field.value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_of_the_specifications_example_is_the_one_that_stands_there() {
        assert_eq!(accept_of(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn heads_are_read_as_they_are_written() {
        let request = Request::upgrade("h:1")
            .at("/a?b")
            .with("Origin", "https://x");
        let bytes = request.encode();
        let (read, length) = Request::parse(&bytes).ok().flatten().expect("complete");
        assert_eq!(
            (length, read.target.as_str(), read.version.as_str()),
            (bytes.len(), "/a?b", "HTTP/1.1")
        );
        assert_eq!(read.fields, request.fields);
        let response = Response::upgraded(&request);
        let bytes = response.encode();
        let (read, _) = Response::parse(&bytes).ok().flatten().expect("complete");
        assert_eq!(read, response);
        assert_eq!(read.why_not_upgraded(&request), None);
        assert!(
            Response::new(400)
                .saying("no")
                .why_not_upgraded(&request)
                .is_some()
        );
    }
}
