//! What the server tells its operator.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use black_box::{Binary, Server, Signal, header, suite, upgrade_request};

suite! {
    a_line_of_numbers,
    numbers_to_the_end,
}

/// The numbers of the next line, by name.
fn numbers(server: &Server) -> impl Fn(&str) -> u64 {
    server.signal(Signal::USR1);
    let line = server.log().wait_for("stats uptime_seconds=").unwrap();
    assert!(line.contains(" INFO "), "{line}");
    move |name| {
        let mut pairs = line.split(' ').filter_map(|word| word.split_once('='));
        let found = pairs.find(|(key, _)| *key == name);
        found
            .unwrap_or_else(|| panic!("{name} in {line}"))
            .1
            .parse()
            .unwrap()
    }
}

/// SIGUSR1 has it logged how the server is; nobody is named, and nothing ends.
fn a_line_of_numbers(binary: &Binary) {
    let server = Server::start(binary, &["--max-sessions", "2", "--threads", "2"], &[]);
    let mut alice = server.join("alice", "numbers");
    let mut bob = server.join("bob", "numbers");
    alice.send("hello");
    alice.settle();
    let request = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(black_box::request(server.tls(), request).status, 404);
    let third = upgrade_request("/", &["Sec-WebSocket-Protocol: mles-websocket"]);
    assert_eq!(black_box::request(server.tls(), &third).status, 503);
    let number = numbers(&server);
    for (name, value) in [
        ("sessions", 2),
        ("opening", 0),
        ("lagging", 0),
        ("channels", 1),
        ("joins", 2),
        ("messages", 1),
        ("message_bytes", 5),
        ("threads", 2),
        ("accepted", 4),
        ("refused_rate_limit", 0),
        ("refused_max_sessions", 1),
        ("violations", 0),
        ("breaches", 0),
        ("history_limit_bytes", 64 << 20),
    ] {
        assert_eq!(number(name), value, "{name}");
    }
    assert!(number("history_bytes") > 0 && number("resident_bytes") > 1 << 20);
    (0..10).for_each(|_| server.signal(Signal::USR1));
    bob.expect([header("alice", "numbers"), "hello".to_owned()]);
    bob.send("and on");
    alice.expect([header("bob", "numbers"), "and on".to_owned()]);
}

/// It is no signal to end, not even while the server ends.
fn numbers_to_the_end(binary: &Binary) {
    let mut server = Server::start(binary, &[], &[]);
    let stays = server.join("alice", "end");
    server.signal(Signal::TERM);
    server.log().wait_for("stopping").unwrap();
    assert_eq!(numbers(&server)("joins"), 1);
    drop(stays);
    assert_eq!(server.wait().status.code(), Some(0));
}
