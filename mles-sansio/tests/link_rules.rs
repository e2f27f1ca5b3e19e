//! Links, frame by frame: what one node says on them, when, and what it does not. Each of these tests
//! tells one rule; tests/network.rs tries all of them at once.

mod common;
#[expect(dead_code, reason = "each test file uses a part of it")]
mod link;

use std::time::Duration;

use common::{World, lost, restored, text};
use link::*;
use mles_sansio::peering::wire::{self, LinkFrame};
use mles_sansio::{Action, Config, Event, Frame, Timer};

/// What a link was handed, the payloads as they are and each header as one word and its channel.
fn told(frames: &[Frame]) -> Vec<String> {
    let mut told = Vec::new();
    let mut frames = frames.iter();
    while let Some(frame) = frames.next() {
        told.push(match wire::parse(frame).expect("a header") {
            LinkFrame::Message(_) => {
                let payload = frames.next().expect("a payload");
                String::from_utf8_lossy(&payload.payload).into_owned()
            }
            LinkFrame::Join { channel, .. } => format!("join {channel}"),
            LinkFrame::Done { channel, .. } => format!("done {channel}"),
            LinkFrame::Leave { channel, .. } => format!("leave {channel}"),
            LinkFrame::Path { turn, .. } => format!("path {turn}"),
            LinkFrame::Handshake(_) => "handshake".into(),
        });
    }
    told
}

/// The link has taken all that there was: what that was.
fn drain(world: &mut World, conn: u64, first: &[Action]) -> Vec<String> {
    let mut frames = handed(first, conn);
    let due = |world: &World| world.waits().is_some_and(|(left, _)| left.is_zero());
    loop {
        while due(world) {
            frames.extend(handed(&world.event(Event::Timeout), conn));
        }
        let actions = world.event(replayed(conn));
        if handed(&actions, conn).is_empty() && !due(world) {
            return told(&frames);
        }
        frames.extend(handed(&actions, conn));
    }
}

fn replay(actions: &[Action], conn: u64) -> Vec<String> {
    let frames = handed(actions, conn).into_iter();
    frames
        .map(|frame| String::from_utf8_lossy(&frame.payload).into_owned())
        .collect()
}

fn announcement(uid: &str) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\"}}")
}

#[test]
fn nothing_goes_back_where_it_came_from() {
    // S1.5: alice is here, bob below. He speaks, she answers: he gets her answer and nothing else.
    let mut world = World::new(config());
    world.enter(1, "alice", "room");
    below(&mut world, 2, BELOW);
    let actions = world.event(frame(2, join(BELOW, "room", &[])));
    let first = drain(&mut world, 2, &actions);
    assert_eq!(first, ["join room", &announcement("alice"), "done room"]);
    let ts = world.now.unix;
    let actions = message(&mut world, 2, label("room", OTHER, 1, ts + 5), "hello");
    assert_eq!(drain(&mut world, 2, &actions), [""; 0]);
    world.advance(Duration::from_millis(1));
    let actions = world.event(text(1, "hi"));
    assert_eq!(drain(&mut world, 2, &actions), ["hi"]);
    // Something older comes from elsewhere: he gets that, and what he has had is not told again.
    below(&mut world, 3, 0xd);
    let actions = world.event(frame(3, join(0xd, "room", &[(OTHER, 9)])));
    let _ = drain(&mut world, 3, &actions);
    let actions = message(&mut world, 3, label("room", 0xe, 1, ts - 5), "old");
    assert_eq!(drain(&mut world, 2, &actions), ["old"]);
    // And who said it does not hear it.
    assert_eq!(drain(&mut world, 3, &[]), [""; 0]);
}

#[test]
fn what_a_peer_has_said_takes_no_room_for_it() {
    // S1.6: the history keeps one message, the link little more, and the peer talks without reading.
    let mut world = World::new(with(|config| {
        config.history_limit = 1;
        config.peering.link_bytes = 500;
    }));
    world.enter(1, "alice", "room");
    below(&mut world, 2, BELOW);
    let _ = world.event(frame(2, join(BELOW, "room", &[])));
    let ts = world.now.unix;
    for n in 1..100 {
        let _ = message(&mut world, 2, label("room", OTHER, n, ts + n), "talk");
    }
    world.advance(Duration::from_millis(1));
    for say in ["one", "two", "three"] {
        let _ = world.event(text(1, say));
    }
    assert_eq!(world.node.stats().link_dropped, 0);
    assert_eq!(drain(&mut world, 2, &[]), ["one", "two", "three"]);
}

