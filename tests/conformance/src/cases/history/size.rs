//! How long a message may be (client.md, 7.4).

use std::thread;

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::{Event, Session};
use crate::wire::{Frame, Length, Opcode, head};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "M4.1/the-largest-message",
            "a message of the largest size reaches the others",
            |bench| largest(bench, 1),
        )
        .company(Company::Alone),
        case(
            "M4.1/all-fragments-together",
            "a message of the largest size may come in fragments",
            |bench| largest(bench, 5),
        )
        .company(Company::Alone),
        case(
            "M4.2/the-declared-length",
            "who begins a message that is too long by a byte is closed with 1009 before any of it has come",
            the_declared_length,
        ),
        case(
            "M4.2/the-longest-length",
            "who declares a message of 2^63 - 1 bytes is closed with 1009",
            the_longest_length,
        ),
        case(
            "M4.2/declared-by-fragments",
            "who declares a fragment that makes the message too long is closed with 1009 before any of it has come",
            declared_by_fragments,
        ),
        case(
            "M4.2/nobody-else",
            "nobody else hears anything of a message that is too long",
            nobody_else,
        ),
        case(
            "M4.6/two-at-a-time",
            "two messages of the largest size may be under way at a time",
            two_at_a_time,
        )
        .connections(5)
        .company(Company::Alone),
        case(
            "M4.6/closed-with-4004",
            "who has to stop because of all unfinished messages is closed with 4004, and nobody else is affected",
            closed_with_4004,
        )
        .connections(UNFINISHED + 3)
        .company(Company::Disruptive),
    ]
}

/// The largest message, if it is not too large to be tried.
fn largest_size(bench: &Bench) -> Judged<u64> {
    const MOST: u64 = 64 << 20;
    let size = bench.limits().max_message;
    match size <= MOST {
        true => Ok(size),
        false => Err(Stop::Skip(format!(
            "the largest message has {size} bytes; this is tried with up to {MOST}"
        ))),
    }
}

fn largest(bench: &mut Bench, fragments: usize) -> Judged {
    let size = largest_size(bench)?;
    let (alice, bob) = bench.pair()?;
    let time = bench.time_for(size);
    let (mut alice, mut bob) = (alice.patient_for(time), bob.patient_for(time));
    let payload = vec![b'm'; usize::try_from(size).unwrap_or(usize::MAX)];
    let chunks: Vec<_> = payload.chunks(payload.len().div_ceil(fragments)).collect();
    for (nth, chunk) in chunks.iter().enumerate() {
        let opcode = match nth {
            0 => Opcode::TEXT,
            _ => Opcode::CONTINUATION,
        };
        let mut frame = Frame::new(opcode, *chunk);
        frame.fin = nth + 1 == chunks.len();
        alice.send(&frame)?;
    }
    let came = bob.message(&format!("a text message of {size} bytes"))?;
    match came.text && came.payload == payload {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("bob receives a text message of {size} bytes"),
            came.to_string(),
        )),
    }
}

/// The head of a frame whose payload does not come.
fn declared(session: &mut Session, first: u8, length: u64) -> Judged {
    session.send_bytes(
        &head(first, length, Length::Shortest, true),
        &format!("the head of a frame of {length} bytes, and none of them"),
    )
}

const LAST_TEXT: u8 = 0x81;
const LAST_CONTINUATION: u8 = 0x80;

fn the_declared_length(bench: &mut Bench) -> Judged {
    let size = bench.limits().max_message;
    let (mut alice, _bob) = bench.pair()?;
    declared(&mut alice, LAST_TEXT, size + 1)?;
    alice.closed(1009).map(drop)
}

fn the_longest_length(bench: &mut Bench) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    declared(&mut alice, LAST_TEXT, u64::MAX >> 1)?;
    alice.closed(1009).map(drop)
}

fn declared_by_fragments(bench: &mut Bench) -> Judged {
    const BEGUN: u64 = 3000;
    let size = bench.limits().max_message;
    let (mut alice, _bob) = bench.pair()?;
    alice.send(&Frame::text(vec![b'm'; 1000]).unfinished())?;
    alice.send(&Frame::continuation(vec![b'm'; 2000]).unfinished())?;
    declared(&mut alice, LAST_CONTINUATION, size - BEGUN + 1)?;
    alice.closed(1009).map(drop)
}

