//! Leaving and expiry (client.md, section 8).

use mles_conformance::wire::Frame;

use crate::proxy::Hooks;
use crate::roles::{is_text, said_to, unnoticed};
use crate::{Mutant, is_close, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant(
            "L1.1/pair-is-free",
            "ends a membership with the connection only",
            stays_after_close,
        ),
        mutant(
            "L1.1/receives-nothing-more",
            "ends a membership with the connection only",
            stays_after_close,
        ),
        mutant(
            "L1.1/nothing-behind-a-close-frame",
            "goes on reading behind a close frame",
            || {
                let mut held = None;
                Hooks::default().up(move |frame, wires| match is_close(&frame) {
                    true => held = Some(frame),
                    false => {
                        wires.send_server(frame);
                        if let Some(close) = held.take() {
                            wires.send_server(close);
                        }
                    }
                })
            },
        ),
        mutant(
            "L1.1/connection-ends",
            "does not notice that a connection ends",
            || Hooks::default().client_ended(unnoticed),
        ),
        mutant(
            "L1.1/closed-by-the-server",
            "waits for the client's close frame",
            || {
                Hooks::default().up(|frame, wires| match frame.reserved {
                    0 => wires.send_server(frame),
                    _ => wires.send_client(Frame::close(1002, "reserved")),
                })
            },
        ),
        mutant("L1.2/close-frame", "tells that a session has left", || {
            Hooks::default().up(|frame, wires| {
                if is_close(&frame) {
                    wires.send_server(Frame::text("alice has left"));
                }
                wires.send_server(frame);
            })
        }),
        mutant("L1.2/close-frame", "stores that a session has left", || {
            let mut told = false;
            said_to("late", move |_, frame, wires| {
                if !std::mem::replace(&mut told, true) {
                    wires.send_client(Frame::text("alice has left"));
                }
                wires.send_client(frame);
            })
        }),
        mutant(
            "L1.2/connection-ends",
            "tells that a session has left",
            || {
                Hooks::default().client_ended(|wires| {
                    wires.send_server(Frame::text("alice has left"));
                    wires.end_server();
                })
            },
        ),
        mutant(
            "L1.3/history-stays",
            "forgets a history with its last member",
            || {
                said_to("carol", |_, frame, wires| {
                    if !is_text(&frame, "hello") {
                        wires.send_client(frame);
                    }
                })
            },
        ),
    ]
}

/// Answers a close frame, and takes no further notice of it.
fn stays_after_close() -> Hooks {
    Hooks::default()
        .up(|frame, wires| match is_close(&frame) {
            true => wires.send_client(Frame::close(1000, "")),
            false => wires.send_server(frame),
        })
        .client_ended(unnoticed)
}
