//! No event costs more than a bounded amount of work: what is left is due at once. Each of these
//! tests makes a node owe far more than one [`BATCH`], and looks at every step.

mod common;

use std::time::Duration;

use common::{World, binary, header, lost, restored, text};
use mles_sansio::{
    Action, BATCH, Closing, Config, ConnId, Event, LagCause, Notice, Timer, Violation,
};

/// Handles timeouts until none is due now; gives the actions of each.
fn settle(world: &mut World) -> Vec<Vec<Action>> {
    let mut steps = Vec::new();
    while world.waits().is_some_and(|(left, _)| left.is_zero()) {
        steps.push(world.event(Event::Timeout));
        assert!(steps.len() < 10_000, "timeouts lead to nothing");
    }
    steps
}

#[test]
fn many_headers_late_at_once() {
    // H3.1: three thousand connections and one time to close them.
    let mut world = World::new(Config::default());
    for conn in 0..3000 {
        assert_eq!(world.open(conn), []);
    }
    world.advance(Duration::from_secs(10));
    let steps = settle(&mut world);
    let sizes: Vec<_> = steps.iter().map(|step| step.len() / 2).collect();
    assert_eq!(sizes, [BATCH, BATCH, 3000 - 2 * BATCH]);
    let closed: Vec<_> = steps.concat().into_iter().step_by(2).collect();
    let expected: Vec<_> = (0..3000)
        .map(|conn| {
            Action::Notice(Notice::Violated {
                conn: ConnId(conn),
                violation: Violation::HeaderTimeout,
            })
        })
        .collect();
    assert_eq!(closed, expected);
    assert_eq!(world.node.next_timeout(), None);
    assert_eq!(world.node.stats().opening, 0);
}

#[test]
fn many_members_silent_at_once() {
    // K1.1: and the rest of the pings is not forgotten.
    let mut world = World::new(Config::default());
    for conn in 0..2000 {
        let _ = world.join(conn, "a", &format!("channel {conn}"));
    }
    world.advance(Duration::from_secs(24));
    let steps = settle(&mut world);
    let sizes: Vec<_> = steps.iter().map(Vec::len).collect();
    assert_eq!(sizes, [BATCH, 2000 - BATCH]);
    let pings = (0..2000).map(|conn| Action::Ping { conn: ConnId(conn) });
    assert!(steps.concat().into_iter().eq(pings));
}

#[test]
fn one_large_message_displaces_thousands() {
    // M3.7: a hundred channels are full of small frames, then one frame needs nearly all the room.
    let config = Config {
        history_bytes: 1 << 20,
        history_channel_bytes: 1 << 20,
        ..Config::default()
    };
    let mut world = World::new(config);
    for conn in 0..100 {
        world.enter(conn, "a", &format!("{conn:03}"));
        for _ in 0..100 {
            assert_eq!(world.event(binary(conn, b"")), []);
        }
        world.advance(Duration::from_millis(1));
    }
    world.enter(100, "a", "big");
    let names = || (0..100).map(|n| format!("{n:03}")).chain(["big".into()]);
    let count = |world: &World| names().map(|n| world.kept(&n).len()).sum::<usize>();
    let mut before = count(&world) + 1;
    assert_eq!(before, 100 * 101 + 2);
    let size = (1 << 20) - (256 + 3) - (1 + 64);
    assert_eq!(world.event(binary(100, &vec![0; size])), []); // M3.8: it just fits, alone.
    loop {
        let now = count(&world);
        assert!(before - now <= BATCH);
        if world.waits() != Some((Duration::ZERO, Timer::Relief)) {
            break;
        }
        assert!(now > 0, "nothing left to drop, and still at it");
        before = now;
        assert_eq!(world.event(Event::Timeout), []);
    }
    // M3.7: channels with members keep their own cost, so that in the end nothing is kept at all.
    assert_eq!(count(&world), 0);
    assert_eq!(world.node.stats().history_bytes, 101 * 259);
}

