//! A stream that looks at the very first byte, for what does not begin like TLS never reaches it, and
//! that now and then says there is nothing to read.
//!
//! TLS reads until it has plaintext, and a client can send records without any for as long as it likes
//! (empty ones between changes of keys). It must not have the thread for itself meanwhile.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use runtime_common::entrance;
use smol::io::{AsyncRead, AsyncWrite};

/// The bytes below TLS.
pub struct Sniff<S> {
    stream: S,
    first: Option<u8>,
    /// Bytes read since there was last nothing to read.
    taken: usize,
}

impl<S> Sniff<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            first: None,
            taken: 0,
        }
    }

    /// One of a server that this end has dialed: what its first byte is, is left to TLS.
    pub fn dialed(stream: S) -> Self {
        Self {
            stream,
            first: Some(0),
            taken: 0,
        }
    }

    /// The stream below.
    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Whether the other end speaks plain HTTP: the commonest first mistake (X1.14).
    pub(crate) fn is_plain_http(&self) -> bool {
        self.first.is_some_and(entrance::is_plain_http)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniff<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.taken >= AT_ONCE {
            self.taken = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        match read {
            Poll::Ready(Ok(count)) => self.taken += count,
            Poll::Ready(Err(_)) | Poll::Pending => self.taken = 0,
        }
        if self.first.is_none()
            && let Poll::Ready(Ok(1..)) = read
        {
            self.first = buf.first().copied();
            if !self.first.is_some_and(entrance::may_be_tls) {
                return Poll::Ready(Err(io::Error::other("not TLS")));
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniff<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Ciphertext that is read before it is another connection's turn: somewhat more than a session takes of
/// its own accord.
const AT_ONCE: usize = 128 * 1024;
