//! What a hostile peer can send, and what becomes of it: the link is closed with a code and a reason, or
//! it has no effect, and what the node holds stays bounded. Where it is practical the whole list of
//! actions is compared.

mod common;
mod link;

use std::time::Duration;

use common::{World, lost, pong, refusal, text};
use link::*;
use mles_sansio::peering::wire::{self, LinkFrame};
use mles_sansio::{Action, Closing, Config, ConnId, Frame, Key, NodeId, Role, Violation, auth};

#[test]
fn rejects_openings() {
    type Change = fn(&mut Hello, &World);
    let long: Change = |hello, _| hello.path = (0..65).map(|n| NodeId(1000 + n)).collect();
    let cases: [(Change, Violation, u16); 19] = [
        // O1.4
        (
            |h, _| h.auth = Some("0".repeat(16)),
            Violation::PeerAuth,
            4001,
        ),
        (|h, _| h.auth = Some("x".into()), Violation::PeerAuth, 4001),
        (
            |h, _| h.auth = Some(String::new()),
            Violation::PeerAuth,
            4001,
        ),
        (|h, _| h.auth = None, Violation::PeerAuth, 4001),
        (
            |h, w| h.auth = Hello::of(w, 3, BELOW).auth, // Said before, under other nonces.
            Violation::PeerAuth,
            4001,
        ),
        (
            |h, w| h.auth = Hello::of(w, 2, OTHER).auth, // Another's.
            Violation::PeerAuth,
            4001,
        ),
        (
            |h, _| {
                let hash = auth::hash(&h.uid, "mles", Key::new(KEY).as_ref());
                h.auth = Some(format!("{hash:016x}")); // A client's.
            },
            Violation::PeerAuth,
            4001,
        ),
        // R1.1
        (
            |h, w| *h = Hello::of(w, 2, w.node.uid().0),
            Violation::PeerLoop,
            4010,
        ),
        // O1.7
        (
            |h, w| h.ts = (w.now.unix - 10 * MINUTE - 1).to_string(),
            Violation::PeerClockBehind,
            4011,
        ),
        (
            |h, w| h.ts = (w.now.unix + 10 * MINUTE + 1).to_string(),
            Violation::PeerClockAhead,
            4011,
        ),
        (|h, _| h.ts = "0".into(), Violation::PeerClockBehind, 4011),
        // R1.7
        (long, Violation::PathTooLong, 4011),
        // O1.2
        (|h, _| h.uid = "bob".into(), Violation::LinkFrame, 4012),
        (
            |h, _| h.uid.make_ascii_uppercase(),
            Violation::LinkFrame,
            4012,
        ),
        (
            |h, _| h.ts = (1_u64 << 53).to_string(),
            Violation::LinkFrame,
            4012,
        ),
        (|h, _| h.max = "-1".into(), Violation::LinkFrame, 4012),
        (|h, _| h.more = ",\"have\":{}", Violation::LinkFrame, 4012),
        (|h, _| h.more = ",\"probe\":1", Violation::LinkFrame, 4012),
        (
            |h, _| h.more = ",\"x\":1,\"x\":1",
            Violation::HeaderRepeatedMember,
            4000,
        ),
    ];
    for (number, (change, violation, code)) in cases.into_iter().enumerate() {
        let mut world = World::new(config());
        let before = world.digest();
        assert_eq!(world.event(opened(2, Role::Peer(nonces(2)))), []);
        let mut hello = Hello::of(&world, 2, BELOW);
        // The uid ends in a letter, so that upper case differs.
        change(&mut hello, &world);
        let actions = world.event(frame(2, hello.frame()));
        assert_eq!(actions, refusal(2, violation), "case {number}");
        assert_eq!(violation.code(), code);
        assert_eq!(world.digest(), before);
        assert_eq!(world.node.next_timeout(), None);
    }
    // O1.1: no nonce; O1.5: no key, and nobody said that it is open.
    let rejects = |config: Config, role: Role, violation: Violation| {
        let mut world = World::new(config);
        assert_eq!(world.event(opened(2, role)), []);
        let hello = Hello::of(&world, 2, BELOW).frame();
        assert_eq!(world.event(frame(2, hello)), refusal(2, violation));
        assert_eq!(violation.code(), 4011);
    };
    rejects(config(), Role::Accepted, Violation::PeerWithoutNonce);
    let role = Role::Peer(nonces(2));
    rejects(Config::default(), role, Violation::PeerRefused);
}

