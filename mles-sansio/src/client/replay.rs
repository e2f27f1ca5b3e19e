//! The time after a connection's join: what comes of the history, and when it is over.

use crate::client::trace::{Thread, Trace};
use crate::time::Instant;

/// A replay that goes on, or may.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    /// Whether something is known from earlier connections.
    pub(crate) again: bool,
    /// The others' messages and announcements.
    others: Thread,
    /// The own messages.
    own: Thread,
    /// When the last frame came.
    pub(crate) last: Option<Instant>,
    /// Messages that came, known or not.
    pub(crate) messages: u64,
    /// Whether the announcement of an earlier join of the client itself was there.
    pub(crate) own_join: bool,
    /// Whether the user was told what is known of the gap.
    pub(crate) told: bool,
}

impl Replay {
    pub(crate) fn new(again: bool, others: &Trace, own: &Trace) -> Self {
        Self {
            again,
            others: Thread::new(others),
            own: Thread::new(own),
            last: None,
            messages: 0,
            own_join: false,
            told: !again,
        }
    }

    /// Whether a frame of the replay was known before this connection.
    pub(crate) fn knows(&mut self, digest: u64, others: &Trace, own: &Trace) -> bool {
        if self.others.follow(others, digest) || self.own.follow(own, digest) {
            return true;
        }
        if !self.others.may_be_over(others) && self.others.find(others, digest, |_| true) {
            return true;
        }
        // An own message that was accepted long before what is being replayed is no match for this frame.
        let stands = self.others.next().unwrap_or(0);
        if !self.own.found() && self.own.find(own, digest, |item| item.before >= stands) {
            return true;
        }
        self.others.pass(others);
        false
    }

    /// Up to which own message the server is known to have accepted all, of those from `first` on.
    ///
    /// Messages are accepted in order, so that one that is in the history vouches for all before it, in the history
    /// or not. But one frame that looks like a later own message may be another's: it takes some in a row.
    pub(crate) fn accepted(&self, first: u64) -> u64 {
        let Some(next) = self.own.next() else {
            return first;
        };
        let began = next - self.own.run();
        if began <= first || self.own.run() >= IN_A_ROW {
            next.max(first)
        } else {
            first
        }
    }

    /// Up to which own message all are accepted, if none of them was only said by another too.
    pub(crate) fn seen(&self) -> u64 {
        self.own.next().unwrap_or(0)
    }

    /// Whether known frames are still to come: quiet does not mean that it is over.
    pub(crate) fn expects_more(&self, others: &Trace) -> bool {
        self.others.found_message() && !self.others.may_be_over(others)
    }

    /// Whether messages may be missing between what was known and what is new. They are not if the replay began
    /// within what was known; nor if it holds the own join, but no message, for then there was none.
    pub(crate) fn gap_possible(&self) -> bool {
        !(self.others.found() || self.own_join && self.messages == 0)
    }
}

/// Own messages one behind the other that make sure that they are meant.
const IN_A_ROW: u64 = 4;
