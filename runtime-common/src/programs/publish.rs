//! `pub`: sends, and ends when the server has accepted everything.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mles_sansio::Frame;
use mles_sansio::client::End;

use super::input::unreadable;
use super::patience::Patience;
use super::{State, code, say};
use crate::client::{ENDED, Event, Options};
use crate::config::Source;

/// The one message that is to be sent, or `None` for a message of each line; and what that needs of the client.
///
/// # Errors
/// One line: it can't be read, or is not UTF-8.
pub fn prepare(
    options: &mut Options,
    source: &Source,
    binary: bool,
) -> Result<Option<Frame>, String> {
    options.receive = false;
    // Certain, and quick: a pipe may hold any number of lines.
    options.config.checkpoint = true;
    let message = match source {
        Source::Message(text) => frame(text.as_bytes().to_vec(), binary)?,
        Source::File(file) => frame(file.read(u64::MAX)?, binary)?,
        Source::Stdin => {
            let mut content = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut content);
            read.map_err(|error| unreadable(&error))?;
            frame(content, binary)?
        }
        Source::Lines => return Ok(None),
    };
    // One message may be as large as it likes; the server decides.
    let size = message.payload.len() + 2048;
    options.config.queue_bytes = options.config.queue_bytes.max(size);
    Ok(Some(message))
}

/// Makes messages of what is read, and counts them.
#[derive(Debug)]
pub struct Feed {
    binary: bool,
    given: AtomicU64,
}

impl Feed {
    /// Of text, unless it is `binary`.
    #[must_use]
    pub fn new(binary: bool) -> Self {
        Self {
            binary,
            given: AtomicU64::new(0),
        }
    }

    /// Messages that the client was given, one of which it may not have taken yet.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// The only message is given.
    pub fn only(&self) {
        self.given.store(1, Ordering::Relaxed);
    }

    /// The next line, as a message that is given now.
    ///
    /// # Errors
    /// One line: it can't be read, or is not UTF-8.
    pub fn line(&self, line: Result<Vec<u8>, String>) -> Result<Frame, String> {
        let number = self.given() + 1;
        let frame = frame(line?, self.binary).map_err(|error| at(number, &error))?;
        self.given.store(number, Ordering::Relaxed);
        Ok(frame)
    }

    /// Why the client has not taken the last line.
    pub fn untaken(&self, error: &str) -> String {
        at(self.given(), error)
    }
}

fn at(number: u64, error: &str) -> String {
    format!("line {number}: {error}")
}

fn frame(payload: Vec<u8>, binary: bool) -> Result<Frame, String> {
    if binary {
        Ok(Frame::binary(payload))
    } else {
        let text = String::from_utf8(payload);
        let text = text.map_err(|_| "text that is not UTF-8: give --binary".to_owned())?;
        Ok(Frame::text(text))
    }
}

/// Waits for the end of the input and of the client, or for the end of its patience.
#[derive(Debug)]
pub struct Publish {
    state: State,
    patience: Patience,
    mistake: Option<String>,
}

impl Publish {
    /// To this server, with `timeout` as the longest time without it; its clock begins.
    #[must_use]
    pub fn new(url: &str, timeout: Option<Duration>) -> Self {
        Self {
            state: State::new(url),
            patience: Patience::new(timeout),
            mistake: None,
        }
    }

    /// Nothing more is given, for this mistake in the input if there is one. What was taken before it is sent all the
    /// same.
    pub fn input_ended(&mut self, fed: Result<(), String>) {
        self.mistake = fed.err();
        self.patience.input_ended();
    }

    /// What happened to the client, of whose `given` messages so many are `accepted`: the exit code if that was the
    /// end.
    ///
    /// # Errors
    /// One line.
    pub fn event(
        &mut self,
        event: Option<Event>,
        accepted: u64,
        given: u64,
    ) -> Result<Option<ExitCode>, String> {
        match event {
            Some(Event::Ended { end, why }) => {
                let code = code(end, &why);
                return match (end, self.mistake.take()) {
                    // Of two lines the first one is the cause.
                    (End::Done | End::Assumed { .. }, Some(line)) => Err(line),
                    _ => Ok(Some(code)),
                };
            }
            Some(Event::Connected) => self.patience.connected(),
            Some(Event::Waiting { .. }) => self.patience.alone(accepted, given),
            Some(Event::Received(_) | Event::Resumed { .. } | Event::CaughtUp { .. }) => {}
            None => return Err(ENDED.to_owned()),
        }
        if let Some(event) = event {
            self.state.tell(&event);
        }
        Ok(None)
    }

    /// When it gives up, as far as that is known now.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.patience.until()
    }

    /// It gives up.
    #[must_use]
    pub fn gave_up(&self, accepted: u64, given: u64) -> ExitCode {
        if let Some(line) = &self.mistake {
            say(&format!("error: {line}"));
        }
        self.patience.out(given, accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered() {
        let feed = Feed::new(false);
        let line = |bytes: &[u8]| feed.line(Ok(bytes.to_vec()));
        assert_eq!(line(b"a"), Ok(Frame::text("a")));
        assert_eq!(feed.untaken("no"), "line 1: no");
        let error = line(b"\xff").unwrap_err();
        assert!(error.starts_with("line 2: ") && error.contains("--binary"));
        assert_eq!(feed.given(), 1);
        assert_eq!(feed.line(Err("no".to_owned())), Err("no".to_owned()));
        let feed = Feed::new(true);
        assert_eq!(feed.line(Ok(vec![0xff])), Ok(Frame::binary(&b"\xff"[..])));
    }

    /// A mistake in the input is the cause of an end that would be a success, and of no other.
    #[test]
    fn a_mistake_in_the_input() {
        let ended = |end, mistake: Option<&str>| {
            let mut publish = Publish::new("wss://h", None);
            let fed = mistake.map_or(Ok(()), |line| Err(line.to_owned()));
            publish.input_ended(fed);
            let why = String::new();
            publish.event(Some(Event::Ended { end, why }), 0, 0)
        };
        assert_eq!(ended(End::Done, None), Ok(Some(ExitCode::SUCCESS)));
        assert_eq!(ended(End::Done, Some("x")), Err("x".to_owned()));
        let refused = End::Refused { code: 4001 };
        assert_eq!(ended(refused, Some("x")), Ok(Some(ExitCode::FAILURE)));
    }
}
