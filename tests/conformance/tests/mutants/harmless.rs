//! Servers that are right in a way of their own: what the specification leaves open they do otherwise than ours, or they
//! are far away. No case may call them wrong, or be unable to judge them.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use black_box::{Launch, PEER_KEY, STD};
use mles_conformance::report::Status;
use mles_conformance::wire::{Frame, Opcode, Response, Trust};
use mles_conformance::{Case, Company, Limits, Run, Subject, Target, run, run_one};
use rustls::ServerConnection;
use serde_json::{Map, Value};

use crate::proxy::{Entry, Hooks, Proxy, Wires};
use crate::transport::hello;
use crate::way::Manner;
use crate::{
    PATIENCE, SET, at_a_time, is_close, is_data, not_passed, server_cases, shown, tried_with, turn,
    until_said,
};

/// More patience than usual, but less than a probe takes.
const FAR: Duration = Duration::from_millis(1900);

/// How often something was done otherwise.
type Count = Arc<AtomicUsize>;

fn count(counter: &Count) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What a talkative server does, counted.
#[derive(Clone, Default)]
struct Talkative {
    heads: Count,
    sentences: Count,
    pongs: Count,
    pings: Count,
    reasons: Count,
    links: Count,
    records: Count,
    way: Manner,
}

impl Talkative {
    fn new() -> Self {
        Self {
            way: Manner {
                pieces: Some(3),
                ..Manner::default()
            },
            ..Self::default()
        }
    }

    /// Everything of it was done.
    fn was_applied(&self) {
        for (what, counter) in [
            ("heads", &self.heads),
            ("sentences", &self.sentences),
            ("pongs", &self.pongs),
            ("pings", &self.pings),
            ("reasons", &self.reasons),
            ("links", &self.links),
            ("records", &self.records),
            ("pieces", &self.way.applied),
        ] {
            assert!(counter.load(Ordering::Relaxed) > 0, "{what}");
        }
    }

    fn hooks(&self) -> Hooks {
        let (mut down, mut has_pinged) = (Written::default(), false);
        let (response, all) = (self.clone(), self.clone());
        Hooks::default()
            .in_records(&self.records)
            .response(move |head, _| response.rewrites(head))
            .down(move |frame, wires| {
                if is_close(&frame) {
                    return all.closes(&frame, wires);
                }
                if !is_data(&frame) {
                    return wires.send_client(frame);
                }
                if !std::mem::replace(&mut has_pinged, true) {
                    count(&all.pings);
                    wires.send_client(Frame::ping("a ping that nothing asks for"));
                }
                count(&all.pongs);
                wires.send_client(Frame::pong("a pong that nothing has asked for"));
                wires.send_client(down.otherwise(frame, &all.links));
            })
    }

    /// The same answer with names in lower case, further fields, and other words.
    fn rewrites(&self, response: &mut Response) {
        count(&self.heads);
        for (name, value) in &mut response.fields {
            name.make_ascii_lowercase();
            *value = match (&**name, &**value) {
                ("upgrade", "websocket") => "WebSocket".into(),
                ("connection", "Upgrade" | "upgrade") => "keep-alive, UPGRADE".into(),
                _ => value.clone(),
            };
        }
        response
            .fields
            .insert(0, ("server".into(), "another/1.0 (of its own)".into()));
        response.fields.reverse();
        response
            .fields
            .push(("x-frame-options".into(), "DENY".into()));
        if response.status != 101 && !response.body.is_empty() {
            count(&self.sentences);
            // How long it is, the end of the connection tells.
            *response = response.clone().without("Content-Length");
            response.body.extend(b" Please see the manual.\r\n");
        }
    }

    /// The same code with another reason.
    fn closes(&self, frame: &Frame, wires: &mut Wires) {
        count(&self.reasons);
        let close = frame.as_close();
        let code = close.code.unwrap_or(1000);
        let reason = match code {
            1000 => String::new(),
            // It says which clock is behind (O1.7).
            4011 => format!("{} (see the manual)", close.reason),
            // Not every language parts its words.
            _ => "もう一度接続してください".into(),
        };
        wires.send_client(Frame::close(code, &reason));
    }
}

