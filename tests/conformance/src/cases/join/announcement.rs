//! How a join is told (section 5.3).

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Event, Message, Session, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "J3.3/to-every-other-member",
            "a join is announced to every other member",
            to_every_other_member,
        ),
        case(
            "J3.3/before-the-first-message",
            "a join is announced before what the joiner says",
            before_the_first_message,
        ),
        case(
            "J3.3/again",
            "who joins again is announced again",
            announced_again,
        ),
        case(
            "J3.4/not-to-the-joiner",
            "a joiner does not receive the announcement of its own join",
            not_to_the_joiner,
        ),
        case(
            "J3.5/stored-in-its-place",
            "announcements are in the history, between the messages where they were accepted",
            stored_in_its_place,
        )
        .connections(4),
        case(
            "J3.6/one-for-each-uid",
            "of several joins of a uid the history holds the latest announcement alone",
            one_for_each_uid,
        )
        .connections(4),
        case(
            "J3.7/joins-push-out-no-messages",
            "a history full of messages loses none of them to joins",
            joins_push_out_no_messages,
        ),
        case(
            "J3.7/messages-push-out-no-announcements",
            "a history loses no announcements to messages, however many",
            messages_push_out_no_announcements,
        ),
        case(
            "J3.7/as-many-as-the-limit",
            "a history keeps the newest announcements up to the limit, and no more",
            as_many_as_the_limit,
        )
        .connections(10)
        .lasts(|limits| Duration::from_millis(limits.limit.min(JOINS_MAX) * 10)),
        case(
            "J3.8/distributed",
            "a message that equals its sender's own announcement is distributed like every message",
            own_form_distributed,
        ),
        case(
            "J3.8/stored-as-the-announcement",
            "a message that equals its sender's own announcement takes the place of that one in the history",
            own_form_stored,
        ),
    ];
    for (name, what, make) in OTHERS {
        let title = format!("{what} is a message in the history");
        cases.push(case(format!("J3.9/{name}"), title, move |bench| {
            a_message(bench, make)
        }));
    }
    cases.sort_by_key(|case| crate::clause::rank(case.clause_id()));
    cases
}

fn is_announced(came: &[Message], bench: &Bench, uid: &str, to: &str) -> Judged {
    let form = Message::announcement(uid, &bench.channel);
    match came.iter().filter(|message| message.equals(&form)).count() {
        1 => Ok(()),
        _ => Err(Stop::fail(
            format!("{to} receives {form}, once"),
            listed(came),
        )),
    }
}

fn to_every_other_member(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.hears_announcements = true;
    bob.hears_announcements = true;
    let mut carol = bench.join("carol")?;
    let marker = bench.marker();
    carol.say(&marker)?;
    for member in [&mut alice, &mut bob] {
        let came = member.until(&marker).map_err(Stop::on_the_way)?;
        is_announced(&came, bench, "carol", member.who())?;
    }
    Ok(())
}

fn before_the_first_message(bench: &mut Bench) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    alice.hears_announcements = true;
    let mut carol = bench.open("carol")?;
    let frames = [
        Frame::text(bench.header("carol")),
        Frame::text("hello, I am carol"),
    ];
    carol.send_together(&frames)?;
    let announcement = Message::announcement("carol", &bench.channel);
    alice.hears_all(&[announcement, Message::text("hello, I am carol")])
}

fn announced_again(bench: &mut Bench) -> Judged {
    let (mut alice, bob) = bench.pair()?;
    alice.hears_announcements = true;
    bob.leave();
    for _ in 0..2 {
        let mut bob = bench.join("bob")?;
        let marker = bench.marker();
        bob.say(&marker)?;
        let came = alice.until(&marker).map_err(Stop::on_the_way)?;
        is_announced(&came, bench, "bob", "alice")?;
        bob.leave();
    }
    Ok(())
}

fn not_to_the_joiner(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.join("carol")?.hearing_announcements();
    let marker = bench.marker();
    carol.say(&marker)?;
    alice.until(&marker).map_err(Stop::on_the_way)?;
    bob.until(&marker).map_err(Stop::on_the_way)?;
    // Her join was accepted before this.
    let came = bench.fence(&mut alice, &mut carol)?;
    let own = Message::announcement("carol", &bench.channel);
    match came.iter().any(|message| message.equals(&own)) {
        false => Ok(()),
        true => Err(Stop::fail(
            "carol does not receive the announcement of her own join",
            listed(&came),
        )),
    }
}

/// What a new session is replayed, its announcements too.
fn replayed(bench: &mut Bench, speaker: &mut Session) -> Judged<Vec<Message>> {
    let (came, _late) = bench.replay("late", speaker)?;
    Ok(came)
}

/// The history is this.
fn is_history(came: &[Message], expected: &[Message]) -> Judged {
    let same = came.len() == expected.len()
        && came
            .iter()
            .zip(expected)
            .all(|(came, expected)| came.equals(expected));
    match same {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("the replay is {}", listed(expected)),
            listed(came),
        )),
    }
}

