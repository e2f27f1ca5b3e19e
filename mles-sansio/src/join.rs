//! From header to membership and out again: auth, duplicates, replay, announcement
//! (spec: H1, A2, J1, J2, J3, L1).

use crate::accept::Sender;
use crate::action::{Action, GroupId};
use crate::auth;
use crate::channel::Member;
use crate::client::Goodbye;
use crate::event::{ConnId, Entry, Name};
use crate::frame::Frame;
use crate::header::{self, Header};
use crate::node::Node;
use crate::notice::{Notice, Parting};
use crate::session::{AwaitIncumbent, Conn, Flow, Session};
use crate::time::Now;
use crate::timer::Timer;
use crate::violation::{Closing, Violation};

impl Node {
    /// A connection's first frame.
    pub(crate) fn header(&mut self, now: Now, conn: ConnId, frame: &Frame) {
        let header = match header::parse(frame) {
            Ok(header) => header,
            Err(violation) => return self.violated(now, conn, violation),
        };
        if header.peer {
            let dialer = match self.conns.get(&conn) {
                Some(Conn::AwaitHeader { dialer, .. }) => *dialer,
                Some(_) | None => None,
            };
            return self.greeted(now, conn, dialer, frame);
        }
        let key = self.config.key.as_ref();
        match auth::check(&header.uid, &header.channel, header.auth.as_ref(), key) {
            Ok(()) => self.claim(now, conn, &header),
            Err(violation) => self.violated(now, conn, violation), // A2.5
        }
    }

    /// A good header claims a uid on a channel: it is free, or its incumbent is asked (J1.2).
    fn claim(&mut self, now: Now, conn: ConnId, header: &Header) {
        if let Some(Conn::AwaitHeader { deadline, .. }) = self.conns.remove(&conn) {
            self.timers.disarm(deadline, Timer::Header(conn));
        }
        let asked = self.channels.id(&header.channel).and_then(|group| {
            let asked = self.channels.update(group, |channel| {
                let incumbent = channel.members.get_mut(&header.uid)?;
                let first = incumbent.waiting.is_none();
                if first {
                    incumbent.waiting = Some(conn);
                }
                Some((group, incumbent.conn, first))
            });
            asked.flatten()
        });
        let Some((group, incumbent, first)) = asked else {
            return self.join(now, conn, &header.uid, &header.channel);
        };
        if !first {
            return self.refuse(conn); // J1.7: one newcomer waits.
        }
        let deadline = now.mono + self.config.probe_timeout;
        self.timers.arm(deadline, Timer::Probe(conn));
        let state = AwaitIncumbent {
            group,
            uid: header.uid.clone(),
            deadline,
            alive: false,
        };
        self.conns.insert(conn, Conn::AwaitIncumbent(state));
        self.emit(Action::Ping { conn: incumbent });
    }

    /// The session joins: replay, membership, announcement, in this order, so that between history
    /// and live stream nothing is lost, repeated or reordered (J2.3).
    fn join(&mut self, now: Now, conn: ConnId, uid: &Name, channel: &Name) {
        let group = self.channels.open(channel);
        let own = self.channels.update(group, |channel| {
            let waiting = None;
            channel
                .members
                .insert(uid.clone(), Member { conn, waiting });
            channel.seq
        });
        self.want(group); // C1.1
        let waits = !self.is_synchronised(group);
        let flow = if waits {
            let deadline = now.mono + self.config.peering.history_wait;
            self.timers.arm(deadline, Timer::History(conn)); // W1.1
            self.channels.update(group, |channel| {
                channel.wait(conn);
            });
            let own = own.unwrap_or_default();
            Flow::AwaitHistory { deadline, own }
        } else {
            Flow::Live
        };
        let wake = now.mono + self.config.ping_interval;
        self.timers.arm(wake, Timer::KeepAlive(conn)); // K1.1
        let session = Session {
            group,
            uid: uid.clone(),
            heard: now.mono,
            pings: 0,
            wake,
            flow,
        };
        self.conns.insert(conn, Conn::Joined(session));
        self.stats.sessions += 1;
        self.stats.joins += 1;
        if !waits {
            self.start_replay(now, conn);
        }
        self.accept(
            now,
            group,
            uid.clone(),
            header::announcement(uid, channel),
            Sender::Session(conn),
        ); // J3.3, J3.5
        let link = false;
        self.emit(Action::Resume { conn, link });
        self.notice(Notice::Joined {
            conn,
            uid: uid.clone(),
            channel: channel.clone(),
        });
    }

