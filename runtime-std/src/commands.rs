//! The client programs: `mles-std talk`, `mles-std pub`, `mles-std sub`.
//!
//! Each has a thread for each thing that it waits for, and one that hears of them all.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use runtime_common::client::Event;
use runtime_common::config::{ClientConfig, Task};
use runtime_common::programs::{self, LEAVE};
use runtime_std::client::Client;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::thread;

mod input;
mod publish;
mod subscribe;
mod talk;

/// Runs a client to its end.
pub(crate) fn run(config: &ClientConfig) -> ExitCode {
    let outcome = programs::options(config).and_then(|options| match &config.task {
        Task::Talk => talk::run(&config.url, options),
        Task::Pub {
            source,
            binary,
            timeout,
        } => publish::run(&config.url, options, source, *binary, *timeout),
        Task::Sub {
            count,
            format,
            live,
        } => subscribe::run(&config.url, options, *count, *format, *live),
    });
    programs::exit(outcome)
}

/// What a program waits for.
enum Happening {
    /// To the client; `None` is behind its end.
    Event(Option<Event>),
    /// SIGINT or SIGTERM.
    Interrupted,
    /// Nothing more is given to the client, for this mistake in the input if there is one.
    Fed(Result<(), String>),
}

/// Whatever happens, in order.
struct Happenings {
    give: SyncSender<Happening>,
    taken: Receiver<Happening>,
}

impl Happenings {
    /// What happens to a client.
    fn of(client: &Arc<Client>) -> Result<Self, String> {
        let (give, taken) = sync_channel(HAPPENINGS);
        let (client, told) = (Arc::clone(client), give.clone());
        spawn(move || {
            loop {
                let event = client.next();
                let ended = event.is_none();
                if told.send(Happening::Event(event)).is_err() || ended {
                    return;
                }
            }
        })?;
        Ok(Self { give, taken })
    }

    /// And signals, from now on.
    fn and_signals(self) -> Result<Self, String> {
        let told = self.give.clone();
        // Without them a signal ends the program all the same.
        if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) {
            spawn(move || {
                for _ in signals.forever() {
                    if told.send(Happening::Interrupted).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(self)
    }

    /// What has happened already, if there is something.
    fn ready(&self) -> Option<Happening> {
        self.taken.try_recv().ok()
    }

    /// What happens next; `None` if nothing does until then.
    fn next(&self, until: Option<Instant>) -> Option<Happening> {
        let Some(until) = until else {
            let next = self.taken.recv();
            return Some(next.unwrap_or(Happening::Event(None)));
        };
        let left = until.saturating_duration_since(Instant::now());
        match self.taken.recv_timeout(left) {
            Ok(happening) => Some(happening),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Happening::Event(None)),
        }
    }

    /// Leaves the channel, if the server answers soon.
    fn leave(&self, client: &Client) {
        client.finish();
        let deadline = Instant::now() + LEAVE;
        loop {
            match self.next(Some(deadline)) {
                Some(Happening::Event(None)) | None => return,
                Some(Happening::Event(Some(_)) | Happening::Interrupted | Happening::Fed(_)) => {}
            }
        }
    }
}

/// A thread that ends with the program.
fn spawn(run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let failed = |error| format!("the system gives no thread: {error}");
    thread::spawn("program", STACK, run)
        .map(drop)
        .map_err(failed)
}

/// Bytes for a thread that waits for something and passes it on.
const STACK: usize = 128 << 10;

/// Events that wait for being printed.
const HAPPENINGS: usize = 256;
