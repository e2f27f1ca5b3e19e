//! Who asks for metrics: few at once and seldom, so that whoever reaches the port can do the service no harm.

use std::time::Duration;

use crate::http::{self, Answer};

/// The head of one request, as far as it has come.
#[derive(Debug, Default)]
pub struct Scrape {
    head: Vec<u8>,
}

impl Scrape {
    /// Takes in what was read, as much as there was [room](Scrape::room) for: the answer when the head is complete, which
    /// is empty if there is none. `metrics` makes their text.
    pub fn take_in(&mut self, bytes: &[u8], metrics: impl FnOnce() -> String) -> Option<Vec<u8>> {
        self.head.extend_from_slice(bytes);
        let answer = match http::parse_head(&self.head) {
            Ok(Some((request, _))) => http::respond_with_metrics(&request, metrics),
            // It has ended, or the head is longer than any scraper's.
            Ok(None) if bytes.is_empty() || self.room() == 0 => return Some(Vec::new()),
            Ok(None) => return None,
            Err(refusal) => refusal.answer(true),
        };
        match answer {
            // Nobody is upgraded here.
            Answer::Upgrade { .. } => Some(Vec::new()),
            Answer::Close { response, .. } => Some(response),
        }
    }

    /// How many bytes may be read now.
    pub fn room(&self) -> usize {
        HEAD_MAX - self.head.len().min(HEAD_MAX)
    }
}

/// Connections for metrics at once; further ones wait to be accepted.
pub const CONNECTIONS: usize = 8;

/// The least time from one of them to the next: an answer costs less than a millisecond without any optimisation, so
/// that whoever does nothing but ask takes a few hundredths of a thread's time.
pub const PACE: Duration = Duration::from_millis(20);

/// The pause after an accept that failed: when descriptors are short, others need them more.
pub const BACK_OFF: Duration = Duration::from_secs(1);

/// The time that a request and its answer may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The time from one line of numbers in the log to the next.
pub const REPORT: Duration = Duration::from_secs(60 * 60);

/// The longest request head that is read.
const HEAD_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> String {
        "mles_up 1\n".to_owned()
    }

    #[test]
    fn a_request_is_answered_once_and_no_long_one_is_read() {
        let mut scrape = Scrape::default();
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        let (first, last) = request.split_at(10);
        assert_eq!(scrape.take_in(first, metrics), None);
        assert_eq!(scrape.room(), HEAD_MAX - first.len());
        let answer = scrape.take_in(last, metrics).unwrap();
        assert!(answer.ends_with(b"mles_up 1\n"));
        let mut scrape = Scrape::default();
        let upgrade = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let answer = scrape.take_in(upgrade, metrics).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 404 "));
        let mut scrape = Scrape::default();
        assert_eq!(scrape.take_in(b"GET", metrics), None);
        assert_eq!(
            scrape.take_in(b"", metrics),
            Some(Vec::new()),
            "it has ended"
        );
        let mut scrape = Scrape::default();
        let endless = format!("GET /{}", "a".repeat(HEAD_MAX));
        assert_eq!(
            scrape.take_in(endless.as_bytes(), metrics),
            Some(Vec::new())
        );
    }
}
