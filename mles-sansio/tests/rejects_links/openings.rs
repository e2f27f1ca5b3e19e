//! Handshakes that are no good (O1, R1.1).

use mles_sansio::{Action, Closing, Config, ConnId, Key, NodeId, Role, Violation, auth};

use crate::common::{World, refusal};
use crate::link::{
    ABOVE, BELOW, Hello, KEY, MINUTE, OTHER, ROOT, above, below, config, frame, nonces, opened,
    with,
};

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
fn the_first_fault_of_an_opening_decides() {
    // O1.11: all is wrong with it, then one thing less each time.
    type Mend = fn(&mut Hello, &World);
    let mends: [(Mend, Violation); 6] = [
        (|_, _| {}, Violation::HeaderRepeatedMember),
        (|h, _| h.more = ",\"probe\":1", Violation::LinkFrame),
        (|h, _| h.more = "", Violation::PeerAuth),
        (
            |h, w| h.auth = Hello::of(w, 2, w.node.uid().0).auth,
            Violation::PeerLoop,
        ),
        (
            |h, w| {
                let right = Hello::of(w, 2, ROOT); // It is on the node's path.
                (h.uid, h.auth) = (right.uid, right.auth);
            },
            Violation::PeerClockBehind,
        ),
        (|h, w| h.ts = w.now.unix.to_string(), Violation::PathTooLong),
    ];
    let mut world = World::new(with(|config| config.peering.links = 1));
    let _ = above(&mut world, 1);
    let mut hello = Hello::of(&world, 2, world.node.uid().0);
    hello.auth = None;
    hello.ts = "0".into();
    hello.path = (0..65).map(|n| NodeId(1000 + n)).collect();
    hello.more = ",\"probe\":1,\"probe\":1";
    for (conn, (mend, violation)) in (10..).zip(mends) {
        // The nonces are those of connection 2, whichever it is.
        assert_eq!(world.event(opened(conn, Role::Peer(nonces(2)))), []);
        mend(&mut hello, &world);
        let actions = world.event(frame(conn, hello.frame()));
        assert_eq!(actions, refusal(conn, violation));
    }
    // R1.1 before O1.9; and then that.
    hello.path.clear();
    assert_eq!(world.event(opened(20, Role::Peer(nonces(2)))), []);
    let actions = world.event(frame(20, hello.frame()));
    assert_eq!(actions.last(), refusal(20, Violation::PeerLoop).last());
    assert_eq!(world.event(opened(21, Role::Peer(nonces(2)))), []);
    let actions = world.event(frame(21, Hello::of(&world, 2, BELOW).frame()));
    assert_eq!(actions, refusal(21, Violation::TooManyLinks));
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