#[test]
fn accepts_openings_at_the_bounds() {
    type Change = fn(&mut Hello, &World);
    let cases: [Change; 5] = [
        |h, w| h.ts = (w.now.unix - 10 * MINUTE).to_string(),
        |h, w| h.ts = (w.now.unix + 10 * MINUTE).to_string(),
        |h, _| h.path = (0..64).map(|n| NodeId(1000 + n)).collect(),
        |h, _| h.more = ",\"x\":{\"have\":1},\"Probe\":1",
        |h, _| h.max = "0".into(),
    ];
    for change in cases {
        let mut world = World::new(config());
        let _ = world.event(opened(2, Role::Peer(nonces(2))));
        let mut hello = Hello::of(&world, 2, BELOW);
        change(&mut hello, &world);
        let actions = world.event(frame(2, hello.frame()));
        assert_eq!(
            world.node.link(ConnId(2)),
            Some(NodeId(BELOW)),
            "{actions:?}"
        );
    }
}

#[test]
fn rejects_who_is_above() {
    // R1.1, R1.6: and asks the upstream whether the path is still true, once.
    for uid in [ROOT, ABOVE] {
        let mut world = World::new(config());
        let _ = above(&mut world, 1);
        for conn in [2, 3] {
            let _ = world.event(opened(conn, Role::Peer(nonces(conn))));
            let hello = Hello::of(&world, conn, uid).frame();
            let mut expected = refusal(conn, Violation::PeerLoop);
            if conn == 2 {
                expected.insert(0, Action::Ping { conn: ConnId(1) });
            }
            assert_eq!(world.event(frame(conn, hello)), expected);
        }
    }
    assert_eq!(Violation::PeerLoop.code(), 4010);
}

#[test]
fn rejects_one_link_too_many() {
    // O1.9: but a probe is answered, and a node that is here already takes its own place.
    let mut world = World::new(with(|config| config.peering.links = 2));
    below(&mut world, 1, 1);
    below(&mut world, 2, 2);
    let _ = world.event(opened(3, Role::Peer(nonces(3))));
    let hello = Hello::of(&world, 3, 3).frame();
    assert_eq!(
        world.event(frame(3, hello)),
        refusal(3, Violation::TooManyLinks)
    );
    assert_eq!(Violation::TooManyLinks.code(), 4004);
    let _ = world.event(opened(4, Role::Peer(nonces(4))));
    let mut probe = Hello::of(&world, 4, 3);
    probe.more = ",\"probe\":true";
    let actions = world.event(frame(4, probe.frame()));
    let (conn, why) = (ConnId(4), Closing::Unneeded);
    assert!(matches!(actions[0], Action::Send { .. }));
    assert_eq!(actions[1..], [Action::Close { conn, why }]);
    // O1.6
    let _ = world.event(opened(5, Role::Peer(nonces(5))));
    let again = Hello::of(&world, 5, 2).frame();
    let actions = world.event(frame(5, again));
    assert_eq!(actions[1..3], refusal(2, Violation::LinkReplaced));
    assert_eq!(Violation::LinkReplaced.code(), 4002);
    assert_eq!(world.node.links().count(), 2);
    assert_eq!(world.node.link(ConnId(5)), Some(NodeId(2)));
}

