//! A client's TCP socket. What closes it says so to the other end: smol's own only flushes.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use runtime_common::listening;
use smol::Async;
use smol::io::{AsyncRead, AsyncWrite};
use socket2::SockRef;

pub(crate) struct Socket(Async<TcpStream>);

impl Socket {
    pub(crate) fn new(stream: Async<TcpStream>) -> Self {
        listening::prepare(SockRef::from(&stream));
        Self(stream)
    }

    /// Has what comes acknowledged at once.
    pub(crate) fn acknowledge(&self) {
        listening::acknowledge(SockRef::from(&self.0));
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::time::Duration;

    use smol::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn closing_tells_the_other_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = Async::<TcpStream>::new(listener.accept().unwrap().0).unwrap();
        let mut socket = Socket::new(stream);
        smol::block_on(async {
            socket.write_all(b"bye").await.unwrap();
            socket.close().await.unwrap();
        });
        // The socket is still there.
        let mut all = Vec::new();
        let deadline = Some(Duration::from_secs(30));
        other.set_read_timeout(deadline).unwrap();
        other.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"bye");
    }
}
