//! What a client's threads tell each other: the user, who drives the machine, and who reads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mles_sansio::client::Goodbye;
use mles_sansio::{ConnId, Frame};
use runtime_common::client::{COMMANDS, ENDED, EVENTS, Event};
use runtime_common::dial::DialError;

use super::lock;

/// Something about a connection that the machine has to know whether its user listens or not.
pub(crate) enum News {
    Opened(ConnId),
    Failed(ConnId, DialError),
    /// Of what the connection was given, so many frames are written, and there are no more.
    Written(ConnId, u64),
}

/// Something that was read from a connection.
pub(crate) enum Arrival {
    Frame(Frame),
    End(Goodbye),
}

/// What a turn of the driver is about.
#[derive(Default)]
pub(crate) struct Turn {
    /// Messages of the user's; the driver takes them out one by one.
    pub(crate) messages: VecDeque<Frame>,
    /// Behind them there are no more.
    pub(crate) finish: bool,
    pub(crate) news: VecDeque<News>,
    pub(crate) arrivals: VecDeque<(ConnId, Arrival)>,
}

/// One lock for all: whoever holds it moves a few values and waits for nothing else.
#[derive(Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    driver: Condvar,
    /// For who calls `next`.
    user: Condvar,
    /// For who calls `send`.
    sender: Condvar,
    reader: Condvar,
    /// Disconnected when the last thread is gone.
    #[cfg(test)]
    pub(super) life: Mutex<Option<std::sync::mpsc::Sender<()>>>,
}

#[derive(Default)]
struct Inner {
    messages: VecDeque<Frame>,
    finish: bool,
    news: VecDeque<News>,
    /// The connection whose arrivals are wanted.
    current: Option<ConnId>,
    arrivals: VecDeque<(ConnId, Arrival)>,
    /// Bytes that they hold.
    arrived: usize,
    events: VecDeque<Event>,
    /// The user wants no more.
    given_up: bool,
    /// Nobody drives any more.
    over: bool,
    /// Who waits: nobody else is worth a system call.
    driver_waits: bool,
    users_wait: usize,
    senders_wait: usize,
    readers_wait: usize,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn wake_driver(&self, inner: &mut Inner) {
        if std::mem::take(&mut inner.driver_waits) {
            self.driver.notify_one();
        }
    }

    /// The user sends a message; waits for room.
    pub(crate) fn send(&self, frame: Frame) -> Result<(), String> {
        let mut inner = self.lock();
        while inner.messages.len() >= COMMANDS && !inner.over {
            inner.senders_wait += 1;
            inner = wait(&self.sender, inner);
            inner.senders_wait -= 1;
        }
        if inner.over {
            return Err(ENDED.to_owned());
        }
        inner.messages.push_back(frame);
        self.wake_driver(&mut inner);
        Ok(())
    }

    /// The user sends nothing more.
    pub(crate) fn finish(&self) {
        let mut inner = self.lock();
        inner.finish = true;
        self.wake_driver(&mut inner);
    }

    /// The user wants no more.
    pub(crate) fn give_up(&self) {
        let mut inner = self.lock();
        inner.given_up = true;
        inner.events.clear();
        self.wake_driver(&mut inner);
    }

    /// An event that is there.
    pub(crate) fn ready(&self) -> Option<Event> {
        self.take(&mut self.lock())
    }

    fn take(&self, inner: &mut Inner) -> Option<Event> {
        let event = inner.events.pop_front();
        if !inner.arrivals.is_empty() {
            self.wake_driver(inner);
        }
        event
    }

    /// The next event, or the end.
    pub(crate) fn next(&self) -> Option<Event> {
        let mut inner = self.lock();
        loop {
            let event = self.take(&mut inner);
            if event.is_some() || inner.over {
                return event;
            }
            inner.users_wait += 1;
            inner = wait(&self.user, inner);
            inner.users_wait -= 1;
        }
    }

    /// The same; `None` if there is neither until then.
    pub(crate) fn next_until(&self, deadline: Instant) -> Option<Option<Event>> {
        let mut inner = self.lock();
        loop {
            let event = self.take(&mut inner);
            if event.is_some() || inner.over {
                return Some(event);
            }
            if deadline <= Instant::now() {
                return None;
            }
            inner.users_wait += 1;
            inner = wait_until(&self.user, inner, deadline);
            inner.users_wait -= 1;
        }
    }

