//! Clients: the judge plays the server.

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::Value;

use crate::bench::random_digits;
use crate::case::{Case, Judged, Stop, client_case as case};
use crate::session::{Event, Message, Session};
use crate::stand::{Stand, header_of};
use crate::target::hash;
use crate::transcript::shown;
use crate::wire::{Frame, Read};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("T1.1/client-tls", "a client speaks TLS", tls),
        case(
            "T1.5/client-upgrade",
            "a client asks for a WebSocket of version 13 over HTTP/1.1",
            upgrade,
        ),
        case("T2.1/client-offer", "a client offers mles-websocket", offer),
        case(
            "H1.1/client-text",
            "the first frame of a client is text",
            first_is_text,
        ),
        case(
            "H1.2/client-json",
            "names with quotes, escapes and any letters arrive as they are",
            names,
        ),
        case(
            "H1.3/client-members",
            "the header has uid and channel as they were given",
            members,
        ),
        case(
            "H1.8/client-repeated",
            "no member of the header occurs twice",
            repeated,
        ),
        case(
            "H2.1/client-length",
            "a header with long names is at most 4096 bytes long",
            length,
        ),
        case(
            "H3.1/client-at-once",
            "the header comes without anything else being said first",
            at_once,
        ),
        case(
            "H4.1/client-reserved",
            "a client uses no reserved member",
            reserved,
        ),
        case(
            "A1.1/client-hash",
            "with a key, auth is the hash of the pair under it",
            auth,
        ),
        case(
            "A1.2/client-digits",
            "auth is written as 16 lower-case digits, leading zeros too",
            digits,
        ),
        case(
            "A2.4/client-without-key",
            "without a key, auth is left out, or the hash under the empty key",
            without_key,
        ),
        case(
            "J2.1/client-history",
            "the history reaches the user of a client, and what comes after it",
            history,
        ),
        case(
            "J2.6/client-recognises",
            "a client that has lost its session gives its user only what is new",
            recognises,
        )
        .lasts(|_| Duration::from_secs(4)),
        case(
            "M1.1/client-says",
            "what the user of a client says is sent as it is, as text",
            says,
        ),
        case(
            "M1.3/client-order",
            "a client sends in the order in which its user speaks",
            order,
        ),
        case(
            "M1.7/client-empty",
            "an empty message is no end, to a client either",
            empty,
        ),
        case("M4.1/client-large", "a client takes a large message", large),
        case(
            "K2.1/client-pong",
            "a client answers pings while its user does nothing",
            pongs,
        ),
        case(
            "X2.1/client-answer",
            "a client answers a close frame and sends nothing behind it",
            answers_close,
        ),
        case(
            "X2.2/client-lost",
            "a client connects again when its connection is lost",
            |stand: &mut Stand| again_after(stand, None),
        ),
        case(
            "X2.2/client-unavailable",
            "a client connects again after 503",
            again_after_503,
        ),
        case(
            "X2.3/client-waits",
            "a client that is closed again and again waits longer and longer",
            waits,
        )
        .lasts(|_| Duration::from_secs(10)),
    ];
    for code in [1012, 4004, 4005, 4008] {
        cases.push(case(
            format!("X2.2/client-{code}"),
            format!("a client connects again after {code}"),
            move |stand| again_after(stand, Some(code)),
        ));
    }
    for code in [1002, 1007, 1009, 4000, 4001, 4002, 4011] {
        cases.push(
            case(
                format!("X2.4/client-{code}"),
                format!("a client does not connect again by itself after {code}"),
                move |stand| stays_away(stand, code),
            )
            .lasts(|_| AWAY),
        );
    }
    cases
}

/// For how long a client is seen to stay away.
const AWAY: Duration = Duration::from_secs(5);

/// How long a client may take to connect again.
const AGAIN: Duration = Duration::from_secs(15);

fn tls(stand: &mut Stand) -> Judged {
    stand.start()?;
    let patience = stand.patience();
    let connection = stand.connection(patience)?;
    let mut first = [0];
    let tcp = connection.stream.tcp();
    let set = tcp.set_read_timeout(Some(patience));
    set.map_err(|error| Stop::Inconclusive(error.to_string()))?;
    if !matches!(tcp.peek(&mut first), Ok(1)) {
        return Err(Stop::fail("the client speaks TLS", "it says nothing"));
    }
    if first[0] != 0x16 {
        let mut connection = connection;
        let mut bytes = [0; 64];
        let came = match connection.stream.read(&mut bytes, patience) {
            Read::Bytes(count) => shown(&bytes[..count]),
            Read::Nothing => "nothing".into(),
            Read::End(end) => end.to_string(),
        };
        return Err(Stop::fail("the client speaks TLS", came));
    }
    let mut connection = stand.shake(connection)?;
    stand.request(&mut connection)?;
    Ok(())
}

