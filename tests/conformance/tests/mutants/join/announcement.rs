//! How a join is told (section 5.3).

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use mles_conformance::wire::{Frame, Opcode};
use serde_json::json;

use crate::proxy::{Hooks, Wires};
use crate::roles::{announces, is_said, is_text, names, to};
use crate::{Mutant, is_data, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant("J3.1", "announces with white space", || {
            reformed("watcher", spaced)
        }),
        mutant("J3.1", "stores announcements with white space", || {
            reformed("late", spaced)
        }),
        as_it_was_written("watcher"),
        as_it_was_written("late"),
        mutant("J3.2", "escapes more than it has to", || {
            reformed("watcher", escaped)
        }),
        mutant("J3.2", "stores announcements with other escapes", || {
            reformed("late", escaped)
        }),
        mutant("J3.2/solidus", "escapes the solidus", || {
            reformed("watcher", |uid, channel| {
                let form = json!({"uid": uid, "channel": channel});
                canonical(&form["uid"], &form["channel"]).replace('/', "\\/")
            })
        }),
        mutant(
            "J3.3/to-every-other-member",
            "does not tell one of them",
            || to("bob", not_announced("carol")),
        ),
        behind_the_first_message(),
        only_once(),
        mutant(
            "J3.4/not-to-the-joiner",
            "tells the joiner too",
            super::replay::own_announcement,
        ),
        mutant(
            "J3.5/stored-in-its-place",
            "stores no announcements",
            || {
                to("late", |frame, wires| {
                    if is_said(&frame) {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        announcements_first(),
        mutant("J3.6/one-for-each-uid", "stores every announcement", || {
            to("late", |frame, wires| {
                if announces(&frame, "carol") {
                    wires.send_client(frame.clone());
                }
                wires.send_client(frame);
            })
        }),
        mutant(
            "J3.7/joins-push-out-no-messages",
            "counts both together",
            || {
                to("late", |frame, wires| {
                    if !is_text(&frame, "message 0") {
                        wires.send_client(frame);
                    }
                })
            },
        ),
        mutant(
            "J3.7/messages-push-out-no-announcements",
            "counts both together",
            || to("late", not_announced("alice")),
        ),
        mutant("J3.7/as-many-as-the-limit", "keeps one less", || {
            let mut lost = false;
            to("late", move |frame, wires| {
                if !lost && !is_said(&frame) {
                    lost = true;
                } else {
                    wires.send_client(frame);
                }
            })
        }),
        mutant("J3.7/as-many-as-the-limit", "keeps one more", || {
            let mut done = false;
            to("late", move |frame, wires| {
                if !done && let Some((_, channel)) = names(&frame) {
                    done = true;
                    let older = canonical(&json!("watcher"), &json!(channel));
                    wires.send_client(Frame::text(older));
                }
                wires.send_client(frame);
            })
        }),
        mutant(
            "J3.8/distributed",
            "takes it for an announcement alone",
            || to("bob", not_announced("alice")),
        ),
        mutant(
            "J3.8/stored-as-the-announcement",
            "does not store it",
            || to("late", not_announced("alice")),
        ),
        mutant(
            "J3.8/stored-as-the-announcement",
            "stores it beside the announcement",
            || {
                let mut done = false;
                to("late", move |frame, wires| {
                    if !done && let Some((_, channel)) = names(&frame) {
                        done = true;
                        let older = canonical(&json!("alice"), &json!(channel));
                        wires.send_client(Frame::text(older));
                    }
                    wires.send_client(frame);
                })
            },
        ),
        mutant("J3.9", "stores it once, as an announcement", || {
            let mut seen = HashSet::new();
            to("late", move |frame, wires| {
                if seen.insert((frame.opcode.0, frame.payload.clone())) {
                    wires.send_client(frame);
                }
            })
        }),
    ]
}

fn canonical(uid: &serde_json::Value, channel: &serde_json::Value) -> String {
    format!(r#"{{"uid":{uid},"channel":{channel}}}"#)
}

fn spaced(uid: &str, channel: &str) -> String {
    format!(
        r#"{{ "uid": {}, "channel": {} }}"#,
        json!(uid),
        json!(channel)
    )
}

/// All but letters and digits as `\uXXXX`.
fn escaped(uid: &str, channel: &str) -> String {
    let [uid, channel] = [uid, channel].map(|name| {
        let mut units = [0; 2];
        let escape = |letter: char| match letter.is_ascii_alphanumeric() {
            true => letter.to_string(),
            false => {
                let units = letter.encode_utf16(&mut units).iter();
                units.map(|unit| format!("\\u{unit:04X}")).collect()
            }
        };
        name.chars().map(escape).collect::<String>()
    });
    format!(r#"{{"uid":"{uid}","channel":"{channel}"}}"#)
}

/// Sends announcements to this uid in another form.
fn reformed(uid: &'static str, form: fn(&str, &str) -> String) -> Hooks {
    to(uid, move |mut frame, wires| {
        if let Some((uid, channel)) = names(&frame) {
            frame.payload = form(&uid, &channel).into();
        }
        wires.send_client(frame);
    })
}

fn not_announced(uid: &'static str) -> impl FnMut(Frame, &mut Wires) + Send + 'static {
    move |frame, wires| {
        if !announces(&frame, uid) {
            wires.send_client(frame);
        }
    }
}

fn as_it_was_written(to_whom: &'static str) -> Mutant {
    let written: Arc<Mutex<Vec<u8>>> = Arc::default();
    let what = "announces the header as it was written";
    mutant("J3.1/header-spelled-otherwise", what, move || {
        let (writes, reads) = (written.clone(), written.clone());
        let (mut headed, mut meant) = (false, false);
        let is_meant = crate::roles::Flag::default();
        let sets = is_meant.clone();
        Hooks::default()
            .up(move |frame, wires| {
                if !headed && is_data(&frame) {
                    headed = true;
                    meant = announces(&frame, to_whom);
                    if announces(&frame, "carol") {
                        *writes.lock().unwrap() = frame.payload.clone();
                    }
                }
                if meant {
                    sets.set();
                }
                wires.send_server(frame);
            })
            .down(move |mut frame, wires| {
                if is_meant.is_set() && announces(&frame, "carol") {
                    frame.payload = reads.lock().unwrap().clone();
                }
                wires.send_client(frame);
            })
    })
}

fn behind_the_first_message() -> Mutant {
    let what = "announces behind the first message";
    mutant("J3.3/before-the-first-message", what, || {
        let mut held = None;
        to("alice", move |frame, wires| {
            if announces(&frame, "carol") {
                held = Some(frame);
            } else {
                wires.send_client(frame);
                if let Some(frame) = held.take() {
                    wires.send_client(frame);
                }
            }
        })
    })
}

fn only_once() -> Mutant {
    mutant("J3.3/again", "announces each uid once", || {
        let mut seen = HashSet::new();
        to("alice", move |frame, wires| {
            if is_said(&frame) || seen.insert(frame.payload.clone()) {
                wires.send_client(frame);
            }
        })
    })
}

fn announcements_first() -> Mutant {
    let what = "replays all announcements first";
    mutant("J3.5/stored-in-its-place", what, || {
        let mut held = Vec::new();
        to("late", move |frame, wires| {
            let is_last = frame.opcode == Opcode::TEXT && frame.payload.starts_with(b"marker");
            if is_said(&frame) && !is_last {
                held.push(frame);
                return;
            }
            if is_last {
                for frame in held.drain(..) {
                    wires.send_client(frame);
                }
            }
            wires.send_client(frame);
        })
    })
}
