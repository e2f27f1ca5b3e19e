//! What a server is configured to: the table of limits in section 12 of `spec/client.md`.

use std::time::Duration;

/// The limits that cases have to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "they are named as in the table, by their options"
)]
pub struct Limits {
    pub limit: u64,
    pub history_channel_bytes: u64,
    pub history_bytes: u64,
    pub max_message: u64,
    pub outbox: u64,
    pub replay_timeout: Duration,
    pub handshake_timeout: Duration,
    pub header_timeout: Duration,
    pub ping_interval: Duration,
    pub probe_timeout: Duration,
    /// None if it is not known: it depends on the machine.
    pub max_sessions: Option<u64>,
    /// None if it is not said: a server need not have this limit.
    pub filelimit: Option<u64>,
    /// None if there is none.
    pub per_ip_limit: Option<u64>,
    /// None if there is none.
    pub rate_limit: Option<u64>,
}

impl Default for Limits {
    /// The defaults of the specification.
    fn default() -> Self {
        Self {
            limit: 200,
            history_channel_bytes: 8 << 20,
            history_bytes: 64 << 20,
            max_message: 16 << 20,
            outbox: 1 << 20,
            replay_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(24),
            probe_timeout: Duration::from_secs(5),
            max_sessions: None,
            filelimit: None,
            per_ip_limit: Some(32),
            rate_limit: None,
        }
    }
}

impl Limits {
    /// What can be set.
    pub const NAMES: [&'static str; 14] = [
        "limit",
        "history-channel-bytes",
        "history-bytes",
        "max-message",
        "outbox",
        "replay-timeout",
        "handshake-timeout",
        "header-timeout",
        "ping-interval",
        "probe-timeout",
        "max-sessions",
        "filelimit",
        "per-ip-limit",
        "rate-limit",
    ];

    /// Whether so few sessions are taken that cases come into each other's way: one that is being closed counts (X1.10).
    #[must_use]
    pub fn takes_few_sessions(&self) -> bool {
        const FEW: u64 = 64;
        self.max_sessions.is_some_and(|most| most < FEW)
    }

    /// How many connections cases may have at a time, if they may have so many anyway.
    #[must_use]
    pub fn connections(&self, most: usize) -> usize {
        let sessions = self
            .max_sessions
            .unwrap_or(u64::MAX)
            .min(self.filelimit.unwrap_or(u64::MAX))
            / 2;
        usize::try_from(sessions).map_or(most, |sessions| most.min(sessions).max(1))
    }

    /// Sets one of them, as in `limit=100` or `ping-interval=2s`.
    ///
    /// # Errors
    /// There is no such limit, or this is no value for it.
    pub fn set(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text}: a limit is set as in limit=100 or ping-interval=2s"))?;
        let size =
            || size(value).ok_or_else(|| format!("{text}: not a size, such as 8MiB or 4096"));
        let time =
            || time(value).ok_or_else(|| format!("{text}: not a time, such as 500ms or 24s"));
        let count = || {
            value
                .parse()
                .map_err(|_| format!("{text}: not a whole number"))
        };
        match name {
            "limit" => self.limit = count()?,
            "history-channel-bytes" => self.history_channel_bytes = size()?,
            "history-bytes" => {
                // A quarter of the total, unless it is said what it is.
                if self.history_channel_bytes == Self::default().history_channel_bytes {
                    self.history_channel_bytes = self.history_channel_bytes.min(size()? / 4);
                }
                self.history_bytes = size()?;
            }
            "max-message" => self.max_message = size()?,
            "outbox" => self.outbox = size()?,
            "replay-timeout" => self.replay_timeout = time()?,
            "handshake-timeout" => self.handshake_timeout = time()?,
            "header-timeout" => self.header_timeout = time()?,
            "ping-interval" => self.ping_interval = time()?,
            "probe-timeout" => self.probe_timeout = time()?,
            "max-sessions" => self.max_sessions = Some(count()?),
            "filelimit" => self.filelimit = Some(count()?),
            "per-ip-limit" => self.per_ip_limit = Some(count()?).filter(|limit| *limit > 0),
            "rate-limit" => self.rate_limit = Some(count()?).filter(|limit| *limit > 0),
            _ => {
                let names = Self::NAMES.join(", ");
                return Err(format!("{name}: no such limit; there are {names}"));
            }
        }
        Ok(())
    }
}

fn size(text: &str) -> Option<u64> {
    for (unit, shift) in [("KiB", 10), ("MiB", 20), ("GiB", 30)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.trim().parse::<u64>().ok()?.checked_shl(shift);
        }
    }
    text.parse().ok()
}

fn time(text: &str) -> Option<Duration> {
    for (unit, millis) in [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)] {
        if let Some(number) = text.strip_suffix(unit) {
            let count: u64 = number.trim().parse().ok()?;
            return Some(Duration::from_millis(count.checked_mul(millis)?));
        }
    }
    text.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_as_the_servers_options_are() {
        let mut limits = Limits::default();
        for text in [
            "limit=0",
            "outbox=64KiB",
            "ping-interval=500ms",
            "probe-timeout=2",
        ] {
            limits.set(text).unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(limits.limit, 0);
        assert_eq!(limits.outbox, 65_536);
        assert_eq!(limits.ping_interval, Duration::from_millis(500));
        assert_eq!(limits.probe_timeout, Duration::from_secs(2));
    }

    #[test]
    fn a_channel_has_a_quarter_of_a_small_total() {
        let set = |texts: &[&str]| {
            let mut limits = Limits::default();
            for text in texts {
                limits.set(text).unwrap_or_else(|error| panic!("{error}"));
            }
            limits.history_channel_bytes
        };
        assert_eq!(set(&["history-bytes=4MiB"]), 1 << 20);
        assert_eq!(set(&["history-bytes=1GiB"]), 8 << 20);
        let own = "history-channel-bytes=3MiB";
        assert_eq!(set(&["history-bytes=4MiB", own]), 3 << 20);
        assert_eq!(set(&[own, "history-bytes=4MiB"]), 3 << 20);
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in [
            "limit",
            "limits=3",
            "limit=x",
            "outbox=1TB",
            "ping-interval=soon",
        ] {
            assert!(Limits::default().set(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_name_can_be_set() {
        for name in Limits::NAMES {
            assert_eq!(Limits::default().set(&format!("{name}=7")), Ok(()));
        }
    }
}
