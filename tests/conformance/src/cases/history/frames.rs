//! Violations of RFC 6455 (client.md, M4.4).

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Session, listed};
use crate::wire::{Frame, Length, Opcode, head};

/// Bytes, and what they are.
type Wrong = Vec<(&'static str, Vec<u8>)>;

/// The name of a case, what is wrong, and how it is sent.
type Violation = (&'static str, &'static str, fn() -> Wrong);

pub(super) fn cases() -> Vec<Case> {
    let all: [Violation; 12] = [
        ("reserved-bits", "reserved bits set", reserved_bits),
        ("unknown-opcode", "an unknown opcode", unknown_opcodes),
        ("unmasked", "no mask", unmasked),
        (
            "length-not-shortest",
            "a length that is not in its shortest form",
            longer_forms,
        ),
        ("length-above-2-63", "a length above 2^63 - 1", too_long),
        (
            "control-fragmented",
            "a control frame in fragments",
            fragmented_control,
        ),
        (
            "control-too-long",
            "a control frame of more than 125 bytes",
            long_control,
        ),
        (
            "continuation-of-nothing",
            "a continuation of nothing",
            continuation,
        ),
        (
            "new-message-within-one",
            "a new data frame within a fragmented message",
            within,
        ),
        (
            "close-of-one-byte",
            "a close frame with a payload of one byte",
            short_close,
        ),
        (
            "close-code",
            "a close frame with a code that may not be sent",
            close_codes,
        ),
        (
            "unmasked-control",
            "a control frame without a mask",
            unmasked_control,
        ),
    ];
    let mut cases: Vec<_> = all
        .into_iter()
        .map(|(name, what, wrong)| {
            case(
                format!("M4.4/{name}"),
                format!("who sends {what} is closed with 1002, and nobody else is affected"),
                move |bench| violated(bench, &wrong()),
            )
        })
        .collect();
    cases.extend([
        case(
            "M4.4/before-the-header",
            "who violates RFC 6455 instead of sending a header is closed with 1002",
            before_the_header,
        ),
        case(
            "M4.4/in-parts",
            "a violation that comes byte by byte is found as well",
            in_parts,
        ),
    ]);
    cases
}

/// A text that nobody may ever receive.
const SECRET: &str = "nobody may receive this";

fn reserved_bits() -> Wrong {
    let text = |bits| Frame::text(SECRET).reserved(bits).encode();
    vec![
        ("text with RSV1 set", text(4)),
        ("text with RSV2 set", text(2)),
        ("text with RSV3 set", text(1)),
        ("a ping with RSV1 set", Frame::ping("").reserved(4).encode()),
    ]
}

fn unknown_opcodes() -> Wrong {
    let frame = |opcode| Frame::new(Opcode(opcode), SECRET).encode();
    vec![
        ("a frame with opcode 3", frame(3)),
        ("a frame with opcode 7", frame(7)),
        ("a frame with opcode 11", frame(11)),
        ("a frame with opcode 15", frame(15)),
    ]
}

fn unmasked() -> Wrong {
    let text = Frame::text(SECRET).unmasked();
    let empty = Frame::binary("").unmasked();
    vec![
        ("text without a mask", text.encode()),
        ("an empty binary frame without a mask", empty.encode()),
    ]
}

fn unmasked_control() -> Wrong {
    vec![(
        "a ping without a mask",
        Frame::ping("p").unmasked().encode(),
    )]
}

fn longer_forms() -> Wrong {
    let text = Frame::text(SECRET);
    let longer = Frame::text(SECRET.repeat(10));
    vec![
        (
            "text of 23 bytes, the length in two",
            text.encode_as(Length::Two),
        ),
        (
            "text of 23 bytes, the length in eight",
            text.encode_as(Length::Eight),
        ),
        (
            "text of 230 bytes, the length in eight",
            longer.encode_as(Length::Eight),
        ),
        (
            "a ping of 1 byte, the length in two",
            Frame::ping("p").encode_as(Length::Two),
        ),
    ]
}

fn too_long() -> Wrong {
    let declared = |length| head(0x81, length, Length::Eight, true);
    vec![
        ("the head of text of 2^63 bytes", declared(1 << 63)),
        ("the head of text of 2^64 - 1 bytes", declared(u64::MAX)),
    ]
}

fn fragmented_control() -> Wrong {
    vec![
        (
            "a ping that is not the last fragment",
            Frame::ping("p").unfinished().encode(),
        ),
        (
            "a close frame that is not the last fragment",
            Frame::close(1000, "").unfinished().encode(),
        ),
    ]
}

fn long_control() -> Wrong {
    vec![
        ("a ping of 126 bytes", Frame::ping([b'p'; 126]).encode()),
        (
            "a pong of 70 000 bytes",
            Frame::pong(vec![b'p'; 70_000]).encode(),
        ),
        (
            "a close frame of 126 bytes",
            Frame::close(1000, &"c".repeat(124)).encode(),
        ),
    ]
}

fn continuation() -> Wrong {
    let nothing = Frame::continuation(SECRET);
    let whole = [Frame::text("").unfinished(), Frame::continuation("")];
    let mut behind: Vec<u8> = whole.iter().flat_map(Frame::encode).collect();
    behind.extend(nothing.encode());
    vec![
        ("a continuation", nothing.encode()),
        (
            "the first fragment of a continuation",
            nothing.unfinished().encode(),
        ),
        (
            "a message in two fragments, and one more continuation",
            behind,
        ),
    ]
}

fn within() -> Wrong {
    let two = |second: Frame| {
        let first = Frame::text(SECRET).unfinished();
        [first.encode(), second.encode()].concat()
    };
    vec![
        (
            "the first fragment of a text, then text",
            two(Frame::text(SECRET)),
        ),
        (
            "the first fragment of a text, then binary",
            two(Frame::binary(SECRET)),
        ),
    ]
}

fn short_close() -> Wrong {
    vec![(
        "a close frame of one byte",
        Frame::new(Opcode::CLOSE, [3]).encode(),
    )]
}

fn close_codes() -> Wrong {
    let close = |code| Frame::close(code, "").encode();
    vec![
        ("a close frame with code 0", close(0)),
        ("a close frame with code 999", close(999)),
        ("a close frame with code 1005", close(1005)),
        ("a close frame with code 1006", close(1006)),
        ("a close frame with code 1015", close(1015)),
    ]
}

fn violated(bench: &mut Bench, wrong: &Wrong) -> Judged {
    let (mut bob, mut carol) = bench.pair()?;
    for (nth, (what, bytes)) in wrong.iter().enumerate() {
        let mut eve = member(bench, &mut bob, nth)?;
        eve.send_bytes(bytes, what)?;
        closed(&mut eve, what)?;
        drop(eve);
        carol.until(&there(nth)).map_err(Stop::on_the_way)?;
        unaffected(bench, &mut bob, &mut carol, what)?;
        unaffected(bench, &mut carol, &mut bob, what)?;
    }
    Ok(())
}

fn unaffected(bench: &mut Bench, from: &mut Session, to: &mut Session, what: &str) -> Judged {
    let heard = bench.fence(from, to)?;
    // An empty message in fragments is right, and comes before the violation.
    match heard.iter().all(|message| message.payload.is_empty()) {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("{} is not affected by {what}", to.who()),
            listed(&heard),
        )),
    }
}

