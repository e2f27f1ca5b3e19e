//! How a session ends (client.md, X1.4 to X1.7 and X1.15).

use std::thread;
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::cases::slow::stall::{Stall, certain, giant};
use crate::session::{Event, Session, listed};
use crate::wire::{Frame, Length, Opcode, head};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "X1.4/any-code",
            "a close frame is answered with 1000, whatever its code",
            any_code,
        ),
        case(
            "X1.4/no-code",
            "a close frame without a code is answered with 1000",
            no_code,
        ),
        case(
            "X1.4/before-the-header",
            "a close frame instead of a header is answered with 1000",
            before_the_header,
        ),
        case(
            "X1.5/ahead-of-the-outbox",
            "a close frame goes out behind the frame in progress, and what waits is dropped",
            ahead_of_the_outbox,
        ).connections(4)
        .company(Company::Alone),
        case(
            "X1.5/nothing-follows",
            "nothing follows a close frame",
            nothing_follows,
        ),
        case(
            "X1.6/behind-a-close-frame",
            "what comes behind a client's close frame is neither distributed nor stored",
            |bench| discarded(bench, &Frame::close(1000, "bye").encode()),
        ).connections(4),
        case(
            "X1.6/behind-a-violation",
            "what comes behind a violation of RFC 6455 is neither distributed nor stored",
            |bench| discarded(bench, &Frame::text("wrong").reserved(4).encode()),
        ).connections(4),
        case(
            "X1.6/behind-text-that-is-none",
            "what comes behind text that is not UTF-8 is neither distributed nor stored",
            |bench| discarded(bench, &Frame::text(*b"\xff").encode()),
        ).connections(4),
        case(
            "X1.6/behind-what-is-too-long",
            "what comes behind the head of a message that is too long is neither distributed nor stored",
            |bench| {
                let length = bench.limits().max_message + 1;
                discarded(bench, &head(0x81, length, Length::Shortest, true))
            },
        ).connections(4),
        case(
            "X1.6/behind-a-refused-header",
            "what comes behind a refused header is discarded, another header included",
            behind_a_refused_header,
        ),
        case(
            "X1.7/when-both-are-exchanged",
            "the connection is dropped when the client's close frame has been answered",
            |bench| {
                let (mut alice, _bob) = bench.pair()?;
                alice.send(&Frame::close(1000, ""))?;
                alice.closed(1000).map_err(Stop::on_the_way)?;
                dropped(&mut alice)
            },
        ),
        case(
            "X1.7/when-the-client-has-answered",
            "the connection is dropped when the client has answered the server's close frame",
            |bench| {
                let mut alice = refused(bench)?;
                alice.send(&Frame::close(4000, ""))?;
                dropped(&mut alice)
            },
        ),
        case(
            "X1.7/without-an-answer",
            "the connection is dropped 5 s after the server has closed, if the client does not answer",
            without_an_answer,
        )
        .lasts(|_| ANSWER)
        .connections(1),
        case(
            "X1.7/although-nobody-reads",
            "the connection is dropped 5 s after the end, although the close frame could not be sent",
            although_nobody_reads,
        )
        .lasts(|_| ANSWER)
        .company(Company::Alone),
        case(
            "X1.15/a-member",
            "a member whose connection ends without a close frame has left, and nobody is told",
            |bench| gone(bench, b"", Session::vanish),
        ),
        case(
            "X1.15/the-end-of-tls",
            "a member whose connection ends with a word of TLS only has left, and nobody is told",
            |bench| gone(bench, b"", |mut session| session.connection().stream.finish()),
        ),
        case(
            "X1.15/within-a-frame",
            "a connection that ends within a frame has no effect but that the session has left",
            |bench| gone(bench, &Frame::text("never whole").encode()[..9], Session::vanish),
        ),
        case(
            "X1.15/within-a-message",
            "a connection that ends between fragments has no effect but that the session has left",
            |bench| {
                let first = Frame::text("never whole").unfinished().encode();
                gone(bench, &first, Session::vanish)
            },
        ),
        case(
            "X1.15/before-the-join",
            "a connection that ends before its header is complete has no effect",
            before_the_join,
        ),
    ]
}

