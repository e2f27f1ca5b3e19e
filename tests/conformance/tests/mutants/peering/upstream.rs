//! Choosing and keeping an upstream (peering.md, section 9).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mles_conformance::wire::Opcode;

use super::{closes_with, never_closes_with};
use crate::proxy::Hooks;
use crate::{Mutant, mutant};

/// Of the server's pings, only every second, or third, passes.
fn pings(each: usize) -> Hooks {
    let mut count = 0;
    Hooks::default().down(move |frame, wires| {
        let is_ping = frame.opcode == Opcode::PING;
        count += usize::from(is_ping);
        if !is_ping || count % each == 0 {
            wires.send_client(frame);
        }
    })
}

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        mutant("U1.6/pings", "pings every 10 s", || pings(2)),
        mutant(
            "U1.6/pings",
            "does not ping one from which something comes",
            || pings(1000),
        ),
        mutant("U1.6/silence", "keeps a link that is silent", || {
            never_closes_with(4005)
        }),
        mutant("U1.6/silence", "closes with 4003", || {
            closes_with(4005, 4003)
        }),
        mutant("U1.6/silence", "gives a peer 10 s to answer", || {
            Hooks::default().tick(|wires| {
                let ten = Duration::from_secs(10);
                if wires
                    .upgraded
                    .is_some_and(|upgraded| upgraded.elapsed() > ten)
                {
                    wires.close_client(4005, "no answer");
                    wires.upgraded = None;
                }
            })
        }),
        mutant(
            "U1.6/parts-count",
            "takes only complete messages and pongs for a sign of life",
            || {
                let latest = Arc::new(Mutex::new(Instant::now()));
                let heard = latest.clone();
                Hooks::default()
                    .up(move |frame, wires| {
                        if frame.fin {
                            *heard.lock().unwrap() = Instant::now();
                        }
                        wires.send_server(frame);
                    })
                    .tick(move |wires| {
                        let silent = latest.lock().unwrap().elapsed();
                        if silent > Duration::from_secs(20) && wires.upgraded.take().is_some() {
                            wires.close_client(4005, "no sign of life");
                        }
                    })
            },
        ),
    ]
}
