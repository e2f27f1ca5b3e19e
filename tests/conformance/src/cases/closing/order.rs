//! Requests that there are several reasons to refuse (client.md, X1.17).

use super::connections::full;
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::transcript::shown;
use crate::wire::Request;

/// What is asked for.
type Asked = fn(&Bench) -> Request;

/// The first of two reasons, its status, the request that gives both, and which the second is.
const PAIRS: [(&str, u16, Asked, &str); 7] = [
    (
        "head-before-method",
        505,
        |bench| http2(bench.plain_request().method("POST")),
        "method",
    ),
    (
        "head-before-path",
        505,
        |bench| http2(nowhere(bench)),
        "path",
    ),
    (
        "head-before-version",
        505,
        |bench| http2(old(bench)),
        "version of WebSocket",
    ),
    (
        "method-before-path",
        405,
        |bench| nowhere(bench).method("DELETE"),
        "path",
    ),
    (
        "method-before-version",
        405,
        |bench| old(bench).method("POST"),
        "version of WebSocket, for what is no GET asks for no upgrade",
    ),
    (
        "version-before-key",
        426,
        |bench| old(bench).without("Sec-WebSocket-Key"),
        "missing key",
    ),
    (
        "version-before-token",
        426,
        |bench| old(bench).without("Sec-WebSocket-Protocol"),
        "missing subprotocol",
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<_> = PAIRS
        .into_iter()
        .map(|(name, status, asked, second)| {
            case(
                format!("X1.17/{name}"),
                format!("the answer is {status}, whatever the {second}"),
                move |bench| is_first(bench, status, &asked(bench)),
            )
        })
        .collect();
    cases.push(
        case(
            "X1.17/room-last",
            "a server without room for a session has its other reasons first",
            room_last,
        )
        .connections(super::connections::MOST + 2)
        .company(Company::Disruptive),
    );
    cases
}

fn http2(mut request: Request) -> Request {
    request.version = "HTTP/2.0".into();
    request
}

fn nowhere(bench: &Bench) -> Request {
    let nowhere = format!("/{}", crate::bench::random_digits());
    bench.plain_request().at(&nowhere)
}

fn old(bench: &Bench) -> Request {
    bench
        .upgrade_request()
        .replace("Sec-WebSocket-Version", "12")
}

fn is_first(bench: &Bench, status: u16, request: &Request) -> Judged {
    let mut connection = bench.tls("client")?;
    let bytes = request.encode();
    connection.send(&bytes, &shown(&bytes))?;
    let response = connection.response(bench.patience())?;
    match response.status == status {
        true => Ok(()),
        false => Err(Stop::fail(
            status.to_string(),
            format!("{} {}", response.status, response.text().trim()),
        )),
    }
}

fn room_last(bench: &mut Bench) -> Judged {
    let sessions = full(bench)?;
    let version = old(bench);
    let token = bench.upgrade_request().without("Sec-WebSocket-Protocol");
    let nowhere = nowhere(bench);
    is_first(bench, 426, &version)?;
    is_first(bench, 400, &token)?;
    is_first(bench, 404, &nowhere)?;
    drop(sessions);
    Ok(())
}
