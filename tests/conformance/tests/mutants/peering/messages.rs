//! Messages on links (peering.md, section 5).

mod numbers;

use super::{and_down, down, handshakes, say, up};
use crate::proxy::Hooks;
use crate::{Mutant, mutant};
use mles_conformance::{MINUTE, clock};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = accepting();
    all.extend(sending());
    all.extend(numbers::mutants());
    all.extend(synchronised());
    all
}

fn accepting() -> Vec<Mutant> {
    vec![
        mutant("S1.1/higher-numbers", "takes the next number only", || {
            let mut last = HashMap::new();
            up(move |passing, _| {
                let seq = passing.head["seq"].as_u64().unwrap_or_default();
                let node = passing.head["node"].to_string();
                !passing.has("node") || last.insert(node, seq).is_none_or(|last| seq == last + 1)
            })
        }),
        mutant("S1.1/seen", "takes every message", renumbering),
        mutant(
            "S1.1/seen",
            "drops only what has the very number of the latest",
            || {
                let mut last = json!(0);
                let mut highest = 1000;
                up(move |passing, _| {
                    if passing.has("node") {
                        if passing.head["seq"] == last {
                            return false;
                        }
                        last = passing.head["seq"].clone();
                        highest += 1;
                        passing.head["seq"] = json!(highest);
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.1/each-origin-by-itself",
            "counts all that comes over a link together",
            || {
                let mut highest = 0;
                up(move |passing, _| {
                    let seq = passing.head["seq"].as_u64().unwrap_or_default();
                    let is_new = !passing.has("node") || seq > highest;
                    highest = highest.max(seq);
                    is_new
                })
            },
        ),
        mutant(
            "S1.1/own-come-back",
            "takes what it has sent itself for news",
            || {
                // As if another had said it.
                up(|passing, _| {
                    if passing.head["uid"] == "alice" {
                        passing.head["node"] = json!("00112233445566778899aabbccddeeff");
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.2/into-history-order",
            "keeps what comes over a link in the order in which it comes",
            || {
                up(|passing, _| {
                    if passing.has("node") {
                        passing.head["ts"] = json!(clock());
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.2/into-history-order",
            "does not look at the origin where times are equal",
            || {
                let mut before = 0;
                up(move |passing, _| {
                    if passing.has("node") {
                        before += 1;
                        let ts = passing.head["ts"].as_u64().unwrap_or_default();
                        passing.head["ts"] = json!(ts + before);
                    }
                    true
                })
            },
        ),
        mutant("S1.2/whatever-its-age", "delivers only what is new", || {
            up(|passing, _| {
                let ts = passing.head["ts"].as_u64().unwrap_or_default();
                !passing.has("node") || ts > clock() - 24 * 60 * MINUTE
            })
        }),
        mutant(
            "S1.2/other-links",
            "sends what comes over a link as its own",
            || {
                down(|passing, _| {
                    if passing.has("node") {
                        passing.head["node"] = json!("00112233445566778899aabbccddeeff");
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.2/other-links",
            "sends only what its own clients say",
            || down(|passing, _| !passing.has("node") || passing.head["uid"] == "alice"),
        ),
        mutant(
            "S1.2/other-links",
            "gives what it sends a time of its own",
            || {
                down(|passing, _| {
                    if passing.has("node") {
                        passing.head["ts"] = json!(clock());
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.2/not-back",
            "sends messages back where they came from",
            || {
                up(|passing, wires| {
                    if let Some(payload) = &passing.payload {
                        say(wires, &passing.head);
                        wires.send_client(payload.clone());
                    }
                    true
                })
            },
        ),
        {
            let uids = Arc::new(Mutex::new(HashSet::new()));
            mutant(
                "J1.11/elsewhere-is-nobody-here",
                "takes a member elsewhere for an incumbent",
                move || {
                    let uids = uids.clone();
                    up_any(move |head| {
                        let key = (head["uid"].to_string(), head["channel"].to_string());
                        if head.get("node").is_some() {
                            uids.lock().unwrap().insert(key);
                            return true;
                        }
                        head.get("peer").is_some() || !uids.lock().unwrap().contains(&key)
                    })
                },
            )
        },
        mutant(
            "J1.11/elsewhere-is-nobody-here",
            "keeps from a member what its own uid says elsewhere",
            || up(|passing, _| passing.head["uid"] != "alice"),
        ),
    ]
}

/// Every message of the judge has a number that is new to the server.
fn renumbering() -> Hooks {
    let mut seq = 0;
    up(move |passing, _| {
        if passing.has("node") {
            seq += 1;
            passing.head["seq"] = json!(seq);
        }
        true
    })
}

/// Frames of the judge pass if this holds for the object in them; what is no object passes.
fn up_any(mut passes: impl FnMut(&Value) -> bool + Send + 'static) -> Hooks {
    Hooks::default().up(move |frame, wires| {
        let head: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        if !head.is_object() || passes(&head) {
            wires.send_server(frame);
        }
    })
}

fn sending() -> Vec<Mutant> {
    vec![
        mutant(
            "S1.3/in-history-order",
            "sends a history in the order in which it came in",
            || {
                let mut held = Vec::new();
                down(move |passing, wires| {
                    if passing.has("node") {
                        held.push((passing.head.clone(), passing.payload.clone()));
                        return false;
                    }
                    for (head, payload) in held.drain(..).rev() {
                        say(wires, &head);
                        wires.send_client(payload.unwrap());
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.3/only-what-it-lacks",
            "does not look what a peer has",
            || {
                up(|passing, _| {
                    if passing.has("have") {
                        passing.head["have"] = json!({});
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.3/only-what-it-lacks",
            "sends the message of the number that a peer has, too",
            || {
                up(|passing, _| {
                    if let Some(have) = passing.head.get_mut("have").and_then(Value::as_object_mut)
                    {
                        for seq in have.values_mut() {
                            *seq = json!(seq.as_u64().unwrap_or(1).max(2) - 1);
                        }
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.5/latest-have",
            "remembers what has gone over a link, whatever is joined there again",
            || {
                let mut joined = false;
                let sent: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
                let seen = sent.clone();
                and_down(
                    up(move |passing, _| {
                        if passing.has("node") {
                            let node = passing.head["node"].as_str().unwrap_or_default();
                            let seq = passing.head["seq"].clone();
                            sent.lock().unwrap().insert(node.to_owned(), seq);
                        }
                        if passing.has("have") && std::mem::replace(&mut joined, true) {
                            passing.head["have"] = json!(*sent.lock().unwrap());
                        }
                        true
                    }),
                    move |passing, _| {
                        if passing.has("node") {
                            let node = passing.head["node"].as_str().unwrap_or_default();
                            let seq = passing.head["seq"].clone();
                            seen.lock().unwrap().insert(node.to_owned(), seq);
                        }
                        true
                    },
                )
            },
        ),
        mutant(
            "S1.6/more-than-the-history-keeps",
            "sends a peer only what its history still holds",
            || {
                let mut count = 0;
                down(move |passing, _| {
                    count += usize::from(passing.has("node"));
                    !passing.has("node") || !(20..40).contains(&count)
                })
            },
        ),
        mutant(
            "S1.6/never-in-the-history",
            "sends no peer what it does not keep",
            || handshakes(|handshake, _| handshake["max"] = json!(1 << 17)),
        ),
    ]
}

fn synchronised() -> Vec<Mutant> {
    let early = || {
        down(|passing, wires| {
            if passing.has("have") {
                say(wires, &passing.head);
                let (uid, channel) = (&passing.head["uid"], &passing.head["channel"]);
                say(
                    wires,
                    &json!({"uid": uid, "channel": channel, "peer": true, "done": true}),
                );
                return false;
            }
            true
        })
    };
    vec![
        mutant(
            "S3.1/behind-what-it-lacks",
            "says `done` with the reply",
            early,
        ),
        mutant("S3.1/behind-what-it-lacks", "says no `done`", || {
            down(|passing, _| !passing.has("done"))
        }),
        mutant(
            "S3.1/behind-the-upstreams",
            "does not wait for its upstream",
            || {
                // The upstream's link is told by what the judge says there.
                let upper = Arc::new(Mutex::new(false));
                let known = upper.clone();
                and_down(
                    up(move |passing, _| {
                        *known.lock().unwrap() |= passing.has("turn");
                        true
                    }),
                    move |passing, wires| {
                        if passing.has("have") && !*upper.lock().unwrap() {
                            say(wires, &passing.head);
                            let (uid, channel) = (&passing.head["uid"], &passing.head["channel"]);
                            let done =
                                json!({"uid": uid, "channel": channel, "peer": true, "done": true});
                            say(wires, &done);
                            return false;
                        }
                        true
                    },
                )
            },
        ),
        mutant(
            "S3.1/upstream-refuses",
            "waits for an upstream that has refused a channel",
            || up(|passing, _| !passing.is_leave()),
        ),
        mutant(
            "S3.2/two-seconds",
            "waits for its upstream as long as that takes",
            || down(|passing, _| !passing.has("done")),
        ),
        mutant("S3.2/two-seconds", "waits half a second", || {
            let held = Arc::new(Mutex::new(None));
            let holding = held.clone();
            down(move |passing, _| {
                if passing.has("have") {
                    let (uid, channel) = (&passing.head["uid"], &passing.head["channel"]);
                    let done = json!({"uid": uid, "channel": channel, "peer": true, "done": true});
                    *holding.lock().unwrap() = Some((Instant::now(), done));
                }
                true
            })
            .tick(move |wires| {
                let mut held = held.lock().unwrap();
                if let Some((since, done)) = &*held
                    && since.elapsed() > Duration::from_millis(500)
                {
                    say(wires, done);
                    *held = None;
                }
            })
        }),
    ]
}
