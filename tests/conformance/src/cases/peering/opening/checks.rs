//! How a handshake is checked (peering.md, section 2).

use super::{of_length, without_nonces};
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Handshake, Link, MINUTE, random_uid};

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![
        case(
            "O1.4/reply",
            "the reply proves that the server knows the peer key, by the nonces of both ends",
            auth_of_the_reply,
        ),
        refused(
            "O1.4/missing",
            "a handshake without auth",
            4001,
            |_, shake| {
                shake.auth = None;
            },
        ),
        refused(
            "O1.4/another-key",
            "a handshake under another key",
            4001,
            |link, shake| {
                shake.auth = Some(link.auth_of(&shake.uid, &shake.channel, "another key"));
            },
        ),
        refused(
            "O1.4/without-nonces",
            "a handshake whose hash covers no nonces",
            4001,
            |link, shake| {
                link.nonces = [String::new(), String::new()];
                shake.auth = Some(link.auth(&shake.channel));
            },
        ),
        refused(
            "O1.4/only-the-own-nonce",
            "a handshake whose hash lacks the server's nonce",
            4001,
            |link, shake| {
                link.nonces[1].clear();
                shake.auth = Some(link.auth(&shake.channel));
            },
        ),
        refused(
            "O1.4/nonces-changed-round",
            "a handshake whose hash has the nonces the other way round",
            4001,
            |link, shake| {
                link.nonces.swap(0, 1);
                shake.auth = Some(link.auth(&shake.channel));
            },
        ),
        refused(
            "O1.4/another-uid",
            "a handshake with the hash of another uid",
            4001,
            |_, shake| {
                shake.uid = random_uid();
            },
        ),
        refused(
            "O1.4/another-channel",
            "a handshake with the hash of another channel",
            4001,
            |_, shake| {
                shake.channel.push('x');
            },
        ),
        refused(
            "O1.4/malformed",
            "a handshake whose auth has a prefix",
            4001,
            |_, shake| {
                shake.auth = shake.auth.take().map(|auth| format!("0x{auth}"));
            },
        ),
        refused(
            "O1.4/empty",
            "a handshake with an empty auth",
            4001,
            |_, shake| {
                shake.auth = Some(String::new());
            },
        ),
        case(
            "O1.4/either-case",
            "auth may be written in upper case",
            |bench| {
                let mut link = bench.peer("peer")?;
                let handshake = link.handshake();
                let auth = handshake.auth.clone().map(|auth| auth.to_uppercase());
                link.shake_with(&Handshake { auth, ..handshake })
            },
        ),
        case(
            "O1.4/leading-zeros",
            "leading zeros of auth may be left out",
            leading_zeros,
        ),
        case(
            "O1.4/overheard",
            "a handshake that was right on one connection is refused with 4001 on another",
            overheard,
        ),
        case(
            "O1.7/within-ten-minutes",
            "a handshake is taken whose clock is less than ten minutes ahead or behind",
            within_ten_minutes,
        ),
        case(
            "O1.7/ahead",
            "a handshake is refused with 4011 whose clock is more than ten minutes ahead",
            |bench| {
                clock_off(bench, i64::try_from(10 * MINUTE + MINUTE / 2).unwrap_or(0)).map(drop)
            },
        ),
        case(
            "O1.7/behind",
            "a handshake is refused with 4011 whose clock is more than ten minutes behind",
            |bench| {
                clock_off(bench, -i64::try_from(10 * MINUTE + MINUTE / 2).unwrap_or(0)).map(drop)
            },
        ),
        case(
            "O1.7/says-which",
            "the reason says whose clock is behind",
            says_which,
        ),
        case(
            "O1.10/checked",
            "a probe is checked as any other handshake",
            checked,
        ),
    ];
    all.extend(order());
    all
}

/// A case in which the right handshake, changed in this way, is refused.
fn refused(
    name: &'static str,
    what: &str,
    code: u16,
    change: fn(&mut Link, &mut Handshake),
) -> Case {
    let title = format!("{what} is refused with {code}");
    case(name, title, move |bench| {
        let mut link = bench.peer("peer")?;
        let mut handshake = link.handshake();
        change(&mut link, &mut handshake);
        link.say(&handshake)?;
        link.closed(code).map(drop)
    })
}

