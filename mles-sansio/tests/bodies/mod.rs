//! The bodies of fuzz targets: each takes any bytes, and panics if something is wrong. They need
//! nothing but stable Rust, so that `fuzz_bodies.rs` runs them in every test run, and a fuzzer can
//! include this file as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mles_sansio::header::{announcement, announces, parse};
use mles_sansio::{
    Action, Closing, Config, ConnId, Ending, Entry, Event, Fault, Frame, GroupId, HEADER_MAX,
    Instant, Kind, Node, NodeId, Now, Role, Seed, Source, Timer, Violation,
};

/// A first frame of any content.
pub(crate) fn header(data: &[u8]) {
    let frame = Frame::text(data.to_vec());
    let binary = parse(&Frame::binary(data.to_vec()));
    let header = match parse(&frame) {
        Ok(header) => header,
        Err(violation) => return assert_eq!(violation.code(), 4000), // H1.12
    };
    assert_eq!(binary, Err(Violation::HeaderNotText)); // H1.1
    assert!(data.len() <= HEADER_MAX); // H2.1
    for name in [&header.uid, &header.channel] {
        assert!(!name.is_empty() && !name.contains('\0')); // H1.4, H1.9
    }
    // H1.2: an independent reader takes it for an object as well, and finds the same names, unless
    // it cannot represent lone surrogates, which H1.10 allows where they are ignored.
    let read: Result<serde_json::Value, _> = serde_json::from_slice(data);
    if let Ok(read) = &read {
        assert_eq!(read["uid"].as_str(), Some(&*header.uid));
        assert_eq!(read["channel"].as_str(), Some(&*header.channel));
        assert_eq!(read["peer"].as_bool().unwrap_or(false), header.peer);
    } else {
        assert!(
            data.windows(3)
                .any(|w| w[..2] == *b"\\u" && w[2] | 32 == b'd')
                || has_number(data)
        );
    }
    // J3.2: the canonical form is a header that says the same, and is never longer.
    let canonical = announcement(&header.uid, &header.channel);
    assert!(canonical.payload.len() <= data.len());
    assert!(announces(&canonical, &header.uid, &header.channel)); // J3.8
    let again = parse(&canonical).expect("a canonical form is a header");
    assert_eq!((again.uid, again.channel), (header.uid, header.channel));
    assert_eq!((again.auth, again.peer), (None, false)); // A3.1
}

/// Numbers beyond what the other reader can hold are grammatical (H1.2).
fn has_number(data: &[u8]) -> bool {
    data.iter().any(|b| matches!(b, b'e' | b'E'))
}

/// Any life of a node that keeps to the contract: every event in any order, timeouts late or early,
/// clocks that jump. The node checks its own invariants after each event where debug assertions are
/// on; here it is seen from outside.
pub(crate) fn node(data: &[u8]) {
    let mut life = Life::new(data);
    while !life.data.is_empty() && life.opened < 4000 {
        life.step();
        life.check();
    }
}

struct Life<'a> {
    data: &'a [u8],
    node: Node,
    now: Now,
    opened: u64,
    /// Connections that the node knows, and whether they are held (H2.3).
    open: BTreeMap<u64, Reading>,
    groups: BTreeMap<u64, GroupId>,
    /// Channels that were ever named.
    names: BTreeSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// No first frame yet.
    Fresh,
    /// The first frame has come, and no Resume.
    Held,
    /// Read.
    Read,
}

impl<'a> Life<'a> {
    fn new(data: &'a [u8]) -> Self {
        let mut life = Self {
            data,
            node: Node::new(Config::default(), &Seed([1; 32])),
            now: Now {
                mono: Instant::from_micros(0),
                unix: 1_700_000_000_000_000,
            },
            opened: 0,
            open: BTreeMap::new(),
            groups: BTreeMap::new(),
            names: BTreeSet::new(),
        };
        let config = Config {
            history_limit: [0, 1, 2, 200][usize::from(life.byte() % 4)],
            history_channel_bytes: [0, 200, 1000, 8 << 20][usize::from(life.byte() % 4)],
            history_bytes: [0, 300, 1500, 64 << 20][usize::from(life.byte() % 4)],
            store_history: life.byte() % 2 == 1,
            ..Config::default()
        };
        life.node = Node::new(config, &Seed([1; 32]));
        life
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.data.split_first() else {
            return 0;
        };
        self.data = rest;
        first
    }