    /// The session gets its replay, and what is accepted from then on (J2.3, W1.3).
    pub(crate) fn start_replay(&mut self, now: Now, conn: ConnId) {
        let deadline = now.mono + self.config.replay_timeout;
        let Some(session) = self.session(conn) else {
            return;
        };
        let (group, uid, node) = (session.group, session.uid.clone(), self.uid);
        let mut own = u64::MAX;
        if let Flow::AwaitHistory {
            deadline,
            own: above,
        } = session.flow
        {
            self.timers.disarm(deadline, Timer::History(conn));
            own = above;
        }
        let its_own = |entry: &Entry| entry.origin == node && entry.seq > own && entry.uid == uid;
        let replay = self.channels.update(group, |channel| {
            channel.release(conn, deadline, its_own) // W1.4
        });
        let flow = match replay.flatten() {
            Some((tick, frames)) => {
                self.replayed += frames.len();
                self.begun.push(conn);
                self.timers.arm(deadline, Timer::Replay(conn)); // L3.7
                self.emit(Action::Replay { conn, frames });
                Flow::Replaying { tick, deadline }
            }
            None => Flow::Live,
        };
        if let Some(session) = self.session_mut(conn) {
            session.flow = flow;
        }
        self.emit(Action::Join { conn, group });
    }

    /// Something came from a session that a newcomer may be waiting for: a pong settles it, anything
    /// else only shows that the session lives, for it may have been under way before a close (J1.3, J1.4).
    pub(crate) fn answered(&mut self, conn: ConnId, pong: bool) {
        let Some(newcomer) = self.waiting_for(conn) else {
            return;
        };
        if pong {
            self.withdraw(newcomer);
            self.refuse(newcomer);
        } else if let Some(Conn::AwaitIncumbent(waiting)) = self.conns.get_mut(&newcomer) {
            waiting.alive = true;
        }
    }

    /// The incumbent's time to answer is over (J1.4, J1.5).
    pub(crate) fn probe_over(&mut self, now: Now, newcomer: ConnId) {
        let Some(Conn::AwaitIncumbent(waiting)) = self.conns.get(&newcomer) else {
            return;
        };
        if waiting.alive {
            self.withdraw(newcomer);
            return self.refuse(newcomer);
        }
        let channel = self.channels.get(waiting.group);
        let incumbent = channel.and_then(|channel| channel.members.get(&waiting.uid));
        if let Some(incumbent) = incumbent.map(|member| member.conn) {
            self.violated(now, incumbent, Violation::NoAnswer);
        }
    }

    fn refuse(&mut self, newcomer: ConnId) {
        let violation = Violation::Duplicate;
        self.stats.violations += 1;
        self.notice(Notice::Violated {
            conn: newcomer,
            violation,
        });
        self.emit(Action::Close {
            conn: newcomer,
            why: Closing::Violation(violation),
        });
    }

    /// Ends a connection for what it did.
    pub(crate) fn violated(&mut self, now: Now, conn: ConnId, violation: Violation) {
        self.stats.violations += 1;
        self.bridge_refuses(conn, violation);
        self.notice(Notice::Violated { conn, violation });
        self.close(now, conn, Closing::Violation(violation));
    }

    /// Ends a connection with a close frame. What is queued goes out first only if the server is the
    /// one who leaves (X1.5).
    pub(crate) fn close(&mut self, now: Now, conn: ConnId, why: Closing) {
        self.part(now, conn, why, Parting::Here(why));
    }