/// The order of the checks, and what is no handshake.
fn order() -> Vec<Case> {
    let without_nonce =
        |name: &'static str, title: &'static str, code, frame: fn(&Link) -> String| {
            case(name, title, move |bench| {
                let mut link = without_nonces(bench, "")?;
                link.say(frame(&link))?;
                link.closed(code).map(drop)
            })
        };
    let mut all = vec![
        without_nonce(
            "O1.11/size-before-nonce",
            "a handshake without a nonce that is too long is refused with 4000",
            4000,
            |link| of_length(link, 4097).to_string(),
        ),
        without_nonce(
            "O1.11/grammar-before-nonce",
            "a handshake without a nonce that is no right JSON is refused with 4000",
            4000,
            |link| link.handshake().to_string().replacen('{', r#"{"path":[],"#, 1),
        ),
        without_nonce(
            "O1.11/nonce-before-form",
            "a handshake without a nonce and without a path is refused with 4011",
            4011,
            |link| link.handshake().to_string().replacen(r#""path":[],"#, "", 1),
        ),
        case(
            "O1.11/form-before-auth",
            "a handshake without a path, whose auth is wrong, is refused with 4012",
            |bench| {
                let mut link = bench.peer("peer")?;
                let handshake = Handshake { auth: None, ..link.handshake() };
                link.say(handshake.to_string().replacen(r#""path":[],"#, "", 1))?;
                link.closed(4012).map(drop)
            },
        ),
        case(
            "O1.11/auth-before-uid",
            "a handshake with the server's own uid, whose auth is wrong, is refused with 4001",
            |bench| own_uid(bench, 4001, |shake| shake.auth = Some("0".into())),
        ),
        case(
            "O1.11/uid-before-clock",
            "a handshake with the server's own uid, whose clock is wrong, is refused with 4010",
            |bench| own_uid(bench, 4010, |shake| shake.ts = 1),
        ),
        refused("O1.11/auth-before-clock", "a handshake whose auth and clock are wrong", 4001, |_, shake| {
            shake.auth = Some("0".into());
            shake.ts = 1;
        }),
        refused("O1.11/auth-before-length", "a handshake whose auth is wrong and whose path is too long", 4001, |_, shake| {
            shake.auth = Some("0".into());
            shake.path = (0..65).map(|_| random_uid()).collect();
        }),
        case(
            "O1.11/length-before-path",
            "a handshake of a node on the server's path, whose own path is too long, is refused with 4011",
            |bench| {
                let above = random_uid();
                bench.beneath(std::slice::from_ref(&above), |bench, _| {
                    let mut link = bench.peer("peer")?;
                    link.uid.clone_from(&above);
                    link.path = (0..65).map(|_| random_uid()).collect();
                    link.say(link.handshake())?;
                    link.closed(4011).map(drop)
                })
            },
        )
        .company(Company::Alone),
    ];
    const FORMS: [(&str, &str, &str, &str); 11] = [
        ("O1.2/no-path", "path left out", r#""path":[],"#, ""),
        (
            "O1.2/path-no-array",
            "a path that is a text",
            r#""path":[]"#,
            r#""path":"""#,
        ),
        (
            "O1.2/path-of-names",
            "a path that is not of uids",
            r#""path":[]"#,
            r#""path":["name"]"#,
        ),
        ("O1.2/no-ts", "ts left out", r#""ts":"#, r#""t":"#),
        ("O1.2/ts-negative", "a negative ts", r#""ts":"#, r#""ts":-"#),
        (
            "O1.2/ts-with-point",
            "a ts with a decimal point",
            r#","max""#,
            r#".0,"max""#,
        ),
        ("O1.2/no-max", "max left out", r#""max":"#, r#""most":"#),
        (
            "O1.2/max-as-text",
            "a max that is a text",
            r#""max":16777216"#,
            r#""max":"16777216""#,
        ),
        (
            "O1.2/max-too-great",
            "a max of 2^53",
            r#""max":16777216"#,
            r#""max":9007199254740992"#,
        ),
        ("O1.2/uid-too-short", "a uid of 31 digits", "", ""),
        ("O1.2/uid-in-upper-case", "a uid in upper case", "", ""),
    ];
    all.extend(FORMS.map(|(name, what, from, to)| {
        let title = format!("a handshake with {what} is refused with 4012");
        case(name, title, move |bench| {
            let mut link = bench.peer("peer")?;
            match name {
                "O1.2/uid-too-short" => drop(link.uid.pop()),
                "O1.2/uid-in-upper-case" => link.uid = format!("{}F", &link.uid[1..]),
                _ => {}
            }
            link.say(link.handshake().to_string().replacen(from, to, 1))?;
            link.closed(4012).map(drop)
        })
    }));
    all
}

/// A handshake with the server's own uid is refused with this code.
fn own_uid(bench: &Bench, code: u16, change: fn(&mut Handshake)) -> Judged {
    let server = bench.link("first")?.server();
    let mut link = bench.peer("peer")?;
    link.uid = server;
    let mut handshake = link.handshake();
    change(&mut handshake);
    link.say(&handshake)?;
    link.closed(code).map(drop)
}

fn leading_zeros(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    let mut handshake = link.handshake();
    while !handshake
        .auth
        .as_ref()
        .is_some_and(|auth| auth.starts_with('0'))
    {
        link.uid = random_uid();
        handshake = link.handshake();
    }
    let auth = handshake
        .auth
        .as_ref()
        .map(|auth| auth.trim_start_matches('0').to_owned());
    link.shake_with(&Handshake { auth, ..handshake })
}

fn auth_of_the_reply(bench: &mut Bench) -> Judged {
    let key = bench.peer_key()?;
    proves(&bench.link("peer")?, &key)
}

/// Whether the server's handshake proves that it knows the key.
///
/// # Errors
/// It does not.
pub(in crate::cases::peering) fn proves(link: &Link, key: &str) -> Judged {
    let hello = &link.hello;
    let text = |name: &str| hello[name].as_str().unwrap_or_default();
    let right = link.auth_of(text("uid"), text("channel"), key);
    let came = text("auth");
    let value = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let is_hex = !came.is_empty() && came.len() <= 16 && !came.starts_with('+');
    if is_hex && value(came) == value(&right) {
        return Ok(());
    }
    let expected = format!("auth {right}, the hash over uid, channel, peer key and both nonces");
    Err(Stop::fail(expected, format!("auth {}", hello["auth"])))
}

fn overheard(bench: &mut Bench) -> Judged {
    let mut first = bench.peer("first")?;
    let handshake = first.handshake();
    first.shake_with(&handshake).map_err(Stop::on_the_way)?;
    let dialer = first.nonces[0].clone();
    first.leave();
    // The one who has overheard it can say the dialer's nonce again, but not the server's.
    let request = bench.upgrade_request().with("Mles-Nonce", &dialer);
    let Ok((mut session, _)) = bench.upgrade("second", &request)? else {
        return Err(Stop::Inconclusive("no upgrade".into()));
    };
    session.say(&handshake.to_string())?;
    session.closed(4001).map(drop)
}

/// The answer to a handshake whose clock is so far ahead of the server's, which refuses it.
fn clock_off(bench: &Bench, micros: i64) -> Judged<crate::wire::Close> {
    let first = bench.link("first")?;
    let mut second = bench.peer("second")?;
    let handshake = Handshake {
        ts: first.now().saturating_add_signed(micros),
        ..second.handshake()
    };
    second.say(&handshake)?;
    second.closed(4011)
}

fn within_ten_minutes(bench: &mut Bench) -> Judged {
    let first = bench.link("first")?;
    for ts in [first.now() + 9 * MINUTE, first.now() - 9 * MINUTE] {
        let mut second = bench.peer("second")?;
        let handshake = Handshake {
            ts,
            ..second.handshake()
        };
        second.shake_with(&handshake)?;
    }
    Ok(())
}

fn says_which(bench: &mut Bench) -> Judged {
    let eleven = i64::try_from(11 * MINUTE).unwrap_or(0);
    let ahead = clock_off(bench, eleven).map_err(Stop::on_the_way)?;
    let behind = clock_off(bench, -eleven).map_err(Stop::on_the_way)?;
    if ahead.reason.is_empty() || ahead.reason == behind.reason {
        let came = format!(
            "{:?} if the judge's clock is ahead, and {:?} if it is behind",
            ahead.reason, behind.reason
        );
        return Err(Stop::fail("two reasons that differ", came));
    }
    Ok(())
}

fn checked(bench: &mut Bench) -> Judged {
    let server = bench.link("first")?;
    type Change = fn(&mut Link, &mut Handshake, &Link);
    let changes: [(u16, Change); 4] = [
        (4001, |_, shake, _| {
            shake.auth = Some("0123456789abcdef".into())
        }),
        (4010, |link, shake, server| {
            link.uid = server.server();
            *shake = Handshake {
                probe: true,
                ..link.handshake()
            };
        }),
        (4011, |_, shake, server| {
            shake.ts = server.now() - 11 * MINUTE
        }),
        (4011, |_, shake, _| {
            shake.path = (0..65).map(|_| random_uid()).collect()
        }),
    ];
    for (code, change) in changes {
        let mut link = bench.peer("probe")?;
        let mut handshake = Handshake {
            probe: true,
            ..link.handshake()
        };
        change(&mut link, &mut handshake, &server);
        link.say(&handshake)?;
        link.closed(code)?;
    }
    Ok(())
}
