//! A session: its thread reads, the node's thread writes. Both may hold its lock, and neither waits while it does.

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use mles_sansio::{ConnId, Ending, Event};
use runtime_common::inbound::{Inbound, Phase};
use runtime_common::outbound::{Outbound, Written};

use crate::inbox::{Inbox, News, Share};
use crate::socket::{has_unread, wait_for_room};
use crate::thread::{self, SESSION, WAITER};
use crate::transport::Transport;

pub(crate) struct Session {
    pub(crate) conn: ConnId,
    socket: Arc<TcpStream>,
    state: Mutex<State>,
    /// Its thread may read on, or has to end.
    changed: Condvar,
}

struct State {
    transport: Transport,
    inbound: Inbound,
    /// The socket takes no more; a thread waits until it does.
    blocked: bool,
    close_sent: bool,
    /// Goodbye is said, and nothing is to follow.
    shut: bool,
    /// Writing has failed.
    broken: bool,
    /// What has arrived is not all taken in.
    has_rest: bool,
}

impl State {
    /// The connection is dropped, or is about to be.
    fn has_ended(&self) -> bool {
        self.broken || self.inbound.phase() == Phase::Ended
    }

    /// The close frame goes out in this turn, unless the socket is full: whoever has said all there is to say, and ended
    /// its half of the connection, is to get it, too.
    fn is_about_to_close(&self) -> bool {
        self.inbound.phase() == Phase::Closing && !self.close_sent && !self.blocked
    }
}

/// What a session's thread does next.
#[cfg_attr(test, derive(Debug, PartialEq))]
enum Next {
    /// To read from the socket.
    Read,
    /// To wait until the node says what is to be read.
    Wait,
    /// To have a thread wait until the socket takes more.
    Waiter,
    /// Nothing.
    End,
}

impl Session {
    pub(crate) fn new(
        conn: ConnId,
        socket: Arc<TcpStream>,
        transport: Transport,
        rest: Vec<u8>,
    ) -> Self {
        let state = State {
            inbound: Inbound::new(conn, transport.is_dialed(), rest),
            transport,
            blocked: false,
            close_sent: false,
            shut: false,
            broken: false,
            has_rest: false,
        };
        Self {
            conn,
            socket,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Has a thread of its own read to the session's end; if there is none to be had, this one does. `last` is dropped
    /// with it.
    pub(crate) fn start(self: Arc<Self>, inbox: &Arc<Inbox>, last: impl Send + 'static) {
        let life = Arc::new(Mutex::new(Some((Leaving(self, inbox.clone()), last))));
        let live = |life: &Mutex<Option<(Leaving, _)>>| {
            let life = life.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((Leaving(session, inbox), _)) = &life {
                session.live(inbox);
            }
        };
        let inner = life.clone();
        if thread::spawn("session", SESSION, move || live(&inner)).is_err() {
            live(&life);
        }
    }

    fn live(self: &Arc<Self>, inbox: &Arc<Inbox>) {
        let mut arrived = Arrived::default();
        loop {
            inbox.wait_for_room(&mut arrived.share);
            match self.read(&mut arrived, inbox) {
                Next::Read => match arrived.fill(&self.socket) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return,
                },
                Next::Wait => self.wait_for_change(),
                Next::Waiter => self.write_when_there_is_room(inbox),
                Next::End => return,
            }
        }
    }

    /// Takes in what arrived, as far as anything is to be read now.
    fn read(&self, arrived: &mut Arrived, inbox: &Inbox) -> Next {
        let mut plaintext = [0; PLAINTEXT];
        let mut news = News::default();
        let seen = &mut news.seen;
        let mut state = self.lock();
        let state = &mut *state;
        let next = loop {
            let room = state.inbound.room(plaintext.len());
            if state.has_ended() {
                break Next::End;
            }
            let events = &mut news.events;
            if state.inbound.read_rest(seen, |event| events.push(event)) {
                continue;
            }
            if room == 0 || state.is_about_to_close() {
                break Next::Wait;
            }
            if state.shut && arrived.left > 0 {
                // It is not even decrypted.
                let report = |event| events.push(event);
                state.inbound.read(arrived.rest(), seen, report);
                arrived.left = 0;
                continue;
            }
            match state.transport.read(&mut plaintext[..room]) {
                Ok(Some(count @ 1..)) => {
                    news.bytes += count;
                    let bytes = &mut plaintext[..count];
                    state.inbound.read(bytes, seen, |event| events.push(event));
                    continue;
                }
                Ok(None) => {}
                Ok(Some(0)) | Err(_) => break Next::End,
            }
            if arrived.left == 0 {
                break Next::Read;
            }
            let mut rest = &*arrived.rest();
            let taken = state.transport.take_in(&mut rest);
            arrived.left = rest.len();
            if taken.is_err() {
                // What was wrong is told, as far as it can be.
                let _ = state.transport.send();
                break Next::End;
            }
        };
        if let Next::End = next {
            self.tell_loss(state, &mut news);
        }
        state.has_rest = arrived.left > 0;
        let blocked = self.say_goodbye(state);
        news.heard = state.inbound.was_heard(&news.seen);
        // TLS answers a change of keys.
        news.writes = state.transport.wants_write() && !state.blocked;
        news.buffered = state.inbound.buffered();
        // Under the lock, for the node's thread may read on where this one has stopped.
        arrived.share.cost += inbox.put(self.conn, news);
        if blocked { Next::Waiter } else { next }
    }

    /// The other end is gone.
    fn lost(&self, inbox: &Inbox) {
        let mut news = News::default();
        self.tell_loss(&mut self.lock(), &mut news);
        inbox.put(self.conn, news);
    }

    fn tell_loss(&self, state: &mut State, news: &mut News) {
        if state.inbound.lost() {
            let (conn, how) = (self.conn, Ending::Lost);
            news.events.push(Event::Closed { conn, how });
        }
    }

    fn wait_for_change(&self) {
        let waits = |state: &mut State| {
            let nothing = state.inbound.room(1) == 0 || state.is_about_to_close();
            nothing && !state.has_ended()
        };
        let waited = self.changed.wait_while(self.lock(), waits);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// The node has accepted the header, or waits for none.
    pub(crate) fn resume(&self, max_message: usize, inbox: &Inbox) {
        self.change(inbox, |inbound| inbound.resume(max_message));
    }

    /// The node has seen the header, and neither resumed nor closed the connection.
    pub(crate) fn wait(&self, inbox: &Inbox) {
        self.change(inbox, Inbound::wait);
    }

    /// The node ends the connection.
    pub(crate) fn closing(&self, inbox: &Inbox) {
        self.change(inbox, Inbound::closing);
    }

    /// Reads nothing more of what comes, and frees what was read of it.
    pub(crate) fn give_up(&self) {
        self.lock().inbound.give_up();
    }

    /// What is read is another matter now. Its thread may wait for that, or for the socket: then what it has read before
    /// is understood here.
    fn change(&self, inbox: &Inbox, change: impl FnOnce(&mut Inbound) -> bool) {
        let mut state = self.lock();
        if !change(&mut state.inbound) {
            return;
        }
        let mut news = News::default();
        let (events, seen) = (&mut news.events, &mut news.seen);
        if state.inbound.read_rest(seen, |event| events.push(event)) {
            news.buffered = state.inbound.buffered();
            inbox.put(self.conn, news);
        }
        self.changed.notify_one();
    }

    /// The connection is dropped whatever it still owes.
    pub(crate) fn end(&self) {
        self.lock().inbound.end();
        self.wake();
    }

    /// The connection is dropped, and the node is to hear of it.
    pub(crate) fn break_off(&self) {
        self.lock().broken = true;
        self.wake();
    }

    /// Ends whatever its thread waits for.
    fn wake(&self) {
        // If it is gone already, so is who waits for it.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.changed.notify_one();
    }

    /// Writes what is queued for it, as far as the socket takes it. On the node's thread.
    pub(crate) fn write(
        self: &Arc<Self>,
        outbound: &mut Outbound,
        inbox: &Arc<Inbox>,
        report: impl FnMut(Event),
    ) {
        let mut state = self.lock();
        if state.has_ended() {
            return;
        }
        if state.blocked {
            return outbound.blocked(self.conn, report);
        }
        let mut blocked = false;
        match outbound.write(self.conn, &mut state.transport, report) {
            Written::Everything => {}
            Written::Closed => state.close_sent = true,
            Written::Blocked => {
                state.blocked = true;
                blocked = true;
            }
            Written::Broken => {
                drop(state);
                return self.break_off();
            }
        }
        blocked |= self.say_goodbye(&mut state);
        let closing = state.inbound.phase() == Phase::Closing;
        drop(state);
        if closing {
            self.changed.notify_one();
        }
        if blocked {
            self.write_when_there_is_room(inbox);
        }
    }

    /// The socket takes more.
    pub(crate) fn unblock(&self) {
        self.lock().blocked = false;
    }

    /// Ends TLS when nothing is left to be said. Says whether that has to wait for the socket.
    fn say_goodbye(&self, state: &mut State) -> bool {
        if !state.close_sent || !state.inbound.is_over() || state.blocked {
            return false;
        }
        if !state.shut {
            match state.transport.shut() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.blocked = true;
                    return true;
                }
                // What has failed is over, too.
                Ok(()) | Err(_) => state.shut = true,
            }
        }
        if state.inbound.may_be_dropped() && !state.has_rest && !has_unread(&self.socket) {
            state.inbound.end();
            self.wake();
        }
        false
    }

