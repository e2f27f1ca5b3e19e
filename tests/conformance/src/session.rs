//! One end of a WebSocket: what a case has it say, and what it hears.

mod message;

use std::fmt;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::transcript::{Way, shown, shown_frame};
use crate::wire::{Close, Decoder, End, Frame, Opcode, Piece, Read};
use crate::{Judged, Stop};

pub use message::{Message, listed};

/// What a session hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message.
    Message(Message),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame.
    Close(Close),
    /// The end of the connection.
    End(End),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) => message.fmt(f),
            Self::Ping(payload) => write!(f, "ping {}", shown(payload)),
            Self::Pong(payload) => write!(f, "pong {}", shown(payload)),
            Self::Close(close) => close.fmt(f),
            Self::End(end) => end.fmt(f),
        }
    }
}

/// One end of a WebSocket.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    decoder: Decoder,
    /// Whether this is the client's end, whose frames are masked.
    is_client: bool,
    channel: String,
    /// Whether pings are answered as soon as they are heard. They are, unless a case wants otherwise.
    pub answers_pings: bool,
    /// Whether announcements are heard. If not, everything that reads as an announcement on the session's channel is
    /// passed over: most cases are not about it.
    pub hears_announcements: bool,
    /// What has come of a fragmented message.
    unfinished: Option<(bool, Vec<u8>, usize)>,
    ended: Option<End>,
    /// Whether a close frame has come.
    is_closed: bool,
    /// After how long a silence the other end takes this one for dead (K1.2), if it does.
    pub(crate) dead_after: Option<Duration>,
    /// When something was sent for the last time.
    spoke: Instant,
    /// How long nothing was sent at most.
    silence: Duration,
    /// When the latest frame was read.
    heard: Instant,
}

/// The longest frame that is taken from an implementation.
const FRAME_MAX: u64 = 1 << 30;

impl Session {
    pub(crate) fn new(
        connection: Connection,
        early: &[u8],
        is_client: bool,
        channel: &str,
    ) -> Self {
        let mut decoder = Decoder::new(FRAME_MAX);
        decoder.push(early);
        Self {
            connection,
            decoder,
            is_client,
            channel: channel.to_owned(),
            answers_pings: true,
            hears_announcements: false,
            unfinished: None,
            ended: None,
            is_closed: false,
            dead_after: None,
            spoke: Instant::now(),
            silence: Duration::ZERO,
            heard: Instant::now(),
        }
    }

    /// Whose session it is.
    #[must_use]
    pub fn who(&self) -> &str {
        &self.connection.who
    }

    /// The same, and announcements are heard.
    #[must_use]
    pub fn hearing_announcements(mut self) -> Self {
        self.hears_announcements = true;
        self
    }

