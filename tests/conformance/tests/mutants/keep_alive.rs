//! Keep-alive (client.md, section 10).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mles_conformance::wire::{Frame, Opcode};

use crate::proxy::Hooks;
use crate::roles::{Flag, is_text};
use crate::{Mutant, is_data, mutant};

/// What the server's ping-interval is.
const INTERVAL: Duration = Duration::from_secs(2);

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant("K1.1/after-silence", "does not ping", || {
            Hooks::default().down(|frame, wires| {
                if frame.opcode != Opcode::PING {
                    wires.send_client(frame);
                }
            })
        }),
        mutant(
            "K1.1/whatever-others-say",
            "does not ping whom it has just sent something",
            || {
                let mut sent = None;
                Hooks::default().down(move |frame, wires| {
                    let pings = frame.opcode == Opcode::PING;
                    if !pings || sent.is_none_or(|at: Instant| at.elapsed() > INTERVAL) {
                        wires.send_client(frame);
                    }
                    if !pings {
                        sent = Some(Instant::now());
                    }
                })
            },
        ),
        mutant("K1.1/again-and-again", "pings only once", || {
            let mut pinged = false;
            Hooks::default().down(move |frame, wires| {
                let pings = frame.opcode == Opcode::PING;
                if !pings || !pinged {
                    wires.send_client(frame);
                }
                pinged |= pings;
            })
        }),
        mutant("K1.2/closed", "never takes a member for dead", || {
            Hooks::default().down(|frame, wires| {
                if frame.opcode == Opcode::PING {
                    wires.send_server(Frame::pong(frame.payload.clone()));
                }
                wires.send_client(frame);
            })
        }),
        mutant("K1.2/closed", "closes after the second ping", || {
            let mut pings = 0;
            Hooks::default().down(move |frame, wires| {
                pings += usize::from(frame.opcode == Opcode::PING);
                match pings {
                    0..=2 => wires.send_client(frame),
                    _ => wires.close_client(4005, "silent"),
                }
            })
        }),
        mutant("K1.2/closed", "closes with another code", || {
            Hooks::default().down(|frame, wires| match frame.as_close().code {
                Some(4005) => wires.send_client(Frame::close(1001, "silent")),
                _ => wires.send_client(frame),
            })
        }),
        mutant(
            "K1.2/who-answers-stays",
            "takes only messages for a sign of life",
            || no_sign(Opcode::PONG),
        ),
        mutant(
            "K1.5/signs-of-life",
            "takes no pong for a sign of life",
            || no_sign(Opcode::PONG),
        ),
        mutant(
            "K1.5/signs-of-life",
            "takes no ping for a sign of life",
            || no_sign(Opcode::PING),
        ),
        mutant(
            "K1.5/signs-of-life",
            "takes only whole frames for a sign of life",
            // The proxy itself waits until they are whole.
            || Hooks::default().up(|frame, wires| wires.send_server(frame)),
        ),
        mutant(
            "K1.5/signs-of-life",
            "takes no message for a sign of life",
            || {
                Hooks::default().up(|frame, wires| {
                    if !is_text(&frame, "a sign of life") {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "K1.3/not-closed",
            "takes no pong for a sign of life",
            || no_sign(Opcode::PONG),
        ),
        mutant(
            "K1.3/not-closed",
            "takes no ping for a sign of life",
            || no_sign(Opcode::PING),
        ),
        mutant(
            "K1.3/not-closed",
            "takes only whole frames for a sign of life",
            // The proxy itself waits until they are whole.
            || Hooks::default().up(|frame, wires| wires.send_server(frame)),
        ),
        mutant(
            "K1.3/not-closed",
            "takes no message for a sign of life",
            || {
                Hooks::default().up(|frame, wires| {
                    if !is_text(&frame, "a sign of life") {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant("K1.4/lagging", "waits for who does not read", || {
            let mut latest = Instant::now();
            // For alice, who comes first, there are signs of life.
            Hooks::default().tick(move |wires| {
                let is_due = latest.elapsed() > Duration::from_secs(1);
                if wires.number == 0 && wires.upgraded.is_some() && is_due {
                    wires.send_server(Frame::pong(""));
                    latest = Instant::now();
                }
            })
        }),
        mutant(
            "K1.4/closed-from-the-join",
            "counts the silence from the upgrade",
            || {
                Hooks::default().tick(|wires| {
                    let silent = wires
                        .upgraded
                        .is_some_and(|then| then.elapsed() >= INTERVAL * 4);
                    if silent {
                        wires.close_client(4005, "silent");
                    }
                })
            },
        ),
        mutant(
            "K1.5/from-the-join",
            "counts the silence from the upgrade",
            since_the_upgrade,
        ),
    ]
}

fn no_sign(opcode: Opcode) -> Hooks {
    Hooks::default().up(move |frame, wires| {
        if frame.opcode != opcode {
            wires.send_server(frame);
        }
    })
}

fn since_the_upgrade() -> Hooks {
    let header: Arc<Mutex<Option<Instant>>> = Arc::default();
    let came = header.clone();
    let pinged = Flag::default();
    Hooks::default()
        .up(move |frame, wires| {
            if is_data(&frame) {
                header.lock().unwrap().get_or_insert_with(Instant::now);
            }
            wires.send_server(frame);
        })
        .tick(move |wires| {
            let (Some(upgraded), Some(header)) = (wires.upgraded, *came.lock().unwrap()) else {
                return;
            };
            // Only of who has taken some time for it.
            let took = header.duration_since(upgraded);
            let due = upgraded.elapsed() >= INTERVAL && took > INTERVAL / 4;
            if due && !pinged.is_set() {
                pinged.set();
                wires.send_client(Frame::ping(""));
            }
        })
}
