//! A client: tungstenite over rustls, which nobody here wrote.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::{DEADLINE, Tls, wire};

/// A WebSocket to the server.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<Tls>,
    /// Received while something else was waited for.
    early: VecDeque<Message>,
}

impl Client {
    /// Upgrades a TLS connection, with `mles-websocket` as the one subprotocol.
    #[must_use]
    pub fn open(stream: Tls) -> Self {
        let request = offer("/", &["mles-websocket"]);
        let (client, _) = Self::open_with(stream, request).expect("upgrade");
        client
    }

    /// Upgrades a TLS connection with this request; gives the answer's head too.
    ///
    /// # Errors
    /// The upgrade is refused.
    pub fn open_with(
        stream: Tls,
        request: Request,
    ) -> Result<(Self, tungstenite::handshake::client::Response), Box<Error>> {
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0);
        let shaken = tungstenite::client::client_with_config(request, stream, Some(config));
        let (socket, response) = shaken.map_err(|error| match error {
            tungstenite::HandshakeError::Failure(error) => Box::new(error),
            tungstenite::HandshakeError::Interrupted(_) => panic!("no answer to the upgrade"),
        })?;
        let early = VecDeque::new();
        Ok((Self { socket, early }, response))
    }

    /// A WebSocket on a connection that somebody upgraded by hand.
    #[must_use]
    pub fn on(stream: Tls) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0);
        Self {
            socket: WebSocket::from_raw_socket(stream, Role::Client, Some(config)),
            early: VecDeque::new(),
        }
    }

    /// Sends a header and waits until the server has made this session a member.
    pub fn join(&mut self, uid: &str, channel: &str) {
        self.send(header(uid, channel));
        self.settle();
    }

    /// Waits until the server has processed what was sent, the header included: it answers a ping.
    /// What arrives before that waits to be received.
    pub fn settle(&mut self) {
        self.socket.send(Message::Ping("joined?".into())).unwrap();
        loop {
            match self.socket.read().expect("an answer to the header") {
                Message::Pong(payload) if payload == "joined?" => return,
                Message::Close(close) => panic!("closed instead of joined: {close:?}"),
                message => self.early.push_back(message),
            }
        }
    }

    /// Sends a message.
    pub fn send(&mut self, message: impl Into<Message>) {
        self.socket
            .send(message.into())
            .expect("the server takes it");
    }

    /// Sends a message, which may fail: the server may have gone.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn try_send(&mut self, message: impl Into<Message>) -> Result<(), Box<Error>> {
        self.socket.send(message.into()).map_err(Box::new)
    }

    /// Sends what a connection that does not block has not taken at first.
    ///
    /// # Errors
    /// The connection is closed, or still does not take it.
    pub(crate) fn try_flush(&mut self) -> Result<(), Box<Error>> {
        self.socket.flush().map_err(Box::new)
    }

    /// The TCP connection below.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket.get_ref().sock
    }

    /// Sends what tungstenite has queued by itself: the pong to a ping that was received.
    pub fn flush(&mut self) {
        self.socket.flush().expect("the server takes it");
    }

    /// Sends these bytes over TLS, whatever they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let stream = self.stream();
        stream.write_all(bytes).unwrap();
        stream.flush().unwrap();
    }

    /// Sends a frame made by hand.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send_bytes(&wire::frame(first, payload));
    }

    /// The next text or binary message. Pings are answered on the way.
    #[must_use]
    pub fn recv(&mut self) -> Message {
        let began = Instant::now();
        loop {
            // A server that has nothing else to say pings now and then.
            assert!(began.elapsed() < DEADLINE, "a message was expected");
            let early = self.early.pop_front();
            match early.unwrap_or_else(|| self.next_frame()) {
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(close) => panic!("closed: {close:?}"),
                message => return message,
            }
        }
    }

    /// The next messages, as many as these, which must be these.
    pub fn expect<M: Into<Message>>(&mut self, messages: impl IntoIterator<Item = M>) {
        for (number, message) in messages.into_iter().enumerate() {
            let (message, got) = (message.into(), self.recv());
            assert!(
                got == message,
                "message {number}: {} instead of {}",
                shown(&got),
                shown(&message)
            );
        }
    }

    /// The next frame of any kind; it must come within [`crate::DEADLINE`].
    pub fn next_frame(&mut self) -> Message {
        match self.try_next_frame() {
            Ok(message) => message,
            Err(error) => panic!("a frame was expected: {error}"),
        }
    }

    /// The next frame of any kind, or why there is none.
    ///
    /// # Errors
    /// The connection has ended, or time is up.
    pub fn try_next_frame(&mut self) -> Result<Message, Box<Error>> {
        if let Some(message) = self.early.pop_front() {
            return Ok(message);
        }
        self.socket.read().map_err(Box::new)
    }

    /// The code and the reason of the close frame that must be next.
    pub fn recv_close(&mut self) -> (u16, String) {
        loop {
            match self.next_frame() {
                Message::Close(close) => {
                    let close = close.expect("a close frame with a code");
                    return (close.code.into(), close.reason.to_string());
                }
                Message::Ping(_) | Message::Pong(_) => {}
                message => panic!("a close frame was expected: {}", shown(&message)),
            }
        }
    }

    /// A close frame of this code must be next, with a reason if it is not 1000; then the end.
    pub fn expect_close(&mut self, code: u16) {
        let (got, reason) = self.recv_close();
        assert_eq!(got, code, "{reason}");
        assert!(
            !reason.is_empty() || code == 1000,
            "{code} without a reason"
        );
        assert!(reason.len() <= 123);
        self.expect_end();
    }

    /// The end of the connection comes at once, and nothing else. (tungstenite answers a close frame
    /// when it is asked for the next one.)
    pub fn expect_end(&mut self) {
        let began = Instant::now();
        match self.socket.read() {
            Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_)) => {}
            Err(Error::Io(error)) if error.kind() != ErrorKind::WouldBlock => {}
            other => panic!("the end was expected: {other:?}"),
        }
        assert!(began.elapsed() < AT_ONCE, "the connection lingers");
    }

    /// Sends a close frame of this code.
    pub fn close(&mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        let _ = self.socket.close(Some(frame));
        let _ = self.socket.flush();
    }

    /// What has come so far, and comes before the answer to a ping.
    pub fn recv_until_settled(&mut self) -> Vec<Message> {
        self.settle();
        self.early.drain(..).collect()
    }

    /// Closes, and gives what came before the server's answer, which must be 1000.
    pub fn leave(mut self) -> Vec<Message> {
        let mut before: Vec<_> = self.early.drain(..).collect();
        self.close(1000);
        loop {
            match self.next_frame() {
                Message::Close(close) => {
                    assert_eq!(close.map(|close| close.code.into()), Some(1000));
                    self.expect_end();
                    return before;
                }
                message => before.push(message),
            }
        }
    }

    /// A ping must be next. tungstenite answers it when it is next asked to send or receive.
    pub fn expect_ping(&mut self) {
        match self.next_frame() {
            Message::Ping(payload) => assert!(payload.is_empty()),
            message => panic!("a ping was expected: {}", shown(&message)),
        }
    }

    /// The TLS connection below.
    pub fn stream(&mut self) -> &mut Tls {
        self.socket.get_mut()
    }

    /// The TLS connection below, for good. What tungstenite has read ahead is lost.
    #[must_use]
    pub fn into_stream(self) -> Tls {
        self.socket.into_inner()
    }

    /// Ends the connection as a process that is killed does: without a word, with unread data if
    /// there is any.
    pub fn vanish(self) {
        let _ = self.socket.get_ref().sock.shutdown(Shutdown::Both);
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.socket.get_ref().sock);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A header of this pair. The names need no escapes.
#[must_use]
pub fn header(uid: &str, channel: &str) -> String {
    format!(r#"{{"uid":"{uid}","channel":"{channel}"}}"#)
}

/// A request for a WebSocket at this path that offers these subprotocols, one line for each text.
#[must_use]
pub fn offer(path: &str, protocols: &[&str]) -> Request {
    let mut request = format!("wss://localhost{path}")
        .into_client_request()
        .unwrap();
    for protocol in protocols {
        let value = HeaderValue::from_str(protocol).unwrap();
        request
            .headers_mut()
            .append("Sec-WebSocket-Protocol", value);
    }
    request
}

/// The longest time that the end of a connection may take once there is nothing left to say: less
/// than any timeout of the server's.
const AT_ONCE: Duration = Duration::from_secs(4);

fn shown(message: &Message) -> String {
    let text = format!("{message:?}");
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], message.len()),
        None => text,
    }
}
