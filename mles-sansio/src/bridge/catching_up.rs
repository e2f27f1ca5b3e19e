//! Two histories that meet: what the one has and the other has not (B1.6, B1.7).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::crossing::QUEUE_BYTES;
use super::digest;
use crate::event::{Entry, Name};
use crate::frame::Frame;

/// This node's history when the connection opened, while the other's is coming.
#[derive(Clone, Debug)]
pub(super) struct CatchingUp {
    here: Vec<Known>,
    /// Places of those that have not come yet, oldest first.
    by_digest: BTreeMap<u64, VecDeque<usize>>,
    /// The place behind the newest one that has come.
    shared: usize,
    /// What was accepted since.
    since: Vec<Frame>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Known {
    frame: Frame,
    /// Whether it may go across: it has not come from there, nor is it there.
    goes: bool,
}

impl CatchingUp {
    pub(super) fn new<'a>(
        history: impl Iterator<Item = &'a Entry>,
        bridge: &Name,
        digest_key: &[u8; 16],
    ) -> Self {
        let known = |entry: &Entry| Known {
            frame: entry.frame.clone(),
            goes: entry.uid != *bridge,
        };
        let here: Vec<Known> = history.map(known).collect();
        let mut by_digest: BTreeMap<u64, VecDeque<usize>> = BTreeMap::new();
        for (known, at) in here.iter().zip(0..) {
            let digest = digest(digest_key, &known.frame);
            by_digest.entry(digest).or_default().push_back(at);
        }
        Self {
            here,
            by_digest,
            shared: 0,
            since: Vec::new(),
            bytes: 0,
        }
    }

    /// Whether what came is known here: each message as often as it is.
    pub(super) fn knows(&mut self, digest: u64) -> bool {
        let Some(places) = self.by_digest.get_mut(&digest) else {
            return false;
        };
        // Of equal ones it is that which goes on from the newest shared one, if there is such a one.
        let next = places.partition_point(|at| *at < self.shared);
        let at = places.remove(next).or_else(|| places.pop_front());
        let Some(at) = at else { return false };
        self.here[at].goes = false;
        self.shared = self.shared.max(at + 1);
        true
    }

    /// Keeps what was accepted meanwhile, if there is room.
    pub(super) fn wait(&mut self, frame: &Frame) -> bool {
        let fits = self.bytes + frame.payload.len() <= QUEUE_BYTES;
        if fits {
            self.bytes += frame.payload.len();
            self.since.push(frame.clone());
        }
        fits
    }

    /// What the other end has not: what is here behind the newest message that both have. What is older,
    /// the other end has had, and lost from its history.
    pub(super) fn missing(self) -> Vec<Frame> {
        let newer = self.here.into_iter().skip(self.shared);
        let missing = newer.filter(|known| known.goes).map(|known| known.frame);
        missing.chain(self.since).collect()
    }
}
