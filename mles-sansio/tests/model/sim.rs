//! A node, the model, and between them the simplest runtime: a queue for each connection. After each
//! event both must agree on everything that can be seen.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mles_sansio::{
    Action, Config, ConnId, Ending, Event, Fault, Frame, Instant, LagCause, Node, Notice, Now,
    Role, Seed, Source,
};

use super::clients::{Client, Clients, Input};
use super::{Micros, Model, Pair, State, canonical};

/// Something that a client, its network or time does. Connections are numbered in the order in which
/// they were opened; `who` is taken modulo the number of those that can do it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Open,
    Header {
        who: usize,
        uid: u8,
        channel: u8,
    },
    BadHeader {
        who: usize,
        text: String,
        code: u16,
    },
    Message {
        who: usize,
        frame: Frame,
    },
    OwnForm {
        who: usize,
    },
    Heard {
        who: usize,
    },
    Pong {
        who: usize,
    },
    Close {
        who: usize,
    },
    Lost {
        who: usize,
    },
    Fault {
        who: usize,
        fault: Fault,
    },
    /// The client's socket takes so many frames.
    Read {
        who: usize,
        frames: usize,
    },
    Wait {
        span: Micros,
    },
    /// The date jumps, forward or back.
    Date {
        jump: i64,
    },
    Shutdown,
}

#[derive(Clone, Debug)]
pub(crate) struct Sim {
    pub(crate) node: Node,
    model: Model,
    clients: Clients,
    /// Since when a channel should have expired.
    overdue: BTreeMap<String, Micros>,
    /// Everything the node did, described; and its digest after each event.
    pub(crate) log: Vec<(Vec<String>, u128)>,
}

impl Sim {
    pub(crate) fn new(config: Config) -> Self {
        let unix = 1_700_000_000_000_000;
        Self {
            node: Node::new(config.clone(), &Seed([3; 32])),
            model: Model::new(config, unix),
            clients: Clients::default(),
            overdue: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            mono: Instant::from_micros(self.model.mono),
            unix: self.model.unix,
        }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        self.wait(1000);
        match step {
            Step::Open => {
                let conn = self.clients.all.len() as u64;
                self.clients.all.push(Client::default());
                self.event(Event::Opened {
                    conn: ConnId(conn),
                    role: Role::Accepted,
                    source: Source(0),
                });
            }
            Step::Header { who, uid, channel } => {
                let pair = (format!("u{uid}"), format!("c{channel}"));
                if let Some(who) = self.clients.pick(*who, |c| !c.headed) {
                    self.header(who, canonical(&pair), Ok(pair));
                }
            }
            Step::BadHeader { who, text, code } => {
                if let Some(who) = self.clients.pick(*who, |c| !c.headed) {
                    self.header(who, Frame::text(text.clone()), Err(*code));
                }
            }
            Step::Message { who, frame } => {
                if let Some(who) = self.clients.pick(*who, |c| c.headed) {
                    self.input(who, Input::Frame(frame.clone()));
                }
            }
            Step::OwnForm { who } => {
                let who = self.clients.pick(*who, |c| c.headed && !c.held);
                let pair = who.and_then(|who| {
                    let members = self.model.members();
                    Some((who, members.get(&(who as u64))?.clone()))
                });
                if let Some((who, pair)) = pair {
                    self.input(who, Input::Frame(canonical(&pair))); // J3.8
                }
            }
            Step::Heard { who } => self.inputs(*who, Input::Heard),
            Step::Pong { who } => self.inputs(*who, Input::Pong),
            Step::Close { who } => self.inputs(*who, Input::Close),
            Step::Fault { who, fault } => self.inputs(*who, Input::Fault(*fault)),
            Step::Lost { who } => {
                if let Some(who) = self.clients.pick(*who, |_| true) {
                    let client = &mut self.clients.all[who];
                    (client.gone, client.group, client.replay) = (true, None, 0);
                    client.waiting.clear();
                    let (conn, how) = (ConnId(who as u64), Ending::Lost);
                    self.event(Event::Closed { conn, how });
                }
            }
            Step::Read { who, frames } => {
                let who = self
                    .clients
                    .pick(*who, |c| c.discarded || !c.waiting.is_empty());
                if let Some(who) = who {
                    self.read(who, *frames);
                }
            }
            Step::Wait { span } => self.wait(*span),
            Step::Date { jump } => {
                self.model.unix = self.model.unix.saturating_add_signed(*jump);
            }
            Step::Shutdown => self.event(Event::Shutdown),
        }
        while let Some(report) = self.clients.reports.pop_front() {
            self.event(report);
        }
        self.check();
    }

