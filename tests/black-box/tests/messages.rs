//! Messages between members.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use std::io::Read;

use black_box::wire::{
    BINARY, BINARY_BEGINS, ENDS, GOES_ON, PING, PONG, TEXT, TEXT_BEGINS, frame, head,
};
use black_box::{Binary, Client, Message, Server, header, suite};

suite! {
    types_and_bytes,
    one_order_for_all,
    fragments,
    one_frame_for_a_message,
    unfinished_messages_are_forgotten,
    channels_are_separate,
    control_frames_stay_here,
    the_largest_message,
    a_larger_message,
    a_declared_length_reserves_nothing,
    room_for_unfinished_messages,
}

/// Alice and bob, who have nothing more to receive.
fn two(server: &Server, channel: &str) -> (Client, Client) {
    let mut alice = server.join("alice", channel);
    let mut bob = server.join("bob", channel);
    alice.expect([header("bob", channel)]);
    bob.expect([header("alice", channel)]);
    (alice, bob)
}

/// M1.1, M1.2, M1.4, M1.7, J2.2: as they are, empty ones too, to others and to the history, and not back.
fn types_and_bytes(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (mut alice, mut bob) = two(&server, "types");
    let mut messages: Vec<Message> = vec![
        "text".into(),
        "".into(),
        Message::binary(vec![]),
        Message::binary((0..=255).collect::<Vec<u8>>()),
        "{\"uid\":1}".into(),
        "\u{0}\u{feff}\u{10ffff} ünïcode".into(),
        Message::binary(&b"text"[..]),
    ];
    // Around the lengths at which the head of a frame grows.
    for length in [124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537, 200_000] {
        messages.push("x".repeat(length).into());
        messages.push(Message::binary(vec![0xff; length]));
    }
    for message in &messages {
        alice.send(message.clone());
        bob.expect([message.clone()]);
    }
    bob.send("that's all");
    alice.expect(["that's all"]);
    let mut carol = server.join("carol", "types");
    carol.expect(["alice", "bob"].map(|uid| header(uid, "types")));
    carol.expect(messages);
    carol.expect(["that's all"]);
}

/// M1.3: what three members send at the same time all others get in one order, and each one's own
/// messages in the order sent.
fn one_order_for_all(binary: &Binary) {
    const EACH: usize = 300;
    let server = Server::start(binary, &[], &[]);
    let mut watchers: Vec<_> = (0..3)
        .map(|n| server.join(&format!("w{n}"), "order"))
        .collect();
    let senders: Vec<_> = (0..3)
        .map(|n| server.join(&format!("s{n}"), "order"))
        .collect();
    let sending: Vec<_> = senders
        .into_iter()
        .enumerate()
        .map(|(number, mut sender)| {
            std::thread::spawn(move || {
                (0..EACH).for_each(|count| sender.send(format!("{number} {count}")));
                sender
            })
        })
        .collect();
    let mut orders = watchers.iter_mut().map(|watcher| {
        let mut order = Vec::new();
        while order.len() < 3 * EACH {
            let text = watcher.recv().into_text().unwrap().to_string();
            if !text.starts_with('{') {
                order.push(text);
            }
        }
        order
    });
    let first = orders.next().unwrap();
    assert!(orders.all(|other| other == first));
    for number in 0..3 {
        let own = first
            .iter()
            .filter(|text| text.starts_with(&format!("{number} ")));
        assert!(
            own.eq((0..EACH)
                .map(|count| format!("{number} {count}"))
                .collect::<Vec<_>>()
                .iter())
        );
    }
    sending
        .into_iter()
        .for_each(|thread| drop(thread.join().unwrap()));
}

/// M1.5, M2.2: put together, pings answered in between; and a character may be cut.
fn fragments(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (mut alice, mut bob) = two(&server, "pieces");
    alice.send_frame(TEXT_BEGINS, b"one, ");
    alice.send_frame(PING, b"in between");
    assert_eq!(alice.next_frame(), Message::Pong("in between".into()));
    alice.send_frame(GOES_ON, b"");
    alice.send_frame(GOES_ON, b"two, \xe2\x82");
    alice.send_frame(PONG, b"");
    alice.send_frame(ENDS, b"\xac three");
    alice.send_frame(BINARY_BEGINS, b"");
    alice.send_frame(ENDS, b"");
    let mut bytes = frame(BINARY_BEGINS, b"\xff");
    for byte in 0..=255 {
        bytes.extend(frame(GOES_ON, &[byte]));
    }
    bytes.extend(frame(ENDS, b"\x00"));
    // Byte by byte: the frames' heads are cut everywhere.
    bytes.iter().for_each(|byte| alice.send_bytes(&[*byte]));
    let mut whole = vec![0xff];
    whole.extend(0..=255);
    whole.push(0);
    bob.expect([
        Message::text("one, two, € three"),
        Message::binary(vec![]),
        Message::binary(whole),
    ]);
}

/// M1.6: however it was sent, it comes as one frame with its final bit, unmasked.
fn one_frame_for_a_message(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (mut alice, bob) = two(&server, "whole");
    let mut bob = bob.into_stream();
    alice.send_frame(TEXT_BEGINS, &[b'a'; 70_000]);
    alice.send_frame(ENDS, &[b'b'; 70_000]);
    let mut head = [0; 10];
    bob.read_exact(&mut head).unwrap();
    assert_eq!(head, [TEXT, 127, 0, 0, 0, 0, 0, 0x02, 0x22, 0xe0]);
    let mut payload = vec![0; 140_000];
    bob.read_exact(&mut payload).unwrap();
    assert!(payload.starts_with(b"aaa") && payload.ends_with(b"bbb"));
    alice.send_frame(TEXT, b"short");
    let mut short = [0; 7];
    bob.read_exact(&mut short).unwrap();
    assert_eq!(&short, b"\x81\x05short");
}

