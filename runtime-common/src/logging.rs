//! The log on stderr, and `RUST_LOG`.

use std::ffi::OsStr;
use std::io;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::config::LogFormat;

/// Logs to stderr from now on, what `RUST_LOG` says; warns if that can't be understood.
pub fn start(format: LogFormat, wish: Option<&OsStr>) {
    let filter = filter(&wish.unwrap_or_default().to_string_lossy());
    log_to_stderr(format, filter.clone().unwrap_or_else(usual));
    if filter.is_none() {
        tracing::warn!(
            "RUST_LOG is not understood, and what is logged is as without it: give error, warn, info, debug or \
             trace, or TARGET=LEVEL, separated by commas"
        );
    }
}

/// What `RUST_LOG` says: `level` or `target=level`, by commas. None if it says something else.
fn filter(wish: &str) -> Option<Targets> {
    if wish.is_empty() {
        return Some(usual());
    }
    // A word that is no level would be a target, and silence all others: "warning" everything.
    let known = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    let parts: Vec<_> = wish.split(',').map(str::trim).collect();
    if !parts.iter().all(|part| known(part)) {
        return None;
    }
    parts
        .iter()
        .copied()
        .map(of_all)
        .collect::<Vec<_>>()
        .join(",")
        .parse()
        .ok()
}

/// A part of a wish; whichever package a line comes from, it is of `mles`.
fn of_all(part: &str) -> String {
    match part.strip_prefix("mles=") {
        Some(level) => OWN.map(|package| format!("{package}={level}")).join(","),
        None => part.to_owned(),
    }
}

/// What our packages are called in the log of tracing.
const OWN: [&str; 5] = [
    "mles",
    "mles_std",
    "runtime_common",
    "runtime_smol",
    "runtime_std",
];

fn usual() -> Targets {
    Targets::new().with_default(Level::INFO)
}

fn log_to_stderr(format: LogFormat, filter: Targets) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_target(false) // The lines of all runtimes are the same.
        .with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
}
