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

use smol::Task;
use smol::channel::{Receiver, Sender};

mod cork;
mod dial;
mod driver;

pub use mles_sansio::client::{Age, ClientConfig, Delivery, End, Goodbye};
pub use mles_sansio::{Frame, Key, Kind};
pub use runtime_common::client::{Event, Options};
pub use runtime_common::trust::Trust;

/// What the program's server has in common with the client, to dial its peers; no part of the library.
#[doc(hidden)]
pub mod way {
    pub use super::dial::Way;
}

use dial::Dialer;
use driver::{Command, Driver};
use runtime_common::address::Address;
use runtime_common::client::{COMMANDS, ENDED, EVENTS, Machine, Progress, is_connected};

/// A client that runs until it has ended or is dropped.
pub struct Client {
    commands: Sender<Command>,
    events: Receiver<Event>,
    progress: Progress,
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
        while !is_connected(client.next().await)? {}
        Ok(client)
    }

    /// Opens a client without waiting; [`Event::Connected`] or [`Event::Ended`] tell what comes of it.
    ///
    /// # Errors
    ///
    /// Names or address are malformed, or the system has no certificates of authorities.
    pub fn start(url: &str, options: Options) -> Result<Self, String> {
        let address = Address::parse(url)?;
        let machine = Machine::new(options.config, options.receive)?;
        let dialer = Dialer::new(address, &options.trust, options.max_message)?;
        let (commands, taken) = smol::channel::bounded(COMMANDS);
        let (given, events) = smol::channel::bounded(EVENTS);
        let progress = machine.progress();
        let driver = Driver::new(machine, dialer, taken, given);
        Ok(Self {
            commands,
            events,
            progress,
            _task: smol::spawn(driver.run()),
        })
    }

    /// Sends a message; waits until there is room for it.
    ///
    /// # Errors
    ///
    /// One line: it is too big, or the client has ended.
    pub async fn send(&self, frame: Frame) -> Result<(), String> {
        self.progress.admit(&frame)?;
        let sent = self.commands.send(Command::Send(frame)).await;
        sent.map_err(|_| ENDED.to_owned())
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
        self.progress.accepted()
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
