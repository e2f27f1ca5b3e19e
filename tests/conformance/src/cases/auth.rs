//! Auth (client.md, section 4).

use serde_json::json;

use super::header::{
    accepted, accepted_before, keeps_nothing, random_letters, undisturbed, watcher,
};
use crate::bench::{Bench, random_digits};
use crate::case::{Case, Judged, Stop, case};
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
            "who fails auth is closed with 4001 at once, and the member with its names is not disturbed",
            incumbent_undisturbed,
        ),
        case(
            "A3.1/not-sent",
            "what reaches the other members, live or in a replay, has no auth in it",
            not_sent,
        ),
        case(
            "A3.2/close-reason",
            "a close reason has neither auth nor the key in it",
            close_reason,
        )
        .connections(1),
    ];
    cases.extend(FORMS.iter().map(|form| form.case()));
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
    super::header::refused(bench, &Frame::text(header), 4001, what)
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

/// A way to write a hash: which of them, and what becomes of it.
struct Form {
    name: &'static str,
    what: &'static str,
    /// How many zero digits the hash begins with.
    zeros: u32,
    written: fn(&str) -> String,
    accepted: bool,
}

/// A form of the right value.
const fn good(
    name: &'static str,
    what: &'static str,
    zeros: u32,
    written: fn(&str) -> String,
) -> Form {
    Form {
        name,
        what,
        zeros,
        written,
        accepted: true,
    }
}

/// A form that is none, or has another value.
const fn bad(
    name: &'static str,
    what: &'static str,
    zeros: u32,
    written: fn(&str) -> String,
) -> Form {
    Form {
        name,
        what,
        zeros,
        written,
        accepted: false,
    }
}

/// Forms of the hash, as 16 lower-case digits.
static FORMS: &[Form] = &[
    good("A1.3/lower", "16 lower-case digits", 0, |hash| hash.into()),
    good("A1.3/upper", "upper-case digits", 0, |hash| {
        hash.to_ascii_uppercase()
    }),
    good("A1.3/mixed", "digits of either case", 0, mixed),
    good("A1.3/leading-zero", "a leading zero written", 1, |hash| {
        hash.into()
    }),
    good(
        "A1.3/short",
        "15 digits, a leading zero left out",
        1,
        |hash| hash[1..].into(),
    ),
    good(
        "A1.3/short-upper",
        "15 upper-case digits, a leading zero left out",
        1,
        |hash| hash[1..].to_ascii_uppercase(),
    ),
    good(
        "A1.3/some-zeros",
        "15 digits, of three leading zeros one left out",
        3,
        |hash| hash[1..].into(),
    ),
    good(
        "A1.3/shorter",
        "12 digits, four leading zeros left out",
        4,
        |hash| hash[4..].into(),
    ),
    bad(
        "A1.3/end-left-out",
        "15 digits, the last left out: another value",
        1,
        |hash| hash[..15].into(),
    ),
    bad("A1.4/empty", "the empty string", 0, |_| String::new()),
    bad("A1.4/plus", "a plus sign", 1, |hash| {
        format!("+{}", &hash[1..])
    }),
    bad("A1.4/minus", "a minus sign", 1, |hash| {
        format!("-{}", &hash[1..])
    }),
    bad("A1.4/prefix", "a prefix, 16 characters in all", 2, |hash| {
        format!("0x{}", &hash[2..])
    }),
    bad(
        "A1.4/prefix-whole",
        "a prefix before 16 digits",
        0,
        |hash| format!("0x{hash}"),
    ),
    bad("A1.4/space-before", "a space before it", 0, |hash| {
        format!(" {hash}")
    }),
    bad(
        "A1.4/space-before-short",
        "a space in place of a leading zero",
        1,
        |hash| format!(" {}", &hash[1..]),
    ),
    bad("A1.4/space-after", "a space after it", 0, |hash| {
        format!("{hash} ")
    }),
    bad("A1.4/line-feed", "a line feed after it", 0, |hash| {
        format!("{hash}\n")
    }),
    bad("A1.4/inside", "a space inside", 0, |hash| {
        format!("{} {}", &hash[..8], &hash[8..])
    }),
    bad("A1.4/underscore", "an underscore inside", 1, |hash| {
        format!("{}_{}", &hash[1..8], &hash[8..])
    }),
    bad(
        "A1.4/letter",
        "a letter that is no digit behind 15 that are right",
        1,
        |hash| format!("{}g", &hash[1..]),
    ),
    bad(
        "A1.4/17-digits",
        "17 digits, one more at the end",
        0,
        |hash| format!("{hash}0"),
    ),
    bad(
        "A1.4/17-digits-right",
        "17 digits, the value is right",
        0,
        |hash| format!("0{hash}"),
    ),
    bad("A1.4/fullwidth", "digits that are not ASCII", 0, fullwidth),
    bad("A1.4/nul", "U+0000 after it", 0, |hash| format!("{hash}\0")),
    bad("A1.4/no-digit", "no digit at all", 0, |_| "\u{fffd}".into()),
    bad("A1.4/words", "words", 0, |_| "not hexadecimal".into()),
];

fn mixed(hash: &str) -> String {
    let digit = |(at, digit): (usize, char)| match at % 2 {
        0 => digit.to_ascii_uppercase(),
        _ => digit,
    };
    hash.chars().enumerate().map(digit).collect()
}

fn fullwidth(hash: &str) -> String {
    // From U+FF01 the characters of ASCII stand again, in their order.
    let wide = |digit: char| char::from_u32(u32::from(digit) - 0x21 + 0xff01).unwrap_or(digit);
    hash.chars().map(wide).collect()
}

impl Form {
    fn case(&'static self) -> Case {
        let verdict = if self.accepted { "accepted" } else { "refused" };
        let title = format!("auth is {verdict}: {}", self.what);
        case(self.name, title, |bench| self.run(bench)).connections(2)
    }

    fn run(&self, bench: &mut Bench) -> Judged {
        let channel = bench.channel.clone();
        let Some((uid, hash)) = self.pair(bench, &channel) else {
            let why = "no hash with so many leading zeros was found";
            return Err(Stop::Inconclusive(why.into()));
        };
        let auth = (self.written)(&digits(hash));
        let header = header(&uid, &channel, Some(&auth));
        if self.accepted {
            return takes(bench, &uid, &channel, &header);
        }
        control(bench)?;
        refuses(bench, &header, &format!("auth {auth:?} ({})", self.what))
    }

    /// A uid whose hash begins with as many zero digits as this wants, and no more than those.
    fn pair(&self, bench: &Bench, channel: &str) -> Option<(String, u64)> {
        (0..1 << 22).find_map(|number| {
            let uid = format!("alice {number}");
            let hash = bench.target().hash(&uid, channel);
            let zeros = hash.leading_zeros() / 4;
            // Letters show whether case counts.
            let letters = digits(hash)
                .chars()
                .any(|digit| digit.is_ascii_alphabetic());
            (zeros == self.zeros && letters).then_some((uid, hash))
        })
    }
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

    #[test]
    fn digits_of_full_width_are_digits() {
        assert_eq!(fullwidth("0a"), "\u{ff10}\u{ff41}");
        assert_eq!(mixed("abcd"), "AbCd");
    }
}
