//! The bound on messages (M4.2).

use super::*;

#[test]
fn rejects_a_message_above_the_bound() {
    assert_refused(&masked(0x82, &vec![0; MIB + 1]), Fault::TooBig);
    assert_eq!(
        read_cut(5, &masked(0x81, b"Hello"), []),
        [text("Hello")],
        "the bound itself fits"
    );
    assert_eq!(
        read_cut(4, &masked(0x81, b"Hello"), []),
        [Err(Fault::TooBig)]
    );
    assert_eq!(read_cut(0, &masked(0x81, b""), []), [text("")]);
    assert_eq!(read_cut(0, &masked(0x81, b"a"), []), [Err(Fault::TooBig)]);
    let parts = [masked(0x02, b"abc"), masked(0x00, b"de"), masked(0x80, b"")].concat();
    assert_eq!(read_cut(5, &parts, []), [binary(b"abcde")]);
    assert_eq!(read_cut(4, &parts, []), [Err(Fault::TooBig)]);
}

#[test]
fn rejects_too_big_as_soon_as_it_is_declared() {
    let mut header = declared(0x82, MIB as u64 + 1);
    let used = header.len();
    let answer = Reader::new(MIB).read(&mut header);
    assert_eq!(answer, (used, Some(Err(Fault::TooBig))));
    // In a fragment too, with a control frame between.
    let mut stream = [
        masked(0x01, &[b'a'; 10]),
        masked(0x89, b""),
        declared(0x80, 91),
    ]
    .concat();
    assert_eq!(read_cut(100, &stream, []), [ping(b""), Err(Fault::TooBig)]);
    stream.truncate(stream.len() - 1);
    assert_eq!(
        read_cut(100, &stream, []),
        [ping(b"")],
        "the header is not complete"
    );
}

#[test]
fn control_frames_do_not_count_in_the_bound() {
    let stream = [
        masked(0x01, b"ab"),
        masked(0x89, &[1; 125]),
        masked(0x80, b"c"),
    ]
    .concat();
    assert_eq!(read_cut(3, &stream, []), [ping(&[1; 125]), text("abc")]);
}

#[test]
fn a_new_bound_holds_from_the_next_frame() {
    let mut reader = Reader::new(3);
    let mut first = masked(0x01, b"abc");
    assert_eq!(reader.read(&mut first), (first.len(), None));
    reader.set_max_message(5);
    let mut last = masked(0x80, b"de");
    assert_eq!(reader.read(&mut last), (last.len(), Some(text("abcde"))));
    reader.set_max_message(1);
    let mut third = masked(0x81, b"ab");
    assert_eq!(
        reader.read(&mut third),
        (third.len(), Some(Err(Fault::TooBig)))
    );
}
