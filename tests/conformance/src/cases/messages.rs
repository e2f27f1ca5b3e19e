//! Messages (client.md, section 6).

mod control;
mod fragments;
mod whole;

use crate::bench::Bench;
use crate::case::Case;
use crate::session::Message;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = [whole::cases(), fragments::cases(), control::cases()].concat();
    cases.sort_by_key(|case| crate::clause::rank(case.clause_id()));
    cases
}

fn frame(message: &Message) -> Frame {
    match message.text {
        true => Frame::text(message.payload.clone()),
        false => Frame::binary(message.payload.clone()),
    }
}

/// Whether the server takes messages of this size.
fn fits(bench: &Bench, message: &Message) -> bool {
    message.payload.len() as u64 <= bench.limits().max_message
}

/// The same in so many fragments.
fn fragments(message: &Message, count: usize) -> Vec<Frame> {
    let size = message.payload.len().div_ceil(count).max(1);
    let mut parts: Vec<_> = message.payload.chunks(size).collect();
    parts.resize(count, &[]);
    let mut frames: Vec<_> = parts
        .into_iter()
        .map(|part| Frame::continuation(part).unfinished())
        .collect();
    frames[0].opcode = frame(message).opcode;
    frames[count - 1].fin = true;
    frames
}

/// As long as messages may be, up to what takes no time.
fn long(bench: &Bench) -> Message {
    let size = bench.limits().max_message.min(300_000);
    Message::binary(vec![0x5a; usize::try_from(size).unwrap_or(1)])
}
