//! The client's side of the protocol as a state machine: events in, actions out.
//!
//! A [`Client`] is one uid on one channel, for as long as its user wants, over as many connections as it takes. Like
//! the [`Node`](crate::Node) it decides everything and does nothing: whoever holds it dials, reads, writes and keeps
//! time. The same configuration, seed and events give the same actions.
//!
//! # The run loop
//!
//! ```
//! use mles_sansio::client::{Client, ClientAction, ClientConfig, ClientEvent};
//! use mles_sansio::{ConnId, Frame, Instant, Now, Seed};
//!
//! let mut client = Client::new(ClientConfig::new("alice", "example"), &Seed([7; 32])).unwrap();
//! let now = Now { mono: Instant::from_micros(0), unix: 1_700_000_000_000_000 };
//! assert_eq!(client.next_timeout(), Some(now.mono)); // it begins with a timeout
//!
//! let conn = ConnId(0);
//! let (mut written, mut read) = (Vec::new(), Vec::new());
//! for event in [
//!     ClientEvent::Timeout,
//!     ClientEvent::Send { frame: Frame::text("Hello Bob!") },
//!     ClientEvent::Opened { conn },
//!     ClientEvent::Written { conn },
//!     ClientEvent::Frame { conn, frame: Frame::text("Hello Alice!") },
//! ] {
//!     for action in client.handle(now, event) {
//!         match action {
//!             ClientAction::Dial { conn: dialed } => assert_eq!(dialed, conn), // TCP, TLS, upgrade
//!             ClientAction::Send { frame, .. } => written.push(frame),         // to the socket
//!             ClientAction::Deliver(delivery) => read.push(delivery.frame),    // to the user
//!             _ => {} // Close, Drop: the connection. Room, Refused, Notice: the user.
//!         }
//!     }
//! }
//! let header = Frame::text(r#"{"uid":"alice","channel":"example"}"#);
//! assert_eq!(written, [header, Frame::text("Hello Bob!")]);
//! assert_eq!(read, [Frame::text("Hello Alice!")]);
//! ```
//!
//! # What is promised
//!
//! - *Messages of others* come in the server's order and once, over all connections, as far as its history reaches;
//!   where it may not have, [`ClientNotice::Resumed`] says so before the first message behind the gap.
//! - *Own messages* are accepted at least once and in order. [`End::Done`] means that it is proved for all of them,
//!   [`End::Assumed`] that some are taken for accepted by their age alone.
//!
//! # What is known, and how
//!
//! Nothing in the protocol acknowledges a message or a join, or marks the end of a replay. Three things are certain:
//! a close reply of 1000 shows that everything before the close frame was accepted, for frames are processed in
//! order; what is in the history was accepted, and so was all that the same client sent before; and what a
//! connection brings is a prefix of the stream (L2.7).
//!
//! **Recognising a replay.** After a reconnect the server sends its history, own messages included. The client
//! remembers digests of the newest [`ClientConfig::remember`] frames and takes for known what continues the same
//! sequence, not what was merely seen some time: in the order of the history everything behind the newest known
//! frame is new, even if it repeats what was said before. A set of digests without order would take a new "ok" for
//! an old one that the history has long lost. Where payloads repeat so regularly that it can't be told where the
//! replay begins, as much as possible is taken for known.
//!
//! **The end of a replay** is taken to be the first quiet [`ClientConfig::quiet`] after a frame of it, unless known
//! frames are still to come; if there is no frame at all, it is [`ClientConfig::first_frame`] after the join, which
//! is longer than a server asks an old session whether it lives; and at the latest
//! [`ClientConfig::replay_most`]. Only two things wait for it: messages whose acceptance is in doubt, and what is
//! sent after them. Nothing is held back from the user.
//!
//! **Own messages** are kept until they are known to be accepted: by a close reply; by being in a replay, which
//! vouches for all that were sent before them; or because the connection they were written to has lived for
//! [`ClientConfig::settle`] after that. The last is an inference, from this rule for runtimes: *a connection whose
//! written bytes are not acknowledged in less than `settle` is reported as lost* (`TCP_USER_TIMEOUT`). Messages not
//! known to be accepted when a connection ends are sent again when the next replay was without them. If the history
//! has meanwhile lost them, others get them twice: repeated, never lost.
//!
//! **Pings** are not sent, although a pong would tell something: the public server distributes and stores them (M2.1).
//!
//! # When it ends
//!
//! Connections that end are replaced, with a delay that doubles from [`ClientConfig::backoff_first`], as X2 of the
//! specification says. The delay before try `n` (from 0) is `d / 2 + x % (d / 2 + 1)`
//! microseconds, where `d` is the doubled delay and `x` the next block of the label `client backoff`
//! ([`Seed::block`]). A 4002 is final, unless an own session ended less than [`ClientConfig::rival`] ago: the server
//! may take that one for alive. After [`ClientEvent::Finish`] the client closes when everything is written, tries
//! again if the answer is not 1000, and gives up after three tries with [`End::Unproved`]: some servers just drop
//! the connection.