    /// Has a thread of its own wait until the socket takes more, and tell the node.
    fn write_when_there_is_room(self: &Arc<Self>, inbox: &Arc<Inbox>) {
        let (session, inbox) = (self.clone(), inbox.clone());
        let waits = move || {
            wait_for_room(&session.socket);
            inbox.put_writable(session.conn);
        };
        if let Err(error) = thread::spawn("waiter", WAITER, waits) {
            tracing::warn!("no thread to wait for a slow client: {error}; it is dropped");
            self.break_off();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session is forgotten when its thread ends, whichever way that is.
struct Leaving(Arc<Session>, Arc<Inbox>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let Self(session, inbox) = self;
        session.lost(inbox);
        // A thread may wait until its socket takes more, which who does not read puts off for ever.
        session.wake();
        inbox.put_gone(session.conn);
    }
}

/// What has come from the socket.
struct Arrived {
    buffer: [u8; CIPHERTEXT],
    /// The end of it.
    end: usize,
    /// How much of it, up to there, was not taken in yet.
    left: usize,
    /// What was made of it.
    share: Share,
}

impl Arrived {
    /// Waits for more.
    fn fill(&mut self, mut socket: &TcpStream) -> io::Result<usize> {
        self.end = loop {
            match socket.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.left = self.end;
        Ok(self.left)
    }

    fn rest(&mut self) -> &mut [u8] {
        &mut self.buffer[self.end - self.left..self.end]
    }
}

impl Default for Arrived {
    fn default() -> Self {
        Self {
            buffer: [0; CIPHERTEXT],
            end: 0,
            left: 0,
            share: Share::default(),
        }
    }
}

/// What is read from a socket at once.
const CIPHERTEXT: usize = 4 * 1024;

/// Plaintext that is understood at once.
const PLAINTEXT: usize = 4 * 1024;

#[cfg(test)]
mod tests;
