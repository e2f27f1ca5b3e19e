//! A timer for the state machines. The library has it, and the program for `mles pub`, each as a private module of its own.

use std::pin::Pin;
use std::task::Context;
use std::time::Instant;

use smol::Timer;

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