use alloc::collections::VecDeque;
use core::hash::Hasher;
use core::time::Duration;

use siphasher::sip::SipHasher24;

use crate::event::{ConnId, Name};
use crate::frame::{Frame, Kind};
use crate::header;
use crate::seed::Seed;
use crate::time::{Instant, Now, micros};
use crate::violation::Violation;

mod advice;
mod queue;
mod replay;
mod session;
mod trace;
mod vocabulary;

pub use vocabulary::{
    Age, ClientAction, ClientActions, ClientConfig, ClientEvent, ClientNotice, Delivery, End,
    Goodbye, Refusal,
};

use queue::Queue;
pub(crate) use queue::cost;
use session::Session;
use trace::Trace;

/// One uid on one channel, without its sockets. See the [module](self).
#[derive(Clone, Debug)]
pub struct Client {
    config: ClientConfig,
    seed: Seed,
    digest_key: [u8; 16],
    header: Frame,
    state: State,
    /// The next connection's name.
    next: u64,
    /// Failures since a connection has lasted.
    tries: u32,
    /// Delays drawn so far.
    draws: u64,
    /// Whether a connection was ever open.
    ever: bool,
    /// When the last own session ended that the server may take for alive.
    session_ended: Option<Instant>,
    /// What came from others.
    others: Trace,
    /// What was handed out of the queue at least once; numbered like the queue.
    own: Trace,
    queue: Queue,
    /// Own messages before this number are proved to be accepted, or counted as assumed.
    proved: u64,
    /// Own messages that were taken for accepted, and no proof has come since.
    assumed: u64,
    /// Somebody waits for room in the queue.
    waiting: bool,
    finishing: bool,
    /// Closes for the sake of an answer that did not bring it.
    unanswered: u32,
    /// Messages that are as long as this are left out.
    too_long: usize,
    out: VecDeque<ClientAction>,
}

/// What a client waits for.
#[derive(Clone, Debug)]
enum State {
    /// The next try.
    AwaitRetry { at: Instant },
    /// An open WebSocket.
    Dialing { conn: ConnId, deadline: Instant },
    /// Whatever comes on it.
    Open(Session),
    /// Nothing.
    Ended,
}

impl Client {
    /// A client that is about to dial. The seed is for delays and digests.
    ///
    /// # Errors
    ///
    /// What a server would find wrong with its header: an empty name, one with NUL, or names that are too long.
    pub fn new(config: ClientConfig, seed: &Seed) -> Result<Self, Violation> {
        let header = header::compose(&config.uid, &config.channel, config.key.as_ref());
        header::parse(&header)?;
        let mut digest_key = [0; 16];
        for (index, half) in digest_key.chunks_mut(8).enumerate() {
            half.copy_from_slice(&seed.block("client digest", index as u64).to_le_bytes());
        }
        Ok(Self {
            config,
            seed: *seed,
            digest_key,
            header,
            state: State::AwaitRetry {
                at: Instant::default(),
            },
            next: 0,
            tries: 0,
            draws: 0,
            ever: false,
            session_ended: None,
            others: Trace::new(),
            own: Trace::new(),
            queue: Queue::new(),
            proved: 0,
            assumed: 0,
            waiting: false,
            finishing: false,
            unanswered: 0,
            too_long: usize::MAX,
            out: VecDeque::new(),
        })
    }