#[test]
fn rejects_what_no_peer_may_send() {
    let huge = |length: usize| {
        let open = format!(
            "{{\"uid\":\"{}\",\"channel\":\"c\",\"peer\":false,\"x\":\"",
            NodeId(BELOW)
        );
        let x = "x".repeat(length - open.len() - 2);
        Frame::text(format!("{open}{x}\"}}"))
    };
    let raw = |text: &str| Frame::text(text.replace("ME", &NodeId(BELOW).to_string()));
    let hello = |world: &World| Hello::of(world, 2, BELOW).frame();
    let fresh = || {
        let mut world = World::new(config());
        below(&mut world, 2, BELOW);
        world
    };
    let frames = [
        hello(&fresh()),         // F1.4: once is enough.
        path(BELOW, &[], false), // R1.4: paths go down.
        done(BELOW, "room"),     // S3.1: so does `done`.
        Frame::binary(join(BELOW, "c", &[]).payload),
        Frame::text(""),
        Frame::text("hello"),
        Frame::text("{}"),
        huge(wire::LINK_HEADER_MAX + 1), // F1.2
        raw(r#"{"uid":"ME"}"#),
        raw(r#"{"uid":"ME","peer":true}"#),
        raw(r#"{"uid":"ME","peer":true,"channel":"c"}"#),
        raw(r#"{"uid":"ME","peer":true,"channel":""}"#),
        raw(r#"{"uid":"ME","peer":1,"channel":"c","have":{}}"#),
        raw(r#"{"uid":"ME","peer":true,"channel":"c","have":[]}"#),
        raw(r#"{"uid":"ME","peer":true,"channel":"c","have":{"x":1}}"#),
        raw(r#"{"uid":"ME","peer":true,"channel":"c","have":{"ME":-1}}"#),
        raw(r#"{"uid":"ME","peer":true,"channel":"c","have":{"ME":1,"ME":1}}"#),
        raw(r#"{"uid":"ME","peer":true,"channel":"c","have":{},"peer":true}"#),
        raw(r#"{"uid":"ME","peer":true,"channel":"c","done":false}"#),
        raw(r#"{"uid":"ME","peer":false,"path":[]}"#),
        raw(r#"{"uid":"u","channel":"c","node":"ME","seq":0,"ts":1}"#),
        raw(r#"{"uid":"u","channel":"c","node":"ME","seq":9007199254740992,"ts":1}"#),
        raw(r#"{"uid":"u","channel":"c","node":"ME","seq":1,"ts":0}"#),
        raw(r#"{"uid":"u","channel":"c","node":"ME","seq":1}"#),
        raw(r#"{"uid":"u","channel":"c","node":"me","seq":1,"ts":1}"#),
        raw(r#"{"uid":"","channel":"c","node":"ME","seq":1,"ts":1}"#),
        raw(r#"{"uid":"u","channel":"c\u0000","node":"ME","seq":1,"ts":1}"#),
        raw(r#"{"uid":"u","channel":"c","node":"ME","seq":1,"ts":1,"peer":true}"#),
        label(&"c".repeat(4096), 1, 1, 1), // No client could have joined it.
    ];
    for payload in frames {
        closes(&mut fresh(), 2, payload, Violation::LinkFrame, 4012);
    }
    // The uid of somebody else, whatever it says.
    for payload in [
        join(OTHER, "room", &[]),
        leave(OTHER, "room"),
        done(OTHER, "room"),
        path(OTHER, &[], false),
        path(OTHER, &[], true),
        Hello::of(&fresh(), 2, OTHER).frame(),
    ] {
        closes(&mut fresh(), 2, payload, Violation::LinkUid, 4012);
    }
    // At the bound, with members that nobody knows, and for channels that nobody knows.
    let mut world = fresh();
    let _ = world.event(frame(2, huge(wire::LINK_HEADER_MAX)));
    let _ = world.event(frame(
        2,
        raw(r#"{"x":[],"uid":"ME","peer":true,"channel":"c","have":{},"max":{}}"#),
    ));
    assert_eq!(world.node.link(ConnId(2)), Some(NodeId(BELOW)));
    assert_eq!(world.node.stats().violations, 0);
}

#[test]
fn rejects_what_an_upper_end_may_not_send() {
    let fresh = || {
        let mut world = World::new(config());
        let _ = above(&mut world, 1);
        world
    };
    let far: Vec<NodeId> = (0..65).map(|n| NodeId(1000 + n)).collect();
    for (payload, violation, code) in [
        (path(ABOVE, &[], true), Violation::LinkFrame, 4012), // G1.4: it is above already.
        (join(ABOVE, "room", &[]), Violation::LinkFrame, 4012), // C1.5: a reply to nothing.
        (path(ABOVE, &far, false), Violation::PathTooLong, 4011), // R1.7
        (path(OTHER, &[], false), Violation::LinkUid, 4012),
    ] {
        closes(&mut fresh(), 1, payload, violation, code);
    }
    // What was said of a join that was taken back, or never made, is nothing.
    let mut world = fresh();
    for payload in [done(ABOVE, "room"), leave(ABOVE, "room")] {
        assert_eq!(world.event(frame(1, payload)), []);
    }
    // A reply, and another one; a refusal behind it.
    for (first, second) in [
        (join(ABOVE, "room", &[]), join(ABOVE, "room", &[])),
        (join(ABOVE, "room", &[]), leave(ABOVE, "room")),
        (leave(ABOVE, "room"), leave(ABOVE, "room")),
        (leave(ABOVE, "room"), join(ABOVE, "room", &[])),
    ] {
        let mut world = fresh();
        let _ = world.join(5, "alice", "room");
        let _ = world.event(replayed(1));
        let _ = world.event(frame(1, first));
        let _ = world.event(frame(1, second));
        assert_eq!(world.node.link(ConnId(1)), None);
        assert_eq!(world.node.stats().violations, 1);
    }
}

#[test]
fn a_path_that_only_a_liar_would_send() {
    // R1.2: this node in it, again and again, in front and behind; the greatest cuts, others wait.
    for (given, cut) in [
        (vec![0], true),
        (vec![u128::MAX, 0], true),
        (vec![0, u128::MAX], false),
        (vec![0, 1, 0, 2], true),
        (vec![ABOVE, ABOVE], false),
        (vec![u128::MAX; 64], true), // R1.7: with the upper end it is one more.
    ] {
        let mut world = World::new(config());
        let _ = above(&mut world, 1);
        let own = world.node.uid();
        let given: Vec<NodeId> = given
            .iter()
            .map(|n| if *n == 0 { own } else { NodeId(*n) })
            .collect();
        let _ = world.event(frame(1, path(ABOVE, &given, false)));
        assert_eq!(world.node.link(ConnId(1)).is_none(), cut, "{given:?}");
        assert_eq!(world.node.path().is_empty(), cut);
    }
}

#[test]
fn a_header_in_the_place_of_a_payload_is_the_payload() {
    // F1.3: nothing but the place tells a payload from a header.
    let mut world = World::new(config());
    let _ = world.join(1, "alice", "room");
    below(&mut world, 2, BELOW);
    let _ = world.event(frame(2, join(BELOW, "room", &[])));
    let ts = world.now.unix;
    let before = kept(&world, "room").len();
    let payload = leave(BELOW, "room");
    let text = String::from_utf8_lossy(&payload.payload).into_owned();
    let actions = message(&mut world, 2, label("room", OTHER, 1, ts), &text);
    assert!(
        matches!(&actions[..], [Action::Broadcast { except: None, .. }]),
        "{actions:?}"
    );
    assert_eq!(kept(&world, "room").len(), before + 1);
    // A pong between the two is neither; what has no payload in the end was never sent.
    assert_eq!(world.event(frame(2, label("room", OTHER, 2, ts))), []);
    assert_eq!(world.event(pong(2)), []);
    let _ = world.event(lost(2));
    assert_eq!(kept(&world, "room").len(), before + 1);
    // The next link does not know of it.
    below(&mut world, 3, BELOW);
    let actions = world.event(frame(3, join(BELOW, "room", &[(OTHER, 1)])));
    assert!(handed(&actions, 3).len() > 1);
    assert_eq!(kept(&world, "room").len(), before + 1);
}

#[test]
fn rejects_a_payload_above_max() {
    // F1.5: to the byte, and whether the channel is joined or not.
    for channel in ["room", "other"] {
        let mut world = World::new(config());
        let _ = world.join(1, "alice", "room");
        below(&mut world, 2, BELOW);
        let _ = world.event(frame(2, join(BELOW, "room", &[])));
        let ts = world.now.unix;
        let _ = message(
            &mut world,
            2,
            label(channel, OTHER, 1, ts),
            &"x".repeat(100),
        );
        let taken = kept(&world, "room").contains(&"x".repeat(100));
        assert_eq!(taken, channel == "room");
        assert_eq!(world.event(frame(2, label(channel, OTHER, 2, ts))), []);
        let long = Frame::text("x".repeat(101));
        closes(&mut world, 2, long, Violation::LinkPayloadTooBig, 4012);
    }
}

#[test]
fn does_not_send_what_the_other_does_not_take() {
    // F1.5: `max` of the other end.
    let mut world = World::new(config());
    below(&mut world, 2, BELOW);
    world.enter(1, "alice", "room");
    let actions = world.event(frame(2, join(BELOW, "room", &[])));
    assert_eq!(handed(&actions, 2).len(), 4, "reply, announcement, done");
    let _ = world.event(replayed(2));
    let _ = world.event(text(1, &"x".repeat(1001)));
    assert_eq!(world.node.stats().link_too_big, 1);
    let actions = world.event(text(1, &"y".repeat(1000)));
    assert_eq!(handed(&actions, 2)[1].payload.len(), 1000);
}

#[test]
fn time_stamps_from_the_future() {
    // F1.6: an hour ahead of this node's clock is skipped, and not counted as seen.
    let mut world = World::new(config());
    let _ = world.join(1, "alice", "room");
    let _ = world.event(opened(2, Role::Peer(nonces(2))));
    let mut hello = Hello::of(&world, 2, BELOW);
    let theirs = world.now.unix + 5 * MINUTE;
    hello.ts = theirs.to_string();
    let _ = world.event(frame(2, hello.frame()));
    let _ = world.event(frame(2, join(BELOW, "room", &[])));
    let now = world.now.unix;
    let fits = |world: &World| kept(world, "room").len() - 1;
    let _ = message(&mut world, 2, label("room", OTHER, 1, now + HOUR), "1");
    assert_eq!(fits(&world), 1);
    let _ = message(&mut world, 2, label("room", OTHER, 2, now + HOUR + 1), "2");
    assert_eq!((fits(&world), world.node.stats().link_ahead), (1, 1));
    let _ = message(&mut world, 2, label("room", OTHER, 2, now), "2");
    assert_eq!(fits(&world), 2);
    // Two hours ahead of its own clock is the peer's fault.
    let _ = message(
        &mut world,
        2,
        label("room", OTHER, 3, theirs + 2 * HOUR),
        "3",
    );
    assert_eq!((fits(&world), world.node.stats().link_ahead), (2, 2));
    assert_eq!(
        world.event(frame(2, label("room", OTHER, 3, theirs + 2 * HOUR + 1))),
        []
    );
    closes(&mut world, 2, Frame::text("3"), Violation::LinkTime, 4012);
    // And the channel's own time has not run away by more than the hour.
    let _ = world.event(text(1, "now"));
    let entries: Vec<u64> = world.node.history("room").map(|entry| entry.ts).collect();
    assert!(
        entries.iter().all(|ts| *ts <= now + HOUR + 1),
        "{entries:?}"
    );
}

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
    // C1.8: no channel comes into being when the history budget is used up.
    let mut world = World::new(with(|config| config.history_bytes = 100_000));
    below(&mut world, 2, BELOW);
    for count in 0..1000 {
        let _ = world.event(frame(2, join(BELOW, &format!("{count:0100}"), &[])));
        let _ = world.event(replayed(2));
    }
    let stats = world.node.stats();
    assert!(
        (100_000 - 500..100_000 + 500).contains(&stats.history_bytes),
        "{stats:?}"
    );
    assert_eq!(stats.channels, 100_000_u64.div_ceil(356));
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
