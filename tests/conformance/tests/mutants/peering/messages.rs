//! Messages on links (peering.md, section 5).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mles_conformance::{MINUTE, clock};
use serde_json::{Map, Value, json};

use super::{and_down, closes_with, down, handshakes, never_closes_with, say, up};
use crate::proxy::Hooks;
use crate::{Mutant, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = accepting();
    all.extend(sending());
    all.extend(numbers());
    all.extend(more_origins());
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

/// What the server tells of origins is changed. (Frame by frame: what is behind a header may be long.)
fn telling(change: impl Fn(&mut Map<String, Value>) + Send + 'static) -> Hooks {
    Hooks::default().down(move |frame, wires| {
        let mut head: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        match head.get_mut("have").and_then(Value::as_object_mut) {
            Some(have) => {
                change(have);
                say(wires, &head);
            }
            None => wires.send_client(frame),
        }
    })
}

fn numbers() -> Vec<Mutant> {
    let forgets_numbers = || {
        up(|passing, _| {
            if passing.has("have") {
                passing.head["have"] = json!({});
            }
            true
        })
    };
    vec![
        mutant(
            "S1.4/heard-in-a-have",
            "goes on where it was, whatever it hears",
            forgets_numbers,
        ),
        mutant(
            "S1.4/heard-in-a-message",
            "goes on where it was, whatever it hears",
            || {
                down(|passing, _| {
                    let seq = passing.head["seq"].as_u64().unwrap_or_default();
                    if seq > 1_000_000 {
                        passing.head["seq"] = json!(seq - 1_000_000);
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.4/heard-in-a-message",
            "drops messages of its own that it does not know",
            || up(|passing, _| passing.head["seq"] != 1_000_000),
        ),
        mutant("S1.4/greatest", "begins again at 1", forgets_numbers),
        mutant("S1.4/greatest", "closes with 4012", || {
            closes_with(1012, 4012)
        }),
        mutant("S1.4/greatest", "keeps its links", || {
            never_closes_with(1012)
        }),
        mutant(
            "S2.1/with-its-history",
            "forgets what it has seen with the last link",
            || telling(Map::clear),
        ),
        mutant(
            "S2.1/with-its-history",
            "forgets the history with the last link",
            || down(|passing, _| !passing.has("node")),
        ),
        mutant(
            "S2.2/256-origins",
            "remembers as many origins as there are",
            || {
                telling(|have| {
                    if have.len() > 200 {
                        let more = (0..40).map(|number| (format!("{number:032x}"), json!(1)));
                        have.extend(more);
                    }
                })
            },
        ),
        mutant("S2.2/256-origins", "remembers 64 origins", || {
            telling(|have| {
                while have.len() > 65 {
                    let some = have.keys().next().cloned().unwrap_or_default();
                    have.remove(&some);
                }
            })
        }),
        mutant(
            "S2.2/256-origins",
            "forgets some origin, not the oldest",
            || {
                telling(|have| {
                    if have.len() > 200 {
                        let some = have.keys().nth(100).cloned().unwrap_or_default();
                        have.remove(&some);
                        have.insert("0123456789abcdef0123456789abcdef".into(), json!(1));
                    }
                })
            },
        ),
        mutant(
            "S2.2/counts-as-seen",
            "takes whatever comes of an origin that it has forgotten",
            || {
                up(|passing, _| {
                    let ts = passing.head["ts"].as_u64().unwrap_or_default();
                    if passing.head["seq"] == 2 && ts < clock() - 5 * MINUTE {
                        passing.head["ts"] = json!(clock() - 5 * MINUTE);
                    }
                    true
                })
            },
        ),
        mutant(
            "S2.2/counts-as-seen",
            "takes an origin that it does not know for a new one, whatever its time",
            || {
                let mut nodes = HashSet::new();
                let mut first = None;
                up(move |passing, _| {
                    if passing.has("node") {
                        let is_new = nodes.insert(passing.head["node"].to_string());
                        let ts = passing.head["ts"].clone();
                        // The first of the many is what a later one is as old as.
                        if nodes.len() == 2 && first.is_none() {
                            first = Some(ts.clone());
                        }
                        if is_new && nodes.len() > 2 && Some(ts) == first {
                            passing.head["ts"] = json!(clock() - 5 * MINUTE);
                        }
                    }
                    true
                })
            },
        ),
        mutant(
            "S2.3/goes-on-above",
            "begins at 1 when it has forgotten a channel",
            || {
                // Only on links that have not seen the channel before.
                let mut first = None;
                down(move |passing, _| {
                    if passing.has("node") {
                        let seq = passing.head["seq"].as_u64().unwrap_or_default();
                        let first = *first.get_or_insert(seq);
                        passing.head["seq"] = json!(seq - first + 1);
                    }
                    true
                })
            },
        ),
        {
            let links = Arc::new(Mutex::new(0));
            mutant(
                "S2.3/goes-on-above",
                "goes by the clock alone, which was set back",
                move || {
                    let (links, mut own) = (links.clone(), None);
                    down(move |passing, _| {
                        if passing.has("node") {
                            let is_first = *own.get_or_insert_with(|| {
                                let mut links = links.lock().unwrap();
                                *links += 1;
                                *links == 1
                            });
                            let ts = passing.head["ts"].as_u64().unwrap_or_default();
                            if !is_first {
                                passing.head["ts"] = json!(ts - MINUTE);
                            }
                        }
                        true
                    })
                },
            )
        },
        mutant(
            "M3.1/numbers-and-times",
            "counts all channels together",
            || {
                let mut more = 0;
                down(move |passing, _| {
                    if passing.has("node") {
                        more += 1;
                        let seq = passing.head["seq"].as_u64().unwrap_or_default();
                        passing.head["seq"] = json!(seq + more);
                    }
                    true
                })
            },
        ),
        mutant(
            "M3.1/numbers-and-times",
            "gives times in milliseconds",
            || {
                down(|passing, _| {
                    if passing.has("node") {
                        let ts = passing.head["ts"].as_u64().unwrap_or_default();
                        passing.head["ts"] = json!(ts / 1000);
                    }
                    true
                })
            },
        ),
        mutant(
            "M3.1/numbers-and-times",
            "gives messages of one moment one time",
            || {
                down(|passing, _| {
                    if passing.has("node") {
                        let ts = passing.head["ts"].as_u64().unwrap_or_default();
                        passing.head["ts"] = json!(ts / 1_000_000 * 1_000_000);
                    }
                    true
                })
            },
        ),
        mutant(
            "M3.9/forgotten-with-the-last-link",
            "forgets a channel that is joined on another link",
            || telling(Map::clear),
        ),
        mutant(
            "M3.9/forgotten-with-the-last-link",
            "remembers every channel",
            || {
                let seen = Arc::new(Mutex::new(None));
                let told = seen.clone();
                telling(move |have| {
                    if let Some((node, seq)) = seen.lock().unwrap().clone() {
                        have.insert(node, seq);
                    }
                })
                .up(move |frame, wires| {
                    let head: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
                    if let Some(node) = head["node"].as_str() {
                        *told.lock().unwrap() = Some((node.to_owned(), head["seq"].clone()));
                    }
                    wires.send_server(frame);
                })
            },
        ),
    ]
}

fn more_origins() -> Vec<Mutant> {
    vec![
        mutant(
            "S1.2/later-announcement-stays",
            "keeps the announcement that came last",
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
            "S1.2/later-announcement-stays",
            "keeps announcements of different origins",
            || {
                // To the server, another has said it.
                let mut uids = 0;
                up(move |passing, _| {
                    if passing.has("node") {
                        uids += 1;
                        passing.head["uid"] = json!(format!("adam {uids}"));
                    }
                    true
                })
            },
        ),
        mutant(
            "S2.2/the-one-that-has-just-come",
            "always remembers the origin that has just come",
            || {
                // As if its message were newer.
                up(|passing, _| {
                    let text = passing.text().unwrap_or_default();
                    if passing.has("node") && text.starts_with("marker") {
                        passing.head["ts"] = json!(clock());
                    }
                    true
                })
            },
        ),
        mutant(
            "S2.2/the-one-that-has-just-come",
            "takes what is older than all that it remembers for seen",
            || {
                let mut count = 0;
                up(move |passing, _| {
                    count += usize::from(passing.has("node"));
                    count < 302
                })
            },
        ),
        mutant(
            "S2.4/a-quarter-of-the-budget",
            "remembers as many origins as there are",
            || {
                telling(|have| {
                    have.insert("0123456789abcdef0123456789abcdef".into(), json!(1));
                })
            },
        ),
        mutant(
            "S2.4/a-quarter-of-the-budget",
            "remembers no origin then",
            || telling(Map::clear),
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
