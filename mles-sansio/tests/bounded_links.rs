//! With peers too no event costs more than a bounded amount of work: a node with ten thousand channels
//! finds its upstream again, and its own clients notice nothing.

mod common;

use std::time::Duration;

use common::{World, lost, text};
use mles_sansio::peering::wire::{self, LinkFrame};
use mles_sansio::{
    Action, BATCH, Config, ConnId, Event, Frame, NodeId, Nonces, PeerId, Role, Source, peering,
};

const CHANNELS: usize = 10_000;
/// Headers and payloads that one link is handed at a time, and bytes but for the last message (S1.6).
const FRAMES: usize = 256;
const BYTES: usize = 256 * 1024;

fn config() -> Config {
    let peering = peering::Config {
        open: true,
        linger: Duration::ZERO,
        ..peering::Config::default()
    };
    Config {
        peering,
        ..Config::default()
    }
}

/// Two nodes, the first below the second on one connection, and what is on its way.
struct Pair {
    nodes: [World; 2],
    /// What is on its way to each.
    wires: [std::collections::VecDeque<Frame>; 2],
    /// Whether each was told that its last batch is through.
    through: [bool; 2],
    conn: u64,
    /// The most that one event has made.
    most: Most,
}

#[derive(Clone, Copy, Debug, Default)]
struct Most {
    actions: usize,
    frames: usize,
    bytes: usize,
}

impl Pair {
    fn new(nodes: [World; 2]) -> Self {
        let (wires, through, most) = (Default::default(), [true; 2], Most::default());
        let conn = 1_000_000;
        Self {
            nodes,
            wires,
            through,
            conn,
            most,
        }
    }

    fn event(&mut self, at: usize, event: Event) -> Vec<Action> {
        let actions = self.nodes[at].event(event);
        let link = ConnId(self.conn);
        self.most.actions = self.most.actions.max(actions.len());
        for action in &actions {
            let mut go: Vec<Frame> = Vec::new();
            if let Action::Send { conn, frames } = action
                && *conn == link
            {
                go = frames.iter().cloned().collect();
            }
            if let Action::Replay { conn, frames } = action
                && *conn == link
            {
                go = frames.to_vec();
                assert!(std::mem::take(&mut self.through[at]), "one batch at a time");
                let bytes: usize = go.iter().map(|frame| frame.payload.len()).sum();
                self.most.frames = self.most.frames.max(go.len());
                self.most.bytes = self.most.bytes.max(bytes);
            }
            self.wires[1 - at].extend(go);
        }
        actions
    }

    /// The first dials the second.
    fn link(&mut self) {
        self.conn += 1;
        let peer = PeerId(1);
        while !self
            .event(0, Event::Timeout)
            .contains(&Action::Dial { peer })
        {
            let next = self.nodes[0].waits().expect("a dial").0;
            self.nodes[0].advance(next);
            self.nodes[1].advance(next);
        }
        let nonces = Nonces {
            dialer: 1,
            acceptor: 2,
        };
        let (conn, source) = (ConnId(self.conn), Source(0));
        let role = Role::Peer(nonces);
        let _ = self.event(1, Event::Opened { conn, role, source });
        let role = Role::Dialed { peer, nonces };
        let _ = self.event(0, Event::Opened { conn, role, source });
    }

    fn cut(&mut self) {
        self.wires = Default::default();
        self.through = [true; 2];
        for at in [0, 1] {
            let _ = self.event(at, lost(self.conn));
        }
    }

    /// One thing that is to be done, if there is one. What is due comes first.
    fn step(&mut self, turn: usize) -> bool {
        for at in [turn % 2, 1 - turn % 2] {
            if self.nodes[at]
                .waits()
                .is_some_and(|(left, _)| left.is_zero())
            {
                let _ = self.event(at, Event::Timeout);
                return true;
            }
            if let Some(frame) = self.wires[at].pop_front() {
                let _ = self.event(at, common::frame(self.conn, frame));
                return true;
            }
            if !std::mem::replace(&mut self.through[at], true) {
                let conn = ConnId(self.conn);
                let _ = self.event(at, Event::Replayed { conn });
                return true;
            }
        }
        false
    }
}

/// A node with history on all channels, of which it has members on one.
fn full(messages: u64) -> World {
    let mut world = World::new(config());
    for channel in 0..CHANNELS {
        for n in 1..=messages {
            let entry = common::restored(&format!("{channel}"), "a", n, world.now.unix - 1000 + n);
            let _ = world.event(entry);
        }
    }
    world.enter(1, "alice", "0");
    world.enter(2, "bob", "0");
    world
}

fn empty() -> World {
    let mut world = World::new(config());
    world.node = mles_sansio::Node::new(config(), &mles_sansio::Seed([8; 32]));
    world
}

/// Lets all happen that can, while alice talks to bob. Gives the number of steps.
fn run(pair: &mut Pair) -> usize {
    let mut turn = 0;
    while pair.step(turn) {
        turn += 1;
        if turn % 1000 == 0 {
            let said = pair.event(0, text(1, &format!("{turn}")));
            let broadcast = said
                .iter()
                .any(|action| matches!(action, Action::Broadcast { .. }));
            assert!(broadcast, "bob is told at once");
        }
        assert!(turn < 100 * CHANNELS, "it never ends");
    }
    turn
}

