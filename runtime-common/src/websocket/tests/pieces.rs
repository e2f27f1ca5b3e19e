//! What is read does not depend on the pieces in which it arrives.

use super::*;

#[test]
fn reads_the_masked_text_example() {
    let example = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(read_whole(&example), [text("Hello")]);
    assert_eq!(masked(0x81, b"Hello"), example, "the test encoder agrees");
}

#[test]
fn reads_the_masked_control_example() {
    let pong = [
        0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(read_whole(&pong), [Ok(Incoming::Pong)]);
    let mut ping_bytes = pong;
    ping_bytes[0] = 0x89;
    assert_eq!(read_whole(&ping_bytes), [ping(b"Hello")]);
}

#[test]
fn items_do_not_depend_on_where_the_stream_is_cut() {
    for (stream, items) in corpus() {
        assert_eq!(read_whole(&stream), *items);
        assert_eq!(read_cut(MIB, &stream, 0..stream.len()), *items, "byte-wise");
        // Every cut of the short streams, and those near a header of the long one.
        let stop = stream.len().min(2000);
        for cut in (0..stop).chain(stream.len() - 140.min(stop)..stream.len()) {
            assert_eq!(read_cut(MIB, &stream, [cut]), *items, "cut at {cut}");
        }
    }
}

#[test]
fn takes_no_more_than_the_first_item() {
    for (frame, item) in [
        (masked(0x81, b"Hello"), text("Hello")),
        (masked(0x82, &[9; 200]), binary(&[9; 200])),
        (masked(0x89, b"hi"), ping(b"hi")),
        (masked(0x8a, b"hi"), Ok(Incoming::Pong)),
        (closing(4999, b""), close(Some(4999))),
    ] {
        let tail = masked(0x81, b"tail");
        let mut input = [&frame[..], &tail].concat();
        let (used, first) = Reader::new(MIB).read(&mut input);
        assert_eq!((used, first), (frame.len(), Some(item)));
        assert_eq!(input[used..], tail, "the tail is untouched");
    }
}

#[test]
fn knows_when_it_is_between_messages() {
    let mut reader = Reader::new(MIB);
    let mut feed = |bytes: &[u8]| {
        reader.read(&mut bytes.to_vec());
        reader.is_between_messages()
    };
    assert!(feed(b""));
    let hello = masked(0x81, b"Hello");
    assert!(!feed(&hello[..1]));
    assert!(!feed(&hello[1..8]));
    assert!(feed(&hello[8..]));
    assert!(!feed(&masked(0x01, b"a")));
    assert!(!feed(&masked(0x89, b"")));
    assert!(feed(&masked(0x80, b"b")));
    assert!(!feed(&masked(0x88, b"")));
}

#[test]
fn discards_everything_after_a_close_frame() {
    let mut reader = Reader::new(MIB);
    reader.read(&mut closing(1000, b"bye"));
    assert_eq!(reader.read(&mut [0xff; 50]), (50, None));
    assert_eq!(reader.read(&mut masked(0x81, b"late")), (10, None));
}
