//! Channels on a link (peering.md, section 4): what the server does as the lower end.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{hello, known, says};
use crate::bench::{Bench, lasted};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::cases::peering::{keeps_history, without_a_wait};
use crate::link::{Kind, Link, Said, frames};

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    vec![
        alone(case(
            "C1.1/for-a-client",
            "a server joins a channel on its upstream link as soon as a client has joined it",
            for_a_client,
        )),
        alone(case(
            "C1.1/for-a-lower-end",
            "a server joins a channel on its upstream link as soon as a lower end has joined it",
            for_a_lower_end,
        )),
        alone(case(
            "C1.2/stays-joined",
            "a channel stays joined on the upstream link when its last client has left",
            stays_joined,
        )),
        case(
            "C1.2/many-channels",
            "with more than 4096 channels joined, those that nobody is interested in are left at once",
            many_channels,
        ).connections(4)
        .company(Company::Disruptive),
        alone(case(
            "C1.3/history",
            "on a new upstream link, a channel is joined of which there is only history, and its history sent",
            history,
        )),
        alone(case(
            "C1.3/interest-first",
            "on a new upstream link, channels that have members are joined before those that have none",
            interest_first,
        )),
        alone(case(
            "C1.3/left-when-synchronised",
            "a channel that was joined for its history is left once it is synchronised; one that has members is not",
            left_when_synchronised,
        )),
        alone(case(
            "C1.4/highest-seq-of-each-origin",
            "a join tells the highest seq that the server has seen of each origin, itself among them",
            highest_seq,
        )),
        alone(case(
            "C1.5/ignored-before-it",
            "what an upstream says on a channel before its reply is ignored",
            ignored_before_it,
        )),
        alone(case(
            "C1.5/silent-before-it",
            "the lower end sends nothing on a channel before it has the reply",
            silent_before_it,
        ).connections(4)),
        alone(case(
            "C1.7/synchronised-first",
            "a channel is not left on the upstream link before it is synchronised",
            synchronised_first,
        )),
        alone(case(
            "C1.7/sent-first",
            "a channel is not left on the upstream link before what was to be sent there has been sent",
            sent_first,
        )),
        alone(case(
            "C1.8/refused-is-not-joined",
            "nothing is sent on a channel whose join the upstream has refused",
            refused_is_not_joined,
        ).connections(4)),
        alone(case(
            "C1.8/counts-as-synchronised",
            "a channel whose join was refused counts as synchronised: who joins it does not wait",
            counts_as_synchronised,
        )),
        alone(case(
            "C1.8/only-in-place-of-the-reply",
            "the refusal of a channel that is joined ends the link with 4012",
            only_in_place_of_the_reply,
        )),
        alone(case(
            "C1.8/tried-again",
            "a join that was refused is tried again after 30 s if there is still interest",
            tried_again,
        ).connections(4))
        .lasts(|_| Duration::from_secs(31)),
    ]
}

fn for_a_client(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let _alice = bench.join("alice")?;
        let join = upstream.joined(&channel)?;
        match join.head["have"].is_object() {
            true => Ok(()),
            false => Err(Stop::fail("a join with `have`", join.to_string())),
        }
    })
}

fn for_a_lower_end(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut lower = bench.link("lower")?;
        lower.say(lower.join_of(&channel, &json!({})))?;
        upstream.joined(&channel).map(drop)
    })
}

/// Answers the join of the case's channel as one who has nothing of it.
fn serve(upstream: &mut Link, channel: &str) -> Judged {
    upstream.joined(channel).map_err(Stop::on_the_way)?;
    upstream.reply(channel, &json!({}))?;
    upstream.done(channel)
}

fn stays_joined(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut alice = bench.join("alice")?;
        serve(upstream, &channel)?;
        let marker = bench.marker();
        upstream.tells(&marker)?;
        alice.until(&marker).map_err(Stop::on_the_way)?;
        alice.leave();
        let meanwhile = bench.marker();
        upstream.tells(&meanwhile)?;
        let mut bob = bench.join("bob")?;
        bob.until(&meanwhile)?;
        let marker = bench.marker();
        bob.say(&marker)?;
        let (before, _) = upstream.until_text(&marker)?;
        match before.iter().find(|heard| heard.kind != Kind::Message) {
            None => Ok(()),
            Some(other) => Err(Stop::fail(
                "neither a leave nor a new join",
                other.to_string(),
            )),
        }
    })
}

