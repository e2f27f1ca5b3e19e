//! `mles-std sub`: prints what comes.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use runtime_common::config::Format;
use runtime_common::programs::subscribe::{Subscribe, prepare};
use runtime_std::client::{Client, Options};

use super::{Happening, Happenings};

pub(super) fn run(
    url: &str,
    mut options: Options,
    count: Option<u64>,
    format: Format,
    live: bool,
) -> Result<ExitCode, String> {
    prepare(&mut options);
    let client = Arc::new(Client::start(url, options)?);
    let happenings = Happenings::of(&client)?.and_signals()?;
    let terminal = io::stdout().is_terminal();
    let mut sub = Subscribe::new(url, io::stdout().lock(), terminal, count, format, live);
    let mut print = || {
        loop {
            // What is there is written together.
            let happening = match happenings.ready() {
                Some(happening) => Some(happening),
                None => {
                    if let Some(code) = sub.flush()? {
                        return Ok(code);
                    }
                    happenings.next(None)
                }
            };
            match happening {
                Some(Happening::Event(event)) => {
                    if let Some(code) = sub.event(event)? {
                        return Ok(code);
                    }
                }
                Some(Happening::Interrupted) => return Ok(ExitCode::SUCCESS),
                Some(Happening::Fed(_)) | None => {}
            }
        }
    };
    let outcome = print();
    // What was printed before a signal is out; the rest is written now.
    drop(sub);
    happenings.leave(&client);
    outcome
}
