//! What a joining client waits for (peering.md, section 6): the judge is the server's upstream.

use std::time::Instant;

use serde_json::json;

use super::{WAIT, keeps_history, without_a_wait};
use crate::bench::{Bench, lasted};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Link, MINUTE, Name, random_uid};
use crate::session::{Event, Message, Session, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        case(
            "W1.1/gets-the-upstreams-history",
            "a client that joins gets the history of the upstream, all of it in its order",
            gets_the_upstreams_history,
        ),
        case(
            "W1.1/nothing-meanwhile",
            "a client that waits receives nothing in the meantime",
            nothing_meanwhile,
        ).connections(4),
        case(
            "W1.1/heard-meanwhile",
            "a client that waits is announced, and what it says distributed, at once",
            heard_meanwhile,
        ).connections(4),
        case(
            "W1.1/two-seconds",
            "a client gets the replay 2 s after the join if the upstream does not answer",
            two_seconds,
        ).connections(4)
        .lasts(|_| WAIT),
        case("W1.2/done", "the wait is over when `done` has come", done),
        case(
            "W1.2/refused",
            "the wait is over when the upstream has refused the channel",
            refused,
        ),
        case(
            "W1.2/no-upstream-any-more",
            "the wait is over when there is no upstream any more",
            no_upstream_any_more,
        ).connections(4),
        case(
            "W1.3/what-has-left-meanwhile",
            "the replay has what has left the history during the wait; who comes later does not get that",
            what_has_left_meanwhile,
        )
        .connections(5),
        case(
            "W1.3/later-comes-live",
            "what is accepted after the wait comes live, even if history order puts it earlier",
            later_comes_live,
        ).connections(4),
        case(
            "W1.4/not-its-own",
            "what a client has said while it waited, and its announcement, are not in its replay",
            not_its_own,
        ).connections(4),
        case(
            "W1.5/too-much",
            "the wait is over when what is kept for it exceeds the channel's bound",
            too_much,
        ).connections(4),
        case(
            "W1.6/incumbent",
            "a client that waits is a member and an incumbent like any other",
            incumbent,
        )
        .connections(5),
    ];
    cases
        .into_iter()
        .map(|case| case.company(Company::Alone))
        .collect()
}

/// A message of a node above, so long ago.
fn elsewhere(upstream: &mut Link, ago: u64) -> Name {
    let ts = upstream.now() - ago;
    Name {
        node: random_uid(),
        ts,
        ..upstream.name()
    }
}

/// Fails only if the server could not take the wait for over (W1.1).
fn in_time(began: Instant) -> Judged {
    match began.elapsed() < WAIT * 9 / 10 {
        true => Ok(()),
        false => Err(Stop::Inconclusive(
            "it took so long that the wait was over meanwhile".into(),
        )),
    }
}

fn gets_the_upstreams_history(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut alice = bench.join("alice")?;
        let began = Instant::now();
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &json!({}))?;
        // What comes first is newer: who does not wait gets it first.
        for (text, ago) in [("newer", MINUTE), ("older", 2 * MINUTE)] {
            let name = elsewhere(upstream, ago);
            upstream.tell(&name, text)?;
        }
        upstream.done(&channel)?;
        in_time(began)?;
        alice.hears("older")?;
        alice.hears("newer")
    })
}

fn nothing_meanwhile(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (mut alice, mut dave) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let (began, mut carol) = waiting(bench, &mut alice, "carol")?;
        let said = bench.marker();
        alice.say(&said)?;
        dave.until(&said).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &json!({}))?;
        let name = elsewhere(upstream, MINUTE);
        upstream.tell(&name, "earlier")?;
        upstream.done(&channel)?;
        in_time(began)?;
        // In the order of the history.
        for text in ["earlier", Bench::HELLO, Bench::HERE, &said] {
            carol.hears(text)?;
        }
        Ok(())
    })
}

