//! WebSocket framing: frames as a client sends them, and what the reader makes of them.

use mles_sansio::{Fault, Frame, Kind};

use super::*;

mod bound;
mod interop;
mod mask;
mod memory;
mod noise;
mod pieces;
mod violations;
mod write;

const MIB: usize = 1 << 20;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

type Item = Result<Incoming, Fault>;

/// A masked client frame, encoded without any help from the module under test.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = declared(first, payload.len() as u64);
    let body = payload.iter().enumerate().map(|(i, b)| b ^ KEY[i % 4]);
    out.extend(body);
    out
}

/// The header of a masked client frame, with the shortest length.
fn declared(first: u8, len: u64) -> Vec<u8> {
    let mut out = vec![first];
    if len <= 125 {
        out.push(0x80 + len as u8);
    } else if len < 0x1_0000 {
        out.extend([0xfe, (len >> 8) as u8, len as u8]);
    } else {
        out.push(0xff);
        out.extend(len.to_be_bytes());
    }
    out.extend(KEY);
    out
}

/// All items in `stream`, handed to the reader in pieces that end at `cuts`.
fn read_cut(max: usize, stream: &[u8], cuts: impl IntoIterator<Item = usize>) -> Vec<Item> {
    let mut reader = Reader::new(max);
    let mut items = Vec::new();
    let mut start = 0;
    for end in cuts.into_iter().chain([stream.len()]) {
        let mut piece = stream[start..end].to_vec();
        start = end;
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let (used, item) = reader.read(rest);
            rest = &mut rest[used..];
            items.extend(item);
        }
    }
    items
}

fn read_whole(stream: &[u8]) -> Vec<Item> {
    read_cut(MIB, stream, [])
}

fn text(payload: &str) -> Item {
    Ok(Incoming::Message(Frame::text(payload.to_owned())))
}

fn binary(payload: &[u8]) -> Item {
    Ok(Incoming::Message(Frame::binary(payload.to_vec())))
}

fn ping(payload: &[u8]) -> Item {
    let mut control = ControlPayload::EMPTY;
    control.push(payload);
    Ok(Incoming::Ping(control))
}

fn close(code: Option<u16>) -> Item {
    Ok(Incoming::Close { code })
}

fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    masked(0x88, &[&code.to_be_bytes()[..], reason].concat())
}

/// The stream is refused with `fault` and nothing else, whole and byte by byte; the refusal is
/// repeated, what follows is taken, and nothing is held.
#[track_caller]
fn assert_refused(stream: &[u8], fault: Fault) {
    assert_eq!(read_whole(stream), [Err(fault)]);
    let mut reader = Reader::new(MIB);
    for &byte in stream {
        reader.read(&mut [byte]);
    }
    let mut more = masked(0x81, b"more");
    assert_eq!(reader.read(&mut more), (more.len(), Some(Err(fault))));
    assert_eq!(reader.read(&mut []), (0, Some(Err(fault))));
    assert_eq!(reader.buffered(), 0);
    assert!(!reader.is_between_messages());
}

/// Sequences of frames, each with what they mean.
fn corpus() -> Vec<(Vec<u8>, Vec<Item>)> {
    let long: Vec<u8> = (0..300_u16).map(|i| i as u8).collect();
    let longer = [&long[..]; 250].concat();
    let cases = vec![
        (vec![masked(0x81, b"Hello")], vec![text("Hello")]),
        (
            vec![masked(0x81, b""), masked(0x82, b"")],
            vec![text(""), binary(b"")],
        ),
        (
            vec![
                masked(0x01, b"Hel"),
                masked(0x89, b"are you there"),
                masked(0x00, b""),
                masked(0x8a, b"unasked"),
                masked(0x80, b"lo"),
                masked(0x82, b"\xff"),
            ],
            vec![
                ping(b"are you there"),
                Ok(Incoming::Pong),
                text("Hello"),
                binary(b"\xff"),
            ],
        ),
        (
            // A character parted by a fragment boundary.
            vec![masked(0x01, b"\xe2\x82"), masked(0x80, b"\xac")],
            vec![text("€")],
        ),
        (
            vec![masked(0x02, &long), masked(0x00, &long), masked(0x80, b"")],
            vec![binary(&[&long[..], &long].concat())],
        ),
        (vec![masked(0x82, &long[..125])], vec![binary(&long[..125])]),
        (vec![masked(0x82, &long[..126])], vec![binary(&long[..126])]),
        (
            vec![masked(0x82, &longer), masked(0x89, &long[..125])],
            vec![binary(&longer), ping(&long[..125])],
        ),
        (
            vec![masked(0x01, b""), masked(0x00, b""), masked(0x80, b"")],
            vec![text("")],
        ),
        (
            vec![
                masked(0x01, b"unfinished"),
                closing(1001, b"going"),
                masked(0x80, b"ignored"),
                vec![0xff; 20],
            ],
            vec![close(Some(1001))],
        ),
        (vec![masked(0x88, b"")], vec![close(None)]),
        (
            vec![masked(0x81, b"fine"), vec![0xff, 0xff]],
            vec![text("fine"), Err(Fault::Protocol)],
        ),
    ];
    let joined = |(frames, items): (Vec<Vec<u8>>, Vec<Item>)| (frames.concat(), items);
    cases.into_iter().map(joined).collect()
}
