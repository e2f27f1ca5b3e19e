//! A model of one server, written from the clauses of `spec/client.md` with naive data structures:
//! everything is looked for by going through all of it, and whatever can be computed anew is.
//!
//! Of two replays that began at the same moment, the text leaves open which gives way first (L3.9): it
//! is taken from the node and judged here.

mod clients;
pub(crate) mod sim;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mles_sansio::{Config, Frame, Kind};

/// Microseconds.
pub(crate) type Micros = u64;

const SECOND: Micros = 1_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Model {
    config: Config,
    pub(crate) mono: Micros,
    pub(crate) unix: Micros,
    pub(crate) sessions: BTreeMap<u64, State>,
    pub(crate) channels: BTreeMap<String, Channel>,
    /// Every entry ever stored, by its number.
    entries: Vec<Entry>,
    /// What each session that joined is to receive, as far as it was one to be sent something.
    pub(crate) streams: BTreeMap<u64, Vec<Frame>>,
    pub(crate) closed: BTreeMap<u64, u16>,
    pub(crate) pings: BTreeMap<u64, u32>,
    stopping: bool,
    born: u64,
    /// Who has joined with this event.
    pub(crate) begun: BTreeSet<u64>,
    /// The last time stamp on a channel that was forgotten.
    floor: Micros,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    AwaitHeader {
        since: Micros,
    },
    AwaitIncumbent {
        pair: Pair,
        since: Micros,
        alive: bool,
    },
    Member {
        pair: Pair,
        heard: Micros,
        pings: u64,
        lagging: bool,
        /// When its replay began, and the numbers of the entries in it.
        replay: Option<(Micros, Vec<usize>)>,
    },
}

pub(crate) type Pair = (String, String);

#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// The numbers of its entries.
    history: Vec<usize>,
    last: Micros,
    /// The floor when it came into being.
    floor: Micros,
    born: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) ts: Micros,
    pub(crate) uid: String,
    pub(crate) frame: Frame,
    announces: bool,
}

impl Entry {
    fn cost(&self) -> u64 {
        (self.frame.payload.len() + self.uid.len()) as u64 + 64 // M3.5
    }
}

/// J3.1, J3.2, for names that need no escapes.
pub(crate) fn canonical(pair: &Pair) -> Frame {
    Frame::text(format!(
        "{{\"uid\":\"{}\",\"channel\":\"{}\"}}",
        pair.0, pair.1
    ))
}

impl Model {
    pub(crate) fn new(config: Config, unix: Micros) -> Self {
        Self {
            config,
            mono: 0,
            unix,
            sessions: BTreeMap::new(),
            channels: BTreeMap::new(),
            entries: Vec::new(),
            streams: BTreeMap::new(),
            closed: BTreeMap::new(),
            pings: BTreeMap::new(),
            stopping: false,
            born: 0,
            begun: BTreeSet::new(),
            floor: 0,
        }
    }

    pub(crate) fn open(&mut self, conn: u64) {
        if self.stopping {
            self.closed.insert(conn, 1012); // X1.8
        } else {
            let since = self.mono;
            self.sessions.insert(conn, State::AwaitHeader { since });
        }
    }

    /// A first frame: a good header, or the code it is refused with.
    pub(crate) fn header(&mut self, conn: u64, header: Result<Pair, u16>) {
        let pair = match header {
            Ok(pair) => pair,
            Err(code) => return self.close(conn, code), // H1.12, A2.5, H4.3
        };
        let Some(incumbent) = self.member(&pair) else {
            return self.join(conn, pair);
        };
        if self.newcomer(&pair).is_some() {
            return self.close(conn, 4002); // J1.7
        }
        *self.pings.entry(incumbent).or_default() += 1; // J1.2
        let (since, alive) = (self.mono, false);
        let state = State::AwaitIncumbent { pair, since, alive };
        self.sessions.insert(conn, state);
    }

    pub(crate) fn message(&mut self, conn: u64, frame: Frame) {
        self.heard(conn, false);
        if let Some(State::Member { pair, .. }) = self.sessions.get(&conn) {
            let pair = pair.clone();
            self.accept(conn, &pair, frame); // M1.1, L2.1
        }
    }

