//! The contract between the node and its runtime. A runtime that breaks it meets a panic where debug
//! assertions are on; without them, the event has no effect and is counted. What merely comes too late
//! breaks nothing.

mod common;

use std::time::Duration;

use common::{World, close_frame, fault, header, heard, lost, open, pong, restored, text};
use mles_sansio::{Action, Config, ConnId, Event, Fault, Frame, GroupId, Node, Notice, Seed};

const ANNOUNCED: &str = r#"{"uid":"alice","channel":"room"}"#;

/// A node with a member, a newcomer for its pair, and a connection without a header.
fn busy() -> World {
    let mut world = World::new(Config::default());
    let _ = world.join(1, "alice", "room");
    let _ = world.join(2, "alice", "room");
    let _ = world.open(3);
    world
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "never used again"))]
fn breach_a_connection_id_in_use() {
    breached(open(1), "connection ids are never used again");
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "never used again"))]
fn breach_a_connection_id_without_a_header() {
    breached(open(3), "connection ids are never used again");
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "not read until Resume"))]
fn breach_reading_a_newcomer() {
    // H2.3
    let rule = "after its first message a connection is not read until Resume";
    breached(text(2, "hello"), rule);
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "before anybody joins"))]
fn breach_restoring_a_channel_in_use() {
    breached(
        restored("room", "alice", 1, 1),
        "history is restored before anybody joins",
    );
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "actions of the last event were not taken")]
fn breach_leaving_actions() {
    let mut world = World::new(Config::default());
    let _ = world.open(1);
    let _ = world.node.handle(world.now, close_frame(1)); // Not one of them is taken.
    let _ = world.open(2);
}

/// Without debug assertions: a notice that says which rule, a count, and nothing else.
fn breached(event: Event, rule: &'static str) {
    let mut world = busy();
    let (before, history) = (world.digest(), world.kept("room"));
    let actions = world.event(event);
    assert_eq!(actions, [Action::Notice(Notice::Breach { rule })]);
    assert_eq!(world.digest(), before);
    assert_eq!(world.kept("room"), history);
    assert_eq!(world.node.stats().breaches, 1);
}

/// Every event about a connection.
fn about(conn: u64) -> Vec<Event> {
    let id = ConnId(conn);
    let mut events = vec![
        text(conn, "hello"),
        header(conn, "bob", "room"),
        heard(conn),
        pong(conn),
        close_frame(conn),
        lost(conn),
        Event::Overrun { conn: id },
        Event::Drained { conn: id },
        Event::Replayed { conn: id },
    ];
    let faults = [
        Fault::Protocol,
        Fault::NotUtf8,
        Fault::TooBig,
        Fault::NoRoom,
    ];
    events.extend(faults.map(|what| fault(conn, what)));
    events
}

#[test]
fn an_unknown_connection_is_counted_and_no_more() {
    let mut world = busy();
    let before = world.digest();
    for (n, event) in (1..).zip(about(9)) {
        assert_eq!(world.event(event), []);
        assert_eq!(world.digest(), before);
        assert_eq!(world.node.stats().stale, n);
    }
    assert_eq!(world.node.stats().breaches, 0);
}

#[test]
fn a_connection_that_is_gone_is_unknown() {
    // X1.6: whichever way it went.
    for ending in [lost(1), close_frame(1), fault(1, Fault::TooBig)] {
        let mut world = World::new(Config::default());
        let _ = world.join(1, "alice", "room");
        let _ = world.event(ending);
        let before = world.digest();
        for (n, event) in (1..).zip(about(1)) {
            assert_eq!(world.event(event), []);
            assert_eq!(world.digest(), before);
            assert_eq!(world.node.stats().stale, n);
        }
    }
}

#[test]
fn reports_of_the_transport_before_the_join_mean_nothing() {
    // Nothing was queued for such a connection, but a runtime may report what it sees.
    let mut world = busy();
    let before = world.digest();
    for conn in [ConnId(2), ConnId(3)] {
        for event in [
            Event::Overrun { conn },
            Event::Drained { conn },
            Event::Replayed { conn },
            Event::Heard { conn },
            Event::Pong { conn },
        ] {
            assert_eq!(world.event(event), []);
            assert_eq!(world.digest(), before);
        }
    }
    assert_eq!(world.node.stats().stale, 0);
}

