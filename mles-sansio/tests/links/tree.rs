//! Paths, rings, turns (R1, G1).

use std::time::Duration;

use mles_sansio::{Action, ConnId, DialFault, Ending, Event, NodeId, PeerId, Role, Source};

use crate::common::{self, lost};
use crate::played::{A, B, Linked, NONCES, SECOND, config, frame, handshake, join, said};

#[test]
fn a_path_goes_down_and_a_lost_upstream_makes_a_root() {
    // R1.2, R1.4, R1.5
    let mut node = Linked::new(config());
    let own = node.uid();
    let _ = node.below(2, B);
    let path = |path: &str| format!("{{\"uid\":\"{own}\",\"peer\":true,\"path\":[{path}]}}");
    let actions = node.above(3, A, &[]);
    assert_eq!(said(&actions, 2), [path(&format!("\"{A}\""))]);
    let (root, news) = (
        NodeId(0xd),
        format!(
            "{{\"uid\":\"{A}\",\"peer\":true,\"path\":[\"{}\"]}}",
            NodeId(0xd)
        ),
    );
    assert_eq!(
        said(&node.hear(3, &news), 2),
        [path(&format!("\"{root}\",\"{A}\""))]
    );
    assert_eq!(node.world.node.path(), [root, A]);
    assert_eq!(said(&node.event(lost(3)), 2), [path("")]);
    assert_eq!(node.world.node.upstream(), None);
}

#[test]
fn only_the_latest_path_waits() {
    // R1.4
    let mut node = Linked::new(config());
    let own = node.uid();
    let _ = node.below(2, B);
    let _ = node.above(3, A, &[]);
    node.links.retain(|link| *link != 2); // This one takes nothing any more.
    for root in 0xd..0xf {
        let news = format!(
            "{{\"uid\":\"{A}\",\"peer\":true,\"path\":[\"{}\"]}}",
            NodeId(root)
        );
        let _ = node.hear(3, &news);
    }
    let conn = ConnId(2);
    let sent = said(&node.event(Event::Replayed { conn }), 2);
    let (root, up) = (NodeId(0xe), A);
    assert_eq!(
        sent,
        [format!(
            "{{\"uid\":\"{own}\",\"peer\":true,\"path\":[\"{root}\",\"{up}\"]}}"
        )]
    );
}

#[test]
fn a_ring_is_cut_by_its_greatest() {
    // R1.2, R1.3: this node is in the ring with A, and greater; then with one that is greater still.
    let mut node = Linked::new(config());
    let own = node.uid();
    let _ = node.above(3, A, &[]);
    let news = format!("{{\"uid\":\"{A}\",\"peer\":true,\"path\":[\"{own}\"]}}");
    let actions = node.hear(3, &news);
    let closed =
        |action: &&Action| matches!(action, Action::Close { why, .. } if why.code() == 4010);
    assert_eq!(actions.iter().filter(closed).count(), 1);
    assert_eq!(node.world.node.upstream(), None);
    let greater = NodeId(u128::MAX);
    let _ = node.above(4, A, &[]);
    let news =
        format!("{{\"uid\":\"{A}\",\"peer\":true,\"path\":[\"{B}\",\"{own}\",\"{greater}\"]}}");
    assert_eq!(node.hear(4, &news).iter().filter(closed).count(), 0);
    assert_eq!(node.world.node.path(), [greater, A], "the rest of the ring");
}

#[test]
fn who_has_cut_a_ring_is_patient() {
    // R1.3, G1.1: after seven changes of the root probes wait for 12.8 s and more.
    let mut node = Linked::new(config());
    let own = node.uid();
    let _ = node.above(3, A, &[]);
    for root in (1..8).map(|n| NodeId(0x100 + n)).chain([own]) {
        let news = format!("{{\"uid\":\"{A}\",\"peer\":true,\"path\":[\"{root}\"]}}");
        let _ = node.hear(3, &news);
    }
    assert_eq!(node.world.node.upstream(), None);
    let dial = Action::Dial { peer: PeerId(3) };
    assert!(!node.wait(Duration::from_millis(12_799)).contains(&dial));
    assert!(node.wait(Duration::from_secs(116)).contains(&dial));
}

