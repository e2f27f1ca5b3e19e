//! Members that do not read.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use black_box::wire::{TEXT, frame};
use black_box::{Binary, Client, Message, Server, header, suite};

suite! {
    a_stalled_reader_stalls_nobody,
    a_lagging_member_talks_on,
    a_publisher_that_never_reads,
    a_lagging_member_can_be_replaced,
    large_messages_reach_who_reads,
    a_replay_that_nobody_takes,
    a_joiner_on_a_full_server,
}

const SIZE: usize = 64 * 1024;

/// More than what the kernel takes for a socket that nobody reads from: it is in progress for ever.
const HUGE: usize = 16 << 20;

/// Message `number`, `size` bytes long.
fn numbered(number: u64, size: usize) -> Message {
    let mut message = vec![number as u8; size];
    message[..8].copy_from_slice(&number.to_be_bytes());
    Message::binary(message)
}

/// A member that can hold only little unread.
fn narrow(server: &Server, uid: &str, channel: &str) -> Client {
    let mut client = Client::open(server.narrow_tls());
    client.join(uid, channel);
    client
}

/// Whether the server has said that a session is lagging.
fn is_lagging(server: &Server) -> bool {
    server
        .log()
        .lines()
        .iter()
        .any(|line| line.contains(" lags: "))
}

/// Sends messages, one after the other, until somebody lags; `each` is called after each. Says how many.
fn publish_until_lagging(
    server: &Server,
    publisher: &mut Client,
    size: usize,
    mut each: impl FnMut(&Message),
) -> u64 {
    for number in 0..1000 {
        if is_lagging(server) {
            return number;
        }
        let message = numbered(number, size);
        publisher.send(message.clone());
        each(&message);
    }
    panic!("{size} bytes a thousand times, and nobody is lagging");
}

/// L2.2, L2.4, L2.5, L2.7, L3.1, L3.3, X1.3: the others get everything at once; the one that reads again finds a prefix
/// without holes, then 4008, and gets all the rest from the history.
fn a_stalled_reader_stalls_nobody(binary: &Binary) {
    let server = Server::start(binary, &["--history-channel-bytes", "64MiB"], &[]);
    let mut publisher = server.join("publisher", "stall");
    let mut stalled = narrow(&server, "stalled", "stall");
    let mut others: Vec<_> = (0..5)
        .map(|n| server.join(&format!("{n}"), "stall"))
        .collect();
    for (number, other) in others.iter_mut().enumerate() {
        let before = ["publisher".to_owned(), "stalled".to_owned()].into_iter();
        let uids = before.chain((0..5).filter(|n| *n != number).map(|n| n.to_string()));
        other.expect(uids.map(|uid| header(&uid, "stall")));
    }
    let mut sent = publish_until_lagging(&server, &mut publisher, SIZE, |message| {
        others
            .iter_mut()
            .for_each(|other| other.expect([message.clone()]));
    });
    for _ in 0..10 {
        publisher.send(numbered(sent, SIZE));
        others
            .iter_mut()
            .for_each(|other| other.expect([numbered(sent, SIZE)]));
        sent += 1;
    }
    let mut number = 0;
    let close = loop {
        match stalled.next_frame() {
            Message::Close(close) => break close.unwrap(),
            Message::Text(_) => assert_eq!(number, 0, "announcements first"),
            message => {
                assert!(message == numbered(number, SIZE), "message {number}");
                number += 1;
            }
        }
    };
    assert_eq!(u16::from(close.code), 4008);
    assert!(number < sent, "{number} of {sent}");
    stalled.expect_end();
    let mut again = server.join("stalled", "stall");
    let mut expected = 0;
    while expected < sent.min(200) {
        if again.recv() == numbered(expected + sent.saturating_sub(200), SIZE) {
            expected += 1;
        }
    }
}

/// L2.1, L2.6, K1.4: it is a member still, and what it says is heard.
fn a_lagging_member_talks_on(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut publisher = server.join("publisher", "talks");
    let mut stalled = narrow(&server, "stalled", "talks");
    publisher.expect([header("stalled", "talks")]);
    publish_until_lagging(&server, &mut publisher, HUGE, |_| {});
    for number in 0..10 {
        stalled.send(format!("{number}"));
        publisher.expect([format!("{number}")]);
    }
    let mut newcomer = server.join("newcomer", "talks");
    stalled.send("to the newcomer");
    while newcomer.recv() != Message::text("to the newcomer") {}
}

