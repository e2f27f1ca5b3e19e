//! What would grow, or run out, without a bound (C1.8, S1.4, S2.2).

use std::time::Duration;

use mles_sansio::peering::wire::{self, LinkFrame};
use mles_sansio::{Action, Closing, ConnId, NodeId, Violation};

use crate::common::{World, refusal, text};
use crate::link::{
    BELOW, OTHER, above, below, config, frame, handed, join, kept, label, leave, message, path,
    replayed, size, with,
};

#[test]
fn a_number_that_is_the_last() {
    // S1.4: a peer says that it knows the last number of this very node. The node goes on as another.
    let by_message = |world: &mut World| {
        let (own, ts) = (world.node.uid().0, world.now.unix);
        let _ = message(world, 2, label("room", own, (1 << 53) - 1, ts), "forged");
    };
    let by_have = |world: &mut World| {
        let own = world.node.uid().0;
        let _ = world.event(frame(2, join(BELOW, "room", &[(own, (1 << 53) - 1)])));
    };
    for forge in [&by_message as &dyn Fn(&mut World), &by_have] {
        let mut world = World::new(config());
        world.enter(1, "alice", "room");
        let _ = world.join(3, "bob", "room");
        below(&mut world, 2, BELOW);
        let _ = above(&mut world, 4);
        let _ = world.event(frame(2, join(BELOW, "room", &[])));
        let _ = world.event(text(1, "before"));
        forge(&mut world);
        let former = world.node.uid();
        let actions = world.event(text(1, "after"));
        for conn in [ConnId(2), ConnId(4)] {
            let why = Closing::Restarting;
            assert!(actions.contains(&Action::Close { conn, why }));
        }
        assert_eq!(world.node.links().count(), 0);
        assert_ne!(world.node.uid(), former);
        assert!(world.node.path().is_empty());
        let broadcasts = actions
            .iter()
            .filter(|action| matches!(action, Action::Broadcast { .. }));
        assert_eq!(broadcasts.count(), 1, "{actions:?}");
        let last = world
            .node
            .history("room")
            .find(|entry| &entry.frame.payload[..] == b"after");
        let last = last.map(|entry| (entry.origin, entry.seq));
        assert_eq!(last, Some((world.node.uid(), 1)));
        // It knows what it sent as the former one, and does not take it back.
        below(&mut world, 5, BELOW);
        let _ = world.event(frame(5, join(BELOW, "room", &[])));
        let (count, ts) = (kept(&world, "room").len(), world.now.unix);
        let _ = message(&mut world, 5, label("room", former.0, 3, ts), "before");
        assert_eq!(kept(&world, "room").len(), count);
        assert_eq!(world.node.stats().link_duplicates, 1);
        // Other channels go on too, and what is forgotten stays below.
        let _ = world.join(6, "carol", "other");
        let first = world
            .node
            .history("other")
            .next()
            .map(|entry| (entry.origin, entry.seq));
        assert_eq!(first, Some((world.node.uid(), 1)));
    }
}

#[test]
fn have_that_lies() {
    let mut world = World::new(config());
    world.enter(1, "alice", "room");
    let own = world.node.uid().0;
    below(&mut world, 2, BELOW);
    // All that there is, and more, of whom nobody knows.
    let many: Vec<(u128, u64)> = (1000..1500).map(|n| (n, 7)).collect();
    let actions = world.event(frame(2, join(BELOW, "room", &many)));
    assert_eq!(handed(&actions, 2).len(), 4, "reply, announcement, done");
    let _ = world.event(replayed(2));
    let small = size(&world);
    for _ in 0..100 {
        let actions = world.event(frame(2, join(BELOW, "room", &many)));
        assert_eq!(
            handed(&actions, 2).len(),
            4,
            "what is not said is sent again"
        );
        let _ = world.event(replayed(2));
    }
    assert!(size(&world) < small + 1000);
    // A number of this node's own that it never gave: it goes on above.
    let _ = world.event(frame(2, join(BELOW, "room", &[(own, 1000)])));
    let _ = world.event(replayed(2));
    let actions = world.event(text(1, "hello"));
    let Some(LinkFrame::Message(label)) = wire::parse(&handed(&actions, 2)[0]) else {
        panic!("a message: {actions:?}");
    };
    assert_eq!(label.seq, 1001);
}

