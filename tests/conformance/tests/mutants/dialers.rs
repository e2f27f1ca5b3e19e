//! Servers that dial wrongly: one that is right behind a proxy that is not, or a command that runs it in a way that is not.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use black_box::{Binary, STD, TempDir, suite};
use mles_conformance::report::Status;
use mles_conformance::wire::{Frame, Opcode, Response, server_config};
use mles_conformance::{Case, PEER_KEY, Program, Subject, Via, cases, hash, random_uid, run_one};
use serde_json::{Value, json};

use crate::peering::{Passing, and_down, and_up, down, learning, say, tell_server, up};
use crate::proxy::{Entry, Hooks, Proxy, Wires};
use crate::{Mutant, at_a_time, is_close, is_data, mutant, shown};

/// What the proxies show, and its certificate in PEM.
static IDENTITY: LazyLock<(Arc<rustls::ServerConfig>, String)> = LazyLock::new(|| {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])
        .unwrap();
    let key = pair.signing_key.serialize_der();
    let certificate = pair.cert.der().clone();
    let config = server_config(certificate, key, rustls::ALL_VERSIONS, &["http/1.1"]);
    (Arc::new(config.unwrap()), pair.cert.pem())
});

/// The certificates that servers make for themselves.
static FILES: LazyLock<TempDir> = LazyLock::new(TempDir::new);

/// The server that is right.
fn right(binary: &Binary) -> String {
    let files = FILES.path().display();
    format!(
        r#"XDG_DATA_HOME="{files}/$$"; export XDG_DATA_HOME; echo '{}' >> "$MLES_PEER_CA"; exec {}"#,
        IDENTITY.1,
        binary.path().display()
    )
}

/// A wrong one that is no proxy's work: the command, in which `RIGHT` stands for the server that is right.
const COMMANDS: [(&str, &str); 15] = [
    (
        "U1.1/in-order",
        r#"MLES_PEER=$(echo "$MLES_PEER" | tr , '\n' | tac | paste -sd,); export MLES_PEER; RIGHT"#,
    ),
    (
        "U1.1/one-at-a-time",
        r#"(MLES_PEER=${MLES_PEER#*,}; MLES_LISTEN=127.0.0.1:0; export MLES_PEER MLES_LISTEN; RIGHT) & RIGHT"#,
    ),
    (
        "U1.2/",
        r#"MLES_PEER=${MLES_PEER%%,*},${MLES_PEER##*,}; export MLES_PEER; RIGHT"#,
    ),
    ("U1.3/doubles", RESTARTS),
    ("U1.3/lost-soon", RESTARTS),
    ("U1.3/between", RESTARTS),
    ("U1.3/at-most", RESTARTS),
    ("U1.4/kept", "(RIGHT) & sleep 2; kill $!; RIGHT"),
    (
        "G1.1/in-order",
        r#"IFS=,; set -- $MLES_PEER; unset IFS; MLES_PEER="$1,$3,$2"; export MLES_PEER; RIGHT"#,
    ),
    (
        "B1.2/later-for-a-lower-end",
        "(sleep 0.5; exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/${MLES_BRIDGE##*:}; cat <&3') & RIGHT",
    ),
    ("B1.2/later-for-a-lower-end", "unset MLES_BRIDGE; RIGHT"),
    (
        "B1.5/uid-is-the-address",
        r#"MLES_BRIDGE="wss://127.0.0.1:${MLES_BRIDGE##*:}"; export MLES_BRIDGE; RIGHT"#,
    ),
    (
        "B1.10/tried-again",
        "(RIGHT) & sleep 0.5; kill -STOP $!; wait",
    ),
    (
        "B1.10/not-too-often",
        "(sleep 2; while :; do bash -c 'exec 3<>/dev/tcp/127.0.0.1/${MLES_BRIDGE##*:}'; sleep 0.3; done) & RIGHT",
    ),
    (
        "B1.10/after-five-minutes",
        "(RIGHT) & sleep 30; kill -STOP $!; wait",
    ),
];

const RESTARTS: &str = "while :; do (RIGHT) & sleep 0.7; kill $!; done";

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

