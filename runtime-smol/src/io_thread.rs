//! One I/O thread: it owns its connections, writes what their outboxes hold, and turns what they
//! read into events for the node.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use mles_sansio::{Action, ConnId, Ending, Event, Fault, GroupId, Role, Source};
use runtime_common::batch::{Batch, EVENT, READ_MAX};
use runtime_common::config::Config;
use runtime_common::groups::{Excess, conn_id, slot};
use runtime_common::inbound::Seen;
use runtime_common::outbound::{self, Outbound, Outlet, Then, Written};
use runtime_common::unfinished::Unfinished;
use smol::io::{AsyncRead, AsyncWrite};

use crate::session::Session;
use crate::transport::Transport;

/// The connections of one thread and what is queued for them.
pub struct IoThread<S> {
    sessions: RefCell<Vec<Option<Rc<Session<S>>>>>,
    free: RefCell<Vec<u32>>,
    thread: u8,
    generation: Cell<u32>,
    outbound: RefCell<Outbound>,
    /// What happened since the last turn.
    batch: RefCell<Batch>,
    /// Whoever runs the turns.
    turn: RefCell<Option<Waker>>,
    /// What was read since the last turn: bytes, and what its events cost.
    read: Cell<usize>,
    /// Connections that read on when it is taken.
    waiting: RefCell<Vec<ConnId>>,
    unfinished: RefCell<Unfinished>,
    /// Where plaintext is read to: one buffer for all connections of the thread.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// A delivery's copy of the group's members.
    members: RefCell<Vec<ConnId>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> IoThread<S> {
    /// I/O thread number `thread`, with its share of the budgets over all sessions.
    pub fn new(thread: u8, config: &Config) -> Self {
        Self {
            sessions: RefCell::default(),
            free: RefCell::default(),
            thread,
            generation: Cell::new(0),
            outbound: RefCell::new(Outbound::new(config)),
            batch: RefCell::default(),
            turn: RefCell::default(),
            read: Cell::new(0),
            waiting: RefCell::default(),
            unfinished: RefCell::new(Unfinished::new(outbound::budget(config))),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            members: RefCell::default(),
        }
    }

    /// Takes over a connection whose WebSocket is open; `rest` is what came after its request, or after the
    /// answer to ours. The node hears of it in the next turn; the connection begins to [live](crate::host::live) when
    /// the caller has it do so.
    pub fn open(
        &self,
        stream: Transport<S>,
        rest: Vec<u8>,
        role: Role,
        source: Source,
    ) -> Rc<Session<S>> {
        let mut sessions = self.sessions.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            sessions.push(None);
            u32::try_from(sessions.len() - 1).unwrap_or(u32::MAX)
        });
        self.generation.set(self.generation.get().wrapping_add(1));
        let conn = conn_id(self.generation.get(), self.thread, place);
        let session = Rc::new(Session::new(conn, stream, rest));
        if let Some(free) = sessions.get_mut(slot(conn)) {
            *free = Some(session.clone());
        }
        self.outbound.borrow_mut().open(conn);
        self.report(Event::Opened { conn, role, source });
        session
    }

    /// What was read since the last turn.
    pub(crate) fn read(&self) -> usize {
        self.read.get()
    }

    pub(crate) fn has_read(&self, count: usize) {
        self.read.set(self.read.get() + count);
    }

    /// A connection has had its share, or all have had theirs together. While the node is at the last
    /// batch, asking again and again would only take time from the thread that the node is on.
    pub(crate) fn reads_later(&self, session: &Session<S>) {
        self.wake_turn();
        if self.read.get() < READ_MAX {
            session.wake();
        } else {
            self.waiting.borrow_mut().push(session.conn);
        }
    }

    /// A connection's unfinished message, which may be another one than before, holds so many bytes.
    pub(crate) fn hold(&self, conn: ConnId, bytes: usize, another: bool) {
        let given_up = self.unfinished.borrow_mut().hold(conn, bytes, another);
        for conn in given_up {
            if let Some(session) = self.session(conn) {
                session.give_up();
                let fault = Fault::NoRoom;
                self.report(Event::Faulted { conn, fault });
            }
        }
    }

    /// What one read of a connection has brought beside its events.
    pub(crate) fn seen(&self, conn: ConnId, seen: &Seen, heard: bool) {
        self.batch.borrow_mut().add(conn, seen, heard);
        if heard {
            self.has_read(EVENT);
        }
        if heard || seen.ping.is_some() {
            self.wake_turn();
        }
    }

    /// Forgets a connection, and tells the node if it should not know; its stream goes with the last
    /// reference.
    pub(crate) fn forget(&self, session: &Session<S>) {
        self.lost(session);
        let conn = session.conn;
        self.outbound.borrow_mut().remove(conn);
        if self.session(conn).is_some() {
            self.hold(conn, 0, false);
            self.sessions.borrow_mut()[slot(conn)] = None;
            self.free.borrow_mut().push(slot(conn) as u32);
        }
        self.wake_turn(); // It may wait for the last one.
    }

    /// Hands an event to the next turn.
    pub fn report(&self, event: Event) {
        self.batch.borrow_mut().events.push(event);
        self.has_read(EVENT);
        self.wake_turn();
    }

    pub(crate) fn wake_turn(&self) {
        if let Some(waker) = self.turn.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Whose waker is woken when something happens.
    pub(crate) fn wakes(&self, waker: &Waker) {
        let mut turn = self.turn.borrow_mut();
        if !turn.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *turn = Some(waker.clone());
        }
    }

    /// Takes what happened since the last call, in order, and leaves the emptied batch's buffers for what
    /// happens next.
    pub(crate) fn take(&self, batch: &mut Batch) {
        debug_assert!(batch.is_empty(), "what it has is not lost");
        std::mem::swap(batch, &mut *self.batch.borrow_mut());
        self.read.set(0);
        for conn in self.waiting.borrow_mut().drain(..) {
            if let Some(session) = self.session(conn) {
                session.wake();
            }
        }
    }

    /// The node has handled the events of a batch, and its actions are executed. Whoever is neither
    /// resumed nor closed by them has to wait.
    pub(crate) fn answered(&self, batch: &mut Batch) {
        for conn in batch.held.drain(..) {
            if let Some(session) = self.session(conn) {
                session.wait();
            }
        }
        for (conn, payload) in batch.pings.drain(..) {
            self.outbound.borrow_mut().pong(conn, payload);
        }
    }

    /// Executes one action of the node, but for dials and notices, which are the caller's.
    pub(crate) fn execute(&self, action: Action) {
        let then = self.outbound.borrow_mut().execute(action);
        match then {
            Then::Nothing => {}
            Then::Report(event) => self.report(event),
            Then::Deliver(group) => self.deliver_group(group),
            Then::Resume(conn, max_message) => {
                if let Some(session) = self.session(conn) {
                    session.resume(max_message);
                }
            }
            Then::Closing(conn) => {
                if let Some(session) = self.session(conn) {
                    session.closing();
                }
            }
        }
    }

    /// Writes what this turn's actions queued.
    pub(crate) fn deliver(&self) {
        let touched = self.outbound.borrow_mut().touched();
        for conn in touched {
            self.push(conn);
        }
        let grown = self.outbound.borrow_mut().grown();
        for group in grown {
            self.deliver_group(group);
        }
        let relieved = self.outbound.borrow_mut().relieve();
        for excess in relieved {
            match excess {
                Excess::Overrun(conn) => self.report(Event::Overrun { conn }),
                Excess::Dropped(conn) => {
                    if let Some(session) = self.session(conn) {
                        tracing::debug!("{conn}: dropped in the middle of a frame, to free memory");
                        self.lost(&session);
                    }
                }
            }
        }
    }

    /// Drops connections that have been closing for too long; says when to look again.
    pub(crate) fn drop_lingering(&self, now: Instant) -> Option<Instant> {
        let is_there = |conn| self.session(conn).is_some();
        loop {
            let overdue = self.outbound.borrow_mut().overdue(now, is_there);
            match overdue {
                Ok(conn) => {
                    if let Some(session) = self.session(conn) {
                        session.end();
                    }
                }
                Err(next) => return next,
            }
        }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.borrow().len() - self.free.borrow().len()
    }

    /// How many connections read on when what was read is taken.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Bytes of all messages that are coming in.
    #[cfg(test)]
    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished.borrow().bytes()
    }

    pub(crate) fn session(&self, conn: ConnId) -> Option<Rc<Session<S>>> {
        let sessions = self.sessions.borrow();
        let session = sessions.get(slot(conn))?.as_ref();
        session.filter(|session| session.conn == conn).cloned()
    }

    /// Writes what a connection's outbox holds, as far as its socket takes it.
    pub(crate) fn write(&self, session: &Session<S>, cx: &mut Context<'_>) {
        let written = {
            let mut stream = session.stream.borrow_mut();
            let mut outlet = Polled {
                stream: Pin::new(&mut *stream),
                cx,
            };
            let mut outbound = self.outbound.borrow_mut();
            outbound.write(session.conn, &mut outlet, |event| self.report(event))
        };
        session.blocked.set(written == Written::Blocked);
        match written {
            Written::Everything | Written::Blocked => {}
            Written::Closed => {
                session.close_sent.set(true);
                session.wake();
            }
            Written::Broken => self.lost(session),
        }
    }

    /// The transport of a connection is gone.
    pub(crate) fn lost(&self, session: &Session<S>) {
        if session.lost() {
            let (conn, how) = (session.conn, Ending::Lost);
            self.report(Event::Closed { conn, how });
        }
    }

    fn deliver_group(&self, group: GroupId) {
        let mut members = std::mem::take(&mut *self.members.borrow_mut());
        members.clear();
        members.extend_from_slice(self.outbound.borrow().members(group));
        for &conn in &members {
            self.push(conn);
        }
        self.outbound.borrow_mut().delivered(group);
        *self.members.borrow_mut() = members;
    }

    /// Writes to a connection from outside of its task.
    fn push(&self, conn: ConnId) {
        let Some(session) = self.session(conn) else {
            return;
        };
        if session.has_ended() {
            return;
        }
        if session.blocked.get() {
            // Its task is woken when the socket takes more; here only the bound is looked at.
            let mut outbound = self.outbound.borrow_mut();
            outbound.blocked(conn, |event| self.report(event));
            return;
        }
        let waker = session.waker.borrow();
        self.write(&session, &mut Context::from_waker(&waker));
    }
}

/// A stream that is written to in a task: when it is full, the task is woken as soon as it is not.
struct Polled<'a, 'c, S> {
    stream: Pin<&'a mut S>,
    cx: &'a mut Context<'c>,
}

impl<S: AsyncWrite> Outlet for Polled<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ready(self.stream.as_mut().poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        ready(self.stream.as_mut().poll_flush(self.cx))
    }
}

fn ready<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Plaintext that one read takes at most.
const SCRATCH: usize = 64 * 1024;
