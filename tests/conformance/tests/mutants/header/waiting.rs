//! What a client sends behind its header before it has joined.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mles_conformance::wire::{Frame, Opcode};

use crate::proxy::Hooks;
use crate::{Mutant, is_data, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    let early = Arc::new(Mutex::new(Vec::new()));
    vec![
        mutant(
            "H2.2/stays-unread",
            "reads on while a newcomer waits",
            || {
                let mut taken = 0;
                Hooks::default().up_bytes(move |bytes, wires| {
                    // A few frames are what the others say.
                    if taken < 2000 {
                        wires.bytes_server(bytes);
                    }
                    taken += bytes.len();
                })
            },
        ),
        mutant(
            "H2.3/in-one-write",
            "loses the first message behind the header",
            || loses("carol", 1..2, Arc::default()),
        ),
        mutant(
            "H2.3/in-one-write",
            "takes no more than 8 KiB before the join, and loses the rest",
            || loses("carol", 50..61, Arc::default()),
        ),
        mutant(
            "H2.3/behind-the-wait",
            "loses what came while the newcomer waited",
            {
                let seen = Arc::new(AtomicUsize::new(0));
                move || loses("alice", 1..201, seen.clone())
            },
        ),
        mutant(
            "H2.3/behind-the-wait",
            "loses one message while the newcomer waits",
            {
                let seen = Arc::new(AtomicUsize::new(0));
                move || loses("alice", 82..83, seen.clone())
            },
        ),
        mutant(
            "H2.3/not-before-the-join",
            "distributes what a newcomer says at once",
            move || {
                let mut frames = 0;
                let (put, get) = (early.clone(), early.clone());
                let is_bob = Arc::new(Mutex::new(false));
                let knows = is_bob.clone();
                Hooks::default()
                    .up(move |frame, wires| {
                        if is_data(&frame) {
                            frames += 1;
                            if frames == 1 {
                                let header = String::from_utf8_lossy(&frame.payload);
                                *knows.lock().unwrap() = header.contains("\"bob\"");
                            } else if frame.payload == b"too early" {
                                put.lock().unwrap().push(frame.clone());
                            }
                        }
                        wires.send_server(frame);
                    })
                    .tick(move |wires| {
                        if *is_bob.lock().unwrap() {
                            for frame in get.lock().unwrap().drain(..) {
                                wires.send_client(frame);
                            }
                        }
                    })
            },
        ),
        mutant(
            "H2.3/no-pong-before-the-join",
            "answers pings in any state",
            || {
                Hooks::default().up(|frame, wires| {
                    if frame.opcode == Opcode::PING {
                        wires.send_client(Frame::pong(frame.payload.clone()));
                    }
                    wires.send_server(frame);
                })
            },
        ),
    ]
}

/// Loses the frames with these numbers, the header being 0, of sessions of this uid; if it is alice, only of the second.
fn loses(uid: &'static str, numbers: std::ops::Range<usize>, seen: Arc<AtomicUsize>) -> Hooks {
    let (mut number, mut is_meant) = (0, false);
    Hooks::default().up(move |frame, wires| {
        if !is_data(&frame) {
            wires.send_server(frame);
            return;
        }
        if number == 0 {
            let header = String::from_utf8_lossy(&frame.payload);
            if header.contains(&format!("\"{uid}\"")) {
                let before = seen.fetch_add(1, Ordering::Relaxed);
                is_meant = uid != "alice" || before % 2 == 1;
            }
        }
        if !is_meant || !numbers.contains(&number) {
            wires.send_server(frame);
        }
        number += 1;
    })
}
