//! The client programs `talk`, `pub` and `sub`, as far as they wait for nothing: what they print, and how they end.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use mles_sansio::client::End;

use crate::client::{Event, Options};
use crate::config::ClientConfig;
use crate::random;
use crate::tls;
use crate::trust::Trust;

pub mod input;
mod patience;
pub mod publish;
mod show;
pub mod subscribe;
pub mod talk;

/// What a client is made with that is asked for by this command line.
///
/// # Errors
/// One line that says what to do: a file or a fingerprint is of no use.
pub fn options(config: &ClientConfig) -> Result<Options, String> {
    let uid = match &config.uid {
        Some(uid) => uid.clone(),
        None => {
            let mut random = [0; 4];
            random::fill(&mut random).map_err(|error| error.to_string())?;
            format!("mles-{:08x}", u32::from_be_bytes(random))
        }
    };
    let mut options = Options::new(uid, &*config.channel);
    options.config.key = config.key.read()?;
    options.config.patient = config.retry;
    options.trust = match (&config.ca, &config.fingerprint) {
        (Some(path), _) => Trust::Certificates(tls::trusted_certificates(path)?),
        (None, Some(text)) => Trust::fingerprint(text)?,
        (None, None) if config.insecure => Trust::Anyone,
        (None, None) => Trust::System,
    };
    Ok(options)
}

/// What a program's outcome means for the shell; says what has failed.
pub fn exit(outcome: Result<ExitCode, String>) -> ExitCode {
    outcome.unwrap_or_else(|line| {
        say(&format!("error: {line}"));
        ExitCode::FAILURE
    })
}

/// Time to leave when nothing is owed any more.
pub const LEAVE: Duration = Duration::from_secs(2);

/// A line for the person, apart from what is received. Names and what a server answers are in it.
fn say(line: &str) {
    // Without a stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", show::one_line(line));
}

/// What an end means for the shell: 0 if everything is accepted, 3 if that is not known, 1 for the rest.
fn code(end: End, why: &str) -> ExitCode {
    match end {
        End::Done => ExitCode::SUCCESS,
        End::Unproved { .. } | End::Assumed { .. } => {
            say(&format!("error: {why}"));
            ExitCode::from(3)
        }
        End::Refused { .. } | End::Unreachable => {
            say(&format!("error: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Nobody reads any more: that is the reader's wish, and the end.
fn stopped(written: io::Result<()>) -> Result<Option<ExitCode>, String> {
    match written {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(ExitCode::SUCCESS)),
        Err(error) => Err(format!("can't write to stdout: {error}")),
    }
}

/// Says what a person should know of the connection.
#[derive(Debug)]
struct State {
    url: String,
    /// Whether a lost connection was told.
    lost: bool,
    /// Whether there was a connection.
    met: bool,
}

impl State {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            lost: false,
            met: false,
        }
    }

    fn tell(&mut self, event: &Event) {
        if let Some(line) = self.line(event) {
            say(&line);
        }
    }

    fn line(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Connected => {
                let again = if self.met { " again" } else { "" };
                self.met = true;
                let lost = std::mem::take(&mut self.lost);
                lost.then(|| format!("mles: connected to {}{again}", self.url))
            }
            Event::Waiting { why } => {
                self.lost = true;
                Some(format!("mles: {why}"))
            }
            Event::Resumed { gap_possible: true } => {
                let line = "mles: messages may be missing here: the history does not reach back to the last one";
                Some(line.to_owned())
            }
            Event::CaughtUp { resent: 1.. } => {
                let line = "mles: what was not in the history has been sent again";
                Some(line.to_owned())
            }
            Event::Resumed { .. }
            | Event::CaughtUp { .. }
            | Event::Received(_)
            | Event::Ended { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first connection is worth a line only if it has taken its time, and is not told of as a second one.
    #[test]
    fn connections() {
        let waiting = Event::Waiting {
            why: "no".to_owned(),
        };
        let mut state = State::new("wss://h");
        let mut line = |event: &Event| state.line(event);
        assert_eq!(line(&Event::Connected), None);
        assert_eq!(line(&waiting), Some("mles: no".to_owned()));
        let again = Some("mles: connected to wss://h again".to_owned());
        assert_eq!(line(&Event::Connected), again);
        assert_eq!(line(&Event::Connected), None);
        let mut state = State::new("wss://h");
        assert!(state.line(&waiting).is_some());
        let first = Some("mles: connected to wss://h".to_owned());
        assert_eq!(state.line(&Event::Connected), first);
    }

    #[test]
    fn a_broken_pipe_is_no_error() {
        assert_eq!(stopped(Ok(())), Ok(None));
        let gone = Err(io::ErrorKind::BrokenPipe.into());
        assert_eq!(stopped(gone), Ok(Some(ExitCode::SUCCESS)));
        let full = stopped(Err(io::ErrorKind::StorageFull.into()));
        assert!(full.is_err_and(|line| line.starts_with("can't write to stdout: ")));
    }
}
