//! Closing (client.md, section 11).

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mles_conformance::wire::{Frame, Opcode, Response};

use crate::proxy::{Entry, Hooks};
use crate::slow::load;
use crate::whose::{closes_with, down_to, down_to_first};
use crate::{Mutant, is_close, is_data, mutant, set_wrong};

pub(super) fn mutants() -> Vec<Mutant> {
    let all = [
        causes(),
        ends(),
        http(),
        last(),
        order(),
        connections(),
        shutdown(),
    ];
    all.into_iter().flatten().collect()
}

/// Each cause that has a reason.
const REASONED: [&str; 14] = [
    "X1.1/1002-violation",
    "X1.1/1007-not-utf-8",
    "X1.1/1009-too-big",
    "X1.1/4000-not-json",
    "X1.1/4000-missing-member",
    "X1.1/4000-binary",
    "X1.1/4001-auth",
    "X1.1/4002-taken",
    "X1.1/4003-no-header",
    "X1.1/4005-probe",
    "X1.1/4005-silence",
    "X1.1/4008-lagging",
    "X1.1/4011-no-peers",
    "X1.1/1012-restart",
];

/// What the judge sends so that it can be found again.
fn token(bytes: &[u8]) -> Option<String> {
    const LENGTH: usize = 21;
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let at = text.find("token")?;
    text.get(at..at + LENGTH).map(str::to_owned)
}

/// Close frames and answers have in them what the client sent.
fn repeats() -> Hooks {
    let last = Arc::new(Mutex::new(String::new()));
    let (of_request, of_frame, of_bytes) = (last.clone(), last.clone(), last.clone());
    let sentence = |last: &Arc<Mutex<String>>| format!("what is {} to mean", last.lock().unwrap());
    Hooks::default()
        .request(move |request, _| {
            let all = format!("{request:?}");
            if let Some(token) = token(all.as_bytes()) {
                *of_request.lock().unwrap() = token;
            }
        })
        .response(move |response, _| {
            if response.status != 101 {
                *response = Response::refusal(response.status, &sentence(&of_bytes));
            }
        })
        .up(move |frame, wires| {
            if let Some(token) = token(&frame.payload) {
                *of_frame.lock().unwrap() = token;
            }
            wires.send_server(frame);
        })
        .down(move |frame, wires| {
            let frame = match is_close(&frame) {
                true => Frame::close(frame.as_close().code.unwrap_or(1000), &sentence(&last)),
                false => frame,
            };
            wires.send_client(frame);
        })
}

fn causes() -> Vec<Mutant> {
    let mut all: Vec<_> = REASONED
        .iter()
        .map(|case| {
            mutant(*case, "gives no reason", || {
                closes_with(|close| (close.code.unwrap_or(1000), String::new()))
            })
        })
        .collect();
    all.extend([
        mutant(
            "X1.1",
            "closes with a code that is not in the table",
            || closes_with(|close| (1008, close.reason)),
        ),
        mutant("X1.2", "repeats what the client sent", repeats),
        mutant("X1.3", "closes with one code for everything", || {
            closes_with(|close| (1011, close.reason))
        }),
    ]);
    all
}

/// Answers close frames with what they said.
fn echoes() -> Hooks {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    Hooks::default()
        .up(move |frame, wires| {
            if is_close(&frame) {
                heard.lock().unwrap().clone_from(&frame.payload);
            }
            wires.send_server(frame);
        })
        .down(move |mut frame, wires| {
            if is_close(&frame) {
                frame.payload.clone_from(&said.lock().unwrap());
            }
            wires.send_client(frame);
        })
}

/// What stands behind the end of a session comes before it.
fn reads_on() -> Hooks {
    let behind = Frame::text("behind the end").encode();
    Hooks::default().up_bytes(move |bytes, wires| match bytes.strip_suffix(&*behind) {
        Some(before) => {
            wires.bytes_server(&behind);
            wires.bytes_server(before);
        }
        None => wires.bytes_server(bytes),
    })
}

/// The connection is never dropped.
fn stays() -> Hooks {
    Hooks::default().server_ended(|_| {})
}