    /// Takes one event and says what to do about it. Events of connections that are gone have no effect.
    pub fn handle(&mut self, now: Now, event: ClientEvent) -> ClientActions<'_> {
        debug_assert!(
            self.out.is_empty(),
            "actions of the last event were not taken"
        );
        let now = now.mono;
        match event {
            ClientEvent::Opened { conn } => self.opened(now, conn),
            ClientEvent::Failed { conn, lasting } => self.failed(now, conn, lasting),
            ClientEvent::Frame { conn, frame } => self.frame(now, conn, frame),
            ClientEvent::Written { conn } => self.written(now, conn),
            ClientEvent::Closed { conn, how } => {
                if self.session(conn).is_some() {
                    self.closed(now, how);
                }
            }
            ClientEvent::Send { frame } => self.send(frame),
            ClientEvent::Finish => self.finishing = true,
            ClientEvent::Timeout => self.timeout(now),
        }
        self.proceed(now);
        ClientActions(&mut self.out)
    }

    /// When the next [`ClientEvent::Timeout`] is due; it may be in the past.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::AwaitRetry { at } => Some(*at),
            State::Dialing { deadline, .. } => Some(*deadline),
            State::Open(session) => session.next_timeout(&self.config, &self.others),
            State::Ended => None,
        }
    }

    /// Whether this message would be taken now.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn accepts(&self, frame: &Frame) -> Result<(), Refusal> {
        let (messages, bytes) = (self.queue.len(), self.queue.bytes());
        if self.finishing || matches!(self.state, State::Ended) {
            Err(Refusal::Ended)
        } else if cost(frame) > self.config.queue_bytes || self.config.queue_messages == 0 {
            Err(Refusal::TooBig)
        } else if messages >= self.config.queue_messages
            || bytes + cost(frame) > self.config.queue_bytes
        {
            Err(Refusal::Full)
        } else {
            Ok(())
        }
    }

    /// Own messages that are not known to be accepted.
    #[must_use]
    pub fn unconfirmed(&self) -> u64 {
        self.queue.len() as u64
    }

    /// One that the server has refused goes on at that time, without messages that are as long as this.
    pub(crate) fn go_on(&mut self, at: Instant, too_long: usize) {
        self.state = State::AwaitRetry { at };
        self.too_long = too_long;
    }

    /// The longest payload that was handed out and is not known to be accepted.
    pub(crate) fn longest_in_doubt(&self) -> Option<usize> {
        let in_doubt = self.queue.first()..self.own.end();
        let frames = in_doubt.filter_map(|number| self.queue.get(number));
        let lengths = frames.map(|frame| frame.payload.len());
        lengths.filter(|length| *length < self.too_long).max()
    }

    /// Own messages that are known to be accepted, or are taken for it.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.queue.first()
    }

    /// The settings it was made with.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    fn emit(&mut self, action: ClientAction) {
        self.out.push_back(action);
    }

    fn notice(&mut self, notice: ClientNotice) {
        self.emit(ClientAction::Notice(notice));
    }

    fn send(&mut self, frame: Frame) {
        match self.accepts(&frame) {
            Ok(()) => self.queue.push(frame),
            Err(why) => {
                self.waiting |= why == Refusal::Full;
                self.emit(ClientAction::Refused { frame, why });
            }
        }
    }

    fn timeout(&mut self, now: Instant) {
        match &self.state {
            State::AwaitRetry { at } if *at <= now => self.dial(now),
            State::Dialing { conn, deadline } if *deadline <= now => {
                let conn = *conn;
                self.emit(ClientAction::Drop { conn });
                self.failed(now, conn, false);
            }
            State::Open(_) => self.session_timeout(now),
            State::AwaitRetry { .. } | State::Dialing { .. } | State::Ended => {}
        }
    }

    fn dial(&mut self, now: Instant) {
        let conn = ConnId(self.next);
        self.next += 1;
        self.state = State::Dialing {
            conn,
            deadline: now + self.config.dial_timeout,
        };
        self.emit(ClientAction::Dial { conn });
    }

    fn failed(&mut self, now: Instant, conn: ConnId, lasting: bool) {
        if !matches!(self.state, State::Dialing { conn: dialed, .. } if dialed == conn) {
            return;
        }
        if lasting || !(self.ever || self.config.patient) {
            return self.end(End::Unreachable);
        }
        self.retry(now, None);
    }

    /// A connection has ended: what that means, and what to do next.
    fn closed(&mut self, now: Instant, how: Goodbye) {
        let State::Open(session) = &self.state else {
            return;
        };
        let (opened, closing) = (session.opened, session.closing.is_some());
        let (given, handed) = (session.given, session.handed);
        if closing && how == Goodbye::Close(1000) {
            self.queue.confirm(handed);
            if self.proved >= given {
                self.proved = handed;
            }
            self.unanswered = 0;
            if self.finishing {
                return self.done();
            }
            self.tries = 0;
            return self.dial(now); // A checkpoint.
        }
        if closing {
            self.unanswered += 1;
        }
        if now.since(opened) >= self.config.lasting {
            self.tries = 0;
        }
        if let Goodbye::Close(code) = how {
            let rival = |ended| now.since(ended) < self.config.rival;
            let again = match code {
                4002 => self.session_ended.is_some_and(rival),
                _ => advice::again(code),
            };
            if !again {
                return self.end(End::Refused { code });
            }
        }
        if how != Goodbye::Close(4002) {
            self.session_ended = Some(now);
        }
        if self.finishing && self.unanswered >= UNANSWERED && self.queue.len() > 0 {
            let messages = self.unconfirmed();
            return self.end(End::Unproved { messages });
        }
        self.retry(now, Some(how));
    }

    /// Waits before the next try, longer each time, and each client another time.
    fn retry(&mut self, now: Instant, after: Option<Goodbye>) {
        let most = micros(self.config.backoff_most);
        let whole = micros(self.config.backoff_first).saturating_mul(1 << self.tries.min(30));
        let half = whole.min(most) / 2;
        let draw = self.seed.block("client backoff", self.draws);
        self.draws += 1;
        self.tries += 1;
        let delay = Duration::from_micros(half + draw % (half + 1));
        self.state = State::AwaitRetry { at: now + delay };
        self.notice(ClientNotice::Waiting { after, delay });
    }

    /// Everything that was sent is confirmed: by proof, or not.
    fn done(&mut self) {
        let messages = self.assumed;
        self.end(if messages == 0 {
            End::Done
        } else {
            End::Assumed { messages }
        });
    }

    fn end(&mut self, end: End) {
        self.state = State::Ended;
        self.notice(ClientNotice::Ended(end));
    }

    /// What follows from what has changed: room, frames to hand out, an end.
    fn proceed(&mut self, now: Instant) {
        if self.waiting
            && self.queue.len() <= self.config.queue_messages / 2
            && self.queue.bytes() <= self.config.queue_bytes / 2
        {
            self.waiting = false;
            self.emit(ClientAction::Room);
        }
        match &self.state {
            State::Open(_) => self.hand_out(now),
            State::AwaitRetry { .. } | State::Dialing { .. } if self.finishing => {
                // What was only assumed may show in the next replay.
                if self.queue.len() == 0 && self.proved == self.queue.first() {
                    if let State::Dialing { conn, .. } = self.state {
                        self.emit(ClientAction::Drop { conn });
                    }
                    self.done();
                }
            }
            State::AwaitRetry { .. } | State::Dialing { .. } | State::Ended => {}
        }
    }

    /// The uid that a frame says has joined this channel.
    fn joined(&self, frame: &Frame) -> Option<Name> {
        header::announced(frame, &self.config.channel)
    }
}

/// What a frame is recognised by. The key is secret, so that nobody can make two frames that look alike.
pub(crate) fn digest(key: &[u8; 16], frame: &Frame) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write_u8(u8::from(frame.kind == Kind::Binary));
    hasher.write(&frame.payload);
    hasher.finish()
}

/// Closes without an answer after which a client that was asked to finish gives up.
const UNANSWERED: u32 = 3;
