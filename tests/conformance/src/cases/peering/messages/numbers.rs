//! Numbers and times of messages (peering.md, 5.1 and 5.2; client.md, 7.1).

use serde_json::json;

use super::fill;
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Heard, Kind, Link, MINUTE, NUMBER_MOST, Name, Said, frames};
use crate::session::Session;

pub(super) fn cases() -> Vec<Case> {
    vec![
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
        ).connections(4)
        .company(Company::Disruptive),
        case(
            "S2.3/goes-on-above",
            "on a channel that was forgotten, seq and ts go on above those given before",
            goes_on_above,
        )
        .connections(5)
        .company(Company::Disruptive),
        case(
            "M3.1/rising-times",
            "what a server accepts has rising times by its clock",
            |bench| {
                let (before, said) = what_alice_says(bench)?;
                let rises = said.windows(2).all(|pair| pair[0].ts() < pair[1].ts());
                // It may be ahead: on channels that were forgotten, later times may have been given (S2.3).
                let near = |heard: &Heard| (before - MINUTE..before + 61 * MINUTE).contains(&heard.ts());
                match rises && said.iter().all(near) {
                    true => Ok(()),
                    false => {
                        let expected = format!("rising times by the server's clock, which showed {before}");
                        Err(Stop::fail(expected, frames(&said)))
                    }
                }
            },
        ),
        case(
            "M3.11/consecutive-numbers",
            "what a server accepts on a channel has consecutive numbers",
            |bench| {
                let (_, said) = what_alice_says(bench)?;
                match said.windows(2).all(|pair| pair[0].seq() + 1 == pair[1].seq()) {
                    true => Ok(()),
                    false => Err(Stop::fail("consecutive numbers", frames(&said))),
                }
            },
        ),
    ]
}

/// How much higher a number is that the server has not given.
const HIGHER: u64 = 1000;

/// The number of alice's next message.
fn next_number(bench: &mut Bench, link: &mut Link, alice: &mut Session) -> Judged<u64> {
    let marker = bench.marker();
    alice.say(&marker)?;
    let (_, heard) = link.until_text(&marker)?;
    Ok(heard.seq())
}

fn goes_above(number: u64, heard_of: u64) -> Judged {
    match number > heard_of {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("a seq above {heard_of}"),
            number.to_string(),
        )),
    }
}

fn heard_in_a_have(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut link, mut alice) = bench.link_and_alice()?;
    let given = next_number(bench, &mut link, &mut alice).map_err(Stop::on_the_way)?;
    let server = link.server();
    link.join_having(&channel, &json!({server: given + HIGHER}))
        .map_err(Stop::on_the_way)?;
    let next = next_number(bench, &mut link, &mut alice)?;
    goes_above(next, given + HIGHER)
}

fn heard_in_a_message(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let given = next_number(bench, &mut link, &mut alice).map_err(Stop::on_the_way)?;
    let name = Name {
        node: link.server(),
        seq: given + HIGHER,
        ..link.name()
    };
    let told = bench.marker();
    link.tell(&name, &told)?;
    alice.hears(&told)?;
    let next = next_number(bench, &mut link, &mut alice)?;
    goes_above(next, given + HIGHER)
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

/// The announcement of alice and what she says, as a peer gets it; and the server's clock before.
fn what_alice_says(bench: &Bench) -> Judged<(u64, Vec<Heard>)> {
    const COUNT: usize = 20;
    let mut link = bench.link("peer")?;
    link.hears_announcements = true;
    link.join(&bench.channel)?;
    let before = link.now();
    let mut alice = bench.join("alice")?;
    for number in 0..COUNT {
        alice.say(&number.to_string())?;
    }
    let said = (0..=COUNT).map(|_| link.hears(Kind::Message, &bench.channel, "what alice says"));
    let said: Judged<Vec<_>> = said.collect();
    Ok((before, said.map_err(Stop::on_the_way)?))
}