fn ends() -> Vec<Mutant> {
    let mut all = vec![
        mutant("X1.4/any-code", "answers with the client's code", echoes),
        mutant("X1.4/no-code", "answers without a code", echoes),
        mutant(
            "X1.4/before-the-header",
            "takes it for a bad header",
            || closes_with(|_| (4000, "that is no header".into())),
        ),
        mutant("X1.4", "ends the connection without an answer", || {
            Hooks::default().down(|frame, wires| match is_close(&frame) {
                true => wires.end_client(),
                false => wires.send_client(frame),
            })
        }),
        mutant("X1.5/ahead-of-the-outbox", "sends what waited first", {
            let was = Arc::new(AtomicBool::new(false));
            move || {
                down_to_first("alice", &was, |frame, wires| {
                    if is_close(&frame) {
                        wires.send_client(load(1, 100_000));
                    }
                    wires.send_client(frame);
                })
            }
        }),
        mutant("X1.5/nothing-follows", "sends a ping behind it", || {
            Hooks::default().down(|frame, wires| {
                let is_last = is_close(&frame);
                wires.send_client(frame);
                if is_last {
                    wires.send_client(Frame::ping("still there?"));
                }
            })
        }),
        mutant(
            "X1.6/behind-a-refused-header",
            "waits for a right header",
            || {
                let mut is_first = true;
                Hooks::default().up(move |frame, wires| {
                    let is_header = frame.payload.starts_with(b"{");
                    if !is_header && std::mem::take(&mut is_first) {
                        wires.send_client(Frame::close(4000, "that is no header"));
                        return;
                    }
                    is_first = false;
                    wires.send_server(frame);
                })
            },
        ),
        mutant(
            "X1.7/when-both-are-exchanged",
            "waits for the client",
            stays,
        ),
        mutant(
            "X1.7/when-the-client-has-answered",
            "waits for the client",
            stays,
        ),
        mutant("X1.7/without-an-answer", "waits for ever", stays),
        mutant("X1.7/although-nobody-reads", "waits for ever", {
            let count = Arc::new(AtomicUsize::new(0));
            // What the server would still send is kept, for alice, who comes first.
            move || match count.fetch_add(1, Ordering::Relaxed) {
                0 => stays().greedy(),
                _ => Hooks::default(),
            }
        }),
        mutant("X1.15/before-the-join", "tells the others", {
            let flag = Arc::new(AtomicBool::new(false));
            move || tells_of_the_end(&flag)
        }),
        mutant("X1.15/a-member", "tells the others", {
            let flag = Arc::new(AtomicBool::new(false));
            move || tells_of_the_end(&flag)
        }),
    ];
    let discarding = [
        "X1.6/behind-a-close-frame",
        "X1.6/behind-a-violation",
        "X1.6/behind-text-that-is-none",
        "X1.6/behind-what-is-too-long",
    ];
    all.extend(discarding.map(|case| mutant(case, "goes on with what has come", reads_on)));
    let gone = [
        "X1.15/a-member",
        "X1.15/the-end-of-tls",
        "X1.15/within-a-frame",
        "X1.15/within-a-message",
    ];
    all.extend(gone.map(|case| {
        mutant(case, "does not notice the end", || {
            let gone = Arc::new(AtomicBool::new(false));
            let is_gone = gone.clone();
            Hooks::default()
                .client_ended(move |_| gone.store(true, Ordering::Relaxed))
                .down(move |frame, wires| {
                    if !is_gone.load(Ordering::Relaxed) {
                        wires.send_client(frame);
                    }
                })
        })
    }));
    all
}

/// Others hear of the end of a connection.
fn tells_of_the_end(flag: &Arc<AtomicBool>) -> Hooks {
    let (flag, flagged) = (flag.clone(), flag.clone());
    Hooks::default()
        .client_ended(move |wires| {
            flag.store(true, Ordering::Relaxed);
            wires.end_server();
        })
        .down(move |frame, wires| {
            if is_data(&frame) && flagged.load(Ordering::Relaxed) {
                wires.send_client(Frame::text("somebody has left"));
            }
            wires.send_client(frame);
        })
}

/// Refusals become this.
fn refuses(change: impl Fn(&Response) -> Response + Send + 'static) -> Hooks {
    Hooks::default().response(move |response, _| {
        if response.status != 101 {
            *response = change(response);
        }
    })
}

fn http() -> Vec<Mutant> {
    const WITH_BODY: [&str; 9] = [
        "X1.9/404-nothing-there",
        "X1.9/405-post",
        "X1.9/405-unknown-method",
        "X1.9/400-malformed-field",
        "X1.9/400-malformed-request-line",
        "X1.9/400-no-subprotocol",
        "X1.9/426-websocket-version",
        "X1.9/505-http-version",
        "X1.9/505-http-2",
    ];
    let mut all: Vec<_> = WITH_BODY
        .map(|case| {
            mutant(case, "says nothing", || {
                refuses(|response| Response::refusal(response.status, ""))
            })
        })
        .into();
    all.extend([
        mutant("X1.9", "has one status for everything", || {
            refuses(|_| Response::refusal(403, "that is not allowed here"))
        }),
        mutant("X1.9", "waits for another request", || {
            Hooks::default().server_ended(|_| {})
        }),
        mutant("X1.9/404-nothing-there", "answers with a page", || {
            refuses(|response| {
                let page = "<html><body>There is nothing here.</body></html>";
                Response::refusal(response.status, page).replace("Content-Type", "text/html")
            })
        }),
        mutant("X1.11/408", "has another status", || {
            refuses(|_| Response::refusal(400, "that is not complete"))
        }),
        mutant("X1.11/408", "does not wait as long", || {
            let mut is_done = false;
            Hooks::default().tick(move |wires| {
                if wires.began.elapsed() > Duration::from_secs(5) && !is_done {
                    is_done = true;
                    wires.answer(&Response::refusal(408, "that took too long"));
                }
            })
        }),
        mutant("X1.11/408", "ends the connection without an answer", || {
            Hooks::default().response(|_, wires| wires.cut_client())
        }),
        mutant("X1.11/431", "has another status", || {
            refuses(|_| Response::refusal(400, "that is too long"))
        }),
        mutant("X1.11/16-kib", "takes less", || {
            Hooks::default().response(|response, _| {
                *response = Response::refusal(431, "that is too long");
            })
        }),
    ]);
    all
}

