//! Messages, as sessions hear them.

use std::fmt;

use serde_json::Value;

use crate::transcript::shown;

/// A message, reassembled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether it is text.
    pub text: bool,
    /// What it carries.
    pub payload: Vec<u8>,
    /// In how many WebSocket frames it came.
    pub frames: usize,
}

impl Message {
    /// A text message in one frame.
    #[must_use]
    pub fn text(payload: &str) -> Self {
        Self {
            text: true,
            payload: payload.into(),
            frames: 1,
        }
    }

    /// A binary message in one frame.
    #[must_use]
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self {
            text: false,
            payload: payload.into(),
            frames: 1,
        }
    }

    /// The announcement of a uid on a channel: the canonical form (J3.1, J3.2).
    #[must_use]
    pub fn announcement(uid: &str, channel: &str) -> Self {
        let (uid, channel) = (escaped(uid), escaped(channel));
        Self::text(&format!(r#"{{"uid":"{uid}","channel":"{channel}"}}"#))
    }

    /// Whether type and payload are the same, in however many frames it came.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        (self.text, &self.payload) == (other.text, &other.payload)
    }

    /// Whether it reads as an announcement on this channel, in whatever form: an object with a uid and this channel.
    #[must_use]
    pub fn announces_on(&self, channel: &str) -> bool {
        self.text
            && serde_json::from_slice::<Value>(&self.payload)
                .is_ok_and(|value| value["uid"].is_string() && value["channel"] == channel)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.text { "text" } else { "binary" };
        write!(f, "{kind} {}", shown(&self.payload))?;
        match self.frames {
            1 => Ok(()),
            count => write!(f, " (in {count} frames)"),
        }
    }
}

/// Several messages as a person can read them.
#[must_use]
pub fn listed(messages: &[Message]) -> String {
    const MOST: usize = 8;
    if messages.is_empty() {
        return "nothing".into();
    }
    let shown = messages.iter().take(MOST).map(Message::to_string);
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if messages.len() > MOST {
        text.push_str(&format!(" … ({} messages)", messages.len()));
    }
    text
}

/// A name as it stands in the canonical form (J3.2).
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\0'..' ' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => text.push(other),
        }
    }
    text
}