#[test]
fn a_node_turns_its_upstream_link_to_merge() {
    // G1.1, G1.2, G1.3, G1.4
    let mut node = Linked::new(config());
    let own = node.uid();
    let (first, second) = (PeerId(1), PeerId(2));
    let peers = vec![first, second];
    let _ = node.event(Event::Peers { peers });
    let _ = node.wait(Duration::ZERO);
    let nonces = NONCES;
    let opened = |conn: u64, peer| Event::Opened {
        conn: ConnId(conn),
        role: Role::Dialed { peer, nonces },
        source: Source(0),
    };
    let _ = node.event(opened(1, first));
    node.links.push(1);
    let reply = |node: &Linked, uid, path: &[NodeId]| handshake(uid, path, node.world.now.unix);
    let answer = reply(&node, A, &[]);
    let _ = node.event(frame(1, answer));
    // G1.1: after 0.1 to 1 s the other peer is asked.
    assert!(
        !node
            .wait(Duration::from_millis(99))
            .contains(&Action::Dial { peer: second })
    );
    assert!(
        node.wait(Duration::from_millis(901))
            .contains(&Action::Dial { peer: second })
    );
    let asked = said(&node.event(opened(2, second)), 2);
    assert!(asked[0].ends_with(",\"probe\":true}"), "O1.10");
    // G1.2: it is in another tree, so it is dialed to stay.
    let answer = reply(&node, B, &[]);
    let actions = node.event(frame(2, answer.clone()));
    assert!(actions.contains(&Action::Dial { peer: second }));
    let asked = said(&node.event(opened(3, second)), 3);
    assert!(!asked[0].contains("probe") && asked[0].contains(&format!("\"path\":[\"{A}\"]")));
    // G1.3, G1.4: it becomes the upstream, and the former one is turned.
    node.links.push(3);
    let actions = node.event(frame(3, answer));
    let turn = |uid: NodeId, path: &str| {
        format!("{{\"uid\":\"{uid}\",\"peer\":true,\"path\":[{path}],\"turn\":true}}")
    };
    assert_eq!(said(&actions, 1), [turn(own, &format!("\"{B}\""))]);
    assert_eq!(node.world.node.path(), [B]);
    // Until the answer, what comes there is ignored.
    assert_eq!(node.hear(1, &join(A, "")), []);
    // G1.6: and no peer is asked.
    assert!(
        !node
            .wait(9 * SECOND)
            .contains(&Action::Dial { peer: first })
    );
    let _ = node.hear(1, &turn(A, ""));
    assert_eq!(said(&node.hear(1, &join(A, "")), 1).len(), 1);
    assert!(
        node.wait(2 * SECOND)
            .contains(&Action::Dial { peer: first }),
        "G1.1"
    );
}

#[test]
fn a_peer_in_the_same_tree_is_left_alone() {
    // G1.1, G1.10: the longer the better it is known, for five minutes at last; one that cannot be had is dialed every
    // half minute.
    let mut node = Linked::new(config());
    let (first, second, third) = (PeerId(1), PeerId(2), PeerId(3));
    let _ = node.above(1, A, &[]);
    let peers = vec![first, second, third];
    let mut actions = node.event(Event::Peers { peers });
    let mut dials = [Vec::new(), Vec::new()];
    let mut conn = 10;
    let mut root = A;
    for at in 0..2_000 {
        if at == 1_500 {
            // The root changes: everybody is asked anew.
            let mut waits = dials[0].windows(2).map(|pair| pair[1] - pair[0]);
            assert!(waits.next_back() >= Some(225), "{dials:?}");
            assert!(waits.all(|wait| wait <= 380), "{dials:?}");
            assert!(dials[0].len() < 20, "{dials:?}");
            dials[0].clear();
            root = NodeId(0xd);
            let news = format!("{{\"uid\":\"{A}\",\"peer\":true,\"path\":[\"{root}\"]}}");
            actions.extend(node.hear(1, &news));
        }
        actions.extend(node.wait(SECOND));
        for action in std::mem::take(&mut actions) {
            if action == (Action::Dial { peer: second }) {
                dials[0].push(at);
                let nonces = NONCES;
                let role = Role::Dialed {
                    peer: second,
                    nonces,
                };
                let (conn, source) = (
                    ConnId({
                        conn += 1;
                        conn
                    }),
                    Source(0),
                );
                let _ = node.event(Event::Opened { conn, role, source });
                if dials[0].len() == 2 {
                    // R1.1: this node is above it. That is as good.
                    let how = Ending::CloseFrame(4010);
                    actions.extend(node.event(Event::Closed { conn, how }));
                } else {
                    let answer = handshake(B, &[root], node.world.now.unix);
                    actions.extend(node.event(frame(conn.0, answer)));
                }
            }
            if action == (Action::Dial { peer: third }) {
                dials[1].push(at);
                let why = DialFault::Unreachable;
                actions.extend(node.event(Event::DialFailed { peer: third, why }));
            }
            assert_ne!(action, Action::Dial { peer: first });
        }
    }
    assert!(dials[0][0] <= 1_503, "{dials:?}");
    let waits = dials[1].windows(2).map(|pair| pair[1] - pair[0]);
    assert!(waits.clone().all(|wait| wait <= 39), "{dials:?}");
    assert!(dials[1].len() > 2_000 / 40, "{dials:?}");
}

