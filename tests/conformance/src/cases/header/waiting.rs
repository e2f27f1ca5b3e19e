//! What a client sends behind its header before it has joined.

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::{Event, Message, Session, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "H2.2/stays-unread",
            "what a newcomer sends while it waits stays unread in the transport",
            stays_unread,
        )
        .connections(3)
        .company(Company::Alone),
        case(
            "H2.3/in-one-write",
            "messages that come with the header are all processed, in order",
            in_one_write,
        ),
        case(
            "H2.3/behind-the-wait",
            "what a newcomer has sent while it waited is all processed once it has joined, in order",
            behind_the_wait,
        ),
        case(
            "H2.3/not-before-the-join",
            "no message of a newcomer is distributed while it waits, nor if it is refused",
            not_before_the_join,
        )
        .connections(4),
        case(
            "H2.3/no-pong-before-the-join",
            "a newcomer's ping is not answered while it waits",
            no_pong_before_the_join,
        ),
    ]
}

/// A newcomer with alice's names, who has sent these frames behind its header, while alice, who is silent, has been
/// pinged for it.
fn newcomer(bench: &Bench, alice: &mut Session, behind: &[Frame]) -> Judged<Session> {
    alice.answers_pings = false;
    let mut newcomer = bench.open("newcomer")?;
    let mut frames = vec![Frame::text(bench.header("alice"))];
    frames.extend_from_slice(behind);
    newcomer.send_together(&frames)?;
    alice.ping(bench.patience()).map_err(Stop::on_the_way)?;
    Ok(newcomer)
}

fn stays_unread(bench: &mut Bench) -> Judged {
    const MOST: usize = 64 << 20;
    let wait = bench.limits().probe_timeout;
    if wait < Duration::from_secs(1) {
        let why = "an incumbent is probed for less than a second: too short to tell";
        return Err(Stop::Skip(why.into()));
    }
    let (mut alice, _bob) = bench.pair()?;
    alice.answers_pings = false;
    let mut newcomer = bench.open("newcomer")?;
    // Whatever the server does, the newcomer waits at least this long.
    let until = Instant::now() + wait - Duration::from_millis(100);
    newcomer.say(&bench.header("alice"))?;
    alice.ping(bench.patience()).map_err(Stop::on_the_way)?;
    let chunk = Frame::binary(vec![0x55; 1000]).encode().repeat(64);
    let mut taken = 0;
    newcomer.note("sends binary messages of 1000 bytes without end");
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        let within = left.min(Duration::from_millis(500));
        let stream = &mut newcomer.connection().stream;
        match stream.write(&chunk, within) {
            Ok(()) => taken += chunk.len(),
            Err(None) if left > within => {
                newcomer.note(&format!("after {taken} bytes nothing more is taken"));
                return Ok(());
            }
            Err(None) => break,
            Err(Some(end)) => {
                let came = match newcomer.next(Duration::from_millis(100))? {
                    Some(event) => event.to_string(),
                    None => end.to_string(),
                };
                let expected = "what the waiting newcomer sends stays unread";
                return Err(Stop::fail(expected, came));
            }
        }
        if taken >= MOST {
            return Err(Stop::fail(
                "the server holds 8 KiB at most, so that only what buffers of the network hold is taken",
                format!("{} MiB were taken while the newcomer waited", MOST >> 20),
            ));
        }
    }
    Err(Stop::Inconclusive(format!(
        "{taken} bytes were taken while the newcomer waited, on a way that is too slow for more"
    )))
}

/// So many messages of 100 bytes.
fn numbered(count: usize) -> Vec<Message> {
    let numbers = 0..count;
    let text = |number| format!("{number:3} {}", "behind the header ".repeat(6));
    numbers
        .map(|number| Message::text(&text(number)[..100]))
        .collect()
}

fn frames(messages: &[Message]) -> Vec<Frame> {
    let frames = messages.iter();
    frames
        .map(|message| Frame::text(message.payload.clone()))
        .collect()
}

