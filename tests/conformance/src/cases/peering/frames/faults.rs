//! What is a fault (peering.md, section 3).

use serde_json::json;

use super::{fault, join};
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::cases::peering::keeps_history;
use crate::link::{Kind, Link, Name, random_uid};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![
        case(
            "F1.4/first-tells",
            "what a frame is, the first of the members in the list tells",
            first_tells,
        ),
        case(
            "F1.4/done-of-a-channel-left",
            "that a channel is synchronised which the server has left meanwhile is no fault of its upstream",
            done_of_a_channel_left,
        )
        .company(Company::Alone),
        case(
            "F1.4/leave-of-what-is-not-joined",
            "the leave of a channel that is not joined is no fault",
            |bench| {
                let mut link = bench.link("peer")?;
                link.say(link.leave_of(&bench.channel))?;
                link.still_works()
            },
        ),
        case(
            "F1.4/payload-not-utf8",
            "a text payload that is not UTF-8 ends the link with 1007",
            payload_not_utf8,
        ),
        case(
            "F1.4/turn-is-false",
            "a frame whose `turn` is false is a path",
            |bench| {
                let path = random_uid();
                bench.beneath(&[], |bench, upstream| {
                    let turn = upstream.turn_of(std::slice::from_ref(&path));
                    upstream.say(turn.replacen("true}", "false}", 1))?;
                    bench.has_path(&[path, upstream.uid.clone()])
                })
            },
        )
        .company(Company::Alone),
    ];
    all.extend(faults_of_the_lower_end());
    all.extend(faults_of_the_upper_end());
    all
}