/// L2.1, L2.3: two that flood each other, one of which never reads: the other misses nothing.
fn a_publisher_that_never_reads(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut deaf = narrow(&server, "deaf", "flood");
    let mut reader = server.join("reader", "flood");
    reader.expect([header("deaf", "flood")]);
    publish_until_lagging(&server, &mut reader, HUGE, |_| {});
    for number in 0..400 {
        reader.send(numbered(number, SIZE));
        deaf.send(numbered(number, SIZE));
        reader.expect([numbered(number, SIZE)]);
    }
}

/// J1.9, X1.7: who lags and does not answer either gives its place up, although its socket takes no close frame.
fn a_lagging_member_can_be_replaced(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "300ms"], &[]);
    let mut publisher = server.join("publisher", "replaced");
    let stalled = narrow(&server, "stalled", "replaced");
    publish_until_lagging(&server, &mut publisher, HUGE, |_| {});
    let mut next = server.join("stalled", "replaced");
    publisher.expect(["stalled"; 2].map(|uid| header(uid, "replaced")));
    next.send("I am the one now");
    publisher.expect(["I am the one now"]);
    drop(stalled);
}

/// L3.2: far above the outbox, and delivered to everyone who reads, history included.
fn large_messages_reach_who_reads(binary: &Binary) {
    const LARGE: usize = 4 << 20;
    let server = Server::start(binary, &["--outbox", "4KiB"], &[]);
    let mut publisher = server.join("publisher", "large");
    let mut readers: Vec<_> = (0..3)
        .map(|n| server.join(&format!("{n}"), "large"))
        .collect();
    for reader in &mut readers {
        reader.recv_until_settled();
    }
    for number in 0..3 {
        publisher.send(numbered(number, LARGE));
        readers
            .iter_mut()
            .for_each(|reader| reader.expect([numbered(number, LARGE)]));
    }
    let mut late = server.join("late", "large");
    while late.recv() != numbered(2, LARGE) {}
}

/// L3.7, L3.6: a replay that is not taken in time makes its member lagging; one that is, does not.
fn a_replay_that_nobody_takes(binary: &Binary) {
    let args = [
        "--replay-timeout",
        "500ms",
        "--history-channel-bytes",
        "64MiB",
        "--outbox",
        "4KiB",
    ];
    let server = Server::start(binary, &args, &[]);
    let mut publisher = server.join("publisher", "replay");
    for number in 0..150 {
        publisher.send(numbered(number, SIZE));
    }
    publisher.settle();
    let mut reads = server.join("reads", "replay");
    reads.expect([header("publisher", "replay")]);
    reads.expect((0..150).map(|number| numbered(number, SIZE)));
    let mut stalled = Client::open(server.narrow_tls());
    stalled.send_bytes(&frame(TEXT, header("stalled", "replay").as_bytes()));
    server.log().wait_for(" lags: ").unwrap();
    publisher.send("live");
    reads.expect([header("stalled", "replay"), "live".into()]);
    let mut got = 0;
    loop {
        match stalled.next_frame() {
            Message::Close(close) => {
                assert_eq!(u16::from(close.unwrap().code), 4008);
                break;
            }
            Message::Text(_) => assert_eq!(got, 0),
            message => {
                assert!(message == numbered(got, SIZE), "message {got}");
                got += 1;
            }
        }
    }
    assert!(got < 150);
}

/// L3.9, M3.7, J2.4: where all memory for history is in use, quiet channels lose theirs before a joiner on
/// a busy one loses what it is still to be sent.
fn a_joiner_on_a_full_server(binary: &Binary) {
    let args = [
        "--history-bytes",
        "24MiB",
        "--history-channel-bytes",
        "12MiB",
        "--outbox",
        "8MiB",
    ];
    let server = Server::start(binary, &args, &[]);
    for quiet in ["old", "older"] {
        let mut member = server.join("member", quiet);
        (0..200).for_each(|number| member.send(numbered(number, SIZE)));
        member.settle();
    }
    let mut publisher = server.join("publisher", "busy");
    (0..150).for_each(|number| publisher.send(numbered(number, SIZE)));
    publisher.settle();
    let mut joiner = Client::open(server.narrow_tls());
    joiner.send_bytes(&frame(TEXT, header("joiner", "busy").as_bytes()));
    publisher.expect([header("joiner", "busy")]);
    (150..250).for_each(|number| publisher.send(numbered(number, SIZE)));
    publisher.settle();
    joiner.expect([header("publisher", "busy")]);
    joiner.expect((0..250).map(|number| numbered(number, SIZE)));
    assert!(joiner.leave().is_empty());
    assert!(!is_lagging(&server));
}