    /// One of the newest connections, or one that never was.
    fn conn(&mut self) -> ConnId {
        let back = u64::from(self.byte() % 16);
        ConnId(self.opened.wrapping_sub(back))
    }

    fn name(&mut self) -> String {
        ["a", "b", "ü", "\"\\\u{1}"][usize::from(self.byte() % 4)].into()
    }

    fn payload(&mut self) -> Frame {
        let len = usize::from(self.byte());
        let text = len % 2 == 0;
        let payload = vec![b'x'; len * len / 16];
        if text {
            Frame::text(payload)
        } else {
            Frame::binary(payload)
        }
    }

    fn step(&mut self) {
        match self.byte() % 22 {
            0..=2 => {
                self.opened += 1;
                let conn = ConnId(self.opened);
                let role = Role::Accepted;
                let source = Source(0);
                self.open.insert(conn.0, Reading::Fresh);
                self.handle(Event::Opened { conn, role, source });
            }
            3..=6 => {
                let (uid, channel) = (self.name(), self.name());
                self.names.insert(channel.clone());
                let frame = announcement(&uid, &channel);
                self.frame(frame);
            }
            7 => {
                let len = usize::from(self.byte()).min(self.data.len());
                let (raw, rest) = self.data.split_at(len);
                self.data = rest;
                if std::str::from_utf8(raw).is_ok() {
                    self.frame(Frame::text(raw.to_vec()));
                }
            }
            8..=10 => {
                let frame = self.payload();
                self.frame(frame);
            }
            11 => {
                let conn = self.conn();
                self.handle(Event::Heard { conn });
            }
            12 => {
                let conn = self.conn();
                self.handle(Event::Pong { conn });
            }
            13 => {
                let conn = self.conn();
                self.handle(Event::Overrun { conn });
            }
            14 => {
                let conn = self.conn();
                self.handle(Event::Drained { conn });
            }
            15 => {
                let conn = self.conn();
                self.handle(Event::Replayed { conn });
            }
            16 => {
                let conn = self.conn();
                let how = [Ending::CloseFrame(1000), Ending::Lost][usize::from(self.byte() % 2)];
                if how == Ending::Lost {
                    self.open.remove(&conn.0);
                    self.groups.remove(&conn.0);
                }
                self.handle(Event::Closed { conn, how });
            }
            17 => {
                let conn = self.conn();
                let faults = [
                    Fault::Protocol,
                    Fault::NotUtf8,
                    Fault::TooBig,
                    Fault::NoRoom,
                ];
                let fault = faults[usize::from(self.byte() % 4)];
                self.handle(Event::Faulted { conn, fault });
            }
            18 => {
                let span = Duration::from_millis(u64::from(self.byte()) * 100);
                self.now.mono = self.now.mono + span;
                self.now.unix = self.now.unix.saturating_add(100_000);
            }
            19 => self.handle(Event::Timeout),
            20 => {
                let dates = [0, 1_700_000_000_000_000, 1_800_000_000_000_000, u64::MAX];
                self.now.unix = dates[usize::from(self.byte() % 4)];
            }
            _ => self.rare(),
        }
    }