fn faults_of_the_lower_end() -> Vec<Case> {
    type Make = fn(&mut Link) -> String;
    let frames: [(&'static str, &str, Make); 17] = [
        ("F1.4/nothing", "an object without members", |_| "{}".into()),
        (
            "F1.4/path-from-below",
            "a path from the lower end",
            |link| link.path_of(&[]),
        ),
        (
            "F1.4/done-from-below",
            "`done` from the lower end",
            |link| {
                let channel = link.name().channel;
                link.done_of(&channel)
            },
        ),
        ("F1.4/second-handshake", "a second handshake", |link| {
            link.handshake().to_string()
        }),
        (
            "F1.4/join-of-another-node",
            "a join in the name of another node",
            |link| in_another_name(link, join),
        ),
        (
            "F1.4/leave-of-another-node",
            "a leave in the name of another node",
            |link| {
                in_another_name(link, |link| {
                    let channel = link.name().channel;
                    link.leave_of(&channel)
                })
            },
        ),
        (
            "F1.4/turn-of-another-node",
            "a turn in the name of another node",
            |link| in_another_name(link, |link| link.turn_of(&[])),
        ),
        ("F1.4/join-without-uid", "a join without a uid", |link| {
            let uid = format!(r#""uid":"{}","#, link.uid);
            join(link).replacen(&uid, "", 1)
        }),
        (
            "F1.4/join-of-no-channel",
            "the join of a channel without a name",
            |link| link.join_of("", &json!({})),
        ),
        (
            "F1.4/have-is-no-object",
            "a join whose `have` is an array",
            |link| {
                let channel = link.name().channel;
                link.join_of(&channel, &json!([]))
            },
        ),
        (
            "F1.4/have-is-no-number",
            "a join whose `have` holds a number as a text",
            |link| {
                let channel = link.name().channel;
                link.join_of(&channel, &json!({random_uid(): "1"}))
            },
        ),
        (
            "F1.4/have-is-negative",
            "a join whose `have` holds a number below 0",
            |link| {
                let channel = link.name().channel;
                link.join_of(&channel, &json!({random_uid(): -1}))
            },
        ),
        (
            "F1.4/message-with-peer",
            "a message whose header has a member `peer`",
            |link| link.name().to_string().replacen('{', r#"{"peer":true,"#, 1),
        ),
        (
            "F1.4/message-without-seq",
            "a message whose header has no `seq`",
            |link| link.name().to_string().replacen(r#""seq":"#, r#""no":"#, 1),
        ),
        (
            "F1.4/have-of-no-node",
            "a join whose `have` names what is no uid",
            |link| {
                let channel = link.name().channel;
                link.join_of(&channel, &json!({"eve": 1}))
            },
        ),
        (
            "F1.4/message-of-no-node",
            "a message whose origin is no uid",
            |link| {
                Name {
                    node: "eve".into(),
                    ..link.name()
                }
                .to_string()
            },
        ),
        ("F1.4/turn-with-no-path", "a turn without a path", |link| {
            link.turn_of(&[]).replacen(r#""path":[],"#, "", 1)
        }),
    ];
    let made =
        frames.map(|(name, what, make)| fault(name, what, move |link| Frame::text(make(link))));
    made.into()
}

fn in_another_name(link: &mut Link, make: impl Fn(&mut Link) -> String) -> String {
    let uid = std::mem::replace(&mut link.uid, random_uid());
    let frame = make(link);
    link.uid = uid;
    frame
}

fn faults_of_the_upper_end() -> Vec<Case> {
    type Make = fn(&mut Link) -> String;
    let frames: [(&'static str, &str, Make); 7] = [
        (
            "F1.4/turn-from-above",
            "a turn from the upper end",
            |link| link.turn_of(&[]),
        ),
        (
            "F1.4/handshake-from-above",
            "a second handshake, from the upper end",
            |link| link.handshake().to_string(),
        ),
        (
            "F1.4/done-is-false",
            "a frame whose `done` is false",
            |link| {
                let channel = link.name().channel;
                link.done_of(&channel).replacen("true}", "false}", 1)
            },
        ),
        (
            "F1.4/turn-is-a-number",
            "a path whose `turn` is a number",
            |link| link.turn_of(&[]).replacen("true}", "1}", 1),
        ),
        ("F1.4/path-of-names", "a path that is not of uids", |link| {
            link.path_of(&["eve".to_owned()])
        }),
        (
            "F1.4/reply-that-nobody-asked-for",
            "a reply that nobody has asked for",
            |link| join(link),
        ),
        (
            "F1.4/path-of-another-node",
            "a path in the name of another node",
            |link| in_another_name(link, |link| link.path_of(&[])),
        ),
    ];
    let made = frames.map(|(name, what, make)| {
        case(
            name,
            format!("{what} ends the link with 4012"),
            move |bench| {
                bench.beneath(&[], |_, upstream| {
                    let frame = make(upstream);
                    upstream.say(frame)?;
                    upstream.closed(4012).map(drop)
                })
            },
        )
        .company(Company::Alone)
    });
    made.into()
}

fn first_tells(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let mut link = bench.link("peer")?;
    // `have` comes before `done`.
    let both = join(&mut link).replacen('{', r#"{"done":true,"#, 1);
    link.say(both)?;
    link.hears(Kind::Join, &channel, "the reply to its join")?;
    link.hears(Kind::Done, &channel, "that the channel is synchronised")?;
    // `"peer":false` comes before `have`: the channel is left, and there is nothing to be replied to.
    let left = join(&mut link).replacen("true", "false", 1);
    link.say(left)?;
    let other = bench.another_channel();
    link.minds(&other);
    link.say(link.join_of(&other, &json!({})))?;
    link.hears(
        Kind::Join,
        &other,
        "the reply to its second join, and none to its leave",
    )?;
    Ok(())
}

fn done_of_a_channel_left(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let channel = bench.channel.clone();
    let (alice, bob) = bench.pair()?;
    alice.leave();
    bob.leave();
    bench.beneath(&[], |bench, upstream| {
        // Nobody is on it: it is joined for its history, and left as soon as it is synchronised (C1.3).
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &json!({}))?;
        upstream.done(&channel)?;
        let left = upstream.until("that the channel is left", |heard| {
            heard.is(Kind::Leave, &channel)
        });
        left.map_err(Stop::on_the_way)?;
        upstream.done(&channel)?;
        let other = bench.another_channel();
        upstream.minds(&other);
        let _carol = bench.join_on("carol", &other)?;
        upstream.joined(&other).map(drop)
    })
}

fn payload_not_utf8(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let name = link.name();
    link.session
        .send_together(&[Frame::text(name.to_string()), Frame::text([0xff, 0xfe])])?;
    link.closed(1007)?;
    // Nor was it taken.
    let mut other = bench.link("other")?;
    other.join(&bench.channel)?;
    let marker = bench.marker();
    other.tells(&marker)?;
    alice.hears(&marker)
}