fn last() -> Vec<Mutant> {
    vec![
        mutant("X1.16", "closes over what it has not read", || {
            Hooks::default().server_ended(|wires| wires.reset_client())
        }),
        mutant("X1.16/plain-http", "does not read a body", Hooks::default).entered(|| Entry {
            first: Some(|mut tcp| {
                // TLS is not what this is about.
                let mut first = [0];
                if matches!(tcp.peek(&mut first), Ok(1)) && first[0] == 0x16 {
                    return false;
                }
                let response = Response::refusal(400, "this port speaks TLS");
                let _ = tcp.write_all(&response.encode());
                true
            }),
            ..Entry::default()
        }),
    ]
}

fn order() -> Vec<Mutant> {
    let orders = [
        ("X1.17/head-before-method", 405),
        ("X1.17/head-before-path", 404),
        ("X1.17/head-before-version", 426),
        ("X1.17/method-before-path", 404),
        ("X1.17/method-before-version", 426),
        ("X1.17/version-before-key", 400),
        ("X1.17/version-before-token", 400),
        ("X1.17/room-last", 503),
    ];
    orders
        .map(|(case, status)| {
            mutant(case, "has the other order", move || {
                refuses(move |_| Response::refusal(status, "that is refused"))
            })
        })
        .into()
}

fn connections() -> Vec<Mutant> {
    let spoken = || Entry {
        first: Some(|mut tcp| {
            let _ = tcp.write_all(b"busy\r\n");
            false
        }),
        ..Entry::default()
    };
    let plain = || Entry {
        serves_plain: true,
        ..Entry::default()
    };
    let patient = || Entry {
        first: Some(|tcp| {
            let mut first = [0];
            let is_tls = matches!(tcp.peek(&mut first), Ok(1)) && first[0] == 0x16;
            if !is_tls {
                thread::sleep(Duration::from_secs(8));
            }
            !is_tls
        }),
        ..Entry::default()
    };
    vec![
        set_wrong(
            "X1.10/as-many-as-it-takes",
            "takes one more",
            &["max-sessions=7"],
        ),
        mutant(
            "X1.10/as-many-as-it-takes",
            "does not say when to come again",
            || refuses(|response| Response::refusal(response.status, "there is no room here")),
        ),
        mutant("X1.10/as-many-as-it-takes", "has another status", || {
            refuses(|_| Response::refusal(429, "there is no room").with("Retry-After", "5"))
        }),
        mutant("X1.12/just-closed", "says why", Hooks::default).entered(spoken),
        set_wrong("X1.12/just-closed", "takes them all", &["filelimit=1000"]),
        set_wrong("X1.13", "waits for ever", &["handshake-timeout=1h"]),
        set_wrong("X1.13", "does not wait", &["handshake-timeout=500ms"]),
        mutant("X1.13/silence", "says why", Hooks::default).entered(spoken),
        mutant("X1.14/plain", "serves it", Hooks::default).entered(plain),
        mutant("X1.14/neither", "waits for more", Hooks::default).entered(patient),
    ]
}

fn shutdown() -> Vec<Mutant> {
    vec![
        mutant("X1.8/every-session-with-1012", "closes with 1001", || {
            closes_with(|close| (1001, close.reason))
        }),
        mutant(
            "X1.8/every-session-with-1012",
            "closes members only",
            || {
                let mut is_member = false;
                let closes = Arc::new(AtomicBool::new(false));
                let closed = closes.clone();
                Hooks::default()
                    .up(move |frame, wires| {
                        is_member |= is_data(&frame);
                        closes.store(is_member, Ordering::Relaxed);
                        wires.send_server(frame);
                    })
                    .down(move |frame, wires| {
                        match is_close(&frame) && !closed.load(Ordering::Relaxed) {
                            true => wires.cut_client(),
                            false => wires.send_client(frame),
                        }
                    })
            },
        ),
        mutant(
            "X1.5/what-waits-goes-out-before-1012",
            "drops what waits",
            || {
                down_to("alice", |frame, wires| {
                    if frame.opcode != Opcode::BINARY {
                        wires.send_client(frame);
                    }
                })
            },
        ),
    ]
}
