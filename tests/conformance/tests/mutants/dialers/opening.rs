//! Opening a link, and merging, as the server does that dials.

use crate::peering::{Passing, and_down, and_up, down, learning, say, tell_server, up};
use crate::proxy::{Hooks, Wires};
use crate::{Mutant, mutant};
use mles_conformance::wire::{Frame, Opcode};
use mles_conformance::{PEER_KEY, hash, random_uid};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = opening();
    all.extend(merging());
    for (case, code) in [
        ("O1.3/dialer-on-the-path", 1000),
        ("O1.4/dialer-missing", 4001),
        ("O1.4/dialer-another-key", 4001),
        ("O1.4/dialer-given-back", 4001),
        ("O1.2/dialer-too-long", 4000),
        ("O1.2/dialer-bad-uid", 4012),
        ("O1.7/dialer-ahead", 4011),
        ("O1.7/dialer-behind", 4011),
        ("R1.1/dialer-itself", 4010),
        ("R1.7/dialer-65-nodes", 4011),
        ("R1.7/dialer-64-nodes", 4011),
        ("O1.10/dialer-closes", 1000),
        ("G1.3/same-root-by-then", 1000),
        ("G1.3/its-upstream", 4002),
    ] {
        all.push(mutant(case, "takes it", move || never_closes_with(code)));
        all.push(mutant(case, "closes with another code", move || {
            closes_with(code, 1002)
        }));
    }
    all
}

/// Close frames of the server are changed in this way.
fn closes_with(from: u16, to: u16) -> Hooks {
    Hooks::default().up(move |frame, wires| {
        let is_it = frame.opcode == Opcode::CLOSE && frame.as_close().code == Some(from);
        match is_it {
            true => wires.send_server(Frame::close(to, "for another reason")),
            false => wires.send_server(frame),
        }
    })
}

/// The server closes nothing with this code, and leaves the connection open.
fn never_closes_with(code: u16) -> Hooks {
    Hooks::default()
        .up(move |frame, wires| {
            if frame.opcode != Opcode::CLOSE || frame.as_close().code != Some(code) {
                wires.send_server(frame);
            }
        })
        .client_ended(|_| ())
}

/// The server's handshakes are changed in this way, before it proves who it is.
fn handshakes(change: fn(&mut Value)) -> Hooks {
    let (hooks, nonces) = learning();
    and_up(hooks, move |passing, _| {
        if passing.is_handshake() {
            change(&mut passing.head);
            let text = |name: &str| passing.head[name].as_str().unwrap_or_default().to_owned();
            let [dialer, acceptor] = &*nonces.lock().unwrap();
            let auth = hash(&[&text("uid"), &text("channel"), PEER_KEY, dialer, acceptor]);
            passing.head["auth"] = json!(format!("{auth:016x}"));
        }
        true
    })
}

/// The judge sees a close frame in place of what comes next.
fn close(wires: &mut Wires, code: u16) {
    wires.send_server(Frame::close(code, "for no reason"));
    wires.end_server();
}

fn length(passing: &Passing) -> usize {
    passing.head["path"].as_array().map_or(0, Vec::len)
}

