//! One session for each pair (section 5.1).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mles_conformance::wire::{Frame, Opcode};
use serde_json::json;

use crate::proxy::{Hooks, Wires};
use crate::roles::{Flag, Turns, announces, is_text, names, unnoticed};
use crate::{Mutant, is_close, is_data, mutant};

const SOON: Duration = Duration::from_millis(300);

pub(super) fn mutants() -> Vec<Mutant> {
    let mut mutants = vec![
        lets_in("J1.1/one-member", 2),
        lets_in("J1.1/spelled-otherwise", 2),
        lets_in("J1.1/auth-spelled-otherwise", 2),
        takes_for_one("J1.1/another-channel", |uid, _| uid.to_owned()),
        takes_for_one("J1.1/same-when-put-together", |uid, channel| {
            format!("{uid}{channel}")
        }),
        mutant("J1.2/ping-at-once", "does not ping the incumbent", || {
            Hooks::default().down(|frame, wires| {
                if frame.opcode != Opcode::PING {
                    wires.send_client(frame);
                }
            })
        }),
        second(
            "J1.2/receives-nothing",
            "replays to a newcomer that waits",
            {
                |is_header, frame, wires| {
                    if is_header {
                        wires.send_client(Frame::text("hello"));
                    }
                    wires.send_server(frame);
                }
            },
        ),
        second("J1.2/nothing-processed", "answers a newcomer's ping", {
            |_, frame, wires| match frame.opcode {
                Opcode::PING => wires.send_client(Frame::pong(frame.payload)),
                _ => wires.send_server(frame),
            }
        }),
        distributes_early(),
        since_ping(
            "J1.2/incumbent-as-it-is",
            "sends an incumbent nothing more",
            {
                |from_client, frame, wires| match from_client {
                    true => wires.send_server(frame),
                    false if is_data(&frame) => {}
                    false => wires.send_client(frame),
                }
            },
        ),
        since_ping(
            "J1.2/incumbent-as-it-is",
            "distributes nothing of an incumbent",
            {
                |from_client, frame, wires| match from_client {
                    true if is_data(&frame) => {}
                    true => wires.send_server(frame),
                    false => wires.send_client(frame),
                }
            },
        ),
        since_ping(
            "J1.3/newcomer-closed",
            "does not take a pong for a sign of life",
            {
                |from_client, frame, wires| match from_client {
                    true if frame.opcode == Opcode::PONG => {}
                    true => wires.send_server(frame),
                    false => wires.send_client(frame),
                }
            },
        ),
        mutant("J1.3/newcomer-closed", "closes with another code", || {
            Hooks::default().down(|frame, wires| match frame.as_close().code {
                Some(4002) if is_close(&frame) => wires.send_client(Frame::close(4000, "no")),
                _ => wires.send_client(frame),
            })
        }),
        since_ping(
            "J1.3/incumbent-stays",
            "distributes nothing more of who was probed",
            {
                |from_client, frame, wires| match from_client {
                    true if is_data(&frame) => {}
                    true => wires.send_server(frame),
                    false => wires.send_client(frame),
                }
            },
        ),
        closes_newcomer_soon(),
        hears_nothing("J1.4", "takes nothing but a pong for a sign of life"),
        mutant("J1.5", "takes every incumbent for alive", || {
            Hooks::default().down(|frame, wires| {
                if frame.opcode == Opcode::PING {
                    wires.send_server(Frame::pong(frame.payload.clone()));
                }
                wires.send_client(frame);
            })
        }),
        mutant("J1.5", "does not wait as long as it has to", || {
            let pinged = Arc::new(Mutex::new(None));
            let at = pinged.clone();
            Hooks::default()
                .down(move |frame, wires| {
                    if frame.opcode == Opcode::PING {
                        pinged.lock().unwrap().get_or_insert(Instant::now());
                    }
                    wires.send_client(frame);
                })
                .tick(move |wires| {
                    let mut at = at.lock().unwrap();
                    if at.is_some_and(|at| at.elapsed() > SOON) {
                        *at = None;
                        wires.close_client(4005, "silent");
                    }
                })
        }),
        hears_nothing(
            "J1.6",
            "finds out that the incumbent has left when the time is over",
        ),
        lets_in("J1.7/third-session", 3),
        third_tells(
            "J1.7/not-pinged-again",
            "pings for every newcomer",
            1,
            |wires| {
                wires.send_client(Frame::ping(""));
            },
        ),
        third_tells(
            "J1.7/first-newcomer-waits-on",
            "has the last newcomer take the place of the first",
            2,
            |wires| wires.close_client(4002, "another has come"),
        ),
        mutant(
            "J1.8/close-frame-sent",
            "frees the pair when the connection ends, and not before",
            || {
                Hooks::default().up(|frame, wires| match is_close(&frame) {
                    true => wires.send_client(Frame::close(1000, "")),
                    false => wires.send_server(frame),
                })
            },
        ),
        mutant(
            "J1.8/closed-by-the-server",
            "frees the pair when the client has answered, and not before",
            || {
                Hooks::default().up(|frame, wires| match frame.reserved {
                    0 => wires.send_server(frame),
                    _ => wires.send_client(Frame::close(1002, "reserved")),
                })
            },
        ),
        forgets_who_does_not_read(),
    ];
    let turns = Turns::default();
    let what = "finds out that a newcomer has gone when the time is over";
    mutants.push(mutant("J1.10/newcomer-ends", what, move || {
        let second = Flag::default();
        let is_second = second.clone();
        Hooks::default()
            .up(turns.up(move |turn, _, frame, wires| {
                if turn == 2 {
                    second.set();
                }
                wires.send_server(frame);
            }))
            .client_ended(move |wires| {
                if !is_second.is_set() {
                    wires.end_server();
                }
            })
    }));
    mutants
}