    /// The same, and pings are not answered.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.answers_pings = false;
        self
    }

    /// Takes the session for one on another channel, as to what reads as an announcement.
    pub fn is_on(&mut self, channel: &str) {
        self.channel = channel.to_owned();
    }

    /// How long something that has to happen at once may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.connection.patience
    }

    /// When the latest frame was read.
    #[must_use]
    pub fn heard_at(&self) -> Instant {
        self.heard
    }

    /// What has to happen at once may take as long as this from now on.
    #[must_use]
    pub fn patient_for(mut self, time: Duration) -> Self {
        self.connection.patience = time;
        self
    }

    /// Whether a close frame, or the end of the connection, has been heard.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.is_some() || self.is_closed
    }

    /// Whether the other end has gone, as far as it shows without reading: nothing can be sent to it any more.
    #[must_use]
    pub fn is_gone(&mut self) -> bool {
        const SOON: Duration = Duration::from_millis(100);
        let bytes = Frame::pong("").encode();
        let sent = self.connection.stream.write(&bytes, SOON);
        matches!(sent, Err(Some(_)))
    }

    /// Lets the end here take much at a time again, where it took little that nobody read.
    pub fn widen(&self) {
        const WIDE: usize = 1 << 20;
        let socket = socket2::SockRef::from(self.connection.stream.tcp());
        let _ = socket.set_recv_buffer_size(WIDE);
    }

    /// Sends a frame; masked if this is the client's end, and the frame says nothing else.
    ///
    /// # Errors
    /// The other end does not read.
    pub fn send(&mut self, frame: &Frame) -> Judged {
        let mut bytes = frame.clone();
        bytes.masked &= self.is_client;
        let told = shown_frame(frame);
        self.speaks();
        self.connection.send(&bytes.encode(), &told)
    }

    /// Sends frames in one write.
    ///
    /// # Errors
    /// The other end does not read.
    pub fn send_together(&mut self, frames: &[Frame]) -> Judged {
        let mut bytes = Vec::new();
        let mut told = Vec::new();
        self.speaks();
        for frame in frames {
            let mut sent = frame.clone();
            sent.masked &= self.is_client;
            bytes.extend(sent.encode());
            told.push(shown_frame(frame));
        }
        self.connection
            .send(&bytes, &format!("{} (in one write)", told.join(", ")))
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// The other end does not read.
    pub fn say(&mut self, text: &str) -> Judged {
        self.send(&Frame::text(text))
    }

    /// Sends these bytes, whatever they are.
    ///
    /// # Errors
    /// The other end does not read.
    pub fn send_bytes(&mut self, bytes: &[u8], what: &str) -> Judged {
        self.speaks();
        self.connection.send(bytes, what)
    }

    /// The same in this time.
    ///
    /// # Errors
    /// The other end does not read all of it in this time.
    pub fn send_bytes_within(&mut self, bytes: &[u8], what: &str, within: Duration) -> Judged {
        self.speaks();
        self.connection.send_within(bytes, what, within)
    }

    /// What comes next, or nothing in this time.
    ///
    /// # Errors
    /// What comes is no WebSocket frame that the other end may send.
    pub fn next(&mut self, within: Duration) -> Judged<Option<Event>> {
        let deadline = Instant::now() + within;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.decoder.next_piece() {
                Ok(Some(Piece::Frame(frame))) => {
                    self.heard = Instant::now();
                    if let Some(event) = self.take(frame)? {
                        return Ok(Some(event));
                    }
                    continue;
                }
                Ok(None) => {}
                Ok(Some(Piece::Part { .. })) => return Err(not_rfc6455("a frame above 1 GiB")),
                Err(fault) => return Err(not_rfc6455(fault.0)),
            }
            if let Some(end) = &self.ended {
                return Ok(Some(Event::End(end.clone())));
            }
            match self.connection.stream.read(&mut buffer, left) {
                Read::Bytes(count) => self.decoder.push(&buffer[..count]),
                Read::Nothing if left.is_zero() => return Ok(None),
                Read::Nothing => {}
                Read::End(end) => {
                    self.note(&end.to_string());
                    self.ended = Some(end);
                }
            }
        }
    }

    /// What comes next but pings, or nothing in this time.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn next_but_pings(&mut self, within: Duration) -> Judged<Option<Event>> {
        let deadline = Instant::now() + within;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now()))? {
                Some(Event::Ping(_)) => {}
                other => return Ok(other),
            }
        }
    }

    /// Something is sent.
    fn speaks(&mut self) {
        self.silence = self.silence.max(self.spoke.elapsed());
        self.spoke = Instant::now();
    }

    /// Goes on only if a session that means to answer pings was not closed because the judge did not get to it.
    fn is_for_something_else(&self, close: &Close) -> Judged {
        let silence = self.spoke.elapsed().max(self.silence);
        let too_long = self.dead_after.filter(|time| silence >= *time * 9 / 10);
        match too_long {
            Some(time) if self.answers_pings && close.code == Some(4005) => {
                Err(Stop::Skip(format!(
                    "{} was closed for a silence of {:.1} s: what the case does takes longer than that here (ping-interval)",
                    self.who(),
                    time.as_secs_f32()
                )))
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, frame: Frame) -> Judged<Option<Event>> {
        let transcript = self.connection.transcript.clone();
        transcript.add(&self.connection.who, Way::Came, shown_frame(&frame));
        if frame.masked == self.is_client {
            let what = if frame.masked {
                "a masked frame"
            } else {
                "a frame without a mask"
            };
            return Err(not_rfc6455(what));
        }
        if frame.reserved != 0 {
            return Err(not_rfc6455("a frame with reserved bits set"));
        }
        if frame.opcode.is_control() && (!frame.fin || frame.payload.len() > 125) {
            return Err(not_rfc6455(
                "a control frame that is fragmented or too long",
            ));
        }
        Ok(match frame.opcode {
            Opcode::PING => {
                if self.answers_pings {
                    self.send(&Frame::pong(frame.payload.clone()))?;
                }
                Some(Event::Ping(frame.payload))
            }
            Opcode::PONG => Some(Event::Pong(frame.payload)),
            Opcode::CLOSE => {
                self.is_closed = true;
                let close = frame.as_close();
                self.is_for_something_else(&close)?;
                Some(Event::Close(close))
            }
            Opcode::TEXT | Opcode::BINARY | Opcode::CONTINUATION => {
                let begun = self.unfinished.take();
                let (text, mut payload, frames) = match (begun, frame.opcode) {
                    (None, Opcode::CONTINUATION) => {
                        return Err(not_rfc6455("a continuation of nothing"));
                    }
                    (Some(begun), Opcode::CONTINUATION) => begun,
                    (Some(_), _) => {
                        return Err(not_rfc6455("a new message within a fragmented one"));
                    }
                    (None, opcode) => (opcode == Opcode::TEXT, Vec::new(), 0),
                };
                payload.extend(frame.payload);
                if !frame.fin {
                    self.unfinished = Some((text, payload, frames + 1));
                    return Ok(None);
                }
                if text && std::str::from_utf8(&payload).is_err() {
                    return Err(not_rfc6455("a text message that is not UTF-8"));
                }
                let message = Message {
                    text,
                    payload,
                    frames: frames + 1,
                };
                if !self.hears_announcements && message.announces_on(&self.channel) {
                    return Ok(None);
                }
                Some(Event::Message(message))
            }
            other => return Err(not_rfc6455(&format!("a frame with {other}"))),
        })
    }

    /// The next message. Pings and pongs are passed over.
    ///
    /// # Errors
    /// What comes instead, or that nothing comes in time.
    pub fn message(&mut self, expected: &str) -> Judged<Message> {
        let deadline = Instant::now() + self.patience();
        let expected = || format!("{} receives {expected}", self.connection.who);
        let expected = expected();
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now()))? {
                Some(Event::Message(message)) => return Ok(message),
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                Some(other) => return Err(Stop::fail(expected, other.to_string())),
                None => return Err(Stop::fail(expected, self.nothing())),
            }
        }
    }

    /// The next message is this text.
    ///
    /// # Errors
    /// It is not.
    pub fn hears(&mut self, text: &str) -> Judged {
        self.hears_message(&Message::text(text))
    }

    /// The next message is this one.
    ///
    /// # Errors
    /// It is not.
    pub fn hears_message(&mut self, message: &Message) -> Judged {
        let expected = message.to_string();
        let came = self.message(&expected)?;
        if came.equals(message) {
            return Ok(());
        }
        let expected = format!("{} receives {expected}", self.who());
        Err(Stop::fail(expected, came.to_string()))
    }

    /// The next messages are these.
    ///
    /// # Errors
    /// They are not.
    pub fn hears_all(&mut self, messages: &[Message]) -> Judged {
        for message in messages {
            self.hears_message(message)?;
        }
        Ok(())
    }

    /// What comes before this text.
    ///
    /// # Errors
    /// The text does not come in time.
    pub fn until(&mut self, marker: &str) -> Judged<Vec<Message>> {
        let mut before = Vec::new();
        loop {
            let message = self.message(&format!("text {marker:?} at last"))?;
            if message.equals(&Message::text(marker)) {
                return Ok(before);
            }
            before.push(message);
        }
    }

    /// Waits for a pong with this payload, and gives the messages that came before.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn pong(&mut self, payload: &[u8]) -> Judged<Vec<Message>> {
        let deadline = Instant::now() + self.patience();
        let expected = format!("{} receives pong {}", self.who(), shown(payload));
        let (mut before, mut another) = (Vec::new(), None);
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now()))? {
                Some(Event::Pong(came)) if came == payload => return Ok(before),
                // Anybody may send one that nothing has asked for (RFC 6455, 5.5.3).
                Some(Event::Pong(came)) => another = Some(came),
                Some(Event::Message(message)) => before.push(message),
                Some(Event::Ping(_)) => {}
                Some(other) => return Err(Stop::fail(expected, other.to_string())),
                None => {
                    let came = match another {
                        Some(other) => format!("pong {}, and no other", shown(&other)),
                        None => self.nothing(),
                    };
                    return Err(Stop::fail(expected, came));
                }
            }
        }
    }

    /// Waits for a ping.
    ///
    /// # Errors
    /// It does not come in this time.
    pub fn ping(&mut self, within: Duration) -> Judged {
        let deadline = Instant::now() + within;
        let expected = format!("{} receives a ping", self.who());
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now()))? {
                Some(Event::Ping(_)) => return Ok(()),
                Some(Event::Message(_) | Event::Pong(_)) => {}
                Some(other) => return Err(Stop::fail(expected, other.to_string())),
                None => {
                    let came = format!("none within {:.1} s", within.as_secs_f32());
                    return Err(Stop::fail(expected, came));
                }
            }
        }
    }

    /// Waits for a close frame with this code. What else comes before is passed over.
    ///
    /// # Errors
    /// Another code, the end of the connection without one, or nothing in time.
    pub fn closed(&mut self, code: u16) -> Judged<Close> {
        self.closed_within(code, self.patience())
    }

    /// The same in this time.
    ///
    /// # Errors
    /// As [`Self::closed`].
    pub fn closed_within(&mut self, code: u16, within: Duration) -> Judged<Close> {
        let expected = format!("{} is closed with {code}", self.who());
        let close = self.close_frame(within, &expected)?;
        match close.code == Some(code) {
            true => Ok(close),
            false => Err(Stop::fail(expected, close.to_string())),
        }
    }

    /// Waits for a close frame of any code.
    ///
    /// # Errors
    /// The connection ends without one, or nothing comes in time.
    pub fn close_frame(&mut self, within: Duration, expected: &str) -> Judged<Close> {
        let deadline = Instant::now() + within;
        let mut messages = 0_usize;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now()))? {
                Some(Event::Close(close)) => return Ok(close),
                Some(Event::Message(_)) => messages += 1,
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                Some(Event::End(end)) => {
                    return Err(Stop::fail(
                        expected,
                        format!("{end}, without a close frame"),
                    ));
                }
                None => {
                    let came = match messages {
                        0 => format!("nothing within {:.1} s", within.as_secs_f32()),
                        count => format!(
                            "{count} messages and no close frame within {:.1} s",
                            within.as_secs_f32()
                        ),
                    };
                    return Err(Stop::fail(expected, came));
                }
            }
        }
    }

    /// Waits for the end of the connection. A close frame before it is passed over, a message is not.
    ///
    /// # Errors
    /// A message comes, or no end in this time.
    pub fn ends(&mut self, within: Duration) -> Judged<End> {
        let deadline = Instant::now() + within;
        let expected = format!("{}'s connection ends", self.who());
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now()))? {
                Some(Event::End(end)) => return Ok(end),
                Some(Event::Message(message)) => {
                    return Err(Stop::fail(expected, message.to_string()));
                }
                Some(Event::Close(_) | Event::Ping(_) | Event::Pong(_)) => {}
                None => {
                    let came = format!("it is open after {:.1} s", within.as_secs_f32());
                    return Err(Stop::fail(expected, came));
                }
            }
        }
    }

    /// For this time, nothing comes but pings, and pongs that nothing has asked for.
    ///
    /// # Errors
    /// What comes.
    pub fn hears_nothing(&mut self, time: Duration) -> Judged {
        let deadline = Instant::now() + time;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now()))? {
                None => return Ok(()),
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                Some(other) => {
                    let expected = format!("{} receives nothing", self.who());
                    return Err(Stop::fail(expected, other.to_string()));
                }
            }
        }
    }

    /// Says goodbye, waits for the answer at most as long as patience goes, and ends the connection. What comes of it is
    /// of no interest.
    pub fn leave(mut self) {
        if self.send(&Frame::close(1000, "")).is_ok() {
            let _ = self.close_frame(self.patience(), "");
        }
        self.connection.stream.finish();
    }

    /// Ends the connection as a process that is killed does.
    pub fn vanish(self) {
        self.note("ends the connection without a close frame");
        self.connection.stream.cut();
    }

    /// The connection below.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Adds a line to the transcript.
    pub fn note(&self, what: &str) {
        let Connection {
            who, transcript, ..
        } = &self.connection;
        transcript.add(who, Way::Note, what);
    }

    fn nothing(&self) -> String {
        format!("nothing within {:.1} s", self.patience().as_secs_f32())
    }
}

fn not_rfc6455(what: &str) -> Stop {
    Stop::fail("frames that RFC 6455 allows", what)
}
