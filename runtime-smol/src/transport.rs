//! What a connection's frames go through on their way to the socket: TLS, and on a connection that was dialed the
//! mask of a client (RFC 6455 section 5.3).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_rustls::{TlsStream, client, server};
use runtime_common::websocket::Masking;
use smol::io::{AsyncRead, AsyncWrite};

/// A stream with TLS on it, and on one that was dialed the mask of a client.
pub struct Transport<S> {
    tls: TlsStream<S>,
    masking: Option<Box<Masking>>,
}

impl<S> Transport<S> {
    /// The other end has dialed.
    pub(crate) fn accepted(tls: server::TlsStream<S>) -> Self {
        Self {
            tls: tls.into(),
            masking: None,
        }
    }

    /// This end has.
    pub fn dialed(tls: client::TlsStream<S>) -> Self {
        Self {
            tls: tls.into(),
            masking: Some(Box::new(Masking::new())),
        }
    }

    pub(crate) fn is_dialed(&self) -> bool {
        self.masking.is_some()
    }

    /// The stream below TLS.
    pub(crate) fn below(&mut self) -> &mut S {
        self.tls.get_mut().0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    /// Hands everything that is masked to TLS.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(masking) = &mut self.masking else {
            return Poll::Ready(Ok(()));
        };
        while !masking.masked().is_empty() {
            match ready!(Pin::new(&mut self.tls).poll_write(cx, masking.masked()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => masking.advance(taken),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let Some(masking) = &mut self.masking else {
            return Pin::new(&mut self.tls).poll_write(cx, buf);
        };
        let taken = masking.mask(buf)?;
        match self.poll_drain(cx) {
            // What is left goes with the next write or flush, for which it is the first.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.tls).poll_close(cx)
    }
}
