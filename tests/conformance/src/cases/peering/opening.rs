//! Opening a link (peering.md, section 2), as the server does that is dialed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::limits::Limits;
use crate::link::{Handshake, Link, MINUTE, NUMBER_MOST, Said, clock, random_uid};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![
        case(
            "O1.1/nonce-in-the-response",
            "a request with a nonce is answered with one: 32 lower-case hexadecimal digits",
            nonce_in_the_response,
        ),
        case(
            "O1.1/new-for-each-connection",
            "each connection has a nonce of its own",
            new_for_each_connection,
        ),
        case(
            "O1.1/only-when-asked",
            "a request without a nonce is answered without one",
            only_when_asked,
        ),
        case(
            "O1.1/another-form",
            "a nonce in another form counts as none",
            |bench| {
                let right = random_uid();
                let others = [
                    right.to_uppercase().replace('0', "A"),
                    right[1..].to_owned(),
                    format!("{right}0"),
                    String::new(),
                ];
                others
                    .iter()
                    .try_for_each(|nonce| is_no_nonce(bench, &[nonce]))
            },
        ),
        case(
            "O1.1/twice",
            "a nonce that comes twice counts as none",
            |bench| is_no_nonce(bench, &[&random_uid(), &random_uid()]),
        ),
        case(
            "O1.1/handshake-without-nonce",
            "a handshake on a connection without nonces is refused with 4011",
            handshake_without_nonce,
        ),
        case(
            "O1.2/longest",
            "a handshake may be 4096 bytes long, and its channel be any name",
            longest,
        ),
        case(
            "O1.2/too-long",
            "a handshake of 4097 bytes is refused with 4000",
            too_long,
        ),
        case(
            "O1.2/joins-nothing",
            "the channel that a handshake names is not joined by it",
            joins_nothing,
        ),
        case(
            "O1.3/reply",
            "the reply to a handshake is a handshake with the server's own values",
            reply,
        ),
        case(
            "O1.3/same-uid",
            "a server has the same uid on each link",
            same_uid,
        ),
        case(
            "O1.3/upper-end",
            "after the reply the server answers joins, as the upper end of a link",
            upper_end,
        ),
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
            "O1.5/takes-no-peers",
            "a server that takes no peers refuses a handshake with 4011, however wrong it is",
            takes_no_peers,
        ),
        case(
            "O1.6/comes-again",
            "a second link of one node is taken, and the first is closed with 4002",
            comes_again,
        ),
        case(
            "O1.6/probe",
            "a probe does not end the link of its node",
            probe_replaces_nothing,
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
            "O1.8/nothing-comes",
            "a connection with nonces is closed with 4003 when no handshake has come in time",
            nothing_comes,
        )
        .lasts(time_to_open),
        case(
            "O1.9/64-links",
            "a server takes 64 links, and refuses a further one with 4004",
            links_64,
        )
        .connections(68)
        .company(Company::Disruptive),
        case(
            "O1.9/no-room-needed",
            "a server that has 64 links replies to a probe, and takes a node that comes again",
            no_room_needed,
        )
        .connections(68)
        .company(Company::Disruptive),
        case(
            "O1.10/reply-and-close",
            "a probe is replied to, and the connection closed with 1000",
            reply_and_close,
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

/// A connection without nonces, whose hash would cover these.
fn without_nonces(bench: &Bench, nonce: &str) -> Judged<Link> {
    let key = bench.peer_key()?;
    let session = bench.open("peer")?;
    let nonces = [nonce.to_owned(), nonce.to_owned()];
    Ok(Link::new(session, nonces, key, &bench.channel))
}

/// Fields of a request that count as no nonce: neither has the response one, nor is a handshake taken.
fn is_no_nonce(bench: &Bench, nonces: &[&str]) -> Judged {
    let key = bench.peer_key()?;
    let mut request = bench.upgrade_request();
    for nonce in nonces {
        request = request.with("Mles-Nonce", nonce);
    }
    let Ok((session, response)) = bench.upgrade("peer", &request)? else {
        return Err(Stop::fail("an upgrade", "another status"));
    };
    if let Some(nonce) = response.field("Mles-Nonce") {
        return Err(Stop::fail(
            "no field Mles-Nonce",
            format!("Mles-Nonce: {nonce}"),
        ));
    }
    let dialer = nonces.first().copied().unwrap_or_default().to_owned();
    let mut link = Link::new(session, [dialer, String::new()], key, &bench.channel);
    link.say(link.handshake())?;
    link.closed(4011).map(drop)
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

/// Whether this is 128 bits as they are written.
fn is_uid(text: &str) -> bool {
    text.len() == 32
        && text
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

fn nonce_in_the_response(bench: &mut Bench) -> Judged {
    bench.peer_key()?;
    // Names of fields have no case.
    for name in ["Mles-Nonce", "mles-nonce"] {
        let request = bench.upgrade_request().with(name, &random_uid());
        let expected = "101 with one field Mles-Nonce of 32 lower-case hexadecimal digits";
        let (_session, response) = match bench.upgrade("peer", &request)? {
            Ok(upgraded) => upgraded,
            Err(response) => return Err(Stop::fail(expected, response.status.to_string())),
        };
        let nonces: Vec<_> = response.all("Mles-Nonce").collect();
        match nonces[..] {
            [nonce] if is_uid(nonce.trim()) => {}
            [] => return Err(Stop::fail(expected, "101 without it")),
            _ => {
                return Err(Stop::fail(
                    expected,
                    format!("Mles-Nonce: {}", nonces.join(", ")),
                ));
            }
        }
    }
    Ok(())
}

fn new_for_each_connection(bench: &mut Bench) -> Judged {
    let (first, second) = (bench.peer("first")?, bench.peer("second")?);
    if first.nonces[1] == second.nonces[1] || first.nonces[0] == first.nonces[1] {
        let came = format!("{} and {}", first.nonces[1], second.nonces[1]);
        return Err(Stop::fail("each nonce is drawn anew", came));
    }
    Ok(())
}

fn only_when_asked(bench: &mut Bench) -> Judged {
    // It knows what a nonce is.
    bench.peer("peer")?;
    let upgraded = bench.upgrade("client", &bench.upgrade_request())?;
    let Ok((_session, response)) = upgraded else {
        return Err(Stop::Inconclusive("no upgrade".into()));
    };
    match response.field("Mles-Nonce") {
        None => Ok(()),
        Some(nonce) => Err(Stop::fail(
            "no field Mles-Nonce",
            format!("Mles-Nonce: {nonce}"),
        )),
    }
}

fn handshake_without_nonce(bench: &mut Bench) -> Judged {
    // As if nonces were nothing, and as if they were zeros.
    for nonce in ["", &"0".repeat(32)] {
        let mut link = without_nonces(bench, nonce)?;
        link.say(link.handshake())?;
        link.closed(4011)?;
    }
    Ok(())
}

/// The right handshake with a channel that makes it this long.
fn of_length(link: &Link, length: usize) -> Handshake {
    let mut handshake = link.handshake();
    handshake.channel = "Kanal \"1\" \u{1f30d} ".into();
    let missing = length - handshake.to_string().len();
    handshake.channel.push_str(&"x".repeat(missing));
    handshake.auth = Some(link.auth(&handshake.channel));
    handshake
}

fn longest(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    let handshake = of_length(&link, 4096);
    link.shake_with(&handshake)
}

fn too_long(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    let handshake = of_length(&link, 4097);
    link.say(&handshake)?;
    link.closed(4000).map(drop)
}

fn joins_nothing(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    let mut handshake = link.handshake();
    handshake.channel = bench.channel.clone();
    handshake.auth = Some(link.auth(&handshake.channel));
    link.shake_with(&handshake).map_err(Stop::on_the_way)?;
    let (mut alice, mut bob) = bench.pair()?;
    bench
        .fence(&mut alice, &mut bob)
        .map_err(Stop::on_the_way)?;
    // What was said before would come before the reply to the join.
    link.join_having(&bench.channel, &json!({})).map(drop)
}

/// What a reply lacks of being a handshake (O1.2), if it lacks anything.
fn fault(reply: &Value) -> Option<&'static str> {
    const TEN: u64 = 10 * MINUTE + MINUTE / 6;
    let uid = |value: &Value| value.as_str().is_some_and(is_uid);
    let path = reply["path"].as_array();
    if !uid(&reply["uid"]) {
        Some("`uid` is not 32 lower-case hexadecimal digits")
    } else if reply["channel"].as_str().is_none_or(str::is_empty) {
        Some("`channel` is not a name")
    } else if !reply["auth"].is_string() {
        Some("`auth` is not a text")
    } else if reply["peer"] != true {
        Some("`peer` is not true")
    } else if path.is_none_or(|path| path.len() > 64 || !path.iter().all(uid)) {
        Some("`path` is not an array of uids")
    } else if reply["ts"]
        .as_u64()
        .is_none_or(|ts| ts.abs_diff(clock()) > TEN)
    {
        // It would have refused a handshake with that difference (O1.7).
        Some("`ts` is not its clock in microseconds")
    } else if reply["max"].as_u64().is_none_or(|max| max > NUMBER_MOST) {
        Some("`max` is not a length")
    } else {
        None
    }
}

fn reply(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    link.say(link.handshake())?;
    let reply = link.hear("a handshake in reply")?;
    if reply.text.len() > 4096 {
        let came = format!("{} bytes", reply.text.len());
        return Err(Stop::fail("a handshake of at most 4096 bytes", came));
    }
    if let Some(fault) = fault(&reply.head) {
        let expected = "a handshake: uid, channel, auth, peer, path, ts, max";
        return Err(Stop::fail(expected, format!("{fault}: {reply}")));
    }
    if reply.head["uid"] == *link.uid {
        return Err(Stop::fail("the server's own uid", "that of the judge"));
    }
    Ok(())
}

fn same_uid(bench: &mut Bench) -> Judged {
    let (first, second) = (bench.link("first")?, bench.link("second")?);
    match first.server() == second.server() {
        true => Ok(()),
        false => Err(Stop::fail(
            "one uid in both replies",
            format!("{} and {}", first.server(), second.server()),
        )),
    }
}

fn upper_end(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut link = bench.link("peer")?;
    link.join_having(&bench.channel, &json!({}))?;
    let marker = bench.marker();
    alice.say(&marker)?;
    bob.until(&marker).map_err(Stop::on_the_way)?;
    link.hears_text(&marker)?;
    let marker = bench.marker();
    link.tells(&marker)?;
    alice.until(&marker).map(drop)
}

fn auth_of_the_reply(bench: &mut Bench) -> Judged {
    let key = bench.peer_key()?;
    let link = bench.link("peer")?;
    let hello = &link.hello;
    let text = |name: &str| hello[name].as_str().unwrap_or_default();
    let right = link.auth_of(text("uid"), text("channel"), &key);
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

fn takes_no_peers(bench: &mut Bench) -> Judged {
    if bench.peer_key().is_ok() {
        return Err(Stop::Skip("the server takes peers".into()));
    }
    let request = bench.upgrade_request().with("Mles-Nonce", &random_uid());
    let Ok((mut session, response)) = bench.upgrade("peer", &request)? else {
        return Err(Stop::Inconclusive("no upgrade".into()));
    };
    let path: Vec<_> = (0..65).map(|_| random_uid()).collect();
    let handshake = Handshake {
        uid: random_uid(),
        channel: "conformance".into(),
        auth: None,
        path,
        ts: 1,
        max: 1 << 20,
        probe: false,
    };
    session.say(&handshake.to_string())?;
    let expected = "peer is closed with 4011";
    let close = session.close_frame(bench.patience(), expected)?;
    match close.code {
        Some(4011) => Ok(()),
        // Only one that takes peers has to give a nonce.
        Some(4001) if response.field("Mles-Nonce").is_some() => Err(Stop::Skip(
            "the server seems to take peers, and that was not said (--peer-key-file, --peering)"
                .into(),
        )),
        _ => Err(Stop::fail(expected, close.to_string())),
    }
}

fn comes_again(bench: &mut Bench) -> Judged {
    let mut first = bench.link("first")?;
    let mut second = bench.peer("second")?;
    second.uid = first.uid.clone();
    second.shake()?;
    first.closed(4002)?;
    second.still_works()
}

fn probe_replaces_nothing(bench: &mut Bench) -> Judged {
    let mut link = bench.link("peer")?;
    let mut probe = bench.peer("probe")?;
    probe.uid = link.uid.clone();
    let handshake = Handshake {
        probe: true,
        ..probe.handshake()
    };
    probe.shake_with(&handshake).map_err(Stop::on_the_way)?;
    probe.closed(1000).map_err(Stop::on_the_way)?;
    link.still_works()
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

/// Whether the connection is to be a link shows only by its first frame: until then it is a client's, too (H3.1).
fn time_to_open(limits: &Limits) -> Duration {
    limits.header_timeout.max(Duration::from_secs(10))
}

fn nothing_comes(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    let began = Instant::now();
    // Half of a handshake is none.
    let handshake = link.handshake().to_string();
    let (half, _) = handshake.split_at(handshake.len() / 2);
    link.session.send(&Frame::text(half).unfinished())?;
    let ten = Duration::from_secs(10);
    let least = bench.limits().header_timeout.min(ten);
    let most = time_to_open(bench.limits());
    let late = most + most / 4 + bench.patience();
    link.session.closed_within(4003, late)?;
    // Clocks differ a little, and the upgrade was before the response came.
    if began.elapsed() < least.saturating_sub(least / 10 + Duration::from_millis(300)) {
        let expected = format!("{:.1} s to open the link", least.as_secs_f32());
        let came = format!("closed after {:.1} s", began.elapsed().as_secs_f32());
        return Err(Stop::fail(expected, came));
    }
    Ok(())
}

/// All links that the server takes, and one that it has refused with 4004.
fn all_links(bench: &Bench) -> Judged<Vec<Link>> {
    bench.peer_key()?;
    let addresses = &bench.target().addresses;
    let is_near = addresses.iter().all(|address| address.ip().is_loopback());
    let limits = bench.limits();
    if limits.per_ip_limit.is_some_and(|limit| limit < 68) && !is_near {
        let why = "the server takes too few connections from here (--set per-ip-limit)";
        return Err(Stop::Skip(why.into()));
    }
    if limits.rate_limit.is_some_and(|limit| limit < 100) {
        let why = "the server takes too few connections a minute from here (--set rate-limit)";
        return Err(Stop::Skip(why.into()));
    }
    let mut links: Vec<Link> = Vec::new();
    let mut heard = Instant::now();
    loop {
        // So that none is closed because it does not answer pings.
        if heard.elapsed() > Duration::from_secs(3) {
            for link in &mut links {
                link.next(Duration::ZERO)?;
            }
            heard = Instant::now();
        }
        let mut link = bench.peer("peer")?;
        link.say(link.handshake())?;
        let expected = match links.len() {
            64.. => "the 65th link is refused with 4004",
            _ => "a reply, or 4004",
        };
        match link.next(bench.patience())? {
            Some(Said::Frame(_)) if links.len() < 64 => links.push(link),
            Some(Said::Close(close)) if close.code == Some(4004) => return Ok(links),
            Some(other) => return Err(Stop::fail(expected, other.to_string())),
            None => return Err(Stop::fail(expected, "nothing")),
        }
    }
}

fn links_64(bench: &mut Bench) -> Judged {
    let mut links = all_links(bench)?;
    // One that is there is not disturbed.
    if let Some(link) = links.first_mut() {
        link.still_works()?;
    }
    match links.len() {
        64 => Ok(()),
        count => Err(Stop::Inconclusive(format!(
            "the server took {count} links; it may have others, of which it cannot be known here"
        ))),
    }
}

fn no_room_needed(bench: &mut Bench) -> Judged {
    let mut links = all_links(bench).map_err(Stop::on_the_way)?;
    let mut probe = bench.peer("probe")?;
    let handshake = Handshake {
        probe: true,
        ..probe.handshake()
    };
    probe.shake_with(&handshake)?;
    let Some(former) = links.first_mut() else {
        return Err(Stop::Inconclusive("the server takes no link".into()));
    };
    let mut again = bench.peer("again")?;
    again.uid.clone_from(&former.uid);
    again.shake()?;
    former.closed(4002).map(drop)
}

fn reply_and_close(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    let handshake = Handshake {
        probe: true,
        ..link.handshake()
    };
    link.shake_with(&handshake)?;
    link.closed(1000).map(drop)
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