fn many_channels(bench: &mut Bench) -> Judged {
    const MANY: usize = 4200;
    if bench.limits().history_bytes < 32 << 20 {
        return Err(Stop::Skip(
            "the server has no room for so many channels".into(),
        ));
    }
    bench.beneath(&[], |bench, upstream| {
        let mut crowd = bench.link("crowd")?;
        let name = bench.another_channel();
        let channels: Vec<_> = (0..MANY).map(|number| format!("{name} {number}")).collect();
        let before = (upstream.served, upstream.left);
        let deadline = Instant::now() + bench.patience() + Duration::from_secs(20);
        for (number, channel) in channels.iter().enumerate() {
            crowd.say(crowd.join_of(channel, &json!({})))?;
            if number % 100 != 99 {
                continue;
            }
            while upstream.served - before.0 <= number {
                attend(&mut crowd, upstream)?;
                if Instant::now() > deadline {
                    let why = format!("only {} joins came in time", upstream.served - before.0);
                    return Err(Stop::Inconclusive(why));
                }
            }
        }
        // All of them are synchronised, which the lower end is told behind it.
        crowd.still_works().map_err(Stop::on_the_way)?;
        for channel in &channels {
            crowd.say(crowd.leave_of(channel))?;
        }
        let deadline = Instant::now() + bench.patience();
        while upstream.left - before.1 < MANY - 4096 {
            attend(&mut crowd, upstream)?;
            if Instant::now() > deadline {
                let left = upstream.left - before.1;
                let expected = format!("at least {} of {MANY} channels are left", MANY - 4096);
                return Err(Stop::fail(expected, format!("{left} are left")));
            }
        }
        Ok(())
    })
}

/// Answers what comes on both links for a moment.
fn attend(crowd: &mut Link, upstream: &mut Link) -> Judged {
    const MOMENT: Duration = Duration::from_millis(5);
    for link in [crowd, upstream] {
        while let Some(said) = link.next(MOMENT)? {
            if let Said::Close(_) | Said::End(_) = said {
                return Err(Stop::Inconclusive(format!("a link has ended: {said}")));
            }
        }
    }
    Ok(())
}

/// A channel with a history and nobody on it.
fn quiet(bench: &mut Bench) -> Judged {
    let (alice, bob) = bench.pair()?;
    alice.leave();
    bob.leave();
    Ok(())
}

fn history(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    quiet(bench)?;
    bench.beneath(&[], |_, upstream| {
        upstream.joined(&channel)?;
        upstream.reply(&channel, &json!({}))?;
        hello(upstream)
    })
}

fn interest_first(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let (silent, busy) = (bench.channel.clone(), bench.another_channel());
    quiet(bench)?;
    bench.channel = busy.clone();
    let (_alice, _bob) = bench.pair()?;
    bench.channel = silent.clone();
    bench.beneath(&[], |_, upstream| {
        upstream.minds(&busy);
        upstream.hears(
            Kind::Join,
            &busy,
            "the join of the channel that has members",
        )?;
        upstream.hears(Kind::Join, &silent, "the join of the channel that has none")?;
        Ok(())
    })
}

fn left_when_synchronised(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let (silent, busy) = (bench.channel.clone(), bench.another_channel());
    quiet(bench)?;
    bench.channel = busy.clone();
    let (mut alice, _bob) = bench.pair()?;
    bench.channel = silent.clone();
    bench.beneath(&[], |bench, upstream| {
        upstream.minds(&busy);
        for _ in 0..2 {
            let join = upstream.hear("a join").map_err(Stop::on_the_way)?;
            let channel = join.channel().to_owned();
            // As one who has all of it.
            upstream.reply(&channel, &join.head["have"])?;
            upstream.done(&channel)?;
        }
        upstream.hears(
            Kind::Leave,
            &silent,
            "the leave of the channel that nobody is on",
        )?;
        let marker = bench.marker();
        alice.say(&marker)?;
        upstream.hears_text(&marker).map(drop)
    })
}

fn highest_seq(bench: &mut Bench) -> Judged {
    bench.peer_key()?;
    bench.is_root()?;
    let channel = bench.channel.clone();
    let (_link, known, _alice) = known(bench)?;
    bench.beneath(&[], |_, upstream| says(&upstream.joined(&channel)?, &known))
}

