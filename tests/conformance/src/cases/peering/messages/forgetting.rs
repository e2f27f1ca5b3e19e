//! What is remembered of a channel, and what is forgotten (peering.md, 5.2; client.md, 7.3).

use std::collections::BTreeSet;

use serde_json::json;

use super::{fill, time_for, too_long_for_the_history};
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::cases::peering::keeps_history;
use crate::link::{Heard, Link, MINUTE, Name, frames, random_uid};
use crate::session::Session;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    vec![
        case(
            "S2.1/with-its-history",
            "what was seen on a channel is remembered with its history when the last link has left it",
            with_its_history,
        ),
        case(
            "S2.2/256-origins",
            "a channel remembers 256 origins, those with the newest messages",
            origins_256,
        ).connections(4),
        case(
            "S2.2/the-one-that-has-just-come",
            "an origin whose message is older than those of 256 others is forgotten as it comes",
            the_one_that_has_just_come,
        ).connections(4),
        case(
            "S2.2/counts-as-seen",
            "a message of an origin that is not remembered counts as seen if it is as old as what was forgotten",
            counts_as_seen,
        ).connections(4),
        case(
            "S2.4/a-quarter-of-the-budget",
            "no channel remembers more origins while they use a quarter of the budget",
            a_quarter_of_the_budget,
        ).connections(4)
        .company(Company::Disruptive),
        alone(case(
            "M3.9/forgotten-with-the-last-link",
            "a channel without members and entries is forgotten when the last link has left it, and not before",
            forgotten_with_the_last_link,
        )),
    ]
}

fn with_its_history(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let mut name = link.name();
    name.seq += 10;
    let marker = bench.marker();
    link.tell(&name, &marker)?;
    alice.hears(&marker)?;
    alice.leave();
    link.say(link.leave_of(&channel))?;
    let mut other = bench.link("other")?;
    let (reply, messages) = other.join_having(&channel, &json!({}))?;
    if reply.head["have"][&name.node] != name.seq {
        let expected = format!("`have` says {} of {}", name.seq, name.node);
        return Err(Stop::fail(expected, reply.to_string()));
    }
    match messages.iter().any(|heard| heard.says(&marker)) {
        true => Ok(()),
        false => Err(Stop::fail("the history", frames(&messages))),
    }
}

/// Has a channel remember more origins than it can: their uids and the times of their messages, oldest first.
fn many_origins(bench: &Bench, link: &mut Link, alice: &mut Session) -> Judged<Vec<Name>> {
    const MANY: usize = 300;
    remembers_origins(bench)?;
    let began = link.now() - 10 * MINUTE;
    let mut names = Vec::new();
    for number in 0..MANY {
        names.push(Name {
            node: random_uid(),
            seq: 1,
            ts: began + 10 * number as u64,
            ..link.name()
        });
    }
    for chunk in names.chunks(50) {
        for name in chunk {
            link.tell(name, "news")?;
        }
        // Nobody has to lag.
        for _ in chunk {
            alice.hears("news").map_err(Stop::on_the_way)?;
        }
    }
    bench.note(format!("{MANY} origins"));
    Ok(names)
}

/// The origins that a `have` says something of, besides the server.
fn origins(heard: &Heard, server: &str) -> BTreeSet<String> {
    let have = heard.head["have"].as_object();
    let named = have.into_iter().flatten();
    let named = named.filter(|(uid, seq)| *uid != server && seq.as_u64() > Some(0));
    named.map(|(uid, _)| uid.clone()).collect()
}

fn the_one_that_has_just_come(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let names = many_origins(bench, &mut link, &mut alice)?;
    // Of these, this peer and the newest 255 are remembered: it is newer than what was forgotten, and older than they are.
    let forgotten = names.len() - 256;
    let late = Name {
        node: random_uid(),
        ts: names[forgotten].ts + 1,
        ..link.name()
    };
    let marker = bench.marker();
    link.tell(&late, &marker)?;
    alice.hears(&marker)?;
    let mut other = bench.link("other")?;
    let (reply, _) = other.join(&channel)?;
    let came = origins(&reply, &link.server());
    let oldest = &names[forgotten + 1].node;
    match !came.contains(&late.node) && came.contains(oldest) {
        true => Ok(()),
        false => {
            let expected = format!("`have` says nothing of {}, but of {oldest}", late.node);
            Err(Stop::fail(expected, reply.to_string()))
        }
    }
}