/// A member that was there first, and has heard another say that it is here.
fn alice_and(bench: &Bench, uid: &str, alice: &mut Session) -> Judged<Session> {
    let mut other = bench.join(uid)?;
    other.say(&format!("{uid} is here"))?;
    alice
        .until(&format!("{uid} is here"))
        .map_err(Stop::on_the_way)?;
    Ok(other)
}

/// What came before alice and bob had met, in whatever order, and what came since.
fn since_met(mut came: Vec<Message>) -> Judged<(Vec<Message>, Vec<Message>)> {
    let met = Message::text(Bench::HERE);
    let at = came.iter().position(|message| message.equals(&met));
    let at = at.ok_or_else(|| Stop::Inconclusive(format!("replayed: {}", listed(&came))))?;
    let since = came.split_off(at + 1);
    Ok((came, since))
}

fn stored_in_its_place(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    alice.say("before")?;
    bob.hears("before").map_err(Stop::on_the_way)?;
    let mut carol = alice_and(bench, "carol", &mut alice)?;
    alice.say("after")?;
    carol.until("after").map_err(Stop::on_the_way)?;
    let (_, since) = since_met(replayed(bench, &mut alice)?)?;
    let expected = [
        Message::text("before"),
        Message::announcement("carol", &bench.channel),
        Message::text("carol is here"),
        Message::text("after"),
    ];
    is_history(&since, &expected)
}

fn one_for_each_uid(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let carol = alice_and(bench, "carol", &mut alice)?;
    alice.say("between")?;
    bob.until("between").map_err(Stop::on_the_way)?;
    carol.leave();
    let mut again = bench.join("carol")?;
    again.say("carol is back")?;
    alice.until("carol is back").map_err(Stop::on_the_way)?;
    let (_, since) = since_met(replayed(bench, &mut alice)?)?;
    let expected = [
        Message::text("carol is here"),
        Message::text("between"),
        Message::announcement("carol", &bench.channel),
        Message::text("carol is back"),
    ];
    is_history(&since, &expected)
}

/// More joins than this take too long.
const JOINS_MAX: u64 = 400;

/// How many messages there are in a full history.
fn limit(bench: &Bench) -> Judged<u64> {
    let limit = bench.limits().limit;
    if limit > 2000 || limit * 20 > bench.limits().outbox {
        let why = "the server's limit is too high to be reached quickly";
        return Err(Stop::Skip(why.into()));
    }
    bench.keeps(4, 0)?;
    // Twice as many entries, announcements being longer.
    bench.keeps(limit, limit * 512)?;
    Ok(limit)
}

fn joins_push_out_no_messages(bench: &mut Bench) -> Judged {
    let limit = limit(bench)?;
    let (mut alice, mut bob) = bench.pair()?;
    let messages: Vec<_> = (0..limit)
        .map(|number| Message::text(&format!("message {number}")))
        .collect();
    let frames: Vec<_> = messages
        .iter()
        .map(|message| Frame::text(message.payload.clone()))
        .collect();
    alice.send_together(&frames)?;
    bob.hears_all(&messages).map_err(Stop::on_the_way)?;
    for uid in ["carol", "dave", "eve"] {
        // Its replay shows that it has joined.
        let mut joiner = bench.join(uid)?;
        joiner.hears_all(&messages)?;
        joiner.leave();
    }
    bench.join("late")?.hears_all(&messages)
}

fn messages_push_out_no_announcements(bench: &mut Bench) -> Judged {
    let limit = limit(bench)?;
    let mut alice = bench.join("alice")?;
    let mut bob = alice_and(bench, "bob", &mut alice)?;
    for number in 0..limit + 3 {
        alice.say(&format!("message {number}"))?;
    }
    let last = format!("message {}", limit + 2);
    bob.until(&last).map_err(Stop::on_the_way)?;
    let came = replayed(bench, &mut bob)?;
    for uid in ["alice", "bob"] {
        is_announced(&came, bench, uid, "a late joiner")?;
    }
    Ok(())
}

