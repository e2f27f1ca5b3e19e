//! How long `pub` goes on without the server.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::say;

/// How long it goes on without the server.
#[derive(Debug)]
pub(super) struct Patience {
    timeout: Option<Duration>,
    /// When it is at its end, unless the clock stands still.
    until: Option<Instant>,
    /// The clock stands still while there is a connection and there may be more to send.
    still: bool,
    fed: bool,
    /// Whether there was ever a connection.
    ever: bool,
    /// Messages that were accepted when the clock began.
    accepted: u64,
}

impl Patience {
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        let mut patience = Self {
            timeout,
            until: None,
            still: false,
            fed: false,
            ever: false,
            accepted: 0,
        };
        patience.begin();
        patience
    }

    fn begin(&mut self) {
        self.still = false;
        // What is beyond all time never comes.
        self.until = self
            .timeout
            .and_then(|time| Instant::now().checked_add(time));
    }

    pub(super) fn connected(&mut self) {
        self.ever = true;
        self.still = !self.fed;
    }

    /// There is no connection. A server that takes connections and no messages is as good as away: without progress
    /// the clock goes on where it began.
    pub(super) fn alone(&mut self, accepted: u64, given: u64) {
        let stood = std::mem::take(&mut self.still);
        if stood && (accepted > self.accepted || accepted >= given) {
            self.accepted = accepted;
            self.begin();
        }
    }

    /// Everything from here on is to be over in time.
    pub(super) fn input_ended(&mut self) {
        self.fed = true;
        self.begin();
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until.filter(|_| !self.still)
    }

    /// Says what became of the messages. Without any connection the server has none of them, which is a failure;
    /// with one it is not known.
    pub(super) fn out(&self, given: u64, accepted: u64) -> ExitCode {
        let missing = given.saturating_sub(accepted);
        let (what, code) = match self.ever {
            true => ("not known to be accepted", ExitCode::from(3)),
            false => ("not sent", ExitCode::FAILURE),
        };
        let rest = match self.fed {
            true => "",
            false => ", and the rest of stdin was not read",
        };
        say(&format!(
            "error: gave up after {:?} (--timeout): {missing} of {given} messages are {what}{rest}",
            self.timeout.unwrap_or_default(),
        ));
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock runs without a connection and after the input's end, and begins anew with progress alone.
    #[test]
    fn patience() {
        let mut never = Patience::new(None);
        never.alone(0, 0);
        assert_eq!(never.until(), None);
        let mut patience = Patience::new(Some(Duration::from_secs(3600)));
        let first = patience.until();
        assert!(first.is_some());
        patience.alone(0, 5);
        assert_eq!(patience.until(), first, "it runs from the start on");
        patience.connected();
        assert_eq!(
            patience.until(),
            None,
            "nobody knows when the next line comes"
        );
        patience.alone(0, 5);
        assert_eq!(patience.until(), first, "a connection is no progress");
        patience.connected();
        patience.alone(1, 5);
        let second = patience.until();
        assert!(second > first);
        patience.connected();
        patience.alone(1, 1);
        let third = patience.until();
        assert!(third > second, "nothing waited");
        patience.input_ended();
        let last = patience.until();
        assert!(last > third);
        patience.connected();
        patience.alone(3, 5);
        assert_eq!(patience.until(), last, "the end is the end");
    }
}