fn nobody_else(bench: &mut Bench) -> Judged {
    const BEGUN: u64 = 3000;
    let size = bench.limits().max_message;
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.joined("carol", &mut bob)?;
    alice.send(&Frame::text(vec![b'm'; 3000]).unfinished())?;
    declared(&mut alice, LAST_CONTINUATION, size - BEGUN + 1)?;
    alice
        .close_frame(alice.patience(), "a close frame")
        .map_err(Stop::on_the_way)?;
    bench.nothing_but_fence(&mut carol, &mut bob, "a part of the message")?;
    bench.nothing_but_fence(&mut bob, &mut carol, "a part of the message")
}

/// All of a message of this size but its last byte, and that byte.
fn in_two(size: u64, fill: u8) -> (Frame, Frame) {
    let payload = vec![fill; usize::try_from(size).unwrap_or(usize::MAX)];
    let (most, last) = payload.split_at(payload.len() - 1);
    (Frame::binary(most).unfinished(), Frame::continuation(last))
}

fn two_at_a_time(bench: &mut Bench) -> Judged {
    let size = largest_size(bench)?;
    let time = bench.time_for(3 * size);
    let (alice, bob) = bench.pair()?;
    let (mut alice, bob) = (alice.patient_for(time), bob.patient_for(time));
    let mut bob = bob;
    let mut carol = bench.joined("carol", &mut bob)?.patient_for(time);
    let ((a, a_last), (b, b_last)) = (in_two(size, 1), in_two(size, 2));
    alice.send(&a)?;
    bob.send(&b)?;
    for (speaker, last, fill) in [(&mut alice, &a_last, 1), (&mut bob, &b_last, 2)] {
        speaker.send(last)?;
        let who = speaker.who();
        let expected = format!("{who}'s message of {size} bytes, which was under way with another");
        let came = carol.message(&expected)?;
        if came.payload.len() as u64 != size || came.payload.iter().any(|byte| *byte != fill) {
            let expected = format!("carol receives {expected}");
            return Err(Stop::fail(expected, came.to_string()));
        }
    }
    Ok(())
}

/// How many messages are under way at a time.
const UNFINISHED: usize = 10;

/// What has become of somebody who sends a long message.
fn closed_meanwhile(mut session: Session) -> Judged<(Session, Option<u16>)> {
    // It comes behind all that was sent, and is quick if it comes at all.
    let within = session.patience() / 4;
    match session.next_but_pings(within)? {
        None => Ok((session, None)),
        Some(Event::Close(close)) => Ok((session, Some(close.code.unwrap_or(0)))),
        Some(Event::Message(message)) => Err(Stop::fail(
            format!("{} receives nothing", session.who()),
            message.to_string(),
        )),
        Some(Event::Ping(_) | Event::Pong(_)) => closed_meanwhile(session),
        Some(Event::End(end)) => Err(Stop::fail(
            format!("{} goes on, or is closed with 4004", session.who()),
            format!("{end}, without a close frame"),
        )),
    }
}

fn closed_with_4004(bench: &mut Bench) -> Judged {
    let size = largest_size(bench)?;
    let (mut alice, mut bob) = bench.pair()?;
    let channel = bench.another_channel();
    let mut sessions = Vec::new();
    for nth in 0..UNFINISHED {
        let session = bench.join_on(&format!("long {nth}"), &channel)?;
        sessions.push(session.patient_for(bench.time_for(4 * size)));
    }
    let (most, _) = in_two(size, 7);
    for session in &mut sessions {
        session.send(&most)?;
    }
    let patience = bench.patience();
    let looked: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = sessions
            .into_iter()
            .map(|session| scope.spawn(move || closed_meanwhile(session.patient_for(patience))))
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut alive = 0;
    let mut sessions = Vec::new();
    for one in looked {
        let stopped = Stop::Inconclusive("a thread of the judge has panicked".into());
        let (session, code) = one.map_err(|_| stopped)??;
        match code {
            None => alive += 1,
            Some(4004) => {}
            Some(code) => {
                return Err(Stop::fail(
                    format!("{} goes on, or is closed with 4004", session.who()),
                    format!("it is closed with {code}"),
                ));
            }
        }
        sessions.push(session);
    }
    if alive < 2 {
        return Err(Stop::fail(
            "two messages of the largest size may be under way",
            format!("of {UNFINISHED} sessions, {alive} were not closed"),
        ));
    }
    bench.note(format!("{alive} of {UNFINISHED} sessions were not closed"));
    bench.nothing_but_fence(&mut alice, &mut bob, "anything of it")?;
    bench.nothing_but_fence(&mut bob, &mut alice, "anything of it")
}