fn upgrade(stand: &mut Stand) -> Judged {
    stand.start()?;
    let (_session, request) = stand.session(stand.patience())?;
    let has = |name: &str, value: &str| {
        request
            .all(name)
            .flat_map(|values| values.split(','))
            .any(|came| came.trim().eq_ignore_ascii_case(value))
    };
    let key = request.all("Sec-WebSocket-Key").next().unwrap_or_default();
    let is_key = BASE64
        .decode(key.trim().as_bytes())
        .is_ok_and(|bytes| bytes.len() == 16);
    for (is_right, expected) in [
        (request.method == "GET", "a GET"),
        (request.version == "HTTP/1.1", "HTTP/1.1"),
        (request.all("Host").count() == 1, "one field Host"),
        (has("Upgrade", "websocket"), "Upgrade: websocket"),
        (has("Connection", "upgrade"), "Connection: Upgrade"),
        (
            has("Sec-WebSocket-Version", "13"),
            "Sec-WebSocket-Version: 13",
        ),
        (is_key, "Sec-WebSocket-Key with 16 bytes in base64"),
    ] {
        if !is_right {
            let came = format!(
                "{} {} {:?}",
                request.method, request.version, request.fields
            );
            return Err(Stop::fail(expected, came));
        }
    }
    Ok(())
}

fn offer(stand: &mut Stand) -> Judged {
    stand.start()?;
    let (_session, request) = stand.session(stand.patience())?;
    let offered: Vec<_> = request
        .all("Sec-WebSocket-Protocol")
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    match offered.contains(&"mles-websocket") {
        true => Ok(()),
        false => Err(Stop::fail(
            "mles-websocket in Sec-WebSocket-Protocol",
            format!("{offered:?}"),
        )),
    }
}

/// Starts the client, and gives its header as it came.
fn header(stand: &mut Stand) -> Judged<(Session, Message)> {
    stand.start()?;
    let within = stand.patience();
    stand.joiner(within)
}

/// The same, read.
fn members_of(stand: &mut Stand) -> Judged<(Session, Value)> {
    let (session, message) = header(stand)?;
    let value = header_of(&message)?;
    Ok((session, value))
}

fn first_is_text(stand: &mut Stand) -> Judged {
    let (_session, message) = header(stand)?;
    match message.text {
        true => Ok(()),
        false => Err(Stop::fail("a text frame first", message.to_string())),
    }
}

fn members(stand: &mut Stand) -> Judged {
    let (_session, value) = members_of(stand)?;
    is_pair(stand, &value)
}

fn is_pair(stand: &Stand, value: &Value) -> Judged {
    for (name, given) in [("uid", &stand.uid), ("channel", &stand.channel)] {
        if value[name] != given.as_str() {
            return Err(Stop::fail(
                format!("{name} is {given:?}"),
                value[name].to_string(),
            ));
        }
    }
    Ok(())
}

fn names(stand: &mut Stand) -> Judged {
    let digits = random_digits();
    stand.uid = "a\"b\\c/d\te\u{1f}f é 世界 \u{1f30d}\u{7f}".into();
    stand.channel = format!("  {{\"x\":1}}\n{digits} ");
    let (_session, value) = members_of(stand)?;
    is_pair(stand, &value)
}

fn repeated(stand: &mut Stand) -> Judged {
    let (_session, message) = header(stand)?;
    let text = String::from_utf8_lossy(&message.payload);
    for name in ["uid", "channel", "auth"] {
        // The names that are given hold no such text.
        if text.matches(&format!("\"{name}\"")).count() > 1 {
            return Err(Stop::fail(format!("{name} once"), text));
        }
    }
    Ok(())
}

