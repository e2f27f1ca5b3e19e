//! Messages on links (peering.md, section 5).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{WAIT, keeps_history, without_a_wait};
use crate::bench::{Bench, lasted};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Heard, Kind, Link, MINUTE, NUMBER_MOST, Name, Said, frames, random_uid};
use crate::session::{Message, Session, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    vec![
        case(
            "S1.1/higher-numbers",
            "a message is taken if its seq is above the highest of its origin, by however much",
            higher_numbers,
        ),
        case(
            "S1.1/seen",
            "a message whose seq is not above the highest of its origin is dropped",
            seen,
        ),
        case(
            "S1.1/each-origin-by-itself",
            "the seq of one origin says nothing of another's",
            each_origin_by_itself,
        ),
        case(
            "S1.1/own-come-back",
            "a message of the server's own clients that comes back over a link is dropped",
            own_come_back,
        ),
        case(
            "S1.2/into-history-order",
            "what comes over a link is inserted into the history in the order of (ts, origin, seq)",
            into_history_order,
        ),
        case(
            "S1.2/whatever-its-age",
            "what comes over a link is delivered to the members, whatever its age",
            whatever_its_age,
        ),
        case(
            "S1.2/other-links",
            "what comes over a link goes to the other links, with the name that it has",
            other_links,
        ),
        case(
            "S1.2/not-back",
            "what comes over a link is not sent back there",
            not_back,
        ),
        case(
            "S1.2/later-announcement-stays",
            "of two announcements of one uid, the later in history order stays, whichever came first",
            later_announcement_stays,
        ),
        case(
            "S1.3/in-history-order",
            "a peer gets the history in its order",
            in_history_order,
        ),
        case(
            "S1.3/only-what-it-lacks",
            "a peer gets what is above what it has told, and nothing else",
            only_what_it_lacks,
        ),
        case(
            "S1.4/heard-in-a-have",
            "a server that hears of a higher number of its own in a `have` goes on above it",
            heard_in_a_have,
        ),
        case(
            "S1.4/heard-in-a-message",
            "a server that hears of a higher number of its own in a message goes on above it",
            heard_in_a_message,
        ),
        case(
            "S1.4/greatest",
            "a server that hears of 2^53 - 1 as its own number closes its links with 1012 and takes a new uid",
            greatest,
        )
        .company(Company::Disruptive),
        case(
            "S1.5/latest-have",
            "the latest `have` of a peer counts, even if it says less than has gone over the link",
            latest_have,
        ),
        alone(case(
            "S1.6/more-than-the-history-keeps",
            "a peer gets what leaves the history before it was sent",
            more_than_the_history_keeps,
        )),
        alone(case(
            "S1.6/never-in-the-history",
            "a peer gets a message that is too long for the history",
            never_in_the_history,
        )),
        case(
            "S2.1/with-its-history",
            "what was seen on a channel is remembered with its history when the last link has left it",
            with_its_history,
        ),
        case(
            "S2.2/256-origins",
            "a channel remembers 256 origins, those with the newest messages",
            origins_256,
        ),
        case(
            "S2.2/the-one-that-has-just-come",
            "an origin whose message is older than those of 256 others is forgotten as it comes",
            the_one_that_has_just_come,
        ),
        case(
            "S2.2/counts-as-seen",
            "a message of an origin that is not remembered counts as seen if it is as old as what was forgotten",
            counts_as_seen,
        ),
        case(
            "S2.3/goes-on-above",
            "on a channel that was forgotten, seq and ts go on above those given before",
            goes_on_above,
        )
        .connections(5)
        .company(Company::Disruptive),
        case(
            "S2.4/a-quarter-of-the-budget",
            "no channel remembers more origins while they use a quarter of the budget",
            a_quarter_of_the_budget,
        )
        .company(Company::Disruptive),
        case(
            "S3.1/behind-what-it-lacks",
            "`done` comes behind what the lower end lacks",
            behind_what_it_lacks,
        ),
        alone(case(
            "S3.1/behind-the-upstreams",
            "`done` does not come before the server's own upstream has said it",
            behind_the_upstreams,
        )),
        alone(case(
            "S3.1/upstream-refuses",
            "`done` comes at once when the server's own upstream has refused the channel",
            upstream_refuses,
        )),
        alone(case(
            "S3.2/two-seconds",
            "`done` comes after 2 s if the server's own upstream does not say it",
            two_seconds,
        ))
        .lasts(|_| WAIT),
        case(
            "M3.1/numbers-and-times",
            "what a server accepts has consecutive numbers, and rising times by its clock",
            numbers_and_times,
        ),
        alone(case(
            "M3.9/forgotten-with-the-last-link",
            "a channel without members and entries is forgotten when the last link has left it, and not before",
            forgotten_with_the_last_link,
        )),
        case(
            "J1.11/elsewhere-is-nobody-here",
            "a member of the same pair on another server has nobody wait",
            elsewhere_is_nobody_here,
        ),
    ]
}