#[test]
fn what_comes_late_is_sent_in_its_place() {
    // S1.3, S1.6: the link takes nothing while messages of another origin come in that are older than what
    // was sent: a few, and more than a few; some of them leave the history before they were sent.
    for (count, limit) in [(3, 200), (100, 200), (3, 2), (100, 50)] {
        let mut world = World::new(with(|config| config.history_limit = limit));
        world.enter(1, "alice", "room");
        below(&mut world, 2, BELOW);
        below(&mut world, 3, 0xd);
        let _ = world.event(frame(3, join(0xd, "room", &[])));
        let actions = world.event(frame(2, join(BELOW, "room", &[])));
        let ts = world.now.unix;
        let _ = drain(&mut world, 2, &actions);
        let actions = message(&mut world, 3, label("room", OTHER, 1, ts + 900), "new");
        assert_eq!(drain(&mut world, 2, &actions), ["new"]);
        // One is on its way; nothing more is taken until it is through.
        let first = message(&mut world, 3, label("room", OTHER, 2, ts + 901), "newer");
        let mut expected = vec!["newer".to_owned()];
        for n in 0..count {
            let _ = message(
                &mut world,
                3,
                label("room", 0xe, n + 1, ts + n),
                &format!("late {n}"),
            );
            expected.push(format!("late {n}"));
        }
        let _ = message(&mut world, 3, label("room", OTHER, 3, ts + 902), "newest");
        expected.push("newest".into());
        assert_eq!(drain(&mut world, 2, &first), expected, "{count} of {limit}");
        assert_eq!(drain(&mut world, 2, &[]), [""; 0]);
    }
}

#[test]
fn channels_with_members_are_joined_first() {
    // C1.3: the quiet ones were there before.
    let mut world = World::new(config());
    for n in 0..1000 {
        let _ = world.event(restored(&format!("{n}"), "a", 1, world.now.unix - 1000));
    }
    world.enter(2, "alice", "room");
    world.enter(3, "bob", "500");
    let actions = above(&mut world, 1);
    let joins = drain(&mut world, 1, &actions);
    assert_eq!(joins.len(), 1001);
    assert_eq!(joins[..3], ["join 500", "join room", "join 0"]);
}

#[test]
fn done_is_the_last_that_is_said() {
    // S3.1: two hundred messages are more than one batch takes.
    let mut world = World::new(config());
    for n in 1..=200 {
        let _ = world.event(restored("room", "a", n, world.now.unix - 1000 + n));
    }
    below(&mut world, 2, BELOW);
    let actions = world.event(frame(2, join(BELOW, "room", &[])));
    let said = drain(&mut world, 2, &actions);
    assert_eq!(said.len(), 202);
    assert_eq!((&*said[0], &*said[201]), ("join room", "done room"));
}

#[test]
fn a_channel_that_nobody_is_on_goes_up_and_is_left() {
    // C1.3, C1.7, P6: all of it is sent before the channel is left, and it is not left before the upper
    // end has sent all that it has.
    let mut world = World::new(with(|config| config.peering.linger = Duration::ZERO));
    for n in 1..=200 {
        let _ = world.event(restored("room", "a", n, world.now.unix - 1000 + n));
    }
    let actions = above(&mut world, 1);
    assert_eq!(drain(&mut world, 1, &actions), ["join room"]);
    let actions = world.event(frame(1, join(ABOVE, "room", &[])));
    // Somebody comes and goes meanwhile.
    world.enter(2, "alice", "room");
    let _ = world.event(lost(2));
    let said = drain(&mut world, 1, &actions);
    assert_eq!(said.len(), 201, "and no word of leaving: {:?}", said.last());
    let actions = world.event(frame(1, done(ABOVE, "room")));
    assert_eq!(drain(&mut world, 1, &actions), ["leave room"]);
    // What the upper end says on it from now on is not heard.
    let ts = world.now.unix;
    let _ = message(&mut world, 1, label("room", OTHER, 1, ts), "late");
    assert_eq!(world.node.stats().link_ignored, 1);
    // The same with all of it still to be sent when the upper end is done.
    let mut world = World::new(with(|config| config.peering.linger = Duration::ZERO));
    for n in 1..=200 {
        let _ = world.event(restored("room", "a", n, world.now.unix - 1000 + n));
    }
    let actions = above(&mut world, 1);
    let mut frames = handed(&actions, 1);
    let _ = world.event(frame(1, join(ABOVE, "room", &[])));
    let _ = world.event(frame(1, done(ABOVE, "room")));
    let said = drain(&mut world, 1, &[]);
    frames.clear();
    assert_eq!(said.len(), 201);
    assert_eq!(said[200], "leave room");
}

#[test]
fn nothing_is_heard_before_the_reply() {
    // C1.5: the other may not know yet what this node has: it will say it again.
    let mut world = World::new(config());
    let _ = above(&mut world, 1);
    let actions = world.join(2, "alice", "room");
    assert_eq!(drain(&mut world, 1, &actions), ["join room"]);
    let (ts, count) = (world.now.unix, kept(&world, "room").len());
    let _ = message(&mut world, 1, label("room", OTHER, 2, ts), "early");
    assert_eq!(kept(&world, "room").len(), count);
    assert_eq!(world.node.stats().link_ignored, 1);
    let _ = world.event(frame(1, join(ABOVE, "room", &[])));
    let _ = message(&mut world, 1, label("room", OTHER, 1, ts), "one");
    let _ = message(&mut world, 1, label("room", OTHER, 2, ts), "early");
    assert_eq!(kept(&world, "room").len(), count + 2);
}

