//! `talk`: a conversation.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use mles_sansio::client::{Age, Delivery};
use mles_sansio::{Frame, Kind};

use super::{State, code, say, show, stopped};
use crate::client::{ENDED, Event, Options};

/// What is said: makes messages of lines, and counts those that the client has taken.
#[derive(Debug)]
pub struct Typed {
    /// Whether the lines are from a terminal.
    terminal: bool,
    given: AtomicU64,
}

impl Typed {
    /// On a `terminal`, or read from something else.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        Self {
            terminal,
            given: AtomicU64::new(0),
        }
    }

    /// The message that a line is, if it is one.
    pub fn line(&self, line: Vec<u8>) -> Option<Frame> {
        // Who only presses Enter says nothing.
        if self.terminal && line.is_empty() {
            return None;
        }
        let text = String::from_utf8(line);
        if text.is_err() {
            say("mles: not sent: the line is not UTF-8");
        }
        text.ok().map(Frame::text)
    }

    /// The client has taken a message, or not.
    pub fn sent(&self, sent: Result<(), String>) {
        match sent {
            Ok(()) => _ = self.given.fetch_add(1, Ordering::Relaxed),
            Err(why) => say(&format!("mles: not sent: {why}")),
        }
    }

    /// What to exit with when it was interrupted and so many messages are accepted.
    pub fn left(&self, accepted: u64) -> ExitCode {
        match self.given.load(Ordering::Relaxed).saturating_sub(accepted) {
            0 => ExitCode::SUCCESS,
            lines => {
                say(&format!(
                    "error: {lines} lines are not known to be accepted"
                ));
                ExitCode::from(3)
            }
        }
    }
}

/// What others say: prints it until the client has ended.
#[derive(Debug)]
pub struct Talk<W> {
    /// Told at the first connection.
    greeting: Option<String>,
    state: State,
    out: W,
    /// Whether `out` is a terminal.
    terminal: bool,
    /// Whether something of the history was printed since it was told of.
    history: bool,
}

impl<W: Write> Talk<W> {
    /// At this server, printed to `out`, which may be a `terminal`.
    pub fn new(url: &str, options: &Options, out: W, terminal: bool) -> Self {
        let (uid, channel) = (&options.config.uid, &options.config.channel);
        Self {
            greeting: Some(format!("mles: connected to {url}, {uid} on {channel}")),
            state: State::new(url),
            out,
            terminal,
            history: false,
        }
    }

    /// What happened to the client: the exit code if that was the end.
    ///
    /// # Errors
    /// One line.
    pub fn event(&mut self, event: Option<Event>) -> Result<Option<ExitCode>, String> {
        match event {
            Some(Event::Received(delivery)) => {
                self.history |= delivery.age == Age::History;
                return stopped(self.print(&delivery));
            }
            Some(Event::Connected) if self.greeting.is_some() => {
                if let Some(greeting) = self.greeting.take() {
                    say(&greeting);
                }
            }
            Some(Event::CaughtUp { resent }) => {
                if std::mem::take(&mut self.history) && self.terminal {
                    say("mles: so much for the history");
                }
                self.state.tell(&Event::CaughtUp { resent });
            }
            Some(Event::Ended { end, why }) => return Ok(Some(code(end, &why))),
            Some(event) => self.state.tell(&event),
            None => return Err(ENDED.to_owned()),
        }
        Ok(None)
    }

    /// On a terminal with a mark: `~` for what is from the history, `<` for what is live, `*` for who has joined.
    /// Elsewhere the messages alone.
    fn print(&mut self, delivery: &Delivery) -> io::Result<()> {
        let out = &mut self.out;
        let payload = &delivery.frame.payload;
        if !self.terminal {
            if delivery.joined.is_none() {
                out.write_all(payload)?;
                out.write_all(b"\n")?;
            }
            return out.flush();
        }
        let mark = match delivery.age {
            Age::History => '~',
            Age::Live => '<',
        };
        match (&delivery.joined, delivery.frame.kind) {
            (Some(uid), _) => {
                let uid = show::one_line(uid);
                writeln!(
                    out,
                    "* {uid} has joined{}",
                    if mark == '~' { " (history)" } else { "" }
                )?;
            }
            (None, Kind::Binary) => writeln!(out, "{mark} ({} bytes)", payload.len())?,
            (None, Kind::Text) => {
                let text = show::harmless(&String::from_utf8_lossy(payload));
                // No line of a message can look like another message.
                writeln!(out, "{mark} {}", text.replace('\n', "\n  "))?;
            }
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_is_a_message_in_a_pipe_only() {
        assert_eq!(Typed::new(true).line(Vec::new()), None);
        let typed = Typed::new(false);
        assert_eq!(typed.line(Vec::new()), Some(Frame::text("")));
        assert_eq!(typed.line(vec![0xff]), None);
    }

    #[test]
    fn who_is_interrupted_is_told_what_is_owed() {
        let typed = Typed::new(true);
        assert_eq!(typed.left(0), ExitCode::SUCCESS);
        typed.sent(Ok(()));
        typed.sent(Err("no".to_owned()));
        assert_eq!(typed.left(0), ExitCode::from(3));
        assert_eq!(typed.left(1), ExitCode::SUCCESS);
    }

    #[test]
    fn marks_are_for_terminals() {
        let options = Options::new("u", "c");
        for (terminal, expected) in [
            (true, "* v has joined (history)\n~ a\n  b\n< (1 bytes)\n"),
            (false, "a\nb\n\u{1}\n"),
        ] {
            let mut out = Vec::new();
            let mut talk = Talk::new("wss://h", &options, &mut out, terminal);
            for (frame, age, joined) in [
                (Frame::text("{}"), Age::History, Some("v".into())),
                (Frame::text("a\nb"), Age::History, None),
                (Frame::binary(&b"\x01"[..]), Age::Live, None),
            ] {
                let delivery = Delivery { frame, age, joined };
                let ended = talk.event(Some(Event::Received(delivery)));
                assert_eq!(ended, Ok(None));
            }
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
