//! The published vectors, one first frame each. They are tried with names that nobody else uses.

use serde_json::Value;

use super::{accepted, random_letters, refused, refused_for};
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::wire::{Frame, Opcode};

/// A first frame, and what is to come of it.
#[derive(Clone, Debug)]
struct Vector {
    given: String,
    opcode: Opcode,
    payload: Vec<u8>,
    expect: Expect,
    /// Whether a refusal has to be with the code that is expected.
    is_about_code: bool,
}

#[derive(Clone, Debug)]
enum Expect {
    Header {
        uid: String,
        channel: String,
        auth: Option<String>,
        peer: bool,
    },
    Refused {
        why: String,
        code: u16,
    },
}

pub(super) fn cases() -> Vec<Case> {
    let read = serde_json::from_str(include_str!("../../../../../spec/vectors/headers.json"));
    let values: Vec<Value> = read.unwrap_or_default();
    values.iter().filter_map(case_of).collect()
}

fn case_of(value: &Value) -> Option<Case> {
    let clause = value["clause"].as_str()?.split(' ').next()?;
    let id = value["id"].as_str()?.strip_prefix("headers/")?;
    let mut vector = vector(value)?;
    // What comes first shows by the code, and nothing else.
    vector.is_about_code = ["H1.11", "H1.12", "H4.3"].contains(&clause)
        || matches!(&vector.expect, Expect::Header { .. });
    let given = vector.given.clone();
    let (title, connections) = match &vector.expect {
        Expect::Refused { .. } => (format!("a header is refused: {given}"), 1),
        Expect::Header { peer: true, .. } => (
            format!("a server that takes no peers closes with 4011: {given}"),
            1,
        ),
        Expect::Header { auth, .. } if !is_hash(auth.as_deref()) => (
            format!("a header is valid, and refused only for its auth: {given}"),
            1,
        ),
        Expect::Header { .. } => (format!("a header is accepted: {given}"), 2),
    };
    let run = move |bench: &mut Bench| run(bench, &vector);
    Some(case(format!("{clause}/{id}"), title, run).connections(connections))
}

fn vector(value: &Value) -> Option<Vector> {
    let payload = match value["input"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let hex = value["input_hex"].as_str()?;
            data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?
        }
    };
    let expect = &value["expect"];
    let text = |name: &str| expect[name].as_str().map(str::to_owned);
    let expect = match text("refused") {
        Some(why) => Expect::Refused {
            why,
            code: u16::try_from(expect["code"].as_u64()?).ok()?,
        },
        None => Expect::Header {
            uid: text("uid")?,
            channel: text("channel")?,
            auth: text("auth"),
            peer: expect["peer"].as_bool()?,
        },
    };
    Some(Vector {
        given: value["given"].as_str()?.to_owned(),
        opcode: match value["kind"].as_str() {
            Some("binary") => Opcode::BINARY,
            _ => Opcode::TEXT,
        },
        payload,
        expect,
        is_about_code: false,
    })
}