fn a_quarter_of_the_budget(bench: &mut Bench) -> Judged {
    const EACH: usize = 250;
    let quarter = (bench.limits().history_bytes / 4).max(1 << 20);
    if quarter > 16 << 20 {
        return Err(Stop::Skip(
            "the byte budget is too great for it to be tried".into(),
        ));
    }
    let mut link = bench.link("peer")?;
    // A channel of its own for each 250 origins, which stay joined so that none is forgotten.
    let count = usize::try_from(quarter).unwrap_or(0) / 64 / EACH + 2;
    for _ in 0..count {
        let channel = bench.another_channel();
        link.join(&channel)?;
        let mut frames = Vec::new();
        for _ in 0..EACH {
            let name = Name {
                channel: channel.clone(),
                node: random_uid(),
                ..link.name()
            };
            frames.extend([Frame::text(name.to_string()), Frame::text("")]);
        }
        link.session.send_together(&frames)?;
        // Not faster than the server takes them.
        link.still_works().map_err(Stop::on_the_way)?;
    }
    let channel = bench.channel.clone();
    link.join(&channel)?;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let name = Name {
            node: random_uid(),
            ..link.name()
        };
        link.tell(&name, "one of three")?;
        nodes.push(name.node);
    }
    let mut other = bench.link("other")?;
    link.still_works().map_err(Stop::on_the_way)?;
    let (reply, _) = other.join(&channel)?;
    let came = origins(&reply, &link.server());
    let is_right = came.len() == 1 && came.contains(&nodes[2]);
    // All of that is to be forgotten again: the channels have histories.
    link.leave();
    other.leave();
    fill(bench)?;
    match is_right {
        true => Ok(()),
        false => {
            let expected = format!(
                "`have` says something of one origin, the newest: {}",
                nodes[2]
            );
            Err(Stop::fail(expected, reply.to_string()))
        }
    }
}

fn origins_256(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let names = many_origins(bench, &mut link, &mut alice)?;
    let mut other = bench.link("other")?;
    let (reply, _) = other.join(&channel)?;
    let (server, own) = (link.server(), link.uid.clone());
    let came = origins(&reply, &server);
    let others = came.len();
    if others != 256 {
        let expected = "256 origins besides the server";
        return Err(Stop::fail(expected, format!("{others} of them in `have`")));
    }
    // This peer's own is newer than they are.
    let newest: BTreeSet<_> = names[names.len() - 255..]
        .iter()
        .map(|name| name.node.clone())
        .collect();
    let missing = newest.iter().find(|uid| !came.contains(*uid));
    match missing.is_none() && came.contains(&own) {
        true => Ok(()),
        false => {
            let expected = "the 256 origins whose messages are the newest";
            Err(Stop::fail(
                expected,
                format!("{} is missing", missing.unwrap_or(&own)),
            ))
        }
    }
}

fn counts_as_seen(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let names = many_origins(bench, &mut link, &mut alice)?;
    // Its time is that of its only message: as old as what was forgotten with it.
    let old = Name {
        seq: 2,
        ..names[0].clone()
    };
    link.tell(&old, "of a forgotten origin, as old as it was forgotten")?;
    let unknown = Name {
        node: random_uid(),
        ..names[0].clone()
    };
    link.tell(
        &unknown,
        "of an unknown origin, as old as what was forgotten",
    )?;
    let new = Name {
        ts: link.now() - MINUTE,
        ..old
    };
    link.tell(&new, "newer")?;
    alice.hears("newer")
}

/// Goes on only if another origin can be remembered on a channel.
fn remembers_origins(bench: &Bench) -> Judged {
    let channel = bench.another_channel();
    let mut link = bench.link("first")?;
    link.join(&channel)?;
    for _ in 0..3 {
        let name = Name {
            node: random_uid(),
            channel: channel.clone(),
            ..link.name()
        };
        link.tell(&name, "one of three")?;
    }
    link.still_works().map_err(Stop::on_the_way)?;
    let mut other = bench.link("second")?;
    let (reply, _) = other.join(&channel)?;
    match origins(&reply, &link.server()).len() {
        1 => Err(Stop::Skip(
            "the server remembers one origin of a channel only, as it may if a quarter of its budget is used up (S2.4)".into(),
        )),
        _ => Ok(()),
    }
}

fn forgotten_with_the_last_link(bench: &mut Bench) -> Judged {
    let long = too_long_for_the_history(bench)?;
    let time = time_for(&long, bench.patience());
    let channel = bench.channel.clone();
    // On the link to an upstream it would stay joined (C1.2).
    bench.peer_key()?;
    bench.is_root()?;
    let (mut first, mut second) = (bench.link("first")?, bench.link("second")?);
    first.join(&channel)?;
    second.join(&channel)?;
    // Nothing of it is kept, but that it was seen.
    let name = first.name();
    first.say(&name)?;
    let bytes = Frame::binary(long.payload.clone()).encode();
    first
        .session
        .send_bytes_within(&bytes, "a message too long for the history", time)?;
    second
        .hear_within(time, "the message")
        .map_err(Stop::on_the_way)?;
    first.say(first.leave_of(&channel))?;
    let (reply, _) = first.join(&channel)?;
    if reply.head["have"][&name.node] != name.seq {
        let expected = format!(
            "`have` says {} of {}: another link has joined it",
            name.seq, name.node
        );
        return Err(Stop::fail(expected, reply.to_string()));
    }
    second.say(second.leave_of(&channel))?;
    second.still_works().map_err(Stop::on_the_way)?;
    first.say(first.leave_of(&channel))?;
    let (reply, _) = first.join(&channel)?;
    match reply.head["have"][&name.node].as_u64().unwrap_or(0) {
        0 => Ok(()),
        _ => {
            let expected = format!(
                "`have` says nothing of {}: the channel was forgotten",
                name.node
            );
            Err(Stop::fail(expected, reply.to_string()))
        }
    }
}
