//! Bridges (peering.md, section 10): the judge is a server without peering.

mod crossing;
mod replays;

use crate::bench::lasted;
use crate::case::{Case, Judged, Stop, dialer_case as case};
use crate::session::{Event, Session};
use crate::site::Site;
use crate::stand::header_of;
use crate::target::hash;
use crate::wire::Frame;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(super) fn cases() -> Vec<Case> {
    let mut all = sessions();
    all.extend(crossing::cases());
    all.extend(replays::cases());
    all
}

/// How long nothing comes at the end of a replay (B1.6).
const QUIET: Duration = Duration::from_secs(2);

fn quiet(case: Case) -> Case {
    case.lasts(|_| QUIET)
}

fn sessions() -> Vec<Case> {
    vec![
        case(
            "B1.1/header",
            "a bridged server opens a session for a channel, with its own uid as a node",
            header,
        ),
        case(
            "B1.1/auth",
            "the session's auth is that of the key of the server's clients",
            auth,
        ),
        case(
            "B1.2/each-channel",
            "there is a session for each channel that clients are on",
            each_channel,
        ),
        case(
            "B1.2/four-at-a-time",
            "at most four sessions are being opened at a time",
            four_at_a_time,
        )
        .connections(8)
        .lasts(|_| Duration::from_secs(1)),
        case(
            "B1.2/when-synchronised",
            "a session is opened when the channel is synchronised, not before",
            when_synchronised,
        )
        .lasts(|_| Duration::from_secs(1)),
        quiet(case(
            "B1.2/later-for-a-lower-end",
            "for a channel that a lower end has joined, the session is opened 2 s later",
            later_for_a_lower_end,
        )),
        case(
            "B1.2/stays",
            "the session stays when the last client has left the channel",
            stays,
        ),
        case(
            "B1.3/no-nonce",
            "the request for a session has no nonce",
            no_nonce,
        ),
        case("B1.3/no-pings", "a bridged server sends no pings", no_pings)
            .lasts(|_| Duration::from_secs(12)),
        case(
            "B1.10/tried-again",
            "a session that could not be opened is tried again",
            tried_again,
        ),
        case(
            "B1.10/not-too-often",
            "it is tried again at most ten times in the first ten seconds",
            not_too_often,
        )
        .lasts(|_| Duration::from_secs(10)),
        case(
            "B1.10/refused-for-good",
            "a server that was refused for good does not come again for five minutes",
            refused_for_good,
        )
        .lasts(|_| Duration::from_secs(8)),
        case(
            "B1.10/after-five-minutes",
            "a server that was refused for good comes again after five minutes",
            after_five_minutes,
        )
        .lasts(|_| Duration::from_secs(300)),
    ]
}

/// The next session of the server, behind its header.
fn session(site: &mut Site, within: Duration) -> Judged<(Session, Value)> {
    let dial = site.dial(within)?;
    let mut session = site.session(dial)?;
    let header = header_of(&session.message("a header")?)?;
    session.hears_announcements = false;
    Ok((session, header))
}

/// How long a further try may take: none of the waits is as long in the first seconds.
const AGAIN: Duration = Duration::from_secs(10);

/// Alice on the channel, and the session over the bridge, whose replay, of nothing, is over: what she has said has come.
fn bridged(site: &mut Site) -> Judged<(Session, Session)> {
    site.start(0, 1)?;
    let patience = site.patience();
    let mut alice = site.bench()?.join("alice")?;
    let (mut over, _) = session(site, patience).map_err(Stop::on_the_way)?;
    alice.say(FIRST)?;
    over.connection().patience = patience + QUIET * 5 / 4;
    over.until(FIRST).map_err(Stop::on_the_way)?;
    over.connection().patience = patience;
    Ok((alice, over))
}

const FIRST: &str = "the first";

