//! Choosing and keeping an upstream (peering.md, section 9), as far as it shows to who dials.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bench::{Bench, lasted};
use crate::case::{Case, Judged, Stop, case};
use crate::link::{Kind, Said};
use crate::session::Event;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "U1.6/pings",
            "each end of a link is pinged every 5 s, whatever comes from it",
            pings,
        )
        .lasts(|_| Duration::from_secs(15)),
        case(
            "U1.6/silence",
            "a link from which nothing has come for 20 s is closed with 4005",
            silence,
        )
        .lasts(|_| SILENCE),
        case(
            "U1.6/parts-count",
            "a part of a message counts as a sign of life",
            parts_count,
        )
        .lasts(|_| Duration::from_secs(24)),
    ]
}

const PING: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);

fn pings(bench: &mut Bench) -> Judged {
    let (mut link, _alice) = bench.link_and_alice()?;
    let mut first = None;
    let mut count = 0;
    let deadline = Instant::now() + 4 * PING + bench.patience();
    while count < 3 {
        // Something comes all the time.
        link.tells("something")?;
        match link.session.next(Duration::from_millis(500))? {
            Some(Event::Ping(_)) => {
                let now = Instant::now();
                // From the first on: one that is late on its way is not too early before the next.
                let began = *first.get_or_insert(now);
                if count > 0 {
                    let due = PING * count;
                    lasted(began, now, due, bench.patience(), "another ping comes")?;
                }
                count += 1;
            }
            Some(end @ (Event::Close(_) | Event::End(_))) => {
                return Err(Stop::fail("a ping every 5 s", end.to_string()));
            }
            Some(Event::Message(_) | Event::Pong(_)) | None => {}
        }
        if Instant::now() > deadline {
            return Err(Stop::fail("a ping every 5 s", format!("{count} pings")));
        }
    }
    Ok(())
}

fn silence(bench: &mut Bench) -> Judged {
    let mut link = bench.link("peer")?;
    link.session.answers_pings = false;
    let began = Instant::now();
    let late = SILENCE + SILENCE / 4 + bench.patience();
    link.session.closed_within(4005, late)?;
    lasted(
        began,
        Instant::now(),
        SILENCE,
        bench.patience(),
        "the link is closed",
    )
}

fn parts_count(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let mut link = bench.link("peer")?;
    link.session.answers_pings = false;
    let join = link.join_of(&channel, &json!({}));
    let (first, rest) = join.split_at(10);
    link.session.send(&Frame::text(first).unfinished())?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(23) {
        match link.next(Duration::from_secs(3))? {
            None | Some(Said::Frame(_)) => {}
            Some(end) => return Err(Stop::fail("the link is kept", end.to_string())),
        }
        link.session.send(&Frame::continuation("").unfinished())?;
    }
    link.session.send(&Frame::continuation(rest))?;
    link.hears(Kind::Join, &channel, "the reply to its join")
        .map(drop)
}
