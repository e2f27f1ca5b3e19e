//! The frames of a link: the only place that knows their syntax (spec: O1, F1).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::auth::Auth;
use crate::event::Name;
use crate::frame::{Frame, Kind};
use crate::header::{self, HEADER_MAX};
use crate::json::{self, Text, Value};
use crate::node::NUMBER_MAX;
use crate::seed::NodeId;

/// The longest header frame on a link, in bytes of payload (F1.1).
pub const LINK_HEADER_MAX: usize = 64 * 1024;

/// What one header frame on a link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFrame {
    /// The opening, and the reply to it (O1.2, O1.3).
    Handshake(Handshake),
    /// The sender's path has changed; or, with `turn`, the ends of the link change places (R1.4, G1.4).
    Path {
        /// The sender.
        uid: NodeId,
        /// The nodes above it, root first.
        path: Vec<NodeId>,
        /// Whether the link is turned.
        turn: bool,
    },
    /// The lower end joins a channel, or the upper end's reply (C1.4, C1.5).
    Join {
        /// The sender.
        uid: NodeId,
        /// The channel.
        channel: Name,
        /// The highest sequence number that it has seen of each origin.
        have: Vec<(NodeId, u64)>,
    },
    /// The upper end has sent what the lower end lacked (S3.1).
    Done {
        /// The sender.
        uid: NodeId,
        /// The channel.
        channel: Name,
    },
    /// The lower end leaves a channel; or the upper end refuses a join (C1.7, C1.8).
    Leave {
        /// The sender.
        uid: NodeId,
        /// The channel.
        channel: Name,
    },
    /// A message, whose payload is the next frame (F1.3).
    Message(Label),
}

/// What opens a link, and answers that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The sender.
    pub uid: NodeId,
    /// Any name; it joins nothing.
    pub channel: Name,
    /// What proves the peer key.
    pub auth: Option<Auth>,
    /// The nodes above the sender, root first.
    pub path: Vec<NodeId>,
    /// The sender's clock: microseconds since 1970.
    pub ts: u64,
    /// The largest payload that the sender takes, in bytes.
    pub max: u64,
    /// Whether only the reply is wanted.
    pub probe: bool,
}

/// What stands before a payload on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The client that sent it.
    pub uid: Name,
    /// Its channel.
    pub channel: Name,
    /// The node that accepted it.
    pub origin: NodeId,
    /// Its number at that node on that channel.
    pub seq: u64,
    /// When it was accepted there: microseconds since 1970.
    pub ts: u64,
}

/// Reads a header frame. `None` if it is none (F1.4).
#[must_use]
pub fn parse(frame: &Frame) -> Option<LinkFrame> {
    if frame.kind != Kind::Text || frame.payload.len() > LINK_HEADER_MAX {
        return None;
    }
    let text = core::str::from_utf8(&frame.payload).ok()?;
    let mut members = Members::default();
    json::object(text, |name, value| members.take(name, value)).ok()?;
    members.read()
}

/// The members that mean something; the others are ignored (F1.1).
#[derive(Default)]
struct Members<'a> {
    uid: Option<Value<'a>>,
    channel: Option<Value<'a>>,
    auth: Option<Value<'a>>,
    peer: Option<Value<'a>>,
    path: Option<Value<'a>>,
    ts: Option<Value<'a>>,
    max: Option<Value<'a>>,
    have: Option<Value<'a>>,
    done: Option<Value<'a>>,
    node: Option<Value<'a>>,
    seq: Option<Value<'a>>,
    probe: Option<Value<'a>>,
    turn: Option<Value<'a>>,
}

impl<'a> Members<'a> {
    fn take(&mut self, name: &Text, value: Value<'a>) {
        let members = [
            ("uid", &mut self.uid),
            ("channel", &mut self.channel),
            ("auth", &mut self.auth),
            ("peer", &mut self.peer),
            ("path", &mut self.path),
            ("ts", &mut self.ts),
            ("max", &mut self.max),
            ("have", &mut self.have),
            ("done", &mut self.done),
            ("node", &mut self.node),
            ("seq", &mut self.seq),
            ("probe", &mut self.probe),
            ("turn", &mut self.turn),
        ];
        if let Some((_, member)) = members.into_iter().find(|(known, _)| name.is(known)) {
            *member = Some(value);
        }
    }

