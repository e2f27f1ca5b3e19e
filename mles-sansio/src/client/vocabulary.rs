//! What a client is told, and what it asks for.

use alloc::collections::VecDeque;
use core::fmt;
use core::time::Duration;

use crate::auth::Key;
use crate::event::{ConnId, Name};
use crate::frame::Frame;

/// What a [`Client`](super::Client) is told once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientConfig {
    /// Who it is.
    pub uid: Name,
    /// The channel it is on.
    pub channel: Name,
    /// The shared key (A1.1); without one no `auth` is sent (A2.3).
    pub key: Option<Key>,
    /// Messages that may wait until they are known to be accepted; with more, sending is refused.
    pub queue_messages: usize,
    /// Bytes that they may hold.
    pub queue_bytes: usize,
    /// Frames whose digests are remembered, to recognise them in a replay: more than the server keeps of a channel.
    pub remember: usize,
    /// Whether a full queue is emptied by a close and a new connection, which is certain and quick, instead of
    /// waiting for `settle`. Each costs the others of the channel an announcement.
    pub checkpoint: bool,
    /// Whether to go on if the very first connections fail. Without it, who misspells an address is told at once.
    pub patient: bool,
    /// Time to get from a dial to an open WebSocket.
    pub dial_timeout: Duration,
    /// The first delay before a new connection; each further one is twice as long …
    pub backoff_first: Duration,
    /// … up to this. What is waited is between the half and the whole of it.
    pub backoff_most: Duration,
    /// A connection that lived so long brings the first delay back.
    pub lasting: Duration,
    /// A message is taken for accepted when its connection has lived so long after it was written. The runtime
    /// reports a connection as lost if written bytes are not acknowledged in less than that.
    pub settle: Duration,
    /// A quiet time after frames of a replay that means that it is over.
    pub quiet: Duration,
    /// The time in which the first frame of a replay comes, if there is any, on a channel that it has been on before:
    /// the server may first ask whether the old session lives (J1.2).
    pub first_frame: Duration,
    /// The time after which a replay is taken for over in any case; a server gives it up then (L3.7).
    pub replay_most: Duration,
    /// Time for the server to answer a close frame.
    pub close_timeout: Duration,
    /// How long after an own session a server may still think that it lives, and refuse the next one (J1.4). Servers
    /// that do not ask find out by silence (K1.2).
    pub rival: Duration,
}

impl ClientConfig {
    /// The defaults, for this uid and channel, without a key.
    #[must_use]
    pub fn new(uid: impl Into<Name>, channel: impl Into<Name>) -> Self {
        Self {
            uid: uid.into(),
            channel: channel.into(),
            key: None,
            queue_messages: 16_384,
            queue_bytes: 32 << 20,
            remember: 1024,
            checkpoint: false,
            patient: false,
            dial_timeout: Duration::from_secs(20),
            backoff_first: Duration::from_millis(500),
            backoff_most: Duration::from_secs(30),
            lasting: Duration::from_secs(30),
            settle: Duration::from_secs(30),
            quiet: Duration::from_secs(2),
            first_frame: Duration::from_secs(7),
            replay_most: Duration::from_secs(60),
            close_timeout: Duration::from_secs(15),
            rival: Duration::from_secs(120),
        }
    }
}

/// How a connection of a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goodbye {
    /// With a close frame of the server's of this code; 1005 if it had none.
    Close(u16),
    /// Without: end of stream, reset, time-out, TLS error, a server that breaks RFC 6455.
    Lost,
}

/// Something that happened to a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientEvent {
    /// The WebSocket that was dialed is open, with the subprotocol agreed on.
    Opened {
        /// Which.
        conn: ConnId,
    },
    /// It could not be opened.
    Failed {
        /// Which.
        conn: ConnId,
        /// Whether trying again makes no sense: a certificate that is not trusted, a server that is none of Mles's.
        lasting: bool,
    },
    /// A complete message has arrived.
    Frame {
        /// On which connection.
        conn: ConnId,
        /// The message; text is known to be UTF-8.
        frame: Frame,
    },
    /// Everything that [`ClientAction::Send`] has given for this connection so far has been written to the transport.
    Written {
        /// Which.
        conn: ConnId,
    },
    /// The connection has ended. The runtime has forgotten it, or will when it has answered the close frame.
    Closed {
        /// Which.
        conn: ConnId,
        /// How.
        how: Goodbye,
    },
    /// The user sends a message.
    Send {
        /// It.
        frame: Frame,
    },
    /// The user sends nothing more: the client ends when everything is known to be accepted.
    Finish,
    /// [`Client::next_timeout`](super::Client::next_timeout) is due.
    Timeout,
}