fn length(stand: &mut Stand) -> Judged {
    let digits = random_digits();
    stand.uid = "u".repeat(1900);
    stand.channel = format!("{digits}{}", "c".repeat(1900));
    let (_session, message) = header(stand)?;
    match message.payload.len() {
        0..=4096 => is_pair(stand, &header_of(&message)?),
        longer => Err(Stop::fail("at most 4096 bytes", format!("{longer} bytes"))),
    }
}

fn at_once(stand: &mut Stand) -> Judged {
    stand.start()?;
    let (mut session, _) = stand.session(stand.patience())?;
    session.message("a header, before the client has heard anything")?;
    Ok(())
}

fn reserved(stand: &mut Stand) -> Judged {
    let (_session, value) = members_of(stand)?;
    for name in [
        "peer", "path", "have", "done", "turn", "probe", "max", "node", "seq", "ts",
    ] {
        if !value[name].is_null() {
            return Err(Stop::fail(format!("no member {name}"), value.to_string()));
        }
    }
    Ok(())
}

fn auth(stand: &mut Stand) -> Judged {
    stand.key = Some("the key of the channel's clients".into());
    stand.uid = "Zoë".into();
    let (_session, value) = members_of(stand)?;
    let right = expected_auth(stand);
    let came = value["auth"].as_str().unwrap_or_default();
    let is_digits = (1..=16).contains(&came.len()) && came.bytes().all(|c| c.is_ascii_hexdigit());
    match is_digits && u64::from_str_radix(came, 16) == Ok(right) {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("auth {right:016x}"),
            value["auth"].to_string(),
        )),
    }
}

fn expected_auth(stand: &Stand) -> u64 {
    hash(&[
        &stand.uid,
        &stand.channel,
        stand.key.as_deref().unwrap_or_default(),
    ])
}

fn digits(stand: &mut Stand) -> Judged {
    stand.key = Some("another key".into());
    // One whose hash has a leading zero, and a letter.
    for number in 0..10_000 {
        stand.uid = format!("alice{number}");
        let digits = format!("{:016x}", expected_auth(stand));
        if digits.starts_with('0') && digits.contains(|c: char| c.is_ascii_lowercase()) {
            break;
        }
    }
    let (_session, value) = members_of(stand)?;
    let right = format!("{:016x}", expected_auth(stand));
    match value["auth"] == right.as_str() {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("auth {right:?}"),
            value["auth"].to_string(),
        )),
    }
}

fn without_key(stand: &mut Stand) -> Judged {
    let (_session, value) = members_of(stand)?;
    let empty = format!("{:016x}", expected_auth(stand));
    let came = &value["auth"];
    let is_right = match came.as_str() {
        Some(text) => u64::from_str_radix(text, 16) == u64::from_str_radix(&empty, 16),
        None => came.is_null() && value.get("auth").is_none(),
    };
    match is_right {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("no auth, or {empty:?}"),
            came.to_string(),
        )),
    }
}

fn history(stand: &mut Stand) -> Judged {
    let mut session = stand.member()?;
    session.send_together(&[
        Frame::text(announcement("bob", &stand.channel)),
        Frame::text("an old message"),
        Frame::text("Grüße, 世界 \u{1f30d}"),
    ])?;
    stand.prints("an old message")?;
    stand.prints("Grüße, 世界 \u{1f30d}")?;
    session.say("a new one")?;
    stand.prints("a new one")
}

