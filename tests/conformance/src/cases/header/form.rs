//! What a header may look like, and what becomes of one that does not.

use super::{
    accepted, in_parts, keeps_nothing, refused, refused_for, refused_with, turned_away, undisturbed,
};
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::listed;
use crate::wire::{Frame, Length, Opcode, head};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "H1.12/4000",
            "a session whose header is refused is closed with 4000",
            code,
        )
        .connections(4),
        case(
            "H1.1/control-frames-first",
            "control frames may come before the header",
            |bench| {
                let frames = [
                    Frame::ping("early"),
                    Frame::pong(""),
                    Frame::ping(""),
                    Frame::text(bench.header("alice")),
                ];
                of_alice(bench, &frames, "a header behind pings and a pong")
            },
        )
        .connections(2),
        case(
            "H1.1/fragmented",
            "a header may be fragmented, with control frames between the fragments",
            |bench| {
                let mut frames = in_parts(&bench.header("alice"), &[1, 0, 5, 9, 0]);
                frames.insert(2, Frame::ping("between"));
                frames.insert(5, Frame::pong(""));
                of_alice(bench, &frames, "a header in six fragments")
            },
        )
        .connections(2),
        case(
            "H1.1/fragmented-within-a-character",
            "a fragment may end within a character of the header",
            |bench| {
                let channel = format!("{} \u{1f30d}", bench.channel);
                let header = bench.header_on("alice", &channel);
                let within = header.find('\u{1f30d}').unwrap_or_default() + 2;
                let frames = in_parts(&header, &[within]);
                accepted(bench, &frames, "alice", &channel, "such a header")
            },
        )
        .connections(2),
        case(
            "H1.1/binary-fragments",
            "a header in binary fragments is refused",
            |bench| {
                let mut frames = in_parts(&bench.header("alice"), &[10]);
                frames[0].opcode = Opcode::BINARY;
                let mut session = bench.open("alice")?;
                session.send_together(&frames)?;
                turned_away(&mut session, "a header in binary fragments")
            },
        )
        .connections(1),
        case(
            "H1.11/header-before-auth",
            "what is wrong with the header itself counts before its auth",
            |bench| {
                for (member, what) in [
                    (r#""uid":"","#, "an empty uid"),
                    (r#""uid":"a","uid":"a","#, "a repeated uid"),
                    (r#""uid":"a","peer":0,"#, "a peer that is a number"),
                ] {
                    let header = format!(
                        r#"{{{member}"channel":"{}","auth":"no digits"}}"#,
                        bench.channel
                    );
                    let what = format!("a header with {what} and a malformed auth");
                    refused_for(bench, &Frame::text(header), 4000, &what)?;
                }
                Ok(())
            },
        )
        .connections(1),
        case(
            "H1.12/joins-nothing",
            "who is refused for the header is not announced, and says nothing to anybody",
            joins_nothing,
        ),
        case(
            "H1.12/nobody-notices",
            "a member is not disturbed when a header with its names is refused",
            nobody_notices,
        ),
        case(
            "H2.1/fragments-together",
            "fragments of 4096 bytes together are accepted, of 4097 refused",
            fragments_together,
        )
        .connections(2),
        case(
            "H2.1/declared",
            "a header of more than 4096 bytes is refused before its payload has come",
            declared,
        )
        .connections(1),
        case(
            "H2.1/declared-fragments",
            "fragments that would be more than 4096 bytes are refused before they are complete",
            declared_fragments,
        )
        .connections(1),
        case(
            "H4.3/incumbent-undisturbed",
            "a server that takes no peers refuses a handshake without disturbing the member with its names",
            handshake_disturbs_nobody,
        ),
        case(
            "H4.1/as-servers-use-them",
            "reserved members have no meaning without peer, also if they are well-formed",
            |bench| {
                let header = bench.header("alice");
                let more = concat!(
                    r#","path":["00000000000000000000000000000001"],"have":[["a",1]],"#,
                    r#""done":true,"turn":1,"probe":true,"max":1,"#,
                    r#""node":"00000000000000000000000000000001","seq":1,"ts":1}"#
                );
                let header = format!("{}{more}", header.trim_end_matches('}'));
                of_alice(
                    bench,
                    &[Frame::text(header)],
                    "a header with reserved members",
                )
            },
        )
        .connections(2),
    ]
}

/// These frames are accepted as the header of alice on the case's channel.
fn of_alice(bench: &mut Bench, frames: &[Frame], what: &str) -> Judged {
    let channel = bench.channel.clone();
    accepted(bench, frames, "alice", &channel, what)
}

/// The header of this uid in one that is so many bytes long.
fn of_length(bench: &Bench, uid: &str, length: usize) -> String {
    let header = bench.header(uid);
    let names = header.trim_end_matches('}');
    // `,"x":""}` are eight characters.
    let padding = length.saturating_sub(names.len() + 8);
    format!(r#"{names},"x":"{}"}}"#, "y".repeat(padding))
}

/// Headers with these names that are refused, each for another reason.
fn wrong(bench: &Bench, uid: &str) -> [(Frame, &'static str); 4] {
    let header = bench.header(uid);
    let names = header.trim_end_matches('}');
    [
        (
            Frame::text(format!(r#"{names},"peer":null}}"#)),
            "a header whose peer is null",
        ),
        (Frame::binary(header.clone()), "a header in a binary frame"),
        (
            Frame::text(of_length(bench, uid, 4097)),
            "a header of 4097 bytes",
        ),
        (
            Frame::text(format!("{header}x")),
            "a header with something behind it",
        ),
    ]
}

fn code(bench: &mut Bench) -> Judged {
    for (frame, what) in wrong(bench, "alice") {
        refused_with(bench, &frame, 4000, what)?;
    }
    Ok(())
}

fn joins_nothing(bench: &mut Bench) -> Judged {
    const SAID: &str = "said by mallory";
    let (mut alice, mut bob) = bench.pair()?;
    alice.hears_announcements = true;
    for (frame, what) in wrong(bench, "mallory") {
        let mut session = bench.open("mallory")?;
        session.send_together(&[frame, Frame::text(SAID)])?;
        turned_away(&mut session, what)?;
    }
    let heard = bench.fence(&mut bob, &mut alice)?;
    if !heard.is_empty() {
        let expected = "alice hears nothing of those who are refused";
        return Err(Stop::fail(expected, listed(&heard)));
    }
    if keeps_nothing(bench) {
        return Ok(());
    }
    let (replay, _carol) = bench.replay("carol", &mut bob).map_err(Stop::on_the_way)?;
    let of_mallory = |payload: &[u8]| {
        let text = String::from_utf8_lossy(payload);
        text.contains("mallory")
    };
    match replay.iter().find(|message| of_mallory(&message.payload)) {
        None => Ok(()),
        Some(message) => Err(Stop::fail(
            "the history holds nothing of those who are refused",
            format!("carol is replayed {message}"),
        )),
    }
}

fn nobody_notices(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    alice.hears_announcements = true;
    for (frame, what) in wrong(bench, "alice") {
        undisturbed(bench, &mut alice, &mut bob, what, |bench| {
            refused(bench, &frame, what)
        })?;
    }
    Ok(())
}

fn handshake_disturbs_nobody(bench: &mut Bench) -> Judged {
    if bench.target().peer_key.is_some() {
        return Err(Stop::Skip("the server takes peers".into()));
    }
    let (mut alice, mut bob) = bench.pair()?;
    alice.hears_announcements = true;
    let header = bench.header("alice");
    let header = format!(r#"{},"peer":true}}"#, header.trim_end_matches('}'));
    let what = "a handshake between servers";
    undisturbed(bench, &mut alice, &mut bob, what, |bench| {
        refused(bench, &Frame::text(&*header), what)
    })
}

fn fragments_together(bench: &mut Bench) -> Judged {
    let frames = in_parts(&of_length(bench, "alice", 4096), &[2000, 0, 2095]);
    of_alice(bench, &frames, "a header of 4096 bytes in fragments")?;
    let frames = in_parts(&of_length(bench, "alice", 4097), &[2000, 0, 2096]);
    let mut session = bench.open("alice")?;
    session.send_together(&frames)?;
    turned_away(&mut session, "a header of 4097 bytes in fragments")
}

fn declared(bench: &mut Bench) -> Judged {
    for length in [4097, 65_536, 1 << 40] {
        let mut session = bench.open("alice")?;
        let head = head(0x81, length, Length::Shortest, true);
        let what = format!("the head of a text frame of {length} bytes");
        session.send_bytes(&head, &what)?;
        turned_away(&mut session, &what)?;
    }
    Ok(())
}

fn declared_fragments(bench: &mut Bench) -> Judged {
    let mut session = bench.open("alice")?;
    let begun = of_length(bench, "alice", 4097);
    session.send(&Frame::text(&begun.as_bytes()[..4000]).unfinished())?;
    let head = head(0x80, 97, Length::Shortest, true);
    session.send_bytes(&head, "the head of a last fragment of 97 bytes")?;
    turned_away(
        &mut session,
        "the head of a fragment that makes the header 4097 bytes long",
    )
}