    /// Tells the user.
    pub(crate) fn tell(&self, events: &mut Vec<Event>) {
        let mut inner = self.lock();
        if !inner.given_up {
            inner.events.extend(events.drain(..));
        }
        if inner.users_wait > 0 {
            self.user.notify_all();
        }
    }

    /// Waits until there is something for the driver, or it is time; false if the user wants no more. Messages come
    /// only if it `takes` some and has none left, arrivals only while the user takes events.
    pub(crate) fn turn(&self, turn: &mut Turn, takes: bool, until: Option<Instant>) -> bool {
        let takes = takes && turn.messages.is_empty() && !turn.finish;
        let mut inner = self.lock();
        loop {
            let listens = inner.events.len() < EVENTS;
            let wished = takes && (inner.finish || !inner.messages.is_empty());
            let arrived = listens && !inner.arrivals.is_empty();
            let is_due = || until.is_some_and(|until| until <= Instant::now());
            if inner.given_up {
                return false;
            }
            if !wished && !arrived && inner.news.is_empty() && !is_due() {
                inner.driver_waits = true;
                inner = match until {
                    Some(until) => wait_until(&self.driver, inner, until),
                    None => wait(&self.driver, inner),
                };
                inner.driver_waits = false;
                continue;
            }
            if wished {
                std::mem::swap(&mut inner.messages, &mut turn.messages);
                turn.finish = std::mem::take(&mut inner.finish);
                if inner.senders_wait > 0 {
                    self.sender.notify_all();
                }
            }
            std::mem::swap(&mut inner.news, &mut turn.news);
            if arrived {
                let count = inner.arrivals.len().min(EVENTS);
                turn.arrivals.extend(inner.arrivals.drain(..count));
                let taken = turn.arrivals.iter().map(|(_, arrival)| arrival.size());
                inner.arrived -= taken.sum::<usize>();
                self.wake_readers(&inner);
            }
            return true;
        }
    }

    /// From now on, what is read from this new connection is wanted, and from no other one.
    pub(crate) fn read_from(&self, conn: Option<ConnId>) {
        let mut inner = self.lock();
        inner.current = conn;
        inner.arrivals.clear();
        inner.arrived = 0;
        self.wake_readers(&inner);
    }

    fn wake_readers(&self, inner: &Inner) {
        if inner.readers_wait > 0 {
            self.reader.notify_all();
        }
    }

    /// Tells the driver of a connection.
    pub(crate) fn news(&self, news: News) {
        let mut inner = self.lock();
        inner.news.push_back(news);
        self.wake_driver(&mut inner);
    }

    /// Hands over what was read, and takes it out of `arrivals`; waits while there is too much of it. False if it is
    /// not wanted any more.
    pub(crate) fn arrived(&self, conn: ConnId, arrivals: &mut Vec<Arrival>) -> bool {
        let mut inner = self.lock();
        while inner.current == Some(conn)
            && (inner.arrivals.len() >= EVENTS || inner.arrived >= READ_AHEAD)
        {
            inner.readers_wait += 1;
            inner = wait(&self.reader, inner);
            inner.readers_wait -= 1;
        }
        if inner.current != Some(conn) {
            return false;
        }
        inner.arrived += arrivals.iter().map(Arrival::size).sum::<usize>();
        let arrivals = arrivals.drain(..).map(|arrival| (conn, arrival));
        inner.arrivals.extend(arrivals);
        if inner.events.len() < EVENTS {
            self.wake_driver(&mut inner);
        }
        true
    }

    /// Nobody drives any more.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.over = true;
        inner.current = None;
        inner.messages.clear();
        inner.arrivals.clear();
        self.user.notify_all();
        self.sender.notify_all();
        self.reader.notify_all();
    }
}

impl Arrival {
    fn size(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.payload.len(),
            Self::End(_) => 0,
        }
    }
}

fn wait<'a>(condition: &Condvar, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
    let woken = condition.wait(inner);
    woken.unwrap_or_else(PoisonError::into_inner)
}

fn wait_until<'a>(
    condition: &Condvar,
    inner: MutexGuard<'a, Inner>,
    until: Instant,
) -> MutexGuard<'a, Inner> {
    let left = until.saturating_duration_since(Instant::now());
    let woken = condition.wait_timeout(inner, left);
    woken.unwrap_or_else(PoisonError::into_inner).0
}

/// Bytes that are read ahead of the machine.
const READ_AHEAD: usize = 256 << 10;
