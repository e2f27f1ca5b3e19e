//! How long a header may take.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::proxy::Hooks;
use crate::{Mutant, is_close, is_data, mutant};

/// What the servers behind the proxy are configured to.
const TIME: Duration = Duration::from_secs(3);

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant("H3.1/no-header", "is impatient", || {
            closes_without_header(TIME / 2, 4003)
        }),
        mutant("H3.1/no-header", "is very patient", || {
            closes_without_header(TIME * 3, 4003)
        }),
        mutant("H3.1/no-header", "closes with 4000", || {
            closes_without_header(TIME - Duration::from_millis(50), 4000)
        }),
        mutant(
            "H3.2/control-frames",
            "begins anew with each frame",
            prolongs,
        ),
        mutant("H3.2/fragments", "begins anew with each frame", prolongs),
        mutant("H3.2/parts", "begins anew with each byte", prolongs),
        mutant(
            "H3.2/wait-of-a-newcomer",
            "looks only for the join when the time is up",
            || {
                // Nobody else begins with such a pause.
                let (late, found) = (Arc::new(Mutex::new(false)), Instant::now());
                let is_late = late.clone();
                let mut is_first = true;
                Hooks::default()
                    .up(move |frame, wires| {
                        if is_data(&frame) && is_first {
                            is_first = false;
                            *late.lock().unwrap() = found.elapsed() > TIME / 3;
                        }
                        wires.send_server(frame);
                    })
                    .tick(move |wires| {
                        let mut is_late = is_late.lock().unwrap();
                        let up = wires.upgraded.is_some_and(|at| at.elapsed() > TIME);
                        if *is_late && up {
                            *is_late = false;
                            wires.close_client(4003, "There was no header in time.");
                        }
                    })
            },
        ),
    ]
}

/// Closes a session that has sent no data this long after the upgrade, whatever the server does.
fn closes_without_header(time: Duration, code: u16) -> Hooks {
    let sent = Arc::new(Mutex::new(false));
    let is_sent = sent.clone();
    let mut is_closed = false;
    Hooks::default()
        .up(move |frame, wires| {
            *sent.lock().unwrap() |= is_data(&frame);
            wires.send_server(frame);
        })
        .down(|frame, wires| {
            if !is_close(&frame) {
                wires.send_client(frame);
            }
        })
        .server_ended(|_| {})
        .tick(move |wires| {
            let up = wires.upgraded.is_some_and(|at| at.elapsed() > time);
            if up && !is_closed && !*is_sent.lock().unwrap() {
                is_closed = true;
                wires.close_client(code, "There was no header in time.");
            }
        })
}

/// Counts the time from what came last.
fn prolongs() -> Hooks {
    let last = Arc::new(Mutex::new(Instant::now()));
    let heard = last.clone();
    let mut is_closed = false;
    Hooks::default()
        .up_bytes(move |bytes, wires| {
            *heard.lock().unwrap() = Instant::now();
            wires.bytes_server(bytes);
        })
        .down(|frame, wires| {
            if !is_close(&frame) {
                wires.send_client(frame);
            }
        })
        .server_ended(|_| {})
        .tick(move |wires| {
            if !is_closed && last.lock().unwrap().elapsed() > TIME {
                is_closed = true;
                wires.close_client(4003, "There was no header in time.");
            }
        })
}
