//! Servers that dial wrongly: one that is right behind a proxy that is not, or a command that runs it in a way that is not.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use black_box::{Binary, STD, TempDir, suite};
use mles_conformance::report::Status;
use mles_conformance::wire::{Frame, Opcode, server_config};
use mles_conformance::{Case, PEER_KEY, Program, Subject, Via, cases, hash, random_uid, run_one};
use serde_json::{Value, json};

use crate::peering::{Passing, and_down, and_up, down, learning, say, tell_server, up};
use crate::proxy::{Entry, Hooks, Proxy, Wires};
use crate::{Mutant, at_a_time, mutant, shown};

/// What the proxies show, and its certificate in PEM.
static IDENTITY: LazyLock<(Arc<rustls::ServerConfig>, String)> = LazyLock::new(|| {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
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
const COMMANDS: [(&str, &str); 9] = [
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
