//! Joins, duplicates and keep-alive.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use std::time::{Duration, Instant};

use black_box::wire::{PING, PONG, TEXT, TEXT_BEGINS, frame};
use black_box::{Binary, Client, Message, Server, header, suite, tls};

suite! {
    an_incumbent_that_lives_stays,
    an_incumbent_that_talks_stays,
    an_incumbent_that_is_silent_is_replaced,
    an_incumbent_that_leaves_makes_room,
    one_newcomer_waits,
    a_newcomer_that_gives_up_changes_nothing,
    a_client_that_says_all_and_goes,
    a_client_with_nagles_algorithm,
    names_are_bytes,
    announcements,
    pings_and_their_answers,
    silence_ends_a_session,
}

/// A newcomer's WebSocket with its header sent, not waiting for anything.
fn knock(server: &Server, uid: &str, channel: &str) -> Client {
    let mut client = server.open();
    client.send(header(uid, channel));
    client
}

/// J1.1, J1.2, J1.3: a ping at once, and with the pong 4002 for the newcomer, which has got nothing.
fn an_incumbent_that_lives_stays(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut alice = server.join("alice", "one place");
    alice.send("mine");
    let began = Instant::now();
    for _ in 0..3 {
        let mut newcomer = knock(&server, "alice", "one place");
        newcomer.send("not yours");
        alice.expect_ping();
        alice.flush();
        newcomer.expect_close(4002);
    }
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "without waiting for the probe's time"
    );
    let mut bob = server.join("bob", "one place");
    bob.expect([header("alice", "one place"), "mine".into()]);
    alice.expect([header("bob", "one place")]);
}

/// J1.4: without a pong, but with part of a message, the newcomer is closed at the end of the time.
fn an_incumbent_that_talks_stays(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "700ms"], &[]);
    let mut alice = server.join("alice", "talk");
    let mut bob = server.join("bob", "talk");
    bob.expect([header("alice", "talk")]);
    alice.expect([header("bob", "talk")]);
    let began = Instant::now();
    let mut newcomer = knock(&server, "alice", "talk");
    alice.expect_ping();
    alice.send_frame(TEXT_BEGINS, b"a part ");
    newcomer.expect_close(4002);
    assert!(began.elapsed() >= Duration::from_millis(700));
    alice.send_frame(0x80, b"of a message");
    bob.expect(["a part of a message"]);
}

/// J1.5: 4005 for the incumbent, the place and the replay for the newcomer.
fn an_incumbent_that_is_silent_is_replaced(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "500ms"], &[]);
    let mut alice = server.join("alice", "silence");
    alice.send("before");
    alice.settle();
    let began = Instant::now();
    let mut newcomer = server.join("alice", "silence");
    assert!(began.elapsed() >= Duration::from_millis(500));
    newcomer.expect([header("alice", "silence"), "before".into()]);
    newcomer.send("after");
    newcomer.settle();
    // The ping, and nothing of what its successor said.
    alice.expect_close(4005);
}

/// J1.6, J1.8: whichever way it leaves.
fn an_incumbent_that_leaves_makes_room(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "1h"], &[]);
    for how in 0..4 {
        let channel = format!("left {how}");
        let mut alice = server.join("alice", &channel);
        let mut newcomer = knock(&server, "alice", &channel);
        alice.expect_ping();
        match how {
            0 => alice.close(1000),
            1 => alice.reset(),
            2 => alice.vanish(),
            _ => alice.send_frame(0x83, b"an unknown opcode"),
        }
        newcomer.settle();
        newcomer.expect([header("alice", &channel)]);
    }
}

/// J1.7: every further newcomer gets 4002 at once, and the incumbent one ping.
fn one_newcomer_waits(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "1h"], &[]);
    let mut alice = server.join("alice", "queue");
    let mut first = knock(&server, "alice", "queue");
    alice.expect_ping();
    for _ in 0..3 {
        knock(&server, "alice", "queue").expect_close(4002);
    }
    let mut bob = server.join("bob", "queue");
    // tungstenite has queued its pong: the next frame to be sent would take it along.
    assert_eq!(alice.next_frame(), Message::text(header("bob", "queue")));
    first.expect_close(4002);
    bob.expect([header("alice", "queue")]);
}

/// J1.10: nothing has changed for the incumbent, although it never answers the ping: it talks on, and the
/// next newcomer waits for it anew.
fn a_newcomer_that_gives_up_changes_nothing(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "500ms"], &[]);
    for how in 0..3 {
        let channel = format!("given up {how}");
        let mut alice = server.join("alice", &channel);
        let mut bob = server.join("bob", &channel);
        bob.expect([header("alice", &channel)]);
        let began = Instant::now();
        let mut newcomer = knock(&server, "alice", &channel);
        alice.expect([header("bob", &channel)]);
        alice.expect_ping();
        match how {
            0 => newcomer.reset(),
            1 => newcomer.vanish(),
            _ => {
                newcomer.send("behind the header");
                newcomer.vanish();
            }
        }
        while began.elapsed() < Duration::from_millis(800) {
            bob.send_frame(PING, b"");
            assert_eq!(bob.next_frame(), Message::Pong("".into()), "nobody joins");
        }
        bob.send("still there?");
        assert_eq!(
            alice.next_frame(),
            Message::text("still there?"),
            "{channel}"
        );
        bob.leave();
        alice.settle();
        let mut later = knock(&server, "alice", &channel);
        alice.expect_ping();
        alice.close(1000);
        later.settle();
        later.expect([
            header("alice", &channel),
            header("bob", &channel),
            "still there?".into(),
        ]);
    }
}

