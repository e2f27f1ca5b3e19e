//! The header frame and the announcement made of it: the only place that knows their syntax
//! (spec: H1, H2, H4, J3).

use alloc::vec::Vec;

use crate::auth::{self, Auth, Key};
use crate::event::Name;
use crate::frame::{Frame, Kind};
use crate::json::{self, Value};
use crate::violation::Violation;

/// The longest header frame, in bytes of payload (H2.1).
pub const HEADER_MAX: usize = 4096;

/// A client's first frame, well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who wants to join.
    pub uid: Name,
    /// What it wants to join.
    pub channel: Name,
    /// What it proves the shared key with.
    pub auth: Option<Auth>,
    /// Whether it is a peering handshake (H4.3).
    pub peer: bool,
}

/// Reads a header.
///
/// # Errors
///
/// The first rule of H1.11 that the frame breaks: size, kind, JSON, the types of the members,
/// what is missing, the names.
pub fn parse(frame: &Frame) -> Result<Header, Violation> {
    if frame.payload.len() > HEADER_MAX {
        return Err(Violation::HeaderTooBig); // H2.1
    }
    if frame.kind != Kind::Text {
        return Err(Violation::HeaderNotText); // H1.1
    }
    let text = core::str::from_utf8(&frame.payload).map_err(|_| Violation::HeaderNotJson)?;
    let (mut uid, mut channel, mut auth, mut peer) = (None, None, None, None);
    json::object(text, |name, value| {
        let known = if name.is("uid") {
            &mut uid
        } else if name.is("channel") {
            &mut channel
        } else if name.is("auth") {
            &mut auth
        } else if name.is("peer") {
            &mut peer
        } else {
            return; // H1.6: unknown members are ignored; H4.1: reserved ones too.
        };
        *known = Some(value);
    })?;
    let peer = match peer {
        Some(Value::Bool(peer)) => peer,
        Some(Value::Text(_) | Value::Other(_)) => return Err(Violation::HeaderWrongType), // H4.2
        None => false,
    };
    let (uid, channel, auth) = (string(uid)?, string(channel)?, string(auth)?);
    let (Some(uid), Some(channel)) = (uid, channel) else {
        return Err(Violation::HeaderMissingMember); // H1.3
    };
    Ok(Header {
        uid: name(uid)?,
        channel: name(channel)?,
        // What is no Unicode text is no hexadecimal number either: A1.4 refuses the empty string.
        auth: auth.map(|auth| Auth(auth.into_string().unwrap_or_default())),
        peer,
    })
}

fn string(value: Option<Value<'_>>) -> Result<Option<json::Text>, Violation> {
    match value {
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Other(_)) => Err(Violation::HeaderWrongType), // H1.3, H1.5
        None => Ok(None),
    }
}

fn name(text: json::Text) -> Result<Name, Violation> {
    let text = text.into_string().ok_or(Violation::HeaderBadName)?; // H1.9
    if text.is_empty() {
        Err(Violation::HeaderEmptyName) // H1.4
    } else if text.contains('\0') {
        Err(Violation::HeaderBadName) // H1.9
    } else {
        Ok(text.into())
    }
}

/// The announcement of a join, byte for byte the same on every server (J3.1).
#[must_use]
pub fn announcement(uid: &str, channel: &str) -> Frame {
    Frame::text(canonical(uid, channel))
}

/// The header of a client, with `auth` if there is a key (A1.2).
#[must_use]
pub fn compose(uid: &str, channel: &str, key: Option<&Key>) -> Frame {
    let auth = key.map(|key| alloc::format!("{:016x}", auth::hash(uid, channel, Some(key))));
    Frame::text(with_auth(uid, channel, auth.as_deref()))
}

/// Who has joined `channel`, if a frame says so: an announcement (J3.1), or, as older servers replay it, a header
/// with `auth`. Any member can send such a text (J3.9).
#[must_use]
pub fn announced(frame: &Frame, channel: &str) -> Option<Name> {
    if !frame.payload.starts_with(OPEN) {
        return None;
    }
    let header = parse(frame).ok()?;
    let auth = header.auth.as_ref().map(Auth::reveal);
    let same = frame.payload[..] == with_auth(&header.uid, &header.channel, auth)[..];
    (same && *header.channel == *channel).then_some(header.uid)
}

fn with_auth(uid: &str, channel: &str, auth: Option<&str>) -> Vec<u8> {
    let mut text = canonical(uid, channel);
    if let Some(auth) = auth {
        text.truncate(text.len() - CLOSE.len());
        text.extend_from_slice(AUTH);
        escape(auth, &mut text);
        text.extend_from_slice(CLOSE);
    }
    text
}

/// Whether a frame is the announcement of its own sender on its own channel, whoever made it (J3.8).
#[must_use]
pub fn announces(frame: &Frame, uid: &str, channel: &str) -> bool {
    // The canonical form is never shorter than this; most messages part here.
    let least = OPEN.len() + uid.len() + BETWEEN.len() + channel.len() + CLOSE.len();
    frame.kind == Kind::Text
        && frame.payload.len() >= least
        && frame.payload.starts_with(OPEN)
        && frame.payload[..] == canonical(uid, channel)[..]
}

const OPEN: &[u8] = br#"{"uid":""#;
const BETWEEN: &[u8] = br#"","channel":""#;
const AUTH: &[u8] = br#"","auth":""#;
const CLOSE: &[u8] = br#""}"#;

fn canonical(uid: &str, channel: &str) -> Vec<u8> {
    let names = uid.len() + channel.len();
    let mut out = Vec::with_capacity(OPEN.len() + BETWEEN.len() + CLOSE.len() + names);
    out.extend_from_slice(OPEN);
    escape(uid, &mut out);
    out.extend_from_slice(BETWEEN);
    escape(channel, &mut out);
    out.extend_from_slice(CLOSE);
    out
}

/// The escapes of J3.2, and no others.
pub(crate) fn escape(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
}