#[test]
fn one_channel_loses_thousands_for_the_total() {
    // M3.7: the same with a single channel of many entries, a limit above all of them.
    let config = Config {
        history_bytes: 1 << 20,
        history_channel_bytes: 1 << 20,
        history_limit: 1_000_000,
        ..Config::default()
    };
    let mut world = World::new(config);
    world.enter(1, "a", "c");
    for _ in 0..10_000 {
        assert_eq!(world.event(binary(1, b"")), []);
    }
    let large = vec![0; (1 << 20) - 257 - 65];
    assert_eq!(world.event(binary(1, &large)), []);
    let first = world.node.stats().history_bytes;
    let steps = settle(&mut world);
    assert!(steps.iter().all(Vec::is_empty));
    assert!(first <= 1 << 20 || steps.len() > 1);
    assert_eq!(world.node.stats().history_bytes, 1 << 20);
    assert_eq!(world.kept("c").len(), 1);
}

#[test]
fn activity_that_nobody_looked_at() {
    // M3.7: five thousand channels are all active again before anybody needs to know in which order.
    // Whoever comes over the total first has to find out, but not all of it in one event.
    let config = Config {
        history_bytes: 4 << 20,
        ..Config::default()
    };
    let mut world = World::new(config);
    for conn in 0..5000 {
        world.enter(conn, "a", &format!("{conn:04}"));
    }
    for conn in 0..5000 {
        world.advance(Duration::from_millis(1));
        assert_eq!(world.event(binary(conn, b"")), []);
    }
    let room = (4 << 20) - world.node.stats().history_bytes;
    let over = vec![0; usize::try_from(room).unwrap() - 65 + 1];
    assert_eq!(world.event(binary(4999, &over)), []);
    assert_eq!(world.waits(), Some((Duration::ZERO, Timer::Relief)));
    let steps = settle(&mut world);
    assert!(steps.iter().all(Vec::is_empty));
    assert_eq!(steps.len(), 5000 / BATCH);
    assert_eq!(world.kept("0000").len(), 1, "the least active lost one");
    assert_eq!(world.kept("0001").len(), 2);
    assert!(world.node.stats().history_bytes <= 4 << 20);
}

#[test]
fn many_histories_expire_at_once() {
    // L1.3: the date is set forward over the end of five thousand histories.
    let mut world = World::new(Config::default());
    for conn in 0..5000 {
        world.enter(conn, "a", &format!("channel {conn}"));
        let _ = world.event(lost(conn));
    }
    world.now.unix += 31 * 24 * 3600 * 1_000_000;
    world.advance(Duration::from_secs(3600));
    let steps = settle(&mut world);
    let sizes: Vec<_> = steps.iter().map(Vec::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 5000);
    assert!(sizes.iter().all(|&size| size <= BATCH), "{sizes:?}");
    assert_eq!(world.node.stats().channels, 0);
    assert_eq!(world.node.next_timeout(), None);
}

#[test]
fn a_joiner_is_offered_its_replay() {
    // J3.5, L3.9: there is no room for a second announcement, and the replay holds what it displaces.
    let config = Config {
        history_bytes: 257 + 90 + 64 + 48,
        history_channel_bytes: 1000,
        ..Config::default()
    };
    let lags = |actions: &[Action]| {
        let lags = |a: &&Action| matches!(a, Action::Notice(Notice::Lagging { .. }));
        actions.iter().filter(lags).count()
    };
    let joined = || {
        let mut world = World::new(config.clone());
        world.enter(1, "a", "c");
        let actions = world.join(2, "b", "c");
        let replay = |a: &Action| matches!(a, Action::Replay { .. });
        assert!(actions.iter().any(replay));
        assert_eq!(lags(&actions), 0);
        world
    };
    // It takes it at once; or not, and gives way then.
    let mut world = joined();
    let conn = ConnId(2);
    assert_eq!(lags(&world.event(Event::Replayed { conn })), 0);
    assert_eq!(lags(&world.wait(Duration::from_secs(1))), 0);
    assert!(world.node.stats().history_bytes <= config.history_bytes);
    let mut world = joined();
    assert_eq!(lags(&world.wait(Duration::ZERO)), 1);
    assert!(world.node.stats().history_bytes <= config.history_bytes);
    let mut world = joined();
    assert_eq!(lags(&world.event(text(1, "more"))), 1);
}

