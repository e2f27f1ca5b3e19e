//! What a node has accepted on a channel: of each origin, the highest sequence number (spec: S1, S2).

use alloc::collections::BTreeMap;

use crate::seed::NodeId;

/// What the budget counts for an origin that is remembered (M3.5).
const ORIGIN_COST: u64 = 64;

/// The origins that a channel remembers; the node's own is kept elsewhere.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Seen {
    origins: BTreeMap<NodeId, Newest>,
    /// Messages of origins that are not remembered count as seen up to this time stamp (S2.2).
    floor: u64,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Newest {
    seq: u64,
    ts: u64,
}

impl Seen {
    /// Whether a message was accepted before, or counts as such.
    pub(crate) fn has(&self, origin: NodeId, seq: u64, ts: u64) -> bool {
        match self.origins.get(&origin) {
            Some(newest) => seq <= newest.seq,
            None => ts <= self.floor,
        }
    }

    /// Notes an accepted message. If there are more than `most` origins, the one that was quiet for
    /// longest is forgotten.
    pub(crate) fn note(&mut self, origin: NodeId, seq: u64, ts: u64, most: usize) {
        let newest = self
            .origins
            .entry(origin)
            .or_insert(Newest { seq: 0, ts: 0 });
        newest.seq = newest.seq.max(seq);
        newest.ts = newest.ts.max(ts);
        if self.origins.len() > most {
            let quiet = self.origins.iter().map(|(id, newest)| (newest.ts, *id));
            if let Some((ts, id)) = quiet.min() {
                self.origins.remove(&id);
                self.floor = self.floor.max(ts);
            }
        }
    }

    /// The highest number accepted of an origin, if it is remembered.
    pub(crate) fn highest(&self, origin: NodeId) -> Option<u64> {
        self.origins.get(&origin).map(|newest| newest.seq)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, u64)> {
        self.origins
            .iter()
            .map(|(origin, newest)| (*origin, newest.seq))
    }

    /// Origins that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.origins.len()
    }

    /// What remembering costs.
    pub(crate) fn cost(&self) -> u64 {
        self.origins.len() as u64 * ORIGIN_COST
    }
}
