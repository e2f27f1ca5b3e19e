//! A Mles client: one uid on one channel, for as long as it is wanted, over as many connections as it takes.
//!
//! [`mles_sansio::client`] decides when to connect again, what of a replay is known, and which messages have to be
//! sent again; here are the sockets. The client runs in a task of smol's executor and needs no other.
//!
//! ```no_run
//! use runtime_smol::client::{Client, Event, Frame, Options};
//!
//! smol::block_on(async {
//!     let options = Options::new("alice", "example");
//!     let client = Client::connect("wss://mles.io", options).await?;
//!     client.send(Frame::text("Hello Bob!")).await?;
//!     while let Some(event) = client.next().await {
//!         match event {
//!             Event::Received(delivery) => println!("{:?}", delivery.frame),
//!             Event::Ended { why, .. } => println!("{why}"),
//!             _ => {} // connected, waiting for the next try, …
//!         }
//!     }
//!     Ok::<(), String>(())
//! })
//! # .unwrap();
//! ```
//!
//! # What to know
//!
//! - *Sending* returns when the message is taken into the client's queue, and waits while that is full. Dropping the
//!   client drops the queue; [`Client::finish`] has it end when the server has accepted everything, which
//!   [`Event::Ended`] tells.
//! - *Receiving*: who does not call [`Client::next`] stops the client from reading, but not from sending; after a
//!   while the server ends such a connection, and what was missed comes from the history. Who never wants to receive
//!   says so in [`Options::receive`].
//! - *Certificates* are verified as [`Options::trust`] says, by default against the authorities that the operating
//!   system trusts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::SecureRandom;
use smol::Task;
use smol::channel::{Receiver, Sender};

mod cork;
mod dial;
mod driver;

pub use mles_sansio::client::{Age, ClientConfig, Delivery, End, Goodbye};
pub use mles_sansio::{Frame, Key, Kind};
pub use runtime_common::trust::Trust;

/// What the program's server has in common with the client, to dial its peers; no part of the library.
#[doc(hidden)]
pub mod way {
    pub use super::dial::Way;
}

use dial::Dialer;
use driver::{Command, Driver};
use runtime_common::address::Address;

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who it is, on which channel, with which key, and how it behaves.
    pub config: ClientConfig,
    /// Which certificates it accepts.
    pub trust: Trust,
    /// Whether what arrives is handed out by [`Client::next`]; if not, it is dropped.
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

/// A client that runs until it has ended or is dropped.
pub struct Client {
    commands: Sender<Command>,
    events: Receiver<Event>,
    accepted: Arc<AtomicU64>,
    /// The largest message that fits into the queue.
    largest: usize,
    _task: Task<()>,
}

impl Client {
    /// Opens a client to a server (`wss://host[:port][/path]`) and waits until it is connected.
    ///
    /// Whether the server lets it in shows later: the protocol has no answer to that but silence.
    ///
    /// # Errors
    ///
    /// One line that says what to do: names or address are malformed, the server can't be reached or is not trusted.
    /// With [`ClientConfig::patient`] it waits instead for what may pass.
    pub async fn connect(url: &str, options: Options) -> Result<Self, String> {
        let client = Self::start(url, options)?;
        loop {
            match client.next().await {
                Some(Event::Connected) => return Ok(client),
                Some(Event::Ended { why, .. }) => return Err(why),
                Some(_) => {}
                None => return Err("the client has ended".to_owned()),
            }
        }
    }

    /// Opens a client without waiting; [`Event::Connected`] or [`Event::Ended`] tell what comes of it.
    ///
    /// # Errors
    ///
    /// Names or address are malformed, or the system has no certificates of authorities.
    pub fn start(url: &str, options: Options) -> Result<Self, String> {
        let address = Address::parse(url)?;
        let mut seed = [0; 32];
        ring::rand::SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| "the operating system gives no random numbers".to_owned())?;
        let largest = options.config.queue_bytes.saturating_sub(OVERHEAD);
        let machine = mles_sansio::client::Client::new(options.config, &mles_sansio::Seed(seed))
            .map_err(|violation| format!("these names can't be used: {violation}"))?;
        let dialer = Dialer::new(address, &options.trust, options.max_message)?;
        let (commands, taken) = smol::channel::bounded(COMMANDS);
        let (given, events) = smol::channel::bounded(EVENTS);
        let accepted = Arc::default();
        let driver = Driver::new(
            machine,
            dialer,
            options.receive,
            Arc::clone(&accepted),
            taken,
            given,
        );
        Ok(Self {
            commands,
            events,
            accepted,
            largest,
            _task: smol::spawn(driver.run()),
        })
    }

    /// Sends a message; waits until there is room for it.
    ///
    /// # Errors
    ///
    /// One line: it is too big, or the client has ended.
    pub async fn send(&self, frame: Frame) -> Result<(), String> {
        let size = frame.payload.len();
        if size > self.largest {
            return Err(format!("{size} bytes are too much for one message"));
        }
        let sent = self.commands.send(Command::Send(frame)).await;
        sent.map_err(|_| "the client has ended".to_owned())
    }

    /// Lets the client end when the server has accepted everything that was sent. What still happens is told by
    /// [`next`](Self::next).
    pub async fn finish(&self) {
        // Without a driver it has ended already.
        let _ = self.commands.send(Command::Finish).await;
    }

    /// How many of the messages that were sent are known to be accepted, or are taken for it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// What has happened already, if there is something.
    pub fn ready(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// What happens next; `None` after the end.
    pub async fn next(&self) -> Option<Event> {
        self.events.recv().await.ok()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Messages that wait for the client's task.
const COMMANDS: usize = 256;

/// What a message costs in the queue besides its payload, at most.
const OVERHEAD: usize = 1024;

/// Events that wait for who calls [`Client::next`]; then the client reads no more.
const EVENTS: usize = 256;