    pub(crate) fn heard(&mut self, conn: u64, pong: bool) {
        let now = self.mono;
        let Some(State::Member {
            pair, heard, pings, ..
        }) = self.sessions.get_mut(&conn)
        else {
            return; // H3.2
        };
        (*heard, *pings) = (now, 0); // K1.3
        let pair = pair.clone();
        let Some(newcomer) = self.newcomer(&pair) else {
            return;
        };
        if pong {
            self.close(newcomer, 4002); // J1.3
        } else if let Some(State::AwaitIncumbent { alive, .. }) = self.sessions.get_mut(&newcomer) {
            *alive = true; // J1.4
        }
    }

    /// The server decides to close a session, or answers its close.
    pub(crate) fn close(&mut self, conn: u64, code: u16) {
        if self.sessions.contains_key(&conn) {
            self.closed.insert(conn, code);
            self.gone(conn);
        }
    }

    /// A session has ended (L1.1, X1.15).
    pub(crate) fn gone(&mut self, conn: u64) {
        let Some(State::Member { pair, .. }) = self.sessions.remove(&conn) else {
            return; // J1.10
        };
        self.forget_empty();
        if let Some(newcomer) = self.newcomer(&pair) {
            self.sessions.remove(&newcomer);
            if self.stopping {
                self.closed.insert(newcomer, 1012);
            } else {
                self.join(newcomer, pair); // J1.6
            }
        }
    }

    pub(crate) fn lag(&mut self, conn: u64) {
        if let Some(State::Member {
            lagging, replay, ..
        }) = self.sessions.get_mut(&conn)
        {
            (*lagging, *replay) = (true, None); // L2.4, L3.4
        }
    }

    pub(crate) fn replayed(&mut self, conn: u64) {
        if let Some(State::Member { replay, .. }) = self.sessions.get_mut(&conn) {
            *replay = None;
        }
    }

    pub(crate) fn drained(&mut self, conn: u64) {
        if let Some(State::Member { lagging: true, .. }) = self.sessions.get(&conn) {
            self.close(conn, 4008); // L2.5
        }
    }

    pub(crate) fn shutdown(&mut self) {
        self.stopping = true;
        let all: Vec<u64> = self.sessions.keys().copied().collect();
        all.into_iter().for_each(|conn| self.close(conn, 1012)); // X1.8
    }

    /// The earliest of what time alone will do: when, of which kind, to whom.
    pub(crate) fn due(&self) -> Option<(Micros, u8, u64)> {
        let dues = self.sessions.iter().flat_map(|(&conn, state)| match state {
            State::AwaitHeader { since } => vec![(since + 10 * SECOND, 0, conn)], // H3.1
            State::AwaitIncumbent { since, .. } => vec![(since + 5 * SECOND, 1, conn)], // J1.4, J1.5
            State::Member {
                heard,
                pings,
                replay,
                ..
            } => {
                let silence = (heard + 24 * SECOND * (pings + 1), 2, conn); // K1.1
                let slow = replay.as_ref().map(|(at, _)| (at + 60 * SECOND, 3, conn)); // L3.7
                [Some(silence), slow].into_iter().flatten().collect()
            }
        });
        dues.min()
    }

    /// Does what is due by now.
    pub(crate) fn tick(&mut self) {
        while let Some((_, kind, conn)) = self.due().filter(|(at, ..)| *at <= self.mono) {
            match (kind, self.sessions.get_mut(&conn)) {
                (0, _) => self.close(conn, 4003),
                (1, Some(State::AwaitIncumbent { alive: true, .. })) => self.close(conn, 4002),
                (1, Some(State::AwaitIncumbent { pair, .. })) => {
                    let pair = pair.clone();
                    let incumbent = self.member(&pair).expect("an incumbent");
                    self.close(incumbent, 4005);
                }
                (2, Some(State::Member { pings: 3, .. })) => self.close(conn, 4005), // K1.2
                (2, Some(State::Member { pings, .. })) => {
                    *pings += 1;
                    *self.pings.entry(conn).or_default() += 1;
                }
                (3, _) => self.lag(conn),
                _ => panic!("nothing of the kind is due"),
            }
        }
    }

