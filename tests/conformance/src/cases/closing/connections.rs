//! Connections that become no sessions (client.md, X1.10 and X1.12 to X1.14).

use std::time::{Duration, Instant};

use super::http::is_answered;
use crate::bench::{Bench, lasted};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::connection::Connection;
use crate::transcript::shown;
use crate::wire::{End, Response, hello};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "X1.10/as-many-as-it-takes",
            "an upgrade that would be a session too many is refused with 503, and told when to come again",
            as_many_as_it_takes,
        )
        .connections(MOST + 2)
        .company(Company::Disruptive),
        case(
            "X1.12/just-closed",
            "who has to go because of too many connections is closed without a byte",
            just_closed,
        )
        .connections(MOST + 20)
        .company(Company::Disruptive),
        case(
            "X1.13/silence",
            "a connection on which no TLS handshake begins is just closed",
            |bench| no_handshake(bench, &[]),
        )
        .lasts(|limits| limits.handshake_timeout)
        .connections(1),
        case(
            "X1.13/half-a-hello",
            "a connection whose TLS handshake has begun, and is not completed, is just closed",
            |bench| {
                let hello = hello();
                no_handshake(bench, &hello[..hello.len() / 2])
            },
        )
        .lasts(|limits| limits.handshake_timeout)
        .connections(1),
        case(
            "X1.14/plain-http",
            "a plain HTTP request is answered with a plain 400 that says that the port speaks TLS",
            plain_http,
        ),
        case(
            "X1.14/plain-upgrade",
            "an upgrade over plain HTTP is answered with a plain 400 that says that the port speaks TLS",
            |bench| {
                let request = bench.upgrade_request().encode();
                plain(bench, &request)
            },
        ),
        case(
            "X1.14/neither",
            "what is neither TLS nor HTTP ends the connection, and has no other effect",
            neither,
        ),
    ]
}

/// How many connections there may be for a case to fill the server with them.
pub(super) const MOST: usize = 300;

/// How many connections that are no sessions a server takes by default, if it limits them.
const FILELIMIT: u64 = 256;

fn as_many_as_it_takes(bench: &mut Bench) -> Judged {
    let (_sessions, mut connection, response) = one_too_many(bench)?;
    is_answered(&mut connection, &response, 503, bench.patience())?;
    let again = response.field("Retry-After").unwrap_or("none");
    match again.trim().parse::<u64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Stop::fail(
            "503 with Retry-After in seconds",
            format!("Retry-After: {again}"),
        )),
    }
}

/// So many sessions that the server takes no more.
///
/// # Errors
/// It cannot be brought so far.
pub(super) fn full(bench: &Bench) -> Judged<Vec<Connection>> {
    let (sessions, _, response) = one_too_many(bench).map_err(Stop::on_the_way)?;
    match response.status {
        503 => Ok(sessions),
        other => Err(Stop::Inconclusive(format!(
            "a session too many is refused with {other}"
        ))),
    }
}

/// So many sessions that an upgrade is refused, and its connection and answer.
fn one_too_many(bench: &Bench) -> Judged<(Vec<Connection>, Connection, Response)> {
    let Some(most) = bench.limits().max_sessions else {
        return Err(Stop::Skip(
            "how many sessions the server takes was not given (--set max-sessions=…)".into(),
        ));
    };
    let per_source = bench.limits().per_ip_limit;
    let is_near = bench.target().is_near();
    if most > MOST as u64 || per_source.is_some_and(|limit| !is_near && most >= limit) {
        return Err(Stop::Skip(format!(
            "the server takes {most} sessions, more than can be opened"
        )));
    }
    let mut sessions = Vec::new();
    let request = bench.upgrade_request();
    loop {
        let mut connection = bench.tls(&format!("client {}", sessions.len()))?;
        let response = connection.request(&request).map_err(Stop::on_the_way)?;
        if response.status == 101 {
            sessions.push(connection);
            if sessions.len() as u64 > most {
                return Err(Stop::fail(
                    format!("the upgrade is refused while there are {most} sessions"),
                    "101",
                ));
            }
            continue;
        }
        if sessions.is_empty() {
            let why = format!("no session: {} {}", response.status, response.text());
            return Err(Stop::Inconclusive(why));
        }
        return Ok((sessions, connection, response));
    }
}

