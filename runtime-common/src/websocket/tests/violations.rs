//! Every rule that a client can break, except the bound on messages.

use super::*;

#[test]
fn rejects_an_unmasked_frame() {
    assert_refused(&[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f], Fault::Protocol);
    assert_refused(&[0x89, 0x00], Fault::Protocol);
}

#[test]
fn rejects_reserved_bits() {
    for bit in [0x40, 0x20, 0x10] {
        assert_refused(&masked(0x81 | bit, b"x"), Fault::Protocol);
        assert_refused(&masked(0x89 | bit, b"x"), Fault::Protocol);
        assert_refused(&masked(0x02 | bit, b"x"), Fault::Protocol);
    }
}

#[test]
fn rejects_reserved_opcodes() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        assert_refused(&masked(0x80 | opcode, b""), Fault::Protocol);
        assert_refused(&masked(opcode, b""), Fault::Protocol);
    }
}

#[test]
fn rejects_fragmented_control_frames() {
    for opcode in [0x8, 0x9, 0xa] {
        assert_refused(&masked(opcode, b""), Fault::Protocol);
    }
}

#[test]
fn rejects_control_frames_above_125_bytes() {
    for first in [0x88, 0x89, 0x8a] {
        assert_refused(&masked(first, &[b'a'; 126]), Fault::Protocol);
        assert_refused(&declared(first, 65_536), Fault::Protocol);
    }
}

#[test]
fn rejects_a_continuation_of_nothing() {
    assert_refused(&masked(0x80, b"x"), Fault::Protocol);
    assert_refused(&masked(0x00, b"x"), Fault::Protocol);
    let after = [masked(0x01, b"a"), masked(0x80, b"b"), masked(0x80, b"c")].concat();
    assert_eq!(read_whole(&after), [text("ab"), Err(Fault::Protocol)]);
}

#[test]
fn rejects_a_message_inside_another() {
    for first in [0x81, 0x82, 0x01, 0x02] {
        let stream = [masked(0x01, b"a"), masked(first, b"b")].concat();
        assert_refused(&stream, Fault::Protocol);
    }
}

#[test]
fn rejects_lengths_that_are_not_minimal() {
    for len in [0_u16, 1, 125] {
        let header = [&[0x82, 0xfe][..], &len.to_be_bytes(), &KEY].concat();
        assert_refused(&header, Fault::Protocol);
    }
    for len in [0_u64, 126, 65_535] {
        let header = [&[0x82, 0xff][..], &len.to_be_bytes(), &KEY].concat();
        assert_refused(&header, Fault::Protocol);
    }
}

#[test]
fn rejects_a_length_with_the_top_bit() {
    for len in [1 << 63, u64::MAX] {
        // Not as too big a message: it is no length at all.
        assert_refused(&declared(0x82, len), Fault::Protocol);
    }
}

#[test]
fn rejects_half_a_close_code() {
    assert_refused(&masked(0x88, &[3]), Fault::Protocol);
}

#[test]
fn rejects_close_codes_that_may_not_be_sent() {
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        assert_refused(&closing(code, b""), Fault::Protocol);
    }
    for code in [
        1000, 1001, 1002, 1003, 1007, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ] {
        assert_eq!(read_whole(&closing(code, b"ok")), [close(Some(code))]);
    }
}

#[test]
fn rejects_a_close_reason_that_is_not_utf8() {
    assert_refused(&closing(1000, b"\xff"), Fault::NotUtf8);
    assert_refused(&closing(1000, b"cut \xe2\x82"), Fault::NotUtf8);
}

#[test]
fn rejects_text_that_is_not_utf8() {
    for bad in [
        &b"\xff"[..],
        b"cut \xe2\x82",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        assert_refused(&masked(0x81, bad), Fault::NotUtf8);
        let (head, tail) = bad.split_at(bad.len() / 2);
        assert_refused(
            &[masked(0x01, head), masked(0x80, tail)].concat(),
            Fault::NotUtf8,
        );
        assert_eq!(read_whole(&masked(0x82, bad)), [binary(bad)]);
    }
}