/// A client that has joined the channel then, and waits. What it says, [`SAID`], has reached another.
fn waiting(bench: &Bench, member: &mut Session, uid: &str) -> Judged<(Instant, Session)> {
    let mut carol = bench.join(uid)?;
    let began = Instant::now();
    carol.say(SAID)?;
    member.until(SAID).map_err(Stop::on_the_way)?;
    Ok((began, carol))
}

const SAID: &str = "said while waiting";

fn heard_meanwhile(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (alice, _dave) = bench.pair()?;
    let mut alice = alice.hearing_announcements();
    bench.beneath(&[], |bench, upstream| {
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let mut tries = 0;
        without_a_wait(
            bench,
            "the announcement of a client that waits, and what it says",
            |bench| {
                tries += 1;
                let uid = format!("carol {tries}");
                // The way there is no part of it.
                let mut carol = bench.open(&uid)?;
                let began = Instant::now();
                carol.send_together(&[Frame::text(bench.header(&uid)), Frame::text(&*uid)])?;
                alice.hears(&format!(r#"{{"uid":"{uid}","channel":"{channel}"}}"#))?;
                alice.hears(&uid)?;
                Ok(began)
            },
        )
    })
}

fn two_seconds(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (_alice, _dave) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let mut carol = bench.join("carol")?;
        let began = Instant::now();
        carol.connection().patience += WAIT;
        carol.hears(Bench::HELLO)?;
        let came = Instant::now();
        carol.hears(Bench::HERE)?;
        lasted(began, came, WAIT, bench.patience(), "the replay comes")
    })
}

fn done(bench: &mut Bench) -> Judged {
    bench.beneath(&[], |bench, upstream| {
        without_a_wait(bench, "the replay, when `done` has come,", |bench| {
            let channel = bench.another_channel();
            upstream.minds(&channel);
            let mut alice = bench.join_on("alice", &channel)?;
            upstream.joined(&channel).map_err(Stop::on_the_way)?;
            upstream.reply(&channel, &json!({}))?;
            let name = Name {
                channel: channel.clone(),
                ..elsewhere(upstream, MINUTE)
            };
            upstream.tell(&name, "elsewhere")?;
            let began = Instant::now();
            upstream.done(&channel)?;
            alice.hears("elsewhere")?;
            Ok(began)
        })
    })
}

fn refused(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    bench.beneath(&[], |bench, upstream| {
        without_a_wait(bench, "the replay of a channel that was refused", |bench| {
            let channel = bench.another_channel();
            upstream.minds(&channel);
            let mut alice = bench.join_on("alice", &channel)?;
            alice.say("hello")?;
            let mut carol = bench.join_on("carol", &channel)?;
            upstream.joined(&channel).map_err(Stop::on_the_way)?;
            let began = Instant::now();
            upstream.say(upstream.leave_of(&channel))?;
            carol.until("hello")?;
            Ok(began)
        })
    })
}

fn no_upstream_any_more(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (_alice, _dave) = bench.pair()?;
    without_a_wait(bench, "the replay, when the upstream is lost,", |bench| {
        let mut lost = None;
        bench.beneath(&[], |bench, upstream| {
            upstream.joined(&channel).map_err(Stop::on_the_way)?;
            let mut carol = bench.join("carol")?;
            // Its connection is there; whether its header is, before the link is lost, makes no difference.
            let began = Instant::now();
            upstream.session.connection().stream.cut();
            carol.hears(Bench::HELLO)?;
            carol.hears(Bench::HERE)?;
            lost = Some((began, Instant::now()));
            carol.leave();
            Ok(())
        })?;
        // What came behind it is of no interest.
        let (began, came) = lost.unwrap_or((Instant::now(), Instant::now()));
        let behind = came.elapsed();
        Ok(began + behind)
    })
}

