//! From an address to an open WebSocket.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime_common::address::Address;
use runtime_common::client::OPTIONS;
use runtime_common::dial::{DialError, EACH_ADDRESS, prepare};
use runtime_common::http::Upgrade;
use runtime_common::trust::{self, Trust};
use rustls::{ClientConfig, ClientConnection, Stream};
use socket2::SockRef;

use super::connection::Hold;

/// Opens connections to one server.
#[derive(Clone)]
pub(crate) struct Dialer {
    way: Way,
    pub(crate) max_message: usize,
}

/// The way to a server up to TLS, for a client and for a server that dials its peers.
#[derive(Clone)]
pub struct Way {
    address: Address,
    tls: Arc<ClientConfig>,
    /// What the options begin with that say whom to trust.
    options: &'static str,
}

/// A WebSocket that is open.
pub(crate) struct Dialed {
    pub(crate) socket: Arc<TcpStream>,
    pub(crate) tls: ClientConnection,
    /// What came behind the answer to the upgrade.
    pub(crate) rest: Vec<u8>,
}

impl Dialer {
    pub(crate) fn new(address: Address, trust: &Trust, max_message: usize) -> Result<Self, String> {
        let way = Way::new(address, trust::client_config(trust, OPTIONS)?, OPTIONS);
        Ok(Self { way, max_message })
    }

    /// Opens one until then, unless `hold` lets go of it.
    pub(crate) fn dial(&self, hold: &Hold, deadline: Instant) -> Result<Dialed, DialError> {
        let address = &self.way.address;
        let gone = || DialError::passing("nobody wants the connection any more".to_owned());
        let socket = Arc::new(self.way.tcp(deadline, &|| hold.is_gone())?);
        if !hold.attach(&socket) {
            return Err(gone());
        }
        let mut tls = self.way.tls(&socket, deadline)?;
        let upgrade = Upgrade::new(address, None);
        let lost = |error: io::Error| DialError::of_tcp(address, &error);
        let mut timed = Timed::new(&socket, deadline);
        let mut stream = Stream::new(&mut tls, &mut timed);
        let asked = stream.write_all(&upgrade.request);
        asked.and_then(|()| stream.flush()).map_err(lost)?;
        let mut head = Vec::new();
        let mut buffer = [0; 2048];
        let used = loop {
            let count = stream.read(&mut buffer).map_err(lost)?;
            if count == 0 {
                return Err(DialError::no_mles(address, "it ended the connection"));
            }
            head.extend_from_slice(&buffer[..count]);
            let answer = upgrade.judge(&head);
            if let Some((_, used)) =
                answer.map_err(|error| DialError::of_upgrade(address, error))?
            {
                break used;
            }
        };
        Timed::end(&socket).map_err(lost)?;
        let rest = head.split_off(used);
        Ok(Dialed { socket, tls, rest })
    }
}

impl Way {
    /// To this address.
    pub fn new(address: Address, tls: Arc<ClientConfig>, options: &'static str) -> Self {
        Self {
            address,
            tls,
            options,
        }
    }

    /// A TCP connection. It waits until `deadline`, [`EACH_ADDRESS`] for each of the host's addresses, and for those as
    /// long as the resolver takes; between two of them it looks whether it is `given_up`.
    ///
    /// # Errors
    /// There is none.
    pub fn tcp(
        &self,
        deadline: Instant,
        given_up: &dyn Fn() -> bool,
    ) -> Result<TcpStream, DialError> {
        let Address { host, port, .. } = &self.address;
        let found = (host.as_str(), *port).to_socket_addrs();
        let addresses = found.map_err(|error| DialError::unknown_host(host, &error))?;
        let mut last = io::Error::from(ErrorKind::NotFound);
        for address in addresses {
            let left = left(deadline).unwrap_or_default();
            if given_up() || left.is_zero() {
                last = ErrorKind::TimedOut.into();
                break;
            }
            let connected = TcpStream::connect_timeout(&address, left.min(EACH_ADDRESS));
            match connected.and_then(|stream| prepare(SockRef::from(&stream)).map(|()| stream)) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(DialError::of_tcp(&self.address, &last))
    }

    /// TLS on it until `deadline`, with a server that is trusted. The socket may be left with time-outs:
    /// [`Timed::end`].
    ///
    /// # Errors
    /// It has failed, or the server is not trusted.
    pub fn tls(
        &self,
        socket: &TcpStream,
        deadline: Instant,
    ) -> Result<ClientConnection, DialError> {
        let failed = |error: io::Error| {
            let error = match error.kind() == ErrorKind::UnexpectedEof {
                true => io::Error::new(error.kind(), "tls handshake eof"),
                false => error,
            };
            DialError::of_tls(&self.address, &error, self.options)
        };
        let tls = ClientConnection::new(self.tls.clone(), self.address.name.clone());
        let mut tls = tls.map_err(|error| failed(io::Error::other(error)))?;
        let mut timed = Timed::new(socket, deadline);
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut timed).map_err(failed)?;
        }
        Ok(tls)
    }
}

/// A socket that is read and written until a moment.
#[derive(Debug)]
pub struct Timed<'a> {
    socket: &'a TcpStream,
    deadline: Instant,
}

impl<'a> Timed<'a> {
    /// Until then reading and writing waits; afterwards it fails with [`ErrorKind::TimedOut`].
    pub fn new(socket: &'a TcpStream, deadline: Instant) -> Self {
        Self { socket, deadline }
    }

    /// The first byte that comes, which stays to be read; none at the end of the stream.
    ///
    /// # Errors
    /// Nothing comes in time, or the connection is broken.
    pub fn first(&self) -> io::Result<Option<u8>> {
        self.socket.set_read_timeout(Some(left(self.deadline)?))?;
        let mut first = [0];
        let count = again(|| self.socket.peek(&mut first))?;
        Ok((count > 0).then_some(first[0]))
    }

    /// Lets a socket wait for ever again.
    ///
    /// # Errors
    /// The operating system refuses it.
    pub fn end(socket: &TcpStream) -> io::Result<()> {
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(None)
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.deadline)?))?;
        again(|| self.socket.read(buffer))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.deadline)?))?;
        again(|| self.socket.write(bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.deadline)?))?;
        again(|| self.socket.write_vectored(pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.checked_duration_since(Instant::now());
    let left = left.filter(|left| !left.is_zero());
    left.ok_or_else(|| ErrorKind::TimedOut.into())
}

/// Does it until no signal comes between: where there are time-outs, the system does not begin anew by itself. A socket
/// calls the end of its time in two ways.
fn again<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        return match attempt() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            result => result,
        };
    }
}