#[test]
fn joins_of_what_is_not_there() {
    // C1.8: channels are bounded, and so are the refusals that are not read.
    let mut world = World::new(with(|config| config.peering.channels = 100));
    below(&mut world, 2, BELOW);
    let long = "x".repeat(4000);
    let mut count = 0;
    let closed = loop {
        let actions = world.event(frame(2, join(BELOW, &format!("{count}{long}"), &[])));
        assert!(world.node.stats().channels <= 100);
        if !handed(&actions, 2).is_empty() {
            assert_eq!(count, 0, "the rest waits until that is taken");
        } else if !actions.is_empty() {
            break actions;
        }
        count += 1;
        assert!(count < 10_000);
    };
    assert_eq!(closed[..2], refusal(2, Violation::LinkFlood));
    assert_eq!(Violation::LinkFlood.code(), 4004);
    assert!((100 + 900..100 + 1100).contains(&count), "{count}");
    assert_eq!(world.node.stats().channels, 0);
    // One who reads them may go on for ever.
    below(&mut world, 3, BELOW);
    for count in 0..3000 {
        let actions = world.event(frame(3, join(BELOW, &format!("{count}{long}"), &[])));
        assert_eq!(handed(&actions, 3).len(), if count < 100 { 2 } else { 1 });
        let _ = world.event(replayed(3));
    }
    assert_eq!(world.node.stats().channels, 100);
    assert_eq!(world.node.link(ConnId(3)), Some(NodeId(BELOW)));
}

#[test]
fn joins_beyond_the_budget() {
    // C1.8, M3.5: no channel comes into being when the history budget is used up: by its name of 100 bytes, 256,
    // and 512 for the link.
    let mut world = World::new(with(|config| config.history_bytes = 100_000));
    below(&mut world, 2, BELOW);
    for count in 0..1000 {
        let _ = world.event(frame(2, join(BELOW, &format!("{count:0100}"), &[])));
        let _ = world.event(replayed(2));
    }
    let stats = world.node.stats();
    assert!(
        (100_000..100_000 + 868).contains(&stats.history_bytes),
        "{stats:?}"
    );
    assert_eq!(stats.channels, 100_000_u64.div_ceil(868));
}

#[test]
fn history_is_no_reason_to_refuse() {
    // C1.8: histories have filled the budget to its last byte; they give way to a channel that is new.
    let exactly = 257 + 20 * (14 + 1 + 64);
    for full in [exactly - 1, exactly, exactly + 1] {
        let mut world = World::new(with(|config| config.history_bytes = full));
        world.enter(1, "a", "c");
        for _ in 0..100 {
            let _ = world.event(text(1, "fourteen bytes"));
        }
        let filled = world.node.stats().history_bytes;
        assert_eq!(filled == full, full == exactly);
        below(&mut world, 2, BELOW);
        for channel in ["new1", "new2"] {
            let actions = world.event(frame(2, join(BELOW, channel, &[])));
            let leave = format!("\"channel\":\"{channel}\",\"peer\":false");
            let said = format!("{actions:?}").replace('\\', "");
            assert!(!said.contains(&leave), "{full}");
            assert!(said.contains(channel), "{said}");
            let _ = world.event(replayed(2));
        }
        assert!(world.node.stats().history_bytes <= full);
    }
}

#[test]
fn coming_and_going_costs_nothing() {
    // C1.2, S3.2: joins and leaves of one channel, again and again, with an upstream that says nothing.
    let mut world = World::new(config());
    let _ = above(&mut world, 1);
    below(&mut world, 2, BELOW);
    let mut sizes = Vec::new();
    for turn in 0..3000 {
        world.advance(Duration::from_micros(10));
        let _ = world.event(frame(2, join(BELOW, "room", &[])));
        let _ = world.event(frame(2, leave(BELOW, "room")));
        let _ = world.event(replayed(2));
        if turn % 1000 == 100 {
            sizes.push(size(&world));
        }
    }
    assert!(sizes[2] < sizes[0] + 500, "{sizes:?}");
    // One who never leaves is owed replies, but no more than the number of them.
    for _ in 0..3000 {
        world.advance(Duration::from_micros(10));
        let _ = world.event(frame(2, join(BELOW, "room", &[])));
    }
    assert!(size(&world) < sizes[0] + 1000);
}

#[test]
fn messages_of_countless_origins() {
    // S2.2: a channel remembers some, and a link no more than twice as many.
    let mut world = World::new(with(|config| {
        config.history_limit = 10;
        config.peering.origins = 16;
    }));
    world.enter(1, "alice", "room");
    below(&mut world, 2, BELOW);
    let _ = world.event(frame(2, join(BELOW, "room", &[])));
    let _ = world.event(replayed(2));
    let mut sizes = Vec::new();
    for turn in 0..3000 {
        let ts = world.now.unix + turn;
        let label = label("room", 10_000 + u128::from(turn), 1, ts);
        let _ = message(&mut world, 2, label, "hello");
        if turn % 1000 == 500 {
            sizes.push(size(&world));
        }
    }
    assert!(sizes[2] < sizes[0] + 3000, "{sizes:?}");
    assert_eq!(world.node.stats().link_accepted, 3000);
    // What came from the first of them counts as seen, although nobody knows it any more.
    for turn in [0, 1000, 2000] {
        let label = label("room", 10_000 + u128::from(turn), 1, world.now.unix + turn);
        assert_eq!(message(&mut world, 2, label, "hello"), []);
    }
    assert_eq!(world.node.stats().link_accepted, 3000);
}