/// M1.5, L1.1, X1.15: of a session that ends in the middle nothing is distributed or stored.
fn unfinished_messages_are_forgotten(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (mut alice, mut bob) = two(&server, "half");
    alice.send_frame(TEXT_BEGINS, b"never ");
    alice.send_bytes(&frame(ENDS, b"finished")[..9]);
    alice.vanish();
    let mut alice = server.join("alice", "half");
    bob.expect([header("alice", "half")]);
    alice.send("a new one");
    bob.expect(["a new one"]);
    alice.expect(
        [header("bob", "half"), header("alice", "half")]
            .map(Message::text)
            .into_iter()
            .rev(),
    );
}

/// M1.8: two channels, the same names.
fn channels_are_separate(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (mut alice, mut bob) = two(&server, "left");
    let (mut other_alice, mut other_bob) = two(&server, "right");
    for number in 0..50 {
        alice.send(format!("left {number}"));
        other_alice.send(format!("right {number}"));
    }
    bob.expect((0..50).map(|number| format!("left {number}")));
    other_bob.expect((0..50).map(|number| format!("right {number}")));
}

/// M2.1, M2.2, M2.3: a ping gets its pong; nobody else sees it, and the history neither.
fn control_frames_stay_here(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (mut alice, mut bob) = two(&server, "control");
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        alice.send_frame(PING, payload);
        assert_eq!(alice.next_frame(), Message::Pong(payload.to_vec().into()));
        alice.send_frame(PONG, payload);
    }
    // Of many at once the last is answered for sure.
    let many: Vec<u8> = (0..1000u32)
        .flat_map(|n| frame(PING, &n.to_be_bytes()))
        .collect();
    alice.send_bytes(&many);
    let mut last = None;
    while last != Some(999) {
        let Message::Pong(payload) = alice.next_frame() else {
            panic!("only pongs");
        };
        let number = u32::from_be_bytes(payload[..].try_into().unwrap());
        assert!(last < Some(number), "in order");
        last = Some(number);
    }
    alice.send("a message");
    assert_eq!(bob.next_frame(), Message::text("a message"));
    let mut carol = server.join("carol", "control");
    carol.expect([
        header("alice", "control"),
        header("bob", "control"),
        "a message".into(),
    ]);
}

/// M4.1: 16 MiB pass, in one frame or in pieces, to everyone who reads.
fn the_largest_message(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (mut alice, mut bob) = two(&server, "large");
    let large: Vec<u8> = (0..16 << 20).map(|n: u32| (n / 251) as u8).collect();
    alice.send(Message::binary(large.clone()));
    assert!(bob.recv() == Message::binary(large.clone()), "in one frame");
    let pieces: Vec<&[u8]> = large.chunks(5 << 20).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let last = number == pieces.len() - 1;
        let first = match (number, last) {
            (0, _) => BINARY_BEGINS,
            (_, false) => GOES_ON,
            (_, true) => ENDS,
        };
        alice.send_frame(first, piece);
    }
    assert!(bob.recv() == Message::binary(large), "in pieces");
}

/// M4.2: 1009 as soon as the lengths show it, and nobody else is affected.
fn a_larger_message(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (mut alice, mut bob) = two(&server, "larger");
    alice.send_bytes(&head(BINARY, (16 << 20) + 1));
    alice.expect_close(1009);
    let mut alice = server.join("alice", "larger");
    bob.expect([header("alice", "larger")]);
    alice.send_frame(TEXT_BEGINS, &[b'x'; 1 << 20]);
    alice.send_bytes(&head(ENDS, 15 << 20 | 1));
    alice.expect(["alice", "bob"].map(|uid| header(uid, "larger")));
    alice.expect_close(1009);
    let mut carol = server.join("carol", "larger");
    carol.send("small");
    bob.expect([header("carol", "larger"), "small".into()]);
}

/// M4.3: two hundred members declare 16 MiB each and send hardly anything.
fn a_declared_length_reserves_nothing(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut members: Vec<_> = (0..200)
        .map(|n| server.join(&format!("{n}"), "declared"))
        .collect();
    let before = server.memory(false);
    for member in &mut members {
        member.send_bytes(&head(BINARY, 16 << 20));
        member.send_bytes(&[0; 100]);
    }
    server.assert_serves();
    let grown = server.memory(true).saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more");
}

/// M4.6: four messages' worth of unfinished ones are held; beyond that the slowest gets 4004.
fn room_for_unfinished_messages(binary: &Binary) {
    const SIZE: usize = 1 << 20;
    let server = Server::start(binary, &["--max-message", "1MiB", "--threads", "1"], &[]);
    let mut slow = server.join("slow", "room");
    slow.send_bytes(&head(BINARY, SIZE as u64));
    slow.send_bytes(&[0; 1000]);
    let mut others: Vec<_> = (0..4)
        .map(|n| server.join(&format!("{n}"), "room"))
        .collect();
    let whole = frame(BINARY, &[7; SIZE]);
    let (most, rest) = whole.split_at(whole.len() - 10);
    for other in &mut others {
        other.send_bytes(most);
    }
    loop {
        match slow.next_frame() {
            Message::Close(close) => {
                assert_eq!(u16::from(close.unwrap().code), 4004);
                break;
            }
            message => assert!(message.is_text(), "an announcement"),
        }
    }
    slow.expect_end();
    let mut watcher = server.join("watcher", "room");
    for other in &mut others {
        other.send_bytes(rest);
        while watcher.recv() != Message::binary(vec![7; SIZE]) {}
    }
}
