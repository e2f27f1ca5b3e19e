//! The client's side: what is written is masked, what is read is not.

use std::convert::Infallible;

use super::*;

/// What a server would send, and what it means.
fn served() -> (Vec<u8>, Vec<Item>) {
    let mut stream = Vec::new();
    let mut items = Vec::new();
    for len in [0, 1, 5, 125, 126, 300, 65_535, 65_536, 70_001] {
        for frame in [
            Frame::text("x".repeat(len)),
            Frame::binary((0..len).map(|at| at as u8).collect::<Vec<_>>()),
        ] {
            put_frame(&mut stream, &frame);
            items.push(Ok(Incoming::Message(frame)));
        }
        put_ping(&mut stream);
        items.push(ping(b""));
    }
    put_close(&mut stream, 4002, "enough");
    items.push(close(Some(4002)));
    (stream, items)
}

/// Cut in pieces of these sizes, in turn, and masked with a key that is another one for each frame.
fn masked_in(stream: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut masker, mut out) = (Masker::default(), Vec::new());
    let (mut number, mut rest) = (0x9e37_79b9_u32, stream);
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        let key = || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Ok::<_, Infallible>(number.to_be_bytes())
        };
        masker.mask(piece, &mut out, key).unwrap();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    out
}

#[test]
fn masks_what_is_cut_anywhere() {
    let (stream, items) = served();
    let whole = masked_in(&stream, &[stream.len()]);
    assert_eq!(read_whole(&whole), items);
    for sizes in [&[1][..], &[2, 1], &[3, 9, 1, 16_384], &[7]] {
        assert_eq!(masked_in(&stream, sizes), whole, "{sizes:?}");
    }
}

#[test]
fn masks_the_example_of_section_5_7() {
    let mut out = Vec::new();
    let key = || Ok::<_, Infallible>(KEY);
    let hello = b"\x81\x05Hello";
    Masker::default().mask(hello, &mut out, key).unwrap();
    let expected = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(out, expected);
}

#[test]
fn a_key_that_cannot_be_had_ends_it() {
    let mut out = Vec::new();
    let failed = Masker::default().mask(b"\x81\x05Hello", &mut out, || Err("no key"));
    assert_eq!((failed, out.len()), (Err("no key"), 0));
}

#[test]
fn reads_the_frames_of_a_server() {
    let (stream, items) = served();
    for size in [1, 3, 5000, stream.len()] {
        let mut reader = Reader::of_server(MIB);
        let mut got = Vec::new();
        for piece in stream.clone().chunks_mut(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (used, item) = reader.read(rest);
                rest = &mut rest[used..];
                got.extend(item);
            }
        }
        assert_eq!(got, items, "{size}");
    }
}

/// Section 5.1: a client closes when a frame is masked.
#[test]
fn refuses_masked_frames_of_a_server() {
    let mut frame = masked(0x81, b"Hello");
    let (_, item) = Reader::of_server(MIB).read(&mut frame);
    assert_eq!(item, Some(Err(Fault::Protocol)));
}
