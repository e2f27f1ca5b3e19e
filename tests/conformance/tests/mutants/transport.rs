//! Transport (client.md, section 2).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use mles_conformance::wire::Response;
use rustls::version::{TLS12, TLS13};

use crate::proxy::{Entry, Hooks};
use crate::{Mutant, is_data, mutant};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

pub(super) fn mutants() -> Vec<Mutant> {
    [tls(), upgrade(), subprotocol(), tolerance()]
        .into_iter()
        .flatten()
        .collect()
}

fn tls() -> Vec<Mutant> {
    vec![
        mutant(
            "T1.1/not-over-plain-tcp",
            "serves without TLS whoever does not begin it",
            Hooks::default,
        )
        .entered(|| Entry {
            serves_plain: true,
            ..Entry::default()
        }),
        mutant("T1.2/tls-1.2", "knows TLS 1.3 only", Hooks::default)
            .entered(|| Entry::new(&[&TLS13], &["http/1.1"])),
        mutant("T1.2/tls-1.3", "knows TLS 1.2 only", Hooks::default)
            .entered(|| Entry::new(&[&TLS12], &["http/1.1"])),
        mutant(
            "T1.2/nothing-older",
            "answers a client of TLS 1.1 with a hello of the server",
            Hooks::default,
        )
        .entered(|| Entry {
            first: Some(|client| answers_old(client, 2)),
            ..Entry::default()
        }),
        mutant(
            "T1.2/nothing-older",
            "answers a client of SSL 3.0 with a hello of the server",
            Hooks::default,
        )
        .entered(|| Entry {
            first: Some(|client| answers_old(client, 0)),
            ..Entry::default()
        }),
        mutant("T1.3", "does not know ALPN", Hooks::default)
            .entered(|| Entry::new(rustls::ALL_VERSIONS, &[])),
        mutant("T1.3", "prefers HTTP/2", Hooks::default)
            .entered(|| Entry::new(rustls::ALL_VERSIONS, &["h2", "http/1.1"])),
        mutant(
            "T1.3/refused",
            "takes what it does not know if http/1.1 is not offered",
            Hooks::default,
        )
        .entered(|| {
            Entry::new(
                rustls::ALL_VERSIONS,
                &["http/1.1", "http/1.0", "mles-websocket"],
            )
        }),
        mutant("T1.4/no-alpn", "wants ALPN", Hooks::default).entered(|| Entry {
            // The protocols stand in the hello as they are.
            first: Some(|client| !hello(client).windows(8).any(|part| part == b"http/1.1")),
            ..Entry::default()
        }),
        mutant(
            "T3.1/both-families",
            "drops who comes over IPv6",
            Hooks::default,
        )
        .entered(|| Entry {
            first: Some(|client| client.local_addr().unwrap().is_ipv6()),
            ..Entry::default()
        }),
    ]
}

/// The first bytes of a client, which stay to be read.
pub(crate) fn hello(client: &TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 12];
    let mut count = client.peek(&mut bytes).unwrap_or(0);
    // Behind the head of its record, whose length ends it.
    for _ in 0..100 {
        let length = match bytes[..count] {
            [_, _, _, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
            _ => 1,
        };
        if count == 0 || count >= length + 5 || count == bytes.len() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
        count = client.peek(&mut bytes).unwrap_or(0);
    }
    bytes.truncate(count);
    bytes
}

/// Answers the hello of a client that knows the version 3.`minor` at most.
fn answers_old(mut client: &TcpStream, minor: u8) -> bool {
    let hello = hello(client);
    if hello.get(9..11) != Some(&[3, minor]) {
        return false;
    }
    let _ = client.read(&mut vec![0; hello.len()]);
    let mut answer = vec![22, 3, minor, 0, 42, 2, 0, 0, 38, 3, minor];
    answer.extend([7; 32]);
    answer.extend([0, 0, 0x2f, 0]);
    let _ = client.write_all(&answer);
    true
}

fn upgrade() -> Vec<Mutant> {
    vec![
        mutant(
            "T1.5/upgrade",
            "answers every key as that of the example",
            || {
                Hooks::default().response(|response, _| {
                    *response = response
                        .clone()
                        .replace("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
                })
            },
        ),
        mutant("T1.5/upgrade", "upgrades without Connection", || {
            Hooks::default().response(|response, _| {
                *response = response.clone().without("Connection");
            })
        }),
        mutant("T1.5/other-versions", "takes every version for 13", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().replace("Sec-WebSocket-Version", "13");
            })
        }),
        mutant(
            "T1.5/other-versions",
            "refuses other versions with 400",
            || {
                Hooks::default().response(|response, _| {
                    if response.status == 426 {
                        response.status = 400;
                    }
                })
            },
        ),
        mutant(
            "T1.5/other-versions",
            "does not say which version it knows",
            || {
                Hooks::default().response(|response, _| {
                    *response = response.clone().without("Sec-WebSocket-Version");
                })
            },
        ),
        mutant(
            "T1.6/second-header",
            "keeps a second header for itself",
            || second_header(|_| {}),
        ),
        mutant("T1.6/second-header", "refuses a second header", || {
            second_header(|wires| wires.close_client(4000, "There is a header already."))
        }),
    ]
}

/// Does this with a header that is not the first frame.
fn second_header(done: impl Fn(&mut crate::proxy::Wires) + Send + 'static) -> Hooks {
    let mut frames = 0;
    Hooks::default().up(move |frame, wires| {
        frames += usize::from(is_data(&frame));
        match frames > 1 && frame.payload.starts_with(b"{\"uid\"") {
            true => done(wires),
            false => wires.send_server(frame),
        }
    })
}

