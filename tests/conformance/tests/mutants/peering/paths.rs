//! Paths and rings (peering.md, section 7).

use std::time::Duration;

use mles_conformance::random_uid;
use mles_conformance::wire::Opcode;
use serde_json::{Value, json};

use super::{Passing, closes_with, down, never_closes_with, up};
use crate::proxy::Hooks;
use crate::{Mutant, mutant};

/// How many nodes a path has.
fn length(passing: &Passing) -> usize {
    passing.head["path"].as_array().map_or(0, Vec::len)
}

/// Whether a frame only tells a path.
fn is_path(passing: &Passing) -> bool {
    passing.has("path") && !passing.is_handshake() && !passing.has("turn")
}

/// Paths in the server's handshakes are changed, if there are nodes on them.
fn replies(change: fn(&mut Vec<Value>)) -> Hooks {
    down(move |passing, _| {
        if let Some(path) = passing.head.get_mut("path").and_then(Value::as_array_mut)
            && !path.is_empty()
        {
            change(path);
        }
        true
    })
}

/// What the judge says of a path that is longer than this does not show.
fn shortening(most: usize) -> Hooks {
    up(move |passing, _| {
        if let Some(path) = passing.head.get_mut("path").and_then(Value::as_array_mut) {
            path.truncate(most);
        }
        true
    })
}

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant("R1.1/itself", "takes itself for a peer", || {
            never_closes_with(4010)
        }),
        mutant(
            "R1.1/itself",
            "takes itself for one that comes again",
            || closes_with(4010, 4002),
        ),
        mutant("R1.1/on-its-path", "closes rings", || {
            never_closes_with(4010)
        }),
        mutant("R1.1/on-its-path", "closes with 4011", || {
            closes_with(4010, 4011)
        }),
        mutant(
            "R1.2/behind-its-upstreams",
            "leaves its upstream out of its path",
            || replies(|path| drop(path.pop())),
        ),
        mutant(
            "R1.2/behind-its-upstreams",
            "has its path begin with its upstream",
            || replies(|path| path.reverse()),
        ),
        mutant(
            "R1.2/behind-its-upstreams",
            "has only its upstream on its path",
            || replies(|path| drop(path.drain(..path.len() - 1))),
        ),
        mutant(
            "R1.2/ring",
            "has all that its upstream tells on its path, whoever it is",
            || replies(|path| path.insert(0, json!(random_uid()))),
        ),
        mutant("R1.3/greatest-cuts", "leaves rings as they are", || {
            never_closes_with(4010)
        }),
        mutant("R1.3/greatest-cuts", "closes with 4002", || {
            closes_with(4010, 4002)
        }),
        mutant(
            "R1.3/others-do-not",
            "closes its upstream link whenever there is a ring",
            || {
                up(|passing, wires| {
                    if is_path(passing) && length(passing) > 0 {
                        wires.close_client(4010, "a ring");
                    }
                    true
                })
            },
        ),
        mutant(
            "R1.3/by-a-turn",
            "looks for rings in path frames only",
            || never_closes_with(4010),
        ),
        mutant(
            "R1.4/told-to-lower-ends",
            "tells nobody of its path",
            || down(|passing, _| !is_path(passing)),
        ),
        mutant(
            "R1.4/told-to-lower-ends",
            "tells only that it has an upstream",
            || {
                let mut told = 0;
                down(move |passing, _| {
                    told += usize::from(is_path(passing));
                    !is_path(passing) || told < 3
                })
            },
        ),
        mutant(
            "R1.4/told-to-lower-ends",
            "does not tell that it has no upstream any more",
            || down(|passing, _| !is_path(passing) || length(passing) > 0),
        ),
        mutant(
            "R1.5/latest-frame",
            "goes by the path that its upstream had at first",
            || up(|passing, _| !is_path(passing)),
        ),
        mutant("R1.6/pings-and-closes", "only pings every 5 s", || {
            Hooks::default().down(move |frame, wires| {
                let five = Duration::from_secs(5);
                let early = wires
                    .upgraded
                    .is_some_and(|upgraded| upgraded.elapsed() < five);
                if frame.opcode != Opcode::PING || !early {
                    wires.send_client(frame);
                }
            })
        }),
        mutant(
            "R1.6/pings-and-closes",
            "keeps an upstream that does not answer",
            || never_closes_with(4005),
        ),
        mutant("R1.6/pings-and-closes", "closes with 4010", || {
            closes_with(4005, 4010)
        }),
        mutant(
            "R1.6/stays-if-it-lives",
            "closes the link whatever its upstream answers",
            || {
                Hooks::default().tick(|wires| {
                    let ten = Duration::from_secs(10);
                    if wires
                        .upgraded
                        .is_some_and(|upgraded| upgraded.elapsed() > ten)
                    {
                        wires.close_client(4005, "no answer");
                        wires.upgraded = None;
                    }
                })
            },
        ),
        mutant("R1.7/64-nodes", "takes 63 nodes at most", || {
            up(|passing, wires| {
                if passing.is_handshake() && length(passing) > 63 {
                    wires.close_client(4011, "too long");
                }
                true
            })
        }),
        mutant("R1.7/65-nodes", "takes paths of any length", || {
            shortening(64)
        }),
        mutant("R1.7/65-nodes", "closes with 4012", || {
            closes_with(4011, 4012)
        }),
        mutant(
            "R1.7/upstream-with-63",
            "takes 62 nodes above its upstream at most",
            || {
                up(|passing, wires| {
                    if is_path(passing) && length(passing) > 62 {
                        wires.close_client(4011, "too long");
                    }
                    true
                })
            },
        ),
        mutant(
            "R1.7/upstream-with-64",
            "does not count its upstream",
            || shortening(63),
        ),
        mutant("R1.7/turn-with-64", "does not count its upstream", || {
            shortening(63)
        }),
        mutant("R1.7/turn-with-64", "closes with 4012", || {
            closes_with(4011, 4012)
        }),
        mutant("R1.7/path-of-65", "takes paths of any length", || {
            shortening(63)
        }),
        mutant("R1.7/path-of-65", "closes with 4012", || {
            closes_with(4011, 4012)
        }),
    ]
}
