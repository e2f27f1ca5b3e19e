//! One node, and peers that the test plays: what goes over links, clause by clause.

mod common;

use std::time::Duration;

use common::{World, close_frame, lost, text};
use mles_sansio::peering::wire::{self, Handshake, LinkFrame};
use mles_sansio::{
    Action, Config, ConnId, Event, Frame, Kind, NodeId, Nonces, PeerId, Role, Source, auth, peering,
};

const NONCES: Nonces = Nonces {
    dialer: 1,
    acceptor: 2,
};

/// Two other nodes.
const A: NodeId = NodeId(0xa);
const B: NodeId = NodeId(0xb);

fn config() -> Config {
    let peering = peering::Config {
        open: true,
        ..peering::Config::default()
    };
    Config {
        peering,
        ..Config::default()
    }
}

fn handshake(uid: NodeId, path: &[NodeId], ts: u64) -> Frame {
    let channel = "any";
    let hash = auth::link_hash(&uid.to_string(), channel, None, NONCES);
    let path: Vec<String> = path.iter().map(|node| format!("\"{node}\"")).collect();
    Frame::text(format!(
        "{{\"uid\":\"{uid}\",\"channel\":\"{channel}\",\"auth\":\"{hash:016x}\",\"peer\":true,\
         \"path\":[{}],\"ts\":{ts},\"max\":1000}}",
        path.join(",")
    ))
}

fn frame(conn: u64, frame: Frame) -> Event {
    let conn = ConnId(conn);
    Event::Frame { conn, frame }
}

/// What actions send to a connection: text as it is, binary as its length.
fn said(actions: &[Action], to: u64) -> Vec<String> {
    let show = |frame: &Frame| match frame.kind {
        Kind::Text => String::from_utf8_lossy(&frame.payload).into_owned(),
        Kind::Binary => format!("{} bytes", frame.payload.len()),
    };
    let mut said = Vec::new();
    for action in actions {
        if let Action::Send { conn, frames } = action
            && *conn == ConnId(to)
        {
            said.extend(frames.iter().map(show));
        } else if let Action::Replay { conn, frames } = action
            && *conn == ConnId(to)
        {
            said.extend(frames.iter().map(show));
        }
    }
    said
}

/// A node whose links take everything at once, and answer pings.
struct Linked {
    world: World,
    links: Vec<u64>,
    answers: bool,
}

impl Linked {
    fn new(config: Config) -> Self {
        let world = World::new(config);
        Self {
            world,
            links: Vec::new(),
            answers: true,
        }
    }

    fn uid(&self) -> NodeId {
        self.world.node.uid()
    }

    /// Hands an event in; what is handed to links is taken, and so all there is comes.
    fn event(&mut self, event: Event) -> Vec<Action> {
        let mut all = self.world.event(event);
        let mut looked = 0;
        while let Some(action) = all.get(looked) {
            looked += 1;
            if let Action::Ping { conn } = action
                && self.answers
                && self.links.contains(&conn.0)
            {
                let conn = *conn;
                all.extend(self.world.event(Event::Pong { conn }));
                continue;
            }
            if let Action::Replay { conn, .. } = action
                && self.links.contains(&conn.0)
            {
                let conn = *conn;
                all.extend(self.world.event(Event::Replayed { conn }));
            }
        }
        all
    }

    /// Time passes, and what is due is done.
    fn wait(&mut self, span: Duration) -> Vec<Action> {
        let mut all = Vec::new();
        let until = self.world.now.mono + span;
        while let Some((at, _)) = self
            .world
            .node
            .next_timeout()
            .filter(|(at, _)| *at <= until)
        {
            self.world.advance(at.since(self.world.now.mono));
            all.extend(self.event(Event::Timeout));
        }
        self.world.advance(until.since(self.world.now.mono));
        all
    }

