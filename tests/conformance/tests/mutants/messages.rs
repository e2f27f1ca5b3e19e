//! Messages (client.md, section 6).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mles_conformance::wire::{Frame, Opcode};

use crate::proxy::{Hooks, Wires};
use crate::roles::{Flag, is_text, late, names, said_to};
use crate::{Mutant, is_close, is_data, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant("M1.1/text-and-binary", "makes every message text", || {
            Hooks::default().down(|mut frame, wires| {
                if frame.opcode == Opcode::BINARY && frame.payload.is_ascii() {
                    frame.opcode = Opcode::TEXT;
                }
                wires.send_client(frame);
            })
        }),
        mutant("M1.1/every-other-member", "leaves one member out", || {
            without("dave", |frame| is_text(frame, "carol to everybody"))
        }),
        mutant(
            "M1.1/looks-like-a-header",
            "takes a later frame for a header",
            || {
                let mut headed = false;
                Hooks::default().up(move |frame, wires| {
                    let takes = headed && names(&frame).is_some();
                    headed |= is_data(&frame);
                    if !takes {
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "M1.1/every-form-of-length",
            "writes one length wrong by one",
            || {
                Hooks::default().down(|mut frame, wires| {
                    if frame.payload.len() == 65_536 {
                        frame.payload.pop();
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant(
            "M1.2/not-to-the-sender",
            "sends messages to their sender too",
            || {
                let mut sent = 0;
                Hooks::default().up(move |frame, wires| {
                    sent += usize::from(is_data(&frame));
                    if is_data(&frame) && sent > 1 {
                        wires.send_client(frame.clone());
                    }
                    wires.send_server(frame);
                })
            },
        ),
        mutant(
            "M1.3/order-of-one-sender",
            "lets short messages overtake long ones",
            || late("bob", |_, frame| frame.payload.len() > 1000),
        ),
        mutant(
            "M1.3/one-order-for-all",
            "has another order for each member",
            || late("bob", |_, frame| is_text(frame, "carol 50")),
        ),
        mutant(
            "M1.4/nobody-else-there",
            "stores only what somebody has received",
            || without("bob", |frame| is_text(frame, "one")),
        ),
        mutant("M1.5/reassembled", "distributes fragments", fragments),
        mutant(
            "M1.5/control-frames-between",
            "allows nothing between fragments",
            || {
                let mut within = false;
                Hooks::default().up(move |frame, wires| {
                    if is_data(&frame) {
                        within = !frame.fin;
                    } else if within {
                        return wires.close_client(1002, "not in between");
                    }
                    wires.send_server(frame);
                })
            },
        ),
        mutant(
            "M1.5/only-when-complete",
            "distributes fragments",
            fragments,
        ),
        mutant(
            "M1.5/discarded",
            "completes what its sender has not",
            || {
                let mut within = false;
                Hooks::default().up(move |frame, wires| {
                    if is_data(&frame) {
                        within = !frame.fin;
                    } else if within && is_close(&frame) {
                        wires.send_server(Frame::continuation(""));
                    }
                    wires.send_server(frame);
                })
            },
        ),
        mutant("M1.6/live", "sends long messages in fragments", || {
            said_to("bob", |_, frame, wires| in_two(frame, wires))
        }),
        mutant(
            "M1.6/replayed",
            "replays long messages in fragments",
            || said_to("late", |_, frame, wires| in_two(frame, wires)),
        ),
        mutant("M1.7/live", "drops empty messages", || {
            without("bob", |frame| frame.payload.is_empty())
        }),
        mutant("M1.7/in-fragments", "drops empty messages", || {
            without("bob", |frame| frame.payload.is_empty())
        }),
        mutant("M1.7/stored", "does not store empty messages", || {
            without("late", |frame| frame.payload.is_empty())
        }),
        to_all_channels(),
        before_the_header(),
        mutant("M2.1", "distributes pings as messages", || {
            Hooks::default().up(|frame, wires| {
                if frame.opcode == Opcode::PING {
                    wires.send_server(Frame::binary(frame.payload.clone()));
                }
                wires.send_server(frame);
            })
        }),
        mutant("M2.1", "distributes pongs as messages", || {
            Hooks::default().up(|frame, wires| {
                if frame.opcode == Opcode::PONG {
                    wires.send_server(Frame::text(frame.payload.clone()));
                }
                wires.send_server(frame);
            })
        }),
        distributes_pings(),
        mutant("M2.2/pong", "answers pings without their payload", || {
            Hooks::default().down(|mut frame, wires| {
                if frame.opcode == Opcode::PONG {
                    frame.payload.clear();
                }
                wires.send_client(frame);
            })
        }),
        mutant(
            "M2.2/several-pings",
            "answers the first of several alone",
            || {
                let mut answered = false;
                Hooks::default().up(move |frame, wires| {
                    if frame.opcode != Opcode::PING || !answered {
                        answered |= frame.opcode == Opcode::PING;
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant("M2.3/unasked", "takes an unasked pong for a fault", || {
            Hooks::default().up(|frame, wires| match frame.opcode {
                Opcode::PONG => wires.close_client(1002, "not asked for"),
                _ => wires.send_server(frame),
            })
        }),
        mutant("M2.3/counts", "takes its own payload only", || {
            Hooks::default().up(|frame, wires| {
                if frame.opcode != Opcode::PONG || frame.payload.is_empty() {
                    wires.send_server(frame);
                }
            })
        }),
        answers_ahead(),
    ]
}

/// This uid does not hear what is meant.
fn without(uid: &'static str, is_lost: fn(&Frame) -> bool) -> Hooks {
    said_to(uid, move |_, frame, wires| {
        if !is_lost(&frame) {
            wires.send_client(frame);
        }
    })
}

fn in_two(mut frame: Frame, wires: &mut Wires) {
    if frame.payload.len() > 1000 {
        let rest = frame.payload.split_off(500);
        wires.send_client(frame.unfinished());
        wires.send_client(Frame::continuation(rest));
    } else {
        wires.send_client(frame);
    }
}

/// Takes each fragment for a message.
fn fragments() -> Hooks {
    let mut opcode = Opcode::TEXT;
    Hooks::default().up(move |mut frame, wires| {
        if frame.opcode == Opcode::CONTINUATION {
            frame.opcode = opcode;
        } else if is_data(&frame) {
            opcode = frame.opcode;
        }
        frame.fin = true;
        wires.send_server(frame);
    })
}

/// What alice says, to be sent to others ahead of what they hear next.
type Post = Arc<Mutex<Vec<Frame>>>;

fn deliver(post: &Post, wires: &mut Wires) {
    for frame in post.lock().unwrap().drain(..) {
        wires.send_client(frame);
    }
}

fn to_all_channels() -> Mutant {
    let post = Post::default();
    let what = "distributes to all channels";
    mutant("M1.8/another-channel", what, move || {
        let (given, taken) = (post.clone(), post.clone());
        let (alice, other) = (Flag::default(), Flag::default());
        let is_other = other.clone();
        let mut headed = false;
        Hooks::default()
            .up(move |frame, wires| {
                if !headed && is_data(&frame) {
                    headed = true;
                    let (uid, channel) = names(&frame).unwrap_or_default();
                    // The case's own channel has the clause in its name.
                    match (uid.as_str(), channel.contains("M1.8")) {
                        ("alice", true) => alice.set(),
                        (_, false) => other.set(),
                        _ => {}
                    }
                } else if alice.is_set() && frame.payload.starts_with(b"marker") {
                    given.lock().unwrap().push(frame.clone());
                }
                wires.send_server(frame);
            })
            .down(move |frame, wires| {
                if is_other.is_set() && frame.payload.starts_with(b"marker") {
                    deliver(&taken, wires);
                }
                wires.send_client(frame);
            })
    })
}

fn before_the_header() -> Mutant {
    let post = Post::default();
    let what = "distributes to who has not joined";
    mutant("M1.8/before-the-header", what, move || {
        let post = post.clone();
        let mut of = None;
        Hooks::default().up(move |frame, wires| {
            match &of {
                None => {
                    let (uid, _) = names(&frame).unwrap_or_default();
                    if uid == "nobody" {
                        deliver(&post, wires);
                    }
                    of = Some(uid);
                }
                Some(uid) if uid == "alice" && frame.payload.starts_with(b"marker") => {
                    post.lock().unwrap().push(frame.clone());
                }
                Some(_) => {}
            }
            wires.send_server(frame);
        })
    })
}

fn distributes_pings() -> Mutant {
    let post = Post::default();
    let what = "distributes pings as they are";
    mutant("M2.1/not-distributed", what, move || {
        let (given, taken) = (post.clone(), post.clone());
        Hooks::default()
            .up(move |frame, wires| {
                if frame.opcode == Opcode::PING {
                    given.lock().unwrap().push(frame.clone());
                }
                wires.send_server(frame);
            })
            .down(move |frame, wires| {
                if frame.payload.starts_with(b"marker") {
                    deliver(&taken, wires);
                }
                wires.send_client(frame);
            })
    })
}

/// Messages behind a long one take some time, and pings do not wait for them.
fn answers_ahead() -> Mutant {
    let what = "answers pings as they come in";
    mutant("M2.4/behind-messages", what, || {
        let held: Arc<Mutex<(Vec<Frame>, Option<Instant>)>> = Arc::default();
        let waiting = held.clone();
        Hooks::default()
            .up(move |frame, wires| {
                let (frames, since) = &mut *held.lock().unwrap();
                if frame.opcode == Opcode::PING {
                    wires.send_client(Frame::pong(frame.payload));
                } else if since.is_some() || frame.payload.len() > 1000 {
                    since.get_or_insert_with(Instant::now);
                    frames.push(frame);
                } else {
                    wires.send_server(frame);
                }
            })
            .tick(move |wires| {
                let (frames, since) = &mut *waiting.lock().unwrap();
                if since.is_some_and(|since| since.elapsed() > Duration::from_millis(500)) {
                    *since = None;
                    for frame in frames.drain(..) {
                        wires.send_server(frame);
                    }
                }
            })
    })
}
