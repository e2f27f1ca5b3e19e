//! The lines of stdin, read by a thread of their own: smol's adapter takes a terminal's end of input for a pause.

use std::io;

use runtime_common::programs::input::Lines;
use smol::channel::Receiver;

/// The lines of stdin, up to its end or an error.
pub(super) fn lines() -> Receiver<Result<Vec<u8>, String>> {
    let (give, lines) = smol::channel::bounded(LINES);
    std::thread::spawn(move || {
        for line in Lines::new(io::stdin().lock()) {
            if give.send_blocking(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Lines that are read ahead.
const LINES: usize = 256;
