//! One end of a connection through the proxy.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One end of a connection.
pub(super) struct Side {
    pub(super) tcp: TcpStream,
    pub(super) tls: Option<rustls::Connection>,
    pub(super) out: VecDeque<u8>,
    /// Counts records of a few bytes, as long as there are any.
    pub(super) records: Option<Arc<AtomicUsize>>,
    pub(super) sent: usize,
    /// No more is to be sent.
    pub(super) finishing: bool,
    pub(super) finished: bool,
    /// Nothing more comes.
    pub(super) has_ended: bool,
    /// Nothing more goes.
    pub(super) is_over: bool,
}

impl Side {
    pub(super) fn new(tcp: TcpStream, tls: Option<rustls::Connection>) -> io::Result<Self> {
        tcp.set_nonblocking(true)?;
        tcp.set_nodelay(true)?;
        Ok(Self {
            tcp,
            tls,
            out: VecDeque::new(),
            records: None,
            sent: 0,
            finishing: false,
            finished: false,
            has_ended: false,
            is_over: false,
        })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        if !self.finishing {
            self.out.extend(bytes);
        }
    }

    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }

    /// All that has come.
    pub(super) fn receive(&mut self) -> Vec<u8> {
        let mut received = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while !self.has_ended && received.len() < 1 << 18 {
            let read = match &mut self.tls {
                None => self.tcp.read(&mut buffer),
                Some(tls) => match tls.reader().read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        match tls.read_tls(&mut self.tcp) {
                            Ok(_) if tls.process_new_packets().is_ok() => continue,
                            Ok(_) => Err(io::Error::other("TLS")),
                            Err(error) => Err(error),
                        }
                    }
                    read => read,
                },
            };
            match read {
                Ok(0) => self.has_ended = true,
                Ok(count) => received.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.has_ended = true,
            }
        }
        received
    }

    /// Sends what can be sent.
    pub(super) fn flush(&mut self) {
        while !self.is_over {
            let result = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.tcp).map(|_| 0),
                Some(tls) if !self.out.is_empty() => {
                    let (front, _) = self.out.as_slices();
                    let most = match &self.records {
                        Some(records) if self.sent < IN_RECORDS => {
                            records.fetch_add(1, Ordering::Relaxed);
                            1 + self.sent % 29
                        }
                        _ => 1 << 14,
                    };
                    tls.writer().write(&front[..front.len().min(most)])
                }
                None if !self.out.is_empty() => self.tcp.write(self.out.as_slices().0),
                Some(tls) if self.finishing && !self.finished && !tls.is_handshaking() => {
                    tls.send_close_notify();
                    self.finished = true;
                    continue;
                }
                _ if self.finishing => {
                    let _ = self.tcp.shutdown(Shutdown::Write);
                    self.is_over = true;
                    return;
                }
                _ => return,
            };
            match result {
                Ok(count) => {
                    self.out.drain(..count);
                    self.sent += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.is_over = true,
            }
        }
    }

    pub(super) fn wants_write(&self) -> bool {
        let tls = self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        !self.is_over && (tls || !self.out.is_empty() || self.finishing)
    }
}

/// How much comes in records of a few bytes.
const IN_RECORDS: usize = 1 << 10;
