//! Two histories that meet: what the one has and the other has not (B1.6, B1.7).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::crossing::{QUEUE_BYTES, QUEUE_MESSAGES};
use crate::client::cost;
use crate::client::digest;
use crate::event::{Entry, Name};
use crate::frame::Frame;
use crate::header;

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
    /// If it may go across: it has not come from there, nor is it there, and there is room for it.
    goes: Option<Frame>,
    /// An announcement: an equal one may be of an earlier join, so that it shows nothing of what is older.
    announces: bool,
}

impl CatchingUp {
    pub(super) fn new<'a>(
        history: impl Iterator<Item = &'a Entry>,
        channel: &Name,
        bridge: &Name,
        digest_key: &[u8; 16],
    ) -> Self {
        let mut by_digest: BTreeMap<u64, VecDeque<usize>> = BTreeMap::new();
        let mut here = Vec::new();
        for (entry, at) in history.zip(0..) {
            let digest = digest(digest_key, &entry.frame);
            by_digest.entry(digest).or_default().push_back(at);
            here.push(Known {
                goes: (entry.uid != *bridge).then(|| entry.frame.clone()),
                announces: header::announces(&entry.frame, &entry.uid, channel),
            });
        }
        // The history may hold more than may wait: the newest of it.
        let mut bytes = 0;
        for known in here.iter_mut().rev() {
            let with = bytes + known.goes.as_ref().map_or(0, cost);
            match with <= QUEUE_BYTES {
                true => bytes = with,
                false => known.goes = None,
            }
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
        self.here[at].goes = None;
        if !self.here[at].announces {
            self.shared = self.shared.max(at + 1);
        }
        true
    }

    /// Keeps what was accepted meanwhile, if there is room.
    pub(super) fn wait(&mut self, frame: &Frame) -> bool {
        let bytes = self.bytes + cost(frame);
        let fits = bytes <= QUEUE_BYTES && self.since.len() < QUEUE_MESSAGES;
        if fits {
            self.bytes = bytes;
            self.since.push(frame.clone());
        }
        fits
    }

    /// What the other end has not: what is here behind the newest message that both have. What is older,
    /// the other end has had, and lost from its history.
    pub(super) fn missing(self) -> Vec<Frame> {
        let newer = self.here.into_iter().skip(self.shared);
        let newer = newer.filter_map(|known| known.goes);
        newer.chain(self.since).collect()
    }
}
