//! The way between the judge and a server: what goes over it arrives as it was sent, but later, or in small pieces.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::proxy::listeners;

/// What a way is like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// How much later everything arrives, and the end too.
    pub(crate) late: Duration,
    /// The first bytes of each direction arrive in pieces of so many.
    pub(crate) pieces: Option<usize>,
    /// How often something arrived late, or in a piece.
    pub(crate) applied: Arc<AtomicUsize>,
}

/// How much of each direction arrives in pieces.
const IN_PIECES: usize = 1 << 10;

/// How many reads are under way at a time, of up to 16 KiB each.
const UNDER_WAY: usize = 32;

/// How much the sockets at its ends hold.
const NARROW: usize = 128 << 10;

/// A way, until it is dropped.
pub(crate) struct Way {
    pub(crate) addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
}

impl Way {
    /// Leads to these addresses, from one for each.
    pub(crate) fn to(addresses: &[SocketAddr], manner: &Manner) -> Self {
        let listeners = listeners();
        let own = listeners.iter().map(|one| one.local_addr().unwrap());
        let own: Vec<_> = own.collect();
        let stop = Arc::new(AtomicBool::new(false));
        for (listener, to) in listeners.into_iter().zip(addresses.to_vec()) {
            let (stopped, manner) = (stop.clone(), manner.clone());
            thread::spawn(move || {
                for client in listener.incoming() {
                    let (Ok(client), Ok(server)) = (client, TcpStream::connect(to)) else {
                        return;
                    };
                    for end in [&client, &server] {
                        let end = SockRef::from(end);
                        end.set_recv_buffer_size(NARROW).unwrap();
                        end.set_send_buffer_size(NARROW).unwrap();
                    }
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    lead(&client, &server, &manner);
                    lead(&server, &client, &manner);
                }
            });
        }
        Self {
            addresses: own,
            stop,
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // So that its threads see it.
        for address in &self.addresses {
            let _ = TcpStream::connect(address);
        }
    }
}

/// When it arrives, and what: nothing is the end.
type Sent = (Instant, Vec<u8>);

/// One direction of a connection.
fn lead(from: &TcpStream, to: &TcpStream, manner: &Manner) {
    let (sender, receiver) = sync_channel(UNDER_WAY);
    let (source, manner) = (from.try_clone().unwrap(), manner.clone());
    let late = manner.late;
    thread::spawn(move || takes(source, late, &sender));
    let to = to.try_clone().unwrap();
    thread::spawn(move || {
        if gives(&to, &manner, &receiver).is_err() {
            // What is under way the other way arrives nevertheless.
            receiver.iter().for_each(drop);
        }
    });
}

fn takes(mut from: TcpStream, late: Duration, sender: &SyncSender<Sent>) {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        let sent = (Instant::now() + late, buffer[..count].to_vec());
        if sender.send(sent).is_err() || count == 0 {
            return;
        }
    }
}

fn gives(mut to: &TcpStream, manner: &Manner, receiver: &Receiver<Sent>) -> std::io::Result<()> {
    to.set_nodelay(true)?;
    let mut given = 0;
    for (due, bytes) in receiver {
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            manner.applied.fetch_add(1, Ordering::Relaxed);
            thread::sleep(early);
        }
        if bytes.is_empty() {
            return to.shutdown(Shutdown::Write);
        }
        let size = manner.pieces.filter(|_| given < IN_PIECES);
        for piece in bytes.chunks(size.unwrap_or(bytes.len())) {
            to.write_all(piece)?;
            manner
                .applied
                .fetch_add(usize::from(size.is_some()), Ordering::Relaxed);
        }
        given += bytes.len();
    }
    Ok(())
}
