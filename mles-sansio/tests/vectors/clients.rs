//! What one server makes of its clients.

use std::collections::BTreeMap;
use std::time::Duration;

use mles_sansio::header::{self, announcement, announces};
use mles_sansio::{
    Action, Closing, Config, Event, Frame, HEADER_MAX, Instant, Key, Kind, Notice, Now, Violation,
    auth,
};
use serde_json::{Value, json};

use super::{bytes_of_hex, closing, each, kind, number, same, text};
use crate::common::{self, World, frame, lost};

/// What a header says, as `expect` writes it.
fn said(frame: &Frame) -> Value {
    match header::parse(frame) {
        Ok(header) => {
            let (uid, channel) = (&*header.uid, &*header.channel);
            let auth = header.auth.as_ref().map(|auth| auth.reveal());
            json!({"uid": uid, "channel": channel, "auth": auth, "peer": header.peer})
        }
        Err(violation) => refused(violation),
    }
}

fn refused(violation: Violation) -> Value {
    json!({"refused": format!("{violation:?}"), "code": violation.code()})
}

/// What a node without a key answers to a first frame.
fn answer(frame: &Frame) -> Vec<Action> {
    let mut world = World::new(Config::default());
    assert_eq!(world.open(1), []);
    world.event(common::frame(1, frame.clone()))
}

#[test]
fn headers() {
    // H1, H2, H4: three ways, whole, cut and with a tail.
    each("headers.json", 100, |case| {
        let payload = match case["input_hex"].as_str() {
            Some(hex) => bytes_of_hex(hex),
            None => text(&case["input"]).as_bytes().to_vec(),
        };
        let whole = match case["kind"].as_str() {
            Some("binary") => Frame::binary(payload.clone()),
            Some("text") | None => Frame::text(payload.clone()),
            Some(kind) => return Err(format!("unknown kind {kind}")),
        };
        let mut expected = case["expect"].clone();
        if expected["auth"] == json!("\u{fffd}") {
            // H1.10: the files write U+FFFD; here such an auth is empty, and fails as well.
            expected["auth"] = json!("");
        }
        same("whole", &said(&whole), &expected)?;
        let Some(code) = expected["code"].as_u64() else {
            return cut_and_tail(&payload);
        };
        let answered = closing(&answer(&whole)).map(Closing::code);
        same("close code", &answered.map(u64::from), &Some(code)) // H1.12
    });
}

/// A valid header is not valid any more when something of it is missing or something follows.
fn cut_and_tail(payload: &[u8]) -> Result<(), String> {
    let end = payload.trim_ascii_end().len(); // White space around it may come and go (H1.2).
    for len in 0..end {
        if header::parse(&Frame::text(payload[..len].to_vec())).is_ok() {
            return Err(format!("accepted although cut after {len} bytes"));
        }
    }
    for tail in ["x", "{}", ",", "\0", "\u{feff}", "]", "}", "\x0b", "\u{a0}"] {
        let mut longer = payload.to_vec();
        longer.extend_from_slice(tail.as_bytes());
        let expected = if longer.len() > HEADER_MAX {
            Violation::HeaderTooBig // H1.11: the size first.
        } else {
            Violation::HeaderNotJson
        };
        let got = header::parse(&Frame::text(longer));
        same(&format!("tail {tail:?}"), &got, &Err(expected))?;
    }
    for (frame, violation) in [
        (
            Frame::binary(payload.to_vec()), // H1.1
            Violation::HeaderNotText,
        ),
        (
            Frame::text([b"\xef\xbb\xbf", payload].concat()), // H1.2: a byte order mark.
            Violation::HeaderNotJson,
        ),
    ] {
        if frame.payload.len() <= HEADER_MAX {
            same("altered", &header::parse(&frame), &Err(violation))?;
        }
    }
    Ok(())
}

#[test]
fn auths() {
    // A1, A2: the hash, the check by itself, and what a node makes of it.
    each("auth.json", 20, |case| {
        let given = &case["input"];
        let (uid, channel) = (text(&given["uid"]), text(&given["channel"]));
        let key = given["key"].as_str().map(|key| {
            let key = Key::new(key.as_bytes());
            key.expect("A2.7: a key is not empty")
        });
        let hash = format!("{:016x}", auth::hash(uid, channel, key.as_ref()));
        same("hash", &hash.as_str(), &text(&case["expect"]["hash"]))?;
        let mut first = json!({"uid": uid, "channel": channel});
        if let Some(auth) = given["auth"].as_str() {
            first["auth"] = json!(auth);
        }
        let first = Frame::text(first.to_string());
        let mut world = World::new(Config {
            key: key.clone(),
            ..Config::default()
        });
        let header = header::parse(&first).map_err(|v| format!("no header: {v:?}"))?;
        let checked = auth::check(uid, channel, header.auth.as_ref(), key.as_ref());
        assert_eq!(world.open(1), []);
        let actions = world.event(frame(1, first));
        let joined = actions.iter().any(|a| matches!(a, Action::Join { .. }));
        if case["expect"]["accepted"] == json!(true) {
            same("check", &checked, &Ok(()))?;
            same("closing", &closing(&actions), &None)?;
            return same("joined", &joined, &true);
        }
        let violation = checked.expect_err("to be refused");
        let mut expected = refused(violation);
        expected["hash"] = json!(hash);
        same("refused", &case["expect"], &expected)?;
        same("joined", &joined, &false)?;
        let why = Closing::Violation(violation);
        same("closing", &closing(&actions), &Some(why))
    });
}

