//! Who is dialed, and when (U1, G1).

use std::time::Duration;

use mles_sansio::{
    Action, Closing, ConnId, Ending, Event, NodeId, Notice, Parting, PeerId, Role, Source,
    Violation,
};

use crate::common;
use crate::played::{A, B, Linked, NONCES, SECOND, config, frame, handshake, join};

#[test]
fn peers_are_dialed_in_order_with_backoff() {
    // U1.1, U1.2, U1.3: without jitter. Three passes over two peers that cannot be had.
    let mut config = config();
    config.peering.jitter_percent = 0;
    let mut node = Linked::new(config);
    let peers = vec![PeerId(1), PeerId(2)];
    let _ = node.event(Event::Peers { peers });
    let mut dials = Vec::new();
    for _ in 0..6 {
        let (at, _) = node.world.node.next_timeout().expect("a dial");
        let wait = at.since(node.world.now.mono);
        let actions = node.wait(wait);
        let Some(Action::Dial { peer }) = actions.first() else {
            panic!("{actions:?}");
        };
        dials.push((peer.0, wait.as_millis()));
        let why = mles_sansio::DialFault::Unreachable;
        let peer = *peer;
        let _ = node.event(Event::DialFailed { peer, why });
    }
    assert_eq!(
        dials,
        [(1, 0), (2, 250), (1, 250), (2, 250), (1, 500), (2, 250)]
    );
}

#[test]
fn a_living_upstream_is_kept_and_one_that_is_not_listed_is_closed() {
    // U1.4, U1.5
    let mut node = Linked::new(config());
    let _ = node.above(2, A, &[]);
    let peers = vec![PeerId(1), PeerId(2)];
    let _ = node.event(Event::Peers { peers });
    assert_eq!(node.world.node.upstream(), Some(A));
    let peers = vec![PeerId(1)];
    let actions = node.event(Event::Peers { peers });
    let closed =
        |action: &&Action| matches!(action, Action::Close { why, .. } if why.code() == 1000);
    assert_eq!(actions.iter().filter(closed).count(), 1);
    assert_eq!(node.world.node.upstream(), None);
}

#[test]
fn unrest_makes_a_node_patient() {
    // G1.1, G1.9: with each change of the root the wait doubles, up to 128 times; after 4 minutes of one root
    // it is as at first.
    let mut config = config();
    config.peering.probe_after_min = SECOND;
    config.peering.probe_after_max = SECOND;
    let mut node = Linked::new(config);
    let _ = node.above(1, A, &[]);
    let peers = vec![PeerId(1), PeerId(2)];
    let _ = node.event(Event::Peers { peers });
    let dialed = |actions: Vec<Action>| actions.contains(&Action::Dial { peer: PeerId(2) });
    let peer = PeerId(2);
    let why = mles_sansio::DialFault::Unreachable;
    assert!(
        dialed(node.wait(Duration::ZERO)),
        "a new list is tried at once"
    );
    let _ = node.event(Event::DialFailed { peer, why });
    let path = |root: u128| {
        format!(
            "{{\"uid\":\"{A}\",\"peer\":true,\"path\":[\"{}\"]}}",
            NodeId(root)
        )
    };
    let mut waits = Vec::new();
    for root in 0x10..0x1a {
        let _ = node.hear(1, &path(root));
        let mut wait = 0;
        while !dialed(node.wait(SECOND)) {
            wait += 1;
        }
        waits.push(wait + 1);
        let _ = node.event(Event::DialFailed { peer, why });
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 128, 128, 128]);
    let _ = node.wait(240 * SECOND);
    let _ = node.event(Event::DialFailed { peer, why });
    let _ = node.hear(1, &path(0x20));
    assert!(dialed(node.wait(SECOND)));
}

