//! The node: one door in, one stream of actions out. This file routes events and keeps time; `join`
//! has the way from header to membership and `channel` what is remembered.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::accept::Sender;
use crate::action::{Action, Actions};
use crate::bridge::Bridges;
use crate::channel::{Channels, Excess};
use crate::client::Goodbye;
use crate::config::Config;
use crate::event::{ConnId, Ending, Entry, Event, Fault, Name, Role, Source};
use crate::frame::Frame;
use crate::notice::{LagCause, Notice, Parting, Stats};
use crate::peering::Peering;
use crate::seed::{NodeId, Seed};
use crate::session::{Conn, Flow};
use crate::time::{Instant, Now, micros};
use crate::timer::{Timer, Timers};
use crate::violation::{Closing, Violation};

/// A Mles server, without its sockets.
///
/// - *In*: [`handle`](Self::handle) takes every event, the passing of time among them.
/// - *Out*: the [`Actions`] it returns, to be executed in order before the next event.
/// - *Time*: [`next_timeout`](Self::next_timeout) says when to come back, and why.
/// - *Look*: [`stats`](Self::stats), [`uid`](Self::uid), [`digest`](Self::digest).
///
/// The same configuration, seed and events give the same actions, byte for byte (P8).
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) config: Config,
    pub(crate) uid: NodeId,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    pub(crate) channels: Channels,
    pub(crate) timers: Timers,
    /// When the expiry timer fires, if it is armed.
    pub(crate) expiry: Option<Instant>,
    pub(crate) stopping: bool,
    pub(crate) stats: Stats,
    pub(crate) peering: Peering,
    pub(crate) bridges: Bridges,
    queue: VecDeque<Action>,
    /// Frames that replays of this event hold.
    pub(crate) replayed: usize,
    /// Whose replays this event has begun: their sockets have not been offered them yet (J3.5).
    pub(crate) begun: Vec<ConnId>,
    /// Events so far: a large node is checked now and then.
    #[cfg(debug_assertions)]
    pub(crate) events: u64,
}

impl Node {
    /// A node with nothing on it.
    #[must_use]
    pub fn new(config: Config, seed: &Seed) -> Self {
        let bridges = Bridges::new(seed, &config.bridges);
        Self {
            config,
            uid: NodeId::of(seed),
            conns: BTreeMap::new(),
            channels: Channels::default(),
            timers: Timers::default(),
            expiry: None,
            stopping: false,
            stats: Stats::default(),
            peering: Peering::new(seed),
            bridges,
            queue: VecDeque::new(),
            replayed: 0,
            begun: Vec::new(),
            #[cfg(debug_assertions)]
            events: 0,
        }
    }

