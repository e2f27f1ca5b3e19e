//! What serves connections, for whoever hosts it: the way in, the sessions, the I/O thread and the turns.
//!
//! A host owns the sockets, the threads and the executor; nothing here accepts, spawns or looks for signals. The program
//! `mles` is one. `examples/async-std-host` is another, on another executor, and small enough to begin with:
//!
//! - Each I/O thread has an [`IoThread`], which stays there: nothing in it is `Send`. A connection is a task of that
//!   thread, which runs [`serve`]. To give the connection up is to drop its task.
//! - The node has a task on thread 0, which runs [`turn::run`]. A thread beside it runs [`turn::relay`], with a
//!   [`Handover`] between the two. Who has one thread needs neither.
//! - Who is let in, settings and certificates are [`runtime_common`]'s: `life::Ready` has made them all before the first
//!   connection.
//! - The server ends with [`Event::Shutdown`], [reported](IoThread::report) when `door.stopping` is set; then
//!   [`turn::run`] returns with the last connection.
//!
//! # What it asks of a stream
//!
//! A stream is [`AsyncRead`], [`AsyncWrite`] and [`Unpin`]. It may be written to from outside of its task, and has to
//! wake the task then: whichever waker it was last given. Reading and writing have a waker each. Two methods have
//! to do more than they must, so that a host wraps a stream that does not have them so:
//!
//! - `poll_write_vectored` writes from all buffers. TLS writes once when it refuses a client, and with the default, which
//!   is the first buffer alone, the alert that says why may never leave.
//! - `poll_close` tells the other end that nothing follows, as shutting down a socket's writing side does.
//!
//! # What is bound to smol
//!
//! [`smol::Timer`], which is async-io's: it has a thread of its own for its timers, and works under any executor.
//! The traits are futures-io's, under smol's name for them. Nothing needs one of smol's executors.
//!
//! [`Event::Shutdown`]: mles_sansio::Event::Shutdown
//! [`AsyncRead`]: smol::io::AsyncRead
//! [`AsyncWrite`]: smol::io::AsyncWrite

pub use crate::driver::{AtLast, Entrance, farewell, live, serve, within};
pub use crate::handover::Handover;
pub use crate::io_thread::IoThread;
pub use crate::session::Session;
pub use crate::sniff::Sniff;
pub use crate::transport::Transport;

pub mod turn {
    //! The turn: what the connections read goes through the node, and what the node answers goes out.

    pub use crate::turn::{Aside, relay, run};
}
