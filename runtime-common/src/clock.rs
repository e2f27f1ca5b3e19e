//! Time for the state machines.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mles_sansio::Now;

/// The two clocks of a node or a client.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Whose time begins now.
    #[expect(
        clippy::new_without_default,
        reason = "a clock of another moment is another clock"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// What a machine is told with an event.
    pub fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: mles_sansio::Instant::from_micros(micros(self.start.elapsed())),
            unix: micros(unix),
        }
    }

    /// When it is so late on the machine's clock.
    pub fn at(&self, moment: mles_sansio::Instant) -> Instant {
        self.start + Duration::from_micros(moment.as_micros())
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
