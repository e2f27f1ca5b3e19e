//! How long a payload may be, and how far ahead its time (peering.md, section 3).

use std::time::{Duration, Instant};

use super::reaches;
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Handshake, Link, MINUTE, NUMBER_MOST, Name, Said};
use crate::wire::{Frame, Length, head};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "F1.5/above-the-peers-max",
            "a message longer than the peer takes is left out on its link, and no other",
            above_the_peers_max,
        ),
        case(
            "F1.5/the-own-max",
            "a payload as long as the server's handshake says is taken",
            the_own_max,
        )
        .company(Company::Alone),
        case(
            "F1.5/above-the-own-max",
            "a payload longer than the server's handshake says ends the link with 4012",
            above_the_own_max,
        )
        .company(Company::Alone),
        case(
            "F1.6/within-the-hour",
            "a message whose time is less than an hour ahead is taken",
            within_the_hour,
        ),
        case(
            "F1.6/more-than-an-hour",
            "a message whose time is more than an hour ahead is skipped, as if it had not come",
            more_than_an_hour,
        ),
        case(
            "F1.6/more-than-two-hours",
            "a message whose time is more than two hours ahead of its sender's clock ends the link with 4012",
            more_than_two_hours,
        ),
        case(
            "F1.6/by-the-senders-clock",
            "it is the sender's clock that the two hours are counted from",
            by_the_senders_clock,
        ),
    ]
}

fn above_the_peers_max(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let mut short = bench.peer("short")?;
    short.max = 1000;
    short.shake().map_err(Stop::on_the_way)?;
    let mut long = bench.link("long")?;
    short.join(&channel)?;
    long.join(&channel)?;
    let mut alice = bench.join("alice")?;
    let (most, more) = ("x".repeat(1000), "x".repeat(1001));
    let marker = bench.marker();
    for text in [&most, &more, &marker] {
        alice.say(text)?;
    }
    short.hears_text(&most)?;
    short.hears_text(&marker)?;
    for text in [&most, &more, &marker] {
        long.hears_text(text)?;
    }
    Ok(())
}

/// The longest payload that the server takes, if that can be tried.
fn own_max(link: &Link) -> Judged<usize> {
    let max = link.hello["max"].as_u64().unwrap_or_default();
    match max {
        0 => Err(Stop::Inconclusive(
            "the server's handshake has no `max`".into(),
        )),
        1..=0x400_0000 => Ok(usize::try_from(max).unwrap_or(usize::MAX)),
        _ => Err(Stop::Skip(
            "the server takes payloads that are too long to be tried".into(),
        )),
    }
}

/// How long so many bytes may take, there and back again.
fn time_for(bytes: usize, patience: Duration) -> Duration {
    patience + Duration::from_millis(u64::try_from(bytes / 1000).unwrap_or(u64::MAX))
}

fn the_own_max(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let max = own_max(&link)?;
    let name = link.name();
    link.say(&name)?;
    let time = time_for(max, bench.patience());
    let bytes = Frame::binary(vec![7; max]).encode();
    // Alice reads only when all of it is sent: the server holds it for her, as it may be long (L3.2).
    link.session
        .send_bytes_within(&bytes, "binary, as long as `max` says", time)?;
    alice.connection().patience = time;
    let came = alice.message("a payload as long as `max` says")?;
    match came.payload.len() == max && !came.text {
        true => Ok(()),
        false => Err(Stop::fail(format!("{max} bytes"), came.to_string())),
    }
}

fn above_the_own_max(bench: &mut Bench) -> Judged {
    let (mut link, _alice) = bench.link_and_alice()?;
    let max = own_max(&link)?;
    let name = link.name();
    link.say(&name)?;
    let frame = head(0x82, max as u64 + 1, Length::Shortest, true);
    link.session
        .send_bytes(&frame, "the head of a binary frame longer than `max` says")?;
    let deadline = Instant::now() + time_for(max, bench.patience());
    // It may notice by the length, or when it has got it.
    let mut left = max + 1;
    while left > 0 && Instant::now() < deadline {
        let count = left.min(1 << 16);
        link.session
            .connection()
            .stream
            .write(&vec![0; count], bench.patience())
            .ok();
        left -= count;
        match link.next(Duration::from_millis(if left == 0 { 0 } else { 1 }))? {
            None => {}
            Some(Said::Close(close)) if close.code == Some(4012) => return Ok(()),
            Some(other) => return Err(Stop::fail("peer is closed with 4012", other.to_string())),
        }
    }
    link.closed(4012).map(drop)
}

fn within_the_hour(bench: &mut Bench) -> Judged {
    let ahead = 50 * MINUTE;
    reaches(bench, |name| name.ts += ahead)
}

fn more_than_an_hour(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let name = link.name();
    let early = Name {
        ts: name.ts + 90 * MINUTE,
        ..name.clone()
    };
    link.tell(&early, "too early")?;
    // The same number: as if the other had not come.
    link.tell(&name, "just now")?;
    alice.hears("just now")
}

fn more_than_two_hours(bench: &mut Bench) -> Judged {
    for ahead in [121 * MINUTE, u64::MAX] {
        let (mut link, mut alice) = bench.link_and_alice()?;
        let name = link.name();
        let tomorrow = Name {
            ts: name.ts.saturating_add(ahead).min(NUMBER_MOST),
            ..name
        };
        link.tell(&tomorrow, "from tomorrow")?;
        link.closed(4012)?;
        drop(link);
        // Nor was it taken.
        let marker = bench.marker();
        let mut bob = bench.join("bob")?;
        bob.say(&marker)?;
        alice.hears(&marker)?;
        bob.leave();
        alice.leave();
    }
    Ok(())
}

fn by_the_senders_clock(bench: &mut Bench) -> Judged {
    let now = bench.link("first")?.now();
    // Behind the server's clock: two hours end earlier. Ahead of it: they end later.
    for (clock, ahead, is_fault) in [
        (now - 9 * MINUTE, 116 * MINUTE, false),
        (now - 9 * MINUTE, 124 * MINUTE, true),
        (now + 9 * MINUTE, 116 * MINUTE, false),
        (now + 9 * MINUTE, 124 * MINUTE, true),
    ] {
        let mut link = bench.peer("peer")?;
        let handshake = Handshake {
            ts: clock,
            ..link.handshake()
        };
        link.shake_with(&handshake).map_err(Stop::on_the_way)?;
        link.join(&bench.channel)?;
        let name = Name {
            ts: clock + ahead,
            ..link.name()
        };
        link.tell(&name, "too early")?;
        match is_fault {
            true => drop(link.closed(4012)?),
            false => link.still_works()?,
        }
    }
    Ok(())
}