fn as_many_as_the_limit(bench: &mut Bench) -> Judged {
    let limit = limit(bench)?;
    let joins = limit + 3;
    let rate = bench.limits().rate_limit;
    if limit > JOINS_MAX || rate.is_some_and(|rate| rate < joins + 10) {
        let why = format!("it takes {joins} joins, which the server's limits make too slow");
        return Err(Stop::Skip(why));
    }
    let mut watcher = bench.join("watcher")?.hearing_announcements();
    let shared = &*bench;
    let mut live = Vec::new();
    // Several at a time, since each takes some round trips.
    let (done, heard) = thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|worker| {
                scope.spawn(move || {
                    (0..joins)
                        .filter(|number| number % 6 == worker)
                        .try_for_each(|number| {
                            let joiner = shared.join(&format!("joiner {number}"))?;
                            joiner.leave();
                            Ok(())
                        })
                })
            })
            .collect();
        // Meanwhile the watcher listens, and answers pings.
        let mut heard = Ok(());
        while heard.is_ok() && !workers.iter().all(|worker| worker.is_finished()) {
            heard = listens(&mut watcher, &mut live);
        }
        let mut done = workers.into_iter().map(|worker| worker.join());
        let panicked = || Err(Stop::Inconclusive("the judge has panicked".into()));
        let done = done.try_for_each(|done| done.unwrap_or_else(|_| panicked()));
        (done, heard)
    });
    done?;
    heard?;
    // What was announced live, in its order, is what the history ends with.
    watcher.say("all have been here")?;
    let mut speaker = bench.join("speaker")?;
    speaker
        .until("all have been here")
        .map_err(Stop::on_the_way)?;
    speaker.say("they have")?;
    live.extend(watcher.until("they have").map_err(Stop::on_the_way)?);
    live.retain(|message| message.announces_on(&bench.channel));
    let kept = usize::try_from(limit).unwrap_or(usize::MAX);
    if live.len() <= kept {
        let why = format!("{} announcements of {joins} joins were heard", live.len());
        return Err(Stop::Inconclusive(why));
    }
    let expected = live.split_off(live.len() - kept);
    let mut came = replayed(bench, &mut speaker)?;
    came.retain(|message| message.announces_on(&bench.channel));
    let expected_last = listed(&expected[kept - 1..]);
    match is_history(&came, &expected) {
        Ok(()) => Ok(()),
        Err(_) => Err(Stop::fail(
            format!("the newest {kept} announcements are replayed, the last {expected_last}"),
            format!("{} announcements: {}", came.len(), listed(&came)),
        )),
    }
}

/// What a member hears for a moment.
fn listens(member: &mut Session, heard: &mut Vec<Message>) -> Judged {
    const MOMENT: Duration = Duration::from_millis(50);
    match member.next(MOMENT)? {
        Some(Event::Message(message)) => heard.push(message),
        Some(Event::Ping(_) | Event::Pong(_)) | None => {}
        Some(end @ (Event::Close(_) | Event::End(_))) => {
            let why = format!("{} is gone: {end}", member.who());
            return Err(Stop::Inconclusive(why));
        }
    }
    Ok(())
}

fn own_form_distributed(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    bob.hears_announcements = true;
    let own = Message::announcement("alice", &bench.channel);
    alice.send(&Frame::text(own.payload.clone()))?;
    alice.say("behind it")?;
    let came = bob.until("behind it").map_err(Stop::on_the_way)?;
    match came.as_slice() {
        [one] if one.equals(&own) => Ok(()),
        other => Err(Stop::fail(format!("bob receives {own}"), listed(other))),
    }
}

fn own_form_stored(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let mut alice = bench.join("alice")?;
    let mut bob = alice_and(bench, "bob", &mut alice)?;
    let own = Message::announcement("alice", &bench.channel);
    alice.send(&Frame::text(own.payload.clone()))?;
    alice.say("behind it")?;
    bob.until("behind it").map_err(Stop::on_the_way)?;
    let came = replayed(bench, &mut bob)?;
    let expected = [
        Message::announcement("bob", &bench.channel),
        Message::text("bob is here"),
        own,
        Message::text("behind it"),
    ];
    is_history(&came, &expected)
}

type Make = fn(&str) -> Message;

/// What looks like an announcement of alice's and is none.
const OTHERS: [(&str, &str, Make); 6] = [
    (
        "another-uid",
        "the announcement of another uid",
        |channel| Message::announcement("bob", channel),
    ),
    (
        "another-channel",
        "an announcement on another channel",
        |channel| Message::announcement("alice", &format!("not {channel}")),
    ),
    (
        "another-member",
        "what has another member beside uid and channel",
        |channel| {
            let channel = json!(channel);
            Message::text(&format!(
                r#"{{"uid":"alice","channel":{channel},"more":true}}"#
            ))
        },
    ),
    (
        "another-order",
        "what has uid and channel in the other order",
        |channel| {
            let channel = json!(channel);
            Message::text(&format!(r#"{{"channel":{channel},"uid":"alice"}}"#))
        },
    ),
    (
        "white-space",
        "the own announcement with white space",
        |channel| {
            let channel = json!(channel);
            Message::text(&format!(r#"{{"uid": "alice", "channel": {channel}}}"#))
        },
    ),
    (
        "binary",
        "the own announcement as a binary frame",
        |channel| Message::binary(Message::announcement("alice", channel).payload),
    ),
];

/// Alice says this twice: both are kept, and the announcements too.
fn a_message(bench: &mut Bench, make: Make) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let message = make(&bench.channel);
    let frame = match message.text {
        true => Frame::text(message.payload.clone()),
        false => Frame::binary(message.payload.clone()),
    };
    alice.send_together(&[
        frame.clone(),
        Frame::text("between"),
        frame,
        Frame::text("behind"),
    ])?;
    bob.until("behind").map_err(Stop::on_the_way)?;
    let (before, since) = since_met(replayed(bench, &mut bob)?)?;
    let expected = [
        message.clone(),
        Message::text("between"),
        message,
        Message::text("behind"),
    ];
    is_history(&since, &expected)?;
    for uid in ["alice", "bob"] {
        is_announced(&before, bench, uid, "a late joiner")?;
    }
    Ok(())
}
