//! Taking connections from the listening sockets on smol.

use std::net::{SocketAddr, TcpListener, TcpStream};

use runtime_common::listening::Accepting;
use smol::{Async, Timer};

/// Takes connections for ever.
pub(crate) async fn accept(
    listener: Async<TcpListener>,
    mut take: impl FnMut(Async<TcpStream>, SocketAddr),
) {
    let mut accepting = Accepting::new();
    for count in 1_u64.. {
        if count % AT_ONCE == 0 {
            smol::future::yield_now().await; // Those who are in have their turn.
        }
        match listener.accept().await {
            Ok((stream, address)) => {
                accepting.taken();
                take(stream, address);
            }
            Err(error) => {
                Timer::after(accepting.failed(listener.get_ref(), &error)).await;
            }
        }
    }
}

/// Connections taken in one go.
const AT_ONCE: u64 = 16;
