//! Frames that no client should send: RFC 6455 broken in each way, and what the others notice of it.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use std::io::Read;
use std::time::{Duration, Instant};

use black_box::wire::{BINARY, CLOSE, ENDS, PING, PONG, TEXT, TEXT_BEGINS, close, frame};
use black_box::{Binary, Client, Server, header, suite};

suite! {
    violations_of_rfc_6455,
    violations_before_the_join,
    text_that_is_not_utf_8,
    nothing_after_a_violation,
    the_end_comes_with_the_close_frame,
}

/// Bytes that break RFC 6455, with a name.
fn violations() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, bytes: &[u8]| all.push((name.to_owned(), bytes.to_vec()));
    for bit in [0x40, 0x20, 0x10] {
        add(&format!("reserved bit {bit:x}"), &frame(TEXT | bit, b"x"));
        add(
            &format!("reserved bit {bit:x} of a ping"),
            &frame(PING | bit, b"x"),
        );
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        add(&format!("opcode {opcode}"), &frame(0x80 | opcode, b"x"));
    }
    add("unmasked", b"\x81\x01x");
    add("unmasked ping", b"\x89\x00");
    add("unmasked close", b"\x88\x02\x03\xe8");
    add("length 125 in 16 bits", b"\x82\xfe\x00\x7d");
    add("length 65535 in 64 bits", b"\x82\xff\0\0\0\0\0\0\xff\xff");
    add("length 2^63", b"\x82\xff\x80\0\0\0\0\0\0\0");
    for control in [CLOSE, PING, PONG] {
        add(
            &format!("fragmented {control:x}"),
            &frame(control & 0x0f, b""),
        );
        add(&format!("long {control:x}"), &frame(control, &[b'x'; 126]));
    }
    add("continuation of nothing", &frame(0x00, b"x"));
    add("end of nothing", &frame(ENDS, b"x"));
    let began = frame(TEXT_BEGINS, b"x");
    add(
        "text within a message",
        &[began.clone(), frame(TEXT, b"x")].concat(),
    );
    add(
        "binary within a message",
        &[began, frame(BINARY, b"x")].concat(),
    );
    add("close with one byte", &frame(CLOSE, b"\x03"));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        add(
            &format!("close code {code}"),
            &frame(CLOSE, &close(code, "")),
        );
    }
    all
}

/// M4.4: 1002, and the channel goes on.
fn violations_of_rfc_6455(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut watcher = server.join("watcher", "broken");
    for (name, bytes) in violations() {
        let mut client = server.open();
        client.send(header(&name, "broken"));
        client.settle();
        watcher.expect([header(&name, "broken")]);
        client.send("a good one");
        client.send_bytes(&bytes);
        watcher.expect(["a good one"]);
        assert_eq!(end(client), 1002, "{name}");
    }
}

/// The code of the close frame that comes after some messages; then the end of the connection.
fn end(mut client: Client) -> u16 {
    loop {
        match client.next_frame() {
            black_box::Message::Close(close) => {
                let close = close.unwrap();
                let code = close.code.into();
                assert!(!close.reason.is_empty() || code == 1000, "X1.1");
                client.expect_end();
                return code;
            }
            message => assert!(message.is_text()),
        }
    }
}

/// M4.4: the same in the place of a header.
fn violations_before_the_join(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for (name, bytes) in violations() {
        let mut client = server.open();
        client.send_bytes(&bytes);
        assert_eq!(end(client), 1002, "{name}");
    }
    server.assert_serves();
}

/// M4.5: 1007, and nothing of it reaches anybody; as binary the same bytes are fine.
fn text_that_is_not_utf_8(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut watcher = server.join("watcher", "utf-8");
    let bad: [&[u8]; 6] = [
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"fine \xe2\x82",
        b"\x80",
    ];
    for (number, bytes) in bad.into_iter().enumerate() {
        for way in 0..3 {
            let uid = format!("{number} {way}");
            let mut client = server.join(&uid, "utf-8");
            watcher.expect([header(&uid, "utf-8")]);
            match way {
                0 => client.send_frame(TEXT, bytes),
                1 => {
                    client.send_frame(TEXT_BEGINS, bytes);
                    client.send_frame(ENDS, b"");
                }
                _ => client.send_frame(CLOSE, &[&close(1000, ""), bytes].concat()),
            }
            assert_eq!(end(client), 1007, "{bytes:?} {way}");
        }
    }
    let mut client = server.join("binary", "utf-8");
    client.send(black_box::Message::binary(bad[0]));
    watcher.expect([
        header("binary", "utf-8").into(),
        black_box::Message::binary(bad[0]),
    ]);
}

/// X1.6: what follows the violation in the same write is neither distributed nor stored.
fn nothing_after_a_violation(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut watcher = server.join("watcher", "after");
    for bad in [frame(0x83, b""), frame(TEXT, b"\xff"), frame(CLOSE, b"")] {
        let mut client = server.join("alice", "after");
        watcher.expect([header("alice", "after")]);
        let good = frame(TEXT, b"too late");
        client.send_bytes(&[&bad[..], &good, &bad, &good].concat());
        let code = end(client);
        assert!([1000, 1002, 1007].contains(&code), "{code}");
    }
    let mut alice = server.join("alice", "after");
    watcher.expect([header("alice", "after")]);
    alice.send("in time");
    watcher.expect(["in time"]);
    let replay = alice.leave();
    let texts: Vec<_> = replay
        .iter()
        .map(|message| message.to_text().unwrap().to_owned())
        .collect();
    assert!(!texts.iter().any(|text| text == "too late"), "{texts:?}");
}

/// X1.7, X1.16, M4.2, M4.4, M4.5: behind its close frame a client at fault gets the end of the stream at once, although it
/// neither answers nor ends its own.
fn the_end_comes_with_the_close_frame(binary: &Binary) {
    let server = Server::start(binary, &["--max-message", "4KiB"], &[]);
    for (joins, code, bad) in [
        (false, 1002, frame(0x83, b"")),
        (true, 1002, frame(0x83, b"")),
        (true, 1007, frame(TEXT, b"\xff")),
        (true, 1009, frame(BINARY, &[0; 5000])),
    ] {
        let mut client = server.open();
        if joins {
            client.join("alice", "the end");
            client.recv_until_settled();
        }
        client.send_bytes(&bad);
        let began = Instant::now();
        let mut bytes = Vec::new();
        // An end that TLS has announced: a connection that is just dropped would be an error.
        let end = client.stream().read_to_end(&mut bytes);
        assert!(end.is_ok(), "{code}: {end:?} {bytes:?}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{code}: {took:?}");
        assert_eq!(bytes[0], CLOSE);
        assert_eq!(usize::from(bytes[1]), bytes.len() - 2, "and nothing else");
        assert_eq!(u16::from_be_bytes([bytes[2], bytes[3]]), code);
    }
    server.assert_serves();
}