    /// A node links below.
    fn below(&mut self, conn: u64, uid: NodeId) -> Vec<Action> {
        let (role, source) = (Role::Peer(NONCES), Source(0));
        let opened = Event::Opened {
            conn: ConnId(conn),
            role,
            source,
        };
        assert_eq!(self.event(opened), []);
        self.links.push(conn);
        let opening = handshake(uid, &[], self.world.now.unix);
        self.event(frame(conn, opening))
    }

    /// The node links below another one.
    fn above(&mut self, conn: u64, uid: NodeId, path: &[NodeId]) -> Vec<Action> {
        let peer = PeerId(u32::try_from(conn).expect("small"));
        let mut actions = self.event(Event::Peers { peers: vec![peer] });
        actions.extend(self.wait(Duration::ZERO));
        assert!(actions.contains(&Action::Dial { peer }), "{actions:?}");
        let nonces = NONCES;
        let opened = Event::Opened {
            conn: ConnId(conn),
            role: Role::Dialed { peer, nonces },
            source: Source(0),
        };
        let opening = said(&self.event(opened), conn);
        assert_eq!(opening.len(), 1, "O1.2: the dialer begins");
        self.links.push(conn);
        let reply = handshake(uid, path, self.world.now.unix);
        self.event(frame(conn, reply))
    }

    /// A frame comes over a link; what goes out over another is given back.
    fn hear(&mut self, conn: u64, text: &str) -> Vec<Action> {
        self.event(frame(conn, Frame::text(text.to_owned())))
    }

    /// A message comes over a link.
    fn message(&mut self, conn: u64, origin: NodeId, seq: u64, ts: u64, text: &str) -> Vec<Action> {
        let label = format!(
            "{{\"uid\":\"alice\",\"channel\":\"room\",\"node\":\"{origin}\",\"seq\":{seq},\"ts\":{ts}}}"
        );
        assert_eq!(self.hear(conn, &label), []);
        self.hear(conn, text)
    }

    fn kept(&self) -> Vec<String> {
        let kept = self.world.kept("room").into_iter();
        kept.map(|(_, frame)| String::from_utf8_lossy(&frame.payload).into_owned())
            .collect()
    }
}

fn join(uid: NodeId, have: &str) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\",\"peer\":true,\"have\":{{{have}}}}}")
}

fn done(uid: NodeId) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\",\"peer\":true,\"done\":true}}")
}

fn leave(uid: NodeId) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\",\"peer\":false}}")
}

fn label(uid: &str, origin: NodeId, seq: u64, ts: u64) -> String {
    format!(
        "{{\"uid\":\"{uid}\",\"channel\":\"room\",\"node\":\"{origin}\",\"seq\":{seq},\"ts\":{ts}}}"
    )
}

fn announcement(uid: &str) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\"}}")
}

const SECOND: Duration = Duration::from_secs(1);

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
    assert!(actions.contains(&Action::Resume { conn: ConnId(1) }));
    assert_eq!(node.world.node.path(), [B, A]);
    let actions = node.below(2, NodeId(0xc));
    assert_eq!(said(&actions, 2), [hello(&format!("\"{B}\",\"{A}\""))]);
    assert!(actions.contains(&Action::Resume { conn: ConnId(2) }));
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
fn interest_joins_a_channel_above_and_lingers() {
    // C1.1: a member's channel is joined above. C1.4: with what the node has seen, itself included.
    let mut node = Linked::new(config());
    let own = node.uid();
    assert_eq!(said(&node.above(1, A, &[]), 1), [""; 0]);
    let _ = node.event(common::open(2));
    let actions = node.event(common::header(2, "bob", "room"));
    // Bob's announcement is number 1; it is not sent before the reply has come (C1.5).
    assert_eq!(said(&actions, 1), [join(own, &format!("\"{own}\":1"))]);
    let ts = node.world.now.unix;
    let actions = node.hear(1, &join(A, ""));
    assert_eq!(
        said(&actions, 1),
        [label("bob", own, 1, ts), announcement("bob")]
    );
    let _ = node.hear(1, &done(A));
    // C1.2: ten minutes after the last member has gone, and not before, it is left (C1.7).
    let _ = node.event(lost(2));
    let quiet = said(&node.wait(Duration::from_secs(599)), 1);
    assert_eq!(quiet, [""; 0]);
    assert_eq!(said(&node.wait(SECOND), 1), [leave(own)]);
    // C1.6: what comes on it now is as if never sent.
    assert_eq!(node.message(1, A, 1, ts, "late"), []);
    assert!(!node.kept().contains(&"late".to_owned()));
}