/// Lets the session in that is this one of its pair, or a later one.
fn lets_in(case: &'static str, which: usize) -> Mutant {
    let turns = Turns::default();
    mutant(case, "lets every session in", move || {
        Hooks::default().up(turns.up(move |turn, is_header, mut frame, wires| {
            if is_header && turn >= which {
                let (uid, channel) = names(&frame).unwrap_or_default();
                let header = json!({"uid": format!("{uid} {turn}"), "channel": channel});
                frame.payload = header.to_string().into();
            }
            wires.send_server(frame);
        }))
    })
}

/// Takes sessions for those of one pair by something else than their names.
fn takes_for_one(case: &'static str, key: fn(&str, &str) -> String) -> Mutant {
    let turns = Turns::default();
    mutant(case, "takes two pairs for one", move || {
        let turns = turns.clone();
        let mut headed = false;
        Hooks::default().up(move |frame, wires| {
            if !headed && is_data(&frame) {
                headed = true;
                let (uid, channel) = names(&frame).unwrap_or_default();
                if turns.of(key(&uid, &channel)) > 1 {
                    return wires.close_client(4002, "there is one");
                }
            }
            wires.send_server(frame);
        })
    })
}

/// Does this with what the second session of a pair sends.
fn second(case: &'static str, what: &'static str, hook: fn(bool, Frame, &mut Wires)) -> Mutant {
    let turns = Turns::default();
    mutant(case, what, move || {
        Hooks::default().up(turns.up(move |turn, is_header, frame, wires| match turn {
            2 => hook(is_header, frame, wires),
            _ => wires.send_server(frame),
        }))
    })
}

/// Does this with the frames of a connection once the server has pinged on it; the first argument says which way.
fn since_ping(case: &'static str, what: &'static str, hook: fn(bool, Frame, &mut Wires)) -> Mutant {
    mutant(case, what, move || {
        let pinged = Flag::default();
        let is_pinged = pinged.clone();
        Hooks::default()
            .up(move |frame, wires| match is_pinged.is_set() {
                true => hook(true, frame, wires),
                false => wires.send_server(frame),
            })
            .down(move |frame, wires| {
                if frame.opcode == Opcode::PING {
                    pinged.set();
                }
                match pinged.is_set() {
                    true => hook(false, frame, wires),
                    false => wires.send_client(frame),
                }
            })
    })
}