fn just_closed(bench: &mut Bench) -> Judged {
    const MORE: usize = 8;
    let limits = bench.limits();
    let is_near = bench.target().is_near();
    let per_source = limits.per_ip_limit.filter(|_| !is_near);
    let filelimit = limits.filelimit.unwrap_or(FILELIMIT);
    let most = filelimit.min(per_source.unwrap_or(u64::MAX));
    let is_said = limits.filelimit == Some(most);
    let Some(most) = usize::try_from(most).ok().filter(|most| *most <= MOST) else {
        return Err(Stop::Skip(format!(
            "the server takes {most} connections, more than are opened here"
        )));
    };
    let mut connections: Vec<Connection> = Vec::new();
    for nth in 0..most + MORE {
        connections.push(bench.tcp(&format!("client {nth}"))?);
    }
    let deadline = Instant::now() + bench.patience();
    let mut closed = 0;
    while closed == 0 && Instant::now() < deadline {
        for connection in &mut connections {
            match connection.rest(Duration::from_millis(1)) {
                Ok((bytes, End::Orderly | End::Reset)) if bytes.is_empty() => closed += 1,
                Ok((bytes, end)) => {
                    let came = format!("{}, then {end}", shown(&bytes));
                    return Err(Stop::fail("the connection ends without a byte", came));
                }
                Err(Stop::Fail { came, .. }) if came.ends_with("nothing") => {}
                Err(stop) => return Err(stop),
            }
        }
    }
    let all = connections.len();
    match closed {
        0 if is_said => Err(Stop::fail(
            format!("of {all} connections some are closed, for {most} are the most"),
            "all are open",
        )),
        // It may limit them.
        0 => Err(Stop::Skip(format!(
            "the server takes {all} connections; if it has a limit, it was not given (--set filelimit=…)"
        ))),
        _ => Ok(()),
    }
}

fn no_handshake(bench: &Bench, bytes: &[u8]) -> Judged {
    let time = bench.limits().handshake_timeout;
    let began = Instant::now();
    let mut connection = bench.tcp("client")?;
    if !bytes.is_empty() {
        connection.send(bytes, &format!("{} bytes of a hello of TLS", bytes.len()))?;
    }
    let (came, _) = connection.rest(time * 5 / 4 + bench.patience())?;
    lasted(
        began,
        Instant::now(),
        time,
        bench.patience(),
        "the end of the connection",
    )?;
    match came.is_empty() {
        true => Ok(()),
        false => Err(Stop::fail("the connection is just closed", shown(&came))),
    }
}

fn plain_http(bench: &mut Bench) -> Judged {
    let request = bench.plain_request().encode();
    plain(bench, &request)
}

fn plain(bench: &Bench, request: &[u8]) -> Judged {
    let mut connection = bench.tcp("client")?;
    connection.send(request, &shown(request))?;
    let response = connection.response(bench.patience())?;
    let text = is_answered(&mut connection, &response, 400, bench.patience())?;
    let lower = text.to_lowercase();
    match ["tls", "ssl", "https", "wss"]
        .iter()
        .any(|word| lower.contains(word))
    {
        true => Ok(()),
        false => Err(Stop::fail(
            "a sentence that says that the port speaks TLS",
            text,
        )),
    }
}

fn neither(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let late = bench.limits().handshake_timeout * 5 / 4 + bench.patience();
    let some: [&[u8]; 3] = [
        &[0; 64],
        &[0xff; 64],
        b"\x00\x01\x02\x03neither of them, at some length\n",
    ];
    for bytes in some {
        let mut connection = bench.tcp("client")?;
        connection.send(bytes, &shown(bytes))?;
        connection.rest(late)?;
    }
    bench.nothing_but_fence(&mut alice, &mut bob, "anything of it")?;
    bench.nothing_but_fence(&mut bob, &mut alice, "anything of it")
}