#[test]
fn a_node_that_dials_its_own_upstream_stays_with_it() {
    // G1.3: the upstream has taken the new connection for the link (O1.6), so the old one is given up.
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[]);
    let peers = vec![PeerId(1), PeerId(2)];
    let _ = node.event(Event::Peers { peers });
    let (peer, nonces) = (PeerId(2), NONCES);
    let mut reply = |conn: u64, uid: NodeId, path: &[NodeId]| {
        let _ = node.wait(SECOND);
        let opened = Event::Opened {
            conn: ConnId(conn),
            role: Role::Dialed { peer, nonces },
            source: Source(0),
        };
        let _ = node.event(opened);
        let answer = handshake(uid, path, node.world.now.unix);
        let actions = node.event(frame(conn, answer));
        (
            actions,
            node.world.node.link(ConnId(1)),
            node.world.node.link(ConnId(conn)),
        )
    };
    // The probe finds another tree; behind the same address is its own upstream by then.
    let _ = reply(2, B, &[]);
    let (_, former, now) = reply(3, A, &[]);
    assert_eq!((former, now), (None, Some(A)));
    assert_eq!(node.world.node.upstream(), Some(A));
}

/// The end of a link, as it is told.
fn parting(actions: &[Action]) -> (Option<PeerId>, Parting, u64, u64) {
    let told = actions.iter().find_map(|action| {
        let Action::Notice(Notice::Unlinked {
            peer,
            why,
            received,
            sent,
            ..
        }) = action
        else {
            return None;
        };
        Some((*peer, *why, *received, *sent))
    });
    told.expect("the end of a link")
}

#[test]
fn the_end_of_a_link_is_told_with_its_reason() {
    let closed = |code| Event::Closed {
        conn: ConnId(1),
        how: Ending::CloseFrame(code),
    };
    let violation = Closing::Violation(Violation::LinkFrame);
    let bad = || common::text(1, "{}");
    for (event, why, shown) in [
        (common::lost(1), Parting::Lost, "the connection was lost"),
        (
            closed(1012),
            Parting::There(1012),
            "closed by the other end with 1012: it is restarting",
        ),
        (
            closed(4444),
            Parting::There(4444),
            "closed by the other end with 4444",
        ),
        (
            bad(),
            Parting::Here(violation),
            "closed here with 4012: a frame that may not be sent here",
        ),
        (
            Event::Peers { peers: Vec::new() },
            Parting::Here(Closing::Unneeded),
            "closed here with 1000: not needed any more",
        ),
        (
            Event::Shutdown,
            Parting::Here(Closing::Restarting),
            "closed here with 1012: server is restarting: reconnect",
        ),
    ] {
        let mut node = Linked::new(config());
        let linked = node.above(1, A, &[]);
        let told = linked.iter().any(|action| {
            let told = Notice::Linked {
                conn: ConnId(1),
                node: A,
                upstream: true,
                peer: Some(PeerId(1)),
                source: Source(0),
            };
            *action == Action::Notice(told)
        });
        assert!(told, "{linked:?}");
        let _ = node.event(common::open(2));
        let _ = node.event(common::header(2, "bob", "room"));
        let _ = node.hear(1, &join(A, &format!("\"{A}\":1")));
        let ts = node.world.now.unix;
        let _ = node.message(1, A, 1, ts, "one");
        // Bob's announcement went, one message came.
        let actions = node.event(event);
        assert_eq!(parting(&actions), (Some(PeerId(1)), why, 1, 1));
        assert_eq!(why.to_string(), shown);
    }
    // One that was taken has no entry, and says where it is from.
    let mut node = Linked::new(config());
    let opened = Event::Opened {
        conn: ConnId(1),
        role: Role::Peer(NONCES),
        source: Source(7),
    };
    let _ = node.event(opened);
    let linked = node.event(frame(1, handshake(B, &[], node.world.now.unix)));
    let from = linked.iter().find_map(|action| {
        let Action::Notice(Notice::Linked { peer, source, .. }) = action else {
            return None;
        };
        Some((*peer, *source))
    });
    assert_eq!(from, Some((None, Source(7))));
    assert_eq!(
        parting(&node.event(common::lost(1))),
        (None, Parting::Lost, 0, 0)
    );
}
