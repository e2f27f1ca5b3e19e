//! How long a header may take.

use std::time::{Duration, Instant};

use crate::bench::{Bench, lasted};
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Event, Session};
use crate::wire::{Frame, Length, head};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "H3.1/no-header",
            "a session without a header is closed with 4003 when its time is up",
            |bench| closed_in_time(bench, |_, _| Ok(())),
        )
        .lasts(|limits| limits.header_timeout)
        .connections(1),
        case(
            "H3.2/control-frames",
            "pings and pongs do not prolong the time for the header",
            |bench| {
                closed_in_time(bench, |session, step| {
                    session.send(&match step % 2 {
                        0 => Frame::ping("still here"),
                        _ => Frame::pong(""),
                    })
                })
            },
        )
        .lasts(|limits| limits.header_timeout)
        .connections(1),
        case(
            "H3.2/fragments",
            "fragments of a header do not prolong its time",
            |bench| {
                closed_in_time(bench, |session, step| {
                    session.send(&match step {
                        0 => Frame::text(" ").unfinished(),
                        _ => Frame::continuation(" ").unfinished(),
                    })
                })
            },
        )
        .lasts(|limits| limits.header_timeout)
        .connections(1),
        case(
            "H3.2/parts",
            "parts of a frame with the header do not prolong its time",
            |bench| {
                closed_in_time(bench, |session, step| match step {
                    0 => {
                        let head = head(0x81, 100, Length::Shortest, true);
                        session.send_bytes(&head, "the head of a text frame of 100 bytes")
                    }
                    _ => session.send_bytes(b"\x17", "a byte of it"),
                })
            },
        )
        .lasts(|limits| limits.header_timeout)
        .connections(1),
        case(
            "H3.2/wait-of-a-newcomer",
            "a newcomer is not closed with 4003 while it waits for the incumbent",
            wait_of_a_newcomer,
        )
        .lasts(|limits| limits.header_timeout + limits.probe_timeout / 2),
    ]
}

/// A session that does this every now and then is closed with 4003 when the time for the header is up.
fn closed_in_time(bench: &Bench, mut meanwhile: impl FnMut(&mut Session, u32) -> Judged) -> Judged {
    let time = bench.limits().header_timeout;
    let expected = format!("closed with 4003 after {:.1} s", time.as_secs_f32());
    // The server's time begins later, with its answer.
    let began = Instant::now();
    let mut session = bench.open("alice")?;
    // As long as `lasted` has patience.
    let latest = Instant::now() + time + time / 4 + bench.patience();
    let pause = (time / 10).max(Duration::from_millis(20));
    let mut step = 0;
    loop {
        meanwhile(&mut session, step)?;
        step += 1;
        let next = Instant::now() + pause;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            match session.next(left)? {
                Some(Event::Close(close)) if close.code == Some(4003) => {
                    let ended = session.heard_at();
                    return lasted(began, ended, time, bench.patience(), "closed with 4003");
                }
                Some(other @ (Event::Close(_) | Event::End(_) | Event::Message(_))) => {
                    return Err(Stop::fail(expected, other.to_string()));
                }
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                None => break,
            }
        }
        if Instant::now() > latest {
            let came = format!("open after {:.1} s", began.elapsed().as_secs_f32());
            return Err(Stop::fail(expected, came));
        }
    }
}

fn wait_of_a_newcomer(bench: &mut Bench) -> Judged {
    let limits = bench.limits();
    let (time, wait) = (limits.header_timeout, limits.probe_timeout);
    if wait < Duration::from_secs(1)
        || time < wait / 2 + Duration::from_millis(500)
        || limits.ping_interval * 4 < time + wait
    {
        let why = "the times for the header and for the probe, or until the incumbent is taken for dead, are too short to tell";
        return Err(Stop::Skip(why.into()));
    }
    let (mut alice, mut bob) = bench.pair()?;
    alice.answers_pings = false;
    let began = Instant::now();
    let mut newcomer = bench.open("newcomer")?;
    // So that the time for the header ends in the middle of the wait.
    while began.elapsed() < time - wait / 2 {
        let left = (time - wait / 2).saturating_sub(began.elapsed());
        for session in [&mut alice, &mut bob] {
            session.next(left / 2)?;
        }
    }
    let marker = bench.marker();
    newcomer.send_together(&[Frame::text(bench.header("alice")), Frame::text(&*marker)])?;
    let expected = "the newcomer waits, joins, and what it says is heard";
    let deadline = Instant::now() + wait + wait / 4 + bench.patience();
    loop {
        match bob.next(Duration::from_millis(20))? {
            Some(Event::Message(message)) if message.payload == marker.as_bytes() => return Ok(()),
            Some(Event::Close(_) | Event::End(_)) => {
                return Err(Stop::Inconclusive("bob is gone".into()));
            }
            Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) | None => {}
        }
        match newcomer.next(Duration::from_millis(1))? {
            Some(Event::Close(close)) if close.code == Some(4003) => {
                return Err(Stop::fail(expected, close.to_string()));
            }
            Some(end @ (Event::Close(_) | Event::End(_))) => {
                let why = format!("the newcomer is refused for another reason: {end}");
                return Err(Stop::Inconclusive(why));
            }
            Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) | None => {}
        }
        if Instant::now() > deadline {
            let why = "neither the newcomer joins nor is it refused";
            return Err(Stop::Inconclusive(why.into()));
        }
    }
}
