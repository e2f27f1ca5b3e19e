//! A Mles client: one uid on one channel, for as long as it is wanted, over as many connections as it takes.
//!
//! [`mles_sansio::client`] decides when to connect again, what of a replay is known, and which messages have to be
//! sent again; here are the sockets. The client runs on threads of its own, and any thread may use it.
//!
//! ```no_run
//! use runtime_std::client::{Client, Event, Frame, Options};
//!
//! let options = Options::new("alice", "example");
//! let client = Client::connect("wss://mles.io", options)?;
//! client.send(Frame::text("Hello Bob!"))?;
//! while let Some(event) = client.next() {
//!     match event {
//!         Event::Received(delivery) => println!("{:?}", delivery.frame),
//!         Event::Ended { why, .. } => println!("{why}"),
//!         _ => {} // connected, waiting for the next try, …
//!     }
//! }
//! # Ok::<(), String>(())
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
//! - *Threads*: there is one for the client, and while there is a connection one that reads and one that writes, with
//!   small stacks. They end by themselves when the client has ended or is dropped: at once, but for two. One that asks
//!   for the addresses of a host, or waits for one of them to accept, ends when it has an answer; and one that has
//!   answered a close frame, when the other end has closed the connection, or after 2 s.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

mod connection;
mod dial;
mod driver;
mod mailbox;
mod outbox;

#[cfg(test)]
mod tests;

pub use mles_sansio::client::{Age, ClientConfig, Delivery, End, Goodbye};
pub use mles_sansio::{Frame, Key, Kind};
pub use runtime_common::client::{Event, Options};
pub use runtime_common::trust::Trust;

/// What the program's server has in common with the client, to dial its peers; no part of the library.
#[doc(hidden)]
pub mod way {
    pub use super::dial::{Timed, Way};
}

use dial::Dialer;
use driver::Driver;
use mailbox::Mailbox;
use runtime_common::address::Address;
use runtime_common::client::{Machine, Progress, is_connected};

/// A client that runs until it has ended or is dropped.
pub struct Client {
    mailbox: Arc<Mailbox>,
    progress: Progress,
}

/// Nothing has happened until the time that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl Client {
    /// Opens a client to a server (`wss://host[:port][/path]`) and waits until it is connected.
    ///
    /// Whether the server lets it in shows later: the protocol has no answer to that but silence.
    ///
    /// # Errors
    ///
    /// One line that says what to do: names or address are malformed, the server can't be reached or is not trusted.
    /// With [`ClientConfig::patient`] it waits instead for what may pass.
    pub fn connect(url: &str, options: Options) -> Result<Self, String> {
        let client = Self::start(url, options)?;
        while !is_connected(client.next())? {}
        Ok(client)
    }

    /// Opens a client without waiting; [`Event::Connected`] or [`Event::Ended`] tell what comes of it.
    ///
    /// # Errors
    ///
    /// Names or address are malformed, the system has no certificates of authorities, or no thread to give.
    pub fn start(url: &str, options: Options) -> Result<Self, String> {
        let address = Address::parse(url)?;
        let machine = Machine::new(options.config, options.receive)?;
        let dialer = Dialer::new(address, &options.trust, options.max_message)?;
        let progress = machine.progress();
        let mailbox = Arc::new(Mailbox::default());
        let driver = Driver::new(machine, dialer, Arc::clone(&mailbox));
        spawn("mles-client", DRIVER_STACK, move || driver.run())?;
        Ok(Self { mailbox, progress })
    }

    /// Sends a message; waits until there is room for it.
    ///
    /// # Errors
    ///
    /// One line: it is too big, or the client has ended.
    pub fn send(&self, frame: Frame) -> Result<(), String> {
        self.progress.admit(&frame)?;
        self.mailbox.send(frame)
    }

    /// Lets the client end when the server has accepted everything that was sent. Does not wait: what still happens
    /// is told by [`next`](Self::next).
    pub fn finish(&self) {
        self.mailbox.finish();
    }

    /// How many of the messages that were sent are known to be accepted, or are taken for it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.progress.accepted()
    }

    /// What has happened already, if there is something.
    pub fn ready(&self) -> Option<Event> {
        self.mailbox.ready()
    }

    /// What happens next; `None` after the end. Waits for it.
    pub fn next(&self) -> Option<Event> {
        self.mailbox.next()
    }

    /// The same, but waits no longer than until then.
    ///
    /// # Errors
    ///
    /// Nothing has happened.
    pub fn next_until(&self, deadline: Instant) -> Result<Option<Event>, TimedOut> {
        self.mailbox.next_until(deadline).ok_or(TimedOut)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.mailbox.give_up();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing has happened in time")
    }
}

impl std::error::Error for TimedOut {}

/// Nothing panics while it holds one of these locks half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that nobody waits for.
fn spawn(name: &str, stack: usize, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let builder = thread::Builder::new().name(name.to_owned());
    match builder.stack_size(stack).spawn(run) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the system gives no thread: {error}")),
    }
}

/// Bytes for the thread that drives the machine, which needs less than 32 KiB without optimisation.
const DRIVER_STACK: usize = 64 << 10;
