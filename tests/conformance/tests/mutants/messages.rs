//! Messages (client.md, section 6).

use mles_conformance::wire::Opcode;

use crate::proxy::Hooks;
use crate::{Mutant, is_data, mutant};

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
        mutant("M2.2/pong", "answers pings without their payload", || {
            Hooks::default().down(|mut frame, wires| {
                if frame.opcode == Opcode::PONG {
                    frame.payload.clear();
                }
                wires.send_client(frame);
            })
        }),
    ]
}
