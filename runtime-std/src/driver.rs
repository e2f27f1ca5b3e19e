//! A connection's way in: TLS, the request head, the upgrade or an answer (spec: T1, T2, X1).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mles_sansio::{Role, Source};
use runtime_common::entrance::{
    FAREWELL_BYTES, FAREWELL_TIMEOUT, HEAD_TIMEOUT, Outcome, Request, Verdict, is_plain_http,
    may_be_tls, timed_out,
};
use runtime_common::http::{Gate, Health, Refusal};
use runtime_common::listening;
use runtime_std::client::way::Timed;
use rustls::{ServerConfig, ServerConnection, Stream};
use socket2::SockRef;

use crate::inbox::Inbox;
use crate::session::Session;
use crate::transport::Transport;

/// What a connection needs to come in.
pub(crate) struct Entrance {
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) handshake_timeout: Duration,
    /// What is said of the server to who asks how it is.
    pub(crate) health: Arc<Health>,
}

/// A connection that may become a session.
pub(crate) struct Opening {
    tls: ServerConnection,
    rest: Vec<u8>,
    role: Role,
}

impl Opening {
    /// It is one from now on.
    pub(crate) fn open(
        self,
        inbox: &Inbox,
        socket: Arc<TcpStream>,
        source: Source,
    ) -> Arc<Session> {
        inbox.open(self.role, source, |conn| {
            let transport = Transport::accepted(self.tls, socket.clone());
            Session::new(conn, socket, transport, self.rest)
        })
    }
}

/// TLS, then one request. `gate` says whether the server is there for anybody; `enter` is called when this one is to
/// become a session, and says whether it may.
pub(crate) fn come_in(
    entrance: &Entrance,
    socket: &TcpStream,
    gate: impl Fn() -> Gate,
    enter: impl Fn() -> Gate,
) -> Result<Opening, Outcome> {
    let failed = |what| move |error| Outcome::Failed(in_words(error, what));
    let mut timed = Timed::new(socket, Instant::now() + entrance.handshake_timeout);
    let mut tls = match timed.first().map_err(failed("TLS handshake"))? {
        Some(first) if is_plain_http(first) => {
            let refusal = Refusal::PlainHttp;
            farewell(socket, None, &refusal.response());
            return Err(Outcome::Answered(refusal.status()));
        }
        Some(first) if !may_be_tls(first) => {
            // What is left unread would have the other end told of a reset.
            let _ = timed.read(&mut [0; 4096]);
            return Err(Outcome::Failed(io::Error::other("not TLS")));
        }
        Some(_) => ServerConnection::new(entrance.tls.clone()),
        None => return Err(Outcome::Failed(io::ErrorKind::UnexpectedEof.into())),
    }
    .map_err(|error| Outcome::Failed(io::Error::other(error)))?;
    while tls.is_handshaking() {
        if let Err(error) = tls.complete_io(&mut timed) {
            // What was wrong is told, as far as it can be.
            let _ = send(&mut tls, &mut timed);
            return Err(failed("TLS handshake")(error));
        }
    }
    listening::acknowledge(SockRef::from(socket));
    let mut timed = Timed::new(socket, Instant::now() + HEAD_TIMEOUT);
    let verdict = match request(&mut tls, &mut timed, gate, enter, &entrance.health) {
        Ok(verdict) => verdict,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let refusal = Refusal::HeadTimeout;
            farewell(socket, Some(&mut tls), &refusal.response());
            return Err(Outcome::Answered(refusal.status()));
        }
        Err(error) => return Err(Outcome::Failed(error)),
    };
    match verdict {
        Verdict::Session {
            response,
            rest,
            role,
        } => {
            let mut timed = Timed::new(socket, Instant::now() + HEAD_TIMEOUT);
            let written = Stream::new(&mut tls, &mut timed).write_all(&response);
            written.map_err(failed("upgrade"))?;
            listening::acknowledge(SockRef::from(socket));
            Timed::end(socket).map_err(Outcome::Failed)?;
            Ok(Opening { tls, rest, role })
        }
        Verdict::Answer { response, status } => {
            farewell(socket, Some(&mut tls), &response);
            Err(Outcome::Answered(status))
        }
    }
}

/// Reads a request head and decides on it.
fn request(
    tls: &mut ServerConnection,
    socket: &mut Timed<'_>,
    gate: impl Fn() -> Gate,
    enter: impl Fn() -> Gate,
    health: &Health,
) -> io::Result<Verdict> {
    let mut request = Request::default();
    let mut buffer = [0; 2048];
    loop {
        let count = Stream::new(tls, socket).read(&mut buffer)?;
        if let Some(verdict) = request.take_in(&buffer[..count], &gate, &enter, health)? {
            return Ok(verdict);
        }
    }
}

/// Writes a last answer, closes, and waits a little for the other end to have read it: dropping a socket with unread
/// data would take the answer back. What comes is not even decrypted.
pub(crate) fn farewell(socket: &TcpStream, tls: Option<&mut ServerConnection>, response: &[u8]) {
    let mut timed = Timed::new(socket, Instant::now() + FAREWELL_TIMEOUT);
    let goodbye = || {
        match tls {
            Some(tls) => {
                Stream::new(tls, &mut timed).write_all(response)?;
                tls.send_close_notify();
                send(tls, &mut timed)?;
            }
            None => timed.write_all(response)?,
        }
        socket.shutdown(Shutdown::Write)?;
        let mut rest = [0; 4096];
        let mut left = FAREWELL_BYTES;
        loop {
            let count = timed.read(&mut rest)?;
            left = left.saturating_sub(count);
            if count == 0 || left == 0 {
                return io::Result::Ok(());
            }
        }
    };
    let _ = goodbye();
}

/// Writes what TLS has to say.
fn send(tls: &mut ServerConnection, socket: &mut Timed<'_>) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(socket)?;
    }
    Ok(())
}

/// What took too long, if that was it.
fn in_words(error: io::Error, what: &str) -> io::Error {
    match error.kind() == io::ErrorKind::TimedOut {
        true => timed_out(what),
        false => error,
    }
}
