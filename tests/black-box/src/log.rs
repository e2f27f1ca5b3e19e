//! What a process writes, line by line, while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use crate::DEADLINE;

/// The lines of one stream of a process; a thread reads them.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    text: Mutex<Text>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Text {
    lines: Vec<String>,
    /// When each of them came.
    moments: Vec<Instant>,
    ended: bool,
}

/// Grows with each line of any log.
static LINES: Mutex<u64> = Mutex::new(0);
static MORE_LINES: Condvar = Condvar::new();

/// Waits until the lines of several logs are as wished for.
pub fn wait_for_logs(logs: &[&Log], wish: impl Fn(&[Vec<String>]) -> bool) {
    let until = Instant::now() + DEADLINE;
    loop {
        let before = *LINES.lock().unwrap_or_else(|poison| poison.into_inner());
        let lines: Vec<_> = logs.iter().map(|log| log.lines()).collect();
        if wish(&lines) {
            return;
        }
        let mut now = LINES.lock().unwrap_or_else(|poison| poison.into_inner());
        while *now == before {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not as wished for: {lines:#?}");
            let waited = MORE_LINES.wait_timeout(now, left);
            now = waited.unwrap_or_else(|poison| poison.into_inner()).0;
        }
    }
}

impl Log {
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let log = Self(Arc::new(Shared {
            text: Mutex::default(),
            grown: Condvar::new(),
        }));
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                {
                    let mut text = writer.text();
                    text.lines.push(line);
                    text.moments.push(Instant::now());
                }
                writer.0.grown.notify_all();
                *LINES.lock().unwrap_or_else(|poison| poison.into_inner()) += 1;
                MORE_LINES.notify_all();
            }
            writer.text().ended = true;
            writer.0.grown.notify_all();
        });
        log
    }

    fn text(&self) -> MutexGuard<'_, Text> {
        let text = self.0.text.lock();
        text.unwrap_or_else(|poison| poison.into_inner())
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.text().lines.clone()
    }

    /// When each line came that holds this text.
    #[must_use]
    pub fn moments(&self, part: &str) -> Vec<Instant> {
        let text = self.text();
        let lines = text.lines.iter().zip(&text.moments);
        let fit = lines.filter(|(line, _)| line.contains(part));
        fit.map(|(_, moment)| *moment).collect()
    }

    /// Waits for a line that holds this text and gives it; none if the stream ends without it.
    #[must_use]
    pub fn wait_for(&self, part: &str) -> Option<String> {
        let until = Instant::now() + DEADLINE;
        let mut text = self.text();
        let mut seen = 0;
        loop {
            let fits = |line: &&String| line.contains(part);
            if let Some(line) = text.lines[seen..].iter().find(fits) {
                return Some(line.clone());
            }
            seen = text.lines.len();
            if text.ended {
                return None;
            }
            text = self.wait(text, until, part);
        }
    }

    /// Waits until the lines so far are as wished for.
    pub fn wait_until(&self, wish: impl Fn(&[String]) -> bool) {
        let until = Instant::now() + DEADLINE;
        let mut text = self.text();
        while !wish(&text.lines) {
            assert!(
                !text.ended,
                "what was wished for is not in {:#?}",
                text.lines
            );
            text = self.wait(text, until, "what was wished for");
        }
    }

    /// Waits for the end of the stream.
    pub fn wait_for_end(&self) {
        let until = Instant::now() + DEADLINE;
        let mut text = self.text();
        while !text.ended {
            text = self.wait(text, until, "its end");
        }
    }

    fn wait<'a>(
        &self,
        text: MutexGuard<'a, Text>,
        until: Instant,
        what: &str,
    ) -> MutexGuard<'a, Text> {
        let left = until.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "no {what:?} in {:#?}", text.lines);
        let waited = self.0.grown.wait_timeout(text, left);
        waited.unwrap_or_else(|poison| poison.into_inner()).0
    }
}