/// How long a server waits for the client's close frame.
const ANSWER: Duration = Duration::from_secs(5);

fn any_code(bench: &mut Bench) -> Judged {
    for code in [1000, 1001, 1003, 1008, 1011, 3000, 4002, 4999] {
        let mut alice = bench.join_as("alice", &format!("alice {code}"))?;
        alice.send(&Frame::close(code, "a reason"))?;
        alice.closed(1000)?;
    }
    Ok(())
}

fn no_code(bench: &mut Bench) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    alice.send(&Frame::new(Opcode::CLOSE, ""))?;
    alice.closed(1000).map(drop)
}

fn before_the_header(bench: &mut Bench) -> Judged {
    for frame in [Frame::close(1001, "going"), Frame::new(Opcode::CLOSE, "")] {
        let mut alice = bench.open("alice")?;
        alice.send(&frame)?;
        alice.closed(1000)?;
    }
    Ok(())
}

fn ahead_of_the_outbox(bench: &mut Bench) -> Judged {
    let giant = giant(bench)?;
    let mut stall = Stall::open(bench)?;
    let waits = (bench.limits().outbox / 8).clamp(100, 100_000);
    for length in [giant, waits, waits, waits] {
        stall.tell(length).map_err(Stop::on_the_way)?;
    }
    stall
        .alice
        .send(&Frame::close(1000, ""))
        .map_err(Stop::on_the_way)?;
    // That it has come in: her place is free at once (L1.1).
    let mut again = bench.join_as("alice again", "alice")?;
    again.say("alice is back").map_err(Stop::on_the_way)?;
    stall
        .carol
        .until("alice is back")
        .map_err(Stop::on_the_way)?;
    let drained = stall.read(bench)?;
    if drained.loads <= 1 && drained.close.is_some() {
        return Ok(());
    }
    let stop = Stop::fail(
        "alice receives the message that was in progress, then a close frame, and nothing of what waited",
        drained.to_string(),
    );
    drop((stall, again));
    Err(certain(bench, giant, stop))
}

fn nothing_follows(bench: &mut Bench) -> Judged {
    let (mut bob, mut carol) = bench.pair()?;
    // One that the client begins, and one that the server begins.
    for last in [Frame::close(1000, ""), Frame::text("wrong").reserved(1)] {
        let mut alice = bench.join("alice 2")?;
        alice.say("alice is there").map_err(Stop::on_the_way)?;
        bob.until("alice is there").map_err(Stop::on_the_way)?;
        carol.until("alice is there").map_err(Stop::on_the_way)?;
        alice.send_together(&[Frame::ping("before"), last, Frame::ping("behind")])?;
        for _ in 0..5 {
            bench
                .fence(&mut bob, &mut carol)
                .map_err(Stop::on_the_way)?;
        }
        let close = alice.close_frame(alice.patience(), "a close frame");
        close.map_err(Stop::on_the_way)?;
        bench
            .fence(&mut bob, &mut carol)
            .map_err(Stop::on_the_way)?;
        // If the server has begun, it waits for an answer.
        alice.send(&Frame::close(1000, ""))?;
        match alice.next(alice.patience())? {
            None | Some(Event::End(_)) => {}
            Some(other) => {
                let expected = "nothing follows the close frame that alice has received";
                return Err(Stop::fail(expected, other.to_string()));
            }
        }
    }
    Ok(())
}

/// What a client sends behind this, in one write, reaches nobody.
fn discarded(bench: &mut Bench, last: &[u8]) -> Judged {
    const BEHIND: &str = "behind the end";
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.joined("carol", &mut bob)?;
    let mut bytes = last.to_vec();
    bytes.extend(Frame::text(BEHIND).encode());
    alice.send_bytes(
        &bytes,
        &format!(
            "{} bytes: what ends her session, and a message",
            bytes.len()
        ),
    )?;
    let closed = alice.close_frame(alice.patience(), "alice is closed");
    closed.map_err(Stop::on_the_way)?;
    alice.send(&Frame::text(BEHIND))?;
    alice.send(&Frame::close(1000, ""))?;
    // Once the connection is dropped nothing can come of it any more.
    let _ = alice.next_but_pings(alice.patience());
    bench.nothing_but_fence(&mut carol, &mut bob, "what alice has sent behind the end")?;
    if bench.limits().limit == 0 {
        return Ok(());
    }
    let (replayed, _dave) = bench.replay("dave", &mut carol)?;
    match replayed
        .iter()
        .any(|message| message.payload == BEHIND.as_bytes())
    {
        false => Ok(()),
        true => Err(Stop::fail(
            "dave is not replayed what alice has sent behind the end",
            listed(&replayed),
        )),
    }
}

