//! A connection's way in: TLS, the request head, the upgrade or an answer (spec: T1, T2, X1). Generic
//! over the stream, whoever hosts it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use mles_sansio::{Role, Source};
use runtime_common::entrance::{
    FAREWELL_BYTES, FAREWELL_TIMEOUT, HEAD_TIMEOUT, Outcome, Request, TLS_BUFFER, Verdict,
    timed_out,
};
use runtime_common::http::{Gate, Health, Refusal};
use rustls::ServerConfig;
use smol::Timer;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::io_thread::IoThread;
use crate::session::Session;
use crate::sniff::Sniff;
use crate::transport::Transport;

/// What a connection needs to come in: the same for all of them.
pub struct Entrance {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) handshake_timeout: Duration,
    /// What is said of the server to who asks how it is.
    pub(crate) health: Arc<Health>,
}

impl Entrance {
    /// With the certificates of `tls`, for clients that take no longer than this for the handshake.
    pub fn new(tls: Arc<ServerConfig>, handshake_timeout: Duration, health: Arc<Health>) -> Self {
        Self {
            acceptor: TlsAcceptor::from(tls),
            handshake_timeout,
            health,
        }
    }
}

/// Serves one connection to its end. `gate` says whether the server is there for anybody; `enter` is called
/// when this one is to become a session, and says whether it may; `acknowledge` when the client is to say two things with no
/// answer to the first: its end of the TLS handshake and the request, its header and a message.
///
/// This is all of the connection's task. Dropping it drops the stream, and the node hears that the session is lost.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    io: &IoThread<Sniff<S>>,
    entrance: &Entrance,
    stream: S,
    source: Source,
    gate: impl Fn() -> Gate,
    enter: impl Fn() -> Gate,
    acknowledge: impl Fn(&S),
) -> Outcome {
    // Boxed, and without a name, so that what the way in needs is gone when the session begins: a task keeps
    // room for every variable that is in scope while it waits.
    let session = match Box::pin(come_in(entrance, stream, gate, enter, acknowledge)).await {
        Ok((stream, rest, role)) => io.open(Transport::accepted(stream), rest, role, source),
        Err(outcome) => return outcome,
    };
    live(io, &session).await;
    Outcome::Session
}

/// A session's life, to its end, on a connection that was [opened](IoThread::open). Dropping it forgets the session.
pub async fn live<S: AsyncRead + AsyncWrite + Unpin>(io: &IoThread<S>, session: &Session<S>) {
    let _forgotten = AtLast(|| io.forget(session));
    poll_fn(|cx| session.poll(io, cx)).await;
}

/// What is to be done at the end of a task, whichever way it ends: a panic and being dropped are two of
/// them. By then nothing of the task's is borrowed any more.
pub struct AtLast<F: Fn()>(pub F);

impl<F: Fn()> Drop for AtLast<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// TLS, then one request. Gives the stream, what came behind the request, and who may be there.
async fn come_in<S: AsyncRead + AsyncWrite + Unpin>(
    entrance: &Entrance,
    stream: S,
    gate: impl Fn() -> Gate,
    enter: impl Fn() -> Gate,
    acknowledge: impl Fn(&S),
) -> Result<(TlsStream<Sniff<S>>, Vec<u8>, Role), Outcome> {
    let accept = entrance.acceptor.accept(Sniff::new(stream)).into_fallible();
    let mut stream = match within(entrance.handshake_timeout, accept).await {
        Some(Ok(stream)) => stream,
        Some(Err((_, mut stream))) if stream.is_plain_http() => {
            let (response, outcome) = answered(Refusal::PlainHttp);
            farewell(&mut stream, &response, |it| it).await;
            return Err(outcome);
        }
        Some(Err((error, _))) => return Err(Outcome::Failed(error)),
        None => return Err(Outcome::Failed(timed_out("TLS handshake"))),
    };
    stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    acknowledge(stream.get_ref().0.get_ref());
    let request = request(&mut stream, gate, enter, &entrance.health);
    let verdict = match within(HEAD_TIMEOUT, request).await {
        Some(Ok(verdict)) => verdict,
        Some(Err(error)) => return Err(Outcome::Failed(error)),
        None => {
            let (response, outcome) = answered(Refusal::HeadTimeout);
            farewell(&mut stream, &response, below_tls).await;
            return Err(outcome);
        }
    };
    match verdict {
        Verdict::Session {
            response,
            rest,
            role,
        } => {
            let write = async {
                stream.write_all(&response).await?;
                stream.flush().await?;
                acknowledge(stream.get_ref().0.get_ref());
                Ok(())
            };
            match within(HEAD_TIMEOUT, write).await {
                Some(Ok(())) => Ok((stream, rest, role)),
                Some(Err(error)) => Err(Outcome::Failed(error)),
                None => Err(Outcome::Failed(timed_out("upgrade"))),
            }
        }
        Verdict::Answer { response, status } => {
            farewell(&mut stream, &response, below_tls).await;
            Err(Outcome::Answered(status))
        }
    }
}

fn answered(refusal: Refusal) -> (Vec<u8>, Outcome) {
    (refusal.response(), Outcome::Answered(refusal.status()))
}

/// Reads a request head and decides on it.
async fn request<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut TlsStream<S>,
    gate: impl Fn() -> Gate,
    enter: impl Fn() -> Gate,
    health: &Health,
) -> io::Result<Verdict> {
    let mut request = Request::default();
    let mut buffer = [0; 2048];
    loop {
        let count = stream.read(&mut buffer).await?;
        if let Some(verdict) = request.take_in(&buffer[..count], &gate, &enter, health)? {
            return Ok(verdict);
        }
    }
}

/// Writes a last answer, closes, and waits a little for the other end to have read it: dropping a
/// socket with unread data would take the answer back. What comes is taken `below` TLS, which has said
/// goodbye. An answer that can't be written is nobody's concern any more.
pub async fn farewell<S: AsyncWrite + Unpin, R: AsyncRead + Unpin>(
    stream: &mut S,
    response: &[u8],
    below: impl FnOnce(&mut S) -> &mut R,
) {
    let goodbye = async {
        stream.write_all(response).await?;
        stream.close().await?;
        let stream = below(stream);
        let mut rest = [0; 4096];
        let mut left = FAREWELL_BYTES;
        loop {
            let count = stream.read(&mut rest).await?;
            left = left.saturating_sub(count);
            if count == 0 || left == 0 {
                return io::Result::Ok(());
            }
        }
    };
    let _ = within(FAREWELL_TIMEOUT, goodbye).await;
}

fn below_tls<S>(stream: &mut TlsStream<S>) -> &mut S {
    stream.get_mut().0
}

/// What comes of `future` within this time; `None` if it takes longer, and then it is dropped.
pub async fn within<T>(span: Duration, future: impl Future<Output = T>) -> Option<T> {
    smol::future::or(async { Some(future.await) }, async {
        Timer::after(span).await;
        None
    })
    .await
}

#[cfg(test)]
mod tests;
