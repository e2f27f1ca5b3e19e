//! Slow readers (client.md, section 9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mles_conformance::wire::{Frame, Opcode};

use crate::proxy::{Hooks, Wires};
use crate::whose::{closes_with, down_to, down_to_first, says};
use crate::{Mutant, is_close, mutant, set_wrong};

pub(super) fn mutants() -> Vec<Mutant> {
    let all = [lagging(), outbox(), replay()];
    all.into_iter().flatten().collect()
}

/// Whether a frame is one of those that fill an outbox.
fn is_load(frame: &Frame) -> bool {
    frame.opcode == Opcode::BINARY && frame.payload.len() >= 50
}

/// The payload that the sender gave to the message with this number.
pub(crate) fn load(nth: usize, length: usize) -> Frame {
    let mut payload = vec![(nth % 251) as u8; length];
    payload[..8].copy_from_slice(&(nth as u64).to_be_bytes());
    Frame::binary(payload)
}

/// Says once a session of this uid was sent so many messages that fill an outbox; what it does not read is taken from the
/// server all the same.
fn stalls(flag: &Arc<AtomicBool>, who: &'static str, victims: &'static [&'static str]) -> Hooks {
    let flag = flag.clone();
    let flagged = flag.clone();
    let (is_who, is_victim) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (meant, hit) = (is_who.clone(), is_victim.clone());
    let mut is_first = true;
    let mut count = 0;
    let up = move |frame: Frame, wires: &mut Wires| {
        if std::mem::take(&mut is_first) {
            is_who.store(says(&frame, who), Ordering::Relaxed);
            let any = victims.iter().any(|victim| says(&frame, victim));
            is_victim.store(any, Ordering::Relaxed);
        }
        wires.send_server(frame);
    };
    let down = move |frame: Frame, wires: &mut Wires| {
        count += usize::from(is_load(&frame));
        if meant.load(Ordering::Relaxed) && count == 3 {
            flag.store(true, Ordering::Relaxed);
        }
        if !hit.load(Ordering::Relaxed) || !flagged.load(Ordering::Relaxed) {
            wires.send_client(frame);
        }
    };
    Hooks::default().up(up).down(down).greedy()
}

/// Nothing of a session of this uid is read once alice was sent some messages.
fn unread(flag: &Arc<AtomicBool>, who: &'static str) -> Hooks {
    let flag = flag.clone();
    let flagged = flag.clone();
    let (mut is_first, mut is_who, mut count) = (true, false, 0);
    let is_alice = Arc::new(AtomicBool::new(false));
    let meant = is_alice.clone();
    let up = move |frame: Frame, wires: &mut Wires| {
        if std::mem::take(&mut is_first) {
            is_who = says(&frame, who);
            is_alice.store(says(&frame, "alice"), Ordering::Relaxed);
        }
        if !is_who || !flagged.load(Ordering::Relaxed) {
            wires.send_server(frame);
        }
    };
    let down = move |frame: Frame, wires: &mut Wires| {
        count += usize::from(is_load(&frame));
        if meant.load(Ordering::Relaxed) && count == 1 {
            flag.store(true, Ordering::Relaxed);
        }
        wires.send_client(frame);
    };
    Hooks::default().up(up).down(down)
}

/// The so-manieth message that fills an outbox becomes this for alice.
fn load_becomes(nth: usize, change: impl Fn(Frame, &mut Wires) + Send + 'static) -> Hooks {
    let mut count = 0;
    down_to("alice", move |frame, wires| {
        count += usize::from(is_load(&frame));
        match is_load(&frame) && count == nth {
            true => change(frame, wires),
            false => wires.send_client(frame),
        }
    })
}

fn lagging() -> Vec<Mutant> {
    let flags = || Arc::new(AtomicBool::new(false));
    let (a, b, c, d, e) = (flags(), flags(), flags(), flags(), flags());
    vec![
        mutant(
            "L2.1/goes-on-being-heard",
            "does not listen to who does not read",
            move || unread(&a, "alice"),
        ),
        mutant(
            "L2.2/others-on-the-channel",
            "waits for who does not read",
            move || stalls(&b, "alice", &["carol"]),
        ),
        mutant(
            "L2.2/other-channels",
            "waits for who does not read",
            move || stalls(&c, "alice", &["dave", "erin"]),
        ),
        mutant(
            "L2.3/senders-are-read",
            "reads no more than others take",
            move || unread(&d, "bob"),
        ),
        mutant("L2.4/nothing-further", "sends what comes later", || {
            // It knows nothing of the gap.
            load_becomes(3, |_, _| {})
        }),
        mutant(
            "L2.4/nothing-further",
            "says nothing at all any more",
            || {
                let hooks = Hooks::default().down(|frame, wires| {
                    if !is_close(&frame) {
                        wires.send_client(frame);
                    }
                });
                hooks.server_ended(|_| {})
            },
        ),
        mutant("L2.5/closed-with-4008", "closes with another code", || {
            closes_with(|close| (1008, close.reason))
        }),
        mutant(
            "L2.5/closed-with-4008",
            "ends the connection without a close frame",
            || {
                Hooks::default().down(|frame, wires| match is_close(&frame) {
                    true => wires.end_client(),
                    false => wires.send_client(frame),
                })
            },
        ),
        mutant(
            "L2.6/stays-a-member",
            "makes who does not read leave",
            move || unread(&e, "alice"),
        ),
        mutant("L2.7/prefix-of-live-messages", "leaves holes", || {
            load_becomes(3, |_, _| {})
        }),
        mutant(
            "L2.7/prefix-of-live-messages",
            "cuts a message short",
            || {
                load_becomes(2, |mut frame, wires| {
                    frame.payload.truncate(70_000);
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "L2.7/prefix-of-replay-and-live-messages",
            "leaves holes",
            || load_becomes(3, |_, _| {}),
        ),
    ]
}

/// Alice gets what waited for her although she is lagging.
fn waiting_comes(was: &Arc<AtomicBool>, lengths: &'static [usize]) -> Hooks {
    down_to_first("alice", was, move |frame, wires| {
        if is_close(&frame) {
            for (nth, length) in lengths.iter().enumerate() {
                wires.send_client(load(nth + 1, *length));
            }
        }
        wires.send_client(frame);
    })
}

/// Alice is closed once she was sent so many bytes.
fn closed_after(most: usize) -> Hooks {
    let is_it = Arc::new(AtomicBool::new(false));
    let meant = is_it.clone();
    let (mut is_first, mut count) = (true, 0);
    let up = move |frame: Frame, wires: &mut Wires| {
        if std::mem::take(&mut is_first) {
            is_it.store(says(&frame, "alice"), Ordering::Relaxed);
        }
        wires.send_server(frame);
    };
    let down = move |bytes: &[u8], wires: &mut Wires| {
        count += bytes.len();
        match count > most && meant.load(Ordering::Relaxed) {
            true => wires.close_client(4008, "you do not read"),
            false => wires.bytes_client(bytes),
        }
    };
    Hooks::default().up(up).down_bytes(down)
}

fn outbox() -> Vec<Mutant> {
    vec![
        set_wrong("L3.1/has-a-bound", "keeps what it can", &["outbox=1GiB"]),
        set_wrong(
            "L3.1/up-to-the-bound",
            "counts a byte more",
            &["outbox=1048575"],
        ),
        set_wrong("L3.3/a-byte-more", "takes a byte more", &["outbox=1048577"]),
        set_wrong(
            "L3.3/a-byte-more",
            "does not count headers",
            &["outbox=1049000"],
        ),
        mutant(
            "L3.2/in-progress-does-not-count",
            "counts what is in progress",
            || closed_after(13_000_000),
        ),
        mutant(
            "L3.4/in-progress-is-completed",
            "drops what is in progress, too",
            || closed_after(1 << 20),
        ),
        mutant(
            "L3.4/in-progress-is-completed",
            "sends what waited first",
            {
                let was = Arc::new(AtomicBool::new(false));
                move || waiting_comes(&was, &[100, 1000, 50])
            },
        ),
        mutant(
            "L3.5/ahead-of-what-waits",
            "has pongs wait behind messages",
            || {
                let mut held = Vec::new();
                down_to("alice", move |frame, wires| {
                    if frame.opcode == Opcode::PONG {
                        held.push(frame);
                        return;
                    }
                    let is_behind = frame.payload.len() == 1000;
                    wires.send_client(frame);
                    if is_behind {
                        for frame in held.drain(..) {
                            wires.send_client(frame);
                        }
                    }
                })
            },
        ),
        mutant(
            "L3.5/not-lost-if-it-is-full",
            "drops pongs as it drops messages",
            || {
                Hooks::default().down(|frame, wires| {
                    if frame.opcode != Opcode::PONG {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant("L3.10/two-of-the-largest", "has room for one", || {
            closed_after(17_000_000)
        }),
        mutant("L3.10/nobody-else", "makes everybody lagging", {
            let count = Arc::new(AtomicUsize::new(0));
            move || {
                let (count, counted) = (count.clone(), count.clone());
                let up = move |bytes: &[u8], wires: &mut Wires| {
                    count.fetch_add(bytes.len(), Ordering::Relaxed);
                    wires.bytes_server(bytes);
                };
                let tick = move |wires: &mut Wires| {
                    if counted.load(Ordering::Relaxed) > 9 << 20 {
                        wires.close_client(4008, "you do not read");
                    }
                };
                Hooks::default().up_bytes(up).tick(tick)
            }
        }),
    ]
}

fn replay() -> Vec<Mutant> {
    let was = Arc::new(AtomicBool::new(false));
    vec![
        mutant(
            "L3.4/rest-of-the-replay",
            "sends all of the replay first",
            move || {
                let mut nth = 0;
                let mut length = 0;
                down_to_first("alice", &was, move |frame, wires| {
                    if is_load(&frame) {
                        nth += 1;
                        length = frame.payload.len();
                    }
                    if is_close(&frame) {
                        for missing in nth..8 {
                            wires.send_client(load(missing, length));
                        }
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant("L3.6/larger-than-the-outbox", "counts the replay", || {
            closed_after(1 << 20)
        }),
        set_wrong(
            "L3.6/live-messages-wait-behind-it",
            "has less room for them",
            &["outbox=512KiB"],
        ),
        set_wrong(
            "L3.7/lagging-when-time-is-up",
            "waits for ever",
            &["replay-timeout=1h"],
        ),
        mutant(
            "L3.7/lagging-when-time-is-up",
            "closes with another code",
            || closes_with(|close| (1008, close.reason)),
        ),
        set_wrong(
            "L3.7/not-before",
            "does not wait",
            &["replay-timeout=300ms"],
        ),
        set_wrong(
            "L3.9/slowest-joiners-give-way",
            "does not count what replays hold",
            &["history-bytes=256MiB"],
        ),
        mutant(
            "L3.9/slowest-joiners-give-way",
            "makes all joiners give way",
            || closed_after(2 << 20),
        ),
    ]
}
