//! Opening a link (peering.md, section 2).

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mles_conformance::{MINUTE, clock, random_uid};
use serde_json::{Value, json};

use super::{and_down, closes, closes_with, down, handshakes, never_closes_with, say, up};
use crate::proxy::{Hooks, Wires};
use crate::{Mutant, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = vec![
        mutant("O1.1/nonce-in-the-response", "gives no nonce", || {
            Hooks::default().response(|response, _| {
                *response = response.clone().without("Mles-Nonce");
            })
        }),
        mutant("O1.1/nonce-in-the-response", "draws 64 bits only", || {
            Hooks::default().response(|response, _| {
                *response = response.clone().replace("Mles-Nonce", "0123456789abcdef");
            })
        }),
        mutant(
            "O1.1/nonce-in-the-response",
            "knows the name of the field in one spelling only",
            || {
                Hooks::default().request(|request, _| {
                    request.fields.retain(|(name, _)| name != "mles-nonce");
                })
            },
        ),
        mutant(
            "O1.1/new-for-each-connection",
            "has one nonce for all connections",
            || {
                Hooks::default().response(|response, _| {
                    let nonce = "0123456789abcdef0123456789abcdef";
                    *response = response.clone().replace("Mles-Nonce", nonce);
                })
            },
        ),
        mutant("O1.1/only-when-asked", "gives everybody a nonce", || {
            Hooks::default().response(|response, _| {
                *response = response.clone().with("Mles-Nonce", &random_uid());
            })
        }),
        mutant(
            "O1.1/handshake-without-nonce",
            "says that the key is wrong where there was no nonce",
            || closes_with(4011, 4001),
        ),
        mutant(
            "O1.1/handshake-without-nonce",
            "takes a handshake on a connection without nonces",
            || {
                up(|passing, wires| {
                    say(wires, &passing.head);
                    false
                })
            },
        ),
        mutant(
            "O1.2/longest",
            "takes handshakes of 2048 bytes at most",
            || {
                up(|passing, wires| {
                    if passing.is_handshake() && passing.head.to_string().len() > 2048 {
                        wires.close_client(4000, "too long");
                    }
                    true
                })
            },
        ),
        mutant(
            "O1.2/longest",
            "takes no channel in a handshake that is not ASCII",
            || {
                up(|passing, wires| {
                    let channel = passing.head["channel"].as_str().unwrap_or_default();
                    if passing.is_handshake() && !channel.is_ascii() {
                        wires.close_client(4000, "not ASCII");
                    }
                    true
                })
            },
        ),
        mutant("O1.2/too-long", "takes handshakes of any length", || {
            handshakes(|handshake, _| handshake["channel"] = json!("short"))
        }),
        mutant("O1.2/too-long", "closes with 1009", || {
            closes_with(4000, 1009)
        }),
        mutant(
            "O1.2/joins-nothing",
            "takes a handshake for the join of its channel",
            || {
                let mut channel = Value::Null;
                up(move |passing, wires| {
                    if passing.is_handshake() {
                        channel = passing.head["channel"].clone();
                    } else if passing.has("have") && passing.head["channel"] == channel {
                        let node = random_uid();
                        let header = json!({"uid": "alice", "channel": channel, "node": node, "seq": 1, "ts": clock()});
                        say(wires, &header);
                        say(wires, &json!("said before"));
                    }
                    true
                })
            },
        ),
        mutant("O1.3/upper-end", "does not answer joins", || {
            down(|passing, _| !passing.has("have"))
        }),
        mutant(
            "O1.3/upper-end",
            "does not tell its peers what its clients say",
            || down(|passing, _| !passing.has("node")),
        ),
        mutant("O1.3/same-uid", "draws a uid for each link", || {
            down(|passing, _| {
                if passing.is_handshake() {
                    passing.head["uid"] = json!(random_uid());
                }
                true
            })
        }),
        mutant("O1.4/reply", "gives back the hash that it got", || {
            let sent = Arc::new(Mutex::new(Value::Null));
            let came = sent.clone();
            and_down(
                up(move |passing, _| {
                    *came.lock().unwrap() = passing.head["auth"].clone();
                    true
                }),
                move |passing, _| {
                    if passing.is_handshake() {
                        passing.head["auth"] = sent.lock().unwrap().clone();
                    }
                    true
                },
            )
        }),
        mutant("O1.4/reply", "replies without auth", || {
            down(|passing, _| {
                if let Some(members) = passing.head.as_object_mut() {
                    members.remove("auth");
                }
                true
            })
        }),
        mutant(
            "O1.5/takes-no-peers",
            "takes the header of a handshake for a bad one",
            || closes_with(4011, 4000),
        ),
        mutant(
            "O1.5/takes-no-peers",
            "takes a handshake for a client's header",
            || {
                Hooks::default().up(|mut frame, wires| {
                    let text = String::from_utf8_lossy(&frame.payload);
                    frame.payload = text.replace(r#""peer":true,"#, "").into_bytes();
                    wires.send_server(frame);
                })
            },
        ),
        mutant(
            "O1.6/comes-again",
            "keeps the first link of a node, too",
            || never_closes_with(4002),
        ),
        {
            let known = Arc::new(Mutex::new(HashSet::new()));
            mutant(
                "O1.6/comes-again",
                "refuses a node that has a link",
                move || {
                    let known = known.clone();
                    up(move |passing, wires| {
                        let uid = passing.head["uid"].to_string();
                        if passing.is_handshake() && !known.lock().unwrap().insert(uid) {
                            wires.close_client(4002, "already there");
                        }
                        true
                    })
                },
            )
        },
        mutant(
            "O1.6/probe",
            "has a probe replace the link of its node",
            || {
                let probes = Arc::new(Mutex::new(false));
                let is_probe = probes.clone();
                and_down(
                    handshakes(move |handshake, _| {
                        if let Some(members) = handshake.as_object_mut() {
                            *probes.lock().unwrap() = members.remove("probe").is_some();
                        }
                    }),
                    move |passing, wires| {
                        say(wires, &passing.head);
                        if *is_probe.lock().unwrap() {
                            wires.close_client(1000, "");
                        }
                        false
                    },
                )
            },
        ),
        mutant(
            "O1.7/within-ten-minutes",
            "allows clocks to differ by five minutes",
            || {
                up(|passing, wires| {
                    let ts = passing.head["ts"].as_u64().unwrap_or_default();
                    if passing.is_handshake() && ts.abs_diff(clock()) > 5 * MINUTE {
                        wires.close_client(4011, "the clock is wrong");
                    }
                    true
                })
            },
        ),
        mutant("O1.7/ahead", "minds only clocks that are behind", || {
            handshakes(|handshake, _| handshake["ts"] = json!(clock()))
        }),
        mutant("O1.7/behind", "minds only clocks that are ahead", || {
            handshakes(|handshake, _| handshake["ts"] = json!(clock()))
        }),
        mutant(
            "O1.7/says-which",
            "says only that the clocks differ",
            || closes(|code, _| (code, "clocks differ by more than 10 min".into())),
        ),
        mutant(
            "O1.8/nothing-comes",
            "waits for a handshake for ever",
            || never_closes_with(4003),
        ),
        mutant("O1.8/nothing-comes", "closes with 4005", || {
            closes_with(4003, 4005)
        }),
        mutant("O1.8/nothing-comes", "gives a peer a second", || {
            Hooks::default().tick(|wires| {
                let late = Duration::from_secs(1);
                if wires
                    .upgraded
                    .is_some_and(|upgraded| upgraded.elapsed() > late)
                {
                    wires.close_client(4003, "too late");
                    wires.upgraded = None;
                }
            })
        }),
        mutant(
            "O1.9/64-links",
            "says that it takes no peers when it has 64",
            || closes_with(4004, 4011),
        ),
        {
            let count = Arc::new(Mutex::new(0));
            mutant("O1.9/64-links", "takes more than 64 links", move || {
                let count = count.clone();
                up(move |passing, wires| {
                    if !passing.is_handshake() {
                        return true;
                    }
                    *count.lock().unwrap() += 1;
                    let is_beyond = *count.lock().unwrap() > 64;
                    if is_beyond {
                        say(wires, &passing.head);
                    }
                    !is_beyond
                })
            })
        },
        mutant("O1.4/either-case", "compares auth as a text", || {
            up(|passing, wires| {
                let auth = passing.head["auth"].as_str().unwrap_or_default();
                if auth != auth.to_lowercase() {
                    wires.close_client(4001, "wrong");
                }
                true
            })
        }),
        mutant(
            "O1.4/leading-zeros",
            "takes auth only if it has 16 digits",
            || {
                up(|passing, wires| {
                    let auth = passing.head["auth"].as_str().unwrap_or_default();
                    if passing.is_handshake() && auth.len() < 16 {
                        wires.close_client(4001, "malformed");
                    }
                    true
                })
            },
        ),
        mutant(
            "O1.9/no-room-needed",
            "takes a probe for one link more",
            || {
                up(|passing, wires| {
                    if passing.has("probe") {
                        wires.close_client(4004, "no room");
                    }
                    true
                })
            },
        ),
        {
            let known = Arc::new(Mutex::new(HashSet::new()));
            mutant(
                "O1.9/no-room-needed",
                "has no room for a node that comes again",
                move || {
                    let known = known.clone();
                    up(move |passing, wires| {
                        let uid = passing.head["uid"].to_string();
                        if passing.is_handshake() && !known.lock().unwrap().insert(uid) {
                            wires.close_client(4004, "no room");
                        }
                        true
                    })
                },
            )
        },
        mutant(
            "O1.10/reply-and-close",
            "takes a probe for a node that stays",
            || {
                handshakes(|handshake, _| {
                    if let Some(members) = handshake.as_object_mut() {
                        members.remove("probe");
                    }
                })
            },
        ),
        mutant(
            "O1.10/reply-and-close",
            "closes a probe without a reply",
            || down(|passing, _| !passing.is_handshake()),
        ),
        mutant(
            "O1.10/checked",
            "replies to probes of whoever comes",
            || handshakes(|_, _| ()),
        ),
        mutant("O1.10/checked", "does not look whose probe it is", || {
            let (hooks, nonces) = super::learning();
            super::and_up(hooks, move |passing, _| {
                let short = passing.head["path"].as_array().is_some_and(Vec::is_empty);
                let wrong = passing.head["auth"] == "0123456789abcdef";
                if passing.is_handshake() && short && !wrong {
                    passing.head["uid"] = json!(random_uid());
                    super::prove(&mut passing.head, &nonces);
                }
                true
            })
        }),
        mutant(
            "O1.10/checked",
            "does not look at the clock of a probe",
            || {
                up(|passing, _| {
                    if passing.is_handshake() {
                        passing.head["ts"] = json!(clock());
                    }
                    true
                })
            },
        ),
        mutant(
            "O1.10/checked",
            "does not look how long the path of a probe is",
            || {
                up(|passing, _| {
                    if passing.is_handshake() {
                        passing.head["path"] = json!([]);
                    }
                    true
                })
            },
        ),
    ];
    type Spoil = fn(&mut Value);
    let spoilt: [(&'static str, Spoil); 6] = [
        ("writes its uid in upper case", |reply| {
            let uid = reply["uid"].as_str().unwrap_or_default().to_uppercase();
            reply["uid"] = json!(uid.replace('0', "A"));
        }),
        ("gives its clock in milliseconds", |reply| {
            reply["ts"] = json!(clock() / 1000);
        }),
        ("gives no path", |reply| {
            reply.as_object_mut().unwrap().remove("path");
        }),
        ("gives the longest payload as a text", |reply| {
            reply["max"] = json!("16 MiB");
        }),
        ("replies with a path in place of a handshake", |reply| {
            *reply = json!({"uid": reply["uid"], "peer": true, "path": []});
        }),
        ("gives back the uid of the dialer", |reply| {
            reply["uid"] = Value::Null;
        }),
    ];
    all.extend(spoilt.into_iter().map(|(what, spoil)| {
        mutant("O1.3/reply", what, move || {
            down(move |passing, _: &mut Wires| {
                if passing.is_handshake() {
                    spoil(&mut passing.head);
                }
                true
            })
        })
    }));
    for case in ["O1.1/another-form", "O1.1/twice"] {
        all.push(mutant(case, "takes whatever comes for a nonce", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().replace("Mles-Nonce", &random_uid());
            })
        }));
        all.push(mutant(case, "says that the key is wrong", || {
            closes_with(4011, 4001)
        }));
    }
    for (case, from, to) in [
        ("O1.11/size-before-nonce", 4000, 4011),
        ("O1.11/grammar-before-nonce", 4000, 4011),
        ("O1.11/nonce-before-form", 4011, 4012),
        ("O1.11/form-before-auth", 4012, 4001),
        ("O1.11/auth-before-uid", 4001, 4010),
        ("O1.11/uid-before-clock", 4010, 4011),
        ("O1.11/auth-before-clock", 4001, 4011),
        ("O1.11/auth-before-length", 4001, 4011),
        ("O1.11/length-before-path", 4011, 4010),
    ] {
        all.push(mutant(case, "checks in another order", move || {
            closes_with(from, to)
        }));
    }
    for case in [
        "O1.2/no-path",
        "O1.2/path-no-array",
        "O1.2/path-of-names",
        "O1.2/no-ts",
        "O1.2/ts-negative",
        "O1.2/ts-with-point",
        "O1.2/no-max",
        "O1.2/max-as-text",
        "O1.2/max-too-great",
        "O1.2/uid-too-short",
        "O1.2/uid-in-upper-case",
    ] {
        all.push(mutant(case, "takes it for a bad header", || {
            closes_with(4012, 4000)
        }));
        all.push(mutant(case, "takes what it understands", || {
            never_closes_with(4012)
        }));
    }
    let unchecked = [
        "O1.4/malformed",
        "O1.4/empty",
        "O1.4/missing",
        "O1.4/another-key",
        "O1.4/without-nonces",
        "O1.4/only-the-own-nonce",
        "O1.4/nonces-changed-round",
        "O1.4/another-uid",
        "O1.4/another-channel",
        "O1.4/overheard",
    ];
    for case in unchecked {
        all.push(mutant(case, "takes any proof", || handshakes(|_, _| ())));
        all.push(mutant(case, "says that it takes no peers", || {
            closes_with(4001, 4011)
        }));
    }
    all
}
