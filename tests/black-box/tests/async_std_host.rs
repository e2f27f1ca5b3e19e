//! The connection driver of the server on smol on another executor, async-std: `examples/async-std-host`. That it is the
//! same driver is why these are few: they go through each part of it, and through what is the host's.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use black_box::wire::{TEXT, frame};
use black_box::{Binary, Client, Launch, Message, Server, Signal, header, tests_of, tls};
use rustls::version::{TLS12, TLS13};

tests_of! {
    async_std: &black_box::ASYNC_STD;
    #[ignore = "builds a workspace of its own with async-std: run by .ci/run"]
    messages_and_history,
    #[ignore = "builds a workspace of its own with async-std: run by .ci/run"]
    violations,
    #[ignore = "builds a workspace of its own with async-std: run by .ci/run"]
    a_refused_handshake,
    #[ignore = "builds a workspace of its own with async-std: run by .ci/run"]
    who_does_not_read_stops_nobody,
    #[ignore = "builds a workspace of its own with async-std: run by .ci/run"]
    an_unfinished_connection_gives_way,
    #[ignore = "builds a workspace of its own with async-std: run by .ci/run"]
    everybody_is_told_of_the_end,
    #[ignore = "builds a workspace of its own with async-std: run by .ci/run"]
    a_client_that_never_answers,
    #[ignore = "builds a workspace of its own with async-std: run by .ci/run"]
    what_it_has_not_is_refused,
}

/// J2.2, M1.1, M1.3: two talk, and a third gets what they have said, in order.
fn messages_and_history(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut alice = server.join("alice", "talk");
    let mut bob = server.join("bob", "talk");
    alice.expect([header("bob", "talk")]);
    bob.expect([header("alice", "talk")]);
    let mut said = Vec::new();
    for length in [0, 1, 125, 126, 65_536, 1_000_000] {
        let (text, bytes) = ("x".repeat(length), vec![0xff; length]);
        alice.send(text.clone());
        bob.expect([text.clone()]);
        bob.send(Message::binary(bytes.clone()));
        alice.expect([Message::binary(bytes.clone())]);
        said.extend([Message::text(text), Message::binary(bytes)]);
    }
    let mut carol = server.join("carol", "talk");
    carol.expect(["alice", "bob"].map(|uid| header(uid, "talk")));
    carol.expect(said);
    server.assert_quiet();
}

/// M4.2, M4.4, M4.5, X1.7: each gets its code and its end, and the others notice nothing of it.
fn violations(binary: &Binary) {
    let server = Server::start(binary, &["--max-message", "4KiB"], &[]);
    let mut watcher = server.join("watcher", "broken");
    for (code, bad) in [
        (1002, frame(0x83, b"")),
        (1007, frame(TEXT, b"\xff")),
        (1009, frame(TEXT, &[b'x'; 5000])),
    ] {
        let mut client = server.join("alice", "broken");
        watcher.expect([header("alice", "broken")]);
        client.send("a good one");
        watcher.expect(["a good one"]);
        client.recv_until_settled();
        client.send_bytes(&bad);
        client.expect_close(code);
        client.expect_end();
    }
    server.assert_serves();
}

/// T1.1, T1.3, X1.14: a client that is refused in the handshake learns why from the alert, which TLS writes once.
fn a_refused_handshake(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(tls::config_of(&[version], &["h2"]));
        let error = tls::connect(server.tcp(), &config).expect_err("no handshake");
        let error = error.to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
    }
    let answer = black_box::request(server.tcp(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.status, 400);
    server.assert_serves();
}

/// L2.2, L3.1: who reads gets everything at once, who does not gets 4008 when it does again.
fn who_does_not_read_stops_nobody(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut publisher = server.join("publisher", "stall");
    let mut stalled = Client::open(server.narrow_tls());
    stalled.join("stalled", "stall");
    let mut bob = server.join("bob", "stall");
    bob.expect(["publisher", "stalled"].map(|uid| header(uid, "stall")));
    let is_lagging = |line: &String| line.contains(" lags: ");
    for number in 0.. {
        assert!(number < 1000, "64 KiB a thousand times, and nobody lags");
        if server.log().lines().iter().any(is_lagging) {
            break;
        }
        let message = Message::binary(vec![number as u8; 64 * 1024]);
        publisher.send(message.clone());
        bob.expect([message]);
    }
    loop {
        match stalled.next_frame() {
            Message::Close(close) => break assert_eq!(u16::from(close.unwrap().code), 4008),
            message => assert!(message.is_text() || message.is_binary()),
        }
    }
    server.assert_serves();
}

/// X1.12: of connections that are no sessions the oldest is dropped when there are too many.
fn an_unfinished_connection_gives_way(binary: &Binary) {
    let server = Server::start(binary, &["--filelimit", "1"], &[]);
    let mut oldest = server.tcp();
    server.assert_serves();
    match oldest.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// X1.8, X1.1: 1012 to sessions in every state, exit code 0, in no time.
fn everybody_is_told_of_the_end(binary: &Binary) {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(binary, &[], &[]);
        let mut alice = server.join("alice", "end");
        let mut bob = server.join("bob", "end");
        let mut newcomer = server.open();
        alice.expect([header("bob", "end")]);
        bob.expect([header("alice", "end")]);
        let began = Instant::now();
        server.signal(signal);
        for client in [&mut alice, &mut bob, &mut newcomer] {
            client.expect_close(1012);
            client.expect_end();
        }
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{ended:?}");
    }
}

/// X1.7: within 5 s, although one of them never answers the close frame.
fn a_client_that_never_answers(binary: &Binary) {
    let mut server = Server::start(binary, &[], &[]);
    let client = server.join("alice", "end");
    let began = Instant::now();
    server.signal(Signal::TERM);
    let ended = server.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{ended:?}");
    drop(client);
}

/// Settings that would do nothing here, and the clients, get one line.
fn what_it_has_not_is_refused(binary: &Binary) {
    let subscribe = ["sub", "wss://localhost", "--channel", "c"];
    let peer = ["--port", "0", "--peer", "wss://localhost"];
    let bridge = ["--port", "0", "--bridge", "wss://localhost"];
    let metrics = ["--port", "0", "--metrics", "0"];
    let threads = ["--port", "0", "--threads", "2"];
    let all: [&[&str]; 5] = [&subscribe, &peer, &bridge, &metrics, &threads];
    for args in all {
        let launch = Launch::new(binary).args(args);
        let ended = launch.env("MLES_PEER_KEY", "secret").run();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert_eq!(ended.stderr.len(), 1, "{ended:?}");
        assert!(ended.stderr[0].starts_with("error: "), "{ended:?}");
    }
}
