//! Who is who: what several mutants need to do to one session what they do not do to another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mles_conformance::wire::{Frame, Opcode};
use serde_json::Value;

use crate::is_data;
use crate::proxy::{Hooks, Wires};

/// Something that one hook notes for another.
#[derive(Clone, Default)]
pub(crate) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Whether it was set; it is not any more.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

/// The uid and the channel of a header, or of what looks like one.
pub(crate) fn names(frame: &Frame) -> Option<(String, String)> {
    if frame.opcode != Opcode::TEXT {
        return None;
    }
    let value: Value = serde_json::from_slice(&frame.payload).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some((text(&value["uid"])?, text(&value["channel"])?))
}

/// Whether a frame is an announcement of this uid, in whatever form.
pub(crate) fn announces(frame: &Frame, uid: &str) -> bool {
    names(frame).is_some_and(|(of, _)| of == uid)
}

/// Whether a frame is a message and no announcement.
pub(crate) fn is_said(frame: &Frame) -> bool {
    is_data(frame) && names(frame).is_none()
}

/// Whether a frame carries this text.
pub(crate) fn is_text(frame: &Frame, text: &str) -> bool {
    frame.opcode == Opcode::TEXT && frame.payload == text.as_bytes()
}

/// Counts the sessions of each pair, or of what a mutant takes for one.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, usize>>>);

impl Turns {
    pub(crate) fn of(&self, key: String) -> usize {
        let mut turns = self.0.lock().unwrap();
        let turn = turns.entry(key).or_default();
        *turn += 1;
        *turn
    }

    /// A hook that knows which session of its pair it is on, from the header on; that comes first.
    pub(crate) fn up(
        &self,
        mut hook: impl FnMut(usize, bool, Frame, &mut Wires) + Send + 'static,
    ) -> impl FnMut(Frame, &mut Wires) + Send + 'static {
        let turns = self.clone();
        let mut turn = 0;
        move |frame, wires| {
            let is_header = turn == 0 && is_data(&frame);
            if is_header {
                let (uid, channel) = names(&frame).unwrap_or_default();
                turn = turns.of(format!("{uid}\0{channel}"));
            }
            hook(turn, is_header, frame, wires);
        }
    }
}

/// A hook that changes what comes down to the sessions of uids that begin so, and nothing else. It gets data frames, and
/// passes on what it wants.
pub(crate) fn to(
    uid: &'static str,
    mut down: impl FnMut(Frame, &mut Wires) + Send + 'static,
) -> Hooks {
    let meant = Flag::default();
    let is_meant = meant.clone();
    let mut headed = false;
    Hooks::default()
        .up(move |frame, wires| {
            if !headed && is_data(&frame) {
                headed = true;
                if names(&frame).is_some_and(|(of, _)| of.starts_with(uid)) {
                    meant.set();
                }
            }
            wires.send_server(frame);
        })
        .down(move |frame, wires| match is_meant.is_set() {
            true if is_data(&frame) => down(frame, wires),
            _ => wires.send_client(frame),
        })
}

/// The same for what these sessions hear but for announcements, with its number from 0.
pub(crate) fn said_to(
    uid: &'static str,
    mut down: impl FnMut(usize, Frame, &mut Wires) + Send + 'static,
) -> Hooks {
    let mut count = 0;
    to(uid, move |frame, wires| match is_said(&frame) {
        true => {
            count += 1;
            down(count - 1, frame, wires);
        }
        false => wires.send_client(frame),
    })
}

/// Has what this means come behind what comes next.
pub(crate) fn late(
    uid: &'static str,
    is_late: impl Fn(usize, &Frame) -> bool + Send + 'static,
) -> Hooks {
    let mut held = None;
    said_to(uid, move |number, frame, wires| {
        if held.is_none() && is_late(number, &frame) {
            held = Some(frame);
        } else {
            wires.send_client(frame);
            if let Some(frame) = held.take() {
                wires.send_client(frame);
                // Once is enough.
                held = None;
            }
        }
    })
}

/// Takes no notice of the client's end.
pub(crate) fn unnoticed(_: &mut Wires) {}
