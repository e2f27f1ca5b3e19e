//! What the threads of connections tell the node's.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mles_sansio::{ConnId, Event, Fault, Role, Source};
use runtime_common::batch::{Batch, EVENT, READ_MAX};
use runtime_common::groups::{conn_id, slot};
use runtime_common::inbound::Seen;
use runtime_common::unfinished::Unfinished;

use crate::session::Session;

pub(crate) struct Inbox {
    shared: Mutex<Shared>,
    /// There is something for the node.
    filled: Condvar,
    /// There is room again for what was read.
    emptied: Condvar,
    /// The node has looked: everybody has a new share.
    taken: Condvar,
}

struct Shared {
    letters: Letters,
    /// What was read since the node last looked: bytes, and what its events cost.
    cost: usize,
    /// How many times it has looked.
    turn: u64,
    unfinished: Unfinished,
    /// Slots of connections that are gone, and how many there are.
    free: Vec<u32>,
    slots: u32,
    generation: u32,
}

impl Shared {
    /// Whether the node is to look. What is read of sessions that are being closed are bytes and nothing else: they take
    /// room, too, for which others wait.
    fn is_filled(&self) -> bool {
        !self.letters.is_empty() || self.cost > SHARE
    }
}

/// What has come in for one turn.
#[derive(Default)]
pub(crate) struct Letters {
    /// Sessions that begin: before anything else that is about them.
    pub(crate) arrivals: Vec<Arc<Session>>,
    pub(crate) batch: Batch,
    /// Those whose unfinished message is given up.
    pub(crate) given_up: Vec<ConnId>,
    /// Those whose socket takes more.
    pub(crate) writable: Vec<ConnId>,
    /// Those where TLS has something to say.
    pub(crate) touched: Vec<ConnId>,
    /// Those whose thread is at its end: behind everything else that is about them.
    pub(crate) gone: Vec<ConnId>,
}

impl Letters {
    pub(crate) fn is_empty(&self) -> bool {
        self.arrivals.is_empty()
            && self.batch.is_empty()
            && self.given_up.is_empty()
            && self.writable.is_empty()
            && self.touched.is_empty()
            && self.gone.is_empty()
    }
}

/// What a session has read since the node last looked.
#[derive(Default)]
pub(crate) struct Share {
    pub(crate) cost: usize,
    turn: u64,
}

/// What one read of a session has brought.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) events: Vec<Event>,
    pub(crate) bytes: usize,
    pub(crate) seen: Seen,
    pub(crate) heard: bool,
    /// What its unfinished message holds.
    pub(crate) buffered: usize,
    /// TLS has something to say.
    pub(crate) writes: bool,
}

impl Inbox {
    /// An empty one; all unfinished messages together may hold so many bytes.
    pub(crate) fn new(unfinished_max: usize) -> Self {
        Self {
            shared: Mutex::new(Shared {
                letters: Letters::default(),
                cost: 0,
                turn: 0,
                unfinished: Unfinished::new(unfinished_max),
                free: Vec::new(),
                slots: 0,
                generation: 0,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            taken: Condvar::new(),
        }
    }

    /// A session begins, made by `make`.
    pub(crate) fn open(
        &self,
        role: Role,
        source: Source,
        make: impl FnOnce(ConnId) -> Session,
    ) -> Arc<Session> {
        let mut shared = self.lock();
        let place = shared.free.pop().unwrap_or_else(|| {
            shared.slots += 1;
            shared.slots - 1
        });
        shared.generation = shared.generation.wrapping_add(1);
        let conn = conn_id(shared.generation, 0, place);
        let session = Arc::new(make(conn));
        shared.letters.arrivals.push(session.clone());
        let opened = Event::Opened { conn, role, source };
        shared.letters.batch.events.push(opened);
        shared.cost += EVENT;
        self.filled.notify_one();
        session
    }

    /// Waits while the node is behind with what was read, of this session or of all.
    pub(crate) fn wait_for_room(&self, share: &mut Share) {
        let used_up = |shared: &mut Shared| share.turn == shared.turn && share.cost > SHARE;
        let waited = self.taken.wait_while(self.lock(), used_up);
        let shared = waited.unwrap_or_else(PoisonError::into_inner);
        let too_much = |shared: &mut Shared| shared.cost > READ_MAX;
        let waited = self.emptied.wait_while(shared, too_much);
        let turn = waited.unwrap_or_else(PoisonError::into_inner).turn;
        if share.turn != turn {
            *share = Share { turn, cost: 0 };
        }
    }

    /// Hands over what a read has brought. Says what that costs.
    pub(crate) fn put(&self, conn: ConnId, mut news: News) -> usize {
        let mut shared = self.lock();
        let shared = &mut *shared;
        let given_up = shared
            .unfinished
            .hold(conn, news.buffered, news.seen.message);
        let count = news.events.len() + usize::from(news.heard) + given_up.len();
        let cost = news.bytes + count * EVENT;
        shared.cost += cost;
        let letters = &mut shared.letters;
        letters.batch.events.append(&mut news.events);
        letters.batch.add(conn, &news.seen, news.heard);
        for conn in given_up {
            let fault = Fault::NoRoom;
            letters.batch.events.push(Event::Faulted { conn, fault });
            letters.given_up.push(conn);
        }
        if news.writes {
            letters.touched.push(conn);
        }
        if shared.is_filled() {
            self.filled.notify_one();
        }
        if shared.cost <= READ_MAX {
            // One after the other, so that what all of them read is not much more than there is room for.
            self.emptied.notify_one();
        }
        cost
    }

    /// Hands over one event.
    pub(crate) fn report(&self, event: Event) {
        let mut shared = self.lock();
        shared.letters.batch.events.push(event);
        shared.cost += EVENT;
        self.filled.notify_one();
    }

    /// The socket of a session takes more.
    pub(crate) fn put_writable(&self, conn: ConnId) {
        self.lock().letters.writable.push(conn);
        self.filled.notify_one();
    }

    /// The thread of a session is at its end.
    pub(crate) fn put_gone(&self, conn: ConnId) {
        let mut shared = self.lock();
        let _ = shared.unfinished.hold(conn, 0, false);
        shared.letters.gone.push(conn);
        self.filled.notify_one();
    }

    /// The node has forgotten a session: its slot may be another's.
    pub(crate) fn free(&self, conn: ConnId) {
        self.lock().free.push(slot(conn) as u32);
    }

    /// Waits until there is something, or it is time; takes it, and leaves the emptied buffers for what comes next.
    pub(crate) fn take(&self, letters: &mut Letters, until: Option<Instant>) {
        debug_assert!(letters.is_empty(), "what it has is not lost");
        let mut shared = self.lock();
        while !shared.is_filled() {
            shared = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => {
                    let waited = self.filled.wait(shared);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
                Some(left) if left.is_zero() => return,
                Some(left) => {
                    let waited = self.filled.wait_timeout(shared, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        std::mem::swap(letters, &mut shared.letters);
        shared.turn += 1;
        let cost = std::mem::take(&mut shared.cost);
        if cost > SHARE {
            // Those that wait for it have read that much each: they are few.
            self.taken.notify_all();
        }
        if cost > READ_MAX {
            self.emptied.notify_one();
        }
    }

    /// How many times the node has looked.
    #[cfg(test)]
    pub(crate) fn turn(&self) -> u64 {
        self.lock().turn
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is read from one session before it is another's turn.
const SHARE: usize = 64 * 1024;

#[cfg(test)]
mod tests;
