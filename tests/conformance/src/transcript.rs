//! What was sent and what came, to be read by a person.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::wire::{Frame, Opcode};

/// Which way something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The judge has sent it.
    Sent,
    /// The judge has received it.
    Came,
    /// Something else that matters.
    Note,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sent => ">",
            Self::Came => "<",
            Self::Note => "-",
        })
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct Line {
    /// When, from the beginning of the case.
    pub at: Duration,
    /// On whose connection.
    pub who: String,
    /// Which way.
    pub way: Way,
    /// What.
    pub what: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, who, way, what } = self;
        write!(f, "{:8.3}  {who:8} {way} {what}", at.as_secs_f64())
    }
}

/// What has happened in a case so far.
#[derive(Clone, Debug)]
pub struct Transcript {
    began: Instant,
    lines: Arc<Mutex<Vec<Line>>>,
}

/// More lines than this say nothing to anybody.
const LINES_MAX: usize = 400;

impl Transcript {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            lines: Arc::default(),
        }
    }

    pub(crate) fn add(&self, who: &str, way: Way, what: impl Into<String>) {
        let line = Line {
            at: self.began.elapsed(),
            who: who.to_owned(),
            way,
            what: what.into(),
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // The end matters as much as the beginning.
        if lines.len() == LINES_MAX {
            lines.remove(LINES_MAX / 2);
            lines[LINES_MAX / 2].what = "… (lines left out)".into();
        }
        lines.push(line);
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.clone()
    }
}

/// Bytes as a person can read them: text as text, and what is long shortened.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    // What servers say to each other is longer than what people do.
    let most = if bytes.starts_with(b"{") { 400 } else { 120 };
    let (part, rest) = bytes.split_at(bytes.len().min(most));
    let (part, rest) = match rest.is_empty() {
        true => (part, String::new()),
        false => (&part[..40], format!("… ({} bytes)", bytes.len())),
    };
    match std::str::from_utf8(part) {
        Ok(text) => format!("{text:?}{rest}"),
        Err(error) if !rest.is_empty() && error.valid_up_to() + 4 > part.len() => {
            let text = String::from_utf8_lossy(&part[..error.valid_up_to()]);
            format!("{text:?}{rest}")
        }
        Err(_) => {
            let hex: Vec<_> = part.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}{rest}", hex.join(" "))
        }
    }
}

/// A frame as a person can read it.
#[must_use]
pub fn shown_frame(frame: &Frame) -> String {
    let mut text = match frame.opcode {
        Opcode::CLOSE => frame.as_close().to_string(),
        opcode => format!("{opcode} {}", shown(&frame.payload)),
    };
    if !frame.fin {
        text.push_str(" (not the last fragment)");
    }
    if frame.reserved != 0 {
        text.push_str(&format!(" (reserved bits {:03b})", frame.reserved));
    }
    text
}
