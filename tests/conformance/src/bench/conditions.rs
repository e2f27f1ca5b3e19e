//! Conditions on which a case goes on: what the server is said to be, and configured to.

use std::time::Duration;

use super::Bench;
use crate::case::{Judged, Stop};

/// Why what is about links is skipped.
pub(crate) const NO_PEERS: &str =
    "the server takes no peers, or it was not said that it does (--peer-key-file, --peering)";

impl Bench {
    /// The key of the server's clients.
    ///
    /// # Errors
    /// It has none: the case is skipped.
    pub fn key(&self) -> Judged<String> {
        let key = self.target.key.clone();
        key.ok_or_else(|| {
            Stop::Skip("the server has no key, or it was not given (--key-file)".into())
        })
    }

    /// Goes on only if the server has no key.
    ///
    /// # Errors
    /// It has one: the case is skipped.
    pub fn no_key(&self) -> Judged {
        match self.target.key {
            None => Ok(()),
            Some(_) => Err(Stop::Skip("the server has a key".into())),
        }
    }

    /// The key of the server's peers, or the empty text.
    ///
    /// # Errors
    /// The server takes no peers: the case is skipped.
    pub fn peer_key(&self) -> Judged<String> {
        let key = self.target.peer_key.clone();
        key.ok_or_else(|| Stop::Skip(NO_PEERS.into()))
    }

    /// Goes on only if a channel's history keeps so many small messages, and so many bytes.
    ///
    /// # Errors
    /// It keeps less: the case is skipped.
    pub fn keeps(&self, messages: u64, bytes: u64) -> Judged {
        let limits = self.limits();
        // Other cases may fill the rest meanwhile (M3.7).
        let share = if self.has_company { 8 } else { 2 };
        let bound = limits
            .history_channel_bytes
            .min(limits.history_bytes / share);
        // What an entry costs besides (M3.5).
        match limits.limit >= messages && bound >= bytes + messages * 256 {
            true => Ok(()),
            false => Err(Stop::Skip(format!(
                "the histories of the server keep less than {messages} messages of {bytes} bytes together"
            ))),
        }
    }

    /// Goes on only if a member is there for long enough that the judge can attend to several.
    ///
    /// # Errors
    /// It is taken for dead before: the case is skipped.
    pub(super) fn members_live(&self) -> Judged {
        const LEAST: Duration = Duration::from_millis(250);
        let interval = self.limits().ping_interval;
        match interval >= LEAST {
            true => Ok(()),
            false => Err(Stop::Skip(format!(
                "members are taken for dead after {} ms (ping-interval), too soon for the judge to attend to several",
                (interval * 4).as_millis()
            ))),
        }
    }

    /// Goes on only if there is time to take a replay of so many bytes, at a rate that is usual.
    ///
    /// # Errors
    /// There is not: the case is skipped.
    pub fn replays_have_time(&self, bytes: u64) -> Judged {
        const A_MILLISECOND: u64 = 8 << 10;
        let time = self.limits().replay_timeout;
        match time >= Duration::from_millis(bytes / A_MILLISECOND) {
            true => Ok(()),
            false => Err(Stop::Skip(format!(
                "a replay has to be taken in {} ms (replay-timeout), too little for {bytes} bytes",
                time.as_millis()
            ))),
        }
    }

    /// Goes on only if there is time to send a header.
    ///
    /// # Errors
    /// There is not: the case is skipped.
    pub(super) fn headers_have_time(&self) -> Judged {
        const LEAST: Duration = Duration::from_millis(500);
        let time = self.limits().header_timeout;
        match time >= LEAST {
            true => Ok(()),
            false => Err(Stop::Skip(format!(
                "a header has {} ms (header-timeout), too little for the judge to do something else meanwhile",
                time.as_millis()
            ))),
        }
    }

    /// Whether what is said may be gone before somebody who joins meanwhile is a member: so little is kept, or so little
    /// of all channels together that what others say displaces it.
    pub(crate) fn keeps_little(&self) -> bool {
        const A_CHANNEL: u64 = 4096;
        const ALL: u64 = 4 << 20;
        let limits = self.limits();
        limits.limit == 0 || limits.history_channel_bytes < A_CHANNEL || limits.history_bytes < ALL
    }
}
