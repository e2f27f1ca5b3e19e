//! One small page from a server of the Web: the request, and the answer as it arrives (RFC 9112).
//!
//! The connection is for this page alone. What the other end sends is bounded in all its parts, and read once.

use httparse::{EMPTY_HEADER, Header, Response, Status};

use super::{HEAD_MAX, HEADERS_MAX, parse_length};
use crate::address::Address;

/// A request for a page, and what has come of it.
#[derive(Debug)]
pub struct Fetch {
    /// The bytes to send.
    pub request: Vec<u8>,
    /// The most bytes that the page may have.
    most: usize,
    state: State,
    /// The head, or the line with a chunk's length, as far as it has come.
    line: Vec<u8>,
    body: Vec<u8>,
    /// Bytes that have come in all.
    taken: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of the body, which is all of it.
    Exactly(usize),
    /// The body, to the end of the connection.
    ToTheEnd,
    /// The line with the length of a chunk.
    Length,
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The empty line behind a chunk.
    BehindChunk,
    Done,
}

impl Fetch {
    /// Of the page at this address, if it has at most so many bytes.
    #[must_use]
    pub fn new(address: &Address, most: usize) -> Self {
        let host = address.to_string();
        // Some servers know themselves by their name alone.
        let host = host.strip_suffix(":443").unwrap_or(&host);
        let (path, version) = (address.path(), env!("CARGO_PKG_VERSION"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: text/plain, */*;q=0.5\r\n\
             Accept-Encoding: identity\r\nUser-Agent: mles/{version}\r\n\r\n"
        );
        Self {
            request: request.into_bytes(),
            most,
            state: State::Head,
            line: Vec::new(),
            body: Vec::new(),
            taken: 0,
        }
    }

    /// Takes in what has come, and says whether the page is there.
    ///
    /// # Errors
    /// It is none that can be used: what it is, for the log.
    pub fn take_in(&mut self, mut bytes: &[u8]) -> Result<bool, String> {
        self.taken += bytes.len();
        if self.taken > HEAD_MAX + 8 * self.most {
            return Err("its answer is longer than any list".to_owned());
        }
        while !bytes.is_empty() && self.state != State::Done {
            bytes = match self.state {
                State::Head => self.head(bytes)?,
                State::Exactly(left) => self.body(bytes, left, State::Exactly, State::Done)?,
                State::ToTheEnd => {
                    self.body(bytes, usize::MAX, |_| State::ToTheEnd, State::ToTheEnd)?
                }
                State::Length => self.length(bytes)?,
                State::Chunk(left) => self.body(bytes, left, State::Chunk, State::BehindChunk)?,
                State::BehindChunk => {
                    self.line.push(bytes[0]);
                    match &self.line[..] {
                        b"\r" => {}
                        b"\r\n" => self.next(State::Length),
                        _ => return Err(MALFORMED.to_owned()),
                    }
                    &bytes[1..]
                }
                State::Done => &[],
            };
        }
        Ok(self.state == State::Done)
    }

    /// The page, when all is there or the other end has ended the connection in good order.
    ///
    /// # Errors
    /// Something is missing.
    pub fn page(self) -> Result<Vec<u8>, String> {
        match self.state {
            State::Done | State::ToTheEnd => Ok(self.body),
            State::Head if self.taken == 0 => Err("it ended the connection".to_owned()),
            State::Head
            | State::Exactly(_)
            | State::Length
            | State::Chunk(_)
            | State::BehindChunk => {
                Err("it ended the connection in the middle of its answer".to_owned())
            }
        }
    }

    fn next(&mut self, state: State) {
        self.line.clear();
        self.state = state;
    }

    /// Takes up to `left` bytes of the body; gives those behind.
    fn body<'b>(
        &mut self,
        bytes: &'b [u8],
        left: usize,
        more: impl Fn(usize) -> State,
        then: State,
    ) -> Result<&'b [u8], String> {
        let (taken, rest) = bytes.split_at(bytes.len().min(left));
        if self.body.len() + taken.len() > self.most {
            return Err(self.too_long());
        }
        self.body.extend_from_slice(taken);
        let left = left - taken.len();
        self.next(if left == 0 { then } else { more(left) });
        Ok(rest)
    }

    /// Takes bytes up to the end of the line with a chunk's length.
    fn length<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (taken, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.line.extend_from_slice(taken);
        if self.line.len() > LINE_MAX {
            return Err(MALFORMED.to_owned());
        }
        let Some(line) = self.line.strip_suffix(b"\r\n") else {
            return match end {
                Some(_) => Err(MALFORMED.to_owned()),
                None => Ok(rest),
            };
        };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let digits = digits.trim_ascii_end();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_number);
        let digits = digits.ok_or_else(|| MALFORMED.to_owned())?;
        // One that does not fit is larger than any page, too.
        let length = usize::from_str_radix(digits, 16).unwrap_or(usize::MAX);
        if length > self.most {
            return Err(self.too_long());
        }
        // What may come behind the last chunk says nothing of the page.
        self.next(if length == 0 {
            State::Done
        } else {
            State::Chunk(length)
        });
        Ok(rest)
    }

    /// Takes bytes of the head; gives those behind it.
    fn head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        let before = self.line.len();
        let room = HEAD_MAX - before;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let mut fields = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut fields);
        let used = match response.parse(&self.line) {
            Ok(Status::Complete(used)) => used,
            Ok(Status::Partial) if self.line.len() < HEAD_MAX => return Ok(&[]),
            Ok(Status::Partial) => return Err("its answer has too long a head".to_owned()),
            Err(error) => return Err(format!("it does not speak HTTP ({error})")),
        };
        let state = match response.code {
            Some(200) => body_of(response.headers, self.most)?,
            // Another follows (RFC 9110 section 15.2).
            Some(100 | 102..=199) => State::Head,
            Some(code @ (301..=303 | 307..=308)) => {
                return Err(format!(
                    "it redirects (HTTP {code}), which is not followed: give the address where the list is"
                ));
            }
            Some(code) => return Err(format!("it answers with HTTP {code}")),
            None => return Err("it does not speak HTTP".to_owned()),
        };
        self.next(state);
        Ok(&bytes[used - before..])
    }

    fn too_long(&self) -> String {
        too_long(self.most)
    }
}

/// How the body comes (RFC 9112 section 6.3). What two readers could understand differently is refused.
fn body_of(fields: &[Header<'_>], most: usize) -> Result<State, String> {
    let values = |name: &'static str| {
        let named = fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value.trim_ascii())
    };
    let identity = |value: &[u8]| value.eq_ignore_ascii_case(b"identity");
    if values("content-encoding").any(|value| !identity(value)) {
        return Err("its answer is compressed, which nobody has asked for".to_owned());
    }
    let (mut codings, mut lengths) = (values("transfer-encoding"), values("content-length"));
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(State::ToTheEnd),
        (Some(coding), None) if codings.next().is_none() => {
            match coding.eq_ignore_ascii_case(b"chunked") {
                true => Ok(State::Length),
                false => Err("its answer has a transfer coding that is not known here".to_owned()),
            }
        }
        (None, Some(length)) if lengths.next().is_none() => match parse_length(length) {
            Some(0) => Ok(State::Done),
            Some(length) if length <= most as u64 => Ok(State::Exactly(length as usize)),
            Some(_) => Err(too_long(most)),
            None => Err(MALFORMED.to_owned()),
        },
        (_, _) => Err(MALFORMED.to_owned()),
    }
}

fn too_long(most: usize) -> String {
    format!("its answer is larger than {most} bytes")
}

const MALFORMED: &str = "its answer is malformed";

/// The longest line with a chunk's length.
const LINE_MAX: usize = 256;
