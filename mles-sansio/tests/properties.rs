//! Random lives of one node against the model of `model/mod.rs`: what every client receives, what
//! every channel keeps, who is closed and pinged, and what the node counts must agree after every
//! event (P1, P7; J1, J2, J3, M1, M3, L1, L2, L3.9, K1). Then: the same events give the same actions
//! and the same digests (P8).
//!
//! A failing run is printed as its shortest steps. `PROPTEST_CASES=100000` runs for longer,
//! `PROPTEST_RNG_SEED=1` makes the choice of cases repeatable.

mod common;
mod model;

use std::time::Duration;

use common::{open, pong, runs};
use mles_sansio::{Config, Fault, Frame};
use model::sim::{Sim, Step};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// Whose number it is does not matter: they are taken modulo how many there are.
fn who() -> impl Strategy<Value = usize> {
    0..24_usize
}

fn frame() -> impl Strategy<Value = Frame> {
    let payload = prop_oneof![
        4 => "[a-z]{1,4}".prop_map(String::into_bytes),
        2 => Just(Vec::new()),
        1 => (0..400_usize).prop_map(|len| vec![b'x'; len]),
        1 => (0..3_u8, 0..2_u8).prop_map(|(u, c)| {
            format!("{{\"uid\":\"u{u}\",\"channel\":\"c{c}\"}}").into_bytes()
        }),
    ];
    let kind = prop_oneof![Just(true), Just(false)];
    (payload, kind).prop_map(|(payload, text)| {
        if text {
            Frame::text(payload)
        } else {
            Frame::binary(payload)
        }
    })
}

