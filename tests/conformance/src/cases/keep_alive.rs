//! Keep-alive (client.md, section 10).

use std::thread;
use std::time::{Duration, Instant};

use crate::bench::{Bench, lasted};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::cases::slow::stall::{Stall, giant};
use crate::session::{Event, Session};
use crate::wire::Frame;
use crate::{Limits, Message};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "K1.1/after-silence",
            "a member is pinged when nothing has come from it for the ping's interval",
            after_silence,
        )
        .connections(2)
        .lasts(interval),
        case(
            "K1.1/whatever-others-say",
            "what a member receives does not keep the server from pinging it",
            whatever_others_say,
        )
        .connections(2)
        .lasts(interval),
        case(
            "K1.1/again-and-again",
            "a member that stays silent is pinged again after each further interval",
            again_and_again,
        )
        .connections(2)
        .lasts(|limits| interval(limits) * 3),
        case(
            "K1.2/closed",
            "a member that stays silent is closed with 4005 when the fourth ping would be due",
            closed,
        )
        .connections(2)
        .lasts(|limits| interval(limits) * 4),
        case(
            "K1.2/who-answers-stays",
            "a member that answers the pings is not closed, however little it says",
            who_answers_stays,
        )
        .connections(2)
        .lasts(|limits| interval(limits) * 9 / 2),
        case(
            "K1.3/not-closed",
            "a message, part of a frame, a ping and a pong each end the silence of a member: it is not closed as if nothing had come",
            not_closed,
        )
        .connections(1 + SIGNS.len())
        .lasts(|limits| interval(limits) * 9 / 2),
        case(
            "K1.4/closed-from-the-join",
            "a member's silence begins with its join, not before: it is not closed sooner",
            closed_from_the_join,
        )
        .connections(1)
        .lasts(|limits| interval(limits) * 4 + limits.header_timeout),
        case(
            "K1.4/lagging",
            "a member that reads nothing, so that it is lagging, is closed after the same silence as any other",
            lagging,
        )
        .connections(3)
        .company(Company::Alone)
        .lasts(|limits| interval(limits) * 4 + ANSWER),
        case(
            "K1.5/signs-of-life",
            "a member from which a message, part of a frame, a ping or a pong has come is not pinged as if nothing had come",
            signs_of_life,
        )
        .connections(2 + SIGNS.len())
        .lasts(|limits| interval(limits) * 11 / 10),
        case(
            "K1.5/from-the-join",
            "a member is not pinged as if its silence had begun before its join",
            from_the_join,
        )
        .connections(3)
        .lasts(|limits| interval(limits) * 11 / 10),
    ]
}

fn interval(limits: &Limits) -> Duration {
    limits.ping_interval
}

/// Two members, of which alice says nothing more, and when she did so for the last time.
fn silence(bench: &mut Bench) -> Judged<(Session, Session, Instant)> {
    let (alice, mut bob) = bench.pair()?;
    let mut alice = alice.silent();
    bench
        .fence(&mut bob, &mut alice)
        .map_err(Stop::on_the_way)?;
    let began = Instant::now();
    bench
        .fence(&mut alice, &mut bob)
        .map_err(Stop::on_the_way)?;
    Ok((alice, bob, began))
}

/// Waits for the ping that is due after this time, and passes over what a server may send before.
fn pinged(bench: &Bench, alice: &mut Session, began: Instant, time: Duration) -> Judged {
    let latest = time * 5 / 4 + bench.patience();
    loop {
        let left = latest.saturating_sub(began.elapsed());
        let expected = format!("alice is pinged after {:.1} s", time.as_secs_f32());
        alice.ping(left).map_err(|stop| match stop {
            Stop::Fail { came, .. } => Stop::fail(expected, came),
            Stop::Skip(_) | Stop::Inconclusive(_) => stop,
        })?;
        if alice.heard_at() >= began + time * 9 / 10 {
            return Ok(());
        }
    }
}

fn after_silence(bench: &mut Bench) -> Judged {
    let time = bench.limits().ping_interval;
    let (mut alice, _bob, began) = silence(bench)?;
    pinged(bench, &mut alice, began, time)
}