    fn read(self) -> Option<LinkFrame> {
        if let Some(origin) = self.node {
            let uid = name(self.uid)?;
            let channel = name(self.channel)?;
            // A client's header holds both names, so they are never longer (H2.1, F1.2).
            return (self.peer.is_none() && uid.len() + channel.len() <= HEADER_MAX).then_some(
                LinkFrame::Message(Label {
                    uid,
                    channel,
                    origin: node(Some(origin))?,
                    seq: number(self.seq).filter(|seq| *seq > 0)?,
                    ts: number(self.ts).filter(|ts| *ts > 0)?,
                }),
            );
        }
        let uid = node(self.uid)?;
        let peer = boolean(self.peer)?;
        let Some(channel) = self.channel else {
            let path = path(self.path)?;
            let turn = self.turn.map_or(Some(false), |turn| boolean(Some(turn)))?;
            return peer.then_some(LinkFrame::Path { uid, path, turn });
        };
        let channel = name(Some(channel)).filter(|channel| channel.len() <= HEADER_MAX)?;
        if !peer {
            return Some(LinkFrame::Leave { uid, channel });
        }
        if let Some(have) = self.have {
            let have = numbers(have)?;
            return Some(LinkFrame::Join { uid, channel, have });
        }
        if let Some(done) = self.done {
            return boolean(Some(done))?.then_some(LinkFrame::Done { uid, channel });
        }
        let auth = match self.auth {
            Some(auth) => Some(Auth(string(auth)?)),
            None => None,
        };
        Some(LinkFrame::Handshake(Handshake {
            uid,
            channel,
            auth,
            path: path(self.path)?,
            ts: number(self.ts)?,
            max: number(self.max)?,
            probe: self
                .probe
                .map_or(Some(false), |probe| boolean(Some(probe)))?,
        }))
    }
}

fn string(value: Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => text.into_string(),
        Value::Bool(_) | Value::Other(_) => None,
    }
}

fn name(value: Option<Value<'_>>) -> Option<Name> {
    let name = string(value?)?;
    (!name.is_empty() && !name.contains('\0')).then(|| name.into())
}

fn boolean(value: Option<Value<'_>>) -> Option<bool> {
    match value? {
        Value::Bool(truth) => Some(truth),
        Value::Text(_) | Value::Other(_) => None,
    }
}

/// A number below 2^53, which every language's numbers hold.
fn number(value: Option<Value<'_>>) -> Option<u64> {
    match value? {
        Value::Other(digits) => json::integer(digits).filter(|number| *number < NUMBER_MAX),
        Value::Text(_) | Value::Bool(_) => None,
    }
}

fn node(value: Option<Value<'_>>) -> Option<NodeId> {
    node_id(&string(value?)?)
}

fn path(value: Option<Value<'_>>) -> Option<Vec<NodeId>> {
    let Value::Other(array) = value? else {
        return None;
    };
    let mut path = Vec::new();
    let mut sound = true;
    json::array(array, |element| match node(Some(element)) {
        Some(node) => path.push(node),
        None => sound = false,
    })
    .ok()?;
    sound.then_some(path)
}

fn numbers(value: Value<'_>) -> Option<Vec<(NodeId, u64)>> {
    let Value::Other(object) = value else {
        return None;
    };
    let mut numbers = Vec::new();
    let mut sound = true;
    json::object(object, |name, value| {
        let origin = name.clone().into_string().and_then(|name| node_id(&name));
        match (origin, number(Some(value))) {
            (Some(origin), Some(seq)) => numbers.push((origin, seq)),
            (None, _) | (_, None) => sound = false,
        }
    })
    .ok()?;
    sound.then_some(numbers)
}

/// 32 lower-case hexadecimal digits, and nothing else.
fn node_id(digits: &str) -> Option<NodeId> {
    hex128(digits).map(NodeId)
}

/// 128 bits as 32 lower-case hexadecimal digits.
#[must_use]
pub fn hex128(digits: &str) -> Option<u128> {
    let lower = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    let whole = digits.len() == 32 && digits.bytes().all(lower);
    whole.then(|| u128::from_str_radix(digits, 16).ok())?
}