fn header(site: &mut Site) -> Judged {
    site.start(0, 1)?;
    let channel = site.channel.clone();
    let patience = site.patience();
    let bench = site.bench()?;
    let node = bench.link("peer")?.server();
    let _alice = bench.join("alice")?;
    let (_over, header) = session(site, patience)?;
    match header["uid"] == *node && header["channel"] == *channel {
        true => Ok(()),
        false => {
            let expected = format!("a header with the uid {node} and the channel {channel:?}");
            Err(Stop::fail(expected, header.to_string()))
        }
    }
}

fn auth(site: &mut Site) -> Judged {
    const KEY: &str = "the key of the clients";
    site.key = Some(KEY.into());
    site.start(0, 1)?;
    let patience = site.patience();
    let _alice = site.bench()?.join("alice")?;
    let (_over, header) = session(site, patience)?;
    let text = |name: &str| header[name].as_str().unwrap_or_default();
    let right = hash(&[text("uid"), text("channel"), KEY]);
    match u64::from_str_radix(text("auth"), 16) == Ok(right) {
        true => Ok(()),
        false => Err(Stop::fail(format!("auth {right:016x}"), header.to_string())),
    }
}

fn each_channel(site: &mut Site) -> Judged {
    site.start(0, 1)?;
    let patience = site.patience();
    let bench = site.bench()?;
    let channels = [bench.channel.clone(), bench.another_channel()];
    let _alice = bench.join_on("alice", &channels[0])?;
    let _bob = bench.join_on("bob", &channels[1])?;
    let mut sessions = Vec::new();
    for _ in &channels {
        sessions.push(session(site, patience)?);
    }
    for channel in &channels {
        if !sessions
            .iter()
            .any(|(_, header)| header["channel"] == **channel)
        {
            let came: Vec<_> = sessions
                .iter()
                .map(|(_, header)| header.to_string())
                .collect();
            return Err(Stop::fail(
                format!("a session for {channel:?}"),
                came.join(", "),
            ));
        }
    }
    Ok(())
}

fn four_at_a_time(site: &mut Site) -> Judged {
    site.start(0, 1)?;
    let patience = site.patience();
    let bench = site.bench()?;
    let mut members = Vec::new();
    for _ in 0..6 {
        let channel = bench.another_channel();
        members.push(bench.join_on("alice", &channel)?);
    }
    let mut dials = Vec::new();
    for _ in 0..4 {
        dials.push(site.dial(patience)?);
    }
    if site.connection(Duration::from_secs(1))?.is_some() {
        return Err(Stop::fail(
            "no fifth session before one of four is open",
            "it is dialed",
        ));
    }
    let dial = dials.remove(0);
    let mut session = site.session(dial)?;
    session.message("a header")?;
    site.dial(patience + QUIET).map(drop)
}

fn when_synchronised(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    site.start(1, 1)?;
    let patience = site.patience();
    let mut upstream = site.upstream()?;
    upstream.still_taken()?;
    let _alice = site.bench()?.join("alice")?;
    upstream.joined(&channel).map_err(Stop::on_the_way)?;
    if site.connection(Duration::from_secs(1))?.is_some() {
        return Err(Stop::fail(
            "no session before the channel is synchronised",
            "it is dialed",
        ));
    }
    upstream.reply(&channel, &json!({}))?;
    upstream.done(&channel)?;
    session(site, patience).map(drop)
}

fn later_for_a_lower_end(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    site.start(0, 1)?;
    let patience = site.patience();
    let mut lower = site.bench()?.link("lower")?;
    let began = Instant::now();
    lower.say(lower.join_of(&channel, &json!({})))?;
    let connection = site.connection(QUIET * 5 / 4 + patience)?;
    let Some((_, at, _)) = connection else {
        return Err(Stop::fail(
            "a session for the channel that a lower end has joined",
            "none",
        ));
    };
    lasted(began, at, QUIET, patience, "the session is opened")
}

fn stays(site: &mut Site) -> Judged {
    let (alice, mut over) = bridged(site)?;
    alice.leave();
    over.say("while nobody is there")?;
    let mut bob = site.bench()?.join("bob")?;
    bob.until("while nobody is there")?;
    bob.say("by bob")?;
    over.until("by bob")?;
    match site.connection(Duration::ZERO)? {
        None => Ok(()),
        Some(_) => Err(Stop::fail(
            "the session that was there",
            "another is opened",
        )),
    }
}