#[test]
fn interest_that_comes_back_keeps_the_channel() {
    // C1.2
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[]);
    let _ = node.world.open(2);
    let _ = node.event(common::header(2, "bob", "room"));
    let _ = node.hear(1, &join(A, ""));
    let _ = node.hear(1, &done(A));
    let _ = node.event(lost(2));
    let _ = node.wait(Duration::from_secs(500));
    let _ = node.world.open(3);
    let _ = node.event(common::header(3, "bob", "room"));
    let said = said(&node.wait(Duration::from_secs(60)), 1);
    assert_eq!(said, [""; 0]);
}

#[test]
fn what_comes_before_the_reply_is_ignored() {
    // C1.5: it belongs to an earlier join.
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[]);
    let _ = node.event(common::open(2));
    let _ = node.event(common::header(2, "bob", "room"));
    let ts = node.world.now.unix;
    assert_eq!(node.message(1, A, 1, ts, "early"), []);
    let _ = node.hear(1, &done(A));
    assert!(!node.kept().contains(&"early".to_owned()));
    // The next `have` brings it.
    let _ = node.hear(1, &join(A, &format!("\"{A}\":1")));
    let _ = node.message(1, A, 1, ts, "early");
    assert!(node.kept().contains(&"early".to_owned()));
}

#[test]
fn the_upper_end_sends_what_the_lower_lacks_and_is_done() {
    // C1.5, S1.3, S1.5, S3.1: the reply, what is above `have`, `done`.
    let mut node = Linked::new(config());
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.event(text(1, "one"));
    let _ = node.event(text(1, "two"));
    let ts = node.world.now.unix;
    let _ = node.below(2, B);
    let actions = node.hear(2, &join(B, &format!("\"{own}\":2")));
    assert_eq!(
        said(&actions, 2),
        [
            join(own, &format!("\"{own}\":3")),
            label("alice", own, 3, ts + 2),
            "two".into(),
            done(own),
        ]
    );
    // What comes in now follows, once.
    let actions = node.event(text(1, "three"));
    assert_eq!(
        said(&actions, 2),
        [label("alice", own, 4, ts + 3), "three".into()]
    );
    // And what comes from there does not go back (S1.5), but to the members, whatever its age (S1.2).
    let actions = node.message(2, B, 7, ts - 5, "older");
    assert_eq!(said(&actions, 2), [""; 0]);
    let delivered = |action: &&Action| matches!(action, Action::Broadcast { except: None, .. });
    assert_eq!(actions.iter().filter(delivered).count(), 1);
    assert_eq!(
        node.kept()[0],
        "older",
        "M3.2: where its time stamp belongs"
    );
    // S1.1: again, or an older one of the same origin, it is dropped.
    assert_eq!(node.message(2, B, 7, ts - 5, "older"), []);
    assert_eq!(node.message(2, B, 6, ts - 6, "oldest"), []);
    assert_eq!(node.kept().len(), 5);
    // C1.9: a second join begins anew.
    let actions = node.hear(2, &join(B, &format!("\"{own}\":4,\"{B}\":7")));
    let have = format!("\"{own}\":4,\"{B}\":7");
    assert_eq!(said(&actions, 2), [join(own, &have), done(own)]);
    // C1.7: after a leave nothing is sent.
    let _ = node.hear(2, &leave(B));
    assert_eq!(said(&node.event(text(1, "four")), 2), [""; 0]);
}

