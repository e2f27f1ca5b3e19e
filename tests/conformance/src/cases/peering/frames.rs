//! Frames and faults (peering.md, section 3).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Handshake, Kind, Link, MINUTE, NUMBER_MOST, Name, Said, random_uid};
use crate::session::{Message, listed};
use crate::wire::{Frame, Length, head};

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![
        case(
            "F1.1/written-otherwise",
            "the members of a frame may stand in any order, with spaces and any escapes",
            |bench| {
                works(bench, |link| {
                    let channel = escaped(&link.name().channel);
 let uid = &link.uid;
                    format!("\r\n {{ \"have\" : {{ }} ,\t\"peer\":true, \"channel\":\"{channel}\",\"uid\":\"{uid}\" }} ")
                })
            },
        ),
        case(
            "F1.1/other-members",
            "members that mean nothing in a frame are ignored",
            |bench| {
                works(bench, |link| {
                    let more = r#""comment":[[{"a":null}]],"seq":"one","max":{},"#;
                    join(link).replacen('{', &format!("{{{more}"), 1)
                })
            },
        ),
        case(
            "F1.1/64-kib",
            "a frame of 64 KiB is taken",
            |bench| works(bench, |link| padded(&join(link), 64 << 10)),
        ),
        case(
            "F1.1/as-it-should-be",
            "the server writes frames in the order of the table, without spaces, with the escapes of J3.2",
            as_it_should_be,
        ),
        fault("F1.1/too-long", "a frame above 64 KiB", |link| {
            Frame::text(padded(&join(link), (64 << 10) + 1))
        }),
        fault("F1.1/repeated-member", "a frame with a member twice", |link| {
            Frame::text(join(link).replacen('{', r#"{"have":{},"#, 1))
        }),
        fault("F1.1/binary", "a binary frame", |link| Frame::binary(join(link))),
        fault("F1.1/empty", "an empty frame", |_| Frame::text("")),
        fault("F1.1/no-object", "a frame that is no object", |link| {
            Frame::text(format!("[{}]", join(link)))
        }),
        fault("F1.1/behind-the-object", "a frame with something behind the object", |link| {
            Frame::text(join(link) + "x")
        }),
        case(
            "F1.2/no-numbers",
            "a message whose seq or ts is not a whole number from 1 to 2^53 - 1, in digits, ends the link with 4012",
            no_numbers,
        ),
        case(
            "F1.2/greatest-seq",
            "2^53 - 1 is a seq like any other",
            greatest_seq,
        ),
        case(
            "F1.2/longest-names",
            "the uid and the channel of a message may be 4096 bytes long together",
            longest_names,
        ),
        fault("F1.2/names-too-long", "a message whose uid and channel are 4097 bytes long together", |link| {
            let mut name = link.name();
            name.uid = "u".repeat(4097 - name.channel.len());
            Frame::text(name.to_string())
        }),
        case(
            "F1.2/have-of-0",
            "`have` may say 0 of an origin",
            |bench| {
                works(bench, |link| {
                    let channel = link.name().channel;
                    link.join_of(&channel, &json!({random_uid(): 0}))
                })
            },
        ),
        case(
            "F1.2/longest-channel",
            "a channel of 4096 bytes can be joined",
            |bench| {
                let channel = format!("{:x<4096}", bench.channel);
                let mut link = bench.link("peer")?;
                link.join_having(&channel, &json!({})).map(drop)
            },
        ),
        fault("F1.2/channel-too-long", "the join of a channel of 4097 bytes", |link| {
            let channel = format!("{:x<4097}", link.name().channel);
            Frame::text(link.join_of(&channel, &json!({})))
        }),
        fault("F1.2/uid-empty", "a message whose uid is empty", |link| {
            Frame::text(Name { uid: String::new(), ..link.name() }.to_string())
        }),
        fault("F1.2/uid-with-nul", "a message whose uid holds U+0000", |link| {
            Frame::text(Name { uid: "e\0ve".into(), ..link.name() }.to_string())
        }),
        fault("F1.2/half-a-surrogate-pair", "a message whose uid holds half a surrogate pair", |link| {
            Frame::text(link.name().to_string().replacen(r#""eve""#, r#""\ud83d""#, 1))
        }),
        case(
            "F1.2/announcement-goes",
            "the announcement of a client's join goes to the peers as a message",
            announcement_goes,
        ),
        case(
            "F1.2/announcement-comes",
            "an announcement that comes over a link reaches the members, and is stored as one",
            announcement_comes,
        ),
        case(
            "F1.3/whatever-it-holds",
            "what comes behind the header of a message is its payload, whatever it looks like",
            whatever_it_holds,
        ),
        case(
            "F1.3/goes-as-it-is",
            "the payload of a message goes to the peers with the type and the bytes that it has",
            goes_as_it_is,
        ),
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
    ];
    all.extend(faults_of_the_lower_end());
    all.extend(faults_of_the_upper_end());
    all
}

/// A case in which a frame of a peer ends the link.
fn fault(
    name: &'static str,
    what: &str,
    frame: impl Fn(&mut Link) -> Frame + Send + Sync + 'static,
) -> Case {
    case(
        name,
        format!("{what} ends the link with 4012"),
        move |bench| {
            let mut link = bench.link("peer")?;
            let frame = frame(&mut link);
            link.session.send(&frame)?;
            link.closed(4012).map(drop)
        },
    )
}

/// The join of the case's channel is answered if it is written in this way.
fn works(bench: &Bench, frame: impl Fn(&mut Link) -> String) -> Judged {
    let mut link = bench.link("peer")?;
    let frame = frame(&mut link);
    link.say(frame)?;
    let channel = bench.channel.clone();
    link.hears(Kind::Join, &channel, "the reply to its join")?;
    link.hears(Kind::Done, &channel, "that the channel is synchronised")?;
    Ok(())
}

/// The join of the case's channel.
fn join(link: &mut Link) -> String {
    let channel = link.name().channel;
    link.join_of(&channel, &json!({}))
}

/// A text, each character of which is written as an escape.
fn escaped(text: &str) -> String {
    text.encode_utf16()
        .map(|unit| format!("\\u{unit:04X}"))
        .collect()
}

/// The same frame with a member that makes it this long.
fn padded(frame: &str, length: usize) -> String {
    let padding = "x".repeat(length - frame.len() - r#""x":"","#.len());
    frame.replacen('{', &format!(r#"{{"x":"{padding}","#), 1)
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

fn as_it_should_be(bench: &mut Bench) -> Judged {
    let channel = format!(
        "{} \"/\\\u{1}\u{8}\u{1f}\n\u{7f}\u{1f30d}",
        bench.another_channel()
    );
    let uid = "\"al\tice\"";
    let mut link = bench.link("peer")?;
    link.hears_announcements = true;
    link.minds(&channel);
    let exactly = |came: &str, right: String| match came == right {
        true => Ok(()),
        false => Err(Stop::fail(right, came)),
    };
    link.say(link.join_of(&channel, &json!({})))?;
    let reply = link.hears(Kind::Join, &channel, "the reply to its join")?;
    let server = link.server();
    let names = format!(
        r#"{{"uid":"{server}","channel":{},"peer":true"#,
        json!(channel)
    );
    exactly(
        &reply.text,
        format!(r#"{names},"have":{}}}"#, reply.head["have"]),
    )?;
    let done = link.hears(Kind::Done, &channel, "that the channel is synchronised")?;
    exactly(&done.text, format!(r#"{names},"done":true}}"#))?;
    let mut alice = bench.join_on(uid, &channel)?;
    alice.say("hello")?;
    for expected in ["the announcement of alice", "what alice says"] {
        let heard = link.hears(Kind::Message, &channel, expected)?;
        let (seq, ts) = (heard.seq(), heard.ts());
        let name = Name {
            uid: uid.into(),
            channel: channel.clone(),
            node: server.clone(),
            seq,
            ts,
        };
        exactly(&heard.text, name.to_string())?;
    }
    Ok(())
}

fn no_numbers(bench: &mut Bench) -> Judged {
    let beyond = (NUMBER_MOST + 1).to_string();
    for number in ["0", &beyond, "-1", "1.5", "1.0", "1e3", r#""1""#, "null"] {
        for member in ["seq", "ts"] {
            let mut link = bench.link("peer")?;
            link.join(&bench.channel)?;
            let name = link.name();
            let right = match member {
                "seq" => format!(r#""seq":{}"#, name.seq),
                _ => format!(r#""ts":{}"#, name.ts),
            };
            let wrong = format!(r#""{member}":{number}"#);
            link.say(name.to_string().replacen(&right, &wrong, 1))?;
            link.closed(4012)?;
        }
    }
    Ok(())
}

/// What is told with this name reaches alice.
fn reaches(bench: &mut Bench, change: impl FnOnce(&mut Name)) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    let mut name = link.name();
    change(&mut name);
    let marker = bench.marker();
    link.tell(&name, &marker)?;
    alice.hears(&marker)
}

fn greatest_seq(bench: &mut Bench) -> Judged {
    reaches(bench, |name| name.seq = NUMBER_MOST)
}

fn longest_names(bench: &mut Bench) -> Judged {
    reaches(bench, |name| {
        name.uid = "u".repeat(4096 - name.channel.len());
    })
}

/// The announcement of a uid on the case's channel (J3.1).
fn announcement(bench: &Bench, uid: &str) -> String {
    format!(r#"{{"uid":"{uid}","channel":"{}"}}"#, bench.channel)
}

fn announcement_goes(bench: &mut Bench) -> Judged {
    let mut link = bench.link("peer")?;
    link.hears_announcements = true;
    link.join(&bench.channel)?;
    let mut alice = bench.join("alice")?;
    let marker = bench.marker();
    alice.say(&marker)?;
    let heard = link.hears_text(&announcement(bench, "alice"))?;
    if heard.head["uid"] != "alice" || heard.seq() == 0 || heard.ts() == 0 {
        let expected = "a header with the uid alice, a seq and a ts";
        return Err(Stop::fail(expected, heard.to_string()));
    }
    link.hears_text(&marker).map(drop)
}

fn announcement_comes(bench: &mut Bench) -> Judged {
    let (mut link, alice) = bench.link_and_alice()?;
    let mut alice = alice.hearing_announcements();
    let announcement = announcement(bench, "eve");
    // A second one takes the place of the first (J3.6), behind what was said between.
    for text in [&*announcement, "between", &*announcement] {
        link.tells(text)?;
        alice.hears(text)?;
    }
    let (replay, _bob) = bench.replay("bob", &mut alice).map_err(Stop::on_the_way)?;
    let found = replay
        .iter()
        .filter(|message| message.equals(&Message::text(&announcement)));
    let came = found.count();
    let behind = replay
        .iter()
        .rposition(|message| message.equals(&Message::text(&announcement)));
    let between = replay
        .iter()
        .position(|message| message.equals(&Message::text("between")));
    match came == 1 && behind > between {
        true => Ok(()),
        false => Err(Stop::fail(
            "one announcement of eve in the replay, the latest",
            listed(&replay),
        )),
    }
}

/// What looks like something else; not like an announcement on the case's channel, though.
fn payloads(link: &Link, bench: &Bench) -> Vec<Message> {
    let channel = &bench.another_channel();
    let name = Name {
        uid: "eve".into(),
        channel: channel.clone(),
        node: random_uid(),
        seq: 1,
        ts: 1,
    };
    vec![
        Message::text(&link.leave_of(channel)),
        Message::text(&name.to_string()),
        Message::text(""),
        Message::text("{}"),
        Message::binary([]),
        Message::binary([0xff, 0, 0xfe]),
        Message::binary(link.leave_of(channel)),
        Message::binary(vec![7; 70_000]),
    ]
}

fn whatever_it_holds(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    for payload in payloads(&link, bench) {
        let name = link.name();
        link.tell_message(&name, &payload)?;
        alice.hears_message(&payload)?;
    }
    Ok(())
}

fn goes_as_it_is(bench: &mut Bench) -> Judged {
    let (mut link, mut alice) = bench.link_and_alice()?;
    for payload in payloads(&link, bench) {
        let frame = match payload.text {
            true => Frame::text(payload.payload.clone()),
            false => Frame::binary(payload.payload.clone()),
        };
        alice.send(&frame)?;
        let expected = format!("a message of alice's: {payload}");
        let heard = link.hear(&expected)?;
        let is_it = heard
            .payload
            .as_ref()
            .is_some_and(|came| came.equals(&payload));
        if !is_it || heard.head["uid"] != "alice" {
            return Err(Stop::fail(expected, heard.to_string()));
        }
    }
    Ok(())
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