fn higher_numbers(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    for step in [1, 2, 1000, NUMBER_MOST >> 1] {
        let mut name = link.name();
        name.node = "0123456789abcdef0123456789abcdef".into();
        name.seq = step;
        let text = format!("number {step}");
        link.tell(&name, &text)?;
        alice.hears(&text)?;
    }
    Ok(())
}

fn seen(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let origin = random_uid();
    for (seq, is_new) in [
        (5, true),
        (5, false),
        (3, false),
        (1, false),
        (6, true),
        (6, false),
    ] {
        let name = Name {
            node: origin.clone(),
            seq,
            ..link.name()
        };
        let text = format!("{seq}{}", if is_new { "" } else { ", seen" });
        link.tell(&name, &text)?;
    }
    alice.hears("5")?;
    alice.hears("6")?;
    let marker = bench.marker();
    link.tells(&marker)?;
    alice.hears(&marker)
}

fn each_origin_by_itself(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    for (origin, seq) in [(random_uid(), 7), (random_uid(), 7), (random_uid(), 1)] {
        let name = Name {
            node: origin,
            seq,
            ..link.name()
        };
        let text = bench.marker();
        link.tell(&name, &text)?;
        alice.hears(&text)?;
    }
    Ok(())
}

fn own_come_back(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let mut bob = bench.join("bob")?;
    bench.meet(&mut alice, &mut bob)?;
    let marker = bench.marker();
    alice.say(&marker)?;
    bob.until(&marker).map_err(Stop::on_the_way)?;
    let (_, heard) = link.until_text(&marker).map_err(Stop::on_the_way)?;
    link.say(&heard.text)?;
    link.say(&marker)?;
    let behind = bench.marker();
    link.tells(&behind)?;
    bob.hears(&behind)?;
    alice.hears(&behind)
}

/// Names of messages of three origins, in history order. The first two have the same time.
fn mixed(link: &mut Link) -> [Name; 3] {
    let name = |link: &mut Link, node: &str, ts| Name {
        node: node.repeat(16),
        ts,
        ..link.name()
    };
    let now = link.now();
    [
        name(link, "1a", now - 20 * MINUTE),
        name(link, "c0", now - 20 * MINUTE),
        name(link, "07", now - 10 * MINUTE),
    ]
}

/// Tells them in another order than that of the history, each with its place in that as its text.
fn tell_mixed(link: &mut Link, member: &mut Session) -> Judged {
    let names = mixed(link);
    for place in [2, 1, 0] {
        let text = format!("place {place}");
        link.tell(&names[place], &text)?;
        member.until(&text)?;
    }
    Ok(())
}

const PLACES: [&str; 3] = ["place 0", "place 1", "place 2"];

fn into_history_order(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let (mut link, mut alice) = bench.link_and_alice()?;
    tell_mixed(&mut link, &mut alice)?;
    let (replay, _bob) = bench.replay("bob", &mut alice).map_err(Stop::on_the_way)?;
    let found = replay.iter().filter_map(|message| {
        PLACES
            .into_iter()
            .find(|place| message.equals(&Message::text(place)))
    });
    match found.eq(PLACES) {
        true => Ok(()),
        false => {
            let expected = format!("a replay with {}", PLACES.join(", "));
            Err(Stop::fail(expected, listed(&replay)))
        }
    }
}

fn whatever_its_age(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let now = link.now();
    for ts in [now - 60 * MINUTE, now - 60 * 24 * 365 * MINUTE, 1] {
        let name = Name { ts, ..link.name() };
        let text = bench.marker();
        link.tell(&name, &text)?;
        alice.hears(&text)?;
    }
    Ok(())
}

