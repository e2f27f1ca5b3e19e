//! What the reader holds (M4.3).

use super::*;

/// What a message really holds: the vector behind it is given back with its capacity.
fn held(item: Option<Item>) -> usize {
    let Some(Ok(Incoming::Message(frame))) = item else {
        panic!("a message, not {item:?}");
    };
    Vec::from(frame.payload).capacity()
}

#[test]
fn a_declared_length_reserves_nothing() {
    for first in [0x82, 0x02] {
        let mut reader = Reader::new(usize::MAX);
        let mut header = declared(first, 1 << 62);
        assert_eq!(reader.read(&mut header), (header.len(), None));
        assert_eq!(reader.buffered(), 0);
        assert_eq!(reader.read(&mut [1; 100]), (100, None));
        assert!(reader.buffered() <= 200);
    }
}

#[test]
fn a_large_message_leaves_nothing_behind() {
    let stream = masked(0x82, &vec![0x5a; 16 * MIB]);
    let mut reader = Reader::new(16 * MIB);
    let mut received = 0;
    let mut message = None;
    for piece in stream.chunks(60_000) {
        received += piece.len();
        let (used, item) = reader.read(&mut piece.to_vec());
        assert_eq!(used, piece.len());
        assert!(reader.buffered() <= 2 * received);
        message = item;
    }
    assert_eq!(reader.buffered(), 0);
    assert!(reader.is_between_messages());
    assert_eq!(held(message), 16 * MIB);
}

#[test]
fn a_message_holds_hardly_more_than_its_length() {
    for len in [1, 3, 63, 64, 65, 1000, 4097, 70_000] {
        for size in [1, 100, 4096] {
            let payload = vec![b'x'; len];
            let mut frames = masked(0x01, b"");
            for part in payload.chunks(size) {
                frames.extend(masked(0x00, part));
            }
            frames.extend(masked(0x80, b""));
            let mut reader = Reader::new(MIB);
            let mut message = None;
            let mut rest = &mut frames[..];
            while !rest.is_empty() {
                let (used, item) = reader.read(rest);
                rest = &mut rest[used..];
                message = item;
            }
            assert!(held(message) <= len + len / 8, "{len} bytes by {size}");
            assert_eq!(reader.buffered(), 0);
        }
    }
}

#[test]
fn empty_fragments_cost_nothing() {
    let mut reader = Reader::new(0);
    let fragment = masked(0x00, b"");
    reader.read(&mut masked(0x01, b""));
    let mut flood = fragment.repeat(10_000);
    assert_eq!(reader.read(&mut flood), (flood.len(), None));
    assert_eq!(reader.buffered(), 0);
    assert_eq!(reader.read(&mut masked(0x80, b"")).1, Some(text("")));
}

#[test]
fn a_refused_message_is_freed_at_once() {
    let mut reader = Reader::new(1000);
    reader.read(&mut masked(0x02, &[1; 1000]));
    assert!(reader.buffered() >= 1000);
    reader.read(&mut declared(0x80, 1));
    assert_eq!(reader.buffered(), 0);
    reader.read(&mut masked(0x00, &[1; 1000]));
    assert_eq!(reader.buffered(), 0);
}
