//! What a joiner receives (section 5.2).

use mles_conformance::wire::{Frame, Opcode};

use crate::proxy::Hooks;
use crate::roles::{Turns, announces, is_text, late, said_to};
use crate::{Mutant, is_data, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant("J2.1/oldest-first", "replays in another order", || {
            late("carol", |number, _| number == 2)
        }),
        mutant(
            "J2.1/whole-history",
            "does not replay the oldest entry",
            || without("carol", |number, _| number == 0),
        ),
        own_left_out(),
        before_the_replay(),
        mutant("J2.2/type-and-bytes", "replays everything as text", || {
            said_to("carol", |_, mut frame, wires| {
                if frame.opcode == Opcode::BINARY && frame.payload.is_ascii() {
                    frame.opcode = Opcode::TEXT;
                }
                wires.send_client(frame);
            })
        }),
        mutant("J2.2/type-and-bytes", "trims what it replays", || {
            said_to("carol", |_, mut frame, wires| {
                let trimmed = frame.payload.strip_prefix("\u{feff}".as_bytes());
                frame.payload = trimmed.unwrap_or(&frame.payload).to_vec();
                wires.send_client(frame);
            })
        }),
        mutant(
            "J2.3/join-while-others-send",
            "loses what is accepted between the replay and the join",
            || without("joiner", |number, _| number == 9),
        ),
        mutant(
            "J2.3/join-while-others-send",
            "sends live what it has replayed",
            || {
                said_to("joiner", |number, frame, wires| {
                    if number == 9 {
                        wires.send_client(frame.clone());
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "J2.3/join-while-others-send",
            "sends in another order",
            || late("joiner", |number, _| number == 9),
        ),
        mutant(
            "J2.3/behind-a-long-replay",
            "loses what comes meanwhile",
            || without("carol", |_, frame| is_text(frame, "live 3")),
        ),
        mutant(
            "J2.3/behind-a-long-replay",
            "sends in another order",
            || late("carol", |_, frame| is_text(frame, "live 1")),
        ),
        mutant(
            "J2.4/evicted-after-the-join",
            "does not replay what is evicted meanwhile",
            || {
                without("carol", |number, frame| {
                    number > 30 && frame.opcode == Opcode::BINARY
                })
            },
        ),
        mutant(
            "J2.5/not-this-join",
            "stores the announcement before it replays",
            own_announcement,
        ),
        older_left_out(),
    ]
}

/// A joiner hears its own announcement.
pub(super) fn own_announcement() -> Hooks {
    let mut headed = false;
    Hooks::default().up(move |frame, wires| {
        if !headed && is_data(&frame) {
            headed = true;
            if announces(&frame, "carol") {
                wires.send_client(Frame::text(frame.payload.clone()));
            }
        }
        wires.send_server(frame);
    })
}

/// This uid does not hear what is meant.
fn without(uid: &'static str, is_lost: impl Fn(usize, &Frame) -> bool + Send + 'static) -> Hooks {
    said_to(uid, move |number, frame, wires| {
        if !is_lost(number, &frame) {
            wires.send_client(frame);
        }
    })
}

fn own_left_out() -> Mutant {
    let what = "does not replay to a joiner what came from its uid";
    mutant("J2.1/own-messages", what, || {
        // Alice herself has said it: it can only be a replay.
        without("alice", |_, frame| is_text(frame, "hello"))
    })
}

fn before_the_replay() -> Mutant {
    let what = "sends what is live before the replay";
    mutant("J2.1/before-what-is-live", what, || {
        let mut held = Vec::new();
        said_to("carol", move |number, frame, wires| match number {
            0..=6 => held.push(frame),
            _ => {
                wires.send_client(frame);
                for frame in held.drain(..) {
                    wires.send_client(frame);
                }
            }
        })
    })
}

fn older_left_out() -> Mutant {
    let turns = Turns::default();
    let what = "does not replay any announcement of the joiner's uid";
    mutant("J2.5/older-announcement", what, move || {
        let again = crate::roles::Flag::default();
        let is_again = again.clone();
        Hooks::default()
            .up(turns.up(move |turn, _, frame, wires| {
                if turn == 2 {
                    again.set();
                }
                wires.send_server(frame);
            }))
            .down(move |frame, wires| {
                if !(is_again.is_set() && announces(&frame, "bob")) {
                    wires.send_client(frame);
                }
            })
    })
}
