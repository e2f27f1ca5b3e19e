//! Taking connections from the listening sockets.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use runtime_common::listening::Accepting;
use socket2::SockRef;

use crate::thread::{self, SERVICE};

/// A socket that listens, and the thread that takes connections from it.
pub(crate) struct Listening {
    listener: Arc<TcpListener>,
    closed: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Listening {
    /// Takes connections until it is closed; one for which there is no thread is dropped.
    pub(crate) fn start(
        listener: TcpListener,
        take: impl Fn(TcpStream, SocketAddr) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (listener, closed) = (Arc::new(listener), Arc::new(AtomicBool::new(false)));
        let (inner, ends) = (listener.clone(), closed.clone());
        let thread = thread::spawn("accept", SERVICE, move || accept(&inner, &ends, take))?;
        Ok(Self {
            listener,
            closed,
            thread,
        })
    }

    /// Nobody listens there when this returns.
    pub(crate) fn close(self) {
        self.closed.store(true, Ordering::Relaxed);
        // Its thread finds out at once; where that cannot be had, the process ends without it.
        if SockRef::from(&*self.listener)
            .shutdown(Shutdown::Both)
            .is_ok()
        {
            let _ = self.thread.join();
        }
    }
}

fn accept(
    listener: &TcpListener,
    closed: &AtomicBool,
    take: impl Fn(TcpStream, SocketAddr) -> io::Result<()>,
) {
    let mut accepting = Accepting::new();
    loop {
        let accepted = listener.accept();
        if closed.load(Ordering::Relaxed) {
            return;
        }
        match accepted {
            Ok((stream, address)) => {
                accepting.taken();
                match take(stream, address) {
                    Ok(()) => accepting.served(),
                    Err(error) => std::thread::sleep(accepting.not_served(&error)),
                }
            }
            Err(error) => std::thread::sleep(accepting.failed(listener, &error)),
        }
    }
}