/// What is said on a link, as another writes it.
#[derive(Default)]
struct Written {
    /// Whether this is a link, once it is known: its first frame is a handshake.
    is_link: Option<bool>,
    is_payload: bool,
}

impl Written {
    /// The same object with its members the other way round, and with spaces (F1.1).
    fn otherwise(&mut self, mut frame: Frame, counter: &Count) -> Frame {
        if std::mem::take(&mut self.is_payload) || frame.opcode != Opcode::TEXT {
            return frame;
        }
        let members = serde_json::from_slice::<Map<String, Value>>(&frame.payload);
        let Ok(members) = members else {
            self.is_link.get_or_insert(false);
            return frame;
        };
        let is_link = || members.contains_key("path") && members.contains_key("max");
        if !*self.is_link.get_or_insert_with(is_link) {
            return frame;
        }
        self.is_payload = members.contains_key("node");
        count(counter);
        let written = members.iter().rev().map(|(name, value)| {
            let name = Value::from(name.as_str());
            format!(" {name} :\t{value} ")
        });
        let written: Vec<_> = written.collect();
        frame.payload = format!(" {{{}}}\r\n", written.join(",")).into_bytes();
        frame
    }
}

/// None of these cases calls a server behind this proxy wrong, or cannot judge it.
fn pass(
    cases: Vec<Case>,
    at_a_time: (usize, usize),
    patience: Duration,
    proxy: impl Fn(std::net::SocketAddr) -> Proxy + Sync,
) {
    let _turn = turn();
    let wrong = tried_with(
        cases,
        at_a_time,
        patience,
        |case| case,
        |right, case| not_passed(&right.judge(case, &[], &proxy)),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What takes no time. What waits for long timers, or sends much, is not tried with these.
fn is_quick(case: &Case) -> bool {
    let mut limits = Limits::default();
    for limit in SET {
        limits.set(limit).unwrap();
    }
    let is_of_a_peer = case.clause().document == "peering.md";
    (case.lasts)(&limits) < Duration::from_secs(4)
        && match case.company {
            Company::Any => true,
            Company::Alone => is_of_a_peer,
            Company::Disruptive | Company::Last => false,
        }
}

/// A server with other words, further fields, pongs that nothing has asked for and a ping more than it has to send, whose
/// answers come in small pieces.
fn talkative(cases: Vec<Case>) {
    let talkative = Talkative::new();
    let mut cases = cases;
    // These are about what a server should do: ping nobody for nothing, and write as the specification does.
    cases.retain(|case| !case.is_meant_by("K1.5") && !case.is_meant_by("F1.1/as-it-should-be"));
    pass(cases, (12, 4), FAR, |server| {
        let each = talkative.clone();
        Proxy::start(server, Entry::default(), move || each.hooks()).over(&talkative.way)
    });
    talkative.was_applied();
}

/// A server to which it takes 100 ms, and back.
fn far_away(cases: Vec<Case>) {
    let manner = Manner {
        late: Duration::from_millis(100),
        ..Manner::default()
    };
    let mut cases = cases;
    // Much has to be said to the server in 2 s.
    cases.retain(|case| !case.is_meant_by("W1.5"));
    pass(cases, (32, 6), FAR, |server| {
        Proxy::start(server, Entry::default(), Hooks::default).over(&manner)
    });
    assert!(manner.applied.load(Ordering::Relaxed) > 0);
}

fn quick() -> Vec<Case> {
    server_cases().into_iter().filter(is_quick).collect()
}

#[test]
fn a_talkative_server_is_right() {
    talkative(quick());
}

#[test]
fn a_server_far_away_is_right() {
    far_away(quick());
}

/// Takes a client over that offers protocols, and not http/1.1: the handshake is completed, and the connection ends right
/// behind it.
fn ends_behind_the_handshake(client: &TcpStream) -> bool {
    let hello = hello(client);
    let offers = |name: &str| {
        let length = u8::try_from(name.len()).unwrap();
        let entry = [&[length], name.as_bytes()].concat();
        hello.windows(entry.len()).any(|part| part == entry)
    };
    let others = ["h2", "http/1.0", "mles-websocket"];
    if offers("http/1.1") || !others.into_iter().any(offers) {
        return false;
    }
    let config = Entry::new(rustls::ALL_VERSIONS, &[]).tls;
    let mut tls = ServerConnection::new(config).unwrap();
    let mut client = client;
    while tls.is_handshaking() || tls.wants_write() {
        if tls.complete_io(&mut client).is_err() {
            break;
        }
    }
    true
}

/// A server whose TLS cannot refuse a handshake.
#[test]
fn a_server_that_closes_behind_the_handshake_is_right() {
    let mut cases = server_cases();
    cases.retain(|case| case.is_meant_by("T1.3") || case.is_meant_by("T1.4"));
    pass(cases, (2, 1), PATIENCE, |server| {
        let entry = Entry {
            first: Some(ends_behind_the_handshake),
            ..Entry::default()
        };
        Proxy::start(server, entry, Hooks::default)
    });
}

/// Limits that are allowed, and that make much of what is tried impossible.
const UNUSUAL: [&[&str]; 7] = [
    &["limit=0"],
    &["history-bytes=0"],
    &["history-channel-bytes=0", "limit=3"],
    &["max-message=4KiB", "outbox=4KiB", "limit=1"],
    &["ping-interval=300ms", "probe-timeout=200ms"],
    &[
        "history-bytes=64KiB",
        "header-timeout=200ms",
        "replay-timeout=10ms",
    ],
    &[
        "max-sessions=20",
        "filelimit=10",
        "ping-interval=1h",
        "probe-timeout=1h",
    ],
];

/// A server with these limits is called right, as far as it can be judged.
fn is_right_with(limits: &[&str]) -> Option<String> {
    let args: Vec<_> = limits.iter().map(|limit| format!("--{limit}")).collect();
    let server = Launch::new(&STD)
        .args(&args)
        .env(PEER_KEY.0, PEER_KEY.1)
        .start();
    let mut target = Target::new(&format!("wss://{}", server.address()), Trust::Anyone).unwrap();
    for limit in limits {
        target.limits.set(limit).unwrap();
    }
    target.patience = FAR;
    target.peer_key = Some(PEER_KEY.1.to_owned());
    let (mut verdicts, mut wrong, mut passed) = (Vec::new(), Vec::new(), 0);
    let how = Run {
        connections: 24,
        longest: Some(Duration::from_secs(4)),
        disruptive: false,
    };
    let subject = Subject::Server(Arc::new(target));
    run(&subject, &quick(), how, |verdict| verdicts.push(verdict));
    for mut verdict in verdicts {
        // With such times a busy machine may leave it open; alone it has to be said.
        if Status::of(&verdict.result) == Status::Inconclusive {
            verdict = until_said(|| run_one(&subject, &verdict.case));
        }
        match Status::of(&verdict.result) {
            Status::Pass => passed += 1,
            Status::Skip => {}
            Status::Inconclusive | Status::Fail => {
                let case = &verdict.case;
                wrong.push(format!("{case:?} with {limits:?}: {}", shown(&verdict)));
            }
        }
    }
    if passed < 15 {
        wrong.push(format!(
            "{limits:?}: no more than {passed} cases have passed"
        ));
    }
    (!wrong.is_empty()).then(|| wrong.join("\n"))
}

/// Whatever a server is configured to: what cannot be tried then is skipped.
#[test]
fn servers_with_unusual_limits_are_right() {
    let _turn = turn();
    let wrong = at_a_time(UNUSUAL.len(), &UNUSUAL, |limits| is_right_with(limits));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
