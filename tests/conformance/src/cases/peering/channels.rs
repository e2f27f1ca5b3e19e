//! Channels on a link (peering.md, section 4).

mod below;

use serde_json::json;

use super::keeps_history;
use crate::bench::{Bench, random_digits};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Heard, Kind, Link, frames};
use crate::session::Session;

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![
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
        case(
            "C1.8/too-many-channels",
            "a peer can join 65536 channels at most: beyond that, joins are refused",
            too_many_channels,
        )
        .connections(4)
        .company(Company::Disruptive),
        case(
            "C1.9/joined-again",
            "the join of a channel that is joined is a new one: what was said before counts no more",
            joined_again,
        ),
    ];
    all.extend(below::cases());
    all
}

/// What a pair has said, as it comes on a link.
fn hello(link: &mut Link) -> Judged {
    for text in [Bench::HELLO, Bench::HERE] {
        link.hears_text(text)?;
    }
    Ok(())
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
    bench.acquaint(&mut alice, &mut bob)?;
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