fn ignored_before_it(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut alice, _bob) = bench.pair()?;
    bench.beneath(&[], |_, upstream| {
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let name = upstream.name();
        upstream.tell(&name, "too early")?;
        upstream.reply(&channel, &join.head["have"])?;
        upstream.done(&channel)?;
        // The same number: as if the other had not come.
        upstream.tell(&name, "in time")?;
        alice.hears("in time")
    })
}

fn silent_before_it(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut alice, mut bob) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        let marker = bench.marker();
        alice.say(&marker)?;
        bob.until(&marker).map_err(Stop::on_the_way)?;
        // Something else that comes on the link.
        let other = bench.another_channel();
        upstream.minds(&other);
        let _carol = bench.join_on("carol", &other)?;
        upstream.hears(
            Kind::Join,
            &other,
            "nothing but the join of another channel",
        )?;
        upstream.reply(&channel, &join.head["have"])?;
        upstream.hears_text(&marker).map(drop)
    })
}

fn synchronised_first(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    quiet(bench)?;
    bench.beneath(&[], |bench, upstream| {
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &join.head["have"])?;
        // Something else that comes on the link.
        let other = bench.another_channel();
        upstream.minds(&other);
        let _carol = bench.join_on("carol", &other)?;
        upstream.hears(Kind::Join, &other, "no leave before `done`")?;
        upstream.done(&channel)?;
        upstream
            .hears(Kind::Leave, &channel, "the leave of the channel")
            .map(drop)
    })
}

fn sent_first(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    quiet(bench)?;
    bench.beneath(&[], |_, upstream| {
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        // It is synchronised with the reply: what there is to be sent is the server's.
        upstream.reply(&channel, &json!({}))?;
        upstream.done(&channel)?;
        hello(upstream)?;
        upstream
            .hears(Kind::Leave, &channel, "the leave of the channel")
            .map(drop)
    })
}

fn refused_is_not_joined(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut alice, mut bob) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.say(upstream.leave_of(&channel))?;
        bench
            .fence(&mut alice, &mut bob)
            .map_err(Stop::on_the_way)?;
        bench
            .fence(&mut bob, &mut alice)
            .map_err(Stop::on_the_way)?;
        let other = bench.another_channel();
        upstream.minds(&other);
        let _carol = bench.join_on("carol", &other)?;
        let heard = upstream.hear("the join of another channel")?;
        match heard.is(Kind::Join, &other) {
            true => Ok(()),
            false => {
                let expected = "nothing on a channel whose join was refused";
                Err(Stop::fail(expected, frames(&[heard])))
            }
        }
    })
}

fn counts_as_synchronised(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    bench.beneath(&[], |bench, upstream| {
        without_a_wait(
            bench,
            "the replay of a channel whose join was refused",
            |bench| {
                let channel = bench.another_channel();
                upstream.minds(&channel);
                let mut alice = bench.join_on("alice", &channel)?;
                upstream.joined(&channel).map_err(Stop::on_the_way)?;
                upstream.say(upstream.leave_of(&channel))?;
                alice.say("hello")?;
                // The way there is no part of it.
                let mut bob = bench.open("bob")?;
                bob.is_on(&channel);
                let began = Instant::now();
                bob.say(&bench.header_on("bob", &channel))?;
                bob.until("hello")?;
                Ok(began)
            },
        )
    })
}

fn only_in_place_of_the_reply(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut alice = bench.join("alice")?;
        serve(upstream, &channel)?;
        let marker = bench.marker();
        upstream.tells(&marker)?;
        alice.until(&marker).map_err(Stop::on_the_way)?;
        upstream.say(upstream.leave_of(&channel))?;
        upstream.closed(4012).map(drop)
    })
}

fn tried_again(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let _alice = bench.join("alice")?;
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.say(upstream.leave_of(&channel))?;
        let began = Instant::now();
        let time = Duration::from_secs(30);
        let late = time + time / 4 + bench.patience();
        let heard = upstream.hear_within(late, "the join again")?;
        if !heard.is(Kind::Join, &channel) {
            return Err(Stop::fail("the join again", heard.to_string()));
        }
        lasted(
            began,
            Instant::now(),
            time,
            bench.patience(),
            "the join comes again",
        )
    })
}