#[test]
fn turns_that_are_not_read() {
    // G1.4: two peers have the node turn their links, in turns, and read nothing of it.
    let mut world = World::new(config());
    below(&mut world, 2, BELOW);
    below(&mut world, 3, OTHER);
    let turn = |uid| path(uid, &[], true);
    let _ = world.event(frame(2, turn(BELOW)));
    let flood = Violation::LinkFlood;
    // What was the upstream answers its turn, and turns again.
    let mut turns = [(3, OTHER), (2, BELOW), (2, BELOW), (3, OTHER)]
        .into_iter()
        .cycle();
    let mut count = 0;
    let closed = loop {
        let (conn, uid) = turns.next().expect("a turn");
        let actions = world.event(frame(conn, turn(uid)));
        if world.node.links().count() < 2 {
            break actions;
        }
        count += 1;
        assert!(count < 500_000, "it would go on for ever");
    };
    let conn = if world.node.link(ConnId(2)).is_none() {
        2
    } else {
        3
    };
    assert_eq!(closed[..2], refusal(conn, flood));
    assert_eq!(world.node.stats().violations, 1);
}

#[test]
fn a_peer_that_never_reads() {
    // S1.6: the history keeps nothing, so that all has to be kept for the link.
    let mut world = World::new(with(|config| {
        config.history_limit = 0;
        config.peering.link_bytes = 10_000;
    }));
    world.enter(1, "alice", "room");
    below(&mut world, 2, BELOW);
    let actions = world.event(frame(2, join(BELOW, "room", &[])));
    assert_eq!(handed(&actions, 2).len(), 2, "reply, done");
    for _ in 0..1000 {
        assert_eq!(world.event(text(1, &"x".repeat(100))), []);
    }
    let room = 10_000 / (100 + 64 + 5);
    assert_eq!(world.node.stats().link_dropped, 1000 - room);
    assert!(size(&world) < 100_000);
    // One large message fits if nothing else waits, and then nothing else does.
    let mut bytes = 0;
    loop {
        let actions = world.event(replayed(2));
        if actions.is_empty() {
            break;
        }
        bytes += handed(&actions, 2).len() as u64 / 2;
    }
    assert_eq!(bytes, room);
    let _ = world.event(text(1, "first"));
    let _ = world.event(text(1, &"y".repeat(900)));
    let _ = world.event(replayed(2));
    assert_eq!(world.node.stats().link_sent, room + 2);
}

#[test]
fn rejects_origins_without_end() {
    // S2.2, S2.4: a peer that names ever new origins on many channels does not push out what others have said.
    let mut world = World::new(with(|config| {
        config.history_limit = 4;
        config.history_bytes = 4 << 20;
        config.history_channel_bytes = 1 << 20;
    }));
    world.enter(1, "alice", "room");
    let said = "x".repeat(1 << 18);
    for _ in 0..3 {
        let _ = world.event(text(1, &said));
    }
    let before = kept(&world, "room");
    below(&mut world, 2, BELOW);
    for channel in 0..256 {
        let channel = format!("{channel}");
        let _ = world.event(frame(2, join(BELOW, &channel, &[])));
        let _ = world.event(replayed(2));
        for origin in 0..256 {
            let ts = world.now.unix + origin;
            let label = label(&channel, 0x1000 + u128::from(origin), 1, ts);
            let _ = message(&mut world, 2, label, "hello");
        }
    }
    let stats = world.node.stats();
    assert!(stats.history_bytes < 3 << 20, "{stats:?}");
    assert_eq!(kept(&world, "room"), before);
    // What is new is accepted all the same, whoever it is from, and nothing twice.
    let ts = world.now.unix;
    for (ts, news) in [
        (ts + 1000, 1),
        (ts + 1000, 0),
        (ts + 255, 0),
        (ts + 1001, 1),
    ] {
        let before = world.node.stats().link_accepted;
        let label = label("255", u128::from(ts), 1, ts);
        let _ = message(&mut world, 2, label, "news");
        assert_eq!(world.node.stats().link_accepted - before, news, "{ts}");
    }
}