#[test]
fn many_replays_give_way() {
    // L3.9: two thousand joiners do not read, the history they wait for is replaced, and there is
    // room for little more than the channel itself.
    let config = Config {
        history_bytes: 200_000,
        history_channel_bytes: 200_000,
        history_limit: 10,
        ..Config::default()
    };
    let mut world = World::new(config);
    world.enter(0, "a", "c");
    let mut lags = 0;
    let mut check = |world: &World, actions: Vec<Action>| {
        let lagging = actions.iter().filter(|action| {
            let cause = LagCause::HistoryBudget;
            matches!(action, Action::Notice(Notice::Lagging { cause: c, .. }) if *c == cause)
        });
        let count = lagging.count();
        assert!(count <= BATCH);
        lags += count;
        let stats = world.node.stats();
        assert!(stats.history_bytes <= 200_000 || world.waits().unwrap().0.is_zero());
    };
    for conn in 1..2000 {
        let actions = world.join(conn, &format!("{conn}"), "c");
        check(&world, actions);
        let actions = world.event(binary(0, &[0; 500]));
        check(&world, actions);
    }
    let large = vec![0; 150_000];
    let actions = world.event(binary(0, &large));
    check(&world, actions);
    for step in settle(&mut world) {
        check(&world, step);
    }
    assert!(lags > 1000);
    assert!(world.node.stats().history_bytes <= 200_000);
    // M3.7: no entry of the channel had to go for it: all its entries are there, replays held more.
    assert_eq!(world.kept("c").len(), 20);
}

#[test]
fn many_newcomers_at_once() {
    // J1.5: fifteen hundred probes come due together; each is answered in its batch.
    let mut world = World::new(Config {
        ping_interval: Duration::from_secs(100),
        ..Config::default()
    });
    for conn in 0..1500 {
        let name = format!("{conn}");
        let _ = world.join(conn, "a", &name);
        let _ = world.join(10_000 + conn, "a", &name);
    }
    world.advance(Duration::from_secs(5));
    let steps = settle(&mut world);
    let joins = |step: &Vec<Action>| {
        let joins = step.iter().filter(|a| matches!(a, Action::Join { .. }));
        joins.count()
    };
    let sizes: Vec<_> = steps.iter().map(joins).collect();
    assert_eq!(sizes, [BATCH, 1500 - BATCH]);
    assert_eq!(world.node.stats().sessions, 1500);
}

#[test]
fn restored_beyond_the_budget() {
    // M3.7: what is given back at start stays in the budget at every step.
    let config = Config {
        history_bytes: 100_000,
        ..Config::default()
    };
    let mut world = World::new(config);
    for n in 1..2000 {
        let ts = world.now.unix - 10_000 + n;
        let entry = restored(&format!("{n}"), "a", n, ts);
        assert_eq!(world.event(entry), []);
        assert!(world.node.stats().history_bytes <= 100_000);
    }
    assert_eq!(world.kept("1999").len(), 1);
    assert_eq!(world.kept("1"), []);
}

#[test]
fn shutdown_of_many() {
    // X1.8: the one event that looks at every connection.
    let mut world = World::new(Config::default());
    for conn in 0..3000 {
        let _ = world.join(conn, "a", &format!("{conn}"));
    }
    let _ = world.open(5000);
    let _ = world.event(header(5000, "a", "0"));
    let _ = world.open(5001);
    let closed = world
        .event(Event::Shutdown)
        .into_iter()
        .filter_map(|action| {
            if let Action::Close { conn, why } = action {
                assert_eq!(why, Closing::Restarting);
                Some(conn.0)
            } else {
                None
            }
        });
    let mut closed: Vec<_> = closed.collect();
    closed.sort_unstable();
    let all: Vec<_> = (0..3000).chain([5000, 5001]).collect();
    assert_eq!(closed, all);
    assert_eq!(world.node.stats().opening + world.node.stats().sessions, 0);
}