#[test]
fn messages_are_forwarded_to_the_other_links() {
    // S1.2
    let mut node = Linked::new(config());
    let _ = node.below(2, A);
    let _ = node.below(3, B);
    let _ = node.hear(2, &join(A, ""));
    let _ = node.hear(3, &join(B, ""));
    let ts = node.world.now.unix;
    let actions = node.message(2, A, 1, ts, "hello");
    assert_eq!(said(&actions, 2), [""; 0]);
    assert_eq!(
        said(&actions, 3),
        [label("alice", A, 1, ts), "hello".into()]
    );
}

#[test]
fn a_new_upstream_gets_all_history_back() {
    // C1.3: also of channels that nobody is on; those are left when synchronised.
    let mut node = Linked::new(config());
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.event(text(1, "one"));
    let ts = node.world.now.unix;
    let _ = node.event(lost(1));
    let actions = node.above(2, A, &[]);
    assert_eq!(said(&actions, 2), [join(own, &format!("\"{own}\":2"))]);
    let actions = node.hear(2, &join(A, ""));
    let (first, second) = (label("alice", own, 1, ts), label("alice", own, 2, ts + 1));
    let sent = [first, announcement("alice"), second, "one".into()];
    assert_eq!(said(&actions, 2), sent);
    assert_eq!(said(&node.hear(2, &done(A)), 2), [leave(own)]);
}

#[test]
fn what_history_cannot_keep_waits_within_bounds() {
    // S1.6: with a limit of 0, one message waits for a link whose room is used up, the next is counted.
    let mut config = config();
    config.history_limit = 0;
    config.peering.link_bytes = 1;
    let mut node = Linked::new(config);
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    node.links.clear(); // The link takes nothing from now on.
    let conn = ConnId(2);
    let reply = node.hear(2, &join(B, ""));
    assert_eq!(
        said(&reply, 2),
        [join(own, &format!("\"{own}\":1")), done(own)]
    );
    for payload in ["one", "two", "three"] {
        assert_eq!(said(&node.event(text(1, payload)), 2), [""; 0]);
    }
    assert_eq!(node.world.node.stats().link_dropped, 2);
    let actions = node.event(Event::Replayed { conn });
    assert_eq!(said(&actions, 2)[1..], ["one"]);
}

#[test]
fn a_slow_link_is_served_from_the_history() {
    // S1.3: what comes in meanwhile is sent when there is room, in history order, in one piece.
    let mut node = Linked::new(config());
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    node.links.clear();
    let _ = node.event(text(1, "one"));
    for payload in ["two", "three"] {
        assert_eq!(said(&node.event(text(1, payload)), 2), [""; 0]);
    }
    let conn = ConnId(2);
    let sent = said(&node.event(Event::Replayed { conn }), 2);
    assert_eq!([&sent[1], &sent[3]], ["two", "three"]);
}

#[test]
fn a_payload_above_max_is_left_out() {
    // F1.5: the handshake of these tests says 1000.
    let mut node = Linked::new(config());
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    assert_eq!(said(&node.event(text(1, &"x".repeat(1001))), 2), [""; 0]);
    assert_eq!(node.world.node.stats().link_too_big, 1);
    assert_eq!(said(&node.event(text(1, &"x".repeat(1000))), 2).len(), 2);
}

#[test]
fn a_joiner_waits_for_the_upstream() {
    // W1.1: it is announced at once, may send, and gets nothing.
    let mut node = Linked::new(config());
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.above(2, A, &[]);
    let _ = node.hear(2, &join(A, &format!("\"{A}\":1,\"{own}\":1")));
    let _ = node.event(common::open(3));
    let actions = node.event(common::header(3, "bob", "room"));
    let bob = Action::Resume { conn: ConnId(3) };
    assert!(actions.contains(&bob) && said(&actions, 3).is_empty());
    let announced = |action: &&Action| matches!(action, Action::Broadcast { .. });
    assert_eq!(actions.iter().filter(announced).count(), 1);
    let _ = node.event(text(3, "from bob"));
    let ts = node.world.now.unix;
    assert_eq!(
        said(&node.message(2, A, 1, ts - 9, "from above"), 3),
        [""; 0]
    );
    // W1.2, W1.4: with `done` it gets everything but its own.
    let actions = node.hear(2, &done(A));
    assert_eq!(
        said(&actions, 3),
        ["from above".to_owned(), announcement("alice")]
    );
    let joined = |action: &&Action| {
        matches!(
            action,
            Action::Join {
                conn: ConnId(3),
                ..
            }
        )
    };
    assert_eq!(actions.iter().filter(joined).count(), 1);
}

