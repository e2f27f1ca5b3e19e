//! What a connection's frames go through on their way to the socket: TLS, and on a connection that was dialed the
//! mask of a client (RFC 6455 section 5.3).
//!
//! Outboxes hold frames of a server, whichever end of the connection this is: they are masked as they leave, a
//! record's worth at a time, so that a link costs no copy of what waits for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_rustls::{TlsStream, client, server};
use runtime_common::random::Keys;
use runtime_common::websocket::Masker;
use smol::io::{AsyncRead, AsyncWrite};

pub(crate) struct Transport<S> {
    tls: TlsStream<S>,
    masking: Option<Box<Masking>>,
}

struct Masking {
    masker: Masker,
    keys: Keys,
    /// Masked, and not yet taken by TLS beyond `written`: hardly more than [`RECORD`].
    out: Vec<u8>,
    written: usize,
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
    pub(crate) fn dialed(tls: client::TlsStream<S>) -> Self {
        let masking = Masking {
            masker: Masker::default(),
            keys: Keys::new(),
            out: Vec::new(),
            written: 0,
        };
        Self {
            tls: tls.into(),
            masking: Some(Box::new(masking)),
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
        while masking.written < masking.out.len() {
            let rest = &masking.out[masking.written..];
            match ready!(Pin::new(&mut self.tls).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => masking.written += taken,
            }
        }
        masking.out.clear();
        masking.written = 0;
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
        let piece = &buf[..buf.len().min(RECORD)];
        let keys = &mut masking.keys;
        masking
            .masker
            .mask(piece, &mut masking.out, || keys.draw())?;
        match self.poll_drain(cx) {
            // What is left goes with the next write or flush, for which it is the first.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(piece.len())),
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

/// Bytes that are masked at once: about the largest TLS record.
const RECORD: usize = 16 * 1024;
