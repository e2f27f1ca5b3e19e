//! Servers that dial wrongly: one that is right behind a proxy that is not, or a command that runs it in a way that is not.

mod bridges;
mod opening;

use crate::proxy::{Entry, Hooks, Proxy};
use crate::{Make, Mutant, at_a_time, not_failed, not_passed, until_said};
use black_box::{Binary, STD, TempDir, suite};
use mles_conformance::wire::server_config;
use mles_conformance::{Case, Program, Subject, Via, cases, run_one};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

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

fn mutants() -> Vec<Mutant> {
    let mut all = opening::mutants();
    all.extend(bridges::mutants());
    all
}

suite!(a_dialer_that_is_right_passes);

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

/// Each case passes with our servers, also through a proxy that changes nothing.
fn a_dialer_that_is_right_passes(binary: &Binary) {
    let hooks: Arc<dyn Fn() -> Hooks + Send + Sync> = Arc::new(Hooks::default);
    let command = right(binary);
    let wrong = at_a_time(4, &dialer_cases(), |case| {
        let verdict = until_said(|| run_one(&subject(&command, &hooks), case));
        not_passed(&verdict)
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
        for (nth, mutant) in mutants().into_iter().enumerate() {
            if case.is_meant_by(&mutant.case) {
                let right = &right;
                let make: Make<'_> =
                    Box::new(move || subject(right, &mutants().swap_remove(nth).hooks));
                pairs.push((case.clone(), mutant.what, make));
            }
        }
        for (name, command) in COMMANDS {
            if case.is_meant_by(name) {
                let (command, nothing) = (command.replace("RIGHT", &right), &nothing);
                let make: Make<'_> = Box::new(move || subject(&command, nothing));
                pairs.push((case.clone(), "is run wrongly", make));
            }
        }
    }
    for case in dialer_cases() {
        let has_mutant = pairs.iter().any(|(of, _, _)| of.name == case.name);
        assert!(has_mutant, "no mutant: {case:?}");
    }
    let wrong = at_a_time(4, &pairs, |(case, what, make)| {
        let verdict = until_said(|| run_one(&make(), case));
        not_failed(&verdict, &format!("a server that {what}"))
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