#[test]
fn a_joiner_waits_no_longer_than_two_seconds() {
    // W1.1, W1.2
    let waiting = || {
        let mut node = Linked::new(config());
        node.world.enter(1, "alice", "room");
        let _ = node.above(2, A, &[]);
        let _ = node.event(common::open(3));
        let actions = node.event(common::header(3, "bob", "room"));
        assert_eq!(said(&actions, 3), [""; 0]);
        node
    };
    let replay = [announcement("alice")];
    let mut node = waiting();
    assert_eq!(said(&node.wait(Duration::from_millis(1_999)), 3), [""; 0]);
    assert_eq!(said(&node.wait(Duration::from_millis(1)), 3), replay);
    // The upstream refuses the join, or is gone.
    let mut node = waiting();
    assert_eq!(said(&node.hear(2, &leave(A)), 3), replay);
    let mut node = waiting();
    assert_eq!(said(&node.event(lost(2)), 3), replay);
}

#[test]
fn a_joiner_gets_what_has_come_and_gone_while_it_waited() {
    // W1.3
    let mut config = config();
    config.history_limit = 1;
    let mut node = Linked::new(config);
    let _ = node.above(2, A, &[]);
    let _ = node.event(common::open(3));
    let _ = node.event(common::header(3, "bob", "room"));
    let _ = node.hear(2, &join(A, ""));
    let ts = node.world.now.unix;
    for (seq, payload) in [(1, "one"), (2, "two"), (3, "three")] {
        let _ = node.message(2, A, seq, ts + seq, payload);
    }
    assert_eq!(said(&node.hear(2, &done(A)), 3), ["one", "two", "three"]);
}

#[test]
fn a_joiner_does_not_wait_for_more_than_a_channel_may_hold() {
    // W1.5
    let mut config = config();
    config.history_limit = 1;
    config.history_channel_bytes = 300;
    let mut node = Linked::new(config);
    let _ = node.above(2, A, &[]);
    let _ = node.event(common::open(3));
    let _ = node.event(common::header(3, "bob", "room"));
    let _ = node.hear(2, &join(A, ""));
    let ts = node.world.now.unix;
    let mut got = Vec::new();
    for seq in 1..10 {
        let actions = node.message(2, A, seq, ts + seq, &format!("message {seq}"));
        got.push(said(&actions, 3).len());
    }
    // Each costs 78 (M3.5): the fifth that left the history was one too many.
    assert_eq!(got, [0, 0, 0, 0, 5, 0, 0, 0, 0]);
}

#[test]
fn done_waits_for_the_own_upstream_but_not_for_long() {
    // S3.1, S3.2
    let between = || {
        let mut node = Linked::new(config());
        let _ = node.above(2, A, &[]);
        let _ = node.below(3, B);
        let own = node.uid();
        let actions = node.hear(3, &join(B, ""));
        assert_eq!(said(&actions, 3), [join(own, "")]);
        assert_eq!(
            said(&actions, 2),
            [join(own, "")],
            "C1.1: interest below is interest"
        );
        node
    };
    let mut node = between();
    let own = node.uid();
    let _ = node.hear(2, &join(A, ""));
    assert_eq!(said(&node.hear(2, &done(A)), 3), [done(own)]);
    let mut node = between();
    assert_eq!(said(&node.hear(2, &leave(A)), 3), [done(own)]);
    let mut node = between();
    assert_eq!(said(&node.wait(Duration::from_millis(1_999)), 3), [""; 0]);
    assert_eq!(said(&node.wait(Duration::from_millis(1)), 3), [done(own)]);
}