fn there(nth: usize) -> String {
    format!("eve {nth} is there")
}

/// A member who is known to be one.
fn member(bench: &Bench, bob: &mut Session, nth: usize) -> Judged<Session> {
    let mut eve = bench.join_as("eve", &format!("eve {nth}"))?;
    eve.say(&there(nth)).map_err(Stop::on_the_way)?;
    bob.until(&there(nth)).map_err(Stop::on_the_way)?;
    Ok(eve)
}

fn closed(session: &mut Session, what: &str) -> Judged {
    let expected = format!("{} is closed with 1002 for {what}", session.who());
    let close = session.close_frame(session.patience(), &expected)?;
    match close.code {
        Some(1002) => Ok(()),
        _ => Err(Stop::fail(expected, close.to_string())),
    }
}

fn before_the_header(bench: &mut Bench) -> Judged {
    let header = bench.header("eve");
    let first = [
        (
            "a header without a mask",
            Frame::text(header.clone()).unmasked().encode(),
        ),
        (
            "a header with RSV1 set",
            Frame::text(header).reserved(4).encode(),
        ),
        ("a continuation", Frame::continuation("").encode()),
    ];
    for (what, bytes) in first {
        let mut eve = bench.open("eve")?;
        eve.send_bytes(&bytes, what)?;
        closed(&mut eve, what)?;
    }
    Ok(())
}

fn in_parts(bench: &mut Bench) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    let fine = Frame::text("fine").encode();
    let wrong = Frame::text(SECRET).reserved(2).encode();
    for byte in fine.iter().chain(&wrong[..7]) {
        alice.send_bytes(&[*byte], &format!("{byte:02x}"))?;
    }
    closed(&mut alice, "a frame with RSV2 set")
}