    fn rare(&mut self) {
        if self.byte() > 250 {
            return self.handle(Event::Shutdown);
        }
        if self.node.stats().sessions > 0 {
            return;
        }
        let (uid, channel) = (self.name(), self.name());
        self.names.insert(channel.clone());
        let seq = u64::from(self.byte());
        let ts = 1_700_000_000_000_000 + u64::from(self.byte());
        let frame = match self.byte() % 2 {
            0 => self.payload(),
            _ => announcement(&uid, &channel),
        };
        let entry = Entry {
            origin: NodeId(u128::from(self.byte())),
            seq,
            ts,
            uid: uid.into(),
            frame,
        };
        let channel = channel.into();
        self.handle(Event::Restored { channel, entry });
    }

    /// A frame from a connection that is read.
    fn frame(&mut self, frame: Frame) {
        let conn = self.conn();
        match self.open.get(&conn.0) {
            Some(Reading::Held) => return,
            Some(Reading::Fresh) => {
                self.open.insert(conn.0, Reading::Held);
            }
            Some(Reading::Read) | None => {}
        }
        assert!(frame.kind == Kind::Binary || std::str::from_utf8(&frame.payload).is_ok());
        self.handle(Event::Frame { conn, frame });
    }

    fn handle(&mut self, event: Event) {
        let actions: Vec<_> = self.node.handle(self.now, event).collect();
        for action in actions {
            match action {
                Action::Close { conn, why } => {
                    let known = self.open.remove(&conn.0).is_some();
                    assert!(known, "{conn} is closed twice, or after its end");
                    self.groups.remove(&conn.0);
                    assert!(why.code() == 1000 || !why.reason().is_empty()); // X1.1
                    assert!(why != Closing::Restarting || self.node.stats().sessions < 4000);
                }
                Action::Join { conn, group } => {
                    assert_eq!(self.groups.insert(conn.0, group), None);
                }
                Action::Leave { conn, group } => {
                    assert_eq!(self.groups.remove(&conn.0), Some(group));
                }
                Action::Resume { conn, .. } => {
                    let held = self.open.insert(conn.0, Reading::Read);
                    assert!(held == Some(Reading::Held), "{conn} was read already");
                }
                Action::Replay { conn, frames } => {
                    assert!(!frames.is_empty() && !self.groups.contains_key(&conn.0)); // J2.1
                }
                Action::Broadcast { group, except, .. } => {
                    let from = except.expect("a sender");
                    assert!(self.groups.get(&from.0).is_none_or(|g| *g == group)); // M1.8
                }
                Action::Ping { conn } | Action::Discard { conn } => {
                    assert!(self.open.contains_key(&conn.0));
                }
                Action::Send { .. } => panic!("no client is sent anything alone"),
                Action::StoreHistory { .. }
                | Action::Dial { .. }
                | Action::DialBridge { .. }
                | Action::Notice(_) => {}
            }
        }
    }

    fn check(&self) {
        let stats = self.node.stats();
        let known = stats.sessions + stats.opening;
        assert_eq!(known, self.open.len() as u64);
        assert_eq!(stats.sessions - stats.lagging, self.groups.len() as u64);
        assert_eq!(stats.breaches, 0);
        // M3.7: over the total only if nothing is left to lose, or the rest is due at once.
        if stats.history_bytes > self.node.config().history_bytes {
            let due = self.node.next_timeout();
            let relief = due.is_some_and(|(at, _)| at <= self.now.mono);
            let empty = |name: &String| self.node.history(name).next().is_none();
            assert!(relief || self.names.iter().all(empty), "{stats:?}");
        }
        // No timer is left of a connection that is gone.
        if let Some((_, Timer::Header(c) | Timer::Probe(c) | Timer::KeepAlive(c))) =
            self.node.next_timeout()
        {
            assert!(self.open.contains_key(&c.0), "a timer of {c} is left");
        }
        // Timeouts come to an end: what is due now is done after a few.
        let mut later = self.node.clone();
        for _ in 0..20 {
            if later
                .next_timeout()
                .is_none_or(|(at, _)| at > self.now.mono)
            {
                return;
            }
            let _: Vec<_> = later.handle(self.now, Event::Timeout).collect();
        }
        panic!("timeouts lead nowhere: {:?}", later.next_timeout());
    }
}