#[test]
fn a_refused_join_is_tried_again() {
    // C1.8
    let mut node = Linked::new(config());
    let _ = node.above(2, A, &[]);
    let own = node.uid();
    let _ = node.event(common::open(3));
    let _ = node.event(common::header(3, "bob", "room"));
    assert_eq!(said(&node.hear(2, &leave(A)), 2), [""; 0]);
    assert_eq!(said(&node.wait(29 * SECOND), 2), [""; 0]);
    let again = said(&node.wait(2 * SECOND), 2);
    assert_eq!(again, [join(own, &format!("\"{own}\":1"))]);
}

#[test]
fn a_node_goes_on_above_what_others_know_of_it() {
    // S1.4
    let mut node = Linked::new(config());
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, &format!("\"{own}\":41")));
    let sent = said(&node.event(text(1, "hello")), 2);
    assert!(sent[0].contains("\"seq\":42"), "{sent:?}");
}

#[test]
fn what_is_seen_is_forgotten_with_the_history() {
    // S2.1: while somebody is on the channel, or it is joined on a link, nothing is forgotten.
    let mut config = config();
    config.history_limit = 1;
    config.history_bytes = 0;
    let mut node = Linked::new(config);
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    let ts = node.world.now.unix;
    let _ = node.hear(2, &join(B, ""));
    assert_ne!(node.message(2, B, 1, ts, "once"), []);
    assert_eq!(node.message(2, B, 1, ts, "once"), []);
    // Both go: so does what was seen.
    let _ = node.hear(2, &leave(B));
    let _ = node.event(lost(1));
    assert_eq!(node.world.node.stats().channels, 0);
}

#[test]
fn origins_are_forgotten_safely() {
    // S2.2: with room for two, the quietest gives way; what is not newer than its newest is seen.
    let mut config = config();
    config.peering.origins = 2;
    let mut node = Linked::new(config);
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    let ts = node.world.now.unix;
    for (origin, at) in [(1, 10), (2, 20), (3, 30)] {
        let _ = node.message(2, NodeId(origin), 1, ts + at, &format!("of {origin}"));
    }
    let kept = ["of 1", "of 2", "of 3"];
    assert_eq!(node.kept(), kept);
    // Origin 1 is not remembered: its old message is not taken again, nor one of another up to then.
    let _ = node.message(2, NodeId(1), 1, ts + 10, "of 1");
    let _ = node.message(2, NodeId(4), 1, ts + 9, "of 4");
    assert_eq!(node.kept(), kept);
    let _ = node.message(2, NodeId(4), 2, ts + 40, "of 4");
    assert_eq!(node.kept().len(), 4);
}

#[test]
fn time_stamps_go_on_above_those_of_forgotten_channels() {
    // S2.3, M3.1: the clock is set back by a minute, the channel was forgotten in between.
    let mut config = config();
    config.history_limit = 0;
    let mut node = Linked::new(config);
    let first = node.world.now.unix;
    node.world.enter(1, "alice", "room");
    let _ = node.event(lost(1));
    assert_eq!(node.world.node.stats().channels, 0);
    node.world.now.unix -= 60_000_000;
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    let _ = node.world.open(3);
    let sent = said(&node.event(common::header(3, "alice", "room")), 2);
    assert_eq!(sent[0], label("alice", node.uid(), 2, first + 1));
}

