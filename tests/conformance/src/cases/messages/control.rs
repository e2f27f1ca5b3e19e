//! Pings and pongs (M2).

use std::time::Instant;

use super::{frame, long};
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Event, Message, listed};
use crate::transcript::shown;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "M2.1/not-distributed",
            "pings and pongs do not reach the other members in any form",
            not_distributed,
        ),
        case(
            "M2.1/not-stored",
            "pings and pongs are not in the history",
            not_stored,
        ),
        case("M2.2/pong", "a ping is answered with its own payload", pong),
        case(
            "M2.2/several-pings",
            "of several pings at once at least the latest is answered",
            several_pings,
        ),
        case(
            "M2.3/unasked",
            "a pong that nothing has asked for does no harm",
            unasked,
        ),
        case(
            "M2.3/counts",
            "a pong with another payload than the ping's is a sign of life like any other",
            unasked_counts,
        ),
        case(
            "M2.4/behind-messages",
            "when a ping is answered, the messages sent ahead of it are accepted",
            behind_messages,
        ),
    ]
}

fn not_distributed(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.send_together(&[
        Frame::ping("a ping of alice's"),
        Frame::pong("a pong of alice's"),
    ])?;
    let marker = bench.marker();
    alice.say(&marker)?;
    let expected = "bob receives nothing of alice's but her message";
    let deadline = Instant::now() + bench.patience();
    loop {
        match bob.next(deadline.saturating_duration_since(Instant::now()))? {
            Some(Event::Message(message)) if message.equals(&Message::text(&marker)) => {
                return Ok(());
            }
            Some(Event::Ping(payload) | Event::Pong(payload))
                if payload.ends_with(b" of alice's") =>
            {
                return Err(Stop::fail(expected, shown(&payload)));
            }
            // The server may have reasons of its own for others.
            Some(Event::Ping(_) | Event::Pong(_)) => {}
            Some(other) => return Err(Stop::fail(expected, other.to_string())),
            None => {
                let why = "bob does not receive what alice says";
                return Err(Stop::Inconclusive(why.into()));
            }
        }
    }
}

fn not_stored(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    alice.send_together(&[
        Frame::ping("a ping of alice's"),
        Frame::pong("a pong of alice's"),
        Frame::ping(""),
    ])?;
    bench
        .fence(&mut alice, &mut bob)
        .map_err(Stop::on_the_way)?;
    let mut late = bench.join("late")?;
    let marker = bench.marker();
    bob.say(&marker)?;
    let came = late.until(&marker).map_err(Stop::on_the_way)?;
    let said = [&Bench::met()[..], &[Message::text("marker 1")]].concat();
    match came.iter().find(|message| !said.contains(message)) {
        None => Ok(()),
        Some(other) => Err(Stop::fail(
            "what was said, and nothing else, is replayed",
            other.to_string(),
        )),
    }
}

fn pong(bench: &mut Bench) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    for payload in [&b""[..], b"a", &[0xff; 125]] {
        alice.send(&Frame::ping(payload))?;
        let before = alice.pong(payload)?;
        if !before.is_empty() {
            return Err(Stop::fail("nothing but the pong", listed(&before)));
        }
    }
    Ok(())
}

fn several_pings(bench: &mut Bench) -> Judged {
    const COUNT: u8 = 20;
    let (mut alice, _bob) = bench.pair()?;
    let pings: Vec<_> = (1..=COUNT).map(|number| Frame::ping([number])).collect();
    alice.send_together(&pings)?;
    let expected = "pongs for some of the pings in their order, and for the latest";
    let deadline = Instant::now() + bench.patience();
    let mut latest = 0;
    loop {
        let event = alice.next(deadline.saturating_duration_since(Instant::now()))?;
        let came = match &event {
            Some(Event::Pong(payload)) => match payload.as_slice() {
                [COUNT] => return Ok(()),
                [number] if *number > latest && *number < COUNT => {
                    latest = *number;
                    continue;
                }
                other => format!("pong {} after that of ping {latest}", shown(other)),
            },
            Some(Event::Ping(_)) => continue,
            Some(other @ (Event::Message(_) | Event::Close(_) | Event::End(_))) => {
                other.to_string()
            }
            None => format!("nothing after the pong for ping {latest}"),
        };
        return Err(Stop::fail(expected, came));
    }
}

fn unasked(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    for payload in [&b""[..], b"unasked", &[0; 125]] {
        alice.send(&Frame::pong(payload))?;
        bench.fence(&mut alice, &mut bob)?;
        bench.fence(&mut bob, &mut alice)?;
    }
    Ok(())
}

fn unasked_counts(bench: &mut Bench) -> Judged {
    let (alice, mut bob) = bench.pair()?;
    let mut alice = alice.silent();
    let mut newcomer = bench.open("newcomer")?;
    bench.acquaint(&mut alice, &mut bob)?;
    newcomer.say(&bench.header("alice"))?;
    let pinged = alice.ping(bench.patience());
    pinged.map_err(Stop::on_the_way)?;
    alice.send(&Frame::pong("not what was in the ping"))?;
    newcomer.closed(4002)?;
    bench.fence(&mut bob, &mut alice)?;
    Ok(())
}

fn behind_messages(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut carol, &mut bob)?;
    let long = long(bench);
    let mut messages = vec![long];
    messages.extend((0..50).map(|number| Message::text(&format!("message {number}"))));
    let mut frames: Vec<_> = messages.iter().map(frame).collect();
    frames.push(Frame::ping("behind them"));
    alice.send_together(&frames)?;
    let ponged = alice.pong(b"behind them");
    ponged.map_err(Stop::on_the_way)?;
    // What is said now comes after all of them, whoever says it.
    let marker = bench.marker();
    carol.say(&marker)?;
    let came = bob.until(&marker)?;
    let same = came.len() == messages.len()
        && came
            .iter()
            .zip(&messages)
            .all(|(came, sent)| came.equals(sent));
    match same {
        true => Ok(()),
        false => Err(Stop::fail(
            format!(
                "all {} messages come before what is said after the pong",
                messages.len()
            ),
            format!("{} of them do: {}", came.len(), listed(&came)),
        )),
    }
}
