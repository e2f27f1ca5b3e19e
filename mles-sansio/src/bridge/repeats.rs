//! The same message again and again: the sign of a loop that nothing else shows (B1.9).

use alloc::collections::BTreeMap;
use core::time::Duration;

use crate::time::Instant;

/// How often what has come lately has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats {
    since: Instant,
    counts: BTreeMap<u64, u32>,
}

impl Repeats {
    /// Notes that a message has come, and says whether it has come too often.
    pub(super) fn too_often(&mut self, now: Instant, digest: u64) -> bool {
        if self.since + WINDOW <= now {
            self.since = now;
            self.counts.clear();
        }
        if self.counts.len() >= MOST && !self.counts.contains_key(&digest) {
            // What comes often outlasts what does not.
            self.counts.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
            return false;
        }
        let count = self.counts.entry(digest).or_default();
        *count += 1;
        *count > OFTEN
    }
}

/// The time in which is counted, and the different messages that are.
const WINDOW: Duration = Duration::from_secs(10);
const MOST: usize = 1024;

/// So many equal messages in that time may be meant; more are a loop.
const OFTEN: u32 = 100;
