//! The digest tells states apart: each pair of lives here ends in states that differ in one thing, and
//! do not do the same from there on. Whoever explores states by their digest depends on it (P8).

mod common;

use std::time::Duration;

use common::{
    World, binary, close_frame, fault, frame, header, heard, lost, open, pong, restored, text,
};
use mles_sansio::{Config, ConnId, Event, Fault, Frame};

/// Small bounds, so that replays hold what the history has lost.
fn world() -> World {
    World::new(Config {
        history_limit: 1,
        ..Config::default()
    })
}

fn run(events: &[Event]) -> World {
    let mut world = world();
    for event in events {
        let _ = world.event(event.clone());
    }
    world
}

/// Both lives begin alike.
fn differ(what: &str, begin: &[Event], first: &[Event], second: &[Event]) {
    let first = run(&[begin, first].concat());
    let second = run(&[begin, second].concat());
    assert_ne!(first.digest(), second.digest(), "{what}");
}

#[test]
fn every_difference_shows() {
    let alice = [open(1), header(1, "alice", "room")];
    let bob = [open(2), header(2, "bob", "room")];
    let both = [&alice[..], &[text(1, "one")], &bob].concat();
    let newcomer = [&alice[..], &[open(2), header(2, "alice", "room")]].concat();
    let conn = ConnId(2);
    let replayed = [Event::Replayed { conn }];
    let overrun = [Event::Overrun { conn }];

    differ("a connection", &[], &[open(1)], &[]);
    differ("its id", &[], &[open(1)], &[open(2)]);
    differ("a header", &[open(1)], &[header(1, "a", "b")], &[]);
    let (a, b) = (header(1, "a", "c"), header(1, "b", "c"));
    differ("a uid", &[open(1)], &[a], &[b]);
    let (a, b) = (header(1, "a", "c"), header(1, "a", "d"));
    differ("a channel", &[open(1)], &[a], &[b]);
    differ("shutdown", &[], &[Event::Shutdown], &[]);

    differ("a message", &alice, &[text(1, "a")], &[text(1, "b")]);
    differ("its type", &alice, &[text(1, "a")], &[binary(1, b"a")]);
    let twice = [text(1, "a"), text(1, "a")];
    differ("how many", &alice, &[text(1, "a")], &twice);
    let announced = frame(1, Frame::text(r#"{"uid":"alice","channel":"room"}"#));
    differ("an announcement", &alice, &[announced], &[text(1, "a")]);

    differ("a replay", &both, &replayed, &[]);
    differ("lagging", &both, &overrun, &replayed);
    differ("lagging, or not", &both, &overrun, &[]);
    // L3.9: bob's replay holds alice's first message, which is not in the history any more.
    let ending = [&bob[..], &[text(1, "two")]].concat();
    let first = [&[text(1, "one")], &ending[..]].concat();
    let second = [&[text(1, "ones")], &ending[..]].concat();
    differ("what replays hold", &alice, &first, &second);
    let taken = [&first[..], &replayed].concat();
    differ("whether they do", &alice, &first, &taken);

    differ("a newcomer", &newcomer, &[], &[lost(2)]);
    differ("a sign of life (J1.4)", &newcomer, &[], &[heard(1)]);
    differ("a pong (J1.3)", &newcomer, &[heard(1)], &[pong(1)]);

    // Ids and numbers of channels that were forgotten are not used again.
    let gone = restored("room", "alice", 1, 1);
    differ("history", &[], &[gone], &[]);
    let kept = Config {
        history_limit: 0,
        ..Config::default()
    };
    let mut forgotten = World::new(kept.clone());
    let _ = forgotten.join(1, "alice", "room");
    let _ = forgotten.event(lost(1));
    assert_ne!(forgotten.digest(), World::new(kept).digest());
}

#[test]
fn time_shows_as_what_is_left_of_it() {
    // The same a day later has the same digest, as long as no time stamp is in it.
    let mut early = world();
    let mut late = world();
    late.advance(Duration::from_secs(86_400));
    for world in [&mut early, &mut late] {
        assert_eq!(world.open(3), []);
        world.advance(Duration::from_secs(3));
    }
    assert_eq!(early.digest(), late.digest());
    late = early.clone();
    for world in [&mut early, &mut late] {
        let _ = world.join(1, "alice", "room");
    }
    assert_eq!(early.digest(), late.digest());
    // A second of silence more is another state, and so is a sign of life at its end (K1.3).
    late.advance(Duration::from_secs(1));
    assert_ne!(early.digest(), late.digest());
    let silent = late.digest();
    assert_eq!(late.event(heard(1)), []);
    assert_ne!(late.digest(), silent);
    // Before the join time passes, and nothing else counts (H3.2).
    let waiting = late.digest();
    assert_eq!(late.event(heard(3)), []);
    assert_eq!(late.event(pong(3)), []);
    assert_eq!(late.digest(), waiting);
}

#[test]
fn only_open_connections_count() {
    // M3.9, X1.15: what came and went without history leaves nothing but used numbers behind.
    for ending in [lost(1), close_frame(1), fault(1, Fault::Protocol)] {
        let mut world = world();
        let before = world.digest();
        assert_eq!(world.open(1), []);
        let _ = world.event(ending);
        assert_eq!(world.digest(), before);
        assert_eq!(world.waits(), None);
    }
}
