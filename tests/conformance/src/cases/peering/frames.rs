//! Frames and faults (peering.md, section 3).

mod bounds;
mod faults;

use serde_json::json;

use super::keeps_history;
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::link::{Kind, Link, NUMBER_MOST, Name, random_uid};
use crate::session::{Message, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![
        case(
            "F1.1/written-otherwise",
            "the members of a frame may stand in any order, with spaces and any escapes",
            |bench| {
                works(bench, |link| {
                    let channel = escaped(&link.name().channel);
                    let uid = &link.uid;
                    format!(
                        "\r\n {{ \"have\" : {{ }} ,\t\"peer\":true, \"channel\":\"{channel}\",\"uid\":\"{uid}\" }} "
                    )
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
        case("F1.1/64-kib", "a frame of 64 KiB is taken", |bench| {
            works(bench, |link| padded(&join(link), 64 << 10))
        }),
        case(
            "F1.1/as-it-should-be",
            "the server writes frames in the order of the table, without spaces, with the escapes of J3.2",
            as_it_should_be,
        ),
        fault("F1.1/too-long", "a frame above 64 KiB", |link| {
            Frame::text(padded(&join(link), (64 << 10) + 1))
        }),
        fault(
            "F1.1/repeated-member",
            "a frame with a member twice",
            |link| Frame::text(join(link).replacen('{', r#"{"have":{},"#, 1)),
        ),
        fault("F1.1/binary", "a binary frame", |link| {
            Frame::binary(join(link))
        }),
        fault("F1.1/empty", "an empty frame", |_| Frame::text("")),
        fault("F1.1/no-object", "a frame that is no object", |link| {
            Frame::text(format!("[{}]", join(link)))
        }),
        fault(
            "F1.1/behind-the-object",
            "a frame with something behind the object",
            |link| Frame::text(join(link) + "x"),
        ),
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
        fault(
            "F1.2/names-too-long",
            "a message whose uid and channel are 4097 bytes long together",
            |link| {
                let mut name = link.name();
                name.uid = "u".repeat(4097 - name.channel.len());
                Frame::text(name.to_string())
            },
        ),
        case("F1.2/have-of-0", "`have` may say 0 of an origin", |bench| {
            works(bench, |link| {
                let channel = link.name().channel;
                link.join_of(&channel, &json!({random_uid(): 0}))
            })
        }),
        case(
            "F1.2/longest-channel",
            "a channel of 4096 bytes can be joined",
            |bench| {
                let channel = format!("{:x<4096}", bench.channel);
                let mut link = bench.link("peer")?;
                link.join_having(&channel, &json!({})).map(drop)
            },
        ),
        fault(
            "F1.2/channel-too-long",
            "the join of a channel of 4097 bytes",
            |link| {
                let channel = format!("{:x<4097}", link.name().channel);
                Frame::text(link.join_of(&channel, &json!({})))
            },
        ),
        fault("F1.2/uid-empty", "a message whose uid is empty", |link| {
            Frame::text(
                Name {
                    uid: String::new(),
                    ..link.name()
                }
                .to_string(),
            )
        }),
        fault(
            "F1.2/uid-with-nul",
            "a message whose uid holds U+0000",
            |link| {
                Frame::text(
                    Name {
                        uid: "e\0ve".into(),
                        ..link.name()
                    }
                    .to_string(),
                )
            },
        ),
        fault(
            "F1.2/half-a-surrogate-pair",
            "a message whose uid holds half a surrogate pair",
            |link| {
                Frame::text(
                    link.name()
                        .to_string()
                        .replacen(r#""eve""#, r#""\ud83d""#, 1),
                )
            },
        ),
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
    ];
    all.extend(faults::cases());
    all.extend(bounds::cases());
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
    keeps_history(bench)?;
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
    let most = bench.limits().max_message.min(70_000);
    vec![
        Message::text(&link.leave_of(channel)),
        Message::text(&name.to_string()),
        Message::text(""),
        Message::text("{}"),
        Message::binary([]),
        Message::binary([0xff, 0, 0xfe]),
        Message::binary(link.leave_of(channel)),
        Message::binary(vec![7; usize::try_from(most).unwrap_or(70_000)]),
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
