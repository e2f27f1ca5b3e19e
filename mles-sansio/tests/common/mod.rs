//! What several test files share: a node with its clocks, and short names for events.
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::time::Duration;

use mles_sansio::{
    Action, Config, ConnId, Ending, Entry, Event, Fault, Frame, Frames, Instant, Node, NodeId, Now,
    Role, Seed, Source, Timer,
};

/// A node and the time.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) now: Now,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let mono = Instant::from_micros(0);
        let unix = 1_700_000_000_000_000;
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
        let until = self.now.mono + span;
        let mut actions = Vec::new();
        while let Some((at, _)) = self.node.next_timeout().filter(|(at, _)| *at <= until) {
            self.advance(at.since(self.now.mono));
            actions.extend(self.event(Event::Timeout));
        }
        self.advance(until.since(self.now.mono));
        actions
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

pub(crate) fn lost(conn: u64) -> Event {
    Event::Closed {
        conn: ConnId(conn),
        how: Ending::Lost,
    }
}

pub(crate) fn close_frame(conn: u64) -> Event {
    Event::Closed {
        conn: ConnId(conn),
        how: Ending::CloseFrame,
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