/// One thing to do for a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientAction {
    /// Open a connection: TCP, TLS, the upgrade with the subprotocol; report `Opened` or `Failed`.
    Dial {
        /// Its name from now on.
        conn: ConnId,
    },
    /// Write a frame; report `Written` when all that was given is.
    Send {
        /// Where.
        conn: ConnId,
        /// What.
        frame: Frame,
    },
    /// Send a close frame of code 1000 behind what was given, read on, and report `Closed`.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// Drop the connection, or give the dial up; nothing needs to be reported of it.
    Drop {
        /// Which.
        conn: ConnId,
    },
    /// For the user: something has arrived.
    Deliver(Delivery),
    /// For the user: a message was not taken.
    Refused {
        /// It.
        frame: Frame,
        /// Why.
        why: Refusal,
    },
    /// For the user: after a refusal because the queue was full, half of it is empty.
    Room,
    /// For the user, or a log.
    Notice(ClientNotice),
}

/// What has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// The frame.
    pub frame: Frame,
    /// Whether it is from the history.
    pub age: Age,
    /// The uid that it says has joined, if it is an announcement, or looks like one (J3.9).
    pub joined: Option<Name>,
}

/// Whether a frame is from the history. Nothing marks the end of a replay, so a frame that comes soon after a join
/// may have been sent after it all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Age {
    /// It came with the replay.
    History,
    /// It came when the replay was over.
    Live,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The queue is full: send it again after [`ClientAction::Room`].
    Full,
    /// It is larger than the whole queue may be.
    TooBig,
    /// The client has ended, or was asked to.
    Ended,
}

/// What a user should know of a client's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientNotice {
    /// A connection is open and the header sent. Whether the server accepts it shows by what follows.
    Connected,
    /// There is no connection; the next one is tried after this time.
    Waiting {
        /// How the last one ended; `None` if it could not be opened.
        after: Option<Goodbye>,
        /// How long.
        delay: Duration,
    },
    /// After a new connection, before the first message that is new: what is known of the time between.
    Resumed {
        /// Whether messages may be missing here, because the history no longer held them.
        gap_possible: bool,
    },
    /// The replay is over: what comes is live.
    CaughtUp {
        /// Own messages that were not in the history and are sent again.
        resent: u64,
    },
    /// The client has ended, for good.
    Ended(End),
}

/// Why a client has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It was asked to, and the server has accepted everything that was sent.
    Done,
    /// It was asked to, but the server confirms nothing.
    Unproved {
        /// Messages that it may not have.
        messages: u64,
    },
    /// It was asked to, and everything was accepted as far as it is known: the connection to which these messages
    /// were written lived on for long enough, but was lost, and the history no longer tells.
    Assumed {
        /// How many.
        messages: u64,
    },
    /// The server has closed the connection for a reason that stays.
    Refused {
        /// The close code.
        code: u16,
    },
    /// The connection can't be opened: as the last `Failed` says.
    Unreachable,
}

impl fmt::Display for End {
    /// One sentence that says what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("everything that was sent is accepted"),
            Self::Unproved { messages } => write!(
                f,
                "the server does not answer the close frame: {messages} messages may not have reached it"
            ),
            Self::Assumed { messages } => write!(
                f,
                "{messages} messages have most likely been accepted, but a lost connection leaves no proof of it"
            ),
            Self::Refused { code } => f.write_str(super::advice::sentence(*code)),
            Self::Unreachable => f.write_str("the server can't be reached: check its address"),
        }
    }
}

/// The actions of one event, in order; see [`Actions`](crate::Actions).
#[derive(Debug)]
#[must_use = "actions that are not executed are lost"]
pub struct ClientActions<'a>(pub(super) &'a mut VecDeque<ClientAction>);

impl Iterator for ClientActions<'_> {
    type Item = ClientAction;

    fn next(&mut self) -> Option<ClientAction> {
        self.0.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for ClientActions<'_> {}
