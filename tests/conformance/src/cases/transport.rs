//! Transport (client.md, section 2).

mod tls;

use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use data_encoding::BASE64;

use crate::bench::{Bench, random_digits};
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Session, listed};
use crate::wire::{Frame, Request, Response};

/// The field that offers subprotocols, and selects one.
const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// The token that has to be offered.
const TOKEN: &str = "mles-websocket";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "T1.1/not-over-plain-tcp",
            "a request without TLS gets no session",
            not_over_plain_tcp,
        ),
        case(
            "T1.5/upgrade",
            "an upgrade is answered as RFC 6455 says, for any key",
            upgrade,
        )
        .connections(1),
        case(
            "T1.5/other-versions",
            "an upgrade of another version than 13 gets 426 and Sec-WebSocket-Version: 13",
            other_versions,
        )
        .connections(1),
        case(
            "T1.6/second-header",
            "what looks like a header, but is not the first frame, is a message",
            second_header,
        )
        .connections(4),
        case(
            "T2.2/lists",
            "mles-websocket is found anywhere in a list",
            |bench| {
                for offer in [
                    "mles-websocket",
                    "chat, mles-websocket",
                    "mles-websocket, chat",
                    "chat,mles-websocket,superchat",
                    "mles, websocket, mles-websocket2, mles-websocket",
                ] {
                    let request = bench.upgrade_request().replace(PROTOCOL, offer);
                    upgraded(bench, &request, &format!("that offers {offer:?}"))?;
                }
                Ok(())
            },
        )
        .connections(1),
        case(
            "T2.2/several-lines",
            "mles-websocket is found in one of several Sec-WebSocket-Protocol lines",
            |bench| {
                for lines in [
                    ["chat", "superchat", "mles-websocket"],
                    ["mles-websocket", "chat", "superchat"],
                    ["chat", "superchat, mles-websocket", "x"],
                ] {
                    let mut request = bench.upgrade_request().without(PROTOCOL);
                    for line in lines {
                        request = request.with(PROTOCOL, line);
                    }
                    upgraded(bench, &request, &format!("with the lines {lines:?}"))?;
                }
                Ok(())
            },
        )
        .connections(1),
        case(
            "T2.2/white-space",
            "white space around mles-websocket is ignored",
            |bench| {
                for offer in [
                    "  mles-websocket\t ",
                    "chat \t,\t mles-websocket",
                    "mles-websocket ,chat",
                    "a,\tmles-websocket \t, b",
                ] {
                    let request = bench.upgrade_request().replace(PROTOCOL, offer);
                    upgraded(bench, &request, &format!("that offers {offer:?}"))?;
                }
                Ok(())
            },
        )
        .connections(1),
        case(
            "T2.2/case-counts",
            "a token that differs from mles-websocket in case is another one",
            |bench| {
                not_the_token(
                    bench,
                    &["Mles-WebSocket", "MLES-WEBSOCKET", "chat, mles-Websocket"],
                )
            },
        )
        .connections(1),
        case(
            "T2.2/whole-token",
            "a token that merely contains mles-websocket is another one",
            |bench| {
                not_the_token(
                    bench,
                    &[
                        "mles-websocket2",
                        "my-mles-websocket",
                        "mles-websocket-v2, mles",
                        "mles",
                    ],
                )
            },
        )
        .connections(1),
        case(
            "T2.3/selected",
            "mles-websocket is selected, and nothing else",
            selected,
        )
        .connections(1),
        case(
            "T2.4/refused",
            "an upgrade without mles-websocket gets 400 and a sentence that names it",
            refused,
        )
        .connections(1),
        case(
            "T2.4/no-session",
            "what is sent behind an upgrade without mles-websocket reaches nobody",
            no_session,
        ),
        case(
            "T2.5/any-path",
            "an upgrade is accepted at any path and with any query",
            any_path,
        )
        .connections(1),
        case(
            "T2.6/no-extension",
            "no extension is negotiated, whatever is offered",
            no_extension,
        )
        .connections(1),
        case(
            "T2.7/any-origin",
            "an upgrade is accepted from any origin and from none",
            any_origin,
        )
        .connections(1),
        case(
            "T3.1/both-families",
            "clients over IPv4 and over IPv6 find the same server",
            both_families,
        )
        .connections(4),
    ];
    cases.extend(tls::cases());
    cases.sort_by_key(|case| crate::clause::rank(case.clause_id()));
    cases
}