fn mutants() -> Vec<Mutant> {
    let mut all = opening();
    all.extend(merging());
    all.extend(bridges());
    all.extend(crossing());
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

/// What the server says over a bridge behind its header is changed in this way: with the number of the session, and of
/// the message.
fn over(mut change: impl FnMut(usize, usize, Frame, &mut Wires) + Send + 'static) -> Hooks {
    let mut count = 0;
    Hooks::default().up(move |frame, wires| {
        if !is_data(&frame) || count == 0 {
            count += usize::from(is_data(&frame));
            return wires.send_server(frame);
        }
        count += 1;
        let session = wires.number;
        change(session, count - 2, frame, wires);
    })
}

/// The same for its header.
fn headers(change: impl Fn(&mut Value) + Send + 'static) -> Hooks {
    let mut is_first = true;
    Hooks::default().up(move |frame, wires| {
        let is_header = is_data(&frame) && std::mem::take(&mut is_first);
        let mut header: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        if !is_header || header.get("peer").is_some() {
            return wires.send_server(frame);
        }
        change(&mut header);
        wires.send_server(Frame::text(header.to_string()));
    })
}

/// What the judge says over a bridge reaches the server changed in this way: with the number of the session.
fn back(mut change: impl FnMut(usize, Frame, &mut Wires) + Send + 'static) -> Hooks {
    Hooks::default().down(move |frame, wires| {
        if !is_data(&frame) {
            return wires.send_client(frame);
        }
        let session = wires.number;
        change(session, frame, wires);
    })
}

fn bridges() -> Vec<Mutant> {
    vec![
        mutant("B1.1/header", "makes up a uid for each session", || {
            headers(|header| header["uid"] = json!(random_uid()))
        }),
        mutant("B1.1/auth", "says no auth", || {
            headers(|header| {
                header.as_object_mut().unwrap().remove("auth");
            })
        }),
        mutant("B1.1/auth", "hashes without the key", || {
            headers(|header| {
                let text = |name: &str| header[name].as_str().unwrap_or_default();
                let auth = hash(&[text("uid"), text("channel")]);
                header["auth"] = json!(format!("{auth:016x}"));
            })
        }),
        {
            let first = Arc::new(Mutex::new(None));
            mutant("B1.2/each-channel", "knows one channel only", move || {
                let first = first.clone();
                headers(move |header| {
                    let mut first = first.lock().unwrap();
                    let channel = first.get_or_insert_with(|| header["channel"].clone());
                    header["channel"] = channel.clone();
                })
            })
        },
        mutant("B1.2/four-at-a-time", "opens all sessions at once", || {
            Hooks::default().request(|request, wires| {
                // It takes each for open.
                wires.bytes_client(&Response::upgraded(request).encode());
            })
        }),
        mutant(
            "B1.2/when-synchronised",
            "does not wait for its upstream",
            || {
                let uid = Arc::new(Mutex::new(Value::Null));
                let other = uid.clone();
                and_down(
                    up(move |passing, wires| {
                        if passing.has("have") {
                            let (uid, channel) = (uid.lock().unwrap(), &passing.head["channel"]);
                            let have = &passing.head["have"];
                            say(
                                wires,
                                &json!({"uid": *uid, "channel": channel, "peer": true, "have": have}),
                            );
                            say(
                                wires,
                                &json!({"uid": *uid, "channel": channel, "peer": true, "done": true}),
                            );
                        }
                        true
                    }),
                    move |passing, _| {
                        *other.lock().unwrap() = passing.head["uid"].clone();
                        passing.is_handshake()
                    },
                )
            },
        ),
        mutant(
            "B1.2/stays",
            "ends the session with the last client",
            || {
                back(|session, frame, wires| match session {
                    0 => {
                        let _ = frame;
                        wires.end_client();
                        wires.end_server();
                    }
                    _ => wires.send_client(frame),
                })
            },
        ),
        mutant("B1.3/no-nonce", "says a nonce", || {
            Hooks::default().request(|request, _| {
                *request = request.clone().with("Mles-Nonce", &random_uid());
            })
        }),
        mutant("B1.3/no-pings", "pings every 5 s", || {
            let mut last = Instant::now();
            Hooks::default().tick(move |wires| {
                if wires.upgraded.is_some() && last.elapsed() > Duration::from_secs(5) {
                    last = Instant::now();
                    wires.send_server(Frame::ping(""));
                }
            })
        }),
        mutant(
            "B1.10/refused-for-good",
            "comes again whatever it was refused for",
            || {
                Hooks::default().down(|frame, wires| match is_close(&frame) {
                    true => wires.send_client(Frame::close(4005, "come again")),
                    false => wires.send_client(frame),
                })
            },
        ),
        mutant(
            "B1.10/after-five-minutes",
            "comes again whatever it was refused for",
            || {
                Hooks::default().down(|frame, wires| match is_close(&frame) {
                    true => wires.send_client(Frame::close(4005, "come again")),
                    false => wires.send_client(frame),
                })
            },
        ),
    ]
}

fn crossing() -> Vec<Mutant> {
    let is = |frame: &Frame, text: &str| frame.payload == text.as_bytes();
    let is_announcement = |frame: &Frame| frame.payload.starts_with(br#"{"uid""#);
    // A message that only looks like it, to the server.
    let otherwise = |mut frame: Frame| {
        frame.payload.push(b' ');
        frame
    };
    vec![
        mutant("B1.4/goes-over", "sends text messages only", move || {
            over(|_, _, frame, wires| {
                if frame.opcode == Opcode::TEXT {
                    wires.send_server(frame);
                }
            })
        }),
        mutant(
            "B1.4/goes-over",
            "does not tell who has joined",
            move || {
                over(move |_, _, frame, wires| {
                    if !is_announcement(&frame) {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.4/from-peers",
            "sends only what its own clients say",
            move || {
                over(move |_, _, frame, wires| {
                    if !is(&frame, "from a peer") {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant("B1.4/from-peers", "does not look at the uid", move || {
            over(move |_, _, frame, wires| {
                if is(&frame, "from a peer") {
                    wires.send_server(Frame::text("from there, over another bridge"));
                }
                wires.send_server(frame);
            })
        }),
        mutant("B1.4/not-back", "sends everything over the bridge", || {
            back(|_, frame, wires| {
                wires.send_server(frame.clone());
                wires.send_client(frame);
            })
        }),
        mutant(
            "B1.4/not-back",
            "takes nothing that comes over the bridge",
            || back(|_, _, _| ()),
        ),
        mutant(
            "B1.5/announcement",
            "hands announcements on as they are",
            move || {
                back(move |_, frame, wires| {
                    let frame = if is_announcement(&frame) {
                        otherwise(frame)
                    } else {
                        frame
                    };
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "B1.5/known-announcement",
            "takes every announcement",
            move || {
                let mut count = 0;
                back(move |_, frame, wires| {
                    // As if somebody else had joined.
                    let text = String::from_utf8_lossy(&frame.payload);
                    let frame = match is_announcement(&frame) {
                        true => {
                            count += 1;
                            let (_, rest) = text.split_once(',').unwrap();
                            Frame::text(format!(r#"{{"uid":"somebody {count}",{rest}"#))
                        }
                        false => frame,
                    };
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "B1.9/hundred",
            "hands on what comes, however often",
            move || {
                let mut count = 0;
                back(move |_, mut frame, wires| {
                    count += 1;
                    if count % 90 == 0 {
                        frame.payload = b"the very same".to_vec();
                    }
                    if is(&frame, "the same") && count > 100 {
                        frame.payload.push(b'!');
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "B1.9/hundred",
            "drops what is said twice within 10 s",
            move || {
                let mut said = false;
                back(move |_, frame, wires| {
                    let is_same = is(&frame, "the same");
                    if !is_same || !std::mem::replace(&mut said, is_same) {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.6/known-before",
            "takes all of a replay for new",
            move || {
                back(move |_, frame, wires| {
                    wires.send_client(if is(&frame, "a") {
                        otherwise(frame)
                    } else {
                        frame
                    })
                })
            },
        ),
        mutant(
            "B1.6/known-before",
            "takes nothing of a replay",
            move || back(|_, _, _| ()),
        ),
        mutant(
            "B1.6/as-often",
            "drops what it knows, however often it comes",
            move || {
                let mut count = 0;
                back(move |_, frame, wires| {
                    count += usize::from(is(&frame, "a"));
                    if count != 2 || !is(&frame, "a") {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.7/behind-what-both-have",
            "sends all of its history",
            move || {
                over(move |_, _, frame, wires| {
                    if is(&frame, "c") {
                        wires.send_server(Frame::text("b"));
                    }
                    wires.send_server(frame);
                })
            },
        ),
        mutant(
            "B1.7/behind-what-both-have",
            "sends only what is said from then on",
            move || {
                over(move |_, _, frame, wires| {
                    if !is(&frame, "c") && !is(&frame, "d") {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.8/repeated",
            "takes all of a replay for new",
            move || {
                back(move |session, frame, wires| {
                    let changed = session > 0 && is(&frame, "x");
                    wires.send_client(if changed { otherwise(frame) } else { frame });
                })
            },
        ),
        mutant("B1.8/said-again", "drops what it knows", move || {
            let mut count = 0;
            back(move |session, frame, wires| {
                count += usize::from(is(&frame, "x"));
                if session == 0 || count != 2 || !is(&frame, "x") {
                    wires.send_client(frame);
                }
            })
        }),
        mutant(
            "B1.8/sent-again",
            "takes what it has written for sent",
            move || {
                over(move |session, _, frame, wires| {
                    if session == 0 || !is(&frame, "m") {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "B1.8/not-what-is-there",
            "sends again what it has written",
            move || {
                over(move |session, _, frame, wires| {
                    if session > 0 && is(&frame, "n") {
                        wires.send_server(Frame::text("m"));
                    }
                    wires.send_server(frame);
                })
            },
        ),
    ]
}

/// The server is not told that the path of its upstream has changed.
fn without_paths() -> Hooks {
    down(|passing, _| passing.is_handshake() || passing.has("turn") || !passing.has("path"))
}

fn dialer_cases() -> Vec<Case> {
    let mut cases = cases::all();
    cases.retain(Case::is_about_dialers);
    let only = std::env::var("ONLY").unwrap_or_default();
    let is_slow = |case: &Case| {
        let lasts = (case.lasts)(&Default::default());
        lasts > Duration::from_secs(25) && std::env::var_os("SLOW").is_none()
    };
    cases.retain(|case| case.is_meant_by(&only) && !is_slow(case));
    cases
}

fn entry() -> Entry {
    Entry {
        tls: IDENTITY.0.clone(),
        ..Entry::default()
    }
}

/// A server that is run by this command, with a proxy in between.
fn subject(command: &str, hooks: &Arc<dyn Fn() -> Hooks + Send + Sync>) -> Subject {
    let proxies = Mutex::new(Vec::new());
    let hooks = hooks.clone();
    let via: Via = Box::new(move |judge| {
        let hooks = hooks.clone();
        let proxy = Proxy::start(judge, entry(), move || hooks());
        let address = proxy.address;
        proxies.lock().unwrap().push(proxy);
        address
    });
    let mut program = Program::new(command);
    program.patience = Duration::from_millis(1500);
    program.via = Some(via);
    Subject::Dialer(Arc::new(program))
}

suite!(a_dialer_that_is_right_passes);

/// Each case passes with our servers, also through a proxy that changes nothing.
fn a_dialer_that_is_right_passes(binary: &Binary) {
    let hooks: Arc<dyn Fn() -> Hooks + Send + Sync> = Arc::new(Hooks::default);
    let command = right(binary);
    let wrong = at_a_time(4, &dialer_cases(), |case| {
        let verdict = run_one(&subject(&command, &hooks), case);
        match Status::of(&verdict.result) {
            Status::Pass => None,
            Status::Skip | Status::Inconclusive | Status::Fail => {
                Some(format!("{case:?}: {}", shown(&verdict)))
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each case fails with each of its mutants.
#[test]
fn every_wrong_dialer_is_noticed() {
    let right = right(&STD);
    let nothing: Arc<dyn Fn() -> Hooks + Send + Sync> = Arc::new(Hooks::default);
    let mut pairs = Vec::new();
    for case in dialer_cases() {
        for mutant in mutants() {
            if case.is_meant_by(&mutant.case) {
                pairs.push((case.clone(), mutant.what, subject(&right, &mutant.hooks)));
            }
        }
        for (name, command) in COMMANDS {
            if case.is_meant_by(name) {
                let subject = subject(&command.replace("RIGHT", &right), &nothing);
                pairs.push((case.clone(), "is run wrongly", subject));
            }
        }
    }
    for case in dialer_cases() {
        let has_mutant = pairs.iter().any(|(of, _, _)| of.name == case.name);
        assert!(has_mutant, "no mutant: {case:?}");
    }
    let wrong = at_a_time(4, &pairs, |(case, what, subject)| {
        let verdict = run_one(subject, case);
        match Status::of(&verdict.result) {
            Status::Fail => None,
            Status::Pass | Status::Skip | Status::Inconclusive => Some(format!(
                "{case:?} with a server that {what}: {}",
                shown(&verdict)
            )),
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// No case passes with a server that does nothing, nor with one that dials and says nothing.
#[test]
fn nothing_passes_with_a_silent_dialer() {
    let nothing: Arc<dyn Fn() -> Hooks + Send + Sync> = Arc::new(Hooks::default);
    let listens = format!("(unset MLES_PEER MLES_BRIDGE; {}) &", right(&STD));
    let dials = "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/${MLES_PEER##*:}; cat <&3'";
    for command in [format!("{listens} wait"), format!("{listens} {dials}")] {
        let passed = at_a_time(12, &dialer_cases(), |case| {
            let verdict = run_one(&subject(&command, &nothing), case);
            verdict.result.is_ok().then(|| case.name.clone())
        });
        assert!(passed.is_empty(), "{command}: {passed:?}");
    }
}
