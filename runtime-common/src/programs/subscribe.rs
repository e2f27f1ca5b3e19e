//! `sub`: prints what comes.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use mles_sansio::client::{Age, Delivery};

use super::{State, code, show, stopped};
use crate::client::{ENDED, Event, Options};
use crate::config::Format;

/// What it needs of the client.
pub fn prepare(options: &mut Options) {
    // Also where the server keeps more than usual, nothing is printed twice.
    options.config.remember = REMEMBER;
}

/// Prints messages until there were enough.
#[derive(Debug)]
pub struct Subscribe<W: Write> {
    state: State,
    out: BufWriter<W>,
    /// Whether `out` is a terminal.
    terminal: bool,
    format: Format,
    live: bool,
    /// Messages that are wanted yet.
    left: u64,
}

impl<W: Write> Subscribe<W> {
    /// From this server, to `out`, which may be a `terminal`; the others are those of the command line.
    pub fn new(
        url: &str,
        out: W,
        terminal: bool,
        count: Option<u64>,
        format: Format,
        live: bool,
    ) -> Self {
        Self {
            state: State::new(url),
            out: BufWriter::new(out),
            terminal,
            format,
            live,
            left: count.unwrap_or(u64::MAX),
        }
    }

    /// What happened to the client: the exit code if that was the end. What is printed may wait for
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// One line.
    pub fn event(&mut self, event: Option<Event>) -> Result<Option<ExitCode>, String> {
        match event {
            Some(Event::Received(delivery)) => return self.received(&delivery),
            Some(Event::Ended { end, why }) => return Ok(Some(code(end, &why))),
            Some(event) => self.state.tell(&event),
            None => return Err(ENDED.to_owned()),
        }
        Ok(None)
    }

    fn received(&mut self, delivery: &Delivery) -> Result<Option<ExitCode>, String> {
        let counts = delivery.joined.is_none();
        let old = self.live && delivery.age == Age::History;
        if old || !counts && self.format != Format::Json {
            return Ok(None);
        }
        let written = write(&mut self.out, delivery, self.format, self.terminal);
        if let Some(code) = stopped(written)? {
            return Ok(Some(code));
        }
        self.left -= u64::from(counts);
        if self.left > 0 {
            return Ok(None);
        }
        self.flush()?;
        Ok(Some(ExitCode::SUCCESS))
    }

    /// Writes what is printed so far: to be called before waiting. The exit code if nobody reads it.
    ///
    /// # Errors
    /// One line: it can't be written.
    pub fn flush(&mut self) -> Result<Option<ExitCode>, String> {
        stopped(self.out.flush())
    }
}

fn write(
    out: &mut impl Write,
    delivery: &Delivery,
    format: Format,
    terminal: bool,
) -> io::Result<()> {
    let payload = &delivery.frame.payload;
    match format {
        Format::Raw => out.write_all(payload),
        Format::Json => writeln!(out, "{}", show::json(delivery)),
        Format::Lines if terminal => {
            let text = String::from_utf8_lossy(payload);
            writeln!(out, "{}", show::harmless(&text))
        }
        Format::Lines => {
            out.write_all(payload)?;
            out.write_all(b"\n")
        }
    }
}

/// Messages that are recognised after a reconnect.
const REMEMBER: usize = 8192;

#[cfg(test)]
mod tests {
    use mles_sansio::Frame;

    use super::*;

    fn received(text: &str, age: Age, joined: Option<&str>) -> Option<Event> {
        Some(Event::Received(Delivery {
            frame: Frame::text(text.to_owned()),
            age,
            joined: joined.map(Into::into),
        }))
    }

    #[test]
    fn announcements_do_not_count() {
        for (format, live, expected) in [
            (Format::Lines, false, "a\nb\n"),
            (Format::Raw, true, "bc"),
            (
                Format::Json,
                true,
                "{\"kind\":\"joined\",\"uid\":\"u\",\"replay\":false}\n\
                 {\"kind\":\"text\",\"payload\":\"b\",\"replay\":false}\n\
                 {\"kind\":\"text\",\"payload\":\"c\",\"replay\":false}\n",
            ),
        ] {
            let mut out = Vec::new();
            let mut sub = Subscribe::new("wss://h", &mut out, false, Some(2), format, live);
            let events = [
                received("a", Age::History, None),
                received("{}", Age::Live, Some("u")),
                received("b", Age::Live, None),
                received("c", Age::Live, None),
            ];
            let ended = events
                .into_iter()
                .find_map(|event| sub.event(event).unwrap());
            assert_eq!(ended, Some(ExitCode::SUCCESS));
            drop(sub);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