fn other_links(bench: &mut Bench) -> Judged {
    let (mut link, _alice) = bench.link_and_alice()?;
    let mut other = bench.link("other")?;
    other.join(&bench.channel)?;
    let name = Name {
        uid: "\"eve\" \u{1f30d}".into(),
        node: random_uid(),
        seq: 77,
        ts: link.now() - 10 * MINUTE,
        ..link.name()
    };
    let marker = bench.marker();
    link.tell(&name, &marker)?;
    let heard = other.hears_text(&marker)?;
    let came = Name {
        uid: heard.head["uid"].as_str().unwrap_or_default().into(),
        channel: heard.channel().into(),
        node: heard.head["node"].as_str().unwrap_or_default().into(),
        seq: heard.seq(),
        ts: heard.ts(),
    };
    match came == name {
        true => Ok(()),
        false => Err(Stop::fail(format!("the name {name}"), heard.to_string())),
    }
}

fn not_back(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let told = bench.marker();
    link.tells(&told)?;
    alice.hears(&told)?;
    let marker = bench.marker();
    alice.say(&marker)?;
    link.hears_text(&marker).map(drop)
}

fn in_history_order(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let (mut link, mut alice) = bench.link_and_alice()?;
    tell_mixed(&mut link, &mut alice)?;
    let mut other = bench.link("other")?;
    let (_, messages) = other.join_having(&bench.channel, &json!({}))?;
    let found = messages
        .iter()
        .filter_map(|heard| PLACES.into_iter().find(|place| heard.says(place)));
    match found.eq(PLACES) {
        true => Ok(()),
        false => Err(Stop::fail(PLACES.join(", "), frames(&messages))),
    }
}

fn only_what_it_lacks(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let origin = random_uid();
    for seq in [3, 5, 8] {
        let name = Name {
            node: origin.clone(),
            seq,
            ..link.name()
        };
        let text = format!("number {seq}");
        link.tell(&name, &text)?;
        alice.until(&text).map_err(Stop::on_the_way)?;
    }
    let mut other = bench.link("other")?;
    let (reply, _) = other.join(&channel)?;
    for (have, lacks) in [(5, 1), (4, 2), (8, 0), (100, 0)] {
        let mut all = reply.head["have"].clone();
        all[&origin] = json!(have);
        let (_, messages) = other.join_having(&channel, &all)?;
        let lacked = ["number 5", "number 8"];
        let lacked = &lacked[2 - lacks..];
        let right = messages.len() == lacks
            && messages
                .iter()
                .zip(lacked)
                .all(|(heard, text)| heard.says(text));
        if !right {
            let expected = match lacked {
                [] => format!("nothing, having all up to {have}"),
                lacked => format!("{}, having all up to {have}", lacked.join(", ")),
            };
            return Err(Stop::fail(expected, frames(&messages)));
        }
    }
    Ok(())
}

/// Alice's next message has a number above this one.
fn next_above(link: &mut Link, alice: &mut Session, marker: &str, least: u64) -> Judged {
    alice.say(marker)?;
    let (_, heard) = link.until_text(marker)?;
    match heard.seq() > least {
        true => Ok(()),
        false => {
            let expected = format!("a seq above {least}");
            Err(Stop::fail(expected, heard.to_string()))
        }
    }
}

fn heard_in_a_have(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let server = link.server();
    link.join_having(&channel, &json!({server: 1_000_000}))
        .map_err(Stop::on_the_way)?;
    let marker = bench.marker();
    next_above(&mut link, &mut alice, &marker, 1_000_000)
}

fn heard_in_a_message(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let name = Name {
        node: link.server(),
        seq: 1_000_000,
        ..link.name()
    };
    let told = bench.marker();
    link.tell(&name, &told)?;
    alice.hears(&told)?;
    let marker = bench.marker();
    next_above(&mut link, &mut alice, &marker, 1_000_000)
}