impl LinkFrame {
    /// The frame, its members in the order of the specification, without spaces (F1.1).
    #[must_use]
    pub fn compose(&self) -> Frame {
        let mut out = Vec::from(*b"{");
        match self {
            Self::Handshake(handshake) => {
                put_uid(&mut out, handshake.uid);
                put_channel(&mut out, &handshake.channel);
                if let Some(auth) = &handshake.auth {
                    put_name(&mut out, ",\"auth\":", auth.reveal());
                }
                out.extend_from_slice(b",\"peer\":true");
                put_path(&mut out, &handshake.path);
                put_number(&mut out, ",\"ts\":", handshake.ts);
                put_number(&mut out, ",\"max\":", handshake.max);
                if handshake.probe {
                    out.extend_from_slice(b",\"probe\":true");
                }
            }
            Self::Path { uid, path, turn } => {
                put_uid(&mut out, *uid);
                out.extend_from_slice(b",\"peer\":true");
                put_path(&mut out, path);
                if *turn {
                    out.extend_from_slice(b",\"turn\":true");
                }
            }
            Self::Join { uid, channel, have } => {
                put_uid(&mut out, *uid);
                put_channel(&mut out, channel);
                out.extend_from_slice(b",\"peer\":true,\"have\":{");
                for (at, (origin, seq)) in have.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    put_number(&mut out, &format!("{comma}\"{origin}\":"), *seq);
                }
                out.push(b'}');
            }
            Self::Done { uid, channel } => {
                put_uid(&mut out, *uid);
                put_channel(&mut out, channel);
                out.extend_from_slice(b",\"peer\":true,\"done\":true");
            }
            Self::Leave { uid, channel } => {
                put_uid(&mut out, *uid);
                put_channel(&mut out, channel);
                out.extend_from_slice(b",\"peer\":false");
            }
            Self::Message(label) => {
                put_name(&mut out, "\"uid\":", &label.uid);
                put_channel(&mut out, &label.channel);
                put_name(&mut out, ",\"node\":", &format!("{}", label.origin));
                put_number(&mut out, ",\"seq\":", label.seq);
                put_number(&mut out, ",\"ts\":", label.ts);
            }
        }
        out.push(b'}');
        Frame::text(out)
    }
}

fn put_uid(out: &mut Vec<u8>, uid: NodeId) {
    put_name(out, "\"uid\":", &format!("{uid}"));
}

fn put_channel(out: &mut Vec<u8>, channel: &str) {
    put_name(out, ",\"channel\":", channel);
}

fn put_name(out: &mut Vec<u8>, member: &str, name: &str) {
    out.extend_from_slice(member.as_bytes());
    out.push(b'"');
    header::escape(name, out);
    out.push(b'"');
}

fn put_path(out: &mut Vec<u8>, path: &[NodeId]) {
    out.extend_from_slice(b",\"path\":[");
    for (at, node) in path.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        out.extend_from_slice(format!("{comma}\"{node}\"").as_bytes());
    }
    out.push(b']');
}

