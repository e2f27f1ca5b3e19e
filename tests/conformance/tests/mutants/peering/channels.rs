//! Channels on a link (peering.md, section 4).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mles_conformance::wire::Opcode;
use serde_json::{Value, json};

use super::{
    Passing, Reader, and_down, and_up, closes_with, down, never_closes_with, say, tell_server, up,
};
use crate::proxy::{Hooks, Wires};
use crate::{Mutant, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = lower_end();
    all.extend(upper_end());
    all
}

/// A channel of the case itself, not of others that have left a history on the server.
fn is_own(head: &Value) -> bool {
    let channel = head["channel"].as_str().unwrap_or_default();
    channel.starts_with("conformance C1.")
}

/// What the server says as a lower end.
fn lower_end() -> Vec<Mutant> {
    vec![
        mutant("C1.1/for-a-client", "joins nothing at its upstream", || {
            down(|passing, _| !passing.has("have"))
        }),
        mutant(
            "C1.1/for-a-client",
            "joins without saying what it has",
            || {
                down(|passing, _| {
                    if passing.has("have") {
                        passing.head["have"] = json!(true);
                    }
                    true
                })
            },
        ),
        mutant(
            "C1.1/for-a-lower-end",
            "joins nothing at its upstream that no client is on",
            || down(|passing, _| !passing.has("have")),
        ),
        {
            let left = Arc::new(AtomicBool::new(false));
            mutant(
                "C1.2/stays-joined",
                "leaves a channel with its last client",
                move || {
                    let left = left.clone();
                    let mut reader = Reader::default();
                    let mut is_client = None;
                    Hooks::default().up(move |frame, wires| {
                        let text = String::from_utf8_lossy(&frame.payload);
                        let is_client = *is_client.get_or_insert(!text.contains(r#""peer":true"#));
                        if is_client && frame.opcode == Opcode::CLOSE {
                            left.store(true, Ordering::Relaxed);
                        }
                        let mut change = |passing: &mut Passing, _: &mut Wires| {
                            !passing.has("node") || !left.load(Ordering::Relaxed)
                        };
                        reader.pass(frame, wires, Wires::send_server, &mut change);
                    })
                },
            )
        },
        mutant(
            "C1.2/many-channels",
            "keeps every channel for ten minutes",
            || down(|passing, _| !passing.is_leave()),
        ),
        mutant("C1.3/history", "joins only what its members are on", || {
            down(|passing, _| !passing.has("have"))
        }),
        mutant(
            "C1.3/history",
            "does not give an upstream its history back",
            || down(|passing, _| !passing.has("node")),
        ),
        mutant(
            "C1.3/interest-first",
            "joins channels in the order of their age",
            || {
                let held = Arc::new(Mutex::new(Vec::new()));
                let holding = held.clone();
                let mut since = None;
                down(move |passing, _| {
                    let late = passing.has("have") && !is_own(&passing.head);
                    if late {
                        holding.lock().unwrap().push(passing.head.clone());
                    }
                    !late
                })
                .tick(move |wires| {
                    let mut held = held.lock().unwrap();
                    if held.is_empty() {
                        return;
                    }
                    let since = since.get_or_insert_with(Instant::now);
                    if since.elapsed() > Duration::from_millis(300) {
                        held.drain(..).for_each(|join| say(wires, &join));
                    }
                })
            },
        ),
        mutant(
            "C1.3/left-when-synchronised",
            "keeps channels joined that nobody is on",
            || down(|passing, _| !passing.is_leave()),
        ),
        mutant(
            "C1.3/left-when-synchronised",
            "leaves channels that are synchronised, members or not",
            || {
                let seen = Arc::new(Mutex::new(Value::Null));
                let server = seen.clone();
                and_down(
                    and_up(Hooks::default(), move |passing, wires| {
                        let uid = server.lock().unwrap().clone();
                        if passing.has("done") && !is_own(&passing.head) {
                            let channel = &passing.head["channel"];
                            say(
                                wires,
                                &json!({"uid": uid, "channel": channel, "peer": false}),
                            );
                        }
                        true
                    }),
                    move |passing, _| {
                        *seen.lock().unwrap() = passing.head["uid"].clone();
                        true
                    },
                )
            },
        ),
        mutant(
            "C1.4/highest-seq-of-each-origin",
            "says nothing of itself",
            without_itself,
        ),
        mutant(
            "C1.4/highest-seq-of-each-origin",
            "says only what it has accepted itself",
            only_itself,
        ),
        mutant(
            "C1.4/highest-seq-of-each-origin",
            "says the number of messages in place of the highest seq",
            counting,
        ),
        mutant(
            "C1.5/ignored-before-it",
            "takes what its upstream says before the reply",
            || {
                let mut replied = HashSet::new();
                up(move |passing, wires| {
                    let channel = passing.head["channel"].to_string();
                    if passing.has("node") && replied.insert(channel.clone()) {
                        let (uid, channel) = (&passing.head["node"], &passing.head["channel"]);
                        let reply =
                            json!({"uid": uid, "channel": channel, "peer": true, "have": {}});
                        tell_server(wires, &reply);
                    }
                    !passing.has("have") || replied.insert(channel)
                })
            },
        ),
        mutant(
            "C1.5/silent-before-it",
            "sends what it has without waiting for the reply",
            || {
                let uid = Arc::new(Mutex::new(Value::Null));
                let ours = uid.clone();
                and_down(
                    up(move |passing, _| {
                        if passing.is_handshake() {
                            *ours.lock().unwrap() = passing.head["uid"].clone();
                        }
                        !passing.has("have")
                    }),
                    move |passing, wires| {
                        if passing.has("have") {
                            let mut reply = passing.head.clone();
                            reply["uid"] = uid.lock().unwrap().clone();
                            tell_server(wires, &reply);
                        }
                        true
                    },
                )
            },
        ),
        mutant(
            "C1.7/synchronised-first",
            "leaves a channel as soon as it has the reply",
            || {
                up(|passing, wires| {
                    if !passing.has("have") {
                        return true;
                    }
                    tell_server(wires, &passing.head);
                    let (uid, channel) = (&passing.head["uid"], &passing.head["channel"]);
                    tell_server(
                        wires,
                        &json!({"uid": uid, "channel": channel, "peer": true, "done": true}),
                    );
                    false
                })
            },
        ),
        mutant(
            "C1.7/sent-first",
            "leaves a channel when it is synchronised, whatever is still to be sent",
            || down(|passing, _| !passing.has("node")),
        ),
        mutant("C1.7/sent-first", "does not leave channels", || {
            down(|passing, _| !passing.is_leave())
        }),
        mutant(
            "C1.8/refused-is-not-joined",
            "takes a refusal for a reply",
            || {
                up(|passing, _| {
                    if passing.is_leave() {
                        passing.head["peer"] = json!(true);
                        passing.head["have"] = json!({});
                    }
                    true
                })
            },
        ),
        mutant(
            "C1.8/counts-as-synchronised",
            "waits for a channel whose join was refused",
            || up(|passing, _| !passing.is_leave()),
        ),
        mutant(
            "C1.8/only-in-place-of-the-reply",
            "takes a channel that is refused later for one that is left",
            || never_closes_with(4012),
        ),
        mutant(
            "C1.8/only-in-place-of-the-reply",
            "closes with 4004",
            || closes_with(4012, 4004),
        ),
        mutant("C1.8/tried-again", "takes a refusal for good", || {
            let mut joined = HashSet::new();
            down(move |passing, _| {
                !passing.has("have") || joined.insert(passing.head["channel"].to_string())
            })
        }),
    ]
}

/// What the server says as an upper end.
fn upper_end() -> Vec<Mutant> {
    vec![
        mutant("C1.5/one-reply", "replies twice", || {
            down(|passing, wires| {
                if passing.has("done") {
                    let mut again = passing.head.clone();
                    again["have"] = json!({});
                    again.as_object_mut().unwrap().remove("done");
                    say(wires, &again);
                }
                true
            })
        }),
        mutant("C1.5/one-reply", "replies in another form", || {
            down(|passing, _| {
                if passing.has("have") {
                    passing.head["channel"] = json!("another");
                }
                true
            })
        }),
        mutant(
            "C1.5/nothing-before-it",
            "sends the history before the reply",
            || {
                let mut held = None;
                down(move |passing, wires| {
                    if passing.has("have") {
                        held = Some(passing.head.clone());
                        return false;
                    }
                    if passing.has("done")
                        && let Some(reply) = held.take()
                    {
                        say(wires, &reply);
                    }
                    true
                })
            },
        ),
        mutant(
            "C1.5/have-of-the-reply",
            "says nothing of itself",
            without_itself,
        ),
        mutant(
            "C1.5/have-of-the-reply",
            "says only what it has accepted itself",
            only_itself,
        ),
        mutant("C1.6/not-joined", "takes what comes on any channel", || {
            let mut joined = HashSet::new();
            up(move |passing, wires| {
                let channel = passing.head["channel"].to_string();
                if passing.has("have") {
                    joined.insert(channel);
                } else if passing.has("node") && joined.insert(channel) {
                    let (uid, channel) = (&passing.head["node"], &passing.head["channel"]);
                    let join = json!({"uid": uid, "channel": channel, "peer": true, "have": {}});
                    tell_server(wires, &join);
                }
                true
            })
        }),
        mutant(
            "C1.7/nothing-is-sent",
            "goes on when a peer has left",
            || up(|passing, _| !passing.is_leave()),
        ),
        mutant(
            "C1.7/nothing-is-taken",
            "goes on when a peer has left",
            || up(|passing, _| !passing.is_leave()),
        ),
        mutant("C1.8/too-many-channels", "refuses no join", || {
            down(|passing, wires| {
                if passing.is_leave() {
                    let (uid, channel) = (&passing.head["uid"], &passing.head["channel"]);
                    say(
                        wires,
                        &json!({"uid": uid, "channel": channel, "peer": true, "have": {}}),
                    );
                    say(
                        wires,
                        &json!({"uid": uid, "channel": channel, "peer": true, "done": true}),
                    );
                }
                !passing.is_leave()
            })
        }),
        mutant(
            "C1.9/joined-again",
            "goes on where it was when a channel is joined again",
            || {
                let known = Arc::new(Mutex::new(None));
                let replied = known.clone();
                and_down(
                    up(move |passing, _| {
                        if passing.has("have")
                            && let Some(have) = known.lock().unwrap().take()
                        {
                            passing.head["have"] = have;
                        }
                        true
                    }),
                    move |passing, _| {
                        if passing.has("have") {
                            *replied.lock().unwrap() = Some(passing.head["have"].clone());
                        }
                        true
                    },
                )
            },
        ),
        mutant("C1.9/joined-again", "does not look what a peer has", || {
            up(|passing, _| {
                if passing.has("have") {
                    passing.head["have"] = json!({});
                }
                true
            })
        }),
        mutant("C1.9/joined-again", "replies to a first join only", || {
            let mut joined = HashSet::new();
            up(move |passing, _| {
                !passing.has("have") || joined.insert(passing.head["channel"].to_string())
            })
        }),
    ]
}

/// What is told of origins is changed, if there is any.
fn telling(change: impl Fn(&mut serde_json::Map<String, Value>, &str) + Send + 'static) -> Hooks {
    down(move |passing, _| {
        let uid = passing.head["uid"].as_str().unwrap_or_default().to_owned();
        if let Some(have) = passing.head.get_mut("have").and_then(Value::as_object_mut) {
            change(have, &uid);
        }
        true
    })
}

fn without_itself() -> Hooks {
    telling(|have, uid| {
        have.remove(uid);
    })
}

fn only_itself() -> Hooks {
    telling(|have, uid| have.retain(|origin, _| origin == uid))
}

fn counting() -> Hooks {
    telling(|have, _| {
        for seq in have.values_mut() {
            *seq = json!(seq.as_u64().unwrap_or_default().min(2));
        }
    })
}