fn greatest(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let server = link.server();
    link.say(link.join_of(&channel, &json!({server.clone(): NUMBER_MOST})))?;
    // It has given none that is as high: it may notice only when it gives the next.
    let patience = bench.patience();
    let closed = match link.next(patience)? {
        Some(Said::Frame(_)) => {
            let marker = bench.marker();
            alice.say(&marker)?;
            link.closed(1012).map(drop)
        }
        Some(Said::Close(close)) if close.code == Some(1012) => Ok(()),
        Some(other) => Err(Stop::fail("peer is closed with 1012", other.to_string())),
        None => Err(Stop::fail("peer is closed with 1012", "nothing")),
    };
    closed?;
    let again = bench.link("again")?;
    if again.server() == server {
        return Err(Stop::fail("another uid than before", server));
    }
    // Its clients stay.
    let mut bob = bench.join("bob")?;
    let marker = bench.marker();
    bob.say(&marker)?;
    alice.hears(&marker)
}

fn latest_have(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let (told, said) = (bench.marker(), bench.marker());
    link.tells(&told)?;
    alice.hears(&told)?;
    alice.say(&said)?;
    link.until_text(&said).map_err(Stop::on_the_way)?;
    let (_, messages) = link.join_having(&channel, &json!({}))?;
    for text in [&told, &said] {
        if !messages.iter().any(|heard| heard.says(text)) {
            let expected = format!("{text:?} again, to one who says that it has nothing");
            return Err(Stop::fail(expected, frames(&messages)));
        }
    }
    Ok(())
}

fn more_than_the_history_keeps(bench: &mut Bench) -> Judged {
    let limit = bench.limits().limit;
    if limit > 1000 {
        return Err(Stop::Skip("the server keeps too many messages".into()));
    }
    let (mut link, mut alice) = bench.link_and_alice()?;
    // Three megabytes in all: what is kept for a link may be four.
    let count = usize::try_from(limit).unwrap_or(0) + 100;
    let most = usize::try_from(bench.limits().max_message).unwrap_or(usize::MAX);
    let filling = "x".repeat(((3 << 20) / count).min(most / 2));
    let texts: Vec<_> = (0..count)
        .map(|number| format!("{number} {filling}"))
        .collect();
    let mut bytes = Vec::new();
    for text in &texts {
        bytes.extend(Frame::text(text.as_str()).encode());
    }
    let time = bench.patience() + Duration::from_secs(5);
    alice.send_bytes_within(&bytes, &format!("{count} messages"), time)?;
    for (number, text) in texts.iter().enumerate() {
        let heard = link.hear(&format!("message {number} of {count}"))?;
        if !heard.says(text) {
            let expected = format!("message {number} of {count}");
            return Err(Stop::fail(expected, heard.to_string()));
        }
    }
    Ok(())
}

/// A message that no history on the server holds, if there can be one.
fn too_long_for_the_history(bench: &Bench) -> Judged<Message> {
    let limits = bench.limits();
    let bound = limits.history_channel_bytes.min(limits.history_bytes);
    if bound > limits.max_message || bound > 15 << 20 {
        let why = "messages cannot be too long for a history of the server";
        return Err(Stop::Skip(why.into()));
    }
    Ok(Message::binary(vec![
        7;
        usize::try_from(bound).unwrap_or(0)
    ]))
}

/// How long so many bytes may take.
fn time_for(message: &Message, patience: Duration) -> Duration {
    let millis = u64::try_from(message.payload.len() / 1000).unwrap_or(0);
    patience + Duration::from_millis(millis)
}