fn whatever_others_say(bench: &mut Bench) -> Judged {
    let time = bench.limits().ping_interval;
    let (mut alice, mut bob, began) = silence(bench)?;
    // Bob speaks eight times in an interval, until well after the ping is due.
    let expected = "alice is pinged while bob speaks";
    let latest = time * 5 / 4 + bench.patience();
    while began.elapsed() < latest {
        bob.say("bob speaks")?;
        let next = Instant::now() + time / 8;
        while Instant::now() < next {
            let left = next.saturating_duration_since(Instant::now());
            let Some(event) = alice.next(left)? else {
                break;
            };
            match event {
                Event::Ping(_) if began.elapsed() >= time * 9 / 10 => return Ok(()),
                Event::Ping(_) | Event::Message(_) | Event::Pong(_) => {}
                other @ (Event::Close(_) | Event::End(_)) => {
                    return Err(Stop::fail(expected, other.to_string()));
                }
            }
        }
    }
    let came = format!("no ping within {:.1} s", latest.as_secs_f32());
    Err(Stop::fail(expected, came))
}

fn again_and_again(bench: &mut Bench) -> Judged {
    let time = bench.limits().ping_interval;
    let (mut alice, _bob, began) = silence(bench)?;
    for count in 1..=3 {
        pinged(bench, &mut alice, began, time * count)?;
    }
    Ok(())
}

fn closed(bench: &mut Bench) -> Judged {
    let time = bench.limits().ping_interval * 4;
    let patience = bench.patience();
    let (mut alice, _bob, began) = silence(bench)?;
    alice.closed_within(4005, time * 5 / 4 + patience)?;
    lasted(
        began,
        alice.heard_at(),
        time,
        patience,
        "the silent member is closed",
    )
}

fn who_answers_stays(bench: &mut Bench) -> Judged {
    let time = bench.limits().ping_interval * 9 / 2;
    let (mut alice, mut bob, began) = silence(bench)?;
    alice.answers_pings = true;
    while began.elapsed() < time {
        // Both are read, and so both answer.
        for member in [&mut alice, &mut bob] {
            match member.next(Duration::from_millis(100))? {
                None | Some(Event::Ping(_) | Event::Pong(_)) => {}
                Some(other) => {
                    let expected = format!("{} is only pinged", member.who());
                    return Err(Stop::fail(expected, other.to_string()));
                }
            }
        }
    }
    bench.fence(&mut bob, &mut alice)?;
    bench.fence(&mut alice, &mut bob)?;
    Ok(())
}

type Sign = fn(&mut Session) -> Judged;

const PART: &str = "part of a frame";

/// What comes from whom.
const SIGNS: [(&str, Sign); 4] = [
    ("a message", |member| member.say("a sign of life")),
    (PART, |member| {
        let bytes = Frame::text([b' '; 100]).encode();
        let what = "the first 10 bytes of a text frame";
        member.send_bytes(&bytes[..10], what)
    }),
    ("a ping", |member| member.send(&Frame::ping(""))),
    ("a pong", |member| member.send(&Frame::pong(""))),
];

fn not_closed(bench: &mut Bench) -> Judged {
    let interval = bench.limits().ping_interval;
    let mut bob = bench.join("bob")?;
    let mut members = Vec::new();
    for (what, _) in SIGNS {
        let mut member = bench.join(what)?.silent();
        bench.acquaint(&mut member, &mut bob)?;
        members.push(member);
    }
    let began = Instant::now();
    let mut given = 0;
    while began.elapsed() < interval * 9 / 2 {
        // A part of a frame each time, ten bytes of a long one.
        if began.elapsed() >= interval * given * 3 / 2 {
            given += 1;
            for (member, (what, sign)) in members.iter_mut().zip(SIGNS) {
                match what == PART && given > 1 {
                    true => member.send_bytes(&[0; 10], "ten more bytes of the frame")?,
                    false => sign(member)?,
                }
            }
        }
        for member in members.iter_mut().chain([&mut bob]) {
            match member.next(Duration::from_millis(20))? {
                Some(end @ (Event::Close(_) | Event::End(_))) => {
                    let expected = format!("a member that gives {} stays", member.who());
                    return Err(Stop::fail(expected, end.to_string()));
                }
                Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) | None => {}
            }
        }
    }
    // They are members still.
    for (member, (what, _)) in members.iter_mut().zip(SIGNS) {
        if what != PART {
            bench.fence(member, &mut bob)?;
        }
        bench.fence(&mut bob, member)?;
    }
    Ok(())
}

