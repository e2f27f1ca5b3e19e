//! Replays over a bridge (peering.md, B1.6 to B1.8).

use super::{AGAIN, FIRST, QUIET, bridged, no_room, quiet, session};
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, dialer_case as case};
use crate::session::{Message, Session};
use crate::site::Site;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        case(
            "B1.6/known-before",
            "what the first replay has of the server's own history is dropped, and the rest is not",
            known_before,
        ),
        case(
            "B1.6/as-often",
            "what the first replay has more often than the server's own history is new",
            as_often,
        ),
        case(
            "B1.7/behind-what-both-have",
            "when the first replay is over, what is behind the newest message that both have goes over the bridge",
            behind_what_both_have,
        ),
        case(
            "B1.8/repeated",
            "what the replay of a later session repeats is dropped, and what is new in it is not",
            repeated,
        ),
        case(
            "B1.8/said-again",
            "what is said again is not taken for what the replay repeats",
            said_again,
        ),
        case(
            "B1.8/sent-again",
            "what was written just before a session was lost, and is not in the replay, is sent again",
            sent_again,
        ),
        case(
            "B1.8/not-what-is-there",
            "what is in the replay of a later session is not sent again",
            not_what_is_there,
        ),
    ];
    cases.into_iter().map(quiet).collect()
}

/// Alice has said these before there was a session; the one that there is then, behind its header.
fn with_history(site: &mut Site, texts: &[&str]) -> Judged<(Session, Session)> {
    site.start(0, 1)?;
    let patience = site.patience();
    let bench = site.bench()?;
    bench.keeps(8, 100)?;
    let mut alice = bench.join("alice")?;
    no_room(site, patience).map_err(Stop::on_the_way)?;
    for text in texts {
        alice.say(text)?;
    }
    // They have been accepted when another hears them.
    let mut bob = site.bench()?.join("bob")?;
    bob.until(texts.last().copied().unwrap_or(Bench::HELLO))
        .map_err(Stop::on_the_way)?;
    bob.leave();
    let (mut over, _) = session(site, AGAIN).map_err(Stop::on_the_way)?;
    over.connection().patience = patience + QUIET * 5 / 4;
    Ok((alice, over))
}

fn known_before(site: &mut Site) -> Judged {
    let (mut alice, mut over) = with_history(site, &["a", "b"])?;
    for text in ["a", "b", "news"] {
        over.say(text)?;
    }
    alice.hears("news")
}

fn as_often(site: &mut Site) -> Judged {
    let (mut alice, mut over) = with_history(site, &["a", "b"])?;
    for text in ["a", "a", "b", "news"] {
        over.say(text)?;
    }
    alice.hears("a")?;
    alice.hears("news")
}

fn behind_what_both_have(site: &mut Site) -> Judged {
    let (mut alice, mut over) = with_history(site, &["a", "b", "c", "d"])?;
    for text in ["a", "b"] {
        over.say(text)?;
    }
    over.hears("c")?;
    over.hears("d")?;
    alice.say("now")?;
    over.hears("now")
}

/// The session is lost, and the next one is there, behind its header; its replay begins with what alice has said by
/// then: her announcement, and that she is there.
fn lost(site: &mut Site, over: Session) -> Judged<Session> {
    let patience = over.patience();
    over.vanish();
    let (mut over, _) = session(site, AGAIN).map_err(Stop::on_the_way)?;
    over.connection().patience = patience + QUIET * 5 / 4;
    let announcement = Message::announcement("alice", &site.channel);
    let said = [Frame::text(announcement.payload), Frame::text(FIRST)];
    over.send_together(&said)?;
    Ok(over)
}

fn repeated(site: &mut Site) -> Judged {
    let (mut alice, mut over) = bridged(site)?;
    over.say("x")?;
    alice.hears("x")?;
    let mut over = lost(site, over)?;
    for text in ["x", "y"] {
        over.say(text)?;
    }
    alice.hears("y")
}

fn said_again(site: &mut Site) -> Judged {
    let (mut alice, mut over) = bridged(site)?;
    over.say("x")?;
    alice.hears("x")?;
    let mut over = lost(site, over)?;
    for text in ["x", "x", "y"] {
        over.say(text)?;
    }
    alice.hears("x")?;
    alice.hears("y")
}

fn sent_again(site: &mut Site) -> Judged {
    let (mut alice, mut over) = bridged(site)?;
    alice.say("m")?;
    over.hears("m")?;
    let mut over = lost(site, over)?;
    over.hears("m")
}

fn not_what_is_there(site: &mut Site) -> Judged {
    let (mut alice, mut over) = bridged(site)?;
    alice.say("m")?;
    over.hears("m")?;
    let mut over = lost(site, over)?;
    over.say("m")?;
    alice.say("n")?;
    over.hears("n")
}