    /// Takes one event and says what to do about it.
    ///
    /// It never fails: nothing that a client sends is the caller's error. A caller that breaks the
    /// contract gets [`Notice::Breach`], and a panic where debug assertions are on.
    ///
    /// The work is bounded: an event costs at most one pass over the history of its channel, a
    /// timeout [`BATCH`] timers, the byte budget [`BATCH`] frames; what is left is due at once.
    /// Only `Shutdown` looks at every connection, and so does a node that takes a new uid (S1.4).
    pub fn handle(&mut self, now: Now, event: Event) -> Actions<'_> {
        debug_assert!(
            self.queue.is_empty(),
            "actions of the last event were not taken"
        );
        self.replayed = 0;
        self.begun.clear();
        match event {
            Event::Opened { conn, role, source } => self.opened(now, conn, role, source),
            Event::Frame { conn, frame } => self.frame(now, conn, frame),
            Event::Heard { conn } => self.heard(now, conn, false),
            Event::Pong { conn } => self.heard(now, conn, true),
            Event::Faulted { conn, fault } => self.faulted(now, conn, fault),
            Event::Closed { conn, how } => self.closed(now, conn, how),
            Event::Overrun { conn } => {
                if self.knows(conn) {
                    self.lag(conn, LagCause::Outbox); // L2.4
                }
            }
            Event::Drained { conn } => {
                if self.knows(conn) && self.is_lagging(conn) {
                    self.close(now, conn, Closing::Violation(Violation::Lagging)); // L2.5
                }
            }
            Event::Replayed { conn } => {
                if let Some(Conn::Bridge(key)) = self.conns.get(&conn) {
                    let key = *key;
                    self.bridge_written(now, key);
                } else if self.knows(conn) {
                    self.end_replay(conn);
                    self.sent(conn);
                }
            }
            Event::Peers { peers } => self.peers(now, peers),
            Event::DialFailed { peer, why } => self.dial_failed(now, peer, why),
            Event::BridgeFailed { dial, why } => self.bridge_failed(now, dial, why),
            Event::Timeout => self.timeout(now),
            Event::Restored { channel, entry } => self.restore(now, &channel, entry),
            Event::Shutdown => self.shutdown(now),
        }
        self.keep_budget(now);
        self.pump_bridges(now);
        self.pump(now);
        #[cfg(debug_assertions)]
        {
            self.events += 1;
            self.check();
        }
        Actions(&mut self.queue)
    }

    /// When the next [`Event::Timeout`] is due, and what for; it may be in the past.
    #[must_use]
    pub fn next_timeout(&self) -> Option<(Instant, Timer)> {
        self.timers.next()
    }

    /// The node's own uid, which is the origin of what it accepts.
    #[must_use]
    pub fn uid(&self) -> NodeId {
        self.uid
    }

    /// The node above, if there is one.
    #[must_use]
    pub fn upstream(&self) -> Option<NodeId> {
        self.peering.path.last().copied()
    }

    /// The nodes above, root first; in a ring that is not cut yet, the rest of the ring (R1.2).
    #[must_use]
    pub fn path(&self) -> &[NodeId] {
        &self.peering.path
    }

    /// The links to other nodes: who is there, and whether it is below.
    pub fn links(&self) -> impl Iterator<Item = (NodeId, bool)> {
        let links = self.peering.links.iter();
        links.map(|(conn, link)| (link.uid, self.peering.upstream != Some(*conn)))
    }

    /// The node at the other end of a link, if the connection is one.
    #[must_use]
    pub fn link(&self, conn: ConnId) -> Option<NodeId> {
        self.peering.links.get(&conn).map(|link| link.uid)
    }

    /// The settings it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Counters and gauges. It looks at nothing but numbers that are kept anyway.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            opening: self.conns.len() as u64 - self.stats.sessions,
            channels: self.channels.len() as u64,
            history_bytes: self.channels.cost(),
            bridge_connections: self.bridges.connections(),
            links: self.peering.links.len() as u64,
            upstreams: u64::from(self.peering.upstream.is_some()),
            hops: self.peering.path.len() as u64,
            ..self.stats
        }
    }

    /// The history of a channel in its order: messages and announcements.
    pub fn history(&self, channel: &str) -> impl Iterator<Item = &Entry> {
        let channel = self.channels.find(channel);
        channel
            .into_iter()
            .flat_map(|channel| channel.history.entries())
    }

    pub(crate) fn emit(&mut self, action: Action) {
        self.queue.push_back(action);
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.emit(Action::Notice(notice));
    }

    /// The caller broke the contract: loud in tests, counted and without effect in use.
    pub(crate) fn breach(&mut self, rule: &'static str) {
        debug_assert!(false, "contract: {rule}");
        self.stats.breaches += 1;
        self.notice(Notice::Breach { rule });
    }

    /// Whether the connection is known; if not, the event for it came too late, and is counted.
    fn knows(&mut self, conn: ConnId) -> bool {
        let known = self.conns.contains_key(&conn);
        self.stats.stale += u64::from(!known);
        known
    }

    fn is_lagging(&self, conn: ConnId) -> bool {
        self.session(conn)
            .is_some_and(|session| matches!(session.flow, Flow::Lagging))
    }

    fn opened(&mut self, now: Now, conn: ConnId, role: Role, source: Source) {
        if self.conns.contains_key(&conn) {
            return self.breach("connection ids are never used again");
        }
        if self.stopping {
            return self.emit(Action::Close {
                conn,
                why: Closing::Restarting,
            });
        }
        let dialer = match role {
            Role::Accepted => None,
            Role::Peer(nonces) => Some((nonces, source)),
            Role::Dialed { peer, nonces } => return self.dialed(now, conn, peer, nonces, source),
            Role::Bridged { dial } => return self.bridge_opened(now, conn, dial),
        };
        let deadline = now.mono + self.config.header_timeout;
        self.timers.arm(deadline, Timer::Header(conn)); // H3.1
        self.conns
            .insert(conn, Conn::AwaitHeader { deadline, dialer });
    }

    fn frame(&mut self, now: Now, conn: ConnId, frame: Frame) {
        match self.conns.get_mut(&conn) {
            Some(Conn::AwaitHeader { .. }) => self.header(now, conn, &frame),
            Some(Conn::AwaitReply(_)) => self.replied(now, conn, &frame),
            Some(Conn::Link) => self.link_frame(now, conn, frame),
            Some(Conn::Bridge(key)) => {
                let key = *key;
                self.bridge_frame(now, key, frame);
            }
            Some(Conn::AwaitIncumbent(_)) => {
                self.breach("after its first message a connection is not read until Resume");
            }
            Some(Conn::Joined(session)) => {
                session.hear(now.mono);
                let (group, uid) = (session.group, session.uid.clone());
                self.stats.messages += 1;
                self.stats.message_bytes += frame.payload.len() as u64;
                self.answered(conn, false);
                self.accept(now, group, uid, frame, Sender::Session(conn)); // M1.1
            }
            None => self.stats.stale += 1,
        }
    }

    /// A sign of life from a connection (K1.3); a pong answers a probe too (J1.3).
    fn heard(&mut self, now: Now, conn: ConnId, pong: bool) {
        match self.conns.get_mut(&conn) {
            Some(Conn::Joined(session)) => {
                session.hear(now.mono);
                self.answered(conn, pong);
            }
            Some(Conn::Link) => self.link_heard(now, conn),
            Some(
                Conn::AwaitHeader { .. }
                | Conn::AwaitIncumbent(_)
                | Conn::AwaitReply(_)
                | Conn::Bridge(_),
            ) => {}
            None => self.stats.stale += 1,
        }
    }

    fn faulted(&mut self, now: Now, conn: ConnId, fault: Fault) {
        let violation = match (self.conns.get(&conn), fault) {
            (None, _) => return self.stats.stale += 1,
            (Some(Conn::Joined(_) | Conn::Bridge(_)), Fault::TooBig) => Violation::MessageTooBig, // M4.2
            (Some(Conn::Link), Fault::TooBig) => Violation::LinkPayloadTooBig, // F1.5
            (Some(_), Fault::TooBig) => Violation::HeaderTooBig,               // H2.1
            (Some(Conn::Joined(_) | Conn::Link | Conn::Bridge(_)), Fault::NotUtf8) => {
                Violation::NotUtf8
            }
            (Some(_), Fault::NotUtf8) => Violation::HeaderNotJson, // H1.2
            (Some(_), Fault::Protocol) => Violation::Protocol,
            (Some(_), Fault::NoRoom) => Violation::NoRoom, // M4.6
        };
        self.violated(now, conn, violation);
    }

    fn closed(&mut self, now: Now, conn: ConnId, how: Ending) {
        if !self.knows(conn) {
            return;
        }
        match how {
            Ending::CloseFrame(code) => {
                self.refused(now, conn, code);
                self.bridge_lost(now, conn, Goodbye::Close(code));
                self.part(now, conn, Closing::Answer, Parting::There(code)); // L1.1, X1.4
            }
            Ending::Lost => self.remove(now, conn, Parting::Lost), // L1.1, X1.15
        }
    }

    /// A session that waits for history waits no more, and gets none.
    pub(crate) fn end_wait(&mut self, conn: ConnId) {
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        let Flow::AwaitHistory { deadline, .. } = session.flow else {
            return;
        };
        session.flow = Flow::Live;
        let group = session.group;
        self.timers.disarm(deadline, Timer::History(conn));
        self.channels
            .update(group, |channel| channel.wait_no_more(conn));
    }

    /// A session has missed, or is about to miss, something: it gets nothing more (L2.4).
    pub(crate) fn lag(&mut self, conn: ConnId, cause: LagCause) {
        self.end_wait(conn);
        self.end_replay(conn);
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        if let Flow::Lagging = session.flow {
            return;
        }
        session.flow = Flow::Lagging;
        let group = session.group;
        self.stats.lagging += 1;
        self.stats.lagged += 1;
        self.emit(Action::Leave { conn, group });
        self.emit(Action::Discard { conn });
        self.notice(Notice::Lagging { conn, cause });
    }

    /// A replay is over, one way or the other (L3.7).
    pub(crate) fn end_replay(&mut self, conn: ConnId) {
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        let Flow::Replaying { tick, deadline } = session.flow else {
            return;
        };
        session.flow = Flow::Live;
        let group = session.group;
        self.timers.disarm(deadline, Timer::Replay(conn));
        self.channels
            .update(group, |channel| channel.history.end_replay(tick));
    }

    fn timeout(&mut self, now: Now) {
        for _ in 0..BATCH {
            if self.replayed >= REPLAY_BATCH {
                break;
            }
            match self.timers.due(now.mono) {
                Some(Timer::Header(conn)) => {
                    self.violated(now, conn, Violation::HeaderTimeout); // H3.1
                }
                Some(Timer::Probe(conn)) => self.probe_over(now, conn),
                Some(Timer::KeepAlive(conn)) => match self.conns.get(&conn) {
                    Some(Conn::Link) => self.keep_link_alive(now, conn),
                    Some(_) | None => self.keep_alive(now, conn),
                },
                Some(Timer::History(conn)) => self.start_replay(now, conn), // W1.1
                Some(Timer::Turn(conn)) => self.violated(now, conn, Violation::TurnTimeout),
                Some(Timer::Dial) => self.seek_due(now),
                Some(Timer::Review) => self.review_due(now),
                Some(Timer::Bridge(bridge, group)) => self.crossing_due(now, (bridge, group)),
                Some(Timer::Replay(conn)) => self.lag(conn, LagCause::ReplayTimeout), // L3.7
                Some(Timer::Expiry) => self.expire(now),
                Some(Timer::Relief) => {}
                None => break,
            }
        }
    }

    /// Pings a session that was silent for an interval, and gives up when the fourth ping in a row
    /// would be due (K1.2).
    fn keep_alive(&mut self, now: Now, conn: ConnId) {
        let interval = self.config.ping_interval;
        let Some(session) = self.session_mut(conn) else {
            return;
        };
        let due = session.heard + interval;
        if session.pings == 0 && due > now.mono {
            session.wake = due;
            self.timers.arm(due, Timer::KeepAlive(conn));
        } else if session.pings == PINGS_MAX {
            self.violated(now, conn, Violation::NoAnswer);
        } else {
            session.pings += 1;
            session.wake = now.mono + interval;
            let wake = session.wake;
            self.timers.arm(wake, Timer::KeepAlive(conn));
            self.emit(Action::Ping { conn });
        }
    }

    /// Forgets a channel that nobody was on for long enough (L1.3), then looks again when the next may
    /// be due: at once, or an hour later at most, for the date can jump.
    fn expire(&mut self, now: Now) {
        self.expiry = None;
        let after = micros(self.config.history_expiry);
        if let Some((last, group)) = self.channels.oldest_idle()
            && last.saturating_add(after) <= now.unix
            && let Some(channel) = self.channels.forget(group)
        {
            self.notice(Notice::Expired { channel });
        }
        self.arm_expiry(now);
    }

    /// Keeps the expiry timer armed while there is a channel without members, for the oldest.
    pub(crate) fn arm_expiry(&mut self, now: Now) {
        let Some((last, _)) = self.channels.oldest_idle() else {
            return;
        };
        let due = last.saturating_add(micros(self.config.history_expiry));
        let wait = due.saturating_sub(now.unix).min(EXPIRY_LOOK);
        let at = now.mono + core::time::Duration::from_micros(wait);
        match self.expiry {
            Some(armed) if armed <= at => return,
            Some(armed) => self.timers.disarm(armed, Timer::Expiry),
            None => {}
        }
        self.timers.arm(at, Timer::Expiry);
        self.expiry = Some(at);
    }

    /// Takes back what an earlier node had stored.
    fn restore(&mut self, now: Now, channel: &Name, entry: Entry) {
        let sound = |number: u64| (1..NUMBER_MAX).contains(&number);
        if !sound(entry.seq) || !sound(entry.ts) || channel.is_empty() || entry.uid.is_empty() {
            return self.notice(Notice::NotRestored {
                reason: "a name is empty, or a number not between 1 and 2^53 - 1",
            });
        }
        if entry.ts > now.unix.saturating_add(AHEAD_MAX) {
            return self.notice(Notice::NotRestored {
                reason: "its time stamp is more than an hour ahead of this machine's clock",
            });
        }
        if self
            .channels
            .find(channel)
            .is_some_and(|c| !c.members.is_empty() || !c.links.is_empty())
        {
            return self.breach("history is restored before anybody joins");
        }
        let (config, uid) = (&self.config, self.uid);
        let group = self.channels.open(channel);
        let most = self.channels.most_origins(group, config);
        self.channels.update(group, |channel| {
            channel.last_ts = channel.last_ts.max(entry.ts);
            if entry.origin == uid {
                channel.seq = channel.seq.max(entry.seq);
            } else {
                channel.seen.note(entry.origin, entry.seq, entry.ts, most);
            }
            channel.remember(entry, config);
        });
        self.arm_expiry(now);
    }

    fn shutdown(&mut self, now: Now) {
        self.stopping = true;
        self.end_bridges(now);
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            // A newcomer may be in already, because its incumbent was closed before it.
            if self.conns.contains_key(&conn) {
                self.close(now, conn, Closing::Restarting); // X1.8
            }
        }
    }

    /// Brings what is remembered back under the byte budget (M3.7, L3.9).
    fn keep_budget(&mut self, now: Now) {
        for _ in 0..BATCH {
            if self.channels.cost() <= self.config.history_bytes {
                return;
            }
            match self.channels.relieve() {
                Excess::Step(None) => {}
                Excess::Step(Some((group, dropped))) => self.keep(group, &dropped.into()),
                Excess::Replay(conn) if self.begun.contains(&conn) => break, // J3.5
                Excess::Replay(conn) => self.lag(conn, LagCause::HistoryBudget),
                Excess::Nothing => match self.channels.waiting(1).first() {
                    Some(&group) => {
                        self.await_no_more(now, group); // W1.5
                        break;
                    }
                    None => return,
                },
            }
        }
        self.timers.arm(now.mono, Timer::Relief);
    }
}

/// Timers, or frames dropped for the budget, that one event may cost.
pub const BATCH: usize = 1024;

/// Frames in the replays that one event begins, but for the last of them.
pub(crate) const REPLAY_BATCH: usize = 32 * BATCH;

/// Pings in a row that may go unanswered (K1.2).
const PINGS_MAX: u8 = 3;

/// Sequence numbers and time stamps stay below this: every language's numbers hold them.
pub(crate) const NUMBER_MAX: u64 = 1 << 53;

/// How far ahead of the date a time stamp that comes from outside may be, in microseconds.
pub(crate) const AHEAD_MAX: u64 = 60 * 60 * 1_000_000;

/// How long the expiry of history may go without a look at the date, in microseconds.
const EXPIRY_LOOK: u64 = 60 * 60 * 1_000_000;
