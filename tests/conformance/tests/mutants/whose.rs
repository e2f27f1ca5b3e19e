//! Mutants that are wrong towards some of the sessions only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use mles_conformance::wire::{Close, Frame};

use crate::proxy::{Hooks, Wires};
use crate::{is_close, is_data};

/// How often each header was sent.
pub(crate) type Joins = Arc<Mutex<HashMap<Vec<u8>, usize>>>;

/// Changes what sessions of this uid are sent.
pub(crate) fn down_to(
    uid: &'static str,
    hook: impl FnMut(Frame, &mut Wires) + Send + 'static,
) -> Hooks {
    down_to_join(uid, 1, &Joins::default(), hook)
}

/// The same from the so-manieth join with one header on.
pub(crate) fn down_to_join(
    uid: &'static str,
    join: usize,
    joins: &Joins,
    mut hook: impl FnMut(Frame, &mut Wires) + Send + 'static,
) -> Hooks {
    let is_it = Arc::new(AtomicBool::new(false));
    let (is_meant, joins) = (is_it.clone(), joins.clone());
    let mut is_first = true;
    let up = move |frame: Frame, wires: &mut Wires| {
        if std::mem::take(&mut is_first) && says(&frame, uid) {
            let mut joins = joins.lock().unwrap();
            let count = joins.entry(frame.payload.clone()).or_default();
            *count += 1;
            is_it.store(*count >= join, Ordering::Relaxed);
        }
        wires.send_server(frame);
    };
    Hooks::default()
        .up(up)
        .down(move |frame, wires| match is_meant.load(Ordering::Relaxed) {
            true => hook(frame, wires),
            false => wires.send_client(frame),
        })
}

/// The same for the first session of this uid that there is, on whatever channel.
pub(crate) fn down_to_first(
    uid: &'static str,
    was: &Arc<AtomicBool>,
    mut hook: impl FnMut(Frame, &mut Wires) + Send + 'static,
) -> Hooks {
    let is_it = Arc::new(AtomicBool::new(false));
    let (is_meant, was) = (is_it.clone(), was.clone());
    let mut is_first = true;
    let up = move |frame: Frame, wires: &mut Wires| {
        if std::mem::take(&mut is_first) && says(&frame, uid) {
            is_it.store(!was.swap(true, Ordering::Relaxed), Ordering::Relaxed);
        }
        wires.send_server(frame);
    };
    Hooks::default()
        .up(up)
        .down(move |frame, wires| match is_meant.load(Ordering::Relaxed) {
            true => hook(frame, wires),
            false => wires.send_client(frame),
        })
}

/// Whether a frame is a header with this uid.
pub(crate) fn says(frame: &Frame, uid: &str) -> bool {
    let text = String::from_utf8_lossy(&frame.payload);
    text.contains(&format!(r#""uid":"{uid}""#))
}

/// What the first message becomes that a session is sent; the others pass.
pub(crate) fn first_becomes(
    mut change: impl FnMut(Frame) -> Vec<Frame> + Send + 'static,
) -> impl FnMut(Frame, &mut Wires) + Send + 'static {
    let mut is_first = true;
    move |frame, wires| {
        let frames = match is_data(&frame) && std::mem::take(&mut is_first) {
            true => change(frame),
            false => vec![frame],
        };
        for frame in frames {
            wires.send_client(frame);
        }
    }
}

/// Close frames say this instead.
pub(crate) fn closes_with(change: impl Fn(Close) -> (u16, String) + Send + 'static) -> Hooks {
    Hooks::default().down(move |frame, wires| {
        let frame = match is_close(&frame) {
            true => {
                let (code, reason) = change(frame.as_close());
                Frame::close(code, &reason)
            }
            false => frame,
        };
        wires.send_client(frame);
    })
}

/// Once something has happened on one connection, the others are sent this.
pub(crate) fn others_hear(
    flag: &Arc<AtomicBool>,
    text: &'static str,
    is_it: impl Fn(&Frame) -> bool + Send + 'static,
) -> Hooks {
    let flag = flag.clone();
    Hooks::default().down(move |frame, wires| {
        if is_it(&frame) {
            flag.store(true, Ordering::Relaxed);
        } else if is_data(&frame) && flag.load(Ordering::Relaxed) {
            wires.send_client(Frame::text(text));
        }
        wires.send_client(frame);
    })
}
