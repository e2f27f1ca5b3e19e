//! Merging (peering.md, section 8).

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{and_down, closes_with, down, never_closes_with, say, tell_server, up};
use crate::proxy::Hooks;
use crate::{Mutant, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant(
            "G1.4/turns-with-its-new-path",
            "turns with the path that it had",
            || {
                let mut own = Value::Null;
                down(move |passing, _| {
                    if passing.has("turn") {
                        if own.is_null() {
                            own = passing.head["path"].clone();
                        }
                        passing.head["path"] = own.clone();
                    }
                    true
                })
            },
        ),
        mutant(
            "G1.4/turns-with-its-new-path",
            "tells its path before it turns",
            || {
                let mut turns = 0;
                down(move |passing, wires| {
                    turns += usize::from(passing.has("turn"));
                    if passing.has("turn") && turns == 2 {
                        let (uid, path) = (&passing.head["uid"], &passing.head["path"]);
                        say(wires, &json!({"uid": uid, "peer": true, "path": path}));
                    }
                    true
                })
            },
        ),
        mutant(
            "G1.4/turns-with-its-new-path",
            "does not turn its upstream link",
            not_twice,
        ),
        mutant(
            "G1.4/ignores-until-answered",
            "takes what comes on a link that it has turned",
            || {
                let turned = Arc::new(Mutex::new(0));
                let (turns, uid) = (turned.clone(), Arc::new(Mutex::new(Value::Null)));
                let own = uid.clone();
                and_down(
                    up(move |passing, wires| {
                        if passing.is_handshake() {
                            *own.lock().unwrap() = passing.head["uid"].clone();
                        }
                        if *turned.lock().unwrap() < 2 {
                            return true;
                        }
                        // The server has had its answer: what comes in its place is taken as on a link.
                        if passing.has("node") {
                            let channel = &passing.head["channel"];
                            let uid = own.lock().unwrap();
                            let join =
                                json!({"uid": *uid, "channel": channel, "peer": true, "have": {}});
                            tell_server(wires, &join);
                        }
                        passing.has("node") || passing.has("have")
                    }),
                    move |passing, wires| {
                        if passing.has("turn") {
                            let mut turns = turns.lock().unwrap();
                            *turns += 1;
                            if *turns == 2 {
                                let uid = uid.lock().unwrap();
                                let turn =
                                    json!({"uid": *uid, "peer": true, "path": [], "turn": true});
                                tell_server(wires, &turn);
                            }
                        }
                        true
                    },
                )
            },
        ),
        mutant(
            "G1.4/ignores-until-answered",
            "takes what was under way when it turned the link for a fault",
            || {
                up(|passing, wires| {
                    if passing.has("path") && !passing.has("turn") && !passing.is_handshake() {
                        wires.close_client(4012, "not from below");
                    }
                    true
                })
            },
        ),
        mutant(
            "G1.4/but-for-faults",
            "ignores whatever comes on a link that it has turned",
            || never_closes_with(4012),
        ),
        mutant("G1.4/but-for-faults", "closes with 4003", || {
            closes_with(4012, 4003)
        }),
        mutant(
            "G1.4/message-that-had-begun",
            "forgets a header when it turns a link",
            || {
                let turns = Arc::new(Mutex::new(0));
                let seen = turns.clone();
                down(move |passing, _| {
                    *seen.lock().unwrap() += usize::from(passing.has("turn"));
                    true
                })
                .up(move |frame, wires| {
                    let is_frame = frame.payload.starts_with(b"{");
                    match *turns.lock().unwrap() < 2 || is_frame || frame.opcode.is_control() {
                        true => wires.send_server(frame),
                        false => wires.close_client(4012, "no frame"),
                    }
                })
            },
        ),
        mutant(
            "G1.8/joined-no-more",
            "goes on sending when it has turned a link",
            || {
                // It joins the channel itself, in the name of the other end, as soon as that has answered.
                let channel = Arc::new(Mutex::new(Value::Null));
                let (joined, mut turns) = (channel.clone(), 0);
                and_down(
                    up(move |passing, wires| {
                        turns += usize::from(passing.has("turn"));
                        if !passing.has("turn") || turns != 2 {
                            return true;
                        }
                        tell_server(wires, &passing.head);
                        let (uid, channel) = (&passing.head["uid"], &*channel.lock().unwrap());
                        let join =
                            json!({"uid": uid, "channel": channel, "peer": true, "have": {}});
                        tell_server(wires, &join);
                        false
                    }),
                    move |passing, _| {
                        let channel = passing.head["channel"].as_str().unwrap_or_default();
                        if passing.has("have") && channel.starts_with("conformance G1.8") {
                            // The first: it has members.
                            let mut joined = joined.lock().unwrap();
                            if joined.is_null() {
                                *joined = passing.head["channel"].clone();
                            }
                        }
                        true
                    },
                )
            },
        ),
        mutant(
            "G1.8/joins-anew",
            "takes what was joined on a link for joined when it is turned",
            || {
                let mut turned = false;
                down(move |passing, _| {
                    turned |= passing.has("turn");
                    !turned || !passing.has("have")
                })
            },
        ),
        mutant("G1.5/answers", "takes a turn without an answer", || {
            down(|passing, _| !passing.has("turn"))
        }),
        mutant("G1.5/answers", "closes a link that is turned", || {
            up(|passing, wires| {
                if passing.has("turn") {
                    wires.close_client(4012, "not from below");
                }
                true
            })
        }),
        mutant("G1.5/answers", "answers, and stays above", || {
            down(|passing, _| !passing.has("have"))
        }),
        mutant(
            "G1.5/turns-its-own-upstream",
            "has two upstreams",
            not_twice,
        ),
        mutant(
            "G1.5/turns-its-own-upstream",
            "gives its upstream up for another",
            || {
                let mut turns = 0;
                down(move |passing, wires| {
                    turns += usize::from(passing.has("turn"));
                    if turns == 2 {
                        wires.close_client(1000, "");
                    }
                    true
                })
            },
        ),
        mutant("G1.7/60-seconds", "waits for an answer for ever", || {
            never_closes_with(4003)
        }),
        mutant("G1.7/60-seconds", "closes with 4005", || {
            closes_with(4003, 4005)
        }),
    ]
}

/// The server turns no link a second time.
fn not_twice() -> Hooks {
    let mut turns = 0;
    down(move |passing, _| {
        turns += usize::from(passing.has("turn"));
        !passing.has("turn") || turns < 2
    })
}