#[test]
fn a_timeout_that_is_not_due_does_nothing() {
    let mut world = busy();
    let before = world.digest();
    assert_eq!(world.event(Event::Timeout), []);
    assert_eq!(world.digest(), before);
    let mut idle = World::new(Config::default());
    assert_eq!(idle.event(Event::Timeout), []);
    assert_eq!(idle.node.next_timeout(), None);
}

#[test]
fn a_late_timeout_does_what_is_due_once() {
    // K1.1: a runtime that slept for 40 s pings once, and then after 24 s more.
    let mut world = World::new(Config::default());
    let _ = world.join(1, "alice", "room");
    world.advance(Duration::from_secs(40));
    let ping = Action::Ping { conn: ConnId(1) };
    let pinged = world.event(Event::Timeout);
    assert_eq!(pinged, std::slice::from_ref(&ping));
    assert_eq!(world.wait(Duration::from_millis(23_999)), []);
    assert_eq!(world.wait(Duration::from_millis(1)), [ping]);
}

#[test]
fn groups_are_never_used_again() {
    // M3.9: a channel that was forgotten begins anew, as another group.
    let mut world = World::new(Config {
        history_limit: 0,
        ..Config::default()
    });
    for n in 0..5 {
        let conn = ConnId(n);
        let actions = world.join(n, "alice", "room");
        let group = GroupId(n);
        assert_eq!(actions[0], Action::Join { conn, group });
        let _ = world.event(lost(n));
        assert_eq!(world.node.stats().channels, 0);
    }
}

#[test]
fn numbers_go_on_when_a_channel_was_forgotten() {
    // M3.11, S2.3: consecutive for the origin and the channel, and never one number for two entries.
    let mut world = World::new(Config {
        history_bytes: 500,
        ..Config::default()
    });
    let _ = world.join(1, "alice", "room");
    let _ = world.event(text(1, "one"));
    let _ = world.event(lost(1));
    let _ = world.join(
        2,
        "bob",
        "a place with a long name that takes the rest of the budget",
    );
    assert_eq!(world.kept("room"), [], "forgotten");
    let _ = world.event(lost(2));
    let _ = world.join(3, "alice", "room");
    let last = world.node.history("room").map(|e| e.seq).last();
    assert!(last.is_some_and(|seq| seq > 2), "{last:?}");
}

#[test]
fn two_nodes_have_nothing_in_common() {
    // J1.11: a pair is one server's; each accepts it. M3.11: and each is an origin of its own.
    let mut worlds = [World::new(Config::default()), World::new(Config::default())];
    worlds[1].node = Node::new(Config::default(), &Seed([8; 32]));
    for world in &mut worlds {
        let actions = world.join(1, "alice", "room");
        let (conn, group) = (ConnId(1), GroupId(0));
        assert_eq!(actions[0], Action::Join { conn, group });
    }
    assert_ne!(worlds[0].node.uid(), worlds[1].node.uid());
    let origins = worlds
        .each_ref()
        .map(|w| w.node.history("room").map(|e| e.origin).next());
    let uids = worlds.each_ref().map(|w| Some(w.node.uid()));
    assert_eq!(origins, uids);
}

#[test]
fn clocks_at_their_ends() {
    // Neither clock's end may break anything: time stops, and order stays (M3.2).
    let ends = [0, 1, (1 << 53) - 2, (1 << 53) - 1, 1 << 53, u64::MAX];
    for first in ends {
        for second in ends {
            let mut world = World::new(Config::default());
            world.now.unix = first;
            assert_eq!(world.event(restored("room", "alice", 1, 1)), []);
            let _ = world.join(1, "alice", "room");
            let _ = world.event(text(1, "one"));
            world.now.unix = second;
            let _ = world.event(text(1, "two"));
            let kept: Vec<_> = world.kept("room").into_iter().map(|(_, f)| f).collect();
            let said = ["hello", ANNOUNCED, "one", "two"].map(Frame::text);
            assert_eq!(kept, said);
            let times: Vec<_> = world.node.history("room").map(|e| e.ts).collect();
            assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
            let _ = world.event(lost(1));
            let _ = world.event(Event::Timeout);
            let _ = world.digest();
        }
    }
    let mut world = World::new(Config::default());
    world.now.mono = mles_sansio::Instant::from_micros(u64::MAX);
    let _ = world.join(1, "alice", "room");
    let _ = world.join(2, "bob", "room");
    let _ = world.join(3, "bob", "room");
    for _ in 0..10 {
        let _ = world.event(Event::Timeout);
        let _ = world.digest();
    }
}
