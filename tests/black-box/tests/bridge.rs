//! A server that is bridged to one that knows no peering: what crosses, what does not, and what is said when it does
//! not work. The other one is a server of ours that takes no peers, or the public one.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::sync::Arc;

use black_box::{
    Binary, Client, Launch, Message, Pair, Server, Signal, TempDir, fingerprint, header, pairs,
    peer_url, suite, unused_port,
};

pairs! {
    messages_cross_both_ways,
    a_server_that_comes_back,
    a_bridge_that_comes_back_empty,
    the_clients_key,
    another_key,
    a_certificate_that_is_not_trusted,
    no_room_there,
}

suite! {
    nobody_there,
}

/// A server that is bridged to another, whose certificate it knows by its fingerprint.
fn bridged(binary: &Binary, far: &Server) -> Launch {
    Launch::new(binary)
        .args(&["--bridge", &peer_url(far)])
        .args(&["--peer-fingerprint", &fingerprint(far)])
}

/// What is neither an announcement nor comes twice: the next messages of a client.
fn expect_texts(client: &mut Client, texts: &[&str]) {
    for text in texts {
        let got = loop {
            let message = client.recv();
            if !message.to_text().unwrap().starts_with("{\"uid\"") {
                break message;
            }
        };
        assert_eq!(got, Message::text(*text));
    }
}

/// B1.1, B1.4, B1.5: eve is at a server without peering; alice, at the bridged one, finds what she said before.
fn messages_cross_both_ways(pair: &Pair) {
    let far = Server::start(&pair.0, &[], &[]);
    let near = bridged(&pair.1, &far).start();
    let mut eve = far.join("eve", "c");
    eve.send("before");
    let mut alice = near.join("alice", "c");
    alice.expect([header("eve", "c"), "before".to_owned()]);
    let session = eve.recv();
    let session = session.to_text().unwrap();
    assert!(
        session.starts_with("{\"uid\":\"") && session.len() == header(&"f".repeat(32), "c").len()
    );
    eve.expect([header("alice", "c")]);
    for round in 0..3 {
        alice.send(format!("from here {round}"));
        eve.expect([format!("from here {round}")]);
        let bytes = Message::binary(vec![round; 70_000]);
        eve.send(bytes.clone());
        alice.expect([bytes]);
    }
    // What both say is not taken for an echo.
    alice.send("hi");
    eve.expect(["hi"]);
    eve.send("hi");
    alice.expect(["hi"]);
    assert!(alice.leave().is_empty());
    assert!(eve.leave().is_empty());
    assert!(near.log().wait_for("bridged to wss://localhost").is_some());
}

/// B1.8: what is said while the other server is away arrives when it is back; nothing is repeated here.
fn a_server_that_comes_back(pair: &Pair) {
    let home = Arc::new(TempDir::new());
    let port = unused_port().to_string();
    let start = || {
        Launch::new(&pair.0)
            .home(&home)
            .args(&["--port", &port])
            .start()
    };
    let far = start();
    let near = bridged(&pair.1, &far).start();
    let mut eve = far.join("eve", "c");
    eve.send("before");
    let mut alice = near.join("alice", "c");
    expect_texts(&mut alice, &["before"]);
    alice.send("to eve");
    expect_texts(&mut eve, &["to eve"]);
    far.signal(Signal::KILL);
    assert!(near.log().wait_for("is down").is_some());
    drop(far);
    alice.send("meanwhile");
    let far = start();
    let mut frank = far.join("frank", "c");
    loop {
        let message = frank.recv();
        if message == Message::text("meanwhile") {
            break;
        }
    }
    frank.send("welcome");
    expect_texts(&mut alice, &["welcome"]);
    assert!(alice.leave().is_empty());
}

/// B1.6: the bridged server comes back empty, and gets the history from the other, which gets nothing twice.
fn a_bridge_that_comes_back_empty(pair: &Pair) {
    let far = Server::start(&pair.0, &[], &[]);
    let near = bridged(&pair.1, &far).start();
    let mut eve = far.join("eve", "c");
    let mut alice = near.join("alice", "c");
    alice.expect([header("eve", "c")]);
    for text in ["one", "two", "two"] {
        alice.send(text);
    }
    expect_texts(&mut eve, &["one", "two", "two"]);
    near.signal(Signal::KILL);
    drop(near);
    let near = bridged(&pair.1, &far).start();
    let mut bob = near.join("bob", "c");
    expect_texts(&mut bob, &["one", "two", "two"]);
    bob.send("three");
    expect_texts(&mut eve, &["three"]);
    eve.send("four");
    expect_texts(&mut bob, &["four"]);
}

/// B1.1: with a key, the other server has the same.
fn the_clients_key(pair: &Pair) {
    let key = ("MLES_KEY", "mles-devel-frank");
    let far = Server::start(&pair.0, &[], &[key]);
    let near = bridged(&pair.1, &far).env(key.0, key.1).start();
    let auth = "{\"uid\":\"alice\",\"channel\":\"example\",\"auth\":\"cddd69d5f9771d66\"}";
    let mut alice = near.open();
    alice.send(auth);
    assert!(near.log().wait_for("bridged to").is_some());
    // The same client, elsewhere: uids are a server's own.
    let mut other = far.open();
    other.send(auth);
    alice.send("known to both");
    expect_texts(&mut other, &["known to both"]);
    other.send("and back");
    expect_texts(&mut alice, &["and back"]);
}

/// B1.10: told once, with what to do.
fn another_key(pair: &Pair) {
    let far = Server::start(&pair.0, &[], &[("MLES_KEY", "another")]);
    let near = bridged(&pair.1, &far).start();
    let _alice = near.join("alice", "c");
    let line = near
        .log()
        .wait_for("its clients' key is another one")
        .unwrap();
    assert!(
        line.contains(" WARN ") && line.contains(&peer_url(&far)),
        "{line}"
    );
}

fn nobody_there(binary: &Binary) {
    let bridge = format!("wss://localhost:{}", unused_port());
    let near = Server::start(binary, &["--bridge", &bridge], &[]);
    let _alice = near.join("alice", "c");
    let line = near
        .log()
        .wait_for("cannot be reached: nobody listens")
        .unwrap();
    assert!(line.contains(" WARN ") && line.contains(&bridge), "{line}");
    let tried = |lines: &[String]| {
        lines
            .iter()
            .filter(|it| it.contains("nobody listens"))
            .count()
    };
    near.log().wait_until(|lines| tried(lines) > 3);
    let told = |it: &&String| it.contains("nobody listens") && !it.contains(" DEBUG ");
    assert_eq!(near.log().lines().iter().filter(told).count(), 1);
}

fn a_certificate_that_is_not_trusted(pair: &Pair) {
    let far = Server::start(&pair.0, &[], &[]);
    let near = Launch::new(&pair.1)
        .args(&["--bridge", &peer_url(&far)])
        .start();
    let _alice = near.join("alice", "c");
    let line = near
        .log()
        .wait_for("its certificate is not trusted: ")
        .unwrap();
    assert!(
        line.contains(" WARN ") && line.contains("--peer-fingerprint"),
        "{line}"
    );
}

/// One that has no room, for a while.
fn no_room_there(pair: &Pair) {
    // No WebSocket is granted to who may not have a session.
    let full = Launch::new(&pair.0).args(&["--max-sessions", "1"]).start();
    let _last = full.join("last", "c");
    let near = bridged(&pair.1, &full).start();
    let _alice = near.join("alice", "c");
    let line = near.log().wait_for("HTTP 503").unwrap();
    assert!(line.contains("it has no room now"), "{line}");
}