    /// The same, when somebody else may have begun with it.
    pub(crate) fn part(&mut self, now: Now, conn: ConnId, why: Closing, parting: Parting) {
        if self.session(conn).is_some() && why != Closing::Restarting {
            self.emit(Action::Discard { conn });
        }
        self.emit(Action::Close { conn, why });
        self.remove(now, conn, parting);
    }

    /// Forgets a connection. If it was an incumbent with a newcomer waiting, that one joins (J1.6).
    pub(crate) fn remove(&mut self, now: Now, conn: ConnId, why: Parting) {
        match self.conns.get(&conn) {
            Some(Conn::AwaitHeader { deadline, .. }) => {
                self.timers.disarm(*deadline, Timer::Header(conn));
                self.conns.remove(&conn);
            }
            Some(Conn::AwaitIncumbent(_)) => self.withdraw(conn),
            Some(Conn::Joined(_)) => self.leave(now, conn),
            Some(Conn::AwaitReply(_)) => self.seek_ended(now, conn),
            Some(Conn::Link) => self.unlink(now, conn, why),
            Some(Conn::Bridge(_)) => self.bridge_lost(now, conn, Goodbye::Lost),
            None => {}
        }
    }

    /// A session leaves its channel (L1.1).
    fn leave(&mut self, now: Now, conn: ConnId) {
        self.end_wait(conn);
        self.end_replay(conn);
        let Some(Conn::Joined(session)) = self.conns.remove(&conn) else {
            return;
        };
        self.timers.disarm(session.wake, Timer::KeepAlive(conn));
        self.stats.sessions -= 1;
        if let Flow::Lagging = session.flow {
            self.stats.lagging -= 1;
        }
        let left = self.channels.update(session.group, |channel| {
            let member = channel.members.remove(&session.uid);
            (member.and_then(|m| m.waiting), channel.name.clone())
        });
        let Some((newcomer, channel)) = left else {
            panic!("a session's channel exists as long as the session does");
        };
        self.notice(Notice::Left {
            conn,
            uid: session.uid.clone(),
            channel: channel.clone(),
        });
        match newcomer {
            Some(newcomer) => {
                if let Some(Conn::AwaitIncumbent(waiting)) = self.conns.remove(&newcomer) {
                    self.timers.disarm(waiting.deadline, Timer::Probe(newcomer));
                }
                if self.stopping {
                    let why = Closing::Restarting;
                    self.emit(Action::Close {
                        conn: newcomer,
                        why,
                    });
                } else {
                    self.join(now, newcomer, &session.uid, &channel);
                }
            }
            None => {
                self.interest_may_end(now, session.group);
                self.arm_expiry(now);
            }
        }
    }

    /// Takes back a newcomer's claim.
    fn withdraw(&mut self, newcomer: ConnId) {
        let Some(Conn::AwaitIncumbent(waiting)) = self.conns.remove(&newcomer) else {
            return;
        };
        self.timers.disarm(waiting.deadline, Timer::Probe(newcomer));
        self.channels.update(waiting.group, |channel| {
            if let Some(member) = channel.members.get_mut(&waiting.uid) {
                member.waiting = None;
            }
        });
    }

    /// The newcomer that waits for this session.
    fn waiting_for(&self, conn: ConnId) -> Option<ConnId> {
        let session = self.session(conn)?;
        self.member(session.group, &session.uid)?.waiting
    }

    fn member(&self, group: GroupId, uid: &Name) -> Option<&Member> {
        self.channels.get(group)?.members.get(uid)
    }

    pub(crate) fn session(&self, conn: ConnId) -> Option<&Session> {
        match self.conns.get(&conn)? {
            Conn::Joined(session) => Some(session),
            Conn::AwaitHeader { .. }
            | Conn::AwaitIncumbent(_)
            | Conn::AwaitReply(_)
            | Conn::Link
            | Conn::Bridge(_) => None,
        }
    }

    pub(crate) fn session_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        match self.conns.get_mut(&conn)? {
            Conn::Joined(session) => Some(session),
            Conn::AwaitHeader { .. }
            | Conn::AwaitIncumbent(_)
            | Conn::AwaitReply(_)
            | Conn::Link
            | Conn::Bridge(_) => None,
        }
    }
}
