//! Tests of the WebSocket framing.

use std::io::{self, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::{Role, WebSocket};

use super::*;

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

// RFC 6455 section 5.7.

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

// Three ways to hand over the same bytes.

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

// Every rule.

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

// Memory.

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

// Against tungstenite, and at random.

/// A stream in memory: what tungstenite reads, and what it wrote.
#[derive(Default)]
struct Pipe {
    input: io::Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client(input: Vec<u8>) -> WebSocket<Pipe> {
    let pipe = Pipe {
        input: io::Cursor::new(input),
        output: Vec::new(),
    };
    WebSocket::from_raw_socket(pipe, Role::Client, None)
}

/// A ping (or else a pong) and its payload.
type ControlSent = (bool, Vec<u8>);

/// One message as a client sends it: its fragments, each with the control frames before it.
#[derive(Clone, Debug)]
struct Sent {
    kind: Kind,
    fragments: Vec<(Vec<ControlSent>, Vec<u8>)>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let control = (any::<bool>(), vec(any::<u8>(), 0..=125));
    let controls = vec(control, 0..3);
    let fragment = prop_oneof![
        4 => vec(0..0x80_u8, 0..20),
        1 => vec(0..0x80_u8, 120..300),
        1 => (65_530..65_540_usize).prop_map(|len| vec![b'z'; len]),
    ];
    let kind = prop_oneof![Just(Kind::Text), Just(Kind::Binary)];
    (kind, vec((controls, fragment), 1..5)).prop_map(|(kind, fragments)| Sent { kind, fragments })
}

impl Sent {
    /// The message through tungstenite as a client, which masks each frame with a random key.
    fn send(&self, socket: &mut WebSocket<Pipe>) {
        use tungstenite::Message;
        use tungstenite::protocol::frame::Frame;
        for (i, (controls, fragment)) in self.fragments.iter().enumerate() {
            for (is_ping, payload) in controls {
                let control = if *is_ping {
                    Message::Ping(payload.clone().into())
                } else {
                    Message::Pong(payload.clone().into())
                };
                socket.send(control).unwrap();
            }
            let data = match (i, self.kind) {
                (0, Kind::Text) => Data::Text,
                (0, Kind::Binary) => Data::Binary,
                _ => Data::Continue,
            };
            let last = i + 1 == self.fragments.len();
            let frame = Frame::message(fragment.clone(), OpCode::Data(data), last);
            socket.send(Message::Frame(frame)).unwrap();
        }
    }

    /// What the reader should make of it.
    fn items(&self) -> Vec<Item> {
        let controls = self.fragments.iter().flat_map(|(controls, _)| controls);
        let mut items: Vec<Item> = controls
            .map(|(is_ping, payload)| match is_ping {
                true => ping(payload),
                false => Ok(Incoming::Pong),
            })
            .collect();
        let payload: Vec<u8> = self.fragments.iter().flat_map(|f| f.1.clone()).collect();
        items.push(Ok(Incoming::Message(Frame {
            kind: self.kind,
            payload: payload.into(),
        })));
        items
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reads_what_tungstenite_sends(
        messages in vec(sent(), 1..6),
        sizes in vec(prop_oneof![1..8_usize, 1..3000_usize], 1..8),
    ) {
        let mut socket = client(Vec::new());
        for message in &messages {
            message.send(&mut socket);
        }
        let stream = &socket.get_ref().output;
        let expected: Vec<Item> = messages.iter().flat_map(Sent::items).collect();
        let cuts = sizes.iter().cycle().scan(0, |at, size| {
            *at += size;
            (*at < stream.len()).then_some(*at)
        });
        prop_assert_eq!(read_cut(MIB, stream, cuts), &expected[..]);
        prop_assert_eq!(read_cut(MIB, stream, []), expected);
    }

    #[test]
    fn tungstenite_reads_what_the_server_writes(
        messages in vec(sent(), 1..6),
        reason in "\\PC{0,30}",
    ) {
        use tungstenite::Message;
        let mut out = Vec::new();
        let mut expected = Vec::new();
        for item in messages.iter().flat_map(Sent::items) {
            match item {
                Ok(Incoming::Message(frame)) => {
                    put_frame(&mut out, &frame);
                    expected.push(match frame.kind {
                        Kind::Text => Message::Text(frame.payload.try_into().unwrap()),
                        Kind::Binary => Message::Binary(frame.payload),
                    });
                }
                Ok(Incoming::Ping(payload)) => {
                    put_pong(&mut out, &payload);
                    expected.push(Message::Pong(payload.to_vec().into()));
                }
                Ok(Incoming::Pong) => {
                    put_ping(&mut out);
                    expected.push(Message::Ping(Bytes::new()));
                }
                other => panic!("{other:?}"),
            }
        }
        let reason = clip(&reason, REASON_MAX);
        put_close(&mut out, 4008, reason);
        let mut socket = client(out);
        for message in expected {
            prop_assert_eq!(socket.read().unwrap(), message);
        }
        let Message::Close(Some(close)) = socket.read().unwrap() else {
            panic!("a close frame");
        };
        prop_assert_eq!(u16::from(close.code), 4008);
        prop_assert_eq!(close.reason.as_str(), reason);
    }

    #[test]
    fn unmasking_in_pieces_is_unmasking_whole(
        data in vec(any::<u8>(), 0..100),
        key in any::<[u8; 4]>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let naive: Vec<u8> = data.iter().enumerate().map(|(i, b)| b ^ key[i % 4]).collect();
        let mut pieces = data.clone();
        let (left, right) = pieces.split_at_mut(cut.index(data.len() + 1));
        let mut mask = key;
        unmask(left, &mut mask);
        unmask(right, &mut mask);
        prop_assert_eq!(pieces, naive);
    }

    #[test]
    fn the_fuzz_body_holds_on_noise(data in vec(any::<u8>(), 0..200)) {
        fuzz(&data);
    }

    #[test]
    fn the_fuzz_body_holds_on_damaged_streams(
        bound in any::<u8>(),
        pieces in any::<u8>(),
        which in any::<prop::sample::Index>(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let (stream, _) = corpus().swap_remove(which.index(corpus().len()));
        let mut data = [&[bound, pieces], &stream[..]].concat();
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        fuzz(&data);
    }
}

#[test]
fn tungstenite_agrees_on_every_close_code() {
    use tungstenite::protocol::frame::coding::CloseCode;
    // It does not know 1014, which the registry has since.
    for code in (0..=65_535).filter(|&code| code != 1014) {
        let ours = parse_close(&u16::to_be_bytes(code)).is_ok();
        assert_eq!(ours, CloseCode::from(code).is_allowed(), "{code}");
    }
    assert_eq!(u8::from(OpCode::Control(Control::Close)), OP_CLOSE);
}
