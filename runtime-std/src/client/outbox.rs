//! What waits to be written to a connection.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mles_sansio::Frame;
use runtime_common::websocket::ControlPayload;

use super::lock;

/// One thing to write.
#[derive(Debug)]
pub(crate) enum Item {
    Frame(Frame),
    /// A close frame of code 1000.
    Close,
}

/// What is written together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) items: VecDeque<Item>,
    /// Before them, this pong.
    pub(crate) pong: Option<ControlPayload>,
    /// Behind them, the answer to a close frame, with its code.
    pub(crate) answer: Option<u16>,
    /// How many items there were so far.
    pub(crate) count: u64,
}

/// Filled by who drives the machine and who reads, emptied by who writes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    /// For who writes.
    filled: Condvar,
    /// For who waits until nobody writes any more.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Item>,
    /// Of several pings the last one is answered (RFC 6455 section 5.5.3).
    pong: Option<ControlPayload>,
    answer: Option<u16>,
    /// TLS has something to say.
    flush: bool,
    /// A close frame was taken.
    closed: bool,
    /// Nothing comes behind what is here.
    last: bool,
    /// Nothing is to be written any more.
    gone: bool,
    /// Nobody writes any more.
    over: bool,
    waits: bool,
    count: u64,
}

impl Outbox {
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = lock(&self.inner);
        change(&mut inner);
        if std::mem::take(&mut inner.waits) {
            self.filled.notify_one();
        }
    }

    /// Adds what is to be written together.
    pub(crate) fn push(&self, items: &mut Vec<Item>) {
        self.change(|inner| inner.items.extend(items.drain(..)));
    }

    /// Adds the answer to a ping.
    pub(crate) fn pong(&self, payload: ControlPayload) {
        self.change(|inner| inner.pong = Some(payload));
    }

    /// TLS has something to say.
    pub(crate) fn flush(&self) {
        self.change(|inner| inner.flush = true);
    }

    /// The other end has closed: it gets an answer unless it was one itself, and nothing else.
    pub(crate) fn answer(&self, code: u16) {
        self.change(|inner| {
            inner.items.clear();
            inner.answer = (!inner.closed).then_some(code);
            inner.last = true;
        });
    }

    /// Nothing is to be written any more.
    pub(crate) fn give_up(&self) {
        self.change(|inner| inner.gone = true);
    }

    /// What is to be written next: waits for it. `None` if nothing will be.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut inner = lock(&self.inner);
        loop {
            if inner.gone {
                return None;
            }
            if !inner.items.is_empty()
                || inner.pong.is_some()
                || inner.answer.is_some()
                || std::mem::take(&mut inner.flush)
            {
                break;
            }
            if inner.last {
                return None;
            }
            inner.waits = true;
            inner = self.wait(inner);
            inner.waits = false;
        }
        let items = std::mem::take(&mut inner.items);
        inner.closed |= items.iter().any(|item| matches!(item, Item::Close));
        inner.count += items.len() as u64;
        Some(Batch {
            items,
            pong: inner.pong.take(),
            answer: inner.answer.take(),
            count: inner.count,
        })
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let woken = self.filled.wait(inner);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all that was pushed was taken.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.inner).items.is_empty()
    }

    /// Nobody writes any more.
    pub(crate) fn end(&self) {
        let mut inner = lock(&self.inner);
        inner.gone = true;
        inner.over = true;
        self.ended.notify_all();
    }

    /// Waits until nobody writes any more, but not longer than until then.
    pub(crate) fn wait_for_end(&self, deadline: Instant) {
        let mut inner = lock(&self.inner);
        while !inner.over
            && let Some(left) = deadline.checked_duration_since(Instant::now())
        {
            let woken = self.ended.wait_timeout(inner, left);
            inner = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
