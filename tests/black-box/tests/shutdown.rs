//! How the process ends.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use std::time::{Duration, Instant};

use black_box::{Binary, Client, Ended, Message, Server, Signal, header, suite, upgrade_request};

suite! {
    everybody_is_told,
    everybody_answers,
    a_client_that_never_answers,
    a_client_that_never_reads,
    what_waits_goes_out_first,
    a_second_signal,
    no_newcomers,
}

/// It has ended as it should: with 0, and nothing to complain of.
#[track_caller]
fn assert_clean(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

/// X1.8, X1.1: 1012 to sessions in every state, exit code 0, in no time.
fn everybody_is_told(binary: &Binary) {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(binary, &[], &[]);
        let member = server.join("alice", "end");
        let opened = server.open();
        let mut newcomer = server.open();
        newcomer.send(header("alice", "end"));
        let mut other = server.join("bob", "end");
        other.expect([header("alice", "end")]);
        let began = Instant::now();
        server.signal(signal);
        for mut client in [other, opened, newcomer, member] {
            loop {
                match client.next_frame() {
                    Message::Close(close) => {
                        let close = close.unwrap();
                        assert_eq!(u16::from(close.code), 1012);
                        assert!(!close.reason.is_empty());
                        break;
                    }
                    Message::Ping(_) => {}
                    message => assert_eq!(message, Message::text(header("bob", "end"))),
                }
            }
            client.expect_end();
        }
        assert_clean(&server.wait());
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
    }
}

/// X1.7, X1.8: it ends when the last of fifty sessions has answered, and does not wait its time out.
fn everybody_answers(binary: &Binary) {
    let mut server = Server::start(binary, &[], &[]);
    let mut clients: Vec<_> = (0..50)
        .map(|number: u32| server.join(&number.to_string(), &format!("end {}", number % 10)))
        .collect();
    clients.iter_mut().for_each(|client| {
        client.recv_until_settled();
    });
    let began = Instant::now();
    server.signal(Signal::TERM);
    for client in &mut clients {
        assert_eq!(client.recv_close().0, 1012);
    }
    for client in &mut clients {
        client.expect_end();
    }
    let ended = server.wait();
    let took = began.elapsed();
    assert_clean(&ended);
    assert!(took < Duration::from_secs(3), "{took:?}");
    let last = ended.stderr.last().unwrap();
    assert!(!last.contains("in time"), "{last}");
}

/// X1.7: within 5 s, although one of them never answers the close frame.
fn a_client_that_never_answers(binary: &Binary) {
    let mut server = Server::start(binary, &[], &[]);
    let client = server.join("alice", "end");
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_clean(&server.wait());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(client);
}

/// X1.7: the same with one whose socket does not even take the close frame.
fn a_client_that_never_reads(binary: &Binary) {
    let mut server = Server::start(binary, &[], &[]);
    let mut stalled = Client::open(server.narrow_tls());
    stalled.join("stalled", "end");
    let mut alice = server.join("alice", "end");
    (0..2).for_each(|_| alice.send(Message::binary(vec![0; 16 << 20])));
    alice.settle();
    let began = Instant::now();
    server.signal(Signal::TERM);
    let told = std::thread::spawn(move || {
        alice.expect([header("stalled", "end")]);
        alice.expect_close(1012);
    });
    assert_clean(&server.wait());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    told.join().unwrap();
    drop(stalled);
}

/// X1.5: what was accepted reaches who reads, and 1012 comes behind it.
fn what_waits_goes_out_first(binary: &Binary) {
    const COUNT: usize = 80;
    let mut server = Server::start(
        binary,
        &["--outbox", "64MiB", "--max-message", "16MiB"],
        &[],
    );
    let mut bob = Client::open(server.narrow_tls());
    bob.join("bob", "end");
    let mut alice = server.join("alice", "end");
    let message = |number: usize| format!("{number} {}", "x".repeat(100_000));
    (0..COUNT).for_each(|number| alice.send(message(number)));
    alice.settle();
    server.signal(Signal::TERM);
    server.log().wait_for("stopping").unwrap();
    bob.expect([header("alice", "end")]);
    bob.expect((0..COUNT).map(message));
    bob.expect_close(1012);
    alice.expect([header("bob", "end")]);
    alice.expect_close(1012);
    assert_clean(&server.wait());
}

/// It does not wait for anybody then.
fn a_second_signal(binary: &Binary) {
    let mut server = Server::start(binary, &[], &[]);
    let client = server.join("alice", "end");
    let began = Instant::now();
    server.signal(Signal::TERM);
    server.log().wait_for("stopping").unwrap();
    server.signal(Signal::INT);
    server.wait();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    drop(client);
}

/// X1.10: while it ends it takes no connections, and an upgrade under way gets 503, as does who asks
/// how it is.
fn no_newcomers(binary: &Binary) {
    let mut server = Server::start(binary, &[], &[]);
    let stays = server.join("alice", "end");
    let late = server.tls();
    let probe = server.tls();
    server.signal(Signal::TERM);
    server.log().wait_for("stopping").unwrap();
    let request = upgrade_request("/", &["Sec-WebSocket-Protocol: mles-websocket"]);
    let response = black_box::request(late, &request);
    assert_eq!(response.status, 503);
    assert!(response.field("Retry-After").is_some());
    let response = black_box::request(probe, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(response.status, 503);
    let refused = std::net::TcpStream::connect(server.address());
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    drop(stays);
    assert_clean(&server.wait());
}
