//! Channels on a link (peering.md, section 4).

use std::time::{Duration, Instant};

use serde_json::json;

use super::{keeps_history, without_a_wait};
use crate::bench::{Bench, lasted, random_digits};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Heard, Kind, Link, Said, frames};
use crate::session::Session;

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
        )
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
        case(
            "C1.5/one-reply",
            "a join is answered with one reply of the same form",
            one_reply,
        ),
        case(
            "C1.5/nothing-before-it",
            "nothing comes on a channel between the join and the reply",
            nothing_before_it,
        ),
        case(
            "C1.5/have-of-the-reply",
            "the reply tells the highest seq that the server has seen of each origin, itself among them",
            have_of_the_reply,
        ),
        alone(case(
            "C1.5/ignored-before-it",
            "what an upstream says on a channel before its reply is ignored",
            ignored_before_it,
        )),
        alone(case(
            "C1.5/silent-before-it",
            "the lower end sends nothing on a channel before it has the reply",
            silent_before_it,
        )),
        case(
            "C1.6/not-joined",
            "a message on a channel that is not joined on the link is ignored as if it had not been sent",
            not_joined,
        ),
        case(
            "C1.7/nothing-is-sent",
            "nothing comes on a channel that the peer has left",
            nothing_is_sent,
        ),
        case(
            "C1.7/nothing-is-taken",
            "what a peer says on a channel that it has left is ignored",
            nothing_is_taken,
        ),
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
        )),
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
        ))
        .lasts(|_| Duration::from_secs(31)),
        case(
            "C1.8/too-many-channels",
            "a peer can join 65536 channels at most: beyond that, joins are refused",
            too_many_channels,
        )
        .company(Company::Disruptive),
        case(
            "C1.9/joined-again",
            "the join of a channel that is joined is a new one: what was said before counts no more",
            joined_again,
        ),
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

