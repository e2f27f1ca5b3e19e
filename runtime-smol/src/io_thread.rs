//! One I/O thread: it owns its connections, writes what their outboxes hold, and turns what they
//! read into events for the node.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mles_sansio::peering::wire::LINK_HEADER_MAX;
use mles_sansio::{Action, ConnId, Ending, Event, Fault, GroupId, Role, Source};
use runtime_common::config::Config;
use runtime_common::groups::{Excess, Fill, Flushed, Groups, Progress, conn_id, slot};
use runtime_common::websocket::ControlPayload;
use smol::io::{AsyncRead, AsyncWrite};

use crate::session::{Phase, Session};
use crate::transport::Transport;

/// What happened on a thread, for the node.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Event>,
    /// Connections whose first message is among the events.
    pub(crate) held: Vec<ConnId>,
    /// Pings to be answered when the events are handled.
    pub(crate) pings: Vec<(ConnId, ControlPayload)>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.held.is_empty() && self.pings.is_empty()
    }
}

/// The connections of one thread and what is queued for them.
pub(crate) struct IoThread<S> {
    sessions: RefCell<Vec<Option<Rc<Session<S>>>>>,
    free: RefCell<Vec<u32>>,
    thread: u8,
    generation: Cell<u32>,
    pub(crate) groups: RefCell<Groups>,
    pub(crate) max_message: usize,
    /// What all unfinished messages may hold (M4.6).
    unfinished_max: usize,
    /// What happened since the last turn.
    events: RefCell<Vec<Event>>,
    /// Whoever runs the turns.
    turn: RefCell<Option<Waker>>,
    /// Groups and connections that have something to deliver this turn.
    grown: RefCell<Vec<GroupId>>,
    touched: RefCell<Vec<ConnId>>,
    /// Closing connections and when they are dropped at the latest, in order.
    lingering: RefCell<VecDeque<(Instant, ConnId)>>,
    /// Connections whose first message the node has not seen yet, and pings that came since the last turn.
    held: RefCell<Vec<ConnId>>,
    pings: RefCell<Vec<(ConnId, ControlPayload)>>,
    /// What was read since the last turn: bytes, and what its events cost.
    read: Cell<usize>,
    /// Connections that read on when it is taken.
    waiting: RefCell<Vec<ConnId>>,
    /// Messages that are coming in: since when, and what all of them hold.
    unfinished: RefCell<BTreeMap<ConnId, Instant>>,
    unfinished_bytes: Cell<usize>,
    /// Where plaintext is read to: one buffer for all connections of the thread.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// A delivery's copy of the group's members.
    members: RefCell<Vec<ConnId>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> IoThread<S> {
    /// I/O thread number `thread`, with its share of the budgets over all sessions.
    pub(crate) fn new(thread: u8, config: &Config) -> Self {
        let (outbox, max_message) = (config.outbox, config.max_message);
        let together = TOGETHER.div_ceil(config.io_threads().into());
        let together = together.max(TOGETHER_LEAST);
        // Where messages are small, the largest that comes may be a link's header (F1.1).
        let least = if config.peering.is_on() {
            LINK_HEADER_MAX
        } else {
            0
        };
        let budget = max_message.max(least).saturating_mul(together);
        Self {
            sessions: RefCell::default(),
            free: RefCell::default(),
            thread,
            generation: Cell::new(0),
            groups: RefCell::new(Groups::new(outbox, budget as u64)),
            max_message,
            unfinished_max: budget,
            events: RefCell::default(),
            turn: RefCell::default(),
            grown: RefCell::default(),
            touched: RefCell::default(),
            lingering: RefCell::default(),
            held: RefCell::default(),
            pings: RefCell::default(),
            read: Cell::new(0),
            waiting: RefCell::default(),
            unfinished: RefCell::default(),
            unfinished_bytes: Cell::new(0),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            members: RefCell::default(),
        }
    }

    /// Takes over a connection whose WebSocket is open; `rest` is what came after its request, or after the
    /// answer to ours.
    pub(crate) fn open(
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
        self.groups.borrow_mut().open(conn);
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

    /// The memory of a connection's unfinished message may have changed, which may be another one than
    /// before. If all of them hold too much, the slowest is given up: a client that only drips cannot
    /// keep the others out.
    pub(crate) fn hold(&self, session: &Session<S>, another: bool) {
        let (conn, after) = (session.conn, session.buffered());
        let before = session.counted.replace(after);
        if before == after && (after == 0 || !another) {
            return;
        }
        let bytes = self.unfinished_bytes.get() + after - before;
        self.unfinished_bytes.set(bytes);
        let mut unfinished = self.unfinished.borrow_mut();
        if after == 0 || another {
            unfinished.remove(&conn);
        }
        if after > 0 {
            unfinished.entry(conn).or_insert_with(Instant::now);
        }
        while self.unfinished_bytes.get() > self.unfinished_max {
            let pace = |(&conn, since): (&ConnId, &Instant)| {
                let session = self.session(conn)?;
                let elapsed = since.elapsed().as_micros().max(1);
                Some((session.buffered() as u128 * 1_000_000 / elapsed, conn))
            };
            let Some((_, slowest)) = unfinished.iter().filter_map(pace).min() else {
                return;
            };
            unfinished.remove(&slowest);
            if let Some(session) = self.session(slowest) {
                session.give_up();
                self.unfinished_bytes
                    .set(self.unfinished_bytes.get() - session.counted.take());
                let (conn, fault) = (slowest, Fault::NoRoom);
                self.report(Event::Faulted { conn, fault });
            }
        }
    }

    /// A connection's first message is on its way to the node.
    pub(crate) fn held(&self, conn: ConnId) {
        self.held.borrow_mut().push(conn);
    }

    /// A ping has come. It is answered when the node has had what came before it (M2.4).
    pub(crate) fn pinged(&self, conn: ConnId, payload: ControlPayload) {
        self.pings.borrow_mut().push((conn, payload));
        self.wake_turn();
    }

    /// Forgets a connection, and tells the node if it should not know; its stream goes with the last
    /// reference.
    pub(crate) fn forget(&self, session: &Session<S>) {
        if session.phase.get() != Phase::Closing {
            self.lost(session);
        }
        let conn = session.conn;
        self.groups.borrow_mut().remove(conn);
        if self.session(conn).is_some() {
            session.give_up();
            self.hold(session, false);
            self.sessions.borrow_mut()[slot(conn)] = None;
            self.free.borrow_mut().push(slot(conn) as u32);
        }
        self.wake_turn(); // It may wait for the last one.
    }

    /// Hands an event to the next turn.
    pub(crate) fn report(&self, event: Event) {
        self.events.borrow_mut().push(event);
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
        std::mem::swap(&mut batch.events, &mut *self.events.borrow_mut());
        std::mem::swap(&mut batch.held, &mut *self.held.borrow_mut());
        std::mem::swap(&mut batch.pings, &mut *self.pings.borrow_mut());
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
            self.groups.borrow_mut().pong(conn, payload);
            self.touch(conn);
        }
    }

    /// Executes one action of the node, but for dials and notices, which are the caller's.
    pub(crate) fn execute(&self, action: Action) {
        match action {
            Action::Send { conn, frames } => {
                if self.groups.borrow_mut().send(conn, &frames) {
                    self.report(Event::Overrun { conn });
                }
                self.touch(conn);
            }
            Action::Broadcast {
                group,
                except,
                frames,
            } => {
                let fill = self.groups.borrow_mut().broadcast(group, except, &frames);
                match fill {
                    Fill::First => self.grown.borrow_mut().push(group),
                    Fill::Room => {}
                    Fill::Deliver => self.deliver_group(group),
                }
            }
            Action::Replay { conn, frames } => {
                if self.groups.borrow_mut().replay(conn, frames) == Progress::Replayed {
                    self.report(Event::Replayed { conn });
                }
                self.touch(conn);
            }
            Action::Join { conn, group } => self.groups.borrow_mut().join(conn, group),
            Action::Leave { conn, .. } => self.groups.borrow_mut().leave(conn),
            Action::Resume { conn, link } => {
                let least = if link { LINK_HEADER_MAX } else { 0 };
                if let Some(session) = self.session(conn) {
                    session.resume(self.max_message.max(least)); // F1.1
                }
            }
            Action::Ping { conn } => {
                self.groups.borrow_mut().ping(conn);
                self.touch(conn);
            }
            Action::Discard { conn } => {
                self.groups.borrow_mut().discard(conn);
                self.touch(conn);
            }
            Action::Close { conn, why } => {
                self.groups.borrow_mut().close(conn, why);
                if let Some(session) = self.session(conn) {
                    session.closing();
                    let end = Instant::now() + LINGER;
                    self.lingering.borrow_mut().push_back((end, conn));
                }
                self.touch(conn);
            }
            Action::StoreHistory { .. }
            | Action::Dial { .. }
            | Action::DialBridge { .. }
            | Action::Notice(_) => {}
        }
    }

    /// Writes what this turn's actions queued.
    pub(crate) fn deliver(&self) {
        let touched = std::mem::take(&mut *self.touched.borrow_mut());
        for &conn in &touched {
            self.push(conn);
        }
        let mut grown = std::mem::take(&mut *self.grown.borrow_mut());
        for group in grown.drain(..) {
            self.deliver_group(group);
        }
        *self.grown.borrow_mut() = grown;
        let relieved = self.groups.borrow_mut().relieve();
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
        let mut lingering = self.lingering.borrow_mut();
        while let Some(&(end, conn)) = lingering.front() {
            let Some(session) = self.session(conn) else {
                lingering.pop_front();
                continue;
            };
            if end > now {
                return Some(end);
            }
            lingering.pop_front();
            session.end();
        }
        None
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
        self.unfinished_bytes.get()
    }

    /// Wants a connection's outbox looked at this turn.
    pub(crate) fn touch(&self, conn: ConnId) {
        self.touched.borrow_mut().push(conn);
    }

    pub(crate) fn session(&self, conn: ConnId) -> Option<Rc<Session<S>>> {
        let sessions = self.sessions.borrow();
        let session = sessions.get(slot(conn))?.as_ref();
        session.filter(|session| session.conn == conn).cloned()
    }

    /// Writes what a connection's outbox holds, as far as its socket takes it.
    pub(crate) fn flush(&self, session: &Session<S>, cx: &mut Context<'_>) {
        let conn = session.conn;
        let mut groups = self.groups.borrow_mut();
        let mut stream = session.stream.borrow_mut();
        let mut stream = Pin::new(&mut *stream);
        let result = loop {
            let bytes = groups.next(conn);
            if bytes.is_empty() {
                break stream.as_mut().poll_flush(cx);
            }
            match stream.as_mut().poll_write(cx, bytes) {
                Poll::Ready(Ok(taken)) => {
                    if groups.advance(conn, taken) == Progress::Replayed {
                        self.report(Event::Replayed { conn });
                    }
                }
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        match result {
            Poll::Ready(Ok(())) => {
                session.blocked.set(false);
                match groups.flushed(conn) {
                    Flushed::UpToDate => {}
                    Flushed::Drained => self.report(Event::Drained { conn }),
                    Flushed::Closed => {
                        session.close_sent.set(true);
                        session.wake();
                    }
                }
            }
            Poll::Ready(Err(_)) => {
                drop(groups);
                self.lost(session);
            }
            Poll::Pending => {
                session.blocked.set(true);
                if groups.blocked(conn) {
                    self.report(Event::Overrun { conn });
                }
            }
        }
    }

    /// The transport of a connection is gone.
    pub(crate) fn lost(&self, session: &Session<S>) {
        if session.phase.replace(Phase::Ended) != Phase::Ended {
            let (conn, how) = (session.conn, Ending::Lost);
            self.report(Event::Closed { conn, how });
        }
        session.wake();
    }

    fn deliver_group(&self, group: GroupId) {
        let mut members = std::mem::take(&mut *self.members.borrow_mut());
        members.clear();
        members.extend_from_slice(self.groups.borrow().members(group));
        for &conn in &members {
            self.push(conn);
        }
        self.groups.borrow_mut().delivered(group);
        *self.members.borrow_mut() = members;
    }

    /// Flushes a connection from outside of its task.
    fn push(&self, conn: ConnId) {
        let Some(session) = self.session(conn) else {
            return;
        };
        if session.phase.get() == Phase::Ended {
            return;
        }
        if session.blocked.get() {
            // Its task is woken when the socket takes more; here only the bound is looked at.
            if self.groups.borrow_mut().blocked(conn) {
                self.report(Event::Overrun { conn });
            }
            return;
        }
        let waker = session.waker.borrow();
        self.flush(&session, &mut Context::from_waker(&waker));
    }
}

/// Plaintext that one read takes at most.
const SCRATCH: usize = 64 * 1024;

/// What all connections together read before a turn, and so what waits for the node.
pub(crate) const READ_MAX: usize = 4 << 20;

/// What an event counts as beside its bytes: tiny messages cost the node more than reading them.
pub(crate) const EVENT: usize = 256;

/// Messages of the largest size for which there is room on the way in, and as many on the way out;
/// smaller ones share it (M4.6, L3.10).
const TOGETHER: usize = 4;
/// For how many of them each thread has room at least: fewer would not be what the clauses allow.
const TOGETHER_LEAST: usize = 2;

/// How long the other end has to answer a close frame (X1.7).
const LINGER: Duration = Duration::from_secs(5);
