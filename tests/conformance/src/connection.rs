//! A connection below WebSocket: bytes, and the heads of HTTP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::transcript::{Transcript, Way, shown};
use crate::wire::{End, Read, Request, Response, Stream, complete};
use crate::{Judged, Stop};

/// A connection whose every byte is told in the transcript by whoever sends it.
#[derive(Debug)]
pub struct Connection {
    pub(crate) who: String,
    pub(crate) stream: Stream,
    pub(crate) transcript: Transcript,
    pub(crate) patience: Duration,
    /// Counts the connections of a case.
    pub(crate) _counted: Arc<()>,
}

impl Connection {
    /// Sends these bytes. If the other end has gone, that shows when something is expected of it.
    ///
    /// # Errors
    /// The other end is there, and does not read.
    pub fn send(&mut self, bytes: &[u8], what: &str) -> Judged {
        self.send_within(bytes, what, self.patience)
    }

    /// The same in this time.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_within(&mut self, bytes: &[u8], what: &str, within: Duration) -> Judged {
        self.transcript.add(&self.who, Way::Sent, what);
        match self.stream.write(bytes, within) {
            Ok(()) => Ok(()),
            Err(Some(end)) => {
                let what = format!("this could not be sent: {end}");
                self.transcript.add(&self.who, Way::Note, what);
                Ok(())
            }
            Err(None) => Err(Stop::fail(
                format!("what {} sends is read", self.who),
                format!("nothing was read for {} s", within.as_secs_f32()),
            )),
        }
    }

    /// What comes until the connection ends, in this time.
    ///
    /// # Errors
    /// It does not end.
    pub fn rest(&mut self, within: Duration) -> Judged<(Vec<u8>, End)> {
        let deadline = Instant::now() + within;
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 14]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stream.read(&mut buffer, left) {
                Read::Bytes(count) => bytes.extend(&buffer[..count]),
                Read::End(end) => {
                    if !bytes.is_empty() {
                        self.transcript.add(&self.who, Way::Came, shown(&bytes));
                    }
                    self.transcript.add(&self.who, Way::Note, end.to_string());
                    return Ok((bytes, end));
                }
                Read::Nothing if left.is_zero() => {
                    let came = match bytes.is_empty() {
                        true => "nothing".to_owned(),
                        false => shown(&bytes),
                    };
                    let expected = format!("the connection ends within {} s", within.as_secs_f32());
                    return Err(Stop::fail(
                        expected,
                        format!("it is still open; what came: {came}"),
                    ));
                }
                Read::Nothing => {}
            }
        }
    }

    /// The answer to a request: with its body, if it is no upgrade. What has come behind the head of an upgrade is given
    /// as the body.
    ///
    /// # Errors
    /// There is none.
    pub fn response(&mut self, within: Duration) -> Judged<Response> {
        let deadline = Instant::now() + within;
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 14]);
        let head = loop {
            if let Some(length) = complete(&bytes) {
                break length;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let came = match self.stream.read(&mut buffer, left) {
                Read::Bytes(count) => {
                    bytes.extend(&buffer[..count]);
                    continue;
                }
                Read::Nothing if !left.is_zero() => continue,
                Read::Nothing => format!("nothing more within {} s", within.as_secs_f32()),
                Read::End(end) => end.to_string(),
            };
            let came = match bytes.is_empty() {
                true => came,
                false => format!("{}, then {came}", shown(&bytes)),
            };
            self.transcript.add(&self.who, Way::Note, came.clone());
            return Err(Stop::fail("an answer to the request", came));
        };
        let parsed = Response::parse(&bytes[..head]);
        let Ok(Some((mut response, _))) = parsed else {
            return Err(Stop::fail("an answer in HTTP/1.1", shown(&bytes[..head])));
        };
        response.body = bytes.split_off(head);
        let length = response.field("Content-Length");
        let length: Option<usize> = length.and_then(|text| text.trim().parse().ok());
        while response.status != 101 && length.is_none_or(|length| response.body.len() < length) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stream.read(&mut buffer, left) {
                Read::Bytes(count) => response.body.extend(&buffer[..count]),
                Read::Nothing if !left.is_zero() => {}
                Read::Nothing | Read::End(_) => break,
            }
        }
        let mut told = format!("{}", response.status);
        for (name, value) in &response.fields {
            told.push_str(&format!("; {name}: {value}"));
        }
        if response.status != 101 {
            told.push_str(&format!("; {}", shown(&response.body)));
        }
        self.transcript.add(&self.who, Way::Came, told);
        Ok(response)
    }

    /// Sends a request, and gives what comes of it.
    ///
    /// # Errors
    /// There is no answer.
    pub fn request(&mut self, request: &Request) -> Judged<Response> {
        let mut told = format!("{} {} {}", request.method, request.target, request.version);
        for (name, value) in &request.fields {
            // What every request has says nothing.
            if !["Host", "Upgrade", "Connection"].contains(&name.as_str()) {
                told.push_str(&format!("; {name}: {value}"));
            }
        }
        self.send(&request.encode(), &told)?;
        self.response(self.patience)
    }
}
