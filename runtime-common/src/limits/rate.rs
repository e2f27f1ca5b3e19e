//! New connections a minute: a token bucket per source, in a table that nobody can grow.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use super::Source;

/// Buckets in the table: 32 KiB.
pub const RATE_BUCKETS: usize = 4096;

/// `N` a minute with a burst of `N`, for each of [`RATE_BUCKETS`] buckets. A source's bucket is found by a keyed hash,
/// so that nobody can aim at another's; sources that share one by chance share its tokens.
#[derive(Debug)]
pub(super) struct Rate {
    /// Between two tokens, in nanoseconds.
    interval: u64,
    /// How far a bucket may be ahead of the time: the burst, less the token that is taken.
    burst: u64,
    /// When a bucket will be full again, in nanoseconds since the start: all that a token bucket is, in one number.
    full_at: Box<[u64]>,
    hasher: RandomState,
}

impl Rate {
    pub(super) fn new(per_minute: NonZeroU32, hasher: RandomState) -> Rate {
        let interval = MINUTE / u64::from(per_minute.get());
        let burst = interval * u64::from(per_minute.get() - 1);
        Rate {
            interval,
            burst,
            full_at: vec![0; RATE_BUCKETS].into_boxed_slice(),
            hasher,
        }
    }

    /// Takes a token of the source's bucket; false if there is none. A refusal takes nothing.
    pub(super) fn take(&mut self, source: Source, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let index = self.hasher.hash_one(source) % RATE_BUCKETS as u64;
        let full_at = &mut self.full_at[index as usize];
        let ahead = full_at.saturating_sub(now);
        if ahead > self.burst {
            return false;
        }
        *full_at = now.saturating_add(ahead + self.interval);
        true
    }
}

const MINUTE: u64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        for per_minute in [1, 7, 60, 1_000_000] {
            let mut rate = Rate::new(NonZeroU32::new(per_minute).unwrap(), RandomState::new());
            let start = Duration::from_secs(5);
            let taken = |rate: &mut Rate, now| {
                (0..per_minute + 1)
                    .filter(|_| rate.take(source(1), now))
                    .count()
            };
            assert_eq!(taken(&mut rate, start), per_minute as usize);
            let interval = Duration::from_nanos(MINUTE / u64::from(per_minute));
            assert!(!rate.take(source(1), start + interval - Duration::from_nanos(1)));
            assert!(rate.take(source(1), start + interval));
            assert!(!rate.take(source(1), start + interval));
            // Two quiet minutes give one burst, not two.
            assert_eq!(
                taken(&mut rate, start + Duration::from_secs(180)),
                per_minute as usize
            );
        }
    }

    #[test]
    fn sources_have_their_own_buckets_mostly() {
        let mut rate = Rate::new(NonZeroU32::MIN, RandomState::new());
        let fresh = (0..=255)
            .filter(|last| rate.take(source(*last), Duration::ZERO))
            .count();
        // 256 in 4096 buckets: about 8 share one.
        assert!((220..=256).contains(&fresh), "{fresh}");
    }
}
