//! Two ways to use a socket: waiting, but not for ever; and not at all.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::SockRef;

/// Reads and writes that are to be over at a certain time.
pub(crate) struct Timed<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl<'a> Timed<'a> {
    pub(crate) fn new(socket: &'a TcpStream, time: Duration) -> Self {
        let until = Instant::now() + time;
        Self { socket, until }
    }

    /// The first byte that comes, which stays to be read; none if nothing does.
    pub(crate) fn first(&self) -> io::Result<Option<u8>> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        let mut first = [0];
        let count = self.socket.peek(&mut first).map_err(in_time)?;
        Ok((count > 0).then_some(first[0]))
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(left),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(buf).map_err(in_time)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(buf).map_err(in_time)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write_vectored(bufs).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the operating system says of a time that is over has two names.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// Writes as much as the socket takes at once.
pub(crate) struct Unwaiting<'a>(pub(crate) &'a TcpStream);

impl Write for Unwaiting<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, buf, FLAGS)?)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = FLAGS.bits().cast_signed();
        SockRef::from(self.0).send_vectored_with_flags(bufs, flags)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Waits until the socket takes more, or is of no use any more.
pub(crate) fn wait_for_room(socket: &TcpStream) {
    let mut waited = [PollFd::new(socket, PollFlags::OUT)];
    while let Err(Errno::INTR) = poll(&mut waited, None) {}
}