    /// A connection's first frame; the runtime does not read on (H2.3).
    fn header(&mut self, who: usize, frame: Frame, says: Result<Pair, u16>) {
        let client = &mut self.clients.all[who];
        (client.headed, client.held) = (true, true);
        let conn = who as u64;
        let before = self.model.sessions.contains_key(&conn);
        let id = ConnId(conn);
        self.run(Event::Frame { conn: id, frame }, |model| {
            if before {
                model.header(conn, says);
            }
        });
    }

    fn inputs(&mut self, who: usize, input: Input) {
        if let Some(who) = self.clients.pick(who, |_| true) {
            self.input(who, input);
        }
    }

    /// Something arrives; while the connection is held it stays in the transport.
    fn input(&mut self, who: usize, input: Input) {
        let client = &mut self.clients.all[who];
        if client.gone || client.closed.is_some() {
            return;
        }
        if client.held {
            client.inbox.push_back(input);
            return;
        }
        let conn = ConnId(who as u64);
        let event = match input {
            Input::Frame(frame) => Event::Frame { conn, frame },
            Input::Heard => Event::Heard { conn },
            Input::Pong => Event::Pong { conn },
            Input::Close => {
                let how = Ending::CloseFrame(1000);
                Event::Closed { conn, how }
            }
            Input::Fault(fault) => Event::Faulted { conn, fault },
        };
        self.event(event);
    }

    /// The client's socket takes frames, and the runtime notices what that completes.
    fn read(&mut self, who: usize, frames: usize) {
        let client = &mut self.clients.all[who];
        let conn = ConnId(who as u64);
        if client.gone || client.closed.is_some() {
            return;
        }
        for _ in 0..frames {
            let Some(frame) = client.waiting.pop_front() else {
                break;
            };
            client.got.push(frame);
            if client.replay > 0 {
                client.replay -= 1;
                if client.replay == 0 {
                    self.clients.reports.push_back(Event::Replayed { conn });
                }
            }
        }
        if client.discarded {
            self.clients.reports.push_back(Event::Drained { conn });
        }
    }

    fn wait(&mut self, span: Micros) {
        let until = self.model.mono + span;
        loop {
            let next = self.node.next_timeout().map(|(at, _)| at.as_micros());
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.pass(at.max(self.model.mono));
            self.event(Event::Timeout);
        }
        self.pass(until);
        assert!(
            self.model.due().is_none_or(|(at, ..)| at > until),
            "the node let pass {:?}",
            self.model.due()
        );
    }

    fn pass(&mut self, to: Micros) {
        self.model.unix += to - self.model.mono;
        self.model.mono = to;
    }

    /// One event whose meaning for the model needs no more than itself.
    fn event(&mut self, event: Event) {
        let told = event.clone();
        self.run(event, |model| match told {
            Event::Opened { conn, .. } => model.open(conn.0),
            Event::Frame { conn, frame } => model.message(conn.0, frame),
            Event::Heard { conn } => model.heard(conn.0, false),
            Event::Pong { conn } => model.heard(conn.0, true),
            Event::Faulted { conn, fault } => {
                let member = model.members().contains_key(&conn.0);
                let code = match fault {
                    Fault::Protocol => 1002, // M4.4
                    Fault::NoRoom => 4004,   // M4.6
                    Fault::NotUtf8 | Fault::TooBig if !member => 4000,
                    Fault::NotUtf8 => 1007, // M4.5
                    Fault::TooBig => 1009,  // M4.2
                };
                model.close(conn.0, code);
            }
            Event::Closed { conn, how } => match how {
                Ending::CloseFrame(_) => model.close(conn.0, 1000), // X1.4
                Ending::Lost => model.gone(conn.0),
            },
            Event::Overrun { conn } => model.lag(conn.0),
            Event::Drained { conn } => model.drained(conn.0),
            Event::Replayed { conn } => model.replayed(conn.0),
            Event::Timeout => model.tick(),
            Event::Restored { .. }
            | Event::Peers { .. }
            | Event::DialFailed { .. }
            | Event::BridgeFailed { .. } => {
                panic!("not here")
            }
            Event::Shutdown => model.shutdown(),
        });
    }