fn closed_from_the_join(bench: &mut Bench) -> Judged {
    let limits = bench.limits();
    let (time, wait) = (limits.ping_interval * 4, limits.header_timeout * 7 / 10);
    if wait < time / 14 {
        let why = "the server's header-timeout is too short against its ping-interval";
        return Err(Stop::Skip(why.into()));
    }
    let mut alice = bench.open("alice")?.silent();
    thread::sleep(wait);
    alice.say(&bench.header("alice"))?;
    let joined = Instant::now();
    alice.closed_within(4005, time * 5 / 4 + bench.patience())?;
    let took = joined.elapsed();
    match took >= time * 19 / 20 {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("alice is closed {:.1} s after her join", time.as_secs_f32()),
            format!("after {:.1} s", took.as_secs_f32()),
        )),
    }
}

/// How long a server waits for the answer to its close frame (X1.7).
const ANSWER: Duration = Duration::from_secs(5);

fn lagging(bench: &mut Bench) -> Judged {
    let outbox = bench.limits().outbox;
    let giant = giant(bench)?;
    if outbox + 1000 > bench.limits().max_message {
        return Err(Stop::Skip("no message is longer than what may wait".into()));
    }
    let mut stall = Stall::open(bench)?;
    stall.alice.answers_pings = false;
    let silent = Instant::now();
    for length in [giant, outbox + 1000] {
        stall.tell(length).map_err(Stop::on_the_way)?;
    }
    let time = bench.limits().ping_interval * 4 + ANSWER;
    let latest = time * 5 / 4 + bench.patience();
    while silent.elapsed() < latest {
        // The others live on.
        stall.tell(100).map_err(Stop::on_the_way)?;
        thread::sleep(Duration::from_millis(500));
    }
    let drained = stall.read(bench)?;
    let code = drained.close.as_ref().and_then(|close| close.code);
    // A close frame can only have come if sockets took all that was ahead of it.
    match code == Some(4005) || drained.end.is_some() {
        true => Ok(()),
        false => Err(Stop::fail(
            format!(
                "alice's connection has ended after {:.1} s",
                time.as_secs_f32()
            ),
            format!("when she reads again she receives {drained}"),
        )),
    }
}

fn signs_of_life(bench: &mut Bench) -> Judged {
    let half = bench.limits().ping_interval / 2;
    if half < Duration::from_millis(500) {
        let why =
            "the server's ping-interval is too short for several members to be silent side by side";
        return Err(Stop::Skip(why.into()));
    }
    let (alice, mut bob) = bench.pair()?;
    let mut alice = alice.silent();
    let mut members = Vec::new();
    for (what, _) in SIGNS {
        let mut member = bench.join(what)?.silent();
        bench.acquaint(&mut member, &mut bob)?;
        members.push(member);
    }
    // All of them are silent from before alice is, and have read what came before.
    let first = Instant::now();
    let mut said = Vec::new();
    for member in &mut members {
        let last = format!("{} is silent from now on", member.who());
        member.say(&last).map_err(Stop::on_the_way)?;
        said.push(Message::text(&last));
    }
    // In whatever order.
    while !said.is_empty() {
        let heard = bob.message("the last words of all of them");
        let heard = heard.map_err(Stop::on_the_way)?;
        said.retain(|last| !last.equals(&heard));
    }
    let marker = bench.marker();
    bob.say(&marker)?;
    for member in members.iter_mut().chain([&mut alice]) {
        member.until(&marker).map_err(Stop::on_the_way)?;
    }
    let began = Instant::now();
    bench
        .fence(&mut alice, &mut bob)
        .map_err(Stop::on_the_way)?;
    thread::sleep(half.saturating_sub(began.elapsed()));
    if first.elapsed() > half * 9 / 5 {
        let why = "it took so long that they may have been pinged before";
        return Err(Stop::Inconclusive(why.into()));
    }
    let spoken = Instant::now();
    for (member, (_, sign)) in members.iter_mut().zip(SIGNS) {
        sign(member)?;
    }
    not_pinged_with(bench, (alice, began), bob, members, spoken)
}