/// Reads the offer of subprotocols in its own way.
fn offer(read: impl Fn(Vec<String>) -> Vec<String> + Send + 'static) -> Hooks {
    Hooks::default().request(move |request, _| {
        let lines = request.all(PROTOCOL).map(str::to_owned).collect();
        let mut changed = request.clone().without(PROTOCOL);
        for line in read(lines) {
            changed = changed.with(PROTOCOL, &line);
        }
        *request = changed;
    })
}

fn subprotocol() -> Vec<Mutant> {
    vec![
        mutant("T2.2/lists", "takes the whole line for one token", || {
            offer(|lines| {
                let one = lines.into_iter().filter(|line| !line.contains(','));
                one.collect()
            })
        }),
        mutant("T2.2/lists", "looks at the first token only", || {
            offer(|lines| {
                let first = lines.first().and_then(|line| line.split(',').next());
                first.map(str::to_owned).into_iter().collect()
            })
        }),
        mutant("T2.2/several-lines", "looks at the first line only", || {
            offer(|lines| lines.into_iter().take(1).collect())
        }),
        mutant("T2.2/several-lines", "looks at the last line only", || {
            offer(|lines| lines.into_iter().last().into_iter().collect())
        }),
        mutant(
            "T2.2/white-space",
            "takes tabs for a part of the token",
            || {
                offer(|lines| {
                    let line = |line: String| line.replace('\t', "_");
                    lines.into_iter().map(line).collect()
                })
            },
        ),
        mutant("T2.2/white-space", "wants a comma and a space", || {
            offer(|lines| {
                let has = |line: &String| line.split(", ").any(|token| token == "mles-websocket");
                lines.into_iter().filter(has).collect()
            })
        }),
        mutant("T2.2/case-counts", "ignores case", || {
            offer(|lines| {
                let line = |line: String| line.to_ascii_lowercase();
                lines.into_iter().map(line).collect()
            })
        }),
        mutant("T2.2/whole-token", "looks for the text only", || {
            offer(|lines| {
                let found = lines.iter().any(|line| line.contains("mles-websocket"));
                found
                    .then(|| "mles-websocket".to_owned())
                    .into_iter()
                    .collect()
            })
        }),
        mutant("T2.3/selected", "selects nothing", || {
            Hooks::default().response(|response, _| {
                *response = response.clone().without(PROTOCOL);
            })
        }),
        mutant("T2.3/selected", "selects all that was offered", || {
            let offered = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
            let selected = offered.clone();
            Hooks::default()
                .request(move |request, _| {
                    let lines: Vec<_> = request.all(PROTOCOL).collect();
                    *offered.lock().unwrap() = lines.join(", ");
                })
                .response(move |response, _| {
                    let all = selected.lock().unwrap();
                    *response = response.clone().replace(PROTOCOL, &all);
                })
        }),
        mutant("T2.3/selected", "selects a second subprotocol", || {
            Hooks::default().response(|response, _| {
                *response = response.clone().with(PROTOCOL, "chat");
            })
        }),
        mutant("T2.4", "does not care for the subprotocol", || {
            offer(|_| vec!["mles-websocket".to_owned()])
        }),
        mutant("T2.4/refused", "does not say what is missing", || {
            Hooks::default().response(|response, wires| {
                if response.status == 400 {
                    wires.answer(&Response::refusal(400, "This request is wrong."));
                }
            })
        }),
        mutant("T2.4/refused", "refuses with 403", || {
            Hooks::default().response(|response, _| {
                if response.status == 400 {
                    response.status = 403;
                }
            })
        }),
    ]
}

fn tolerance() -> Vec<Mutant> {
    vec![
        mutant("T2.5/any-path", "serves only the path /", || {
            Hooks::default().request(|request, wires| {
                if request.target != "/" {
                    wires.answer(&Response::refusal(404, "There is nothing here."));
                }
            })
        }),
        mutant("T2.5/any-path", "wants no query", || {
            Hooks::default().request(|request, wires| {
                if request.target.contains('?') {
                    wires.answer(&Response::refusal(400, "There is a query."));
                }
            })
        }),
        mutant("T2.6/no-extension", "agrees to compression", || {
            const FIELD: &str = "Sec-WebSocket-Extensions";
            let offered = std::sync::Arc::new(std::sync::Mutex::new(false));
            let asked = offered.clone();
            Hooks::default()
                .request(move |request, _| {
                    *asked.lock().unwrap() = request.all(FIELD).next().is_some();
                })
                .response(move |response, _| {
                    if *offered.lock().unwrap() {
                        *response = response.clone().replace(FIELD, "permessage-deflate");
                    }
                })
        }),
        mutant("T2.6/no-extension", "refuses who offers extensions", || {
            Hooks::default().request(|request, wires| {
                if request.all("Sec-WebSocket-Extensions").next().is_some() {
                    wires.answer(&Response::refusal(400, "There are no extensions."));
                }
            })
        }),
        mutant("T2.7/any-origin", "refuses other origins", || {
            Hooks::default().request(|request, wires| {
                if request.all("Origin").next().is_some() {
                    wires.answer(&Response::refusal(403, "Not from there."));
                }
            })
        }),
        mutant("T2.7/any-origin", "wants an origin", || {
            Hooks::default().request(|request, wires| {
                if request.all("Origin").next().is_none() {
                    wires.answer(&Response::refusal(403, "From nowhere."));
                }
            })
        }),
    ]
}