/// An answer as a person can read it.
fn told(response: &Response) -> String {
    let text = response.text();
    format!("{} {:?}", response.status, text.trim())
}

/// The answer to this request, which opens a session.
fn upgraded(bench: &Bench, request: &Request, what: &str) -> Judged<Response> {
    match bench.upgrade("alice", request)? {
        Ok((session, response)) => {
            lives(bench, session)?;
            Ok(response)
        }
        Err(response) => Err(Stop::fail(
            format!("an upgrade {what} is accepted: 101"),
            told(&response),
        )),
    }
}

/// A session is not merely promised: it answers, be it a ping behind its header or a close frame.
fn lives(bench: &Bench, mut session: Session) -> Judged {
    let header = bench.header_on("alice", &bench.another_channel());
    session.send_together(&[Frame::text(header), Frame::ping("there?")])?;
    if session.pong(b"there?").is_ok() {
        session.leave();
        return Ok(());
    }
    session.send(&Frame::close(1000, ""))?;
    let answer = session.close_frame(session.patience(), "an answer to a ping or a close frame");
    answer.map_err(Stop::on_the_way)?;
    Ok(())
}

/// Whoever does everything right gets a session: what is refused is refused for what is wrong.
fn control(bench: &Bench) -> Judged {
    lives(bench, bench.open("control")?)
}

fn not_over_plain_tcp(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut plain = bench.tcp("carol")?;
    let frames = [Frame::text(bench.header("carol")), Frame::text("plain")];
    let mut bytes = bench.upgrade_request().encode();
    bytes.extend(frames.iter().flat_map(Frame::encode));
    plain.send(&bytes, "the upgrade, a header and a message, without TLS")?;
    // Whoever waits for TLS does so at most this long.
    let within = bench.limits().handshake_timeout + bench.patience();
    let began = Instant::now();
    match plain.response(within) {
        Ok(response) if response.status == 101 => {
            return Err(Stop::fail("no session without TLS", told(&response)));
        }
        Err(_) if began.elapsed() >= within => {
            let why = "neither an answer nor an end has come on the plain connection";
            return Err(Stop::Inconclusive(why.into()));
        }
        Ok(_) | Err(_) => {}
    }
    bench.nothing_but_fence(&mut alice, &mut bob, "what carol sent without TLS")
}

fn upgrade(bench: &mut Bench) -> Judged {
    for _ in 0..2 {
        let key = BASE64.encode(random_digits().as_bytes());
        let request = bench.upgrade_request().replace("Sec-WebSocket-Key", &key);
        let response = upgraded(bench, &request, "of version 13")?;
        let has = |name, token: &str| {
            let mut tokens = response.all(name).flat_map(|value| value.split(','));
            tokens.any(|value| value.trim().eq_ignore_ascii_case(token))
        };
        for (name, token) in [("Upgrade", "websocket"), ("Connection", "upgrade")] {
            if !has(name, token) {
                let came = response.all(name).collect::<Vec<_>>().join(", ");
                return Err(Stop::fail(
                    format!("101 with {name}: {token}"),
                    format!("101 with {name}: {came}"),
                ));
            }
        }
    }
    Ok(())
}

fn other_versions(bench: &mut Bench) -> Judged {
    const FIELD: &str = "Sec-WebSocket-Version";
    control(bench)?;
    for version in ["8", "7", "0", "12", "14", "99"] {
        let request = bench.upgrade_request().replace(FIELD, version);
        let expected = format!("version {version} gets 426 and {FIELD}: 13");
        match bench.upgrade("alice", &request)? {
            Ok(_) => return Err(Stop::fail(expected, "101")),
            Err(response) if response.status != 426 => {
                return Err(Stop::fail(expected, told(&response)));
            }
            Err(response) => {
                let named = response.all(FIELD).map(str::trim).collect::<Vec<_>>();
                if named != ["13"] {
                    return Err(Stop::fail(expected, format!("426 and {FIELD}: {named:?}")));
                }
            }
        }
    }
    Ok(())
}

