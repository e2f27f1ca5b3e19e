//! What the server writes.

use super::*;
use crate::websocket::write::clip;

#[test]
fn writes_the_unmasked_examples() {
    let mut out = Vec::new();
    put_frame(&mut out, &Frame::text("Hello"));
    assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);

    let bytes = vec![7; 256];
    out.clear();
    put_frame(&mut out, &Frame::binary(bytes.clone()));
    assert_eq!(out, [&[0x82, 0x7e, 0x01, 0x00][..], &bytes].concat());

    let bytes = vec![7; 65_536];
    out.clear();
    put_frame(&mut out, &Frame::binary(bytes.clone()));
    let header = [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0];
    assert_eq!(out, [&header[..], &bytes].concat());

    let mut hello = ControlPayload::EMPTY;
    hello.push(b"Hello");
    out.clear();
    put_pong(&mut out, &hello);
    put_ping(&mut out);
    assert_eq!(out, [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x89, 0x00]);
}

#[test]
fn writes_a_close_frame() {
    let mut out = Vec::new();
    put_close(&mut out, 4002, "in use");
    assert_eq!(out, b"\x88\x08\x0f\xa2in use");
    out.clear();
    put_close(&mut out, 1000, "");
    assert_eq!(out, b"\x88\x02\x03\xe8");
    out.clear();
    put_close(&mut out, 1000, &"é".repeat(61));
    assert_eq!(out.len(), 2 + 2 + 122);
}

#[test]
fn clips_a_long_reason_between_characters() {
    assert_eq!(clip("short", 123), "short");
    assert_eq!(clip("aé", 2), "a");
    assert_eq!(clip("é", 1), "");
    assert_eq!(clip(&"é".repeat(62), REASON_MAX).len(), 122);
}

#[test]
fn header_lengths_are_minimal() {
    for (len, header) in [
        (0, 2),
        (125, 2),
        (126, 4),
        (65_535, 4),
        (65_536, 10),
        (usize::MAX, 10),
    ] {
        assert_eq!(header_len(len), header);
        assert_eq!(encode_header(Kind::Text, len).1, header);
    }
    let (header, used) = encode_header(Kind::Binary, 0xabcd);
    assert_eq!(header[..used], [0x82, 126, 0xab, 0xcd]);
}

#[test]
fn derives_the_accept_key_of_section_1_3() {
    let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