/// What was heard is all that was said.
fn none_lost(said: &[Message], heard: &[Message]) -> Judged {
    if said.len() == heard.len() && said.iter().zip(heard).all(|(one, other)| one.equals(other)) {
        return Ok(());
    }
    let differs = said
        .iter()
        .zip(heard)
        .position(|(one, other)| !one.equals(other));
    let at = differs.unwrap_or(said.len().min(heard.len()));
    let shown = match heard.get(at) {
        Some(message) => message.to_string(),
        None => "the end".into(),
    };
    Err(Stop::fail(
        format!("all {} messages, in order", said.len()),
        format!("{} messages; number {at} is {shown}", heard.len()),
    ))
}

fn in_one_write(bench: &mut Bench) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    let said = numbered(60);
    let mut carol = bench.open("carol")?;
    let mut all = vec![Frame::text(bench.header("carol"))];
    all.extend(frames(&said));
    carol.send_together(&all)?;
    let marker = bench.marker();
    carol.say(&marker)?;
    let heard = alice.until(&marker)?;
    none_lost(&said, &heard)
}

fn behind_the_wait(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    // More than a server may hold.
    let said = numbered(200);
    let mut newcomer = newcomer(bench, &mut alice, &frames(&said))?;
    alice.leave();
    let marker = bench.marker();
    newcomer.say(&marker)?;
    match bob.until(&marker) {
        Ok(heard) => none_lost(&said, &heard),
        Err(stop) => {
            // It is the point only if the newcomer has joined: then it has heard the history.
            newcomer.until(Bench::HERE).map_err(Stop::on_the_way)?;
            Err(stop)
        }
    }
}

/// The incumbent shows that it is alive, and the newcomer is closed with 4002. Pongs before that are counted.
fn refused(newcomer: &mut Session, alice: &mut Session) -> Judged<usize> {
    alice.send(&Frame::pong(""))?;
    alice.answers_pings = true;
    let deadline = Instant::now() + newcomer.patience();
    let mut pongs = 0;
    while Instant::now() < deadline {
        alice.next(Duration::from_millis(1))?;
        match newcomer.next(Duration::from_millis(20))? {
            Some(Event::Pong(_)) => pongs += 1,
            Some(Event::Close(close)) if close.code == Some(4002) => return Ok(pongs),
            Some(other @ (Event::Close(_) | Event::End(_) | Event::Message(_))) => {
                let why = format!("the newcomer is not closed with 4002: {other}");
                return Err(Stop::Inconclusive(why));
            }
            Some(Event::Ping(_)) | None => {}
        }
    }
    let why = "the newcomer is not closed with 4002 in time";
    Err(Stop::Inconclusive(why.into()))
}

fn not_before_the_join(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.meet(&mut carol, &mut bob)?;
    let said = [Frame::text("too early"), Frame::binary("too early")];
    let mut newcomer = newcomer(bench, &mut alice, &said)?;
    let expected = "bob hears nothing of the newcomer";
    let nothing = |heard: Vec<Message>| match heard.is_empty() {
        true => Ok(()),
        false => Err(Stop::fail(expected, listed(&heard))),
    };
    nothing(bench.fence(&mut carol, &mut bob)?)?;
    refused(&mut newcomer, &mut alice)?;
    nothing(bench.fence(&mut carol, &mut bob)?)
}

fn no_pong_before_the_join(bench: &mut Bench) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    let behind = [Frame::ping("too early")];
    let mut newcomer = newcomer(bench, &mut alice, &behind)?;
    // A pong would be there by now, or come ahead of the close frame.
    let pause = bench.limits().probe_timeout / 20;
    let early = newcomer.next(pause.min(Duration::from_millis(200)))?;
    let pongs = match early {
        Some(Event::Pong(_)) => 1,
        Some(Event::Message(_) | Event::Ping(_) | Event::Close(_) | Event::End(_)) | None => {
            refused(&mut newcomer, &mut alice)?
        }
    };
    match pongs {
        0 => Ok(()),
        _ => Err(Stop::fail(
            "the newcomer's ping is not answered while it waits",
            "a pong before the close frame",
        )),
    }
}