/// Whether auth can be right for other names: it is none, or some number.
fn is_hash(auth: Option<&str>) -> bool {
    auth.is_none_or(|auth| {
        (1..=16).contains(&auth.len()) && auth.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The channel of most vectors.
const EXAMPLE: &str = "example";

/// The payload with a channel of its own, as long as `example`; if there is none in it, with eight letters ahead of the
/// channel's name.
fn with_own_channel(payload: &[u8]) -> (Vec<u8>, Own) {
    let own = random_letters(EXAMPLE.len());
    let replaced = replace(payload, EXAMPLE.as_bytes(), own.as_bytes());
    if replaced != payload {
        return (replaced, Own::Instead(own));
    }
    const BEFORE: &str = r#""channel":""#;
    let own = random_letters(8);
    let with = format!("{BEFORE}{own}");
    let replaced = replace(payload, BEFORE.as_bytes(), with.as_bytes());
    (replaced, Own::Ahead(own))
}

#[derive(Debug)]
enum Own {
    Instead(String),
    Ahead(String),
}

impl Own {
    fn of(&self, channel: &str) -> String {
        match self {
            Self::Instead(own) => channel.replace(EXAMPLE, own),
            Self::Ahead(own) => format!("{own}{channel}"),
        }
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend(&rest[..at]);
        out.extend(to);
        rest = &rest[at + from.len()..];
    }
    out.extend(rest);
    out
}

/// Takes characters from the longest run of one character until the text is not longer than this.
fn fit(payload: Vec<u8>, length: usize) -> Vec<u8> {
    let Ok(text) = String::from_utf8(payload) else {
        return Vec::new();
    };
    let (mut best, mut run) = ((0, 0, '\0'), (0, 0, '\0'));
    for (at, letter) in text.char_indices() {
        run = match run {
            (start, count, before) if before == letter => (start, count + 1, before),
            _ => (at, 1, letter),
        };
        if run.1 > best.1 {
            best = run;
        }
    }
    let (start, _, letter) = best;
    let count = text
        .len()
        .saturating_sub(length)
        .div_ceil(letter.len_utf8());
    let mut bytes = text.into_bytes();
    bytes.drain(start..start + count * letter.len_utf8());
    bytes
}

/// A vector as it is sent: with a channel of its own, and the auth that the server wants.
#[derive(Debug)]
struct Sent {
    payload: Vec<u8>,
    uid: String,
    channel: String,
}

fn sent(
    payload: &[u8],
    uid: &str,
    channel: &str,
    auth: Option<&str>,
    hash: impl Fn(&str, &str) -> u64,
    needs_auth: bool,
) -> Sent {
    const LONG: usize = 2000;
    let (mut own, by) = with_own_channel(payload);
    let channel = by.of(channel);
    let inserts = auth.is_none() && needs_auth;
    // A header that is long is so for its length, which stays the same.
    let grown = own.len() - payload.len() + if inserts { 26 } else { 0 };
    let mut uid = uid.to_owned();
    if payload.len() > LONG && grown > 0 {
        let length = own.len() - grown;
        own = fit(own, length);
        if uid.len() > LONG {
            let less = grown.div_ceil(2);
            uid = uid.chars().skip(less).collect();
        }
    }
    let digits = format!("{:016x}", hash(&uid, &channel));
    let payload = match auth {
        Some(auth) => replace(
            &own,
            format!("\"{auth}\"").as_bytes(),
            format!("\"{digits}\"").as_bytes(),
        ),
        None if inserts => {
            let start = own.iter().position(|byte| *byte == b'{').unwrap_or(0);
            let mut with = own[..=start].to_vec();
            with.extend(format!(r#""auth":"{digits}","#).bytes());
            with.extend(&own[start + 1..]);
            with
        }
        None => own,
    };
    Sent {
        payload,
        uid,
        channel,
    }
}

fn run(bench: &mut Bench, vector: &Vector) -> Judged {
    let given = &vector.given;
    let frame = |payload| Frame::new(vector.opcode, payload);
    let (code, why) = match &vector.expect {
        Expect::Header {
            uid,
            channel,
            auth,
            peer: false,
        } if is_hash(auth.as_deref()) => {
            let target = bench.target();
            let hash = |uid: &str, channel: &str| target.hash(uid, channel);
            let needs_auth = target.key.is_some();
            let (payload, auth) = (&vector.payload, auth.as_deref());
            let sent = sent(payload, uid, channel, auth, hash, needs_auth);
            let what = format!("a header ({given})");
            let frames = [frame(sent.payload)];
            return accepted(bench, &frames, &sent.uid, &sent.channel, &what);
        }
        Expect::Header { peer: false, .. } => (4001, "its auth is malformed".to_owned()),
        Expect::Header { .. } if bench.target().peer_key.is_some() => {
            return Err(Stop::Skip("the server takes peers".into()));
        }
        Expect::Header { .. } => {
            let why = "the server takes no peers: none of --peering and --peer-key-file was given";
            (4011, why.to_owned())
        }
        Expect::Refused { code, why } => (*code, why.clone()),
    };
    let payload = match &vector.expect {
        Expect::Header { .. } => with_own_channel(&vector.payload).0,
        // What is wrong stays as it is.
        Expect::Refused { .. } => {
            let own = random_letters(EXAMPLE.len());
            replace(&vector.payload, EXAMPLE.as_bytes(), own.as_bytes())
        }
    };
    let what = format!("a header ({given}; {why})");
    match vector.is_about_code {
        true => refused_for(bench, &frame(payload), code, &what),
        false => refused(bench, &frame(payload), &what),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_is_a_case() {
        let text = include_str!("../../../../../spec/vectors/headers.json");
        assert_eq!(cases().len(), text.lines().count() - 2);
    }

    #[test]
    fn vectors_keep_their_meaning_with_other_names() {
        let text = include_str!("../../../../../spec/vectors/headers.json");
        let values: Vec<Value> = serde_json::from_str(text).expect("JSON");
        let mut count = 0;
        for value in &values {
            let vector = vector(value).expect("a vector");
            let Expect::Header {
                uid, channel, auth, ..
            } = &vector.expect
            else {
                continue;
            };
            if !is_hash(auth.as_deref()) {
                continue;
            }
            for needs_auth in [false, true] {
                let auth = auth.as_deref();
                let sent = sent(&vector.payload, uid, channel, auth, |_, _| 7, needs_auth);
                // What is long stays as long.
                if vector.payload.len() > 2000 {
                    assert_eq!(sent.payload.len(), vector.payload.len(), "{value}");
                }
                assert_ne!(&sent.channel, channel, "{value}");
                // A lone surrogate is beyond this parser.
                let text = String::from_utf8(sent.payload).expect("UTF-8");
                let text = text.replace("\\ud800", "x").replace("\\ud801", "y");
                let text = text.replace("\\udc00", "z").replace("1.5e+300", "1");
                let read: Value = serde_json::from_str(&text).unwrap_or_default();
                if value["id"] == "headers/big-number" {
                    continue;
                }
                assert_eq!(read["uid"], sent.uid, "{text}");
                assert_eq!(read["channel"], sent.channel, "{text}");
                if needs_auth || auth.is_some() {
                    assert_eq!(read["auth"], "0000000000000007", "{text}");
                }
                count += 1;
            }
        }
        assert!(count > 70, "{count}");
    }
}