fn never_in_the_history(bench: &mut Bench) -> Judged {
    let long = too_long_for_the_history(bench)?;
    let time = time_for(&long, bench.patience());
    let (mut link, mut alice) = bench.link_and_alice()?;
    let bytes = Frame::binary(long.payload.clone()).encode();
    alice.send_bytes_within(&bytes, "a message too long for the history", time)?;
    let heard = link.hear_within(time, "the message that is too long for the history")?;
    match heard
        .payload
        .as_ref()
        .is_some_and(|came| came.equals(&long))
    {
        true => Ok(()),
        false => Err(Stop::fail(
            "the message that is too long for the history",
            heard.to_string(),
        )),
    }
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

fn later_announcement_stays(bench: &mut Bench) -> Judged {
    bench.keeps(20, 4096)?;
    let channel = bench.channel.clone();
    let (mut link, alice) = bench.link_and_alice()?;
    let mut alice = alice.hearing_announcements();
    let announcement = Message::announcement("eve", &channel);
    let later = link.name();
    let earlier = Name {
        node: random_uid(),
        ts: later.ts - MINUTE,
        ..later.clone()
    };
    for name in [&later, &earlier] {
        link.tell_message(name, &announcement)?;
        alice.hears_message(&announcement)?;
    }
    let mut other = bench.link("other")?;
    other.hears_announcements = true;
    let (_, messages) = other.join(&channel)?;
    let of_eve: Vec<_> = messages
        .into_iter()
        .filter(|heard| {
            heard.head["uid"] == "eve"
                && heard
                    .payload
                    .as_ref()
                    .is_some_and(|came| came.equals(&announcement))
        })
        .collect();
    match &of_eve[..] {
        [one] if one.ts() == later.ts => Ok(()),
        others => Err(Stop::fail(
            "one announcement of eve, the later",
            frames(others),
        )),
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

/// Has others fill all the room that there is for histories.
fn fill(bench: &Bench) -> Judged {
    let limits = bench.limits();
    let size = (1 << 20)
        .min(limits.max_message)
        .min(limits.history_channel_bytes / 2);
    let size = usize::try_from(size.max(1)).unwrap_or(1 << 20);
    let mut left = match limits.limit {
        0 => 0,
        _ => usize::try_from(limits.history_bytes).unwrap_or(0) + 2 * size,
    };
    let bytes = Frame::binary(vec![7; size]).encode();
    let each = usize::try_from(limits.history_channel_bytes).unwrap_or(0) / (size + 1000);
    while left > 0 {
        let mut filler = bench.join_on("filler", &bench.another_channel())?;
        let count = usize::try_from(limits.limit).unwrap_or(usize::MAX);
        for _ in 0..count.min(each.max(1)) {
            filler.send_bytes(&bytes, "a message that fills a history")?;
            left = left.saturating_sub(size);
        }
        filler.leave();
    }
    Ok(())
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

fn goes_on_above(bench: &mut Bench) -> Judged {
    let limits = bench.limits().clone();
    if limits.history_bytes > 128 << 20 {
        return Err(Stop::Skip(
            "the histories of the server have too much room to be filled".into(),
        ));
    }
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let server = link.server();
    let mut last = (0, 0);
    for _ in 0..20 {
        let marker = bench.marker();
        alice.say(&marker)?;
        let (_, heard) = link.until_text(&marker).map_err(Stop::on_the_way)?;
        last = (heard.seq(), heard.ts());
    }
    alice.leave();
    link.say(link.leave_of(&channel))?;
    fill(bench)?;
    let mut other = bench.link("other")?;
    let (_, messages) = other.join(&channel)?;
    if limits.limit > 0 && !messages.is_empty() {
        let why = "the channel was not forgotten";
        return Err(Stop::Inconclusive(why.into()));
    }
    // Leaves it again: it is forgotten now, if it was not before.
    drop(other);
    let mut other = bench.link("another")?;
    other.join(&channel)?;
    let mut alice = bench.join("alice")?;
    let marker = bench.marker();
    alice.say(&marker)?;
    let (_, heard) = other.until_text(&marker)?;
    if heard.head["node"] != *server {
        let why = "the server has taken a new uid meanwhile (S1.4)";
        return Err(Stop::Inconclusive(why.into()));
    }
    if heard.seq() <= last.0 {
        return Err(Stop::fail(
            format!("a seq above {}", last.0),
            heard.to_string(),
        ));
    }
    match heard.ts() > last.1 {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("a ts above {}", last.1),
            heard.to_string(),
        )),
    }
}

fn behind_what_it_lacks(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let (_alice, _bob) = bench.pair()?;
    let channel = bench.channel.clone();
    let mut link = bench.link("peer")?;
    link.say(link.join_of(&channel, &json!({})))?;
    link.hears(Kind::Join, &channel, "the reply to its join")
        .map_err(Stop::on_the_way)?;
    for text in [Bench::HELLO, Bench::HERE] {
        link.hears_text(text)?;
    }
    link.hears(Kind::Done, &channel, "that the channel is synchronised")
        .map(drop)
}

fn behind_the_upstreams(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut lower = bench.link("lower")?;
        let began = Instant::now();
        lower.say(lower.join_of(&channel, &json!({})))?;
        lower
            .hears(Kind::Join, &channel, "the reply to its join")
            .map_err(Stop::on_the_way)?;
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &json!({}))?;
        // What the upstream has, and something else that comes on the link.
        let marker = bench.marker();
        upstream.tells(&marker)?;
        let other = bench.another_channel();
        lower.minds(&other);
        for expected in [
            "what the server's upstream has",
            "the reply to another join",
        ] {
            let heard = lower.hear(expected)?;
            if heard.is(Kind::Done, &channel) {
                if began.elapsed() > WAIT * 9 / 10 {
                    let why = "it took so long that the server need not wait any longer";
                    return Err(Stop::Inconclusive(why.into()));
                }
                let expected = "no `done` before the server's upstream has said it";
                return Err(Stop::fail(expected, heard.to_string()));
            }
            if heard.says(&marker) {
                lower.say(lower.join_of(&other, &json!({})))?;
            }
        }
        // What comes from there before `done` comes before it here.
        let last = bench.marker();
        upstream.tells(&last)?;
        upstream.done(&channel)?;
        lower.hears_text(&last)?;
        lower.hears(Kind::Done, &channel, "`done`").map(drop)
    })
}

