//! Header (client.md, section 3).

mod time;
mod vectors;
mod waiting;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mles_conformance::random_digits;
use mles_conformance::wire::{Frame, Opcode};
use serde_json::{Deserializer, Value, json};

use crate::proxy::{Hooks, Wires};
use crate::{Mutant, is_close, is_data, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    [
        vectors::mutants(),
        form(),
        size(),
        names(),
        waiting::mutants(),
        time::mutants(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first message of a session, put together.
#[derive(Clone)]
pub(crate) struct First {
    pub(crate) opcode: Opcode,
    pub(crate) payload: Vec<u8>,
    /// In how many fragments it came.
    pub(crate) fragments: usize,
}

impl First {
    /// The same in one frame.
    pub(crate) fn frame(&self) -> Frame {
        Frame::new(self.opcode, self.payload.clone())
    }

    /// The first JSON value in it, whatever is behind.
    pub(crate) fn value(&self) -> Value {
        let mut values = Deserializer::from_slice(&self.payload).into_iter();
        values.next().and_then(Result::ok).unwrap_or_default()
    }

    /// Whether it names this uid.
    pub(crate) fn is_of(&self, uid: &str) -> bool {
        self.value()["uid"] == uid
    }
}

/// Does this with the first message of a session instead of the server getting it; what is behind it passes.
pub(crate) fn first(mut done: impl FnMut(&First, &mut Wires) + Send + 'static) -> Hooks {
    let mut first = First {
        opcode: Opcode::TEXT,
        payload: Vec::new(),
        fragments: 0,
    };
    let mut is_done = false;
    Hooks::default().up(move |frame, wires| {
        if is_done || !is_data(&frame) {
            wires.send_server(frame);
            return;
        }
        if first.fragments == 0 {
            first.opcode = frame.opcode;
        }
        first.payload.extend(&frame.payload);
        first.fragments += 1;
        if frame.fin {
            is_done = true;
            done(&first, wires);
        }
    })
}

/// The server gets this header instead, if there is one.
pub(crate) fn header(mut instead: impl FnMut(&First) -> Option<String> + Send + 'static) -> Hooks {
    first(move |first, wires| {
        wires.send_server(match instead(first) {
            Some(header) => Frame::text(header),
            None => first.frame(),
        });
    })
}

/// Closes a session whose header is such with this code.
pub(crate) fn refuses(code: u16, is_such: impl Fn(&First) -> bool + Send + 'static) -> Hooks {
    first(move |first, wires| match is_such(first) {
        true => wires.close_client(code, "The header is not right."),
        false => wires.send_server(first.frame()),
    })
}

/// A header that nobody else has.
pub(crate) fn some_header() -> String {
    json!({"uid": random_digits(), "channel": "mutants"}).to_string()
}

/// Takes a first message that is such for a header of somebody.
pub(crate) fn takes(is_such: impl Fn(&First) -> bool + Send + 'static) -> Hooks {
    header(move |first| is_such(first).then(some_header))
}

/// Joins a session whose header is such, and closes it with this code only then.
pub(crate) fn joins_first(code: u16, is_such: impl Fn(&First) -> bool + Send + 'static) -> Hooks {
    let joined = Arc::new(Mutex::new(None::<Instant>));
    let (hides, closes) = (joined.clone(), joined.clone());
    let hooks = first(move |first, wires| {
        if !is_such(first) {
            wires.send_server(first.frame());
            return;
        }
        let value = first.value();
        let header = json!({"uid": value["uid"], "channel": value["channel"]});
        wires.send_server(Frame::text(header.to_string()));
        *joined.lock().unwrap() = Some(Instant::now());
    });
    hooks
        .down(move |frame, wires| {
            if hides.lock().unwrap().is_none() {
                wires.send_client(frame);
            }
        })
        .tick(move |wires| {
            let mut joined = closes.lock().unwrap();
            if joined.is_some_and(|at| at.elapsed() > Duration::from_millis(150)) {
                *joined = None;
                wires.close_client(code, "The header is not right.");
            }
        })
}

/// Closes with the one code where the other is due.
pub(crate) fn closes_with(code: u16, due: u16) -> Hooks {
    Hooks::default().down(move |frame, wires| {
        wires.send_client(
            match is_close(&frame) && frame.as_close().code == Some(due) {
                true => Frame::close(code, "The header is not right."),
                false => frame,
            },
        );
    })
}

/// Whether a header is one that is refused for its form, though it has names.
fn is_wrong(first: &First) -> bool {
    first.opcode == Opcode::BINARY
        || first.payload.len() > 4096
        || first.payload.last() != Some(&b'}')
        || !first.value()["peer"].is_null()
        || String::from_utf8_lossy(&first.payload).contains("\"peer\"")
}

fn form() -> Vec<Mutant> {
    vec![
        mutant(
            "H1.1/control-frames-first",
            "wants the header before any other frame",
            || {
                let mut frames = 0;
                Hooks::default().up(move |frame, wires| {
                    frames += 1;
                    match frames == 1 && !is_data(&frame) {
                        true => wires.close_client(1002, "The header comes first."),
                        false => wires.send_server(frame),
                    }
                })
            },
        ),
        mutant(
            "H1.1/fragmented",
            "takes the first fragment for the header",
            || refuses_fragments(4000),
        ),
        mutant(
            "H1.1/fragmented",
            "loses what comes behind a control frame",
            || {
                let (mut within, mut lost) = (false, false);
                Hooks::default().up(move |frame, wires| {
                    if is_data(&frame) {
                        within = !frame.fin;
                        if !lost {
                            wires.send_server(frame);
                        }
                    } else {
                        lost |= within;
                        wires.send_server(frame);
                    }
                })
            },
        ),
        mutant(
            "H1.1/fragmented-within-a-character",
            "looks for UTF-8 in each fragment by itself",
            || {
                Hooks::default().up(|frame, wires| {
                    match std::str::from_utf8(&frame.payload).is_err() && is_data(&frame) {
                        true => wires.close_client(1007, "This is not UTF-8."),
                        false => wires.send_server(frame),
                    }
                })
            },
        ),
        mutant("H1.1/binary-fragments", "takes fragments for text", || {
            takes(|_| true)
        }),
        mutant("H1.11/header-before-auth", "looks at auth first", || {
            closes_with(4001, 4000)
        }),
        mutant(
            "H1.12/joins-nothing",
            "joins first and looks at the header then",
            || joins_first(4000, is_wrong),
        ),
        mutant(
            "H1.12/nobody-notices",
            "joins first and looks at the header then",
            || joins_first(4000, is_wrong),
        ),
        mutant("H1.12/4000", "closes with 1008", || closes_with(1008, 4000)),
        mutant("H1.12/joins-nothing", "announces who is refused", || {
            joins_first(4000, |first| is_wrong(first) && first.is_of("mallory"))
        }),
        mutant(
            "H4.3/incumbent-undisturbed",
            "looks for the incumbent first",
            || joins_first(4011, |first| first.value()["peer"] == true),
        ),
        mutant(
            "H4.1/as-servers-use-them",
            "takes who has a path for a server",
            || refuses(4011, |first| !first.value()["path"].is_null()),
        ),
    ]
}

fn refuses_fragments(code: u16) -> Hooks {
    let mut is_first = true;
    Hooks::default().up(move |frame, wires| {
        if !is_data(&frame) {
            wires.send_server(frame);
        } else if is_first && !frame.fin {
            wires.close_client(code, "The header is not right.");
        } else {
            is_first = false;
            wires.send_server(frame);
        }
    })
}

fn size() -> Vec<Mutant> {
    vec![
        mutant(
            "H2.1/fragments-together",
            "counts each fragment by itself",
            || takes(|first| first.fragments > 1 && first.payload.len() > 4096),
        ),
        mutant("H2.1/fragments-together", "wants less than 4096", || {
            refuses(4000, |first| first.payload.len() >= 4096)
        }),
        mutant("H2.1/declared", "waits for the whole frame", || {
            Hooks::default().up(|frame, wires| wires.send_server(frame))
        }),
        mutant("H1.12/4000", "closes with 1009", || closes_with(1009, 4000)),
        mutant(
            "H2.1/declared-fragments",
            "waits for the whole fragment",
            || Hooks::default().up(|frame, wires| wires.send_server(frame)),
        ),
    ]
}

/// What each pair of names that look alike comes to for somebody: the other is replaced by the one.
const ALIKE: [(&str, &str, &str); 8] = [
    ("case", "Name", "name"),
    ("normalisation", "\u{e9}", "e\u{301}"),
    ("compatibility", "\u{fb01}n", "fin"),
    ("folding", "stra\u{df}e", "strasse"),
    ("space-behind", "a b", "a b "),
    ("space-ahead", "x", " x"),
    ("byte-order-mark", "name", "\u{feff}name"),
    ("width", "1", "\u{ff11}"),
];

fn names() -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for (point, one, other) in ALIKE {
        for member in ["uid", "channel"] {
            let case = format!("H2.4/{member}s-by-{point}");
            mutants.push(mutant(
                case,
                "takes names that look alike for one",
                move || {
                    header(move |first| {
                        let value = first.value();
                        let is = |name: &str| {
                            let text = value[name].as_str().unwrap_or_default();
                            match name == member {
                                true => text.replace(other, one),
                                false => text.to_owned(),
                            }
                        };
                        Some(json!({"uid": is("uid"), "channel": is("channel")}).to_string())
                    })
                },
            ));
        }
    }
    mutants
}
