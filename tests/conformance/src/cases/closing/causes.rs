//! The close frame for each cause: its code, its reason, and what may not be in it (client.md, X1.1 to X1.3).

use std::time::Duration;

use super::http::is_sentence;
use crate::Limits;
use crate::bench::{Bench, random_digits};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::cases::slow::stall::{Stall, giant};
use crate::session::Session;
use crate::wire::{Close, Frame, Length, Request, head};

/// Why a server closes a session.
#[derive(Clone, Copy, Debug)]
struct Cause {
    code: u16,
    /// What is special, as part of a name, and as part of a sentence.
    name: &'static str,
    what: &'static str,
    lasts: fn(&Limits) -> Duration,
    /// Has the server close a session for this cause, with names and texts that have this in them.
    provoke: fn(&mut Bench, &str) -> Judged<Close>,
}

const AT_ONCE: fn(&Limits) -> Duration = |_| Duration::ZERO;

const CAUSES: [Cause; 14] = [
    Cause {
        code: 1000,
        name: "1000-answer",
        what: "the client's close frame",
        lasts: AT_ONCE,
        provoke: |bench, token| sent(bench, token, &Frame::close(4321, token).encode()),
    },
    Cause {
        code: 1002,
        name: "1002-violation",
        what: "a violation of RFC 6455",
        lasts: AT_ONCE,
        provoke: |bench, token| sent(bench, token, &Frame::text(token).reserved(4).encode()),
    },
    Cause {
        code: 1007,
        name: "1007-not-utf-8",
        what: "text that is not UTF-8",
        lasts: AT_ONCE,
        provoke: |bench, token| {
            let text = [token.as_bytes(), b"\xff"].concat();
            sent(bench, token, &Frame::text(text).encode())
        },
    },
    Cause {
        code: 1009,
        name: "1009-too-big",
        what: "a message that is too long",
        lasts: AT_ONCE,
        provoke: |bench, token| {
            let length = bench.limits().max_message + 1;
            let mut bytes = head(0x81, length, Length::Shortest, true);
            // Part of it; it is the same under the mask or not.
            bytes.extend(token.as_bytes());
            sent(bench, token, &bytes)
        },
    },
    Cause {
        code: 4000,
        name: "4000-not-json",
        what: "a header that is not JSON",
        lasts: AT_ONCE,
        provoke: |bench, token| header(bench, &Frame::text(format!("{{{token}"))),
    },
    Cause {
        code: 4000,
        name: "4000-missing-member",
        what: "a header without a uid",
        lasts: AT_ONCE,
        provoke: |bench, token| header(bench, &Frame::text(format!(r#"{{"channel":"{token}"}}"#))),
    },
    Cause {
        code: 4000,
        name: "4000-binary",
        what: "a header that is binary",
        lasts: AT_ONCE,
        provoke: |bench, token| {
            let text = bench.header(token);
            header(bench, &Frame::binary(text))
        },
    },
    Cause {
        code: 4001,
        name: "4001-auth",
        what: "an auth that is wrong",
        lasts: AT_ONCE,
        provoke: |bench, token| {
            let text = format!(r#"{{"uid":"{token}","channel":"{token}","auth":"{token}"}}"#);
            header(bench, &Frame::text(text))
        },
    },
    Cause {
        code: 4002,
        name: "4002-taken",
        what: "a pair that another live session has",
        lasts: AT_ONCE,
        provoke: taken,
    },
    Cause {
        code: 4003,
        name: "4003-no-header",
        what: "a header that does not come",
        lasts: |limits| limits.header_timeout,
        provoke: |bench, token| {
            let request = with_token(&bench.upgrade_request(), token);
            let Ok((mut session, _)) = bench.upgrade("alice", &request)? else {
                return Err(Stop::Inconclusive("no upgrade".into()));
            };
            session.send(&Frame::ping(token.as_bytes()))?;
            let within = bench.limits().header_timeout * 5 / 4 + bench.patience();
            closed(&mut session, within)
        },
    },
    Cause {
        code: 4005,
        name: "4005-probe",
        what: "a probe that is not answered",
        lasts: |limits| limits.probe_timeout,
        provoke: probed,
    },
    Cause {
        code: 4005,
        name: "4005-silence",
        what: "pings that are not answered",
        lasts: |limits| limits.ping_interval * 4,
        provoke: |bench, token| {
            let session = member(bench, token)?;
            let within = bench.limits().ping_interval * 5 + bench.patience();
            closed(&mut session.silent(), within)
        },
    },
    Cause {
        code: 4008,
        name: "4008-lagging",
        what: "a session that is lagging",
        lasts: AT_ONCE,
        provoke: lagging,
    },
    Cause {
        code: 4011,
        name: "4011-no-peers",
        what: "a handshake of a peer, where none are taken",
        lasts: AT_ONCE,
        provoke: |bench, token| {
            if bench.target().peer_key.is_some() {
                return Err(Stop::Skip("the server takes peers".into()));
            }
            let text = format!(r#"{{"uid":"{token}","channel":"{token}","peer":true}}"#);
            header(bench, &Frame::text(text))
        },
    },
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for cause in CAUSES {
        let Cause {
            code, name, what, ..
        } = cause;
        let made = |clause, title, judge: fn(Cause, &Close, &str) -> Judged| {
            let made = case(format!("{clause}/{name}"), title, move |bench| {
                let token = format!("token{}", random_digits());
                let close = (cause.provoke)(bench, &token)?;
                judge(cause, &close, &token)
            });
            let made = made.lasts(cause.lasts);
            // Those that take long leave room for others.
            match code {
                4003 => made.connections(1),
                4005 => made.connections(3),
                4008 => made.company(Company::Alone),
                _ => made.connections(4),
            }
        };
        cases.push(made(
            "X1.1",
            format!("the close frame for {what} has a code of the table and a reason for a person"),
            has_a_reason,
        ));
        cases.push(made(
            "X1.2",
            format!("the close frame for {what} has nothing in it that the client sent"),
            repeats_nothing,
        ));
        cases.push(made(
            "X1.3",
            format!("{what} is a cause for {code}"),
            has_its_code,
        ));
    }
    cases
}

/// The table of close codes.
const TABLE: [u16; 15] = [
    1000, 1002, 1007, 1009, 1012, 4000, 4001, 4002, 4003, 4004, 4005, 4008, 4010, 4011, 4012,
];

pub(super) fn has_code_and_reason(close: &Close) -> Judged {
    let expected = "a close frame with a code of the table and a reason, a sentence in UTF-8 of up to 123 bytes";
    let wrong = |why: &str| Err(Stop::fail(expected, format!("{close}: {why}")));
    let Some(code) = close.code else {
        return wrong("it has no code");
    };
    if !TABLE.contains(&code) {
        return wrong("the code is not in the table");
    }
    if close.reason.contains('\u{fffd}') {
        return wrong("the reason is not UTF-8");
    }
    if close.reason.len() > 123 {
        return wrong("the reason is too long");
    }
    match is_sentence(&close.reason) || code == 1000 {
        true => Ok(()),
        false => wrong("that is not a sentence"),
    }
}

fn has_a_reason(_: Cause, close: &Close, _: &str) -> Judged {
    has_code_and_reason(close)
}

fn repeats_nothing(_: Cause, close: &Close, token: &str) -> Judged {
    let reason = close.reason.to_lowercase();
    // A part of it tells as much.
    match reason.contains(&token[..12]) || close.code == Some(4321) {
        false => Ok(()),
        true => Err(Stop::fail(
            "a close frame without anything that the client sent",
            close.to_string(),
        )),
    }
}

fn has_its_code(cause: Cause, close: &Close, _: &str) -> Judged {
    match close.code == Some(cause.code) {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("a close frame with {} for {}", cause.code, cause.what),
            close.to_string(),
        )),
    }
}

/// What closes a session.
fn closed(session: &mut Session, within: Duration) -> Judged<Close> {
    let expected = format!("{} is closed", session.who());
    session.close_frame(within, &expected)
}

fn with_token(request: &Request, token: &str) -> Request {
    request
        .clone()
        .at(&format!("/{token}?{token}"))
        .with("Origin", &format!("https://{token}.example"))
        .with("User-Agent", token)
}

/// A session that is known to have joined, with the token wherever it can be.
fn member(bench: &mut Bench, token: &str) -> Judged<Session> {
    let request = with_token(&bench.upgrade_request(), token);
    bench.channel = format!("{token} channel");
    let upgraded = bench.upgrade("alice", &request).map_err(Stop::on_the_way)?;
    let Ok((mut alice, _)) = upgraded else {
        return Err(Stop::Inconclusive("no upgrade".into()));
    };
    alice.is_on(&bench.channel);
    alice.say(&bench.header(token)).map_err(Stop::on_the_way)?;
    let mut bob = bench.join("bob")?;
    bench.meet(&mut alice, &mut bob)?;
    bob.leave();
    Ok(alice)
}

/// What becomes of a member that sends this.
fn sent(bench: &mut Bench, token: &str, bytes: &[u8]) -> Judged<Close> {
    let mut alice = member(bench, token)?;
    alice.send_bytes(bytes, &format!("{} bytes with {token}", bytes.len()))?;
    let within = alice.patience();
    closed(&mut alice, within)
}

/// What becomes of a session that begins with this frame.
fn header(bench: &Bench, frame: &Frame) -> Judged<Close> {
    let mut session = bench.open("alice")?;
    session.send(frame)?;
    let within = session.patience();
    closed(&mut session, within)
}

fn taken(bench: &mut Bench, token: &str) -> Judged<Close> {
    let mut alice = member(bench, token)?;
    let mut newcomer = bench.join_as("newcomer", token)?;
    // Her pong is the sign of life.
    alice.ping(alice.patience()).map_err(Stop::on_the_way)?;
    let within = newcomer.patience();
    closed(&mut newcomer, within)
}

fn probed(bench: &mut Bench, token: &str) -> Judged<Close> {
    let mut alice = member(bench, token)?.silent();
    let _newcomer = bench.join_as("newcomer", token)?;
    let within = bench.limits().probe_timeout * 5 / 4 + bench.patience();
    closed(&mut alice, within)
}

fn lagging(bench: &mut Bench, token: &str) -> Judged<Close> {
    let giant = giant(bench)?;
    let waits = bench.limits().outbox + 1000;
    if waits > bench.limits().max_message {
        return Err(Stop::Skip("no message is longer than the outbox".into()));
    }
    bench.channel = format!("{token} channel");
    let mut stall = Stall::open(bench)?;
    for length in [giant, waits, 100] {
        stall.tell(length).map_err(Stop::on_the_way)?;
    }
    let drained = stall.read(bench).map_err(Stop::on_the_way)?;
    drained.close.ok_or_else(|| {
        let came = format!("{} messages and no close frame", drained.loads);
        let stop = Stop::fail("alice, who is lagging, is closed", came);
        // Perhaps nothing had to wait.
        match drained.end {
            Some(_) => stop,
            None => stop.on_the_way(),
        }
    })
}