fn second_header(bench: &mut Bench) -> Judged {
    let other = bench.another_channel();
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join_on("carol", &other)?;
    let mut dave = bench.join_on("dave", &other)?;
    bench.meet(&mut carol, &mut dave)?;
    let header = bench.header_on("alice", &other);
    alice.say(&header)?;
    bob.hears(&header)?;
    let marker = bench.marker();
    alice.say(&marker)?;
    bob.hears(&marker)?;
    let heard = bench.fence(&mut carol, &mut dave);
    match heard.map_err(Stop::on_the_way)?.as_slice() {
        [] => Ok(()),
        heard => Err(Stop::fail(
            "alice's session stays on its channel",
            format!("on the channel of her second header: {}", listed(heard)),
        )),
    }
}

fn not_the_token(bench: &Bench, offers: &[&str]) -> Judged {
    control(bench)?;
    for offer in offers {
        let request = bench.upgrade_request().replace(PROTOCOL, offer);
        if bench.upgrade("alice", &request)?.is_ok() {
            return Err(Stop::fail(
                format!("an upgrade that offers only {offer:?} is refused"),
                "101",
            ));
        }
    }
    Ok(())
}

fn selected(bench: &mut Bench) -> Judged {
    for offer in [
        "mles-websocket",
        "chat, mles-websocket, superchat",
        "mles-websocket, chat",
    ] {
        let request = bench.upgrade_request().replace(PROTOCOL, offer);
        // That lists are understood is another clause's matter.
        let upgraded = upgraded(bench, &request, &format!("that offers {offer:?}"));
        let response = upgraded.map_err(Stop::on_the_way)?;
        let came: Vec<_> = response.all(PROTOCOL).map(str::trim).collect();
        if came != [TOKEN] {
            let came = match came.as_slice() {
                [] => format!("101 without {PROTOCOL}"),
                came => format!("101 with {PROTOCOL}: {}", came.join(" and another line: ")),
            };
            return Err(Stop::fail(
                format!("to {offer:?}, 101 with {PROTOCOL}: {TOKEN}"),
                came,
            ));
        }
    }
    Ok(())
}

fn refused(bench: &mut Bench) -> Judged {
    control(bench)?;
    let request = bench.upgrade_request();
    for (request, what) in [
        (request.clone().without(PROTOCOL), "nothing"),
        (request.clone().replace(PROTOCOL, "chat"), "chat"),
        (
            request.replace(PROTOCOL, "chat, superchat"),
            "chat, superchat",
        ),
    ] {
        let expected = format!("to the offer of {what}, 400 and a sentence with {TOKEN}");
        match bench.upgrade("alice", &request)? {
            Ok(_) => return Err(Stop::fail(expected, "101")),
            Err(response) if response.status != 400 || !response.text().contains(TOKEN) => {
                return Err(Stop::fail(expected, told(&response)));
            }
            Err(_) => {}
        }
    }
    Ok(())
}

fn no_session(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.tls("carol")?;
    let frames = [Frame::text(bench.header("carol")), Frame::text("no member")];
    let mut bytes = bench.upgrade_request().without(PROTOCOL).encode();
    bytes.extend(frames.iter().flat_map(Frame::encode));
    let what = "an upgrade without mles-websocket, a header and a message (in one write)";
    carol.send(&bytes, what)?;
    let answer = carol.response(bench.patience());
    if let Ok(response) = answer
        && response.status == 101
    {
        return Err(Stop::fail("the upgrade is refused", told(&response)));
    }
    bench.nothing_but_fence(&mut alice, &mut bob, "what carol sent")
}