fn upstream_refuses(bench: &mut Bench) -> Judged {
    bench.beneath(&[], |bench, upstream| {
        let mut lower = bench.link("lower")?;
        without_a_wait(bench, "`done`", |bench| {
            let channel = bench.another_channel();
            lower.minds(&channel);
            upstream.minds(&channel);
            lower.say(lower.join_of(&channel, &json!({})))?;
            upstream.joined(&channel).map_err(Stop::on_the_way)?;
            let began = Instant::now();
            upstream.say(upstream.leave_of(&channel))?;
            lower.until("`done`", |heard| heard.is(Kind::Done, &channel))?;
            Ok(began)
        })
    })
}

fn two_seconds(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut lower = bench.link("lower")?;
        let began = Instant::now();
        lower.say(lower.join_of(&channel, &json!({})))?;
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &json!({}))?;
        let replied = lower.hears(Kind::Join, &channel, "the reply to its join");
        replied.map_err(Stop::on_the_way)?;
        let late = WAIT + WAIT / 4 + bench.patience();
        let heard = lower.hear_within(late, "`done`")?;
        if !heard.is(Kind::Done, &channel) {
            return Err(Stop::fail("`done`", heard.to_string()));
        }
        lasted(
            began,
            Instant::now(),
            WAIT,
            bench.patience(),
            "`done` comes",
        )
    })
}

fn numbers_and_times(bench: &mut Bench) -> Judged {
    const COUNT: usize = 20;
    let mut link = bench.link("peer")?;
    link.hears_announcements = true;
    link.join(&bench.channel)?;
    let before = link.now();
    let mut alice = bench.join("alice")?;
    for number in 0..COUNT {
        alice.say(&number.to_string())?;
    }
    let mut last: Option<Heard> = None;
    for _ in 0..=COUNT {
        let heard = link.hears(Kind::Message, &bench.channel, "what alice says")?;
        if let Some(last) = &last
            && (heard.seq() != last.seq() + 1 || heard.ts() <= last.ts())
        {
            let expected = format!("seq {}, and a ts above {}", last.seq() + 1, last.ts());
            return Err(Stop::fail(expected, heard.to_string()));
        }
        // It may be ahead: on channels that were forgotten, later times may have been given.
        if heard.ts() + MINUTE < before || heard.ts() > before + 61 * MINUTE {
            let expected = format!("a ts by the server's clock: {before} or a bit more");
            return Err(Stop::fail(expected, heard.to_string()));
        }
        last = Some(heard);
    }
    Ok(())
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

fn elsewhere_is_nobody_here(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let mut link = bench.link("peer")?;
    link.join(&channel)?;
    // Alice joins elsewhere, and says something.
    let elsewhere = |link: &mut Link| Name {
        uid: "alice".into(),
        ..link.name()
    };
    let name = elsewhere(&mut link);
    link.tell(
        &name,
        &format!(r#"{{"uid":"alice","channel":"{channel}"}}"#),
    )?;
    let name = elsewhere(&mut link);
    link.tell(&name, "elsewhere")?;
    // And here: she does not wait for anybody, and hears herself as she would another. (Patience ends before a probe.)
    let mut alice = bench.join("alice")?;
    alice.until("elsewhere")?;
    let name = elsewhere(&mut link);
    link.tell(&name, "elsewhere again")?;
    alice.hears("elsewhere again")
}