fn opening() -> Vec<Mutant> {
    vec![
        mutant("O1.1/dialer-nonce", "says no nonce", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().without("Mles-Nonce");
            })
        }),
        mutant("O1.1/dialer-nonce", "has one nonce for all", || {
            Hooks::default().request(|request, _| {
                let nonce = "0123456789abcdef0123456789abcdef";
                *request = request.clone().replace("Mles-Nonce", nonce);
            })
        }),
        mutant("O1.1/dialer-is-a-client", "offers no subprotocol", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().without("Sec-WebSocket-Protocol");
            })
        }),
        mutant(
            "O1.1/dialer-gets-no-nonce",
            "begins with a handshake, nonce or not",
            || {
                Hooks::default().response(|response, _| {
                    *response = response.clone().with("Mles-Nonce", &random_uid());
                })
            },
        ),
        mutant("O1.1/dialer-gets-no-nonce", "keeps the connection", || {
            Hooks::default().client_ended(|_| ())
        }),
        mutant("O1.2/dialer-handshake", "probes first", || {
            handshakes(|handshake| handshake["probe"] = json!(true))
        }),
        mutant(
            "O1.2/dialer-handshake",
            "gives its clock in milliseconds",
            || {
                handshakes(|handshake| {
                    let ts = handshake["ts"].as_u64().unwrap();
                    handshake["ts"] = json!(ts / 1000);
                })
            },
        ),
        mutant("O1.2/dialer-handshake", "has itself on its path", || {
            handshakes(|handshake| handshake["path"] = json!([handshake["uid"]]))
        }),
        mutant("O1.2/dialer-waits", "joins behind its handshake", || {
            up(|passing, wires| {
                if passing.is_handshake() {
                    tell_server(wires, &passing.head);
                    let uid = &passing.head["uid"];
                    let join = json!({"uid": uid, "channel": "early", "peer": true, "have": {}});
                    tell_server(wires, &join);
                    return false;
                }
                true
            })
        }),
        mutant(
            "O1.3/dialer-is-the-lower-end",
            "waits for the joins of the other end",
            || up(|passing, _| !passing.has("have")),
        ),
        mutant("O1.4/dialer-proves", "proves nothing", || {
            up(|passing, _| {
                if passing.is_handshake() {
                    passing.head["auth"] = json!("0");
                }
                true
            })
        }),
        mutant("R1.7/dialer-63-nodes", "takes 62 nodes at most", || {
            down(|passing, wires| {
                if length(passing) > 62 {
                    close(wires, 4011);
                }
                true
            })
        }),
        mutant("O1.8/dialer-gives-up", "waits for ever", || {
            never_closes_with(4003).server_ended(|_| ())
        }),
        mutant("O1.8/dialer-gives-up", "gives up after 2 s", || {
            Hooks::default().tick(|wires| {
                let late = Duration::from_secs(2);
                if wires
                    .upgraded
                    .is_some_and(|upgraded| upgraded.elapsed() > late)
                {
                    wires.upgraded = None;
                    close(wires, 4003);
                }
            })
        }),
        mutant(
            "W1.1/only-dialing",
            "has its clients wait for an upstream that has not answered",
            || {
                // It takes its own proxy for the upstream, that does not answer its joins.
                let (hooks, nonces) = learning();
                and_up(hooks, move |passing, wires| {
                    if passing.is_handshake() {
                        let uid = "00000000000000000000000000000001";
                        let [dialer, acceptor] = &*nonces.lock().unwrap();
                        let auth = hash(&[uid, "mles", PEER_KEY, dialer, acceptor]);
                        let mut reply = passing.head.clone();
                        reply["uid"] = json!(uid);
                        reply["channel"] = json!("mles");
                        reply["auth"] = json!(format!("{auth:016x}"));
                        say(wires, &reply);
                        return true;
                    }
                    false
                })
            },
        ),
    ]
}

fn merging() -> Vec<Mutant> {
    let without_probe = || {
        up(|passing, _| {
            if let Some(members) = passing.head.as_object_mut() {
                members.remove("probe");
            }
            true
        })
    };
    vec![
        mutant(
            "U1.4/kept",
            "dials what is before its upstream to stay",
            without_probe,
        ),
        mutant(
            "G1.1/begins-soon",
            "dials every peer to stay",
            without_probe,
        ),
        mutant(
            "G1.1/begins-soon",
            "writes `probe` among the others",
            || {
                up(|passing, wires| {
                    if passing.has("probe") {
                        tell_server(wires, &passing.head);
                    }
                    !passing.has("probe")
                })
            },
        ),
        mutant(
            "G1.1/anew-with-each-change",
            "does not look whether its root has changed",
            without_paths,
        ),
        mutant(
            "G1.9/doubles",
            "waits 0.1 to 1 s, however often its root has changed",
            without_paths,
        ),
        mutant(
            "G1.10/left-alone",
            "merges again and again with the tree that it is in",
            || {
                down(|passing, _| {
                    if passing.is_handshake() {
                        passing.head["path"] = json!([]);
                    }
                    true
                })
            },
        ),
        mutant("G1.2/dials-to-stay", "only probes", || {
            up(|passing, _| {
                if passing.is_handshake() {
                    passing.head["probe"] = json!(true);
                }
                true
            })
        }),
        mutant("G1.2/dials-to-stay", "says no path", || {
            up(|passing, _| {
                if passing.is_handshake() {
                    passing.head["path"] = json!([]);
                }
                true
            })
        }),
        mutant("G1.3/turns-the-old-link", "has two upstreams", || {
            up(|passing, _| !passing.has("turn"))
        }),
        mutant("G1.3/turns-the-old-link", "closes the old link", || {
            up(|passing, wires| {
                if passing.has("turn") {
                    close(wires, 1000);
                }
                true
            })
        }),
        mutant(
            "G1.6/while-a-turn-is-outstanding",
            "takes its turn for answered",
            || {
                let uid = Arc::new(Mutex::new(Value::Null));
                let other = uid.clone();
                and_down(
                    up(move |passing, wires| {
                        if passing.has("turn") {
                            let uid = uid.lock().unwrap();
                            let turn = json!({"uid": *uid, "peer": true, "path": [], "turn": true});
                            say(wires, &turn);
                        }
                        true
                    }),
                    move |passing, _| {
                        *other.lock().unwrap() = passing.head["uid"].clone();
                        !passing.has("turn")
                    },
                )
            },
        ),
    ]
}

/// The server is not told that the path of its upstream has changed.
fn without_paths() -> Hooks {
    down(|passing, _| passing.is_handshake() || passing.has("turn") || !passing.has("path"))
}
