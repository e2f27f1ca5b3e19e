//! Frames and faults (peering.md, section 3).

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use mles_conformance::wire::{Frame, Opcode};
use mles_conformance::{MINUTE, clock};
use serde_json::{Value, json};

use super::{
    Passing, and_down, closes_with, down, handshakes, learning, never_closes_with, prove, up,
};
use crate::proxy::Hooks;
use crate::{Mutant, mutant};

/// Cases in which a frame of a peer is a fault.
const FAULTS: [&str; 39] = [
    "F1.1/too-long",
    "F1.1/repeated-member",
    "F1.1/binary",
    "F1.1/empty",
    "F1.1/no-object",
    "F1.1/behind-the-object",
    "F1.2/no-numbers",
    "F1.2/names-too-long",
    "F1.4/nothing",
    "F1.4/path-from-below",
    "F1.4/done-from-below",
    "F1.4/second-handshake",
    "F1.4/join-of-another-node",
    "F1.4/leave-of-another-node",
    "F1.4/turn-of-another-node",
    "F1.4/join-without-uid",
    "F1.4/join-of-no-channel",
    "F1.4/have-is-no-object",
    "F1.4/have-is-no-number",
    "F1.4/have-is-negative",
    "F1.4/message-with-peer",
    "F1.4/message-without-seq",
    "F1.4/turn-with-no-path",
    "F1.4/turn-from-above",
    "F1.4/handshake-from-above",
    "F1.4/path-of-another-node",
    "F1.2/channel-too-long",
    "F1.2/uid-empty",
    "F1.2/uid-with-nul",
    "F1.2/half-a-surrogate-pair",
    "F1.4/have-of-no-node",
    "F1.4/message-of-no-node",
    "F1.4/done-is-false",
    "F1.4/turn-is-a-number",
    "F1.4/path-of-names",
    "F1.4/reply-that-nobody-asked-for",
    "F1.5/above-the-own-max",
    "F1.6/more-than-two-hours",
    "F1.6/by-the-senders-clock",
];

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = Vec::new();
    for case in FAULTS {
        all.push(mutant(
            case,
            "passes over what it does not understand",
            || never_closes_with(4012),
        ));
        all.push(mutant(case, "closes with 1002", || closes_with(4012, 1002)));
    }
    all.extend(forms());
    all.extend(messages());
    all.extend(bounds());
    all
}

