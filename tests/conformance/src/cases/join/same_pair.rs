//! Which sessions are of one pair (J1.1).

use std::time::{Duration, Instant};

use serde_json::json;

use super::pair::stays;
use crate::Message;
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::Event;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "J1.1/one-member",
            "of two sessions with one uid on one channel at most one is a member",
            |bench| one_member(bench, |bench| bench.header("alice")),
        ),
        case(
            "J1.1/spelled-otherwise",
            "two headers that spell the same names differently mean the same pair",
            |bench| one_member(bench, spelled_otherwise),
        ),
        case(
            "J1.1/auth-spelled-otherwise",
            "two headers that differ in their auth mean the same pair",
            |bench| one_member(bench, auth_otherwise),
        ),
        case(
            "J1.1/another-channel",
            "the same uid on another channel is another pair",
            |bench| {
                let channel = bench.another_channel();
                two_members(bench, "alice", &channel)
            },
        )
        .connections(4),
        case(
            "J1.1/same-when-put-together",
            "two pairs whose uid and channel make the same text when put together are two pairs",
            |bench| {
                let (first, rest) = bench.channel.split_at(1);
                let (uid, channel) = (format!("alice{first}"), rest.to_owned());
                two_members(bench, &uid, &channel)
            },
        )
        .connections(4),
    ]
}

pub(super) const SECOND: &str = "from the second session";
const FIRST: &str = "from the first session";

/// Alice is a member, and a second session comes with this header.
fn one_member(bench: &mut Bench, header: impl Fn(&Bench) -> String) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut second = bench.open("second")?;
    second.send_together(&[Frame::text(header(bench)), Frame::text(SECOND)])?;
    // Either is closed in the end, or the second is heard.
    let deadline = Instant::now() + bench.limits().probe_timeout + bench.patience();
    let (mut heard, mut closed) = (false, false);
    while !heard && !closed {
        if Instant::now() > deadline {
            let why = "neither of the two sessions was closed, and nothing of the second was heard";
            return Err(Stop::Inconclusive(why.into()));
        }
        closed |= is_over(second.next(STEP)?.as_ref());
        closed |= is_over(alice.next(STEP)?.as_ref());
        heard |= says(bob.next(STEP)?.as_ref(), SECOND);
    }
    // Whether the first is a member beside it shows when it speaks.
    alice.say(FIRST)?;
    let deadline = Instant::now() + bench.patience();
    loop {
        let event = bob.next(STEP)?;
        heard |= says(event.as_ref(), SECOND);
        if says(event.as_ref(), FIRST) {
            break;
        }
        if is_over(alice.next(STEP)?.as_ref()) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let why = "the first session was not closed, and is not heard";
            return Err(Stop::Inconclusive(why.into()));
        }
    }
    match heard {
        false => Ok(()),
        true => Err(Stop::fail(
            "one of the two sessions is a member",
            "bob has received the messages of both",
        )),
    }
}

pub(super) const STEP: Duration = Duration::from_millis(20);

fn is_over(event: Option<&Event>) -> bool {
    matches!(event, Some(Event::Close(_) | Event::End(_)))
}

pub(super) fn says(event: Option<&Event>, text: &str) -> bool {
    matches!(event, Some(Event::Message(message)) if message.equals(&Message::text(text)))
}

fn spelled_otherwise(bench: &Bench) -> String {
    let header = bench.header("alice");
    let auth = header.find(r#","auth""#);
    let auth = auth.map_or("", |at| &header[at..header.len() - 1]);
    let channel = json!(bench.channel);
    format!(r#" {{ "more": [1], "channel" : {channel}, "uid":"\u0061lice"{auth}}}"#)
}

fn auth_otherwise(bench: &Bench) -> String {
    let (names, hash) = (
        format!(r#"{{"uid":"alice","channel":{}"#, json!(bench.channel)),
        bench.target().hash("alice", &bench.channel),
    );
    // Without a key the first has none, and with a key it is in lower case.
    format!(r#"{names},"auth":"{hash:016X}"}}"#)
}

/// Alice's pair and this one have a member each.
fn two_members(bench: &mut Bench, uid: &str, channel: &str) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut second = bench.join_on(uid, channel)?;
    let mut third = bench.join_on("third", channel)?;
    let expected = "the second session is a member of its channel";
    let met = bench.meet(&mut second, &mut third);
    met.map_err(|stop| match stop {
        Stop::Inconclusive(why) => Stop::fail(expected, why),
        Stop::Fail { .. } | Stop::Skip(_) => stop,
    })?;
    stays(bench.fence(&mut alice, &mut bob))?;
    stays(bench.fence(&mut bob, &mut alice))?;
    Ok(())
}
