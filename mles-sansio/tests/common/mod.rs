//! What several test files share: a node with its clocks, short names for events, vectors, and how
//! many random cases are run.
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::time::Duration;

use mles_sansio::{
    Action, Closing, Config, ConnId, Ending, Entry, Event, Fault, Frame, Frames, Instant, Node,
    NodeId, Notice, Now, Role, Seed, Source, Timer, Violation,
};
use proptest::prelude::ProptestConfig;

/// The date at the beginning.
pub(crate) const START: u64 = 1_700_000_000_000_000;

/// A node and the time.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) now: Now,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let mono = Instant::from_micros(0);
        let unix = START;
        let node = Node::new(config, &Seed([7; 32]));
        Self {
            node,
            now: Now { mono, unix },
        }
    }

    /// Hands one event in.
    pub(crate) fn event(&mut self, event: Event) -> Vec<Action> {
        self.node.handle(self.now, event).collect()
    }

    /// Time passes, and nothing else: no timeout is handled.
    pub(crate) fn advance(&mut self, span: Duration) {
        self.now.mono = self.now.mono + span;
        self.now.unix += u64::try_from(span.as_micros()).expect("a span");
    }

    /// Time passes, and every timeout that comes due is handled.
    pub(crate) fn wait(&mut self, span: Duration) -> Vec<Action> {
        let timeouts = self.timeouts(span).into_iter();
        timeouts.flat_map(|(_, actions)| actions).collect()
    }

    /// The same; gives each timeout that was handled, and what it did.
    pub(crate) fn timeouts(&mut self, span: Duration) -> Vec<(Instant, Vec<Action>)> {
        let until = self.now.mono + span;
        let mut timeouts = Vec::new();
        while let Some((at, _)) = self.node.next_timeout().filter(|(at, _)| *at <= until) {
            self.advance(at.since(self.now.mono));
            timeouts.push((self.now.mono, self.event(Event::Timeout)));
        }
        self.advance(until.since(self.now.mono));
        timeouts
    }

    pub(crate) fn open(&mut self, conn: u64) -> Vec<Action> {
        self.event(open(conn))
    }

    /// A connection opens and sends its header.
    pub(crate) fn join(&mut self, conn: u64, uid: &str, channel: &str) -> Vec<Action> {
        assert_eq!(self.open(conn), []);
        self.event(header(conn, uid, channel))
    }

    /// As `join`, and the replay is taken at once.
    pub(crate) fn enter(&mut self, conn: u64, uid: &str, channel: &str) {
        let _ = self.join(conn, uid, channel);
        let conn = ConnId(conn);
        assert_eq!(self.event(Event::Replayed { conn }), []);
    }

    pub(crate) fn digest(&self) -> u128 {
        self.node.digest(self.now)
    }

    /// What the channel keeps: uid and frame.
    pub(crate) fn kept(&self, channel: &str) -> Vec<(String, Frame)> {
        let entries = self.node.history(channel);
        entries
            .map(|e: &Entry| (e.uid.to_string(), e.frame.clone()))
            .collect()
    }

    /// What the node waits for, and in how long.
    pub(crate) fn waits(&self) -> Option<(Duration, Timer)> {
        let (at, timer) = self.node.next_timeout()?;
        Some((at.since(self.now.mono), timer))
    }
}

/// A channel with one member, who would notice if anything were announced or sent.
pub(crate) fn with_alice(config: Config) -> World {
    let mut world = World::new(config);
    let _ = world.join(1, "alice", "room");
    world
}

/// The answer to a violation before the join: a notice, a close frame, and nothing to anybody else.
pub(crate) fn refusal(conn: u64, violation: Violation) -> Vec<Action> {
    let conn = ConnId(conn);
    vec![
        Action::Notice(Notice::Violated { conn, violation }),
        Action::Close {
            conn,
            why: Closing::Violation(violation),
        },
    ]
}

pub(crate) fn open(conn: u64) -> Event {
    Event::Opened {
        conn: ConnId(conn),
        role: Role::Accepted,
        source: Source(0),
    }
}

/// A header of plain names.
pub(crate) fn header(conn: u64, uid: &str, channel: &str) -> Event {
    text(
        conn,
        &format!("{{\"uid\":\"{uid}\",\"channel\":\"{channel}\"}}"),
    )
}

pub(crate) fn text(conn: u64, payload: &str) -> Event {
    frame(conn, Frame::text(payload.to_owned()))
}

pub(crate) fn binary(conn: u64, payload: &[u8]) -> Event {
    frame(conn, Frame::binary(payload.to_vec()))
}

pub(crate) fn frame(conn: u64, frame: Frame) -> Event {
    Event::Frame {
        conn: ConnId(conn),
        frame,
    }
}

pub(crate) fn fault(conn: u64, fault: Fault) -> Event {
    Event::Faulted {
        conn: ConnId(conn),
        fault,
    }
}

pub(crate) fn heard(conn: u64) -> Event {
    let conn = ConnId(conn);
    Event::Heard { conn }
}

pub(crate) fn pong(conn: u64) -> Event {
    let conn = ConnId(conn);
    Event::Pong { conn }
}

pub(crate) fn lost(conn: u64) -> Event {
    Event::Closed {
        conn: ConnId(conn),
        how: Ending::Lost,
    }
}

pub(crate) fn close_frame(conn: u64) -> Event {
    Event::Closed {
        conn: ConnId(conn),
        how: Ending::CloseFrame(1000),
    }
}

/// A frame as an action carries it.
pub(crate) fn one(payload: &str) -> Frames {
    Frame::text(payload.to_owned()).into()
}

/// An entry of another origin, given back at start.
pub(crate) fn restored(channel: &str, uid: &str, seq: u64, ts: u64) -> Event {
    let entry = Entry {
        origin: NodeId(1),
        seq,
        ts,
        uid: uid.into(),
        frame: Frame::text("hello"),
    };
    let channel = channel.into();
    Event::Restored { channel, entry }
}

/// The cases of a file of `spec/vectors`.
pub(crate) fn vectors(file: &str) -> Vec<serde_json::Value> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
    let text = std::fs::read_to_string(folder.join(file)).expect("the vectors");
    serde_json::from_str(&text).expect("JSON")
}

/// So many random cases, unless `PROPTEST_CASES` says how many; failures are printed, not kept in a
/// file.
pub(crate) fn runs(cases: u32) -> ProptestConfig {
    let given = ProptestConfig::default();
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => given.cases,
        None => cases,
    };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..given
    }
}