    /// One event: first the node, then the model, then the actions.
    fn run(&mut self, event: Event, tell: impl FnOnce(&mut Model)) {
        let now = self.now();
        let mut said = vec![event.to_string()];
        let actions: Vec<Action> = self.node.handle(now, event).collect();
        said.extend(actions.iter().map(ToString::to_string));
        self.log.push((said, self.node.digest(now)));
        let mut lags = VecDeque::new();
        let mut expired = Vec::new();
        for action in &actions {
            if let Action::Notice(Notice::Expired { channel }) = action {
                expired.push(channel.clone());
            } else if let Action::Notice(Notice::Lagging { conn, cause }) = action
                && *cause == LagCause::HistoryBudget
            {
                lags.push_back(conn.0);
            }
        }
        self.model.begun.clear();
        tell(&mut self.model);
        self.model.keep_total(&mut lags);
        for channel in expired {
            self.model.expire(&channel);
        }
        actions
            .into_iter()
            .for_each(|action| self.clients.execute(action));
        while let Some((who, input)) = self.clients.resumed.pop_front() {
            self.input(who, input);
        }
    }

    /// Everything that can be seen, against the model.
    fn check(&mut self) {
        let stats = self.node.stats();
        let members = self.model.members();
        assert_eq!(stats.sessions, members.len() as u64);
        let waiting = self.model.sessions.len() - members.len();
        assert_eq!(stats.opening, waiting as u64);
        let lagging = members.keys().filter(|&&conn| self.model.is_lagging(conn));
        assert_eq!(stats.lagging, lagging.count() as u64);
        assert_eq!(stats.channels, self.model.channels.len() as u64);
        assert_eq!(stats.history_bytes, self.model.total(), "M3.5, L3.9");
        for channel in 0..4 {
            let name = format!("c{channel}");
            let kept = self.node.history(&name);
            let kept: Vec<_> = kept.map(|e| (e.ts, &*e.uid, &e.frame)).collect();
            let expected = self.model.history(&name);
            let expected: Vec<_> = expected.iter().map(|e| (e.ts, &*e.uid, &e.frame)).collect();
            assert_eq!(kept, expected, "M3 on {name}");
            let seqs: Vec<_> = self.node.history(&name).map(|e| e.seq).collect();
            assert!(seqs.is_sorted_by(|a, b| a < b), "M3.11: {seqs:?}");
        }
        for (conn, client) in (0..).zip(&self.clients.all) {
            assert_eq!(client.closed, self.model.closed.get(&conn).copied());
            let pings = self.model.pings.get(&conn).copied();
            assert_eq!(client.pings, pings.unwrap_or_default(), "pings to {conn}");
            let seen: Vec<_> = client.got.iter().chain(&client.waiting).collect();
            let stream = self.model.streams.get(&conn).cloned().unwrap_or_default();
            let live = members.contains_key(&conn) && !self.model.is_lagging(conn);
            assert_eq!(live, client.group.is_some(), "membership of {conn}");
            let so_far = if live {
                seen.len().max(stream.len())
            } else {
                seen.len()
            };
            let expected: Vec<_> = stream.iter().take(so_far).collect();
            assert_eq!(seen, expected, "stream of {conn}"); // J2.3, L2.7
            let held = client.held && client.closed.is_none() && !client.gone;
            let waits = matches!(
                self.model.sessions.get(&conn),
                Some(State::AwaitIncumbent { .. })
            );
            assert_eq!(held, waits, "H2.3: reading from {conn}");
        }
        // L1.3: within an hour.
        let overdue = self.model.overdue();
        self.overdue.retain(|name, _| overdue.contains(name));
        for name in overdue {
            let since = *self.overdue.entry(name).or_insert(self.model.mono);
            assert!(self.model.mono - since <= 3_600_000_000, "L1.3");
        }
    }

    pub(crate) fn run_all<'a>(&mut self, steps: impl IntoIterator<Item = &'a Step>) {
        steps.into_iter().for_each(|step| self.step(step));
    }

    pub(crate) fn later(&self, span: Duration) -> Now {
        let now = self.now();
        Now {
            mono: now.mono + span,
            unix: now.unix,
        }
    }
}
