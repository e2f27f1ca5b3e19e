//! What is read from stdin, by a thread of its own.

use std::io::{self, StdinLock};

use runtime_common::programs::input::Lines;

/// The lines of stdin, up to its end or an error.
pub(super) fn lines() -> Lines<StdinLock<'static>> {
    Lines::new(io::stdin().lock())
}