    fn join(&mut self, conn: u64, pair: Pair) {
        self.born += 1;
        let (born, history, last) = (self.born, Vec::new(), 0);
        let fresh = Channel {
            history,
            last,
            floor: self.floor,
            born,
        };
        let channel = self.channels.entry(pair.1.clone()).or_insert(fresh);
        let history = channel.history.clone();
        let frames = history.iter().map(|&n| self.entries[n].frame.clone());
        self.streams.insert(conn, frames.collect()); // J2.1
        let state = State::Member {
            pair: pair.clone(),
            heard: self.mono,
            pings: 0,
            lagging: false,
            replay: (!history.is_empty()).then_some((self.mono, history)),
        };
        self.sessions.insert(conn, state);
        self.begun.insert(conn);
        self.accept(conn, &pair, canonical(&pair)); // J3.3, J3.5
    }

    fn accept(&mut self, from: u64, pair: &Pair, frame: Frame) {
        for (conn, state) in &self.sessions {
            if let State::Member {
                pair: (_, channel),
                lagging: false,
                ..
            } = state
                && *channel == pair.1
                && *conn != from
            {
                let stream = self.streams.get_mut(conn).expect("a member's stream");
                stream.push(frame.clone()); // J2.3, M1.2
            }
        }
        let total = self.config.history_bytes;
        let own = channel_cost(&pair.1);
        let channel = self.channels.get_mut(&pair.1).expect("a member's channel");
        let floor = match channel.floor <= self.unix + 3_600 * SECOND {
            true => channel.floor + 1,
            false => 0,
        };
        channel.last = self.unix.max(channel.last + 1).max(floor); // M3.1
        let entry = Entry {
            ts: channel.last,
            uid: pair.0.clone(),
            announces: frame.kind == Kind::Text && frame == canonical(pair), // J3.8
            frame,
        };
        let bound = self.config.history_channel_bytes;
        let limit = self.config.history_limit;
        if limit == 0 || entry.cost() > bound || entry.cost() + own > total {
            return; // M3.4, M3.8
        }
        let entries = &mut self.entries;
        if entry.announces {
            channel
                .history
                .retain(|&n| !(entries[n].announces && entries[n].uid == entry.uid)); // J3.6
        }
        let announces = entry.announces;
        channel.history.push(entries.len());
        entries.push(entry);
        let alike = |n: &&usize| entries[**n].announces == announces;
        if channel.history.iter().filter(alike).count() > limit {
            let first = channel.history.iter().position(|n| alike(&n));
            channel.history.remove(first.expect("one of many")); // M3.3, J3.7
        }
        while channel
            .history
            .iter()
            .map(|&n| entries[n].cost())
            .sum::<u64>()
            > bound
        {
            channel.history.remove(0); // M3.6
        }
    }

    /// Brings everything under the total bound. `lags` are the sessions that the node made lagging for
    /// it, in turn.
    pub(crate) fn keep_total(&mut self, lags: &mut VecDeque<u64>) {
        while self.total() > self.config.history_bytes {
            let holding = self.holding();
            let held: BTreeSet<String> = holding.values().map(|(_, name)| name.clone()).collect();
            let active = self.channels.iter_mut();
            let active = active.filter(|(name, c)| !c.history.is_empty() && !held.contains(*name));
            if let Some((_, oldest)) = active.min_by_key(|(_, c)| (c.last, c.born)) {
                oldest.history.remove(0); // M3.7
                self.forget_empty();
                continue;
            }
            let Some(first) = holding.values().map(|(since, _)| *since).min() else {
                break;
            };
            if lags.is_empty() && self.begun.iter().any(|conn| holding.contains_key(conn)) {
                break; // J3.5
            }
            let conn = lags.pop_front().expect("L3.9: replays give way last");
            let (since, _) = holding.get(&conn).expect("L3.9: its replay holds nothing");
            assert_eq!(*since, first, "L3.9: not {conn}");
            self.lag(conn);
        }
        assert!(lags.is_empty(), "L3.9: no reason for {lags:?} to lag");
    }

