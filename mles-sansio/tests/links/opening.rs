//! How a link opens, is kept, and ends (O1, F1, U1.6).

use std::time::Duration;

use mles_sansio::peering::wire::{self, Handshake, LinkFrame};
use mles_sansio::{Action, ConnId, Event, Frame, Key, NodeId, Nonces, PeerId, Role, Source, auth};

use crate::common::close_frame;
use crate::played::{A, B, Linked, NONCES, SECOND, config, handshake, label, said};

#[test]
fn a_link_opens_with_a_handshake_on_either_side() {
    // O1.2, O1.3, O1.4, F1.1: byte for byte.
    let mut node = Linked::new(config());
    let own = node.uid();
    let now = node.world.now.unix;
    let hash = auth::link_hash(&own.to_string(), "mles", None, NONCES);
    let hello = |path: &str| {
        format!(
            "{{\"uid\":\"{own}\",\"channel\":\"mles\",\"auth\":\"{hash:016x}\",\"peer\":true,\
             \"path\":[{path}],\"ts\":{now},\"max\":16777216}}"
        )
    };
    let actions = node.above(1, A, &[B]);
    let resume = |conn| Action::Resume {
        conn: ConnId(conn),
        link: true,
    };
    assert!(actions.contains(&resume(1)));
    assert_eq!(node.world.node.path(), [B, A]);
    let actions = node.below(2, NodeId(0xc));
    assert_eq!(said(&actions, 2), [hello(&format!("\"{B}\",\"{A}\""))]);
    assert!(actions.contains(&resume(2)));
}

#[test]
fn the_hash_of_a_handshake() {
    // O1.4: the example of the specification.
    let nonces = Nonces {
        dialer: 0x00112233445566778899aabbccddeeff,
        acceptor: 0xffeeddccbbaa99887766554433221100,
    };
    let uid = "000102030405060708090a0b0c0d0e0f";
    let hash = auth::link_hash(uid, "mles", Key::new(b"secret").as_ref(), nonces);
    assert_eq!(hash, 0x3b076d1905bd62ef);
}

#[test]
fn a_handshake_has_ten_seconds() {
    // O1.8: on the side that dialed, and on the one that accepted.
    let mut node = Linked::new(config());
    let peer = PeerId(1);
    let _ = node.event(Event::Peers { peers: vec![peer] });
    let _ = node.wait(Duration::ZERO);
    let (source, nonces) = (Source(0), NONCES);
    for (conn, role) in [(1, Role::Dialed { peer, nonces }), (2, Role::Peer(nonces))] {
        let conn = ConnId(conn);
        let _ = node.event(Event::Opened { conn, role, source });
    }
    let closed =
        |action: &&Action| matches!(action, Action::Close { why, .. } if why.code() == 4003);
    let actions = node.wait(Duration::from_millis(9_999));
    assert_eq!(actions.iter().filter(closed).count(), 0);
    let actions = node.wait(Duration::from_millis(1));
    assert_eq!(actions.iter().filter(closed).count(), 2);
}

#[test]
fn a_silent_link_is_pinged_and_given_up() {
    // U1.6: every 5 s, whether something comes or not; 20 s of silence end it.
    let mut node = Linked::new(config());
    node.answers = false;
    let _ = node.below(1, A);
    let conn = ConnId(1);
    let pings = |actions: &[Action]| {
        let ping = |action: &&Action| **action == Action::Ping { conn };
        actions.iter().filter(ping).count()
    };
    assert_eq!(pings(&node.wait(19 * SECOND)), 3);
    let _ = node.event(Event::Pong { conn });
    assert_eq!(pings(&node.wait(20 * SECOND)), 4);
    let actions = node.wait(SECOND);
    let closed =
        |action: &&Action| matches!(action, Action::Close { why, .. } if why.code() == 4005);
    assert_eq!(actions.iter().filter(closed).count(), 1);
}

