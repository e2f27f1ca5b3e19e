//! Messages on links (peering.md, section 5).

mod forgetting;
mod numbers;
mod order;
mod synchronised;

use std::time::Duration;

use serde_json::json;

use super::keeps_history;
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Link, NUMBER_MOST, Name, frames, random_uid};
use crate::session::Message;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    let mut all = vec![
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
            "J1.11/elsewhere-is-nobody-here",
            "a member of the same pair on another server has nobody wait",
            elsewhere_is_nobody_here,
        ),
    ];
    all.extend(order::cases());
    all.extend(numbers::cases());
    all.extend(forgetting::cases());
    all.extend(synchronised::cases());
    all
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

fn elsewhere_is_nobody_here(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
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