fn bad_header() -> impl Strategy<Value = (String, u16)> {
    let cases = [
        ("", 4000),
        ("{}", 4000),
        (r#"{"uid":"","channel":"c0"}"#, 4000),
        (r#"{"uid":"u0","channel":"c0","uid":"u1"}"#, 4000),
        (r#"{"uid":"u0","channel":"c0","auth":"0"}"#, 4001),
        (r#"{"uid":"u0","channel":"c0","auth":"+1"}"#, 4001),
        (r#"{"uid":"u0","channel":"c0","peer":true}"#, 4011),
    ];
    let cases: Vec<_> = cases.map(|(text, code)| (text.to_owned(), code)).into();
    proptest::sample::select(cases)
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        Just(Fault::Protocol),
        Just(Fault::NotUtf8),
        Just(Fault::TooBig),
        Just(Fault::NoRoom)
    ];
    prop_oneof![
        8 => Just(Step::Open),
        10 => (who(), 0..3_u8, 0..2_u8)
            .prop_map(|(who, uid, channel)| Step::Header { who, uid, channel }),
        1 => (who(), bad_header())
            .prop_map(|(who, (text, code))| Step::BadHeader { who, text, code }),
        20 => (who(), frame()).prop_map(|(who, frame)| Step::Message { who, frame }),
        2 => who().prop_map(|who| Step::OwnForm { who }),
        2 => who().prop_map(|who| Step::Heard { who }),
        3 => who().prop_map(|who| Step::Pong { who }),
        2 => who().prop_map(|who| Step::Close { who }),
        3 => who().prop_map(|who| Step::Lost { who }),
        1 => (who(), fault).prop_map(|(who, fault)| Step::Fault { who, fault }),
        12 => (who(), 1..12_usize).prop_map(|(who, frames)| Step::Read { who, frames }),
        3 => span().prop_map(|span| Step::Wait { span }),
        1 => jump().prop_map(|jump| Step::Date { jump }),
    ]
}

fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..6_000_000_u64,
        // The spans of the clauses themselves, so that things happen in one moment.
        4 => proptest::sample::select(vec![5, 10, 24, 48, 60, 96]).prop_map(|s: u64| s * 1_000_000),
        2 => 0..100_000_000_u64,
        1 => 0..3_000_000_000_000_u64,
    ]
}

fn jump() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(-3_600_000_000_i64),
        Just(3_600_000_000),
        Just(2_592_000_000_000),
        Just(-40_000_000_000_000),
        Just(i64::MIN)
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    (proptest::collection::vec(step(), 1..150), any::<bool>()).prop_map(|(mut steps, stop)| {
        if stop {
            steps.extend([Step::Shutdown, Step::Open, Step::Wait { span: 1 }]);
        }
        steps
    })
}

/// Small bounds, so that they are met all the time.
fn config() -> impl Strategy<Value = Config> {
    let limit = prop_oneof![4 => 1..6_usize, 1 => Just(0), 2 => Just(200)];
    let bytes = || prop_oneof![4 => 300..3000_u64, 1 => 0..300_u64, 2 => Just(1_000_000)];
    (limit, bytes(), bytes()).prop_map(|(limit, channel, total)| Config {
        history_limit: limit,
        history_channel_bytes: channel,
        history_bytes: total,
        ..Config::default()
    })
}

proptest! {
    #![proptest_config(runs(1500))]

    /// Node and model agree after every event.
    #[test]
    fn a_node_is_the_model(config in config(), steps in steps()) {
        Sim::new(config).run_all(&steps);
    }
}

proptest! {
    #![proptest_config(runs(150))]

    /// P8: twice the same, and a clone goes the same way from wherever it was made.
    #[test]
    fn the_same_again(config in config(), steps in steps(), at in any::<prop::sample::Index>()) {
        let (before, after) = steps.split_at(at.index(steps.len()));
        let mut first = Sim::new(config.clone());
        first.run_all(before);
        let mut cloned = first.clone();
        first.run_all(after);
        cloned.run_all(after);
        prop_assert_eq!(&first.log, &cloned.log);
        let mut second = Sim::new(config);
        second.run_all(&steps);
        prop_assert_eq!(&first.log, &second.log);
    }

    /// The digest follows the state: an accepted message changes it, a stale event and passing time
    /// that moves all deadlines alike do not leave it by accident the same or different.
    #[test]
    fn a_digest_tells_states_apart(steps in steps()) {
        let mut sim = Sim::new(Config::default());
        sim.run_all(&steps);
        let now = sim.now();
        let before = sim.node.digest(now);
        prop_assert_eq!(before, sim.node.clone().digest(now));
        let mut stale = sim.node.clone();
        prop_assert_eq!(stale.handle(now, pong(u64::MAX)).count(), 0);
        prop_assert_eq!(before, stale.digest(now));
        let waits = sim.node.next_timeout().is_some();
        let later = sim.later(Duration::from_micros(1));
        let due = sim.node.next_timeout().is_some_and(|(at, _)| at <= now.mono);
        if waits && !due {
            prop_assert_ne!(before, sim.node.digest(later));
        }
        let mut opened = sim.node.clone();
        let actions = opened.handle(now, open(u64::MAX));
        if actions.count() == 0 {
            prop_assert_ne!(before, opened.digest(now));
        }
    }
}

/// The runs above are worth something: whatever can happen to a session happens in them.
#[test]
fn random_lives_are_full() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut log = String::new();
    for _ in 0..300 {
        let tree = (config(), steps()).new_tree(&mut runner).unwrap();
        let (config, steps) = tree.current();
        let mut sim = Sim::new(config);
        sim.run_all(&steps);
        let lines = sim.log.iter().flat_map(|(lines, _)| lines);
        lines.for_each(|line| log.extend([line, "\n"]));
    }
    for (least, what) in [
        (1000, " joined: "),
        (30, "outbox full"),
        (20, "replay not taken in time"),
        (20, "history budget exceeded"),
        (5, "history expired"),
        (20, ": 1000 "),
        (5, ": 1002 "),
        (1, ": 1007 "),
        (1, ": 1009 "),
        (50, ": 1012 "),
        (50, ": 4000 "),
        (5, ": 4001 "),
        (50, ": 4002 "),
        (20, ": 4003 "),
        (1, ": 4004 "),
        (50, ": 4005 "),
        (50, ": 4008 "),
        (5, ": 4011 "),
    ] {
        let count = log.matches(what).count();
        assert!(count >= least, "{what:?} only {count} times");
    }
}