#[test]
fn a_probe_gets_its_reply_and_nothing_else() {
    // O1.10
    let mut node = Linked::new(config());
    let _ = node.below(1, A);
    let opening = handshake(A, &[], node.world.now.unix);
    let text = String::from_utf8_lossy(&opening.payload).replace("}", ",\"probe\":true}");
    let opened = Event::Opened {
        conn: ConnId(2),
        role: Role::Peer(NONCES),
        source: Source(0),
    };
    let _ = node.event(opened);
    let actions = node.hear(2, &text);
    assert_eq!(said(&actions, 2).len(), 1);
    let why = mles_sansio::Closing::Unneeded;
    assert_eq!(
        actions.last(),
        Some(&Action::Close {
            conn: ConnId(2),
            why
        })
    );
    assert!(
        node.world.node.link(ConnId(1)).is_some(),
        "O1.6: it replaces nothing"
    );
    // Without it, the same node's older link is replaced.
    let actions = node.below(3, A);
    let closed = |action: &&Action| matches!(action, Action::Close { conn: ConnId(1), why } if why.code() == 4002);
    assert_eq!(actions.iter().filter(closed).count(), 1);
}

#[test]
fn a_peer_that_hangs_from_the_dialer_by_now() {
    // O1.3: the reply's path has the dialer on it. That is no fault, and no link.
    let mut node = Linked::new(config());
    let own = node.uid();
    let actions = node.above(1, A, &[B, own]);
    let conn = ConnId(1);
    let why = mles_sansio::Closing::Unneeded;
    assert!(
        actions.contains(&Action::Close { conn, why }),
        "{actions:?}"
    );
    assert_eq!(why.code(), 1000);
    assert_eq!(node.world.node.link(conn), None);
    assert_eq!(node.world.node.stats().violations, 0);
}

#[test]
fn the_other_end_closes() {
    // As for clients: the reply to a close frame, then the link is gone.
    let mut node = Linked::new(config());
    let _ = node.below(1, A);
    let _ = node.event(close_frame(1));
    assert_eq!(node.world.node.links().count(), 0);
}

#[test]
fn frames_read_as_they_are_written() {
    // F1.1, F1.2
    let handshake = Handshake {
        uid: A,
        channel: "mles".into(),
        auth: None,
        path: vec![B],
        ts: 1,
        max: 2,
        probe: true,
    };
    let frame = LinkFrame::Handshake(handshake);
    assert_eq!(wire::parse(&frame.compose()), Some(frame));
    let label = label("a", A, 1, 1);
    for (bad, good) in [
        ("\"seq\":0", "\"seq\":1"),
        ("\"seq\":9007199254740992", "\"seq\":1"),
        ("\"ts\":1.0", "\"ts\":1"),
    ] {
        assert!(wire::parse(&Frame::text(label.clone())).is_some());
        let wrong = label.replacen(good, bad, 1);
        assert_eq!(wire::parse(&Frame::text(wrong.clone())), None, "{wrong}");
    }
}

#[test]
fn a_clock_that_is_set_ends_links() {
    // O1.7: by more than ten minutes since they were opened, to either side; then the peer is dialed anew.
    let closed = |action: &&Action| matches!(action, Action::Close { conn: ConnId(1), why } if why.code() == 1012);
    for minutes in [10_i64, 11, -10, -11] {
        let mut node = Linked::new(config());
        let _ = node.above(1, A, &[]);
        let _ = node.wait(Duration::from_secs(3_600));
        let unix = &mut node.world.now.unix;
        *unix = unix.saturating_add_signed(minutes * 60_000_000);
        let mut actions = node.wait(Duration::from_secs(5));
        let ends = usize::from(minutes.abs() > 10);
        assert_eq!(actions.iter().filter(closed).count(), ends, "{minutes}");
        actions.extend(node.wait(Duration::from_secs(1)));
        let dialed = actions.contains(&Action::Dial { peer: PeerId(1) });
        assert_eq!(dialed, ends > 0, "{minutes}");
    }
}