#[test]
fn announcements() {
    // J3.1, J3.2: what a join says on the channel, and what J3.8 knows again.
    each("announcements.json", 10, |case| {
        let given = &case["input"];
        let (uid, channel) = (text(&given["uid"]), text(&given["channel"]));
        let made = announcement(uid, channel);
        same("kind", &made.kind, &Kind::Text)?;
        let expected = bytes_of_hex(text(&case["expect"]["hex"]));
        same("bytes", &made.payload.to_vec(), &expected)?;
        let written = text(&case["expect"]["text"]).as_bytes();
        same("text", &made.payload.as_ref(), &written)?;
        same("known again", &announces(&made, uid, channel), &true)?;
        same("of another", &announces(&made, "-", channel), &false)?;
        let binary = Frame::binary(made.payload.clone());
        same("binary", &announces(&binary, uid, channel), &false)?; // J3.9
        // The canonical form is a header that says the same, never longer than what it came from.
        let header = header::parse(&made).map_err(|v| format!("no header: {v:?}"))?;
        same("read", &(&*header.uid, &*header.channel), &(uid, channel))
    });
}

#[test]
fn histories() {
    // J2, J3, M3, L1: what each joiner has replayed, and what the node says it keeps.
    each("history.json", 30, |case| {
        let limits = &case["input"]["limits"];
        let mut world = World::new(Config {
            history_limit: usize::try_from(number(&limits["limit"])).unwrap(),
            history_channel_bytes: number(&limits["channel_bytes"]),
            history_bytes: number(&limits["history_bytes"]),
            ping_interval: Duration::from_secs(1000 * 86_400),
            ..Config::default()
        });
        let steps = case["input"]["steps"].as_array().unwrap();
        let mut sessions: BTreeMap<&str, u64> = BTreeMap::new();
        let mut frames: Vec<Option<Frame>> = Vec::new();
        let mut replays = 0;
        for (at, step) in (0..).zip(steps) {
            let _ = world.wait(Duration::from_millis(1));
            let mut sent = None;
            if let Some(name) = step["join"].as_str() {
                let (uid, channel) = (text(&step["uid"]), text(&step["channel"]));
                sessions.insert(name, at);
                sent = Some(Frame::text(format!(
                    "{{\"uid\":\"{uid}\",\"channel\":\"{channel}\"}}"
                )));
                let expected = case["expect"]["replays"][at.to_string()].as_array();
                let expected: Vec<(String, Frame)> = expected
                    .ok_or("a join without a replay in expect")?
                    .iter()
                    .map(|entry| {
                        let from = usize::try_from(number(&entry["step"])).unwrap();
                        let frame = frames[from].clone().unwrap();
                        assert_eq!(text(&entry["kind"]), kind(&frame));
                        (text(&entry["uid"]).to_owned(), frame)
                    })
                    .collect();
                same(&format!("kept at {at}"), &world.kept(channel), &expected)?;
                let expected: Vec<_> = expected.into_iter().map(|(_, frame)| frame).collect();
                let actions = world.join(at, uid, channel);
                let lags = |a: &Action| matches!(a, Action::Notice(Notice::Lagging { .. }));
                assert!(!actions.iter().any(lags), "J3.5: by its own announcement");
                same(&format!("replay at {at}"), &replay(&actions), &expected)?;
                let conn = mles_sansio::ConnId(at);
                let _ = world.event(Event::Replayed { conn });
                replays += 1;
            } else if let Some(name) = step["message"].as_str() {
                let payload = match step["text"].as_str() {
                    Some(text) => text.as_bytes().to_vec(),
                    None => vec![b'x'; usize::try_from(number(&step["length"])).unwrap()],
                };
                let message = match text(&step["kind"]) {
                    "text" => Frame::text(payload),
                    _ => Frame::binary(payload),
                };
                let _ = world.event(frame(sessions[name], message.clone()));
                sent = Some(message);
            } else if let Some(name) = step["leave"].as_str() {
                let _ = world.event(lost(sessions[name]));
            } else if let Some(seconds) = step["wait"].as_u64() {
                let _ = world.wait(Duration::from_secs(seconds));
            } else {
                let jump = step["clock"].as_i64().ok_or("an unknown step")?;
                world.now = Now {
                    unix: world.now.unix.saturating_add_signed(jump * 1_000_000),
                    ..world.now
                };
            }
            frames.push(sent);
        }
        assert_ne!(world.now.mono, Instant::from_micros(0));
        let expected = case["expect"]["replays"].as_object().unwrap().len();
        same("replays", &replays, &expected)
    });
}

/// The frames of the replay, none if there is none.
fn replay(actions: &[Action]) -> Vec<Frame> {
    let mut replays = actions.iter().filter_map(|action| {
        if let Action::Replay { frames, .. } = action {
            Some(frames.to_vec())
        } else {
            None
        }
    });
    let first = replays.next().unwrap_or_default();
    assert_eq!(replays.next(), None, "two replays");
    first
}
