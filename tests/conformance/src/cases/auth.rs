//! Auth (client.md, section 4).

mod forms;

use serde_json::json;

use super::header::{
    accepted, accepted_before, keeps_nothing, random_letters, undisturbed, watcher,
};
use crate::bench::{Bench, random_digits};
use crate::case::{Case, Judged, Stop, case};
use crate::link::Heard;
use crate::session::Message;
use crate::target::hash;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "A1.1/any-length",
            "the hash is that of uid, channel and key, whatever their length",
            any_length,
        )
        .connections(2),
        case(
            "A1.1/256-bytes",
            "the hash is right also for 256 bytes, where the length byte of SipHash wraps",
            |bench| {
                let channel = bench.another_channel();
                let uid = uid_for(bench, &channel, 256)?;
                right(bench, &uid, &channel)
            },
        )
        .connections(2),
        case(
            "A1.1/short",
            "the hash is right also for seven, eight and nine bytes of names",
            |bench| {
                for (uid, channel) in [(3, 4), (4, 4), (4, 5)] {
                    right(bench, &random_letters(uid), &random_letters(channel))?;
                }
                Ok(())
            },
        )
        .connections(2),
        case(
            "A1.1/utf-8",
            "the hash is that of the names in UTF-8, not normalised",
            |bench| {
                for name in ["Zo\u{eb}", "\u{1f600}", "e\u{301}", "\u{65e5}\u{672c}\u{8a9e}", "\"\\\n"] {
                    let channel = format!("{} {name}", bench.another_channel());
                    right(bench, name, &channel)?;
                }
                Ok(())
            },
        )
        .connections(2),
        case(
            "A1.1/nothing-between",
            "nothing stands between uid and channel: ab on c and a on bc have one hash",
            |bench| {
                let channel = bench.another_channel();
                let digits = digits(bench.target().hash("ab", &channel));
                let header = header("ab", &channel, Some(&digits));
                takes(bench, "ab", &channel, &header)?;
                let channel = format!("b{channel}");
                let header = self::header("a", &channel, Some(&digits));
                takes(bench, "a", &channel, &header)
            },
        )
        .connections(2),
        case(
            "A2.1/missing",
            "a server with a key refuses a header without auth",
            |bench| {
                bench.key()?;
                control(bench)?;
                let header = header("alice", &bench.channel, None);
                refuses(bench, &header, "a header without auth")
            },
        )
        .connections(2),
        case(
            "A2.2/wrong",
            "a server with a key refuses every other auth than the hash of the pair",
            wrong_with_key,
        )
        .connections(2),
        case(
            "A2.2/right",
            "a server with a key accepts the hash of the pair under it",
            |bench| {
                bench.key()?;
                let channel = bench.channel.clone();
                right(bench, "alice", &channel)
            },
        )
        .connections(2),
        case(
            "A2.3/none",
            "a server without a key accepts a header without auth",
            |bench| {
                bench.no_key()?;
                let channel = bench.channel.clone();
                let header = header("alice", &channel, None);
                takes(bench, "alice", &channel, &header)
            },
        )
        .connections(2),
        case(
            "A2.4/wrong",
            "a server without a key refuses auth that is not the hash of the pair under the empty key",
            wrong_without_key,
        )
        .connections(2),
        case(
            "A2.4/right",
            "a server without a key accepts the hash of the pair under the empty key",
            |bench| {
                bench.no_key()?;
                let channel = bench.channel.clone();
                right(bench, "alice", &channel)
            },
        )
        .connections(2),
        case(
            "A2.5/incumbent-undisturbed",
            "who fails auth is refused at once, and the member with its names is not disturbed",
            incumbent_undisturbed,
        ),
        case("A2.5/4001", "who fails auth is closed with 4001", code).connections(4),
        case(
            "A3.1/not-sent",
            "what reaches the other members, live or in a replay, has no auth in it",
            not_sent,
        ).connections(4),
        case(
            "A3.1/not-sent-to-servers",
            "what goes to another server, at once or when it joins the channel, has no auth in it",
            not_sent_to_servers,
        ).connections(4),
        case(
            "A3.2/close-reason",
            "a close reason has neither auth nor the key in it",
            close_reason,
        )
        .connections(1),
    ];
    cases.extend(forms::cases());
    cases.sort_by_key(|case| crate::clause::rank(case.clause_id()));
    cases
}

