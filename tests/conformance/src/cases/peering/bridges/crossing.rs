//! What goes over a bridge, and what comes (peering.md, B1.4, B1.5 and B1.9).

use super::{bridged, quiet};
use crate::case::{Case, Judged, Stop, dialer_case as case};
use crate::link::{Kind, Name};
use crate::session::{Message, listed};
use crate::site::Site;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        quiet(case(
            "B1.4/goes-over",
            "what clients say goes over the bridge as it is, announcements too",
            goes_over,
        )),
        quiet(case(
            "B1.4/from-peers",
            "what comes from peers goes over the bridge, unless it has the other server's address as its uid",
            from_peers,
        )),
        quiet(case(
            "B1.4/not-back",
            "what comes over the bridge does not go back there",
            not_back,
        )),
        quiet(case(
            "B1.5/uid-is-the-address",
            "what comes over the bridge is a new message, whose uid is the other server's address",
            uid_is_the_address,
        )),
        quiet(case(
            "B1.5/announcement",
            "an announcement that comes over the bridge is one of the uid that it names, without auth",
            announcement,
        )),
        quiet(case(
            "B1.5/known-announcement",
            "an announcement of a uid is dropped that has one in the history, and so is the server's own",
            known_announcement,
        )),
        quiet(case(
            "B1.9/hundred",
            "of equal messages in 10 s, those beyond the hundredth are dropped",
            hundred,
        )),
    ]
}

fn goes_over(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let (mut alice, mut over) = bridged(site)?;
    over.hears_announcements = true;
    for message in [
        Message::text("Grüße \u{1f30d}"),
        Message::binary([0, 255, 1]),
        Message::text(""),
    ] {
        let frame = match message.text {
            true => Frame::text(message.payload.clone()),
            false => Frame::binary(message.payload.clone()),
        };
        alice.send(&frame)?;
        over.hears_message(&message)?;
    }
    let _bob = site.bench()?.join("bob")?;
    over.hears_message(&Message::announcement("bob", &channel))
}

fn from_peers(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let (_alice, mut over) = bridged(site)?;
    let url = site.url(0).to_owned();
    let mut link = site.bench()?.link("peer")?;
    link.join(&channel)?;
    let name = Name {
        uid: url,
        ..link.name()
    };
    link.tell(&name, "from there, over another bridge")?;
    link.tells("from a peer")?;
    over.hears("from a peer")
}

fn not_back(site: &mut Site) -> Judged {
    let (mut alice, mut over) = bridged(site)?;
    over.say("from there")?;
    alice.hears("from there")?;
    alice.say("from here")?;
    over.hears("from here")
}

fn uid_is_the_address(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let (mut alice, mut over) = bridged(site)?;
    let url = site.url(0).to_owned();
    let mut link = site.bench()?.link("peer")?;
    link.join(&channel)?;
    over.say("from there")?;
    alice.hears("from there")?;
    let heard = link.hears_text("from there")?;
    let server = link.server();
    match heard.head["uid"] == *url && heard.head["node"] == *server {
        true => Ok(()),
        false => {
            let expected = format!("a message of {url}, accepted at {server}");
            Err(Stop::fail(expected, heard.to_string()))
        }
    }
}

fn announcement(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let (alice, mut over) = bridged(site)?;
    let mut alice = alice.hearing_announcements();
    let mut link = site.bench()?.link("peer")?;
    link.join(&channel)?;
    link.hears_announcements = true;
    let text = format!(r#"{{"uid":"carol","channel":"{channel}","auth":"0123456789abcdef"}}"#);
    over.say(&text)?;
    let announcement = Message::announcement("carol", &channel);
    alice.hears_message(&announcement)?;
    let heard = link.hears(Kind::Message, &channel, "the announcement of carol")?;
    match heard.head["uid"] == "carol"
        && heard
            .payload
            .as_ref()
            .is_some_and(|came| came.equals(&announcement))
    {
        true => Ok(()),
        false => Err(Stop::fail(
            "a message of carol's: her announcement",
            heard.to_string(),
        )),
    }
}

fn known_announcement(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let (alice, mut over) = bridged(site)?;
    let mut alice = alice.hearing_announcements();
    let bench = site.bench()?;
    bench.keeps(4, 100)?;
    let node = bench.link("peer")?.server();
    for uid in ["alice", &node] {
        let announcement = Message::announcement(uid, &channel);
        over.send(&Frame::text(announcement.payload))?;
    }
    over.say("behind them")?;
    alice.hears("behind them")
}

fn hundred(site: &mut Site) -> Judged {
    let (mut alice, mut over) = bridged(site)?;
    let mut said = vec![Frame::text("the same"); 150];
    said.push(Frame::text("another"));
    over.send_together(&said)?;
    let before = alice.until("another")?;
    let same = Message::text("the same");
    match before.len() == 100 && before.iter().all(|message| message.equals(&same)) {
        true => Ok(()),
        false => Err(Stop::fail("the same a hundred times", listed(&before))),
    }
}
