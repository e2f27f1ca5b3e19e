//! A stream that gathers small writes, so that a batch of messages is a few TLS records and not one each.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use smol::io::{AsyncRead, AsyncWrite};

/// Whether more is about to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cork(Arc<AtomicBool>);

impl Cork {
    pub(crate) fn set(&self, more: bool) {
        self.0.store(more, Ordering::Relaxed);
    }
}

/// A stream whose flushes do nothing while the cork is in.
#[derive(Debug)]
pub(crate) struct Corked<S> {
    stream: S,
    cork: Cork,
    gathered: Vec<u8>,
    written: usize,
}

impl<S> Corked<S> {
    pub(crate) fn new(stream: S, cork: Cork) -> Self {
        Self {
            stream,
            cork,
            gathered: Vec::new(),
            written: 0,
        }
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.written < self.gathered.len() {
            let rest = &self.gathered[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, Error>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        if self.gathered.len() >= ENOUGH {
            ready!(self.poll_drain(cx))?;
        }
        let count = bytes.len().min(2 * ENOUGH - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.cork.0.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Bytes that are worth a write.
const ENOUGH: usize = 16 << 10;
