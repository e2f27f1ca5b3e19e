//! What a connection's bytes go through between the socket and WebSocket: TLS, and on a connection that was dialed the
//! mask of a client (RFC 6455 section 5.3). Nothing here waits.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use runtime_common::entrance::TLS_BUFFER;
use runtime_common::outbound::Outlet;
use runtime_common::websocket::Masking;
use rustls::{ClientConnection, Connection, ServerConnection};

use crate::socket::Unwaiting;

pub(crate) struct Transport {
    tls: Connection,
    socket: Arc<TcpStream>,
    masking: Option<Box<Masking>>,
    /// TLS is to say goodbye, or has.
    shut: bool,
}

impl Transport {
    /// The other end has dialed.
    pub(crate) fn accepted(tls: ServerConnection, socket: Arc<TcpStream>) -> Self {
        Self::new(tls.into(), socket, None)
    }

    /// This end has.
    pub(crate) fn dialed(tls: ClientConnection, socket: Arc<TcpStream>) -> Self {
        Self::new(tls.into(), socket, Some(Box::new(Masking::new())))
    }

    fn new(mut tls: Connection, socket: Arc<TcpStream>, masking: Option<Box<Masking>>) -> Self {
        tls.set_buffer_limit(Some(TLS_BUFFER));
        Self {
            tls,
            socket,
            masking,
            shut: false,
        }
    }

    pub(crate) fn is_dialed(&self) -> bool {
        self.masking.is_some()
    }

    /// Takes in what the socket gave, a part of it as long as there is plaintext to be read first.
    ///
    /// # Errors
    /// It is no TLS.
    pub(crate) fn take_in(&mut self, arrived: &mut &[u8]) -> io::Result<()> {
        if self.shut {
            return Ok(());
        }
        self.tls.read_tls(arrived)?;
        let taken = self.tls.process_new_packets();
        taken.map(drop).map_err(io::Error::other)
    }

    /// Plaintext that has come: its length, 0 at the end of the stream; none if there is none for now.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> io::Result<Option<usize>> {
        match self.tls.reader().read(buf) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether TLS has something to say of its own accord.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Says goodbye, and that nothing is to follow. To be called again if the socket was full.
    pub(crate) fn shut(&mut self) -> io::Result<()> {
        self.flush()?;
        if !std::mem::replace(&mut self.shut, true) {
            self.tls.send_close_notify();
        }
        self.send()?;
        self.socket.shutdown(Shutdown::Write)
    }

    /// Hands to the socket what TLS has for it.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut Unwaiting(&self.socket))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Has TLS take a part of these bytes.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let taken = self.tls.writer().write(bytes)?;
            match (taken, self.send()) {
                (0, Ok(())) => {}
                (0, Err(error)) => return Err(error),
                (_, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                (taken, _) => return Ok(taken),
            }
        }
    }

    /// Has TLS take everything that is masked.
    fn put_masked(&mut self) -> io::Result<()> {
        let Some(mut masking) = self.masking.take() else {
            return Ok(());
        };
        let mut put = Ok(0);
        while put.is_ok() && !masking.masked().is_empty() {
            put = self.put(masking.masked());
            masking.advance(*put.as_ref().unwrap_or(&0));
        }
        self.masking = Some(masking);
        put.map(drop)
    }
}

impl Outlet for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put_masked()?;
        let Some(masking) = &mut self.masking else {
            return self.put(bytes);
        };
        let taken = masking.mask(bytes)?;
        match self.put_masked() {
            // What is left goes with the next write or flush, for which it is the first.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put_masked()?;
        self.send()
    }
}
