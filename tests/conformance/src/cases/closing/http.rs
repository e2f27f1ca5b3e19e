//! Requests that are refused (client.md, X1.9, X1.11, and X1.2 for their answers).

use std::thread;
use std::time::{Duration, Instant};

use crate::bench::{Bench, lasted, random_digits};
use crate::case::{Case, Judged, Stop, case};
use crate::connection::Connection;
use crate::transcript::shown;
use crate::wire::{Request, Response};

/// A request that is refused.
#[derive(Clone, Copy)]
struct Refused {
    status: u16,
    name: &'static str,
    what: &'static str,
    /// Its bytes, with this in it wherever it can be.
    bytes: fn(&Bench, &str) -> Vec<u8>,
}

const REFUSED: [Refused; 10] = [
    Refused {
        status: 404,
        name: "404-nothing-there",
        what: "a request for a path where nothing is, without an upgrade",
        bytes: |bench, token| bench.plain_request().at(&format!("/{token}")).encode(),
    },
    Refused {
        status: 405,
        name: "405-post",
        what: "a POST",
        bytes: |bench, token| {
            let request = bench.plain_request().at(&format!("/{token}"));
            request.method("POST").with("Content-Length", "0").encode()
        },
    },
    Refused {
        status: 405,
        name: "405-unknown-method",
        what: "a method that nobody knows",
        bytes: |bench, token| bench.plain_request().method(&token.to_uppercase()).encode(),
    },
    Refused {
        status: 405,
        name: "head",
        what: "a HEAD without an upgrade",
        bytes: |bench, token| {
            let request = bench.plain_request().at(&format!("/{token}"));
            request.method("HEAD").encode()
        },
    },
    Refused {
        status: 400,
        name: "400-malformed-field",
        what: "a field without a colon",
        bytes: |bench, token| {
            let host = &bench.target().host;
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n{token} {token}\r\n\r\n").into_bytes()
        },
    },
    Refused {
        status: 400,
        name: "400-malformed-request-line",
        what: "a request line that is none",
        bytes: |bench, token| {
            let host = &bench.target().host;
            format!("{token}\r\nHost: {host}\r\n\r\n").into_bytes()
        },
    },
    Refused {
        status: 400,
        name: "400-no-subprotocol",
        what: "an upgrade without mles-websocket",
        bytes: |bench, token| {
            let request = with_token(bench.upgrade_request(), token);
            request.replace("Sec-WebSocket-Protocol", token).encode()
        },
    },
    Refused {
        status: 426,
        name: "426-websocket-version",
        what: "an upgrade to another version of WebSocket",
        bytes: |bench, token| {
            let request = with_token(bench.upgrade_request(), token);
            request.replace("Sec-WebSocket-Version", "12").encode()
        },
    },
    Refused {
        status: 505,
        name: "505-http-version",
        what: "an HTTP version that is neither 1.0 nor 1.1",
        bytes: |bench, token| {
            let mut request = with_token(bench.upgrade_request(), token);
            request.version = "HTTP/2.0".into();
            request.encode()
        },
    },
    Refused {
        status: 505,
        name: "505-http-2",
        what: "HTTP/2 with prior knowledge",
        bytes: |_, _| b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
    },
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for refused in REFUSED {
        let Refused {
            status, name, what, ..
        } = refused;
        // The answer to a HEAD has no body, and HTTP/2 begins with the same bytes always.
        if !["head", "505-http-2"].contains(&name) {
            cases.push(case(
                format!("X1.2/{name}"),
                format!("the answer to {what} has nothing in its body that the client sent"),
                move |bench| repeats_nothing(bench, refused),
            ));
        }
        let how = match name {
            "head" => "404 or 405".to_owned(),
            _ => format!("{status} and a sentence"),
        };
        cases.push(case(
            format!("X1.9/{name}"),
            format!("{what} is answered with {how}, and the connection ends"),
            move |bench| is_refused(bench, refused),
        ));
    }
    cases.extend([
        case(
            "X1.11/408-half-a-head",
            "a head that is not complete 10 s after the TLS handshake is answered with 408",
            |bench| too_late(bench, Duration::MAX),
        )
        .lasts(|_| HEAD_TIME)
        .connections(1),
        case(
            "X1.11/408-a-byte-at-a-time",
            "a head that still comes in 10 s after the TLS handshake is answered with 408",
            |bench| too_late(bench, Duration::from_millis(700)),
        )
        .lasts(|_| HEAD_TIME)
        .connections(1),
        case(
            "X1.11/431-complete",
            "a head of 16 KiB and a byte is answered with 431",
            |bench| {
                let head = long(bench, HEAD_MOST + 1).encode();
                too_long(bench, &head)
            },
        ),
        case(
            "X1.11/431-incomplete",
            "a head that is longer than 16 KiB already is answered with 431 before it is complete",
            |bench| {
                let mut head = long(bench, HEAD_MOST + 3000).encode();
                head.truncate(HEAD_MOST + 1000);
                too_long(bench, &head)
            },
        ),
        case(
            "X1.11/16-kib",
            "a head of just 16 KiB is taken",
            just_16_kib,
        ),
    ]);
    cases
}

fn with_token(request: Request, token: &str) -> Request {
    let request = request.at(&format!("/{token}?{token}"));
    request.with("User-Agent", token)
}

fn answered(bench: &Bench, refused: Refused, token: &str) -> Judged<(Connection, Response)> {
    let mut connection = bench.tls("client")?;
    let bytes = (refused.bytes)(bench, token);
    connection.send(&bytes, &shown(&bytes))?;
    let response = connection.response(bench.patience())?;
    Ok((connection, response))
}

