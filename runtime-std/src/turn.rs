//! The turn: what the connections read goes through the node, and what the node answers goes out. All of it on one
//! thread, which owns the node and everything that is queued, and never waits for a socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mles_sansio::{Action, ConnId, Event, GroupId, Now};
use runtime_common::Node;
use runtime_common::clock::Clock;
use runtime_common::door::Door;
use runtime_common::groups::{Excess, slot};
use runtime_common::metrics::Meter;
use runtime_common::others::{Others, Whom};
use runtime_common::outbound::{Outbound, Then};

use crate::inbox::{Inbox, Letters};
use crate::session::Session;

/// What the node's thread has.
pub(crate) struct Turns {
    node: Node,
    inbox: Arc<Inbox>,
    outbound: Outbound,
    door: Arc<Door>,
    meter: Arc<Meter>,
    others: Arc<Others>,
    clock: Clock,
    sessions: Vec<Option<Arc<Session>>>,
    /// What the last turn's writing has led to.
    reports: Vec<Event>,
    /// Room for the actions of one event, and for a delivery's copy of the group's members.
    actions: Vec<Action>,
    members: Vec<ConnId>,
}

impl Turns {
    pub(crate) fn new(
        node: Node,
        inbox: Arc<Inbox>,
        outbound: Outbound,
        door: Arc<Door>,
        meter: Arc<Meter>,
        others: Arc<Others>,
    ) -> Self {
        Self {
            node,
            inbox,
            outbound,
            door,
            meter,
            others,
            clock: Clock::new(),
            sessions: Vec::new(),
            reports: Vec::new(),
            actions: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Runs turns until the node was shut down and the last session is gone. `dial` opens a connection to another
    /// server.
    pub(crate) fn run(&mut self, dial: &dyn Fn(Whom)) {
        let mut letters = Letters::default();
        let mut count = 0;
        loop {
            let lingering = self.drop_lingering();
            let next = self.node.next_timeout().map(|(at, _)| self.clock.at(at));
            let at_once = (!self.reports.is_empty()).then(Instant::now);
            let mut next = [next, lingering, at_once].into_iter().flatten().min();
            // Who was let in, and is told so at this moment, is a session in the next.
            let idle = count == 0 && self.reports.is_empty();
            let stops = idle && self.door.stopping.load(Ordering::Relaxed);
            let over = stops && self.door.sessions() == 0;
            if stops {
                next = Some(Instant::now() + if over { Duration::ZERO } else { MOMENT });
            }
            self.inbox.take(&mut letters, next);
            if over && letters.is_empty() {
                return;
            }
            count += letters.arrivals.len();
            count -= letters.gone.len();
            self.turn(&mut letters, dial);
        }
    }

    fn turn(&mut self, letters: &mut Letters, dial: &dyn Fn(Whom)) {
        for session in letters.arrivals.drain(..) {
            self.outbound.open(session.conn);
            let slot = slot(session.conn);
            if self.sessions.len() <= slot {
                self.sessions.resize_with(slot + 1, || None);
            }
            self.sessions[slot] = Some(session);
        }
        let now = self.clock.now();
        for event in std::mem::take(&mut self.reports) {
            self.handle(now, event, dial);
        }
        for event in letters.batch.events.drain(..) {
            self.handle(now, event, dial);
        }
        // What this turn's events have made due has to wait until their actions have been written (J3.5).
        let next = self.node.next_timeout();
        if next.is_some_and(|(at, _)| at < now.mono) {
            self.handle(self.clock.now(), Event::Timeout, dial);
        }
        // Whoever is neither resumed nor closed by now has to wait.
        for conn in letters.batch.held.drain(..) {
            self.with(conn, |session| session.wait(&self.inbox));
        }
        for (conn, payload) in letters.batch.pings.drain(..) {
            self.outbound.pong(conn, payload);
        }
        for conn in letters.given_up.drain(..) {
            self.with(conn, |session| session.give_up());
        }
        for conn in letters.writable.drain(..) {
            self.with(conn, |session| session.unblock());
            self.write(conn);
        }
        for conn in letters.touched.drain(..) {
            self.write(conn);
        }
        self.deliver();
        for conn in letters.gone.drain(..) {
            self.outbound.remove(conn);
            self.sessions[slot(conn)] = None;
            self.inbox.free(conn);
        }
        self.meter.note(&self.node);
    }

    /// Takes an event through the node, and executes what comes of it.
    fn handle(&mut self, now: Now, event: Event, dial: &dyn Fn(Whom)) {
        let mut actions = std::mem::take(&mut self.actions);
        actions.extend(self.node.handle(now, event));
        for action in actions.drain(..) {
            if let Action::Close { why, .. } = &action {
                self.meter.closes(*why);
            }
            if let Action::Notice(notice) = &action {
                self.others.servers.log(notice);
            } else if let Some(whom) = Whom::of(&action) {
                dial(whom);
            } else {
                self.execute(action);
            }
        }
        self.actions = actions;
    }

    fn execute(&mut self, action: Action) {
        match self.outbound.execute(action) {
            Then::Nothing => {}
            Then::Report(event) => self.reports.push(event),
            Then::Deliver(group) => self.deliver_group(group),
            Then::Resume(conn, max_message) => {
                self.with(conn, |session| session.resume(max_message, &self.inbox));
            }
            Then::Closing(conn) => self.with(conn, |session| session.closing(&self.inbox)),
        }
    }

    /// Writes what this turn's actions queued.
    fn deliver(&mut self) {
        for conn in self.outbound.touched() {
            self.write(conn);
        }
        for group in self.outbound.grown() {
            self.deliver_group(group);
        }
        for excess in self.outbound.relieve() {
            match excess {
                Excess::Overrun(conn) => self.reports.push(Event::Overrun { conn }),
                Excess::Dropped(conn) => {
                    tracing::debug!("{conn}: dropped in the middle of a frame, to free memory");
                    self.with(conn, |session| session.break_off());
                }
            }
        }
    }

    fn deliver_group(&mut self, group: GroupId) {
        let mut members = std::mem::take(&mut self.members);
        members.extend_from_slice(self.outbound.members(group));
        for conn in members.drain(..) {
            self.write(conn);
        }
        self.outbound.delivered(group);
        self.members = members;
    }

    fn write(&mut self, conn: ConnId) {
        if let Some(session) = session(&self.sessions, conn) {
            let report = |event| self.reports.push(event);
            session.write(&mut self.outbound, &self.inbox, report);
        }
    }

    /// Drops sessions that have been closing for too long; says when to look again.
    fn drop_lingering(&mut self) -> Option<Instant> {
        loop {
            let sessions = &self.sessions;
            let is_there = |conn| session(sessions, conn).is_some();
            match self.outbound.overdue(Instant::now(), is_there) {
                Ok(conn) => self.with(conn, |session| session.end()),
                Err(next) => return next,
            }
        }
    }

    fn with(&self, conn: ConnId, act: impl FnOnce(&Session)) {
        if let Some(session) = session(&self.sessions, conn) {
            act(session);
        }
    }
}

fn session(sessions: &[Option<Arc<Session>>], conn: ConnId) -> Option<&Arc<Session>> {
    let session = sessions.get(slot(conn))?.as_ref();
    session.filter(|session| session.conn == conn)
}

/// The time between two looks whether who is let in while the server stops is a session.
const MOMENT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
