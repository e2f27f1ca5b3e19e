//! Frames that may not be sent, or that lie (F1, G1.4).

use mles_sansio::peering::wire;
use mles_sansio::{Action, Closing, ConnId, Fault, Frame, NodeId, Notice, Role, Violation};

use crate::common::{World, fault, lost, pong, text};
use crate::link::{
    ABOVE, BELOW, HOUR, Hello, MINUTE, OTHER, above, below, closes, config, done, frame, handed,
    join, kept, label, leave, message, nonces, opened, path, replayed,
};

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
fn rejects_a_payload_above_max_when_it_is_declared() {
    // F1.5: a runtime that holds the bound finds it before the payload is here.
    let mut world = World::new(config());
    below(&mut world, 2, BELOW);
    let violation = Violation::LinkPayloadTooBig;
    let conn = ConnId(2);
    let actions = world.event(fault(2, Fault::TooBig));
    let why = Closing::Violation(violation);
    assert!(actions.contains(&Action::Notice(Notice::Violated { conn, violation })));
    assert!(actions.contains(&Action::Close { conn, why }));
    assert_eq!(violation.code(), 4012);
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