    /// The sessions whose replays hold entries that have left the history: since when, and where.
    fn holding(&self) -> BTreeMap<u64, (Micros, String)> {
        let limbo = self.limbo();
        let holding = self.sessions.iter().filter_map(|(&conn, state)| {
            let State::Member {
                pair: (_, name),
                replay: Some((since, held)),
                ..
            } = state
            else {
                return None;
            };
            let holds = held.iter().any(|n| limbo.contains(n));
            holds.then(|| (conn, (*since, name.clone())))
        });
        holding.collect()
    }

    /// Entries that only unfinished replays hold.
    fn limbo(&self) -> BTreeSet<usize> {
        let kept = |n: &usize| self.channels.values().any(|c| c.history.contains(n));
        let held = self.replays().flatten().copied();
        held.filter(|n| !kept(n)).collect()
    }

    fn replays(&self) -> impl Iterator<Item = &Vec<usize>> {
        self.sessions.values().filter_map(|state| match state {
            State::Member { replay, .. } => replay.as_ref().map(|(_, held)| held),
            State::AwaitHeader { .. } | State::AwaitIncumbent { .. } => None,
        })
    }

    /// What the total bound counts (M3.5, M3.7, L3.9).
    pub(crate) fn total(&self) -> u64 {
        let names = self.channels.keys().map(|name| channel_cost(name));
        let kept = self.channels.values().flat_map(|c| c.history.clone());
        let entries = kept.chain(self.limbo()).map(|n| self.entries[n].cost());
        // L3.9: a server may count up to 64 bytes for each entry of an unfinished replay.
        let lists = self.replays().map(|held| 48 * held.len() as u64);
        names.chain(entries).chain(lists).sum()
    }

    /// M3.9.
    fn forget_empty(&mut self) {
        let members = self.members();
        let used = |name: &String| members.values().any(|(_, channel)| channel == name);
        let floor = &mut self.floor;
        self.channels.retain(|name, channel| {
            let kept = used(name) || !channel.history.is_empty();
            if !kept {
                *floor = channel.last.max(*floor);
            }
            kept
        });
    }

    /// The node says that a channel has expired: is it time (L1.3, L1.5)?
    pub(crate) fn expire(&mut self, name: &str) {
        assert!(!self.members().values().any(|(_, channel)| channel == name));
        let channel = self.channels.remove(name).expect("a channel to expire");
        assert!(channel.last + 2_592_000 * SECOND <= self.unix, "L1.3");
        self.floor = channel.last.max(self.floor);
    }

    /// Channels that nobody is on and whose 30 days are over.
    pub(crate) fn overdue(&self) -> Vec<String> {
        let members = self.members();
        let channels = self.channels.iter().filter(|(name, channel)| {
            channel.last + 2_592_000 * SECOND <= self.unix
                && !members.values().any(|(_, channel)| channel == *name)
        });
        channels.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn history(&self, name: &str) -> Vec<&Entry> {
        let channel = self.channels.get(name);
        let history = channel.map(|c| c.history.iter().map(|&n| &self.entries[n]));
        history.into_iter().flatten().collect()
    }

    pub(crate) fn members(&self) -> BTreeMap<u64, Pair> {
        let members = self
            .sessions
            .iter()
            .filter_map(|(&conn, state)| match state {
                State::Member { pair, .. } => Some((conn, pair.clone())),
                State::AwaitHeader { .. } | State::AwaitIncumbent { .. } => None,
            });
        members.collect()
    }

    pub(crate) fn is_lagging(&self, conn: u64) -> bool {
        matches!(
            self.sessions.get(&conn),
            Some(State::Member { lagging: true, .. })
        )
    }

    fn member(&self, pair: &Pair) -> Option<u64> {
        let found = self.members().into_iter().find(|(_, p)| p == pair);
        found.map(|(conn, _)| conn)
    }

    fn newcomer(&self, wanted: &Pair) -> Option<u64> {
        let mut sessions = self.sessions.iter();
        let found = sessions.find(
            |(_, state)| matches!(state, State::AwaitIncumbent { pair, .. } if pair == wanted),
        );
        found.map(|(&conn, _)| conn)
    }
}

fn channel_cost(name: &str) -> u64 {
    256 + name.len() as u64 // M3.5
}
