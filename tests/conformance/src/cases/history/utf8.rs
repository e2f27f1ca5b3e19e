//! Text that is none (client.md, M4.5).

use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::{Message, listed};
use crate::wire::{Frame, Opcode};

pub(super) fn cases() -> Vec<Case> {
    let invalid: [(&str, &str, &[u8]); 6] = [
        (
            "a-stray-byte",
            "a byte that no character begins with",
            b"a\x80b",
        ),
        (
            "too-long-a-form",
            "a character in more bytes than it takes",
            b"\xc0\xaf",
        ),
        ("a-surrogate", "half of a surrogate pair", b"\xed\xa0\x80"),
        (
            "above-10ffff",
            "a character above U+10FFFF",
            b"\xf4\x90\x80\x80",
        ),
        (
            "cut-off",
            "the beginning of a character at its end",
            b"hello \xe4\xb8",
        ),
        ("no-utf-8-byte", "a byte that UTF-8 does not have", b"\xff"),
    ];
    let mut cases: Vec<_> = invalid
        .into_iter()
        .map(|(name, what, payload)| {
            case(
                format!("M4.5/{name}"),
                format!("text with {what} is closed with 1007"),
                move |bench| refused(bench, &[Frame::text(payload)]),
            )
        })
        .collect();
    cases.extend([
        case(
            "M4.5/in-fragments",
            "text that is invalid only where two fragments meet is closed with 1007",
            |bench| {
                let (a, b) = (&b"hello \xe4\xb8"[..], &b"no \x96"[..]);
                refused(
                    bench,
                    &[Frame::text(a).unfinished(), Frame::continuation(b)],
                )
            },
        ),
        case(
            "M4.5/a-character-in-two-fragments",
            "text is valid if it is so when its fragments are put together",
            in_two_fragments,
        ),
        case(
            "M4.5/in-a-close-reason",
            "a close frame whose reason is not UTF-8 is answered with 1007",
            |bench| {
                let payload = b"\x03\xe8good\xc3";
                refused(bench, &[Frame::new(Opcode::CLOSE, *payload)])
            },
        ),
        case(
            "M4.5/neither-distributed-nor-stored",
            "text that is not UTF-8 reaches nobody, and is not in the history",
            reaches_nobody,
        )
        .connections(4),
    ]);
    cases
}

fn refused(bench: &mut Bench, frames: &[Frame]) -> Judged {
    let (mut alice, _bob) = bench.pair()?;
    alice.send_together(frames)?;
    alice.closed(1007).map(drop)
}

fn in_two_fragments(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let text = "Grüße, 世界 \u{1f30d}!";
    for cut in 1..text.len() {
        let (a, b) = text.as_bytes().split_at(cut);
        alice.send_together(&[Frame::text(a).unfinished(), Frame::continuation(b)])?;
    }
    for _ in 1..text.len() {
        bob.hears(text)?;
    }
    Ok(())
}

fn reaches_nobody(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob) = bench.pair()?;
    let mut carol = bench.joined("carol", &mut bob)?;
    alice.send(&Frame::text(*b"not \xff distributed"))?;
    let closed = alice.close_frame(alice.patience(), "alice is closed");
    closed.map_err(Stop::on_the_way)?;
    bench.nothing_but_fence(&mut carol, &mut bob, "the message")?;
    if bench.limits().limit == 0 {
        return Ok(());
    }
    let (replayed, _dave) = bench.replay("dave", &mut carol)?;
    let is_it = |message: &Message| message.payload.starts_with(b"not ");
    match replayed.iter().any(is_it) {
        false => Ok(()),
        true => Err(Stop::fail(
            "dave is not replayed the message",
            listed(&replayed),
        )),
    }
}