fn behind_a_refused_header(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.hears_announcements = true;
    let mut eve = bench.open("eve")?;
    let right = Frame::text(bench.header("eve"));
    eve.send_together(&[Frame::text("no header"), right, Frame::text("behind it")])?;
    eve.close_frame(eve.patience(), "eve is closed")
        .map_err(Stop::on_the_way)?;
    eve.send(&Frame::close(1000, ""))?;
    let _ = eve.next_but_pings(eve.patience());
    bench.nothing_but_fence(
        &mut bob,
        &mut alice,
        "what eve has sent behind a refused header",
    )
}

/// A session whose header was refused.
fn refused(bench: &Bench) -> Judged<Session> {
    let mut alice = bench.open("alice")?;
    alice.say("no header")?;
    alice.closed(4000).map_err(Stop::on_the_way)?;
    Ok(alice)
}

/// The connection ends at once.
fn dropped(session: &mut Session) -> Judged {
    // Less than it would take without close frames.
    session
        .ends(session.patience().min(ANSWER * 4 / 5))
        .map(drop)
}

fn without_an_answer(bench: &mut Bench) -> Judged {
    let mut alice = refused(bench)?;
    // It may be earlier.
    alice.ends(ANSWER * 5 / 4 + bench.patience()).map(drop)
}

fn although_nobody_reads(bench: &mut Bench) -> Judged {
    let giant = giant(bench)?;
    let mut stall = Stall::open(bench)?;
    stall.tell(giant).map_err(Stop::on_the_way)?;
    stall
        .alice
        .send(&Frame::close(1000, ""))
        .map_err(Stop::on_the_way)?;
    let late = ANSWER * 5 / 4 + bench.patience();
    let began = Instant::now();
    while began.elapsed() < late {
        if stall.alice.is_gone() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    let drained = stall.read(bench)?;
    // Whatever was under way may come; that a close frame does shows that it could still be sent.
    let close = match drained.close {
        None if drained.end.is_none() => match stall.alice.next_but_pings(bench.patience())? {
            Some(Event::Close(close)) => Some(close),
            Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_) | Event::End(_)) | None => {
                None
            }
        },
        other => other,
    };
    let Some(close) = close else {
        return Ok(());
    };
    let stop = Stop::fail(
        format!("alice's connection is dropped after {} s", ANSWER.as_secs()),
        format!("it was still there: when she read again, she received {giant} bytes and {close}"),
    );
    drop(stall);
    Err(certain(bench, giant, stop))
}

/// A member goes in this way after these bytes: its place is free, and nobody hears of it.
fn gone(bench: &mut Bench, bytes: &[u8], go: impl FnOnce(Session)) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.joined("carol", &mut bob)?;
    alice.send_bytes(bytes, &format!("{} bytes", bytes.len()))?;
    go(alice);
    // Who still was a member would be asked for a sign of life, and give none for some seconds.
    let mut again = bench.join_as("alice again", "alice")?;
    again.say("alice is back")?;
    let heard = bob.until("alice is back")?;
    if !heard.is_empty() {
        let expected = "bob hears nothing of the end of alice's connection";
        return Err(Stop::fail(expected, listed(&heard)));
    }
    bench.fence(&mut carol, &mut bob)?;
    Ok(())
}

fn before_the_join(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let header = Frame::text(bench.header("eve")).encode();
    for length in [0, 1, header.len() - 1] {
        let mut eve = bench.open("eve")?;
        eve.send_bytes(&header[..length], &format!("{length} bytes of a header"))?;
        eve.vanish();
    }
    alice.hears_announcements = true;
    bench.nothing_but_fence(&mut bob, &mut alice, "anything of eve")?;
    bench.nothing_but_fence(&mut alice, &mut bob, "anything of eve")
}
