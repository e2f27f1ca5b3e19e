//! Every case is shown to fail: against a server that is wrong in just what the case is about, a *mutant*. A mutant is a
//! server that is right behind a proxy that is not.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code: what is not expected is a panic, and that is how it says so"
)]

mod auth;
mod clients;
mod closing;
mod dialers;
mod harmless;
mod header;
mod history;
mod join;
mod keep_alive;
mod leaving;
mod messages;
mod peering;
mod proxy;
mod roles;
mod settings;
mod slow;
mod transport;
mod way;
mod whose;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use black_box::{Launch, PEER_KEY, STD, Server};
use mles_conformance::report::Status;
use mles_conformance::wire::{Frame, Opcode, Trust};
use mles_conformance::{Case, Company, Limits, Subject, Target, Verdict, cases, run_one};
use proxy::{Entry, Hooks, Proxy};

/// A server that is wrong in one thing.
pub(crate) struct Mutant {
    /// The case that has to notice, or the beginning of the names of several.
    case: String,
    /// What it does.
    what: &'static str,
    entry: fn() -> Entry,
    /// What the server behind the proxy is set to, unlike what the judge is told.
    started: &'static [&'static str],
    hooks: Arc<dyn Fn() -> Hooks + Send + Sync>,
}

/// A server that does this wrong. The hooks are made for each connection.
pub(crate) fn mutant(
    case: impl Into<String>,
    what: &'static str,
    hooks: impl Fn() -> Hooks + Send + Sync + 'static,
) -> Mutant {
    Mutant {
        case: case.into(),
        what,
        entry: Entry::default,
        started: &[],
        hooks: Arc::new(hooks),
    }
}

impl Mutant {
    /// The same, which accepts connections in this way.
    pub(crate) fn entered(mut self, entry: fn() -> Entry) -> Self {
        self.entry = entry;
        self
    }
}

/// A server that is set to something else than the judge is told.
pub(crate) fn set_wrong(
    case: &'static str,
    what: &'static str,
    settings: &'static [&'static str],
) -> Mutant {
    Mutant {
        started: settings,
        ..mutant(case, what, Hooks::default)
    }
}

/// Whether a frame is a message, or a part of one.
pub(crate) fn is_data(frame: &Frame) -> bool {
    !frame.opcode.is_control()
}

/// Whether a frame is a close frame.
pub(crate) fn is_close(frame: &Frame) -> bool {
    frame.opcode == Opcode::CLOSE
}