fn no_nonce(site: &mut Site) -> Judged {
    site.start(0, 1)?;
    let patience = site.patience();
    let _alice = site.bench()?.join("alice")?;
    let dial = site.dial(patience)?;
    match dial.nonce() {
        None => Ok(()),
        Some(nonce) => Err(Stop::fail(
            "no field Mles-Nonce",
            format!("Mles-Nonce: {nonce}"),
        )),
    }
}

fn no_pings(site: &mut Site) -> Judged {
    let (mut alice, mut over) = bridged(site)?;
    let deadline = Instant::now() + Duration::from_secs(12);
    while let left = deadline.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        match over.next(left)? {
            Some(Event::Ping(_)) => return Err(Stop::fail("no pings", "a ping")),
            Some(end @ (Event::Close(_) | Event::End(_))) => {
                return Err(Stop::fail("the session stays", end.to_string()));
            }
            Some(Event::Message(_) | Event::Pong(_)) | None => {}
        }
    }
    alice.say("still there")?;
    over.until("still there").map(drop)
}

/// Answers a dial as a server that has no room.
fn no_room(site: &mut Site, within: Duration) -> Judged {
    let dial = site.dial(within)?;
    site.no_room(dial)
}

fn tried_again(site: &mut Site) -> Judged {
    site.start(0, 1)?;
    let patience = site.patience();
    let _alice = site.bench()?.join("alice")?;
    no_room(site, patience).map_err(Stop::on_the_way)?;
    no_room(site, AGAIN)?;
    session(site, AGAIN).map(drop)
}

fn not_too_often(site: &mut Site) -> Judged {
    site.start(0, 1)?;
    let patience = site.patience();
    let _alice = site.bench()?.join("alice")?;
    no_room(site, patience).map_err(Stop::on_the_way)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut tries = 0;
    while let left = deadline.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        // Whatever comes of it.
        if let Some((_, _, connection)) = site.connection(left)? {
            tries += 1;
            drop(connection);
        }
    }
    match tries {
        1..=10 => Ok(()),
        _ => Err(Stop::fail(
            "at most ten further tries in 10 s, and one",
            tries.to_string(),
        )),
    }
}

/// The first session is refused for good: the server's user would have to change something.
fn refuse(site: &mut Site) -> Judged<Instant> {
    site.start(0, 1)?;
    let patience = site.patience();
    let _alice = site.bench()?.join("alice")?;
    let (mut over, _) = session(site, patience).map_err(Stop::on_the_way)?;
    over.send(&Frame::close(4001, "ask for the key"))?;
    over.close_frame(patience, "an answer to the close frame")
        .map_err(Stop::on_the_way)?;
    Ok(Instant::now())
}

fn refused_for_good(site: &mut Site) -> Judged {
    refuse(site)?;
    // One that does not mind would have come again by then.
    match site.connection(Duration::from_secs(8))? {
        None => Ok(()),
        Some(_) => Err(Stop::fail(
            "no further session for five minutes",
            "it is dialed again",
        )),
    }
}

fn after_five_minutes(site: &mut Site) -> Judged {
    const FIVE: Duration = Duration::from_secs(300);
    // Somebody has to be interested all the time.
    site.start(0, 1)?;
    let patience = site.patience();
    let mut alice = site.bench()?.join("alice")?;
    let (mut over, _) = session(site, patience).map_err(Stop::on_the_way)?;
    over.send(&Frame::close(4001, "ask for the key"))?;
    let began = Instant::now();
    let deadline = began + FIVE + FIVE / 4 + patience;
    while Instant::now() < deadline {
        // She answers pings.
        alice.next(Duration::from_millis(1))?;
        if let Some((_, at, _)) = site.connection(Duration::from_secs(1))? {
            return lasted(began, at, FIVE, patience, "the session is tried again");
        }
    }
    Err(Stop::fail(
        "the session is tried again after five minutes",
        "it is not",
    ))
}
