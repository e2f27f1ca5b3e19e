//! Leaving and expiry (client.md, section 8).

use serde_json::Value;

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Event, Message, Session, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "L1.1/pair-is-free",
            "when a close frame is answered, the pair is free for the next session",
            pair_is_free,
        ),
        case(
            "L1.1/receives-nothing-more",
            "who has sent a close frame receives none of what is said after its answer",
            receives_nothing_more,
        ),
        case(
            "L1.1/nothing-behind-a-close-frame",
            "what a session sends behind its close frame is not distributed",
            nothing_behind_a_close_frame,
        )
        .connections(4),
        case(
            "L1.1/connection-ends",
            "a session whose connection ends is no member any more",
            connection_ends,
        ),
        case(
            "L1.1/closed-by-the-server",
            "a session that the server closes is no member any more, whether it answers or not",
            closed_by_the_server,
        ),
        case(
            "L1.2/close-frame",
            "nobody is told that a session has said goodbye",
            nobody_is_told,
        )
        .connections(4),
        case(
            "L1.2/connection-ends",
            "nobody is told that a session is gone without goodbye",
            nobody_is_told_of_an_end,
        ),
        case(
            "L1.3/history-stays",
            "a history stays when all members have left",
            history_stays,
        ),
    ]
}

/// A new session of alice's pair is a member at once: what it says reaches bob.
fn joins_again(bench: &mut Bench, bob: &mut Session) -> Judged<Session> {
    let mut again = bench.join_as("again", "alice")?;
    let marker = bench.marker();
    again.say(&marker)?;
    bob.until(&marker).map_err(|stop| match stop {
        Stop::Fail { came, .. } => {
            Stop::fail("the next session of the pair is a member at once", came)
        }
        Stop::Skip(_) | Stop::Inconclusive(_) => stop,
    })?;
    Ok(again)
}

/// Alice sends a close frame, and it is answered.
fn closes(bench: &Bench, alice: &mut Session) -> Judged {
    alice.send(&Frame::close(1000, ""))?;
    let closed = alice.close_frame(bench.patience(), "alice's close frame is answered");
    closed.map(|_| ()).map_err(Stop::on_the_way)
}

fn pair_is_free(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    closes(bench, &mut alice)?;
    joins_again(bench, &mut bob)?;
    Ok(())
}

fn receives_nothing_more(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut carol, &mut bob)?;
    closes(bench, &mut alice)?;
    bench
        .fence(&mut bob, &mut carol)
        .map_err(Stop::on_the_way)?;
    // Her end of the connection is still open. The server's may be at an end.
    match alice.next(bench.patience() / 4)? {
        None | Some(Event::End(_)) => Ok(()),
        Some(other) => {
            let expected = "alice receives nothing behind the close frame";
            Err(Stop::fail(expected, other.to_string()))
        }
    }
}

fn nothing_behind_a_close_frame(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut carol, &mut bob)?;
    alice.send_together(&[
        Frame::text("before"),
        Frame::close(1000, ""),
        Frame::text("behind"),
    ])?;
    bob.hears("before").map_err(Stop::on_the_way)?;
    let closed = alice.close_frame(bench.patience(), "alice's close frame is answered");
    closed.map_err(Stop::on_the_way)?;
    bench.nothing_but_fence(
        &mut carol,
        &mut bob,
        "what alice has sent behind her close frame",
    )?;
    let (came, _late) = bench.replay("late", &mut carol)?;
    match came.contains(&Message::text("behind")) {
        false => Ok(()),
        true => Err(Stop::fail(
            "what alice has sent behind her close frame is not stored",
            listed(&came),
        )),
    }
}

fn connection_ends(bench: &mut Bench) -> Judged {
    let (alice, mut bob) = bench.pair()?;
    alice.vanish();
    joins_again(bench, &mut bob)?;
    Ok(())
}

fn closed_by_the_server(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.send_together(&[
        Frame::text("reserved bits").reserved(4),
        Frame::text("behind them"),
    ])?;
    let expected = "alice is closed for reserved bits";
    let closed = alice.close_frame(bench.patience(), expected);
    closed.map_err(Stop::on_the_way)?;
    let mut again = joins_again(bench, &mut bob)?;
    bench.nothing_but_fence(&mut again, &mut bob, "what alice has sent since")
}

/// Whether this tells of a join, in whatever form: it has a uid, the channel, and nothing else.
fn is_join(message: &Message, channel: &str) -> bool {
    let value: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    message.announces_on(channel) && value.as_object().is_some_and(|object| object.len() == 2)
}

/// There is nothing here but what was said, and so many joins at most.
fn nothing_else(came: &[Message], said: &[Message], joins: usize, bench: &Bench) -> Judged {
    let (told, others): (Vec<_>, Vec<_>) = came
        .iter()
        .partition(|message| is_join(message, &bench.channel));
    let mut others = others.into_iter();
    let other = others.find(|message| !said.iter().any(|said| message.equals(said)));
    if other.is_none() && told.len() <= joins {
        return Ok(());
    }
    Err(Stop::fail(
        "nothing is sent or stored because a session leaves",
        listed(came),
    ))
}

fn nobody_is_told(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?;
    bench.acquaint(&mut carol, &mut bob)?;
    bob.hears_announcements = true;
    closes(bench, &mut alice)?;
    let heard = bench.fence(&mut carol, &mut bob)?;
    nothing_else(&heard, &[], 0, bench)?;
    // Nor those who come later.
    let (came, _late) = bench.replay("late", &mut carol)?;
    let markers = (1..9).map(|number| Message::text(&format!("marker {number}")));
    let said: Vec<_> = Bench::met().into_iter().chain(markers).collect();
    nothing_else(&came, &said, 3, bench)
}

fn nobody_is_told_of_an_end(bench: &mut Bench) -> Judged {
    let (alice, mut bob) = bench.pair()?;
    bob.hears_announcements = true;
    alice.vanish();
    // The next session joins when the first has left.
    let mut again = bench.join_as("again", "alice")?;
    let marker = bench.marker();
    again.say(&marker)?;
    let came = bob.until(&marker).map_err(Stop::on_the_way)?;
    nothing_else(&came, &[], 1, bench)
}

fn history_stays(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (alice, bob) = bench.pair()?;
    for member in [alice, bob] {
        member.leave();
    }
    bench.join("carol")?.hears_all(&Bench::met())
}