/// Whether this is no frame as the server itself would write it.
fn is_unusual(frame: &Frame) -> bool {
    let text = String::from_utf8_lossy(&frame.payload);
    text.contains(r#""have""#) && !text.starts_with(r#"{"uid":"#)
}

fn forms() -> Vec<Mutant> {
    vec![
        mutant(
            "F1.1/written-otherwise",
            "understands frames in one form only",
            || {
                Hooks::default().up(|frame, wires| match is_unusual(&frame) {
                    true => wires.close_client(4012, "no frame"),
                    false => wires.send_server(frame),
                })
            },
        ),
        mutant(
            "F1.1/other-members",
            "takes a member that it does not know for a fault",
            || {
                up(|passing, wires| {
                    if passing.has("comment") {
                        wires.close_client(4012, "no frame");
                    }
                    true
                })
            },
        ),
        mutant("F1.1/64-kib", "takes frames of 4096 bytes at most", || {
            Hooks::default().up(|frame, wires| match frame.payload.len() > 4096 {
                true => wires.close_client(4012, "too long"),
                false => wires.send_server(frame),
            })
        }),
        mutant(
            "F1.1/as-it-should-be",
            "writes the members in the order of their names",
            || {
                Hooks::default().down(|frame, wires| {
                    let value: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
                    match value.is_object() {
                        true => wires.send_client(Frame::text(value.to_string())),
                        false => wires.send_client(frame),
                    }
                })
            },
        ),
        mutant("F1.1/as-it-should-be", "writes spaces", || {
            Hooks::default().down(|mut frame, wires| {
                if frame.opcode == Opcode::TEXT {
                    let text = String::from_utf8_lossy(&frame.payload);
                    frame.payload = text.replace(r#","channel":"#, r#", "channel": "#).into();
                }
                wires.send_client(frame);
            })
        }),
        mutant("F1.1/as-it-should-be", "escapes the solidus", || {
            Hooks::default().down(|mut frame, wires| {
                if frame.opcode == Opcode::TEXT {
                    frame.payload = String::from_utf8_lossy(&frame.payload)
                        .replace('/', r"\/")
                        .into();
                }
                wires.send_client(frame);
            })
        }),
        mutant(
            "F1.4/first-tells",
            "looks for `done` before it looks for `have`",
            || {
                up(|passing, wires| {
                    if passing.has("done") && passing.has("have") {
                        wires.close_client(4012, "not from below");
                    }
                    true
                })
            },
        ),
        mutant(
            "F1.4/first-tells",
            "takes every frame with `have` for a join",
            || {
                up(|passing, _| {
                    if passing.has("have") {
                        passing.head["peer"] = json!(true);
                    }
                    true
                })
            },
        ),
        mutant("F1.2/have-of-0", "takes 0 for no number", || {
            up(|passing, wires| {
                let have = passing.head["have"].as_object();
                if have.into_iter().flatten().any(|(_, seq)| *seq == 0) {
                    wires.close_client(4012, "no number");
                }
                true
            })
        }),
        mutant(
            "F1.2/longest-channel",
            "takes channels of 1024 bytes at most",
            || {
                up(|passing, wires| {
                    let channel = passing.head["channel"].as_str().unwrap_or_default();
                    if channel.len() > 1024 {
                        wires.close_client(4012, "too long");
                    }
                    true
                })
            },
        ),
        mutant(
            "F1.4/leave-of-what-is-not-joined",
            "takes the leave of a channel that is not joined for a fault",
            || {
                up(|passing, wires| {
                    if passing.is_leave() {
                        wires.close_client(4012, "not joined");
                    }
                    true
                })
            },
        ),
        mutant("F1.4/payload-not-utf8", "closes with 4012", || {
            closes_with(1007, 4012)
        }),
        mutant("F1.4/payload-not-utf8", "takes what it gets", || {
            up(|passing, _| {
                if let Some(payload) = &mut passing.payload
                    && std::str::from_utf8(&payload.payload).is_err()
                {
                    payload.opcode = Opcode::BINARY;
                }
                true
            })
        }),
        mutant(
            "F1.4/turn-is-false",
            "takes every frame with `turn` for a turn",
            || {
                up(|passing, wires| {
                    if passing.head["turn"] == false {
                        wires.close_client(4012, "not from above");
                    }
                    true
                })
            },
        ),
        mutant(
            "F1.4/done-of-a-channel-left",
            "takes `done` for a channel that it has left for a fault",
            || {
                let mut done = HashSet::new();
                up(move |passing, wires| {
                    if passing.has("done") && !done.insert(passing.head["channel"].to_string()) {
                        wires.close_client(4012, "not joined");
                    }
                    true
                })
            },
        ),
    ]
}

fn messages() -> Vec<Mutant> {
    let is_announcement = |passing: &Passing| {
        let text = passing.text().unwrap_or_default();
        text.starts_with(r#"{"uid""#) && text.contains(r#""channel":"conformance F1.2"#)
    };
    let skips = |what: fn(&Passing) -> bool| move || up(move |passing, _| !what(passing));
    vec![
        mutant(
            "F1.2/greatest-seq",
            "takes a seq of 2^53 - 1 for too great",
            || {
                up(|passing, wires| {
                    if passing.head["seq"] == mles_conformance::NUMBER_MOST {
                        wires.close_client(4012, "too great");
                    }
                    true
                })
            },
        ),
        mutant(
            "F1.2/longest-names",
            "bounds the names by the length of the whole header",
            || {
                up(|passing, wires| {
                    if passing.has("node") && passing.head.to_string().len() > 4096 {
                        wires.close_client(4012, "too long");
                    }
                    true
                })
            },
        ),
        mutant(
            "F1.2/announcement-goes",
            "does not tell its peers of joins",
            move || down(move |passing, _| !is_announcement(passing)),
        ),
        mutant(
            "F1.2/announcement-comes",
            "keeps announcements of other servers to itself",
            move || up(move |passing, _| !is_announcement(passing)),
        ),
        mutant(
            "F1.2/announcement-comes",
            "keeps each announcement of other servers",
            || {
                // A message that only looks like one, to the server.
                up(|passing, _| {
                    if passing.has("node") {
                        passing.head["uid"] = json!("adam");
                    }
                    true
                })
            },
        ),
        mutant(
            "F1.3/whatever-it-holds",
            "looks for frames in payloads",
            skips(|passing| {
                let text = passing.text().unwrap_or_default();
                text.contains(r#""peer":false"#)
            }),
        ),
        mutant("F1.3/whatever-it-holds", "takes text payloads only", || {
            up(|passing, _| {
                if let Some(payload) = &mut passing.payload {
                    payload.opcode = match std::str::from_utf8(&payload.payload) {
                        Ok(_) => Opcode::TEXT,
                        Err(_) => payload.opcode,
                    };
                }
                true
            })
        }),
        mutant(
            "F1.3/whatever-it-holds",
            "skips empty messages",
            skips(|passing| {
                let payload = passing.payload.as_ref();
                payload.is_some_and(|payload| payload.payload.is_empty())
            }),
        ),
        mutant(
            "F1.3/goes-as-it-is",
            "sends every payload as binary",
            || {
                down(|passing, _| {
                    if let Some(payload) = &mut passing.payload {
                        payload.opcode = Opcode::BINARY;
                    }
                    true
                })
            },
        ),
        mutant("F1.3/goes-as-it-is", "skips empty messages", || {
            down(|passing, _| {
                let payload = passing.payload.as_ref();
                payload.is_none_or(|payload| !payload.payload.is_empty())
            })
        }),
    ]
}

fn bounds() -> Vec<Mutant> {
    vec![
        mutant(
            "F1.5/above-the-peers-max",
            "does not look how much a peer takes",
            || handshakes(|handshake, _| handshake["max"] = json!(16 << 20)),
        ),
        mutant(
            "F1.5/above-the-peers-max",
            "sends nothing behind a message that a peer does not take",
            || {
                let mut over = false;
                let most = Arc::new(Mutex::new(0));
                let bound = most.clone();
                and_down(
                    up(move |passing, _| {
                        if let Some(max) = passing.head["max"].as_u64() {
                            *most.lock().unwrap() = max;
                        }
                        true
                    }),
                    move |passing, _| {
                        let long = passing
                            .payload
                            .as_ref()
                            .map(|payload| payload.payload.len());
                        let at_most = *bound.lock().unwrap() == 1000;
                        let passes = !over || long.is_none();
                        over |= at_most && long == Some(1000);
                        passes
                    },
                )
            },
        ),
        mutant(
            "F1.5/above-the-peers-max",
            "leaves out a message that is as long as the peer takes",
            || {
                handshakes(|handshake, _| {
                    let max = handshake["max"].as_u64().unwrap_or_default();
                    handshake["max"] = json!(max - 1);
                })
            },
        ),
        mutant(
            "F1.5/the-own-max",
            "says that it takes longer payloads than it does",
            || {
                let mut given = false;
                Hooks::default().up_bytes(move |bytes, wires| {
                    // The head of a frame with a length of eight bytes.
                    if !given && bytes.windows(2).any(|pair| pair == [0x82, 0xff]) {
                        given = true;
                        wires.close_client(4012, "too long");
                    }
                    wires.bytes_server(bytes);
                })
            },
        ),
        mutant(
            "F1.6/within-the-hour",
            "skips what is more than ten minutes ahead",
            || {
                up(|passing, _| {
                    let ts = passing.head["ts"].as_u64().unwrap_or_default();
                    !passing.has("node") || ts < clock() + 10 * MINUTE
                })
            },
        ),
        mutant(
            "F1.6/more-than-an-hour",
            "takes what is more than an hour ahead",
            || {
                up(|passing, _| {
                    if passing.has("node") && passing.head["ts"].as_u64() > Some(clock()) {
                        passing.head["ts"] = json!(clock());
                    }
                    true
                })
            },
        ),
        mutant(
            "F1.6/more-than-an-hour",
            "remembers the number of what it has skipped",
            || {
                let mut skipped = 0;
                up(move |passing, _| {
                    let seq = passing.head["seq"].as_u64().unwrap_or_default();
                    if passing.head["ts"].as_u64() > Some(clock() + 60 * MINUTE) {
                        skipped = seq;
                    }
                    seq > skipped || !passing.has("node")
                })
            },
        ),
        mutant(
            "F1.6/more-than-two-hours",
            "skips whatever is ahead",
            || {
                up(|passing, _| {
                    let ts = passing.head["ts"].as_u64().unwrap_or_default();
                    !passing.has("node") || ts < clock() + 60 * MINUTE
                })
            },
        ),
        mutant(
            "F1.6/by-the-senders-clock",
            "counts two hours from its own clock",
            || {
                let (hooks, nonces) = learning();
                super::and_up(hooks, move |passing, _| {
                    if passing.is_handshake() {
                        passing.head["ts"] = json!(clock());
                        prove(&mut passing.head, &nonces);
                    }
                    true
                })
            },
        ),
    ]
}
