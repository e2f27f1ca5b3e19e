//! Bridges (peering.md, section 10).

use crate::peering::{and_down, say, up};
use crate::proxy::{Hooks, Wires};
use crate::{Mutant, is_close, is_data, mutant};
use mles_conformance::wire::{Frame, Opcode, Response};
use mles_conformance::{hash, random_uid};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = bridges();
    all.extend(crossing());
    all
}

/// What the server says over a bridge behind its header is changed in this way: with the number of the session, and of
/// the message.
fn over(mut change: impl FnMut(usize, usize, Frame, &mut Wires) + Send + 'static) -> Hooks {
    let mut count = 0;
    Hooks::default().up(move |frame, wires| {
        if !is_data(&frame) || count == 0 {
            count += usize::from(is_data(&frame));
            return wires.send_server(frame);
        }
        count += 1;
        let session = wires.number;
        change(session, count - 2, frame, wires);
    })
}

/// The same for its header.
fn headers(change: impl Fn(&mut Value) + Send + 'static) -> Hooks {
    let mut is_first = true;
    Hooks::default().up(move |frame, wires| {
        let is_header = is_data(&frame) && std::mem::take(&mut is_first);
        let mut header: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        if !is_header || header.get("peer").is_some() {
            return wires.send_server(frame);
        }
        change(&mut header);
        wires.send_server(Frame::text(header.to_string()));
    })
}

/// What the judge says over a bridge reaches the server changed in this way: with the number of the session.
fn back(mut change: impl FnMut(usize, Frame, &mut Wires) + Send + 'static) -> Hooks {
    Hooks::default().down(move |frame, wires| {
        if !is_data(&frame) {
            return wires.send_client(frame);
        }
        let session = wires.number;
        change(session, frame, wires);
    })
}

fn bridges() -> Vec<Mutant> {
    vec![
        mutant("B1.1/header", "makes up a uid for each session", || {
            headers(|header| header["uid"] = json!(random_uid()))
        }),
        mutant("B1.1/auth", "says no auth", || {
            headers(|header| {
                header.as_object_mut().unwrap().remove("auth");
            })
        }),
        mutant("B1.1/auth", "hashes without the key", || {
            headers(|header| {
                let text = |name: &str| header[name].as_str().unwrap_or_default();
                let auth = hash(&[text("uid"), text("channel")]);
                header["auth"] = json!(format!("{auth:016x}"));
            })
        }),
        {
            let first = Arc::new(Mutex::new(None));
            mutant("B1.2/each-channel", "knows one channel only", move || {
                let first = first.clone();
                headers(move |header| {
                    let mut first = first.lock().unwrap();
                    let channel = first.get_or_insert_with(|| header["channel"].clone());
                    header["channel"] = channel.clone();
                })
            })
        },
        mutant("B1.2/four-at-a-time", "opens all sessions at once", || {
            Hooks::default().request(|request, wires| {
                // It takes each for open.
                wires.bytes_client(&Response::upgraded(request).encode());
            })
        }),
        mutant(
            "B1.2/when-synchronised",
            "does not wait for its upstream",
            || {
                let uid = Arc::new(Mutex::new(Value::Null));
                let other = uid.clone();
                and_down(
                    up(move |passing, wires| {
                        if passing.has("have") {
                            let (uid, channel) = (uid.lock().unwrap(), &passing.head["channel"]);
                            let have = &passing.head["have"];
                            say(
                                wires,
                                &json!({"uid": *uid, "channel": channel, "peer": true, "have": have}),
                            );
                            say(
                                wires,
                                &json!({"uid": *uid, "channel": channel, "peer": true, "done": true}),
                            );
                        }
                        true
                    }),
                    move |passing, _| {
                        *other.lock().unwrap() = passing.head["uid"].clone();
                        passing.is_handshake()
                    },
                )
            },
        ),
        mutant(
            "B1.2/stays",
            "ends the session with the last client",
            || {
                back(|session, frame, wires| match session {
                    0 => {
                        let _ = frame;
                        wires.end_client();
                        wires.end_server();
                    }
                    _ => wires.send_client(frame),
                })
            },
        ),
        mutant("B1.3/no-nonce", "says a nonce", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().with("Mles-Nonce", &random_uid());
            })
        }),
        mutant("B1.3/no-pings", "pings every 5 s", || {
            let mut last = Instant::now();
            Hooks::default().tick(move |wires| {
                if wires.upgraded.is_some() && last.elapsed() > Duration::from_secs(5) {
                    last = Instant::now();
                    wires.send_server(Frame::ping(""));
                }
            })
        }),
        mutant(
            "B1.10/refused-for-good",
            "comes again whatever it was refused for",
            || {
                Hooks::default().down(|frame, wires| match is_close(&frame) {
                    true => wires.send_client(Frame::close(4005, "come again")),
                    false => wires.send_client(frame),
                })
            },
        ),
        mutant(
            "B1.10/after-five-minutes",
            "comes again whatever it was refused for",
            || {
                Hooks::default().down(|frame, wires| match is_close(&frame) {
                    true => wires.send_client(Frame::close(4005, "come again")),
                    false => wires.send_client(frame),
                })
            },
        ),
    ]
}

