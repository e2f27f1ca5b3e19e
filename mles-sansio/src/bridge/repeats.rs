//! The same message again and again: the sign of a loop that nothing else shows (B1.9).

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use crate::time::Instant;

/// What has come lately, and how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats {
    came: VecDeque<(Instant, u64)>,
    counts: BTreeMap<u64, u32>,
}

impl Repeats {
    /// Notes that a message has come, and says whether it has come too often.
    pub(super) fn too_often(&mut self, now: Instant, digest: u64) -> bool {
        while let Some((at, old)) = self.came.front().copied()
            && (at + WINDOW <= now || self.came.len() >= MOST)
        {
            self.came.pop_front();
            if let Some(count) = self.counts.get_mut(&old) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&old);
                }
            }
        }
        self.came.push_back((now, digest));
        let count = self.counts.entry(digest).or_default();
        *count += 1;
        *count > OFTEN
    }
}

/// The time that is looked back on, and the messages in it that are remembered at most.
const WINDOW: Duration = Duration::from_secs(10);
const MOST: usize = 1024;

/// So many equal messages in that time may be meant; more are a loop.
const OFTEN: u32 = 100;