#[test]
fn a_joiner_waits_for_the_history_above() {
    // W1: alice joins and speaks at once. What the upstream has comes as one replay, also what the history
    // has no room for, and without what she has said herself, her own announcement included.
    let mut world = World::new(with(|config| config.history_limit = 1));
    let _ = above(&mut world, 1);
    let mut actions = world.join(2, "alice", "room");
    let _ = world.event(replayed(1));
    let ts = world.now.unix;
    actions.extend(world.event(text(2, "mine")));
    actions.extend(world.event(frame(1, join(ABOVE, "room", &[]))));
    for (n, say) in (1..).zip(["one", "two", "three"]) {
        let label = label("room", OTHER, n, ts - 100 + n);
        actions.extend(message(&mut world, 1, label, say));
    }
    assert_eq!(replay(&actions, 2), [""; 0]);
    let joined = |actions: &[Action]| {
        let joins = actions.iter();
        joins.filter(|a| matches!(a, Action::Join { .. })).count()
    };
    assert_eq!(joined(&actions), 0);
    let actions = world.event(frame(1, done(ABOVE, "room")));
    assert_eq!(replay(&actions, 2), ["one", "two", "three"]);
    assert_eq!(joined(&actions), 1);
    // W1.1: with an upstream that says nothing, two seconds.
    let mut world = World::new(config());
    let _ = above(&mut world, 1);
    let _ = world.event(restored("room", "a", 1, world.now.unix - 5));
    let actions = world.join(2, "alice", "room");
    assert_eq!(joined(&actions), 0);
    assert_eq!(joined(&world.wait(Duration::from_micros(1_999_999))), 0);
    let actions = world.wait(Duration::from_micros(1));
    assert_eq!(
        (joined(&actions), replay(&actions, 2)),
        (1, vec!["hello".into()])
    );
    // W1.2: when the upstream is lost, no longer than that.
    let mut world = World::new(config());
    let _ = above(&mut world, 1);
    let _ = world.join(2, "alice", "room");
    assert_eq!(joined(&world.event(lost(1))), 1);
}

#[test]
fn done_waits_for_the_upstream_but_not_for_ever() {
    // S3.2
    let mut world = World::new(config());
    let _ = above(&mut world, 1);
    below(&mut world, 2, BELOW);
    let _ = world.event(replayed(2));
    let actions = world.event(frame(2, join(BELOW, "room", &[])));
    assert_eq!(drain(&mut world, 2, &actions), ["join room"]);
    let _ = world.wait(Duration::from_micros(1_999_999));
    assert_eq!(drain(&mut world, 2, &[]), [""; 0]);
    let (left, timer) = world.waits().expect("a timer");
    assert_eq!((left, timer), (Duration::from_micros(1), Timer::Review));
    let actions = world.wait(Duration::from_micros(1));
    assert_eq!(drain(&mut world, 2, &actions), ["done room"]);
}

#[test]
fn time_does_not_go_back_with_the_channel() {
    // S2.3: a channel is forgotten and the clock set back a little. Who remembers how far the node was
    // takes what it says now for news.
    let mut world = World::new(Config {
        history_limit: 0,
        store_history: true,
        ..Config::default()
    });
    let stored = |actions: Vec<Action>| {
        let entries = actions.into_iter().filter_map(|action| {
            if let Action::StoreHistory { entry, .. } = action {
                return Some((entry.seq, entry.ts));
            }
            None
        });
        entries.last().expect("an entry")
    };
    let _ = world.join(1, "alice", "room");
    let before = stored(world.event(text(1, "one")));
    let _ = world.event(lost(1));
    assert_eq!(world.node.stats().channels, 0);
    world.now.unix -= 1_000_000;
    let _ = world.join(2, "alice", "room");
    let after = stored(world.event(text(2, "two")));
    assert!(
        after.0 > before.0 && after.1 > before.1,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_dial_that_is_wanted_again() {
    // U1.5: an entry leaves the list while it is dialed, and is back before the answer: that answer counts.
    let mut world = World::new(config());
    let peer = mles_sansio::PeerId(0);
    let peers = |peers: &[mles_sansio::PeerId]| Event::Peers {
        peers: peers.to_vec(),
    };
    let _ = world.event(peers(&[peer]));
    assert_eq!(world.event(Event::Timeout), [Action::Dial { peer }]);
    assert_eq!(world.event(peers(&[])), []);
    assert_eq!(world.event(peers(&[peer])), []);
    assert_eq!(world.event(Event::Timeout), [], "it is dialed already");
    let why = mles_sansio::DialFault::Unreachable;
    let _ = world.event(Event::DialFailed { peer, why });
    let dials = world.wait(Duration::from_secs(1));
    assert!(dials.contains(&Action::Dial { peer }), "{dials:?}");
}
