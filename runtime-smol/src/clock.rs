//! Time for the state machines: what it is, and when they want to hear of it. The library's client has it and the
//! program's server, each as a private module of its own.

use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mles_sansio::Now;
use smol::Timer;

/// The two clocks of a node or a client.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: mles_sansio::Instant::from_micros(micros(self.start.elapsed())),
            unix: micros(unix),
        }
    }

    pub(crate) fn at(&self, moment: mles_sansio::Instant) -> Instant {
        self.start + Duration::from_micros(moment.as_micros())
    }
}

/// A timer that is set anew only when its moment changes.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    armed: Option<(Instant, Timer)>,
}

impl Alarm {
    /// Whether the moment has come; if not, the task is woken when it has.
    pub(crate) fn is_due(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> bool {
        if self.armed.as_ref().map(|(at, _)| *at) != at {
            self.armed = at.map(|at| (at, Timer::at(at)));
        }
        let due = self
            .armed
            .as_mut()
            .is_some_and(|(_, timer)| Pin::new(timer).poll(cx).is_ready());
        if due {
            self.armed = None;
        }
        due
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
