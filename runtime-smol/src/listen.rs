//! The listening sockets on smol, and taking connections from them without ever dying of it.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use runtime_common::config::Listen;
use runtime_common::listening::{self, Shortage, is_out_of_descriptors};
use smol::{Async, Timer};

/// Sockets that listen, and what there is to say about them.
pub(crate) struct Bound {
    pub(crate) listeners: Vec<Async<TcpListener>>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) remarks: Vec<String>,
}

/// Executes a plan of addresses.
///
/// # Errors
///
/// One line that says what to do.
pub(crate) fn bind(plan: &Listen) -> Result<Bound, String> {
    let listening::Bound {
        listeners,
        addresses,
        remarks,
    } = listening::bind(plan)?;
    let pairs = listeners.into_iter().zip(&addresses);
    let listeners = pairs.map(|(listener, address)| {
        Async::new(listener).map_err(|error| listening::advice(*address, &error))
    });
    Ok(Bound {
        listeners: listeners.collect::<Result<_, _>>()?,
        addresses,
        remarks,
    })
}

/// The socket on which metrics are served.
///
/// # Errors
///
/// One line that says what to do.
pub(crate) fn bind_metrics(address: SocketAddr) -> Result<Async<TcpListener>, String> {
    let listener = listening::bind_metrics(address)?;
    Async::new(listener).map_err(|error| listening::metrics_advice(address, &error))
}

/// Takes connections for ever. When descriptors run out it neither spins nor stalls: a reserve is
/// given up to take and drop the connection that waits, and the next is taken a little later.
pub(crate) async fn accept(
    listener: Async<TcpListener>,
    mut take: impl FnMut(Async<TcpStream>, SocketAddr),
) {
    let mut reserve = File::open("/dev/null").ok();
    let mut shortage = Shortage::default();
    for count in 1_u64.. {
        if count % AT_ONCE == 0 {
            smol::future::yield_now().await; // Those who are in have their turn.
        }
        match listener.accept().await {
            Ok((stream, address)) => {
                shortage.ends(Instant::now());
                take(stream, address);
            }
            Err(error) if is_out_of_descriptors(&error) => {
                shortage.begins(Instant::now());
                if reserve.take().is_some() {
                    let _ = listener.get_ref().accept();
                }
                reserve = File::open("/dev/null").ok();
                Timer::after(BACK_OFF).await;
            }
            // The connection failed before it was taken: nothing is wrong with the listener.
            Err(error) => {
                tracing::debug!("a connection failed while it was accepted: {error}");
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    Timer::after(BACK_OFF).await;
                }
            }
        }
    }
}

/// Connections taken in one go.
const AT_ONCE: u64 = 16;

/// The pause after a failed accept.
const BACK_OFF: Duration = Duration::from_millis(50);