/// H2.3: what stands behind the header is processed, also of a client that has gone at once.
fn a_client_that_says_all_and_goes(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut watcher = server.join("watcher", "said");
    for number in 0..50 {
        let uid = format!("{number}");
        let mut all = frame(TEXT, header(&uid, "said").as_bytes());
        all.extend(frame(TEXT, b"first"));
        all.extend(frame(TEXT, b"second"));
        let mut client = server.open();
        client.send_bytes(&all);
        drop(client);
        watcher.expect([header(&uid, "said"), "first".into(), "second".into()]);
    }
}

/// A client that sends a small segment only once the one before is acknowledged need not wait for that: of
/// many joins one at least takes less than the 40 ms for which a system may delay an acknowledgement.
fn a_client_with_nagles_algorithm(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut least = Duration::MAX;
    for number in 0..100 {
        let began = Instant::now();
        let tcp = server.tcp();
        tcp.set_nodelay(false).unwrap();
        let mut client = Client::open(tls::connect(tcp, &tls::config()).unwrap());
        client.send(header(&number.to_string(), "segments"));
        client.send("a small message");
        client.settle();
        least = least.min(began.elapsed());
        if least < Duration::from_millis(35) {
            return;
        }
    }
    panic!("{least:?}");
}

/// H2.4, J1.1: no folding, no trimming, no normalisation; and the channel is part of the pair.
fn names_are_bytes(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "1h"], &[]);
    let names = [
        "alice", "Alice", "alice ", " alice", "é", "e\u{301}", "ａlice", "🦀",
    ];
    let mut members: Vec<_> = names
        .iter()
        .map(|name| server.join(name, "names"))
        .collect();
    let _others: Vec<_> = names
        .iter()
        .map(|name| server.join("alice", name))
        .collect();
    for (number, member) in members.iter_mut().enumerate() {
        let others = names
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number);
        member.expect(others.map(|(_, name)| header(name, "names")));
    }
}

/// J2.1, J2.3, J2.5, J3.3, J3.4, J3.5, J3.6, J3.8, J3.9, L1.2: who joins is told to the others, once in the history; who
/// leaves is not told.
fn announcements(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let told = |uid: &str| Message::text(header(uid, "told"));
    let mut alice = server.join("alice", "told");
    for _ in 0..3 {
        let mut bob = server.join("bob", "told");
        alice.expect([told("bob")]);
        bob.send("hello");
        alice.expect(["hello"]);
        bob.leave();
    }
    // Their own announcement is stored as such, another's as a message.
    alice.send(header("alice", "told"));
    alice.send(header("bob", "told"));
    alice.send(r#"{"uid":"alice", "channel":"told"}"#);
    let mut carol = server.join("carol", "told");
    carol.expect([
        "hello".into(),
        "hello".into(),
        told("bob"),
        "hello".into(),
        told("alice"),
        told("bob"),
        r#"{"uid":"alice", "channel":"told"}"#.into(),
    ]);
    alice.expect([told("carol")]);
    alice.send("the last");
    carol.expect(["the last"]);
}

/// K1.1, K1.3, M2.3: pings after silence; who answers, or says anything else, stays.
fn pings_and_their_answers(binary: &Binary) {
    let server = Server::start(binary, &["--ping-interval", "250ms"], &[]);
    let mut answers = server.join("answers", "alive");
    let mut talks = server.join("talks", "alive");
    talks.expect([header("answers", "alive")]);
    answers.expect([header("talks", "alive")]);
    let mut pings = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        match answers.next_frame() {
            Message::Ping(_) => {
                pings += 1;
                answers.flush();
                talks.send_frame(PONG, b"that nobody asked for");
                talks.send_frame(TEXT, b"talk");
            }
            message => assert_eq!(message, Message::text("talk"), "no pong is distributed"),
        }
    }
    assert!((2..=8).contains(&pings), "{pings} pings");
    answers.send("at the end");
    talks.expect(["at the end"]);
}

/// K1.1, K1.2, K1.4: three pings, then 4005.
fn silence_ends_a_session(binary: &Binary) {
    let server = Server::start(binary, &["--ping-interval", "250ms"], &[]);
    let mut silent = server.join("silent", "dead");
    let began = Instant::now();
    // Receiving has tungstenite answer at the next call: so nothing is received until it is over.
    server.log().wait_for("violated NoAnswer").unwrap();
    let took = began.elapsed();
    assert!((900..5000).contains(&took.as_millis()), "{took:?}");
    for _ in 0..3 {
        silent.expect_ping();
    }
    silent.expect_close(4005);
}
