//! Numbers, times and origins of messages (peering.md, 5.1 and 5.2).

use crate::peering::{closes_with, down, never_closes_with, say, up};
use crate::proxy::Hooks;
use crate::{Mutant, mutant};
use mles_conformance::{MINUTE, clock};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = numbers();
    all.extend(more_origins());
    all
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
                let mut first = None;
                down(move |passing, _| {
                    if passing.has("node") {
                        let seq = passing.head["seq"].as_u64().unwrap_or_default();
                        let first = *first.get_or_insert(seq);
                        passing.head["seq"] = json!(first + (seq - first) % 1000);
                    }
                    true
                })
            },
        ),
        mutant(
            "S1.4/heard-in-a-message",
            "drops messages of its own that it does not know",
            || {
                let mut own = None;
                up(move |passing, _| {
                    if passing.is_handshake() {
                        own = Some(passing.head["uid"].clone());
                    }
                    !passing.has("node") || own.as_ref() == passing.head.get("node")
                })
            },
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
            "M3.11/consecutive-numbers",
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
        mutant("M3.1/rising-times", "gives times in milliseconds", || {
            down(|passing, _| {
                if passing.has("node") {
                    let ts = passing.head["ts"].as_u64().unwrap_or_default();
                    passing.head["ts"] = json!(ts / 1000);
                }
                true
            })
        }),
        mutant(
            "M3.1/rising-times",
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