#[test]
fn an_hour_ahead_is_skipped() {
    // F1.6: as if it had not come: the next one counts.
    let mut node = Linked::new(config());
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    let ts = node.world.now.unix;
    let hour = 3_600_000_000;
    let _ = node.message(2, B, 1, ts + hour + 1, "ahead");
    assert_eq!(node.kept(), [""; 0]);
    let _ = node.message(2, B, 1, ts + hour, "in time");
    assert_eq!(node.kept(), ["in time"]);
}

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
    // G1.5
    let mut node = Linked::new(config());
    let own = node.uid();
    let _ = node.above(1, A, &[]);
    let _ = node.below(2, B);
    let turn = |uid: NodeId, path: &str| {
        format!("{{\"uid\":\"{uid}\",\"peer\":true,\"path\":[{path}],\"turn\":true}}")
    };
    let other = NodeId(0xd);
    let actions = node.hear(2, &turn(B, &format!("\"{other}\"")));
    let path = format!("\"{other}\",\"{B}\"");
    assert_eq!(said(&actions, 2), [turn(own, &path)]);
    assert_eq!(said(&actions, 1), [turn(own, &path)]);
    assert_eq!(node.world.node.path(), [other, B]);
    // It is the lower end there now, as on a new link.
    let _ = node.event(common::open(3));
    let actions = node.event(common::header(3, "bob", "room"));
    assert_eq!(said(&actions, 2), [join(own, &format!("\"{own}\":1"))]);
}

#[test]
fn a_suspected_upstream_has_five_seconds() {
    // R1.1, R1.6: a node above dials, so perhaps the upstream is dead.
    let mut node = Linked::new(config());
    node.answers = false;
    let _ = node.above(1, A, &[B]);
    let actions = node.below(2, B);
    assert!(actions.contains(&Action::Ping { conn: ConnId(1) }));
    let closed = |code: u16| move |action: &&Action| matches!(action, Action::Close { why, .. } if why.code() == code);
    assert_eq!(actions.iter().filter(closed(4010)).count(), 1);
    let actions = node.wait(5 * SECOND);
    assert_eq!(actions.iter().filter(closed(4005)).count(), 1);
    assert_eq!(node.world.node.upstream(), None);
}

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
fn unrest_makes_a_node_patient() {
    // G1.1: with each change of the root the wait doubles, up to 128 times; after 4 minutes of one root
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
fn what_is_ahead_of_the_own_clock_is_held_back() {
    // F1.6: the clock was a day ahead when alice spoke, and was set right since. Nothing of hers goes out
    // before its time; what others say does not wait for it.
    let mut node = Linked::new(config());
    let day = Duration::from_secs(86_400);
    node.world.now.unix += 86_400_000_000;
    node.world.enter(1, "alice", "room");
    node.world.now.unix -= 86_400_000_000;
    let _ = node.below(2, B);
    let sent = said(&node.hear(2, &join(B, "")), 2);
    assert!(sent.iter().all(|text| !text.contains("alice")), "{sent:?}");
    let ts = node.world.now.unix;
    let _ = node.below(3, A);
    let _ = node.hear(3, &join(A, ""));
    assert_eq!(said(&node.message(3, A, 1, ts, "now"), 2)[1], "now");
    let later = said(&node.wait(day), 2);
    assert_eq!(later.last(), Some(&announcement("alice")));
}

#[test]
fn many_channels_do_not_linger() {
    // C1.2: beyond 4096 joined channels, one that nobody wants any more is left at once.
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[]);
    let named = |text: &str, channel: usize| text.replace("room", &format!("room {channel}"));
    for channel in 0..4097 {
        let conn = 10 + channel as u64;
        let _ = node.event(common::open(conn));
        let _ = node.event(common::header(conn, "bob", &format!("room {channel}")));
        let _ = node.hear(1, &named(&join(A, ""), channel));
        let _ = node.hear(1, &named(&done(A), channel));
    }
    let own = node.uid();
    let mut left = said(&node.event(lost(10)), 1);
    left.extend(said(&node.wait(Duration::ZERO), 1));
    assert_eq!(left, [named(&leave(own), 0)]);
    let mut left = said(&node.event(lost(11)), 1);
    left.extend(said(&node.wait(SECOND), 1));
    assert_eq!(left, [""; 0]);
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
