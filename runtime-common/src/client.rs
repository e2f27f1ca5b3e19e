//! A client, as far as it waits for nothing: what it is made with, what its user is told, and what a runtime has to do
//! for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mles_sansio::Frame;
use mles_sansio::client::{ClientConfig, Delivery, End};

use crate::trust::Trust;

mod machine;

pub use machine::{Action, Machine};

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who it is, on which channel, with which key, and how it behaves.
    pub config: ClientConfig,
    /// Which certificates it accepts.
    pub trust: Trust,
    /// Whether what arrives is handed out by `Client::next`; if not, it is dropped.
    pub receive: bool,
    /// The largest message it receives, in bytes.
    pub max_message: usize,
}

impl Options {
    /// The defaults: no key, the authorities of the operating system, receiving messages of up to 64 MiB.
    pub fn new(uid: impl Into<Arc<str>>, channel: impl Into<Arc<str>>) -> Self {
        Self {
            config: ClientConfig::new(uid, channel),
            trust: Trust::System,
            receive: true,
            max_message: 64 << 20,
        }
    }
}

/// What happens to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message or an announcement.
    Received(Delivery),
    /// A connection is open.
    Connected,
    /// There is none; the next is tried later.
    Waiting {
        /// What happened and when it goes on, for a person.
        why: String,
    },
    /// Before the first new message after a new connection.
    Resumed {
        /// Whether messages may be missing here.
        gap_possible: bool,
    },
    /// What comes from here on is live.
    CaughtUp {
        /// Own messages that are sent again.
        resent: u64,
    },
    /// The client has ended. Nothing follows.
    Ended {
        /// Why.
        end: End,
        /// The same for a person, with what to do.
        why: String,
    },
}

/// How far a client's messages are, for its user to look at while the machine is elsewhere.
#[derive(Clone, Debug)]
pub struct Progress {
    accepted: Arc<AtomicU64>,
    /// The largest message that fits into the queue.
    largest: usize,
}

impl Progress {
    fn new(config: &ClientConfig) -> Self {
        Self {
            accepted: Arc::default(),
            largest: config.queue_bytes.saturating_sub(OVERHEAD),
        }
    }

    /// Messages that are known to be accepted, or are taken for it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Whether this message fits into the queue when that is empty.
    ///
    /// # Errors
    /// One line: it is too big.
    pub fn admit(&self, frame: &Frame) -> Result<(), String> {
        let size = frame.payload.len();
        match size > self.largest {
            true => Err(format!("{size} bytes are too much for one message")),
            false => Ok(()),
        }
    }
}

/// Who waits for a client to connect: what an event means for that.
///
/// # Errors
/// One line that says what to do: the client has ended, or there is none any more (`None`).
pub fn is_connected(event: Option<Event>) -> Result<bool, String> {
    match event {
        Some(Event::Connected) => Ok(true),
        Some(Event::Ended { why, .. }) => Err(why),
        Some(_) => Ok(false),
        None => Err(ENDED.to_owned()),
    }
}

/// What to say to who wants something of a client that is gone.
pub const ENDED: &str = "the client has ended";

/// Messages that wait for who drives a client.
pub const COMMANDS: usize = 256;

/// Events that wait for a client's user; then the client reads no more.
pub const EVENTS: usize = 256;

/// Time for the answer to a close frame to leave, and for the other end to see it.
pub const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// What the options begin with that say whom a client trusts.
pub const OPTIONS: &str = "--";

/// What a message costs in the queue besides its payload, at most.
const OVERHEAD: usize = 1024;