/// The canonical form (J3.1) for names without anything to escape.
fn announcement(uid: &str, channel: &str) -> String {
    format!(r#"{{"uid":"{uid}","channel":"{channel}"}}"#)
}

fn recognises(stand: &mut Stand) -> Judged {
    let mut session = stand.member()?;
    let announced = announcement("alice", &stand.channel);
    session.send_together(&[Frame::text("first"), Frame::text("second")])?;
    stand.prints("first")?;
    stand.prints("second")?;
    stand.give("my own")?;
    let own = session.message("what the user has said")?;
    session.vanish();
    let (mut session, _) = stand.joiner(AGAIN)?;
    session.send_together(&[
        Frame::text("first"),
        Frame::text("second"),
        Frame::text(announced),
        Frame::text(own.payload),
        Frame::text("third"),
    ])?;
    stand.prints("third")
}

fn says(stand: &mut Stand) -> Judged {
    let mut session = stand.member()?;
    for line in [
        "Hello Bob!",
        "Grüße, 世界 \u{1f30d}",
        r#"{"uid":"x"}"#,
        " spaces ",
    ] {
        stand.give(line)?;
        session.hears(line)?;
    }
    Ok(())
}

fn order(stand: &mut Stand) -> Judged {
    let mut session = stand.member()?;
    let lines: Vec<_> = (0..200).map(|number| format!("line {number}")).collect();
    for line in &lines {
        stand.give(line)?;
    }
    for line in &lines {
        session.hears(line)?;
    }
    Ok(())
}

fn empty(stand: &mut Stand) -> Judged {
    let mut session = stand.member()?;
    session.say("before")?;
    stand.prints("before")?;
    session.say("")?;
    session.say("behind")?;
    // Whether it prints an empty line is its own affair.
    loop {
        match stand.line(stand.patience())? {
            Some(line) if line == "behind" => return Ok(()),
            Some(line) if line.trim().is_empty() => {}
            Some(line) => return Err(Stop::fail("the client prints \"behind\"", line)),
            None => {
                return Err(Stop::fail(
                    "the client prints \"behind\"",
                    "nothing in time",
                ));
            }
        }
    }
}

fn large(stand: &mut Stand) -> Judged {
    let mut session = stand.member()?;
    let text = "0123456789abcdef".repeat(1 << 16);
    session.say(&text)?;
    stand.prints(&text)?;
    session.say("behind")?;
    stand.prints("behind")
}

fn pongs(stand: &mut Stand) -> Judged {
    let mut session = stand.member()?;
    for payload in [&b""[..], b"still there?", &[0xff; 125]] {
        session.send(&Frame::ping(payload))?;
        session.pong(payload)?;
    }
    Ok(())
}

fn answers_close(stand: &mut Stand) -> Judged {
    let mut session = stand.member()?;
    session.send(&Frame::close(1012, "the server restarts"))?;
    let patience = session.patience();
    session.close_frame(patience, "the client answers the close frame")?;
    match session.next(Duration::from_millis(200))? {
        None | Some(Event::End(_)) => Ok(()),
        Some(other) => Err(Stop::fail(
            "nothing behind a close frame",
            other.to_string(),
        )),
    }
}

/// Closes a session as a server does.
fn close(mut session: Session, code: u16) -> Judged {
    session.send(&Frame::close(code, "the judge closes the session"))?;
    let patience = session.patience();
    // Whether it answers is the subject of another case.
    let _ = session.close_frame(patience, "");
    session.connection().stream.finish();
    Ok(())
}

fn again_after(stand: &mut Stand, code: Option<u16>) -> Judged {
    let session = stand.member()?;
    match code {
        Some(code) => close(session, code)?,
        None => session.vanish(),
    }
    let (mut session, header) = stand.joiner(AGAIN)?;
    is_pair(stand, &header_of(&header)?)?;
    session.say("there again")?;
    stand.prints("there again")
}

fn again_after_503(stand: &mut Stand) -> Judged {
    let session = stand.member()?;
    session.vanish();
    let connection = stand.connection(AGAIN)?;
    let mut connection = stand.shake(connection)?;
    stand.request(&mut connection)?;
    let refusal =
        crate::wire::Response::refusal(503, "The server has no room.\n").with("Retry-After", "1");
    connection.send(&refusal.encode(), "503; Retry-After: 1")?;
    connection.stream.finish();
    stand.joiner(AGAIN)?;
    Ok(())
}

fn waits(stand: &mut Stand) -> Judged {
    let session = stand.member()?;
    close(session, 1012)?;
    let began = Instant::now();
    let mut tries = 0;
    loop {
        let left = Duration::from_secs(10).saturating_sub(began.elapsed());
        match stand.any_connection(left)? {
            None => break,
            Some(_closed_at_once) => tries += 1,
        }
    }
    stand.note(format!("{tries} tries in 10 s"));
    match tries {
        0 => Err(Stop::fail("the client connects again", "not within 10 s")),
        1..=10 => Ok(()),
        more => Err(Stop::fail("at most 10 tries in 10 s", format!("{more}"))),
    }
}

fn stays_away(stand: &mut Stand, code: u16) -> Judged {
    let session = stand.member()?;
    close(session, code)?;
    match stand.any_connection(AWAY)? {
        None => Ok(()),
        Some(_) => Err(Stop::fail(
            format!("the client does not connect again by itself after {code}"),
            "it connects again",
        )),
    }
}
