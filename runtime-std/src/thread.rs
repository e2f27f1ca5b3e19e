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

/// The stack of a connection's thread: address space, of which memory is only what was ever used. TLS handshakes need
/// most, in builds without optimisation.
pub(crate) const CONNECTION: usize = 256 * 1024;

/// The stack of a thread that waits until a socket takes more.
pub(crate) const WAITER: usize = 32 * 1024;

/// The stack of the few threads that there are once, or for each listening socket.
pub(crate) const SERVICE: usize = 512 * 1024;