/// What a pair has said, as it comes on a link.
fn hello(link: &mut Link) -> Judged {
    for text in [Bench::HELLO, Bench::HERE] {
        link.hears_text(text)?;
    }
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

/// Origins and their highest numbers.
type Known = Vec<(String, u64)>;

/// A message of this peer's, and one of alice's behind it, are the newest of their origins on the case's channel; both
/// sides have them. What a `have` has to say of them.
fn known(bench: &mut Bench) -> Judged<(Link, Known, Session)> {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let mut name = link.name();
    name.seq += 40;
    let (own, hers) = (bench.marker(), bench.marker());
    link.tell(&name, &own)?;
    alice.until(&own).map_err(Stop::on_the_way)?;
    alice.say(&hers)?;
    let (_, heard) = link.until_text(&hers).map_err(Stop::on_the_way)?;
    let known = vec![(link.uid.clone(), name.seq), (link.server(), heard.seq())];
    Ok((link, known, alice))
}

/// Whether a `have` says this of these origins.
fn says(heard: &Heard, known: &[(String, u64)]) -> Judged {
    for (origin, seq) in known {
        if heard.head["have"][origin].as_u64() != Some(*seq) {
            let expected = format!("`have` says {seq} of {origin}");
            return Err(Stop::fail(expected, heard.to_string()));
        }
    }
    Ok(())
}

fn highest_seq(bench: &mut Bench) -> Judged {
    bench.peer_key()?;
    bench.is_root()?;
    let channel = bench.channel.clone();
    let (_link, known, _alice) = known(bench)?;
    bench.beneath(&[], |_, upstream| says(&upstream.joined(&channel)?, &known))
}

fn one_reply(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut link = bench.link("peer")?;
    link.hears_announcements = true;
    let (_, before) = link.join_having(&bench.channel, &json!({}))?;
    if let Some(other) = before.iter().find(|heard| heard.kind != Kind::Message) {
        return Err(Stop::fail("one reply", format!("another frame: {other}")));
    }
    let marker = bench.marker();
    alice.say(&marker)?;
    bob.until(&marker).map_err(Stop::on_the_way)?;
    link.hears_text(&marker).map(drop)
}

fn nothing_before_it(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let (_alice, _bob) = bench.pair()?;
    let channel = bench.channel.clone();
    let mut link = bench.link("peer")?;
    link.say(link.join_of(&channel, &json!({})))?;
    link.hears(
        Kind::Join,
        &channel,
        "the reply to its join before anything else on the channel",
    )?;
    hello(&mut link)?;
    link.hears(Kind::Done, &channel, "that the channel is synchronised")
        .map(drop)
}

fn have_of_the_reply(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (_link, known, _alice) = known(bench)?;
    let mut other = bench.link("other")?;
    let (reply, _) = other.join_having(&channel, &json!({}))?;
    says(&reply, &known)
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

fn not_joined(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let mut link = bench.link("peer")?;
    let (mut alice, _bob) = bench.pair()?;
    let name = link.name();
    link.tell(&name, "not joined")?;
    let (reply, _) = link.join(&channel)?;
    if reply.head["have"][&link.uid].as_u64().unwrap_or(0) > 0 {
        let expected = "`have` says nothing of what came before the join";
        return Err(Stop::fail(expected, reply.to_string()));
    }
    // The same number: as if the other had not come.
    link.tell(&name, "joined")?;
    alice.hears("joined")
}

/// Leaves the case's channel, and waits until the server knows it.
fn leave(bench: &Bench, link: &mut Link) -> Judged {
    link.say(link.leave_of(&bench.channel))?;
    // The reply to another join comes behind it.
    let left = link.still_works();
    left.map_err(Stop::on_the_way)
}

fn nothing_is_sent(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    leave(bench, &mut link)?;
    let mut bob = bench.join("bob")?;
    let marker = bench.marker();
    alice.say(&marker)?;
    bob.until(&marker).map_err(Stop::on_the_way)?;
    link.say(link.join_of(&channel, &json!({})))?;
    link.hears(
        Kind::Join,
        &channel,
        "nothing before the reply to its new join",
    )
    .map(drop)
}

fn nothing_is_taken(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    link.say(link.leave_of(&channel))?;
    let name = link.name();
    link.tell(&name, "left")?;
    link.join(&channel)?;
    link.tell(&name, "joined again")?;
    alice.hears("joined again")
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
                let began = Instant::now();
                let mut bob = bench.join_on("bob", &channel)?;
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

fn too_many_channels(bench: &mut Bench) -> Judged {
    const MOST: usize = 65_536;
    let mut link = bench.link("peer")?;
    link.minds_all = true;
    let name = random_digits();
    let mut joined = 0;
    loop {
        // A thousand at a time: one may not have answers of more than 4 MiB coming that one does not read.
        let names: Vec<_> = (0..1000)
            .map(|number| format!("{name} {joined} {number}"))
            .collect();
        let joins = names.iter().map(|name| link.join_of(name, &json!({})));
        let joins: Vec<_> = joins.map(crate::wire::Frame::text).collect();
        link.session.send_together(&joins)?;
        for _ in &names {
            let (_, answer) = link.until("the answer to a join", |heard| {
                matches!(heard.kind, Kind::Join | Kind::Leave)
            })?;
            if answer.kind == Kind::Leave {
                return Ok(());
            }
            joined += 1;
            if joined > MOST {
                let expected = format!("the join of more than {MOST} channels is refused");
                return Err(Stop::fail(expected, format!("{joined} are joined")));
            }
        }
    }
}

fn joined_again(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (_alice, _bob) = bench.pair()?;
    let mut link = bench.link("peer")?;
    for _ in 0..3 {
        let (_, messages) = link.join_having(&channel, &json!({}))?;
        let texts = [Bench::HELLO, Bench::HERE];
        let all = messages.len() == 2
            && texts
                .iter()
                .zip(&messages)
                .all(|(text, heard)| heard.says(text));
        if !all {
            let expected = "all of the history, to one who has nothing of it";
            return Err(Stop::fail(expected, frames(&messages)));
        }
    }
    let (reply, _) = link.join(&channel)?;
    let (_, messages) = link.join_having(&channel, &reply.head["have"])?;
    match messages.is_empty() {
        true => Ok(()),
        false => Err(Stop::fail(
            "nothing, to one who has all of it",
            frames(&messages),
        )),
    }
}
