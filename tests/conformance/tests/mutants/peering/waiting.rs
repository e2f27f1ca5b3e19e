//! What a joining client waits for (peering.md, section 6).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mles_conformance::wire::{Frame, Opcode};
use serde_json::{Value, json};

use super::{and_down, closes_with, tell_server, up};
use crate::proxy::{Hooks, Wires};
use crate::{Mutant, is_data, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant(
            "W1.1/gets-the-upstreams-history",
            "gives a client what it has itself",
            synchronised_at_once,
        ),
        mutant(
            "W1.1/gets-the-upstreams-history",
            "gives a client only what its own clients have said",
            || up(|passing, _| !passing.has("node")),
        ),
        mutant(
            "W1.1/nothing-meanwhile",
            "gives a client what it has itself, and then what the upstream has",
            synchronised_at_once,
        ),
        mutant(
            "W1.1/nothing-meanwhile",
            "sends a client that waits what is said",
            || {
                to_client("carol", |count, frame, wires| {
                    // What is last in the replay has come live.
                    if count == 0 {
                        wires.send_client(Frame::text("marker 1"));
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "W1.1/heard-meanwhile",
            "takes nothing from a client that waits",
            || {
                let held = Arc::new(Mutex::new((Instant::now(), Vec::new())));
                let holding = held.clone();
                let mut waits = None;
                Hooks::default()
                    .up(move |frame, wires| {
                        let waits = *waits.get_or_insert_with(|| is_header_of(&frame, "carol"));
                        if !waits {
                            return wires.send_server(frame);
                        }
                        let (since, held) = &mut *holding.lock().unwrap();
                        if held.is_empty() {
                            *since = Instant::now();
                        }
                        held.push(frame);
                    })
                    .tick(move |wires| {
                        let (since, held) = &mut *held.lock().unwrap();
                        if since.elapsed() > Duration::from_secs(2) {
                            held.drain(..).for_each(|frame| wires.send_server(frame));
                        }
                    })
            },
        ),
        mutant(
            "W1.1/two-seconds",
            "waits for its upstream as long as that takes",
            || to_client("carol", |_, _, _| ()),
        ),
        mutant("W1.1/two-seconds", "waits half a second", || {
            let joins = Arc::new(Mutex::new(Vec::new()));
            let joined = joins.clone();
            let uid = Arc::new(Mutex::new(Value::Null));
            let own = uid.clone();
            and_down(
                up(move |passing, _| {
                    *own.lock().unwrap() = passing.head["uid"].clone();
                    true
                }),
                move |passing, _| {
                    let channel = passing.head["channel"].as_str().unwrap_or_default();
                    if passing.has("have") && channel.starts_with("conformance W1.1") {
                        let join = (Instant::now(), passing.head.clone());
                        joined.lock().unwrap().push(join);
                    }
                    true
                },
            )
            .tick(move |wires| {
                let half = Duration::from_millis(500);
                joins.lock().unwrap().retain(|(since, head)| {
                    let waits = since.elapsed() < half;
                    if !waits {
                        synchronise(wires, &uid.lock().unwrap(), head);
                    }
                    waits
                });
            })
        }),
        mutant("W1.2/done", "always waits for 2 s", || {
            up(|passing, _| !passing.has("done"))
        }),
        mutant(
            "W1.2/refused",
            "waits for a channel that was refused",
            || up(|passing, _| !passing.is_leave()),
        ),
        mutant(
            "W1.2/no-upstream-any-more",
            "waits for an upstream that is lost",
            || Hooks::default().client_ended(|_| ()),
        ),
        mutant(
            "W1.3/what-has-left-meanwhile",
            "gives a client that has waited what the history holds then",
            || {
                to_client("carol", |count, frame, wires| {
                    if count >= 10 {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant(
            "W1.3/what-has-left-meanwhile",
            "keeps what it has kept for a client that has waited",
            || {
                to_client("erin", |count, frame, wires| {
                    if count == 0 {
                        wires.send_client(Frame::text("number 49"));
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "W1.3/later-comes-live",
            "keeps from its clients what is older than what they have",
            || {
                to_client("carol", |_, frame, wires| {
                    if frame.payload != b"old news" {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant(
            "W1.4/not-its-own",
            "gives a client that has waited what it has said itself",
            || {
                to_client("carol", |count, frame, wires| {
                    if count == 2 {
                        wires.send_client(Frame::text("said while waiting"));
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "W1.4/not-its-own",
            "gives a client that has waited its own announcement",
            || {
                let header = Arc::new(Mutex::new(Value::Null));
                let sent = header.clone();
                let mut given = false;
                Hooks::default()
                    .up(move |frame, wires| {
                        let head: Value =
                            serde_json::from_slice(&frame.payload).unwrap_or_default();
                        if head["uid"] == "carol" {
                            *header.lock().unwrap() = head;
                        }
                        wires.send_server(frame);
                    })
                    .down(move |frame, wires| {
                        let head = sent.lock().unwrap();
                        if head.is_object()
                            && is_data(&frame)
                            && !std::mem::replace(&mut given, true)
                        {
                            let channel = &head["channel"];
                            let text = format!(r#"{{"uid":"carol","channel":{channel}}}"#);
                            wires.send_client(Frame::text(text));
                        }
                        wires.send_client(frame);
                    })
            },
        ),
        mutant(
            "W1.5/too-much",
            "keeps as much as there is for a client that waits",
            || to_client("carol", |_, _, _| ()),
        ),
        mutant(
            "W1.6/incumbent",
            "takes no client that waits for an incumbent",
            || closes_with(4002, 4001),
        ),
        mutant(
            "W1.6/incumbent",
            "does not ping a client that waits",
            || {
                Hooks::default().down(|frame, wires| {
                    if frame.opcode != Opcode::PING {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant(
            "W1.6/incumbent",
            "closes a client that waits when another comes",
            || {
                let is_carol = Arc::new(Mutex::new(false));
                let told = is_carol.clone();
                Hooks::default()
                    .up(move |frame, wires| {
                        *told.lock().unwrap() |= is_header_of(&frame, "carol");
                        wires.send_server(frame);
                    })
                    .down(move |frame, wires| {
                        match frame.opcode == Opcode::PING && *is_carol.lock().unwrap() {
                            true => wires.close_client(4005, "another has come"),
                            false => wires.send_client(frame),
                        }
                    })
            },
        ),
    ]
}

/// Whether this is the header of a client whose uid begins so.
fn is_header_of(frame: &Frame, uid: &str) -> bool {
    let head: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
    let own = head["uid"].as_str().unwrap_or_default();
    head.get("peer").is_none() && own.starts_with(uid)
}

/// What the server says to the client with this uid passes through a hook that is told how many messages came before.
fn to_client(
    uid: &'static str,
    mut hook: impl FnMut(usize, Frame, &mut Wires) + Send + 'static,
) -> Hooks {
    let is_it = Arc::new(Mutex::new(None));
    let told = is_it.clone();
    let mut count = 0;
    Hooks::default()
        .up(move |frame, wires| {
            told.lock()
                .unwrap()
                .get_or_insert_with(|| is_header_of(&frame, uid));
            wires.send_server(frame);
        })
        .down(move |frame, wires| {
            if *is_it.lock().unwrap() != Some(true) || !is_data(&frame) {
                return wires.send_client(frame);
            }
            // Announcements are not counted.
            let is_announcement = frame.payload.starts_with(br#"{"uid""#);
            hook(count, frame, wires);
            count += usize::from(!is_announcement);
        })
}

/// Tells the server that the upstream, which has this uid, has what the server itself has.
fn synchronise(wires: &mut Wires, uid: &Value, join: &Value) {
    let (channel, have) = (&join["channel"], &join["have"]);
    tell_server(
        wires,
        &json!({"uid": uid, "channel": channel, "peer": true, "have": have}),
    );
    tell_server(
        wires,
        &json!({"uid": uid, "channel": channel, "peer": true, "done": true}),
    );
}

/// The server takes every channel for synchronised as soon as it has joined it.
fn synchronised_at_once() -> Hooks {
    let uid = Arc::new(Mutex::new(Value::Null));
    let own = uid.clone();
    and_down(
        up(move |passing, _| {
            if passing.is_handshake() {
                *own.lock().unwrap() = passing.head["uid"].clone();
            }
            !passing.has("have") && !passing.has("done")
        }),
        move |passing, wires| {
            if passing.has("have") {
                synchronise(wires, &uid.lock().unwrap(), &passing.head);
            }
            true
        },
    )
}