/// A header of these names with this auth.
fn header(uid: &str, channel: &str, auth: Option<&str>) -> String {
    let names = format!(r#"{{"uid":{},"channel":{}"#, json!(uid), json!(channel));
    match auth {
        None => format!("{names}}}"),
        Some(auth) => format!(r#"{names},"auth":{}}}"#, json!(auth)),
    }
}

fn digits(hash: u64) -> String {
    format!("{hash:016x}")
}

fn takes(bench: &mut Bench, uid: &str, channel: &str, header: &str) -> Judged {
    let what = format!("the header {header}");
    accepted(bench, &[Frame::text(header)], uid, channel, &what)
}

/// A header with the right hash is accepted.
fn right(bench: &mut Bench, uid: &str, channel: &str) -> Judged {
    let digits = digits(bench.target().hash(uid, channel));
    takes(bench, uid, channel, &header(uid, channel, Some(&digits)))
}

fn refuses(bench: &Bench, header: &str, what: &str) -> Judged {
    super::header::refused(bench, &Frame::text(header), what)
}

/// The key is the right one: with its hash there is a session.
fn control(bench: &mut Bench) -> Judged {
    let channel = bench.another_channel();
    right(bench, "control", &channel).map_err(Stop::on_the_way)
}

/// A uid for which uid, channel and key are so many bytes.
fn uid_for(bench: &Bench, channel: &str, length: usize) -> Judged<String> {
    let key = bench.target().key.as_deref().unwrap_or_default();
    let rest = length.checked_sub(channel.len() + key.len());
    match rest {
        Some(rest @ 1..) => Ok("u".repeat(rest)),
        Some(0) | None => Err(Stop::Skip(format!(
            "the key is too long for {length} bytes"
        ))),
    }
}

fn any_length(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let mut watcher = watcher(bench, &channel)?;
    // Each number of bytes behind the last whole word of SipHash.
    for length in 1..=8 {
        let uid = &"abcdefgh"[..length];
        let digits = digits(bench.target().hash(uid, &channel));
        let header = header(uid, &channel, Some(&digits));
        let what = format!("the header {header}");
        let frames = [Frame::text(header)];
        accepted_before(bench, &mut watcher, &frames, uid, &channel, &what)?;
    }
    Ok(())
}

fn wrong_with_key(bench: &mut Bench) -> Judged {
    let key = bench.key()?;
    control(bench)?;
    let channel = bench.channel.clone();
    let right = bench.target().hash("alice", &channel);
    let other = bench.another_channel();
    for (auth, what) in [
        (digits(right ^ 1), "a hash that differs in the last bit"),
        (
            digits(right ^ 1 << 63),
            "a hash that differs in the first bit",
        ),
        (
            digits(right ^ 1 << 31),
            "a hash that differs in a bit in its middle",
        ),
        (
            digits(right.swap_bytes()),
            "the bytes of the hash the other way round",
        ),
        (
            digits(hash(&["alice", &channel])),
            "the hash under the empty key",
        ),
        (
            digits(hash(&[&key, "alice", &channel])),
            "the hash with the key first",
        ),
        (
            digits(hash(&[&channel, "alice", &key])),
            "the hash with the channel first",
        ),
        (
            digits(bench.target().hash("bob", &channel)),
            "the hash of another uid",
        ),
        (
            digits(bench.target().hash("alice", &other)),
            "the hash of another channel",
        ),
        ("0".into(), "zero"),
        ("ffffffffffffffff".into(), "the largest value"),
    ] {
        // One in 2^64 of them is right.
        if auth != digits(right) {
            let header = header("alice", &channel, Some(&auth));
            refuses(bench, &header, &format!("auth that is {what}"))?;
        }
    }
    Ok(())
}

fn wrong_without_key(bench: &mut Bench) -> Judged {
    bench.no_key()?;
    control(bench)?;
    let channel = bench.channel.clone();
    let right = bench.target().hash("alice", &channel);
    for (auth, what) in [
        (digits(right ^ 1), "a hash that differs in the last bit"),
        (
            digits(right.swap_bytes()),
            "the bytes of the hash the other way round",
        ),
        (
            digits(hash(&["alice", &channel, "some key"])),
            "the hash under some key",
        ),
        (digits(hash(&["bob", &channel])), "the hash of another uid"),
        ("0".into(), "zero"),
    ] {
        let header = header("alice", &channel, Some(&auth));
        refuses(bench, &header, &format!("auth that is {what}"))?;
    }
    Ok(())
}

fn code(bench: &mut Bench) -> Judged {
    control(bench)?;
    let wrong = digits(bench.target().hash("alice", &bench.channel) ^ 1);
    for (auth, what) in [
        (Some(&*wrong), "a wrong auth"),
        (Some("no digits"), "a malformed auth"),
        (None, "no auth"),
    ] {
        if auth.is_some() || bench.target().key.is_some() {
            let header = header("alice", &bench.channel, auth);
            super::header::refused_with(bench, &Frame::text(header), 4001, what)?;
        }
    }
    Ok(())
}

fn incumbent_undisturbed(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.hears_announcements = true;
    // Were she probed, she would be alive: what is looked for is the probe.
    alice.answers_pings = true;
    let wrong = digits(bench.target().hash("alice", &bench.channel) ^ 1);
    for (auth, what) in [(&*wrong, "a wrong auth"), ("no digits", "a malformed auth")] {
        let header = header("alice", &bench.channel, Some(auth));
        undisturbed(bench, &mut alice, &mut bob, what, |bench| {
            refuses(bench, &header, what)
        })?;
    }
    Ok(())
}

/// The first message that has these digits in it.
fn with_digits<'a>(messages: &'a [Message], digits: &str) -> Option<&'a Message> {
    let has = |message: &&Message| {
        let text = String::from_utf8_lossy(&message.payload);
        text.to_ascii_lowercase().contains(digits)
    };
    messages.iter().find(has)
}

