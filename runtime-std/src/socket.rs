//! Using a socket without waiting, and waiting for nothing else.

use std::io::{self, IoSlice, Write};
use std::net::TcpStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;

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

/// Whether bytes have come that nobody has taken.
pub(crate) fn has_unread(socket: &TcpStream) -> bool {
    let mut byte = [0];
    let flags = RecvFlags::PEEK.union(RecvFlags::DONTWAIT);
    matches!(rustix::net::recv(socket, &mut byte, flags), Ok((1.., _)))
}

/// Waits until the socket takes more, or is of no use any more.
pub(crate) fn wait_for_room(socket: &TcpStream) {
    let mut waited = [PollFd::new(socket, PollFlags::OUT)];
    while let Err(Errno::INTR) = poll(&mut waited, None) {}
}
