//! The client programs: `mles talk`, `mles pub`, `mles sub`.

use std::cell::Cell;
use std::future::pending;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use async_signal::{Signal, Signals};
use ring::rand::SecureRandom;
use runtime_common::config::{ClientConfig, Task};
use runtime_common::tls;
use runtime_smol::client::{Client, End, Event, Options, Trust};
use smol::future::or;
use smol::stream::StreamExt;

mod input;
mod publish;
mod show;
mod subscribe;
mod talk;

/// Runs a client to its end.
pub(crate) fn run(config: &ClientConfig) -> ExitCode {
    let outcome = options(config).and_then(|options| match &config.task {
        Task::Talk => smol::block_on(talk::run(&config.url, options)),
        Task::Pub {
            source,
            binary,
            timeout,
        } => publish::run(&config.url, options, source, *binary, *timeout),
        Task::Sub {
            count,
            format,
            live,
        } => smol::block_on(subscribe::run(&config.url, options, *count, *format, *live)),
    });
    match outcome {
        Ok(code) => code,
        Err(line) => {
            say(&format!("error: {line}"));
            ExitCode::FAILURE
        }
    }
}

fn options(config: &ClientConfig) -> Result<Options, String> {
    let uid = match &config.uid {
        Some(uid) => uid.clone(),
        None => {
            let mut random = [0; 4];
            ring::rand::SystemRandom::new()
                .fill(&mut random)
                .map_err(|_| "the operating system gives no random numbers".to_owned())?;
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

/// Says what a person should know of the connection.
struct State {
    url: String,
    /// Whether a lost connection was told.
    lost: Cell<bool>,
    /// Whether there was a connection.
    met: Cell<bool>,
}

impl State {
    fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            lost: Cell::new(false),
            met: Cell::new(false),
        }
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Connected => {
                let again = if self.met.replace(true) { " again" } else { "" };
                if self.lost.replace(false) {
                    say(&format!("mles: connected to {}{again}", self.url));
                }
            }
            Event::Waiting { why } => {
                self.lost.set(true);
                say(&format!("mles: {why}"));
            }
            Event::Resumed { gap_possible: true } => {
                say(
                    "mles: messages may be missing here: the history does not reach back to the last one",
                );
            }
            Event::CaughtUp { resent: 1.. } => {
                say("mles: what was not in the history has been sent again");
            }
            Event::Resumed { .. }
            | Event::CaughtUp { .. }
            | Event::Received(_)
            | Event::Ended { .. } => {}
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

/// Waits for SIGINT or SIGTERM.
async fn interrupted() {
    match Signals::new([Signal::Int, Signal::Term]) {
        Ok(mut signals) => _ = signals.next().await,
        Err(_) => pending().await,
    }
}

/// Leaves the channel, if the server answers soon.
async fn leave(client: &Client) {
    or(
        async {
            client.finish().await;
            while client.next().await.is_some() {}
        },
        async {
            smol::Timer::after(LEAVE).await;
        },
    )
    .await;
}

/// Time to leave when nothing is owed any more.
const LEAVE: Duration = Duration::from_secs(2);