fn repeats_nothing(bench: &Bench, refused: Refused) -> Judged {
    let token = format!("token{}", random_digits());
    let answered = answered(bench, refused, &token);
    let (_, response) = answered.map_err(Stop::on_the_way)?;
    nothing_is_served(refused, &response)?;
    if response.body.is_empty() {
        let why = format!("{} without a body", response.status);
        return Err(Stop::Inconclusive(why));
    }
    let text = response.text().to_lowercase();
    match text.contains(&token[..12]) {
        false => Ok(()),
        true => Err(Stop::fail(
            "a body without anything that the client sent",
            response.text(),
        )),
    }
}

/// With this status, a sentence, and the end of the connection.
pub(super) fn is_answered(
    connection: &mut Connection,
    response: &Response,
    status: u16,
    patience: Duration,
) -> Judged<String> {
    if response.status != status {
        let came = format!("{} {}", response.status, response.text().trim());
        return Err(Stop::fail(format!("{status} and a sentence"), came));
    }
    let text = sentence(response)?;
    connection.rest(patience)?;
    Ok(text)
}

/// Whether a text can be a sentence: several words, or in a script that may not part them.
pub(super) fn is_sentence(text: &str) -> bool {
    text.trim().contains(' ') || !text.is_ascii()
}

/// Goes on only if nothing is served at the path of a request that asks for what is not there: what is served where is
/// the server's own matter (section 14).
fn nothing_is_served(refused: Refused, response: &Response) -> Judged {
    let asks = ["404-nothing-there", "head"].contains(&refused.name);
    match asks && (200..400).contains(&response.status) {
        false => Ok(()),
        true => Err(Stop::Skip(format!(
            "the server serves something at any path: {}",
            response.status
        ))),
    }
}

fn sentence(response: &Response) -> Judged<String> {
    let wrong = |why: &str| {
        let came = format!("{why}: {}", shown(&response.body));
        Err(Stop::fail("a sentence in plain text", came))
    };
    let Ok(text) = String::from_utf8(response.body.clone()) else {
        return wrong("not UTF-8");
    };
    let begin = text.trim_start();
    if begin.starts_with('<') || begin.starts_with('{') {
        return wrong("not plain text");
    }
    if !is_sentence(begin) {
        return wrong("not a sentence");
    }
    match response.field("Content-Type") {
        Some(kind) if !kind.trim().to_lowercase().starts_with("text/plain") => {
            wrong(&format!("{kind} instead of text/plain"))
        }
        _ => Ok(text),
    }
}

fn is_refused(bench: &Bench, refused: Refused) -> Judged {
    let token = format!("token{}", random_digits());
    let (mut connection, response) = answered(bench, refused, &token)?;
    nothing_is_served(refused, &response)?;
    if refused.name == "head" {
        // The table can be read in both ways, if there is nothing at the path.
        return match response.status {
            404 | 405 => connection.rest(bench.patience()).map(drop),
            other => Err(Stop::fail("404 or 405", other.to_string())),
        };
    }
    is_answered(&mut connection, &response, refused.status, bench.patience()).map(drop)
}

/// How long a head may take.
const HEAD_TIME: Duration = Duration::from_secs(10);

fn too_late(bench: &Bench, every: Duration) -> Judged {
    let began = Instant::now();
    let mut connection = bench.tls("client")?;
    let head = bench.upgrade_request().encode();
    let (begin, rest) = head.split_at(30);
    connection.send(begin, &shown(begin))?;
    // A little earlier than it has to be answered, so that what comes then finds the answer under way.
    let until = HEAD_TIME - Duration::from_millis(1200);
    for byte in rest {
        if began.elapsed().saturating_add(every) > until {
            break;
        }
        thread::sleep(every);
        connection.send(&[*byte], &shown(&[*byte]))?;
    }
    let late = HEAD_TIME * 5 / 4 + bench.patience();
    let response = connection.response(late.saturating_sub(began.elapsed()))?;
    lasted(
        began,
        Instant::now(),
        HEAD_TIME,
        bench.patience(),
        "an answer",
    )?;
    is_answered(&mut connection, &response, 408, bench.patience()).map(drop)
}

/// How long a head may be.
const HEAD_MOST: usize = 16 << 10;

/// An upgrade whose head has so many bytes.
fn long(bench: &Bench, length: usize) -> Request {
    const FIELD: usize = 1000;
    let mut request = bench.upgrade_request();
    // A field costs its name, its value, and four bytes more.
    let own = "X-Padding".len() + 4;
    loop {
        let missing = length.saturating_sub(request.encode().len());
        let value = match missing {
            0 => return request,
            short if short <= FIELD + own => short.saturating_sub(own),
            // What is left is enough for a field of its own.
            more => FIELD.min(more - 2 * own),
        };
        request = request.with("X-Padding", &"p".repeat(value));
    }
}

fn too_long(bench: &Bench, head: &[u8]) -> Judged {
    let mut connection = bench.tls("client")?;
    connection.send(
        head,
        &format!("the head of an upgrade, {} bytes of it", head.len()),
    )?;
    let response = connection.response(bench.patience())?;
    is_answered(&mut connection, &response, 431, bench.patience()).map(drop)
}

fn just_16_kib(bench: &mut Bench) -> Judged {
    let request = long(bench, HEAD_MOST);
    let upgraded = bench.upgrade("alice", &request)?;
    let (mut alice, _) = upgraded.map_err(|response| {
        Stop::fail(
            format!("101 to a head of {HEAD_MOST} bytes"),
            format!("{} {}", response.status, response.text().trim()),
        )
    })?;
    // It is a session like any other.
    alice.say(&bench.header("alice"))?;
    let mut bob = bench.join("bob")?;
    bench.meet(&mut alice, &mut bob)
}