fn any_path(bench: &mut Bench) -> Judged {
    let long = format!("/{}?{}", "long/".repeat(200), "q=1&".repeat(200));
    for path in [
        "/",
        "/a/b.html",
        "/?uid=bob&channel=x",
        "/%c3%a4/%00?%20=+",
        "/..//./;a=b",
        &long,
    ] {
        let request = bench.upgrade_request().at(path);
        upgraded(bench, &request, &format!("at {path}"))?;
    }
    Ok(())
}

fn no_extension(bench: &mut Bench) -> Judged {
    const FIELD: &str = "Sec-WebSocket-Extensions";
    for offer in [
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate",
        "x-webkit-deflate-frame, permessage-bzip2",
    ] {
        let request = bench.upgrade_request().with(FIELD, offer);
        let response = upgraded(bench, &request, &format!("that offers {offer:?}"))?;
        if let Some(came) = response.field(FIELD) {
            return Err(Stop::fail(
                format!("to {offer:?}, 101 without {FIELD}"),
                format!("{FIELD}: {came}"),
            ));
        }
    }
    Ok(())
}

fn any_origin(bench: &mut Bench) -> Judged {
    upgraded(bench, &bench.upgrade_request(), "without Origin")?;
    for origin in [
        "https://example.org",
        "http://localhost:3000",
        "null",
        "file://",
        "no origin at all",
    ] {
        let request = bench.upgrade_request().with("Origin", origin);
        upgraded(bench, &request, &format!("with Origin: {origin}"))?;
    }
    Ok(())
}

fn both_families(bench: &mut Bench) -> Judged {
    let addresses = bench.target().addresses.clone();
    let find = |is: fn(&SocketAddr) -> bool, family: &str| {
        let found = addresses.iter().find(|address| is(address)).copied();
        found.ok_or_else(|| Stop::Skip(format!("the server's name leads to no {family} address")))
    };
    let mut connected = Vec::new();
    for address in [
        find(SocketAddr::is_ipv4, "IPv4")?,
        find(SocketAddr::is_ipv6, "IPv6")?,
    ] {
        let tcp = TcpStream::connect_timeout(&address, bench.patience());
        // Whether the way there or the server is missing cannot be told.
        connected.push(tcp.map_err(|error| {
            Stop::Skip(format!("no connection to {address} from here: {error}"))
        })?);
    }
    drop(bench.pair()?);
    let mut sessions = Vec::new();
    for (uid, tcp) in ["four", "six"].into_iter().zip(connected) {
        sessions.push(member_over(bench, uid, tcp));
    }
    let (six, four) = (sessions.pop(), sessions.pop());
    let (mut four, mut six) = match (four, six) {
        (Some(Ok(four)), Some(Ok(six))) => (four, six),
        (Some(Err(stop)), Some(Ok(_))) | (Some(Ok(_)), Some(Err(stop))) => {
            let came = match stop {
                Stop::Fail { expected, came } => format!("expected {expected}; came: {came}"),
                Stop::Skip(why) | Stop::Inconclusive(why) => why,
            };
            return Err(Stop::fail("a session over each of IPv4 and IPv6", came));
        }
        (Some(Err(stop)), _) | (_, Some(Err(stop))) => return Err(stop.on_the_way()),
        (None, _) | (_, None) => return Err(Stop::Inconclusive("no connection".into())),
    };
    bench.meet(&mut four, &mut six).map_err(|stop| match stop {
        Stop::Inconclusive(why) => {
            Stop::fail("members over IPv4 and over IPv6 hear each other", why)
        }
        other @ (Stop::Fail { .. } | Stop::Skip(_)) => other,
    })
}

fn member_over(bench: &Bench, uid: &str, tcp: TcpStream) -> Judged<Session> {
    let connection = bench.on(uid, tcp)?;
    let shaken = bench.shake(connection, bench.target().tls.clone())?;
    let connection = shaken.map_err(|end| Stop::fail("TLS", end.to_string()))?;
    let answer = bench.upgrade_on(connection, &bench.upgrade_request())?;
    let (mut session, _) = answer.map_err(|response| Stop::fail("101", told(&response)))?;
    session.say(&bench.header(uid))?;
    Ok(session)
}