fn crossing() -> Vec<Mutant> {
    let is = |frame: &Frame, text: &str| frame.payload == text.as_bytes();
    let is_announcement = |frame: &Frame| frame.payload.starts_with(br#"{"uid""#);
    // A message that only looks like it, to the server.
    let otherwise = |mut frame: Frame| {
        frame.payload.push(b' ');
        frame
    };
    vec![
        mutant("B1.4/goes-over", "sends text messages only", move || {
            over(|_, _, frame, wires| {
                if frame.opcode == Opcode::TEXT {
                    wires.send_server(frame);
                }
            })
        }),
        mutant(
            "B1.4/goes-over",
            "does not tell who has joined",
            move || {
                over(move |_, _, frame, wires| {
                    if !is_announcement(&frame) {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.4/from-peers",
            "sends only what its own clients say",
            move || {
                over(move |_, _, frame, wires| {
                    if !is(&frame, "from a peer") {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant("B1.4/from-peers", "does not look at the uid", move || {
            over(move |_, _, frame, wires| {
                if is(&frame, "from a peer") {
                    wires.send_server(Frame::text("from there, over another bridge"));
                }
                wires.send_server(frame);
            })
        }),
        mutant("B1.4/not-back", "sends everything over the bridge", || {
            back(|_, frame, wires| {
                wires.send_server(frame.clone());
                wires.send_client(frame);
            })
        }),
        mutant(
            "B1.4/not-back",
            "takes nothing that comes over the bridge",
            || back(|_, _, _| ()),
        ),
        mutant(
            "B1.5/announcement",
            "hands announcements on as they are",
            move || {
                back(move |_, frame, wires| {
                    let frame = if is_announcement(&frame) {
                        otherwise(frame)
                    } else {
                        frame
                    };
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "B1.5/known-announcement",
            "takes every announcement",
            move || {
                let mut count = 0;
                back(move |_, frame, wires| {
                    // As if somebody else had joined.
                    let text = String::from_utf8_lossy(&frame.payload);
                    let frame = match is_announcement(&frame) {
                        true => {
                            count += 1;
                            let (_, rest) = text.split_once(',').unwrap();
                            Frame::text(format!(r#"{{"uid":"somebody {count}",{rest}"#))
                        }
                        false => frame,
                    };
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "B1.9/hundred",
            "hands on what comes, however often",
            move || {
                let mut count = 0;
                back(move |_, mut frame, wires| {
                    count += 1;
                    if count % 90 == 0 {
                        frame.payload = b"the very same".to_vec();
                    }
                    if is(&frame, "the same") && count > 100 {
                        frame.payload.push(b'!');
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "B1.9/hundred",
            "drops what is said twice within 10 s",
            move || {
                let mut said = false;
                back(move |_, frame, wires| {
                    let is_same = is(&frame, "the same");
                    if !is_same || !std::mem::replace(&mut said, is_same) {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.6/known-before",
            "takes all of a replay for new",
            move || {
                back(move |_, frame, wires| {
                    wires.send_client(if is(&frame, "a") {
                        otherwise(frame)
                    } else {
                        frame
                    })
                })
            },
        ),
        mutant(
            "B1.6/known-before",
            "takes nothing of a replay",
            move || back(|_, _, _| ()),
        ),
        mutant(
            "B1.6/as-often",
            "drops what it knows, however often it comes",
            move || {
                let mut count = 0;
                back(move |_, frame, wires| {
                    count += usize::from(is(&frame, "a"));
                    if count != 2 || !is(&frame, "a") {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.7/behind-what-both-have",
            "sends all of its history",
            move || {
                over(move |_, _, frame, wires| {
                    if is(&frame, "c") {
                        wires.send_server(Frame::text("b"));
                    }
                    wires.send_server(frame);
                })
            },
        ),
        mutant(
            "B1.7/behind-what-both-have",
            "sends only what is said from then on",
            move || {
                over(move |_, _, frame, wires| {
                    if !is(&frame, "c") && !is(&frame, "d") {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.8/repeated",
            "takes all of a replay for new",
            move || {
                back(move |session, frame, wires| {
                    let changed = session > 0 && is(&frame, "x");
                    wires.send_client(if changed { otherwise(frame) } else { frame });
                })
            },
        ),
        mutant("B1.8/said-again", "drops what it knows", move || {
            let mut count = 0;
            back(move |session, frame, wires| {
                count += usize::from(is(&frame, "x"));
                if session == 0 || count != 2 || !is(&frame, "x") {
                    wires.send_client(frame);
                }
            })
        }),
        mutant(
            "B1.8/sent-again",
            "takes what it has written for sent",
            move || {
                over(move |session, _, frame, wires| {
                    if session == 0 || !is(&frame, "m") {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.8/not-what-is-there",
            "sends again what it has written",
            move || {
                over(move |session, _, frame, wires| {
                    if session > 0 && is(&frame, "n") {
                        wires.send_server(Frame::text("m"));
                    }
                    wires.send_server(frame);
                })
            },
        ),
    ]
}