fn from_the_join(bench: &mut Bench) -> Judged {
    let limits = bench.limits();
    let (time, header) = (limits.ping_interval, limits.header_timeout);
    // The longer the better, but there has to be time for the header.
    let wait = (time / 2).min(header * 7 / 10);
    if wait < time / 4 {
        let why = "the server's header-timeout is too short against its ping-interval";
        return Err(Stop::Skip(why.into()));
    }
    let (alice, mut bob) = bench.pair()?;
    let mut alice = alice.silent();
    bench
        .fence(&mut bob, &mut alice)
        .map_err(Stop::on_the_way)?;
    let mut carol = bench.open("carol")?.silent();
    let began = Instant::now();
    bench
        .fence(&mut alice, &mut bob)
        .map_err(Stop::on_the_way)?;
    thread::sleep(wait.saturating_sub(began.elapsed()));
    let spoken = Instant::now();
    carol.say(&bench.header("carol"))?;
    not_pinged_with(bench, (alice, began), bob, vec![carol], spoken)
}

/// Alice, who is silent since then, is pinged, and these, from whom something has come since, are not pinged with her.
fn not_pinged_with(
    bench: &mut Bench,
    (mut alice, began): (Session, Instant),
    mut bob: Session,
    members: Vec<Session>,
    spoken: Instant,
) -> Judged {
    let time = bench.limits().ping_interval;
    let latest = time * 6 / 5 + bench.patience().min(time / 4);
    loop {
        let pinged = alice.ping(latest.saturating_sub(began.elapsed()));
        pinged.map_err(Stop::on_the_way)?;
        // One for an earlier silence may have been under way.
        if alice.heard_at() >= began + time * 9 / 10 {
            break;
        }
    }
    // If they were pinged as well, they would be by now.
    thread::sleep((time * 11 / 10).saturating_sub(began.elapsed()));
    let marker = bench.marker();
    bob.say(&marker)?;
    let mut with_her = Vec::new();
    for mut member in members {
        if pinged_before(bench, &mut member, &marker)? {
            with_her.push(member.who().to_owned());
        }
        if spoken.elapsed() >= time * 19 / 20 {
            let why = "it took so long that they may have been pinged with reason";
            return Err(Stop::Inconclusive(why.into()));
        }
    }
    match with_her.is_empty() {
        true => Ok(()),
        false => Err(Stop::fail(
            format!(
                "who has sent something is not pinged before {:.1} s of silence",
                time.as_secs_f32()
            ),
            format!(
                "pinged together with a member that has sent nothing: {}",
                with_her.join(", ")
            ),
        )),
    }
}

/// Whether a ping comes before this text.
fn pinged_before(bench: &Bench, member: &mut Session, marker: &str) -> Judged<bool> {
    let marker = Message::text(marker);
    let deadline = Instant::now() + bench.patience();
    let mut pinged = false;
    loop {
        match member.next(deadline.saturating_duration_since(Instant::now()))? {
            Some(Event::Message(message)) if message.equals(&marker) => return Ok(pinged),
            Some(Event::Message(_) | Event::Pong(_)) => {}
            Some(Event::Ping(_)) => pinged = true,
            Some(other @ (Event::Close(_) | Event::End(_))) => {
                return Err(Stop::Inconclusive(other.to_string()));
            }
            None => return Err(Stop::Inconclusive("bob is not heard".into())),
        }
    }
}
