//! History and its bounds (client.md, section 7).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mles_conformance::wire::{Frame, Opcode};

use crate::proxy::{Hooks, Wires};
use crate::whose::{Joins, closes_with, down_to, down_to_join, first_becomes, others_hear};
use crate::{Mutant, is_close, is_data, mutant, set_wrong};

pub(super) fn mutants() -> Vec<Mutant> {
    let all = [numbers(), bytes(), total(), size(), frames(), utf8()];
    all.into_iter().flatten().collect()
}

/// A frame that begins with this comes behind the next one.
fn late(begin: &'static str) -> impl FnMut(Frame, &mut Wires) + Send + 'static {
    let mut held = None;
    let mut is_done = false;
    move |frame, wires| {
        if !is_done && frame.payload.starts_with(begin.as_bytes()) {
            is_done = true;
            held = Some(frame);
            return;
        }
        wires.send_client(frame);
        if let Some(frame) = held.take() {
            wires.send_client(frame);
        }
    }
}

fn numbers() -> Vec<Mutant> {
    vec![
        mutant("M3.2/order-of-acceptance", "replays by senders", || {
            down_to("carol", late("alice 1"))
        }),
        mutant(
            "M3.2/the-same-order-for-all",
            "replays out of order",
            || down_to("carol", late("bob 3")),
        ),
        set_wrong("M3.3/newest-messages", "keeps one less", &["limit=199"]),
        set_wrong("M3.3/newest-messages", "keeps one more", &["limit=201"]),
        set_wrong("M3.3/newest-announcements", "keeps one less", &["limit=11"]),
        set_wrong("M3.3/newest-announcements", "keeps one more", &["limit=13"]),
        set_wrong(
            "M3.4/nothing-is-kept",
            "takes 0 for no limit",
            &["limit=200"],
        ),
        set_wrong("M3.4/nothing-is-kept", "keeps one", &["limit=1"]),
    ]
}

/// The second time that carol reads a history, its oldest entry is missing.
fn oldest_missing(joins: &Joins, from: usize) -> Hooks {
    down_to_join("carol", from, joins, first_becomes(|_| vec![]))
}

fn bytes() -> Vec<Mutant> {
    let misses = |case, what, from| {
        let joins = Joins::default();
        mutant(case, what, move || oldest_missing(&joins, from))
    };
    let is_huge = |frame: &Frame| is_data(frame) && frame.payload.len() > 250_000;
    vec![
        set_wrong(
            "M3.5/payload-and-64",
            "counts a byte more for a channel",
            &["history-channel-bytes=262143"],
        ),
        set_wrong(
            "M3.5/a-byte-more",
            "counts a byte less for a channel",
            &["history-channel-bytes=262145"],
        ),
        set_wrong(
            "M3.5/bytes-of-the-uid-fit",
            "counts a byte more for a channel",
            &["history-channel-bytes=262143"],
        ),
        set_wrong(
            "M3.5/bytes-of-the-uid-a-byte-more",
            "counts characters of a uid",
            &["history-channel-bytes=270000"],
        ),
        misses("M3.6/oldest-first", "loses one more than it has to", 2),
        mutant(
            "M3.6/oldest-first",
            "loses messages rather than announcements",
            {
                let joins = Joins::default();
                move || {
                    let kept = Frame::text(r#"{"uid":"alice","channel":"kept"}"#);
                    let first = first_becomes(move |frame| vec![kept.clone(), frame]);
                    down_to_join("carol", 2, &joins, first)
                }
            },
        ),
        set_wrong(
            "M3.6/without-the-channel",
            "counts the name of the channel",
            &["history-channel-bytes=261500"],
        ),
        misses("M3.8/above-the-channels-bound", "displaces others", 2),
        mutant(
            "M3.8/above-the-channels-bound",
            "does not distribute what it does not store",
            move || {
                down_to("bob", move |frame, wires| {
                    if !is_huge(&frame) {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        set_wrong(
            "M3.8/above-the-channels-bound",
            "stores it",
            &["history-channel-bytes=300000"],
        ),
        set_wrong(
            "M3.8/as-long-as-the-channels-bound",
            "does not store it",
            &["history-channel-bytes=262143"],
        ),
        misses("M3.8/above-the-total", "displaces others", 2),
        set_wrong(
            "M3.8/above-the-total",
            "does not count the channel",
            &["history-bytes=263000"],
        ),
        misses(
            "M3.10/older-announcement-first",
            "applies the bound before it removes the older announcement",
            3,
        ),
        misses(
            "M3.10/limit-before-bound",
            "applies the bound before the limit",
            2,
        ),
    ]
}

fn total() -> Vec<Mutant> {
    vec![
        mutant("M3.7/least-active-first", "takes from the most active", {
            let joins = Joins::default();
            move || oldest_missing(&joins, 2)
        }),
        set_wrong(
            "M3.7/least-active-first",
            "has no total bound",
            &["history-bytes=64MiB"],
        ),
        mutant("M3.9/costs-nothing", "counts channels for ever", || {
            down_to("carol", |frame, wires| {
                if frame.payload != b"kept 0" {
                    wires.send_client(frame);
                }
            })
        }),
    ]
}

/// The client is closed after so many bytes, counted for it or for all.
fn takes_only(most: usize, count: &Arc<AtomicUsize>, code: u16) -> Hooks {
    let count = count.clone();
    Hooks::default().up_bytes(move |bytes, wires| {
        let before = count.fetch_add(bytes.len(), Ordering::Relaxed);
        if before + bytes.len() > most {
            wires.close_client(code, "that is too much");
        } else {
            wires.bytes_server(bytes);
        }
    })
}

/// Waits for what was declared.
fn waits_for_the_rest() -> Hooks {
    let hooks = Hooks::default().down(|frame, wires| {
        if !is_close(&frame) {
            wires.send_client(frame);
        }
    });
    hooks.server_ended(|_| {})
}

fn size() -> Vec<Mutant> {
    let mut all: Vec<_> = ["M4.1/the-largest-message", "M4.1/all-fragments-together"]
        .map(|case| set_wrong(case, "takes a byte less", &["max-message=16777215"]))
        .into();
    let too_long = [
        "M4.2/the-declared-length",
        "M4.2/the-longest-length",
        "M4.2/declared-by-fragments",
    ];
    all.extend(too_long.map(|case| mutant(case, "waits for the rest", waits_for_the_rest)));
    all.extend(too_long.map(|case| {
        mutant(case, "closes with another code", || {
            closes_with(|close| (1008, close.reason))
        })
    }));
    all.extend([
        set_wrong(
            "M4.2/the-declared-length",
            "takes a byte more",
            &["max-message=16777217"],
        ),
        set_wrong(
            "M4.2/declared-by-fragments",
            "takes a byte more",
            &["max-message=16777217"],
        ),
        mutant("M4.2/nobody-else", "hands on what has come", {
            let flag = Arc::new(AtomicBool::new(false));
            move || others_hear(&flag, "mmm", is_close)
        }),
        mutant("M4.6/closed-with-4004", "closes with 1009", || {
            closes_with(|close| (1009, close.reason))
        }),
        mutant("M4.6/closed-with-4004", "tells the others", {
            let flag = Arc::new(AtomicBool::new(false));
            move || others_hear(&flag, "somebody had to go", is_close)
        }),
    ]);
    let count = Arc::new(AtomicUsize::new(0));
    all.push(mutant(
        "M4.6/two-at-a-time",
        "has room for one",
        move || takes_only(20 << 20, &count, 4004),
    ));
    all
}

/// What a client sends is mended before it is looked at: it is not looked at.
fn mended(
    case: &'static str,
    what: &'static str,
    mend: impl Fn(Frame) -> Option<Frame> + Clone + Send + Sync + 'static,
) -> Mutant {
    mutant(case, what, move || {
        let mend = mend.clone();
        Hooks::default().up(move |frame, wires| {
            if let Some(frame) = mend(frame) {
                wires.send_server(frame);
            }
        })
    })
}

/// What a client sends behind its header is forgotten.
fn deaf() -> Hooks {
    let mut count = 0;
    Hooks::default().up_bytes(move |bytes, wires| {
        count += 1;
        // The header, and what it says to show that it is there.
        if count <= 2 {
            wires.bytes_server(bytes);
        }
    })
}

fn frames() -> Vec<Mutant> {
    let is_known = |frame: &Frame| [0, 1, 2, 8, 9, 10].contains(&frame.opcode.0);
    let mut all = vec![
        mended("M4.4/reserved-bits", "ignores reserved bits", |frame| {
            Some(frame.reserved(0))
        }),
        mended(
            "M4.4/unknown-opcode",
            "passes over unknown opcodes",
            move |frame| is_known(&frame).then_some(frame),
        ),
        mended("M4.4/unmasked", "takes frames without a mask", Some),
        mended("M4.4/unmasked-control", "takes frames without a mask", Some),
        mutant("M4.4/length-not-shortest", "takes no notice", deaf),
        mutant("M4.4/length-above-2-63", "waits for the rest", deaf),
        mended(
            "M4.4/control-fragmented",
            "takes them as whole",
            |mut frame| {
                frame.fin |= frame.opcode.is_control();
                Some(frame)
            },
        ),
        mended("M4.4/control-too-long", "shortens them", |mut frame| {
            if frame.opcode.is_control() {
                frame.payload.truncate(125);
            }
            Some(frame)
        }),
        mutant("M4.4/continuation-of-nothing", "takes it as text", || {
            let mut is_begun = false;
            Hooks::default().up(move |mut frame, wires| {
                if is_data(&frame) {
                    if frame.opcode == Opcode::CONTINUATION && !is_begun {
                        frame.opcode = Opcode::TEXT;
                    }
                    is_begun = !frame.fin;
                }
                wires.send_server(frame);
            })
        }),
        mutant(
            "M4.4/new-message-within-one",
            "takes it as a continuation",
            || {
                let mut is_begun = false;
                Hooks::default().up(move |mut frame, wires| {
                    if is_data(&frame) {
                        if is_begun {
                            frame.opcode = Opcode::CONTINUATION;
                        }
                        is_begun = !frame.fin;
                    }
                    wires.send_server(frame);
                })
            },
        ),
        mended(
            "M4.4/close-of-one-byte",
            "takes it as one without a code",
            |mut frame| {
                if is_close(&frame) && frame.payload.len() == 1 {
                    frame.payload.clear();
                }
                Some(frame)
            },
        ),
        mended("M4.4/close-code", "takes any code", |frame| {
            Some(match is_close(&frame) {
                true => Frame::close(1000, ""),
                false => frame,
            })
        }),
        mended(
            "M4.4/before-the-header",
            "takes the header as it is",
            |frame| Some(frame.reserved(0)),
        ),
        mended("M4.4/in-parts", "ignores reserved bits", |frame| {
            Some(frame.reserved(0))
        }),
        mutant("M4.4", "ends the connection without a close frame", || {
            Hooks::default().down(|frame, wires| match is_close(&frame) {
                true => wires.cut_client(),
                false => wires.send_client(frame),
            })
        }),
    ];
    // Those that have others on their channel.
    for case in [
        "M4.4/reserved-bits",
        "M4.4/unknown-opcode",
        "M4.4/unmasked",
        "M4.4/close-code",
    ] {
        let flag = Arc::new(AtomicBool::new(false));
        all.push(mutant(case, "tells the others", move || {
            others_hear(&flag, "somebody had to go", is_close)
        }));
    }
    all
}

fn utf8() -> Vec<Mutant> {
    let lossy = |mut frame: Frame| {
        if is_data(&frame) {
            frame.payload = String::from_utf8_lossy(&frame.payload).into_owned().into();
        }
        Some(frame)
    };
    let mut all: Vec<_> = [
        "M4.5/a-stray-byte",
        "M4.5/too-long-a-form",
        "M4.5/a-surrogate",
        "M4.5/above-10ffff",
        "M4.5/cut-off",
        "M4.5/no-utf-8-byte",
        "M4.5/in-fragments",
    ]
    .map(|case| mended(case, "takes what is no UTF-8", lossy))
    .into();
    all.extend([
        mutant("M4.5/a-stray-byte", "closes with another code", || {
            closes_with(|close| (1002, close.reason))
        }),
        mutant(
            "M4.5/a-character-in-two-fragments",
            "looks at each fragment by itself",
            || {
                Hooks::default().up(|frame, wires| {
                    match is_data(&frame) && std::str::from_utf8(&frame.payload).is_err() {
                        true => wires.close_client(1007, "not UTF-8"),
                        false => wires.send_server(frame),
                    }
                })
            },
        ),
        mended(
            "M4.5/in-a-close-reason",
            "does not look at reasons",
            |frame| {
                Some(match is_close(&frame) {
                    true => Frame::close(1000, ""),
                    false => frame,
                })
            },
        ),
        mutant("M4.5/neither-distributed-nor-stored", "distributes it", {
            let flag = Arc::new(AtomicBool::new(false));
            move || others_hear(&flag, "not \u{fffd} distributed", is_close)
        }),
        mutant("M4.5/neither-distributed-nor-stored", "stores it", || {
            down_to(
                "dave",
                first_becomes(|frame| vec![Frame::text("not \u{fffd} distributed"), frame]),
            )
        }),
    ]);
    all
}
