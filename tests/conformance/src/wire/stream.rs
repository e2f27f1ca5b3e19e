//! A TCP connection, with or without TLS, either end.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::Connection;

/// Bytes in and out, with deadlines.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    tls: Option<Connection>,
}

/// What a read has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing, in the given time.
    Nothing,
    /// The connection has ended.
    End(End),
}

/// How a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// TLS has said so, or there is none.
    Orderly,
    /// The end of the stream came without a word of TLS.
    Cut,
    /// TCP was reset.
    Reset,
    /// TLS failed.
    Tls(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Orderly => f.write_str("the connection ended"),
            Self::Cut => f.write_str("the connection ended without a close_notify of TLS"),
            Self::Reset => f.write_str("the connection was reset"),
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
        }
    }
}

impl From<&io::Error> for End {
    fn from(error: &io::Error) -> Self {
        const GONE: [ErrorKind; 3] = [
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
            ErrorKind::ConnectionAborted,
        ];
        if error.kind() == ErrorKind::UnexpectedEof {
            Self::Cut
        } else if GONE.contains(&error.kind()) {
            Self::Reset
        } else {
            Self::Tls(error.to_string())
        }
    }
}

/// Whether an error only says that nothing came, or went, in time.
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Reads what TLS has, or gets from below.
fn read_tls(tls: &mut Connection, tcp: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return done,
        }
        tls.read_tls(tcp)?;
        let processed = tls.process_new_packets();
        while tls.wants_write() {
            // Answers of TLS itself, such as an alert.
            if tls.write_tls(tcp).is_err() {
                break;
            }
        }
        processed.map_err(io::Error::other)?;
    }
}

impl Stream {
    /// A connection without TLS.
    #[must_use]
    pub fn plain(tcp: TcpStream) -> Self {
        Self { tcp, tls: None }
    }

    /// A connection on which TLS is to be spoken.
    #[must_use]
    pub fn tls(tcp: TcpStream, tls: impl Into<Connection>) -> Self {
        let tls = Some(tls.into());
        Self { tcp, tls }
    }

    /// The connection below TLS.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The same, for good.
    #[must_use]
    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// TLS, if there is any.
    #[must_use]
    pub fn connection(&self) -> Option<&Connection> {
        self.tls.as_ref()
    }

    /// Completes the handshake of TLS.
    ///
    /// # Errors
    /// It failed, or took too long.
    pub fn shake(&mut self, within: Duration) -> Result<(), End> {
        let deadline = Instant::now() + within;
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        while tls.is_handshaking() || tls.wants_write() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(End::Tls("no answer to the handshake".into()));
            }
            let set = self.tcp.set_read_timeout(Some(left));
            set.map_err(|error| End::from(&error))?;
            match tls.complete_io(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(End::from(&error)),
            }
        }
        Ok(())
    }

    /// Reads what there is, or comes in this time.
    pub fn read(&mut self, buffer: &mut [u8], within: Duration) -> Read {
        // A timeout of zero would be none at all.
        let within = within.max(Duration::from_millis(1));
        if let Err(error) = self.tcp.set_read_timeout(Some(within)) {
            return Read::End(End::from(&error));
        }
        let result = match &mut self.tls {
            Some(tls) => read_tls(tls, &mut self.tcp, buffer),
            None => self.tcp.read(buffer),
        };
        match result {
            Ok(0) => Read::End(End::Orderly),
            Ok(count) => Read::Bytes(count),
            Err(error) if is_late(&error) || error.kind() == ErrorKind::Interrupted => {
                Read::Nothing
            }
            Err(error) => Read::End(End::from(&error)),
        }
    }

    /// Writes all of it, and says how much went before time was up or the connection ended. What TLS holds counts as
    /// written.
    ///
    /// # Errors
    /// The connection has ended, or not all of it was taken in this time: then there is no end.
    pub fn write(&mut self, bytes: &[u8], within: Duration) -> Result<(), Option<End>> {
        let deadline = Instant::now() + within;
        let mut rest = bytes;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(None);
            }
            let set = self.tcp.set_write_timeout(Some(left));
            set.map_err(|error| Some(End::from(&error)))?;
            let result = match &mut self.tls {
                // What TLS holds is bounded, so that its records do not grow while nothing is taken.
                Some(tls) if tls.wants_write() => tls.write_tls(&mut self.tcp).map(|_| 0),
                Some(tls) => tls.writer().write(rest),
                None => self.tcp.write(rest),
            };
            match result {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_late(&error) || error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Some(End::from(&error))),
            }
            let pending = self.tls.as_ref().is_some_and(|tls| tls.wants_write());
            if rest.is_empty() && !pending {
                return Ok(());
            }
        }
    }

    /// Says the end of TLS, and lets the other end find the end of the stream.
    pub fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut self.tcp);
        }
        let _ = self.tcp.shutdown(Shutdown::Write);
    }

    /// Ends the connection without a word.
    pub fn cut(&self) {
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}
