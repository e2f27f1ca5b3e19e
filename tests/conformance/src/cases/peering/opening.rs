//! Opening a link (peering.md, section 2), as the server does that is dialed.

mod checks;
mod links;

pub(super) use checks::proves;

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::link::{Handshake, Link, MINUTE, NUMBER_MOST, clock, random_uid};

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
    ];
    all.extend(checks::cases());
    all.extend(links::cases());
    all
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

/// Whether this is 128 bits as they are written.
pub(super) fn is_uid(text: &str) -> bool {
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
pub(super) fn fault(reply: &Value) -> Option<&'static str> {
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
