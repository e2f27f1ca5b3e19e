//! Which messages are taken, and in which order they go (peering.md, 5.1).

use serde_json::json;

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::cases::peering::keeps_history;
use crate::link::{Link, MINUTE, Name, frames, random_uid};
use crate::session::{Message, Session, listed};

pub(super) fn cases() -> Vec<Case> {
    vec![
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
    ]
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