#[test]
fn ten_thousand_channels_find_their_upstream_again() {
    let mut pair = Pair::new([full(2), empty()]);
    let _ = pair.event(
        0,
        Event::Peers {
            peers: vec![PeerId(1)],
        },
    );
    pair.link();
    run(&mut pair);
    // P6: all of it is above now.
    for channel in 0..CHANNELS {
        let count = |at: usize| pair.nodes[at].node.history(&format!("{channel}")).count();
        assert_eq!(count(1), count(0), "{channel}");
        assert!(count(1) >= 2);
    }
    let most = pair.most;
    assert!(most.actions <= 2 * BATCH, "{most:?}");
    assert!(
        most.frames <= FRAMES + 2 && most.bytes <= BYTES + 100_000,
        "{most:?}"
    );
    // The link breaks; what is lost of it is taken down in turns. Both were busy in between.
    pair.cut();
    let joined = pair.event(1, common::open(3));
    assert_eq!(joined, []);
    let _ = pair.event(1, common::header(3, "carol", "77"));
    let _ = pair.event(1, text(3, "news"));
    pair.link();
    run(&mut pair);
    let news = |at: usize| {
        let entries = pair.nodes[at].node.history("77");
        entries
            .filter(|entry| &entry.frame.payload[..] == b"news")
            .count()
    };
    assert_eq!([news(0), news(1)], [1, 1]);
    assert!(pair.most.actions <= 2 * BATCH && pair.most.frames <= FRAMES + 2);
    // Nobody is below on all but two: the rest is left again (C1.3).
    let stats = pair.nodes[1].node.stats();
    assert_eq!(stats.channels, CHANNELS as u64);
}

const ABOVE: NodeId = NodeId(1 << 100);

/// The node links itself below a peer that has nothing.
fn above(world: &mut World, conn: u64) -> Vec<Action> {
    let peer = PeerId(1);
    let _ = world.event(Event::Peers { peers: vec![peer] });
    assert!(world.event(Event::Timeout).contains(&Action::Dial { peer }));
    let nonces = Nonces {
        dialer: 1,
        acceptor: 2,
    };
    let role = Role::Dialed { peer, nonces };
    let _ = world.event(Event::Opened {
        conn: ConnId(conn),
        role,
        source: Source(0),
    });
    let uid = ABOVE;
    let auth = mles_sansio::auth::link_hash(&uid.to_string(), "mles", None, nonces);
    let hello = format!(
        "{{\"uid\":\"{uid}\",\"channel\":\"mles\",\"auth\":\"{auth:016x}\",\"peer\":true,\"path\":[],\"ts\":{},\"max\":1000}}",
        world.now.unix
    );
    world.event(text(conn, &hello))
}

#[test]
fn lanes_without_anything_to_send_are_passed_in_turns() {
    // The upper end knows all that the lower end has, and says so for all channels while nothing of it
    // is read: then ten thousand lanes are looked at for nothing, but not in one event.
    let mut world = full(1);
    let conn = ConnId(9);
    let mut actions = above(&mut world, 9);
    let uid = ABOVE;
    let mut joins = Vec::new();
    // All joins are read, but for the last batch. Those of channels that somebody wants come first, and the
    // others are looked at in turns too.
    loop {
        while world.waits().is_some_and(|(left, _)| left.is_zero()) {
            actions.extend(world.event(Event::Timeout));
        }
        let before = joins.len();
        for action in &actions {
            if let Action::Replay { conn: to, frames } = action
                && *to == conn
            {
                joins.extend(frames.iter().filter_map(wire::parse));
            }
        }
        if joins.len() >= CHANNELS || joins.len() == before {
            break;
        }
        actions = world.event(Event::Replayed { conn });
    }
    assert_eq!(joins.len(), CHANNELS);
    for join in joins {
        let LinkFrame::Join { channel, have, .. } = join else {
            panic!("a join");
        };
        let reply = LinkFrame::Join { uid, channel, have };
        assert_eq!(world.event(common::frame(9, reply.compose())), []);
    }
    assert_eq!(world.event(Event::Replayed { conn }), []);
    let mut steps = 1;
    while world.waits().is_some_and(|(left, _)| left.is_zero()) {
        assert_eq!(world.event(Event::Timeout), []);
        steps += 1;
    }
    assert!(steps >= CHANNELS / BATCH, "{steps}");
    assert_eq!(world.node.stats().link_sent, 0);
}

#[test]
fn a_crowd_that_waits_for_history() {
    // W1.2: thousands have joined one channel while its history was on its way. All are served when it is
    // there, but not in one event, and what they get is the same.
    let mut world = World::new(config());
    for n in 1..=200 {
        let entry = common::restored("room", "a", n, world.now.unix - 1000 + n);
        let _ = world.event(entry);
    }
    above(&mut world, 9_999);
    for conn in 0..3000 {
        let _ = world.join(conn, &format!("{conn}"), "room");
    }
    let conn = ConnId(9_999);
    let _ = world.event(Event::Replayed { conn });
    let (uid, channel, have) = (ABOVE, "room".into(), Vec::new());
    let reply = LinkFrame::Join { uid, channel, have }.compose();
    let _ = world.event(common::frame(9_999, reply));
    let done = LinkFrame::Done {
        uid,
        channel: "room".into(),
    };
    let mut actions = world.event(common::frame(9_999, done.compose()));
    let mut served = Vec::new();
    let mut steps = 0;
    loop {
        let mut frames = 0;
        for action in &actions {
            if let Action::Replay {
                conn: to,
                frames: f,
            } = action
                && *to != conn
            {
                served.push(*to);
                frames += f.len();
            }
        }
        // The announcements of all but the joiner are in each.
        assert!(frames < 40 * BATCH, "{frames}");
        if !world.waits().is_some_and(|(left, _)| left.is_zero()) {
            break;
        }
        actions = world.event(Event::Timeout);
        steps += 1;
    }
    served.sort_unstable();
    assert!(served.into_iter().eq((0..3000).map(ConnId)));
    assert!(steps > 100);
}