fn what_has_left_meanwhile(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let limit = usize::try_from(bench.limits().limit).unwrap_or(usize::MAX);
    if limit > 1000 {
        return Err(Stop::Skip("the server keeps too many messages".into()));
    }
    let channel = bench.channel.clone();
    let (mut alice, mut dave) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let (_, mut carol) = waiting(bench, &mut alice, "carol")?;
        dave.until(SAID).map_err(Stop::on_the_way)?;
        let texts: Vec<_> = (0..limit + 50)
            .map(|number| format!("number {number}"))
            .collect();
        let said: Vec<_> = texts
            .iter()
            .map(|text| Frame::text(text.as_str()))
            .collect();
        alice.send_together(&said)?;
        for text in &texts {
            dave.hears(text).map_err(Stop::on_the_way)?;
        }
        upstream.reply(&channel, &join.head["have"])?;
        upstream.done(&channel)?;
        carol.hears_all(&Bench::met())?;
        for text in &texts {
            carol.hears(text)?;
        }
        let mut erin = bench.join("erin")?;
        for text in &texts[50..] {
            erin.hears(text)?;
        }
        Ok(())
    })
}

fn later_comes_live(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (_alice, _dave) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let mut carol = bench.join("carol")?;
        upstream.reply(&channel, &join.head["have"])?;
        upstream.done(&channel)?;
        carol.hears_all(&Bench::met())?;
        let name = elsewhere(upstream, 10 * MINUTE);
        upstream.tell(&name, "old news")?;
        carol.hears("old news")
    })
}

fn not_its_own(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut alice, _dave) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let (_, carol) = waiting(bench, &mut alice, "carol")?;
        let mut carol = carol.hearing_announcements();
        upstream.reply(&channel, &join.head["have"])?;
        upstream.done(&channel)?;
        let marker = bench.marker();
        alice.say(&marker)?;
        let replay = carol.until(&marker)?;
        let announcement = format!(r#"{{"uid":"carol","channel":"{channel}"}}"#);
        let own = [SAID, &announcement].map(Message::text);
        match replay
            .iter()
            .any(|message| own.iter().any(|own| message.equals(own)))
        {
            false => Ok(()),
            true => {
                let expected = "carol receives nothing that she has said herself";
                Err(Stop::fail(expected, listed(&replay)))
            }
        }
    })
}

fn too_much(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let limits = bench.limits().clone();
    let bound = usize::try_from(limits.history_channel_bytes).unwrap_or(usize::MAX);
    if bound == 0 || bound > 8 << 20 {
        return Err(Stop::Skip(
            "the channel's bound is too great to be tried".into(),
        ));
    }
    let channel = bench.channel.clone();
    let (mut alice, mut dave) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let (began, mut carol) = waiting(bench, &mut alice, "carol")?;
        dave.until(SAID).map_err(Stop::on_the_way)?;
        // What is kept for her is what the history has lost: it takes twice the bound, and a bit.
        let most = usize::try_from(limits.max_message).unwrap_or(usize::MAX);
        let size = (bound / 4).clamp(1, most.min(1 << 19));
        let payload = Message::binary(vec![7; size]);
        let frame = Frame::binary(payload.payload.clone());
        for _ in 0..2 * bound / size + 2 {
            alice.send(&frame)?;
            dave.hears_message(&payload).map_err(Stop::on_the_way)?;
        }
        if in_time(began).is_err() {
            let why = "the server is too far away, or too slow, to say so much to it in 2 s";
            return Err(Stop::Skip(why.into()));
        }
        // It is over before it would be.
        let deadline = began + WAIT * 95 / 100;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match carol.next(left)? {
                Some(Event::Message(_)) => return Ok(()),
                Some(end @ (Event::Close(_) | Event::End(_))) => {
                    return Err(Stop::fail("carol receives the replay", end.to_string()));
                }
                Some(Event::Ping(_) | Event::Pong(_)) => {}
                None => {
                    let expected = "carol receives the replay before the 2 s are over";
                    return Err(Stop::fail(expected, "nothing"));
                }
            }
        }
    })
}

fn incumbent(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut alice, _bob) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let (_, mut carol) = waiting(bench, &mut alice, "carol")?;
        let mut newcomer = bench.join_as("newcomer", "carol")?;
        // She answers it, too.
        carol.ping(bench.patience())?;
        newcomer.closed(4002).map(drop)
    })
}