#[test]
fn a_turn_that_is_not_answered_ends_the_link() {
    // G1.7
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[]);
    let _ = node.above(2, B, &[]);
    // `above` has made 2 the only peer, so the link to A was closed (U1.5); merge with B's tree by hand.
    let peers = vec![PeerId(2), PeerId(3)];
    let _ = node.event(Event::Peers { peers });
    let (peer, nonces) = (PeerId(3), NONCES);
    for conn in [3, 4] {
        let _ = node.wait(SECOND);
        let opened = Event::Opened {
            conn: ConnId(conn),
            role: Role::Dialed { peer, nonces },
            source: Source(0),
        };
        let _ = node.event(opened);
        let answer = handshake(A, &[], node.world.now.unix);
        let _ = node.event(frame(conn, answer));
    }
    assert_eq!(node.world.node.upstream(), Some(A));
    let closed = |action: &&Action| matches!(action, Action::Close { conn: ConnId(2), why } if why.code() == 4003);
    let actions = node.wait(Duration::from_millis(59_999));
    assert_eq!(actions.iter().filter(closed).count(), 0);
    let actions = node.wait(Duration::from_millis(1));
    assert_eq!(actions.iter().filter(closed).count(), 1);
}

#[test]
fn a_turn_goes_up_to_the_old_root() {
    // G1.5, G1.8: what was joined is so no more, and is joined where the upstream is now.
    let mut node = Linked::new(config());
    let own = node.uid();
    let _ = node.above(1, A, &[]);
    let _ = node.below(2, B);
    let _ = node.event(common::open(4));
    let actions = node.event(common::header(4, "carol", "hall"));
    assert_eq!(said(&actions, 1).len(), 1, "C1.1");
    let turn = |uid: NodeId, path: &str| {
        format!("{{\"uid\":\"{uid}\",\"peer\":true,\"path\":[{path}],\"turn\":true}}")
    };
    let other = NodeId(0xd);
    let actions = node.hear(2, &turn(B, &format!("\"{other}\"")));
    let path = format!("\"{other}\",\"{B}\"");
    let hall = join(own, &format!("\"{own}\":1")).replace("room", "hall");
    assert_eq!(said(&actions, 2), [turn(own, &path), hall]);
    assert_eq!(said(&actions, 1), [turn(own, &path)]);
    // The other answers, and is below: what it says of the channel is as if never said (C1.6).
    let _ = node.hear(1, &turn(A, &format!("\"{other}\",\"{B}\",\"{own}\"")));
    let done = format!("{{\"uid\":\"{A}\",\"channel\":\"hall\",\"peer\":false}}");
    assert_eq!(node.hear(1, &done), []);
    let _ = node.message(1, A, 1, node.world.now.unix, "unheard");
    assert_eq!(node.world.node.stats().link_ignored, 1);
    assert_eq!(node.world.node.path(), [other, B]);
    // It is the lower end there now, as on a new link.
    let _ = node.event(common::open(3));
    let actions = node.event(common::header(3, "bob", "room"));
    assert_eq!(said(&actions, 2), [join(own, &format!("\"{own}\":1"))]);
}

#[test]
fn a_suspected_upstream_has_ten_seconds() {
    // R1.1, R1.6: a node above dials, so perhaps the upstream is dead.
    let mut node = Linked::new(config());
    node.answers = false;
    let _ = node.above(1, A, &[B]);
    let actions = node.below(2, B);
    assert!(actions.contains(&Action::Ping { conn: ConnId(1) }));
    let closed = |code: u16| move |action: &&Action| matches!(action, Action::Close { why, .. } if why.code() == code);
    assert_eq!(actions.iter().filter(closed(4010)).count(), 1);
    let actions = node.wait(Duration::from_millis(9_999));
    assert_eq!(actions.iter().filter(closed(4005)).count(), 0);
    let pinged = |action: &&Action| **action == Action::Ping { conn: ConnId(1) };
    assert_eq!(actions.iter().filter(pinged).count(), 1, "U1.6: as ever");
    let actions = node.wait(Duration::from_millis(1));
    assert_eq!(actions.iter().filter(closed(4005)).count(), 1);
    assert_eq!(node.world.node.upstream(), None);
}

#[test]
fn a_probe_from_above_is_no_reason_to_suspect() {
    // R1.6, O1.10: it is refused, and the upstream has its twenty seconds.
    let mut node = Linked::new(config());
    node.answers = false;
    let _ = node.above(1, A, &[B]);
    let (role, source) = (Role::Peer(NONCES), Source(0));
    let conn = ConnId(2);
    let _ = node.event(Event::Opened { conn, role, source });
    let opening = handshake(B, &[], node.world.now.unix).payload;
    let opening = String::from_utf8_lossy(&opening).replace("1000}", "1000,\"probe\":true}");
    let actions = node.hear(2, &opening);
    let closed =
        |action: &&Action| matches!(action, Action::Close { why, .. } if why.code() == 4010);
    assert_eq!(actions.iter().filter(closed).count(), 1);
    assert!(!actions.contains(&Action::Ping { conn: ConnId(1) }));
    let _ = node.wait(19 * SECOND);
    assert_eq!(node.world.node.upstream(), Some(A));
}
