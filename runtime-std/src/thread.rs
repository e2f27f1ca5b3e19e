//! Threads: what they are called, and how much stack they have.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread.
///
/// # Errors
/// The operating system has no more of them.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    stack: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let builder = Builder::new().name(format!("mles-{name}"));
    builder.stack_size(stack).spawn(body)
}

/// Stacks are address space, of which memory is only what was ever used. In builds without optimisation, which use most,
/// a handshake needs between 64 and 96 KiB, and looking up a name has code of the system's to call.
pub(crate) const CONNECTION: usize = 256 * 1024;

/// A session has a thread of its own, for what a handshake once used would stay memory for as long as its thread lives.
/// Without optimisation it needs less than 24 KiB.
pub(crate) const SESSION: usize = 64 * 1024;

/// For a thread that waits until a socket takes more.
pub(crate) const WAITER: usize = 32 * 1024;

/// For the few threads that there are once, or for each listening socket.
pub(crate) const SERVICE: usize = 512 * 1024;