/// Takes notice of nothing that an incumbent does once it is pinged, but of a pong.
fn hears_nothing(case: &'static str, what: &'static str) -> Mutant {
    mutant(case, what, || {
        let pinged = Flag::default();
        let (up_pinged, end_pinged) = (pinged.clone(), pinged.clone());
        Hooks::default()
            .up_bytes(move |bytes, wires| {
                if !up_pinged.is_set() {
                    wires.bytes_server(bytes);
                }
            })
            .down(move |frame, wires| {
                if frame.opcode == Opcode::PING {
                    pinged.set();
                }
                wires.send_client(frame);
            })
            .client_ended(move |wires| match end_pinged.is_set() {
                true => unnoticed(wires),
                false => wires.end_server(),
            })
    })
}

fn distributes_early() -> Mutant {
    let turns = Turns::default();
    let post: Arc<Mutex<Vec<Frame>>> = Arc::default();
    let what = "distributes what a newcomer sends";
    mutant("J1.2/nothing-processed", what, move || {
        let (given, taken) = (post.clone(), post.clone());
        let bob = Flag::default();
        let is_bob = bob.clone();
        Hooks::default()
            .up(turns.up(move |turn, is_header, frame, wires| {
                if is_header && announces(&frame, "bob") {
                    bob.set();
                }
                if turn == 2 && !is_header && is_data(&frame) {
                    given.lock().unwrap().push(frame.clone());
                }
                wires.send_server(frame);
            }))
            .down(move |frame, wires| {
                if is_bob.is_set() {
                    for frame in taken.lock().unwrap().drain(..) {
                        wires.send_client(frame);
                    }
                }
                wires.send_client(frame);
            })
    })
}

fn closes_newcomer_soon() -> Mutant {
    let turns = Turns::default();
    let what = "closes the newcomer before the time is over";
    mutant("J1.4", what, move || {
        let since = Arc::new(Mutex::new(None));
        let at = since.clone();
        Hooks::default()
            .up(turns.up(move |turn, is_header, frame, wires| {
                if turn == 2 && is_header {
                    *since.lock().unwrap() = Some(Instant::now());
                }
                wires.send_server(frame);
            }))
            .tick(move |wires| {
                let mut at = at.lock().unwrap();
                if at.is_some_and(|at| at.elapsed() > SOON) {
                    *at = None;
                    wires.close_client(4002, "there is one");
                }
            })
    })
}

/// When a third session of a pair comes, does this on the connection of an earlier one.
fn third_tells(
    case: &'static str,
    what: &'static str,
    which: usize,
    hook: fn(&mut Wires),
) -> Mutant {
    let turns = Turns::default();
    let come = Flag::default();
    mutant(case, what, move || {
        let come = come.clone();
        let (mine, came) = (Flag::default(), come.clone());
        let is_mine = mine.clone();
        Hooks::default()
            .up(turns.up(move |turn, is_header, frame, wires| {
                if is_header && turn == 3 {
                    come.set();
                } else if is_header && turn == which && announces(&frame, "alice") {
                    mine.set();
                } else if mine.is_set() && come.take() {
                    hook(wires);
                }
                wires.send_server(frame);
            }))
            .down(move |frame, wires| {
                // Before what is said when the third has gone.
                if is_mine.is_set() && is_text(&frame, "the third has gone") && came.take() {
                    hook(wires);
                }
                wires.send_client(frame);
            })
    })
}

fn forgets_who_does_not_read() -> Mutant {
    let turns = Turns::default();
    let what = "takes the pair from a member that does not read";
    mutant("J1.9/lagging", what, move || {
        let alice = Flag::default();
        let is_alice = alice.clone();
        let mut count = 0;
        Hooks::default()
            .up(turns.up(move |turn, is_header, frame, wires| {
                if is_header && turn == 1 && announces(&frame, "alice") {
                    alice.set();
                }
                wires.send_server(frame);
            }))
            .down_bytes(move |bytes, wires| {
                count += bytes.len();
                wires.bytes_client(bytes);
                if is_alice.is_set() && count > 1 << 20 {
                    wires.end_server();
                }
            })
    })
}