fn mutants() -> Vec<Mutant> {
    [
        transport::mutants(),
        header::mutants(),
        auth::mutants(),
        join::mutants(),
        messages::mutants(),
        history::mutants(),
        leaving::mutants(),
        slow::mutants(),
        keep_alive::mutants(),
        closing::mutants(),
        peering::mutants(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Servers that are right: one that everybody may join, and one that has a key and takes peers. What a case cannot judge
/// of the first, it is tried on the second with.
struct Right {
    servers: [(Server, Option<&'static str>, Option<&'static str>); 2],
    patience: Duration,
}

/// Times are short, so that the cases that wait for them are.
const SET: [&str; 4] = [
    "probe-timeout=2s",
    "header-timeout=3s",
    "handshake-timeout=3s",
    "ping-interval=2s",
];

const KEY: &str = "a key of the clients";

/// How long what has to happen at once may take, if nothing is far away.
const PATIENCE: Duration = Duration::from_millis(1500);

impl Right {
    fn start(patience: Duration) -> Self {
        let args = SET.map(|limit| format!("--{limit}"));
        let open = Launch::new(&STD).args(&args);
        let keyed = Launch::new(&STD)
            .args(&args)
            .env("MLES_KEY", KEY)
            .env(PEER_KEY.0, PEER_KEY.1);
        Self {
            servers: [
                (open.start(), None, None),
                (keyed.start(), Some(KEY), Some(PEER_KEY.1)),
            ],
            patience,
        }
    }

    /// Runs a case on the server that it applies to, through this.
    fn judge(&self, case: &Case, started: &[&str], proxy: impl Fn(SocketAddr) -> Proxy) -> Verdict {
        until_said(|| self.judge_once(case, started, &proxy))
    }

    fn judge_once(
        &self,
        case: &Case,
        started: &[&str],
        proxy: impl Fn(SocketAddr) -> Proxy,
    ) -> Verdict {
        let settings = settings::of(case);
        if settings.is_some() || !started.is_empty() {
            let settings = settings.unwrap_or_default();
            return judge_alone(case, settings, started, self.patience, proxy);
        }
        let verdicts = self.servers.iter().map(|(server, key, peer_key)| {
            let proxy = proxy(server.address());
            let mut target = target(&proxy, &SET);
            target.patience = self.patience;
            target.key = key.map(str::to_owned);
            target.peer_key = peer_key.map(str::to_owned);
            run_one(&Subject::Server(Arc::new(target)), case)
        });
        let applies = |verdict: &Verdict| Status::of(&verdict.result) != Status::Skip;
        let mut last = None;
        for verdict in verdicts {
            if applies(&verdict) {
                return verdict;
            }
            last = Some(verdict);
        }
        last.unwrap()
    }
}

/// What a case says. A machine that is busy may keep it from saying anything: then it is asked again.
fn until_said(judge: impl Fn() -> Verdict) -> Verdict {
    const TRIES: usize = 3;
    let mut verdict = judge();
    for _ in 1..TRIES {
        match Status::of(&verdict.result) {
            Status::Pass | Status::Fail => break,
            Status::Skip | Status::Inconclusive => verdict = judge(),
        }
    }
    verdict
}

/// What the judge is told of a server behind this proxy.
fn target(proxy: &Proxy, set: &[&str]) -> Target {
    let mut target = Target::new(&format!("wss://{}", proxy.address), Trust::Anyone).unwrap();
    for limit in set {
        target.limits.set(limit).unwrap();
    }
    target.addresses.clone_from(&proxy.addresses);
    target.patience = PATIENCE;
    target
}

/// The second settings in place of, or besides, the first.
fn overridden<'a>(first: &[&'a str], second: &[&'a str]) -> Vec<&'a str> {
    let name = |limit: &str| limit.split('=').next().unwrap().to_owned();
    let is_set = |limit: &&&str| second.iter().any(|set| name(set) == name(limit));
    let kept = first.iter().filter(|limit| !is_set(limit));
    kept.chain(second).copied().collect()
}

/// Runs a case on a server that is there for it alone, with these settings besides the usual ones, or instead of them,
/// and with some that the judge is not told.
fn judge_alone(
    case: &Case,
    settings: &[&str],
    started: &[&str],
    patience: Duration,
    proxy: impl Fn(SocketAddr) -> Proxy,
) -> Verdict {
    let told = overridden(&SET, settings);
    let args = overridden(&told, started);
    let args: Vec<_> = args.iter().map(|limit| format!("--{limit}")).collect();
    let launch = Launch::new(&STD).args(&args);
    let has_peers = settings::takes_peers(case);
    let launch = match has_peers {
        true => launch.env("MLES_KEY", KEY).env(PEER_KEY.0, PEER_KEY.1),
        false => launch,
    };
    let mut server = launch.start();
    let proxy = proxy(server.address());
    let mut target = target(&proxy, &told);
    target.patience = patience;
    target.key = has_peers.then(|| KEY.to_owned());
    target.peer_key = has_peers.then(|| PEER_KEY.1.to_owned());
    let ends = case.company == Company::Last;
    if ends {
        target.shutdown = Some(format!("kill -TERM {}", server.id()));
    }
    let verdict = run_one(&Subject::Server(Arc::new(target)), case);
    // If the case did not get as far, it is still there.
    if ends && Status::of(&verdict.result) == Status::Pass {
        server.wait();
    }
    verdict
}

/// What a case says of a server, as a test shows it.
fn shown(verdict: &Verdict) -> String {
    let lines = verdict
        .transcript
        .iter()
        .map(|line| format!("    {line}\n"));
    format!("{:?}\n{}", verdict.result, lines.collect::<String>())
}

/// Makes somebody who is wrong, anew for each try: many remember what they have done already.
type Make<'a> = Box<dyn Fn() -> Subject + Send + Sync + 'a>;

/// What there is to be told of a verdict that has to be a pass, if it is none.
fn not_passed(verdict: &Verdict) -> Option<String> {
    let case = &verdict.case;
    match Status::of(&verdict.result) {
        Status::Pass => None,
        Status::Skip if !can_be_tried(case) => None,
        Status::Skip | Status::Inconclusive | Status::Fail => {
            Some(format!("{case:?}: {}", shown(verdict)))
        }
    }
}

/// What there is to be told of a verdict on somebody who is wrong, if it does not say so.
fn not_failed(verdict: &Verdict, whom: &str) -> Option<String> {
    match Status::of(&verdict.result) {
        Status::Fail => None,
        Status::Pass | Status::Skip | Status::Inconclusive => {
            let case = &verdict.case;
            Some(format!("{case:?} with {whom}: {}", shown(verdict)))
        }
    }
}

/// Whether this machine has what the case needs.
fn can_be_tried(case: &Case) -> bool {
    case.clause_id() != "T3.1" || std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// Of the tests that have all cases pass only one runs at a time, so that none is called slow.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each case passes through a proxy that changes nothing: so it is the change that a mutant is noticed for.
#[test]
fn a_proxy_that_changes_nothing_passes() {
    let _turn = turn();
    let wrong = tried(
        server_cases(),
        |case| case,
        |right, case| {
            let verdict = right.judge(case, &[], |server| {
                Proxy::start(server, Entry::default(), Hooks::default)
            });
            not_passed(&verdict)
        },
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each case fails, and is not merely inconclusive, with each of its mutants.
#[test]
fn every_mutant_is_noticed() {
    let (mut pairs, all) = (Vec::new(), server_cases());
    for (nth, mutant) in mutants().into_iter().enumerate() {
        for case in cases::meant_by(&all, &mutant.case) {
            if can_be_tried(&case) {
                pairs.push((case, nth));
            }
        }
    }
    let wrong = tried(
        pairs,
        |(case, _)| case,
        |right, (case, nth)| {
            // Many remember what they have done already: each try has one of its own.
            let mutant = || mutants().swap_remove(*nth);
            let verdict = until_said(|| {
                let mutant = mutant();
                right.judge_once(case, mutant.started, |server| {
                    let hooks = mutant.hooks.clone();
                    Proxy::start(server, (mutant.entry)(), move || hooks())
                })
            });
            not_failed(&verdict, &format!("a server that {}", mutant().what))
        },
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each case has a mutant that it is tried with, and each mutant a case.
#[test]
fn every_case_has_a_mutant() {
    let all = server_cases();
    let mut tried = HashSet::new();
    for mutant in mutants() {
        let meant = cases::meant_by(&all, &mutant.case);
        assert!(!meant.is_empty(), "no case: {}", mutant.case);
        tried.extend(meant.into_iter().map(|case| case.name));
    }
    let without: Vec<_> = all
        .iter()
        .filter(|case| !tried.contains(&case.name))
        .collect();
    assert!(without.is_empty(), "no mutant: {without:?}");
}

/// The cases about servers; those about clients and about servers that dial are in modules of their own.
fn server_cases() -> Vec<Case> {
    let mut cases = cases::all();
    cases.retain(|case| !case.is_about_clients() && !case.is_about_dialers());
    cases
}

/// No two cases have one name, and each is about a clause.
#[test]
fn cases_have_names_of_their_own() {
    let mut names = HashSet::new();
    for case in cases::all() {
        assert!(!case.clause().id.is_empty());
        assert!(names.insert(case.name.clone()), "{case:?} twice");
    }
}

/// Whether a case lasts too long to be tried each time.
fn is_slow(case: &Case) -> bool {
    let mut limits = Limits::default();
    for limit in SET {
        limits.set(limit).unwrap();
    }
    (case.lasts)(&limits) > Duration::from_secs(25) && std::env::var_os("SLOW").is_none()
}

/// Tries all of them, several at a time, and gives what came of it. What wants to be alone gets servers of its own
/// instead, and less company. With the variable `ONLY` in the environment, such as `ONLY=J2`, only those of these cases;
/// and cases that last long only with `SLOW`. `TIMES` has it say how long each took.
fn tried<T: Sync>(
    all: Vec<T>,
    case: impl Fn(&T) -> &Case + Sync,
    work: impl Fn(&Right, &T) -> Option<String> + Sync,
) -> Vec<String> {
    tried_with(all, (12, 4), PATIENCE, case, work)
}

/// The same, so many at a time in company and without, and with this patience.
fn tried_with<T: Sync>(
    all: Vec<T>,
    (together, apart): (usize, usize),
    patience: Duration,
    case: impl Fn(&T) -> &Case + Sync,
    work: impl Fn(&Right, &T) -> Option<String> + Sync,
) -> Vec<String> {
    let only = std::env::var("ONLY").unwrap_or_default();
    let (crowd, others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .filter(|one| case(one).is_meant_by(&only) && !is_slow(case(one)))
        .partition(|one| case(one).company == Company::Any);
    let timed = |right: &Right, one: &T| {
        let began = Instant::now();
        let found = work(right, one);
        if std::env::var_os("TIMES").is_some() {
            eprintln!("{:6.1} s  {:?}", began.elapsed().as_secs_f32(), case(one));
        }
        found
    };
    let shared = Right::start(patience);
    let mut found = at_a_time(together, &crowd, |one| timed(&shared, one));
    drop(shared);
    let alone = |one: &T| timed(&Right::start(patience), one);
    found.extend(at_a_time(apart, &others, alone));
    found
}

/// Does this to all of them, so many at a time.
fn at_a_time<T: Sync>(
    count: usize,
    all: &[T],
    work: impl Fn(&T) -> Option<String> + Sync,
) -> Vec<String> {
    let next = Mutex::new(all.iter());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                loop {
                    let Some(one) = next.lock().unwrap().next() else {
                        return;
                    };
                    if let Some(text) = work(one) {
                        found.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}
