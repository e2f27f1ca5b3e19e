//! What is said on a link.

use crate::bench::random_digits;
use crate::session::Message;
use crate::wire::{Close, End};
use serde_json::{Value, json};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The greatest number that there is on a link (F1.2).
pub const NUMBER_MOST: u64 = (1 << 53) - 1;

/// The microseconds of a minute.
pub const MINUTE: u64 = 60_000_000;

/// 128 random bits as uids and nonces are written (O1.1, O1.2).
#[must_use]
pub fn random_uid() -> String {
    random_digits() + &random_digits()
}

/// Microseconds since 1970.
#[must_use]
pub fn clock() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = now.unwrap_or_default().as_micros();
    u64::try_from(micros).unwrap_or(u64::MAX)
}

/// What a handshake says (O1.2).
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Whose it is.
    pub uid: String,
    /// Any name.
    pub channel: String,
    /// What is proved by it; left out if there is none.
    pub auth: Option<String>,
    /// The nodes above.
    pub path: Vec<String>,
    /// The clock.
    pub ts: u64,
    /// The longest payload that is taken.
    pub max: u64,
    /// Whether only the reply is asked for (O1.10).
    pub probe: bool,
}

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            r#"{{"uid":"{}","channel":{}"#,
            self.uid,
            json!(self.channel)
        )?;
        if let Some(auth) = &self.auth {
            write!(f, r#","auth":"{auth}""#)?;
        }
        let (path, ts, max) = (json!(self.path), self.ts, self.max);
        write!(f, r#","peer":true,"path":{path},"ts":{ts},"max":{max}"#)?;
        if self.probe {
            f.write_str(r#","probe":true"#)?;
        }
        f.write_str("}")
    }
}

/// The name of a message on a link, and who has said it: its header (F1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The client.
    pub uid: String,
    /// The channel.
    pub channel: String,
    /// Where it was accepted.
    pub node: String,
    /// Its number.
    pub seq: u64,
    /// Its time.
    pub ts: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, seq, ts, .. } = self;
        let (uid, channel) = (json!(self.uid), json!(self.channel));
        write!(
            f,
            r#"{{"uid":{uid},"channel":{channel},"node":"{node}","seq":{seq},"ts":{ts}}}"#
        )
    }
}

/// What a frame on a link is (F1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message's header, with the payload that came behind it.
    Message,
    /// A path.
    Path,
    /// A path that turns the link.
    Turn,
    /// A leave, or a refusal.
    Leave,
    /// A join, or the reply to one.
    Join,
    /// The end of what the other lacked.
    Done,
    /// A handshake.
    Handshake,
}

/// A frame that has come on a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub head: Value,
    /// The same as it was written.
    pub text: String,
    /// What came behind the header of a message.
    pub payload: Option<Message>,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.payload {
            Some(payload) => write!(f, " + {payload}"),
            None => Ok(()),
        }
    }
}

impl Heard {
    /// The channel that it is about, or the empty text.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.head["channel"].as_str().unwrap_or_default()
    }

    /// Whether it is this about this channel.
    #[must_use]
    pub fn is(&self, kind: Kind, channel: &str) -> bool {
        self.kind == kind && self.channel() == channel
    }

    /// Whether it is a message with this text.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        let wanted = Message::text(text);
        self.payload
            .as_ref()
            .is_some_and(|payload| payload.equals(&wanted))
    }

    /// The number of a message, or 0.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.head["seq"].as_u64().unwrap_or_default()
    }

    /// The time of a message, or 0.
    #[must_use]
    pub fn ts(&self) -> u64 {
        self.head["ts"].as_u64().unwrap_or_default()
    }
}

/// Frames of a link as a person can read them.
#[must_use]
pub(crate) fn frames(heard: &[Heard]) -> String {
    match heard {
        [] => "nothing".into(),
        heard => {
            let shown: Vec<_> = heard.iter().take(8).map(Heard::to_string).collect();
            let more = if heard.len() > 8 { " …" } else { "" };
            format!("{}{more}", shown.join(", "))
        }
    }
}

/// What comes on a link.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A frame.
    Frame(Heard),
    /// A close frame.
    Close(Close),
    /// The end of the connection.
    End(End),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(heard) => heard.fmt(f),
            Self::Close(close) => close.fmt(f),
            Self::End(end) => end.fmt(f),
        }
    }
}
