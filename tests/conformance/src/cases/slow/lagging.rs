//! Members that do not read (client.md, L2).

use std::thread;
use std::time::Duration;

use super::stall::{Stall, flood, history, outbox, overflow};
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone).connections(5);
    [
        case(
            "L2.1/goes-on-being-heard",
            "what a member says that does not read is accepted and distributed",
            goes_on_being_heard,
        ),
        case(
            "L2.2/others-on-the-channel",
            "a member that does not read does not delay the others on its channel",
            |bench| flooded(bench).map(drop),
        ),
        case(
            "L2.2/other-channels",
            "a member that does not read does not delay other channels",
            other_channels,
        ),
        case(
            "L2.3/senders-are-read",
            "what a member sends is read although another does not read",
            senders_are_read,
        ),
        case(
            "L2.4/nothing-further",
            "a member whose outbox has overflowed is sent nothing further",
            nothing_further,
        ),
        case(
            "L2.5/closed-with-4008",
            "a lagging session that reads again is closed with 4008",
            closed_with_4008,
        ),
        case(
            "L2.6/stays-a-member",
            "a lagging session that does not read again stays a member",
            stays_a_member,
        ),
        case(
            "L2.7/prefix-of-live-messages",
            "a member that did not read has got a beginning of what was sent, without holes",
            prefix,
        ),
        case(
            "L2.7/prefix-of-replay-and-live-messages",
            "a joiner that did not read has got a beginning of its replay and what followed, without holes",
            prefix_with_replay,
        ),
    ]
    .map(alone)
    .into()
}

/// Alice does not read; what there is of her outbox, and more, has been sent.
fn flooded(bench: &mut Bench) -> Judged<Stall> {
    outbox(bench)?;
    let mut stall = Stall::open(bench)?;
    stall.flood(bench, flood(bench))?;
    Ok(stall)
}

fn goes_on_being_heard(bench: &mut Bench) -> Judged {
    let mut stall = flooded(bench).map_err(Stop::on_the_way)?;
    for text in ["I do not read", "and speak", "all the same"] {
        stall.alice.say(text)?;
        stall.bob.hears(text)?;
        stall.carol.hears(text)?;
    }
    Ok(())
}

fn other_channels(bench: &mut Bench) -> Judged {
    let channel = bench.another_channel();
    let mut dave = bench.join_on("dave", &channel)?;
    let mut erin = bench.join_on("erin", &channel)?;
    bench.meet(&mut dave, &mut erin)?;
    let _stall = flooded(bench).map_err(Stop::on_the_way)?;
    for _ in 0..3 {
        bench.nothing_but_fence(&mut dave, &mut erin, "anything else")?;
        bench.nothing_but_fence(&mut erin, &mut dave, "anything else")?;
    }
    Ok(())
}

fn senders_are_read(bench: &mut Bench) -> Judged {
    let mut stall = flooded(bench)?;
    for nth in 0..20 {
        let text = format!("bob goes on {nth}");
        stall.bob.say(&text)?;
        stall.carol.hears(&text)?;
    }
    Ok(())
}

fn nothing_further(bench: &mut Bench) -> Judged {
    // That there are no holes is part of it; that there is an end is what remains.
    let (_stall, drained) = overflow(bench)?;
    match (&drained.close, &drained.end) {
        (None, None) => Err(Stop::fail(
            "nothing but a close frame is sent to alice, who is lagging",
            drained.to_string(),
        )),
        _ => Ok(()),
    }
}

fn closed_with_4008(bench: &mut Bench) -> Judged {
    let (_stall, drained) = overflow(bench)?;
    match &drained.close {
        Some(close) if close.code == Some(4008) => Ok(()),
        _ => Err(Stop::fail(
            "alice, who is lagging and reads again, is closed with 4008",
            drained.to_string(),
        )),
    }
}

fn stays_a_member(bench: &mut Bench) -> Judged {
    const A_WHILE: Duration = Duration::from_millis(500);
    let mut stall = flooded(bench).map_err(Stop::on_the_way)?;
    for text in ["still here", "after a while", "after a while more"] {
        stall.alice.say(text)?;
        stall.bob.hears(text)?;
        thread::sleep(A_WHILE);
    }
    let drained = stall.read(bench).map_err(Stop::on_the_way)?;
    match drained.loads < stall.sent() {
        true => Ok(()),
        false => Err(Stop::Inconclusive(
            "alice has got everything, so that she was not lagging".into(),
        )),
    }
}

fn prefix(bench: &mut Bench) -> Judged {
    let (_stall, drained) = overflow(bench)?;
    bench.note(format!("a beginning: {drained}"));
    ends_with_a_frame(&drained)
}

/// With a close frame behind it, it is certain that the last frame was whole.
fn ends_with_a_frame(drained: &super::stall::Drained) -> Judged {
    match drained.close {
        Some(_) => Ok(()),
        None => Err(Stop::fail(
            "alice receives whole frames, and a close frame behind them",
            drained.to_string(),
        )),
    }
}

fn prefix_with_replay(bench: &mut Bench) -> Judged {
    outbox(bench)?;
    let size = history(bench)?;
    let before = Stall::before(bench)?.fill(bench, size)?;
    let mut stall = before.joined(bench)?;
    let flooded = stall.flood(bench, flood(bench));
    flooded.map_err(Stop::on_the_way)?;
    let drained = stall.read(bench)?;
    if drained.loads == stall.sent() {
        let why = "alice has got everything, so that she was not lagging";
        return Err(Stop::Inconclusive(why.into()));
    }
    ends_with_a_frame(&drained)
}