fn not_sent(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.hears_announcements = true;
    let hash = bench.target().hash("carol", &bench.channel);
    let header = header("carol", &bench.channel, Some(&digits(hash)));
    let mut carol = bench.open("carol")?;
    carol.say(&header)?;
    let live = bench.fence(&mut carol, &mut alice);
    let live = live.map_err(Stop::on_the_way)?;
    // Leading zeros may have been left out.
    let digits = format!("{hash:x}");
    let expected = "carol's auth reaches nobody";
    if let Some(message) = with_digits(&live, &digits) {
        return Err(Stop::fail(expected, format!("alice receives {message}")));
    }
    if keeps_nothing(bench) {
        return Ok(());
    }
    let (replay, _dave) = bench.replay("dave", &mut bob).map_err(Stop::on_the_way)?;
    match with_digits(&replay, &digits) {
        None => Ok(()),
        Some(message) => Err(Stop::fail(expected, format!("dave is replayed {message}"))),
    }
}

fn not_sent_to_servers(bench: &mut Bench) -> Judged {
    let (mut link, _alice) = bench.link_and_alice()?;
    link.hears_announcements = true;
    let hash = bench.target().hash("carol", &bench.channel);
    let header = header("carol", &bench.channel, Some(&digits(hash)));
    let mut carol = bench.open("carol")?;
    carol.say(&header)?;
    let marker = bench.marker();
    carol.say(&marker)?;
    let (live, _) = link.until_text(&marker).map_err(Stop::on_the_way)?;
    let mut other = bench.link("other")?;
    other.hears_announcements = true;
    let (_, later) = other.join(&bench.channel)?;
    // Leading zeros may have been left out.
    let digits = format!("{hash:x}");
    let has_digits = |heard: &&Heard| {
        let payload = heard.payload.iter();
        let payload = payload.map(|message| String::from_utf8_lossy(&message.payload).into_owned());
        let mut texts = payload.chain([heard.text.clone()]);
        texts.any(|text| text.to_lowercase().contains(&digits))
    };
    match live.iter().chain(&later).find(has_digits) {
        None => Ok(()),
        Some(heard) => Err(Stop::fail(
            "carol's auth goes to no server",
            heard.to_string(),
        )),
    }
}

fn close_reason(bench: &mut Bench) -> Judged {
    let hash = bench.target().hash("alice", &bench.channel);
    for auth in [digits(hash ^ 1), format!("secret {}", random_digits())] {
        let mut session = bench.open("alice")?;
        session.say(&header("alice", &bench.channel, Some(&auth)))?;
        let close = session.close_frame(session.patience(), "the session is closed")?;
        let mut secrets = vec![auth, format!("{hash:x}")];
        // A key may be a word that any sentence has.
        secrets.extend(bench.target().key.clone().filter(|key| key.len() >= 12));
        let reason = close.reason.to_ascii_lowercase();
        let told = secrets
            .iter()
            .any(|secret| reason.contains(&secret.to_ascii_lowercase()));
        if told {
            return Err(Stop::fail(
                "a reason without the auth that was sent, the right one, or the key",
                close.to_string(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_judge_computes_the_hashes_of_the_vectors() {
        let text = include_str!("../../../../spec/vectors/auth.json");
        let vectors: Vec<Value> = serde_json::from_str(text).expect("JSON");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let input = |name: &str| vector["input"][name].as_str().unwrap_or_default();
            let hash = hash(&[input("uid"), input("channel"), input("key")]);
            assert_eq!(vector["expect"]["hash"], digits(hash), "{vector}");
        }
    }
}