fn put_number(out: &mut Vec<u8>, member: &str, number: u64) {
    out.extend_from_slice(format!("{member}{number}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use alloc::vec;

    const N: NodeId = NodeId(0x0123_4567_89ab_cdef);
    const O: NodeId = NodeId(u128::MAX);

    /// Every frame, and its form to the byte.
    fn frames() -> Vec<(LinkFrame, &'static str)> {
        let channel = || Name::from("a\"\u{1}é");
        let handshake = Handshake {
            uid: N,
            channel: "mles".into(),
            auth: Some(Auth("00c0ffee00c0ffee".into())),
            path: vec![O, N],
            ts: (1 << 53) - 1,
            max: 0,
            probe: true,
        };
        let bare = Handshake {
            auth: None,
            path: vec![],
            probe: false,
            ..handshake.clone()
        };
        let path = |path: &[NodeId], turn| {
            let path = path.to_vec();
            LinkFrame::Path { uid: N, path, turn }
        };
        let have = vec![(N, 1), (O, (1 << 53) - 1)];
        let label = Label {
            uid: "bob\n".into(),
            channel: channel(),
            origin: O,
            seq: 1,
            ts: 2,
        };
        let (uid, join) = (N, |have| LinkFrame::Join {
            uid: N,
            channel: channel(),
            have,
        });
        vec![
            (
                LinkFrame::Handshake(handshake),
                r#"{"uid":"00000000000000000123456789abcdef","channel":"mles","auth":"00c0ffee00c0ffee","peer":true,"path":["ffffffffffffffffffffffffffffffff","00000000000000000123456789abcdef"],"ts":9007199254740991,"max":0,"probe":true}"#,
            ),
            (
                LinkFrame::Handshake(bare),
                r#"{"uid":"00000000000000000123456789abcdef","channel":"mles","peer":true,"path":[],"ts":9007199254740991,"max":0}"#,
            ),
            (
                path(&[], false),
                r#"{"uid":"00000000000000000123456789abcdef","peer":true,"path":[]}"#,
            ),
            (
                path(&[O], true),
                r#"{"uid":"00000000000000000123456789abcdef","peer":true,"path":["ffffffffffffffffffffffffffffffff"],"turn":true}"#,
            ),
            (
                join(vec![]),
                r#"{"uid":"00000000000000000123456789abcdef","channel":"a\"\u0001é","peer":true,"have":{}}"#,
            ),
            (
                join(have),
                r#"{"uid":"00000000000000000123456789abcdef","channel":"a\"\u0001é","peer":true,"have":{"00000000000000000123456789abcdef":1,"ffffffffffffffffffffffffffffffff":9007199254740991}}"#,
            ),
            (
                LinkFrame::Done {
                    uid,
                    channel: channel(),
                },
                r#"{"uid":"00000000000000000123456789abcdef","channel":"a\"\u0001é","peer":true,"done":true}"#,
            ),
            (
                LinkFrame::Leave {
                    uid,
                    channel: channel(),
                },
                r#"{"uid":"00000000000000000123456789abcdef","channel":"a\"\u0001é","peer":false}"#,
            ),
            (
                LinkFrame::Message(label),
                r#"{"uid":"bob\n","channel":"a\"\u0001é","node":"ffffffffffffffffffffffffffffffff","seq":1,"ts":2}"#,
            ),
        ]
    }

    #[test]
    fn each_frame_has_one_form_and_is_read_back() {
        for (frame, text) in frames() {
            assert_eq!(frame.compose(), Frame::text(text));
            assert_eq!(parse(&Frame::text(text)), Some(frame));
        }
    }

    #[test]
    fn a_frame_is_whole_or_none() {
        for (frame, text) in frames() {
            for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                assert_eq!(parse(&Frame::text(text[..cut].to_owned())), None, "{cut}");
            }
            for tail in ["{}", ",", "x", "\0", "}", text] {
                let long = format!("{text}{tail}");
                assert_eq!(parse(&Frame::text(long)), None, "{tail}");
            }
            assert_eq!(parse(&Frame::binary(text.as_bytes())), None);
            // White space around it is none of the frame.
            let wide = format!(" \t\r\n{text} ");
            assert_eq!(parse(&Frame::text(wide)).as_ref(), Some(&frame));
        }
    }

    #[test]
    fn members_come_in_any_order_with_others_and_each_once() {
        for (frame, text) in frames() {
            let front = format!("{{\"x\":[{{}}],{}", &text[1..]);
            assert_eq!(parse(&Frame::text(front)).as_ref(), Some(&frame));
            let body = &text[..text.len() - 1];
            let twice = format!("{body},\"uid\":\"{N}\"}}");
            assert_eq!(parse(&Frame::text(twice)), None);
            let twice = format!("{body},\"x\":1,\"x\":1}}");
            assert_eq!(parse(&Frame::text(twice)), None);
        }
        let swapped =
            r#"{"have":{},"peer":true,"channel":"c","uid":"00000000000000000123456789abcdef"}"#;
        let (uid, channel, have) = (N, "c".into(), vec![]);
        let join = LinkFrame::Join { uid, channel, have };
        assert_eq!(parse(&Frame::text(swapped)), Some(join));
    }

    #[test]
    fn numbers_and_uids_are_exact() {
        let label = |node: &str, seq: &str, ts: &str| {
            let text = format!(
                "{{\"uid\":\"u\",\"channel\":\"c\",\"node\":\"{node}\",\"seq\":{seq},\"ts\":{ts}}}"
            );
            parse(&Frame::text(text)).is_some()
        };
        let node = "00000000000000000123456789abcdef";
        assert!(label(node, "9007199254740991", "1"));
        for bad in [
            "0",
            "9007199254740992",
            "18446744073709551616",
            "-1",
            "1.0",
            "1e3",
            "\"1\"",
            "null",
            "01",
        ] {
            assert!(!label(node, bad, "1"), "{bad}");
            assert!(!label(node, "1", bad), "{bad}");
        }
        for bad in [
            "",
            "0000000000000000123456789abcdef",
            "000000000000000000123456789abcdef",
            "00000000000000000123456789ABCDEF",
            "+0000000000000000123456789abcdef",
            "00000000000000000123456789abcdeé",
        ] {
            assert!(!label(bad, "1", "1"), "{bad}");
        }
    }

    #[test]
    fn a_header_is_bounded() {
        let padded = |length: usize| {
            let (open, close) = (
                format!("{{\"uid\":\"{N}\",\"peer\":true,\"path\":[],\"x\":\""),
                "\"}",
            );
            let x = "x".repeat(length - open.len() - close.len());
            parse(&Frame::text(format!("{open}{x}{close}")))
        };
        assert!(padded(LINK_HEADER_MAX).is_some());
        assert_eq!(padded(LINK_HEADER_MAX + 1), None);
    }
}
