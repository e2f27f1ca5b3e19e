//! Clients that are wrong: a client that is right behind a proxy that is not, or a command that runs it in a way that is
//! not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use black_box::{STD, suite};
use mles_conformance::wire::{Frame, Opcode};
use mles_conformance::{Case, Program, Subject, Via, cases, run_one};
use serde_json::Value;

use crate::proxy::{Entry, Hooks, Proxy, Wires};
use crate::{Make, Mutant, at_a_time, is_data, mutant, not_failed, not_passed, until_said};

/// The client that is right.
fn right(binary: &black_box::Binary) -> String {
    let program = binary.path();
    format!(
        r#"{} talk "$MLES_URL" --uid "$MLES_UID" --channel "$MLES_CHANNEL" --insecure"#,
        program.display()
    )
}

/// A wrong one that is no proxy's work: the command, in which `RIGHT` stands for the client that is right.
const COMMANDS: [(&str, &str); 3] = [
    (
        "T1.1/client-tls",
        r#"exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/${MLES_URL##*:}; printf "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" >&3; cat <&3'"#,
    ),
    ("X2.3/client-waits", "while :; do timeout 0.5 RIGHT; done"),
    ("X2.4", "while :; do RIGHT; sleep 0.2; done"),
];

fn mutants() -> Vec<Mutant> {
    vec![
        mutant("T1.5/client-upgrade", "asks for an old version", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().replace("Sec-WebSocket-Version", "8");
            })
        }),
        mutant("T1.5/client-upgrade", "has a short key", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().replace("Sec-WebSocket-Key", "c2hvcnQ=");
            })
        }),
        mutant("T2.1/client-offer", "offers no subprotocol", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().without("Sec-WebSocket-Protocol");
            })
        }),
        first("H1.1/client-text", "has a binary header", |mut frame| {
            frame.opcode = Opcode::BINARY;
            vec![frame]
        }),
        header("H1.2/client-json", "trims names", |header| {
            let channel = header["channel"].as_str().unwrap().trim().to_owned();
            header["channel"] = channel.into();
        }),
        header(
            "H1.3/client-members",
            "calls itself something else",
            |header| {
                header["uid"] = "somebody".into();
            },
        ),
        first(
            "H1.8/client-repeated",
            "names its channel twice",
            |mut frame| {
                let text = String::from_utf8(frame.payload).unwrap();
                frame.payload = text.replacen('{', r#"{"channel":"x","#, 1).into();
                vec![frame]
            },
        ),
        first("H2.1/client-length", "writes a long header", |mut frame| {
            frame.payload.extend([b' '; 1000]);
            vec![frame]
        }),
        mutant(
            "H3.1/client-at-once",
            "waits until the server says something",
            || {
                let held = Arc::new(Mutex::new(Vec::new()));
                let holding = held.clone();
                Hooks::default()
                    .up(move |frame, wires| match wires.has_heard {
                        true => wires.send_server(frame),
                        false => holding.lock().unwrap().push(frame),
                    })
                    .down(move |frame, wires| {
                        wires.has_heard = true;
                        for frame in held.lock().unwrap().drain(..) {
                            wires.send_server(frame);
                        }
                        wires.send_client(frame);
                    })
            },
        ),
        header("H4.1/client-reserved", "says its time", |header| {
            header["ts"] = 1.into();
        }),
        header("A1.1/client-hash", "hashes something else", |header| {
            header["auth"] = "0123456789abcdef".into();
        }),
        header("A1.1/client-hash", "leaves auth out", |header| {
            header.as_object_mut().unwrap().remove("auth");
        }),
        header("A1.2/client-digits", "leaves leading zeros out", |header| {
            let auth = header["auth"].as_str().unwrap();
            header["auth"] = auth.trim_start_matches('0').into();
        }),
        header("A1.2/client-digits", "writes capitals", |header| {
            header["auth"] = header["auth"].as_str().unwrap().to_uppercase().into();
        }),
        header("A2.4/client-without-key", "makes auth up", |header| {
            header["auth"] = "0".into();
        }),
        down(
            "J2.1/client-history",
            "does not look at what is there already",
            |frame, count| (count > 2).then_some(frame),
        ),
        mutant(
            "J2.6/client-recognises",
            "takes what it gets again for new",
            || {
                let first = Arc::new(AtomicUsize::new(0));
                Hooks::default().down(move |mut frame, wires| {
                    if is_data(&frame)
                        && wires.number > 0
                        && first.fetch_add(1, Ordering::Relaxed) == 0
                    {
                        frame.payload.push(b'!');
                    }
                    wires.send_client(frame);
                })
            },
        ),
        up(
            "M1.1/client-says",
            "says everything as binary",
            |mut frame, _| {
                frame.opcode = Opcode::BINARY;
                vec![frame]
            },
        ),
        up("M1.1/client-says", "trims what is said", |mut frame, _| {
            let text = String::from_utf8(frame.payload).unwrap();
            frame.payload = text.trim().into();
            vec![frame]
        }),
        up(
            "M1.3/client-order",
            "sends one before its time",
            |frame, count| {
                match count {
                    // The second is said twice, and the first not at all.
                    1 => vec![],
                    2 => vec![frame.clone(), frame],
                    _ => vec![frame],
                }
            },
        ),
        mutant("M1.7/client-empty", "ends on an empty message", || {
            Hooks::default().down(|frame, wires| match frame.payload.is_empty() {
                true => wires.cut_client(),
                false => wires.send_client(frame),
            })
        }),
        down(
            "M4.1/client-large",
            "drops what is above 64 KiB",
            |frame, _| (frame.payload.len() <= 65_536).then_some(frame),
        ),
        mutant("K2.1/client-pong", "does not answer pings", || {
            Hooks::default().up(|frame, wires| {
                if frame.opcode != Opcode::PONG {
                    wires.send_server(frame);
                }
            })
        }),
        mutant(
            "X2.1/client-answer",
            "does not answer a close frame",
            || {
                Hooks::default().up(|frame, wires| {
                    if frame.opcode != Opcode::CLOSE {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "X2.1/client-answer",
            "says something behind its close frame",
            || {
                Hooks::default().up(|frame, wires| {
                    let is_close = frame.opcode == Opcode::CLOSE;
                    wires.send_server(frame);
                    if is_close {
                        wires.send_server(Frame::text("goodbye"));
                    }
                })
            },
        ),
        mutant("X2.2", "does not connect again", || {
            Hooks::default().request(|_, wires| {
                if wires.number > 0 {
                    wires.cut_server();
                }
            })
        }),
    ]
}

/// What is done to the first frame of each session.
fn first(case: &'static str, what: &'static str, change: fn(Frame) -> Vec<Frame>) -> Mutant {
    mutant(case, what, move || {
        let mut done = false;
        Hooks::default().up(move |frame, wires| {
            let is_first = !std::mem::replace(&mut done, true);
            match is_first {
                true => send_all(change(frame), wires),
                false => wires.send_server(frame),
            }
        })
    })
}

/// What is done to the header.
fn header(case: &'static str, what: &'static str, change: fn(&mut Value)) -> Mutant {
    mutant(case, what, move || {
        let mut done = false;
        Hooks::default().up(move |mut frame, wires| {
            if !std::mem::replace(&mut done, true) {
                let mut value = serde_json::from_slice(&frame.payload).unwrap();
                change(&mut value);
                frame.payload = value.to_string().into();
            }
            wires.send_server(frame);
        })
    })
}

/// What is done to messages of the client, which are numbered from 1.
fn up(case: &'static str, what: &'static str, change: fn(Frame, usize) -> Vec<Frame>) -> Mutant {
    mutant(case, what, move || {
        let mut count = 0;
        Hooks::default().up(move |frame, wires| {
            if !is_data(&frame) {
                return wires.send_server(frame);
            }
            count += 1;
            match count {
                1 => wires.send_server(frame),
                _ => send_all(change(frame, count - 1), wires),
            }
        })
    })
}

/// What is done to messages that the client receives, which are numbered from 0.
fn down(
    case: &'static str,
    what: &'static str,
    change: fn(Frame, usize) -> Option<Frame>,
) -> Mutant {
    mutant(case, what, move || {
        let mut count = 0;
        Hooks::default().down(move |frame, wires| {
            if !is_data(&frame) {
                return wires.send_client(frame);
            }
            if let Some(frame) = change(frame, count) {
                wires.send_client(frame);
            }
            count += 1;
        })
    })
}

fn send_all(frames: Vec<Frame>, wires: &mut Wires) {
    for frame in frames {
        wires.send_server(frame);
    }
}

fn client_cases() -> Vec<Case> {
    let mut cases = cases::all();
    cases.retain(Case::is_about_clients);
    cases
}

/// A client that is run by this command, with a proxy in between.
fn subject(
    command: &str,
    entry: fn() -> Entry,
    hooks: &Arc<dyn Fn() -> Hooks + Send + Sync>,
) -> Subject {
    let proxies = Mutex::new(Vec::new());
    let hooks = hooks.clone();
    let via: Via = Box::new(move |judge| {
        let hooks = hooks.clone();
        let proxy = Proxy::start(judge, entry(), move || hooks());
        let address = proxy.address;
        proxies.lock().unwrap().push(proxy);
        address
    });
    let mut program = Program::new(command);
    program.via = Some(via);
    Subject::Client(Arc::new(program))
}

suite!(a_client_that_is_right_passes);

/// Each case passes with our clients, also through a proxy that changes nothing.
fn a_client_that_is_right_passes(binary: &black_box::Binary) {
    let hooks: Arc<dyn Fn() -> Hooks + Send + Sync> = Arc::new(Hooks::default);
    let command = right(binary);
    let wrong = at_a_time(12, &client_cases(), |case| {
        let verdict = until_said(|| run_one(&subject(&command, Entry::default, &hooks), case));
        not_passed(&verdict)
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each case fails with each of its mutants.
#[test]
fn every_wrong_client_is_noticed() {
    let right = right(&STD);
    let nothing: Arc<dyn Fn() -> Hooks + Send + Sync> = Arc::new(Hooks::default);
    let mut pairs = Vec::new();
    for case in client_cases() {
        for (nth, mutant) in mutants().into_iter().enumerate() {
            if case.is_meant_by(&mutant.case) {
                let right = &right;
                let make: Make<'_> = Box::new(move || {
                    let mutant = mutants().swap_remove(nth);
                    subject(right, mutant.entry, &mutant.hooks)
                });
                pairs.push((case.clone(), mutant.what, make));
            }
        }
        for (name, command) in COMMANDS {
            if case.is_meant_by(name) {
                let (command, nothing) = (command.replace("RIGHT", &right), &nothing);
                let make: Make<'_> = Box::new(move || subject(&command, Entry::default, nothing));
                pairs.push((case.clone(), "is run wrongly", make));
            }
        }
    }
    for case in client_cases() {
        let has_mutant = pairs.iter().any(|(of, _, _)| of.name == case.name);
        assert!(has_mutant, "no mutant: {case:?}");
    }
    let wrong = at_a_time(12, &pairs, |(case, what, make)| {
        let verdict = until_said(|| run_one(&make(), case));
        not_failed(&verdict, &format!("a client that {what}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No case passes with a client that does nothing, nor with one that connects and says nothing.
#[test]
fn nothing_passes_with_a_silent_client() {
    let nothing: Arc<dyn Fn() -> Hooks + Send + Sync> = Arc::new(Hooks::default);
    for command in [
        "cat > /dev/null",
        "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/${MLES_URL##*:}; cat <&3'",
    ] {
        let passed = at_a_time(12, &client_cases(), |case| {
            let verdict = run_one(&subject(command, Entry::default, &nothing), case);
            verdict.result.is_ok().then(|| case.name.clone())
        });
        assert!(passed.is_empty(), "{command}: {passed:?}");
    }
}
