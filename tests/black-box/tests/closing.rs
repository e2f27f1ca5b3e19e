//! How sessions end, and how fast the next one gets in.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use black_box::wire::{CLOSE, close};
use black_box::{Binary, Client, Message, Server, header, suite};

suite! {
    a_close_frame_is_answered,
    a_close_frame_and_the_end_of_the_stream,
    what_comes_behind_a_close_frame,
    the_end_without_a_word,
    a_client_that_never_closes_is_dropped,
    reconnecting_after_the_reply,
    reconnecting_without_the_reply,
    reconnecting_before_the_close,
    a_dead_client_is_replaced,
    killed_clients,
}

/// X1.1, X1.4, L1.1: with 1000, whatever the client's frame says, and before and after the join.
fn a_close_frame_is_answered(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut payloads = vec![vec![], close(1000, "bye"), close(1000, &"x".repeat(123))];
    payloads.extend(
        [1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4000, 4999].map(|code| close(code, "")),
    );
    for payload in payloads {
        let mut member = server.join("alice", "closing");
        let _replay = member.recv_until_settled();
        member.send_frame(CLOSE, &payload);
        member.expect_close(1000);
        let mut opened = server.open();
        opened.send_frame(CLOSE, &payload);
        opened.expect_close(1000);
    }
}

/// X1.4: whoever says that nothing else will come may still read.
fn a_close_frame_and_the_end_of_the_stream(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for number in 0..100 {
        for mut client in [
            server.join("alice", &format!("half {number}")),
            server.open(),
        ] {
            client.send_frame(CLOSE, &close(1000, ""));
            let ended = client.stream().sock.shutdown(Shutdown::Write);
            ended.expect("it is open");
            assert_eq!(client.recv_close().0, 1000);
        }
    }
}

/// X1.16: more than all sockets hold is taken, lest the answer is taken back by what nobody reads; and then no more.
fn what_comes_behind_a_close_frame(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for mut client in [server.join("alice", "behind"), server.open()] {
        let socket = socket2::SockRef::from(&client.stream().sock);
        let narrowed = socket.set_send_buffer_size(1 << 14);
        narrowed.expect("it is open");
        let mut bytes = black_box::wire::frame(CLOSE, &close(1000, ""));
        bytes.resize(768 << 10, 0);
        // A reset would have it fail.
        client.send_bytes(&bytes);
        client.expect_close(1000);
    }
}

/// X1.15, L1.1, L1.2: no close frame, no close_notify, a reset: the session has left, and that is all.
fn the_end_without_a_word(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "1h"], &[]);
    let mut watcher = server.join("watcher", "gone");
    for how in 0..3 {
        let mut client = server.join("alice", "gone");
        watcher.expect([header("alice", "gone")]);
        match how {
            0 => client.vanish(),
            1 => client.reset(),
            _ => {
                client.stream().conn.send_close_notify();
                client.send_bytes(b"");
                drop(client);
            }
        }
    }
    let mut alice = server.join("alice", "gone");
    watcher.expect([header("alice", "gone")]);
    alice.send("here");
    watcher.expect(["here"]);
}

/// X1.7: 5 s after the decision to close the connection is gone, although the client never answers.
fn a_client_that_never_closes_is_dropped(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut client = server.join("alice", "stubborn");
    let mut incumbent = server.join("bob", "stubborn");
    client.send_frame(0x83, b"");
    let mut second = server.open();
    second.send(header("bob", "stubborn"));
    incumbent.expect([header("alice", "stubborn")]);
    incumbent.expect_ping();
    incumbent.flush();
    let began = Instant::now();
    let mut bytes = Vec::new();
    for stream in [client.stream(), second.stream()] {
        // Reads, but answers nothing, and keeps its end open.
        let read = std::io::Read::read_to_end(stream, &mut bytes);
        assert!(read.is_ok() || bytes.len() > 4, "{read:?}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    // Nobody is left: the server can go at once.
    drop(incumbent);
    let began = Instant::now();
    assert!(server.stop().status.success());
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

/// J1.8: the usual way, with a new connection once the close frame is answered.
fn reconnecting_after_the_reply(binary: &Binary) {
    reconnect(binary, |server, mut old| {
        old.close(1000);
        while !matches!(old.next_frame(), Message::Close(_)) {}
        let mut new = server.open();
        new.send(header("alice", "again"));
        new
    });
}

/// J1.8: the header follows the close frame at once, on a connection that is open already.
fn reconnecting_without_the_reply(binary: &Binary) {
    reconnect(binary, |server, mut old| {
        let mut new = server.open();
        old.close(1000);
        new.send(header("alice", "again"));
        new
    });
}

/// J1.6: the header overtakes the close frame.
fn reconnecting_before_the_close(binary: &Binary) {
    reconnect(binary, |server, mut old| {
        let mut new = server.open();
        new.send(header("alice", "again"));
        old.close(1000);
        new
    });
}

/// Who closes and comes back with the same names gets in on the first try, each time: 1 000 times.
fn reconnect(binary: &Binary, again: impl Fn(&Server, Client) -> Client) {
    let server = Server::start(binary, &["--probe-timeout", "1h"], &[]);
    let mut watcher = server.join("watcher", "again");
    let mut client = server.join("alice", "again");
    watcher.expect([header("alice", "again")]);
    for time in 0..1000 {
        client = again(&server, client);
        client.settle();
        watcher.expect([header("alice", "again")]);
        client.send(format!("{time}"));
        watcher.expect([format!("{time}")]);
    }
}

/// J1.5: a client whose network died, with the server's own times, is replaced within 6 s.
fn a_dead_client_is_replaced(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut dead = server.join("alice", "dead");
    dead.send("my last words");
    dead.settle();
    let began = Instant::now();
    let mut next = server.join("alice", "dead");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    next.expect([header("alice", "dead"), "my last words".into()]);
    drop(dead);
}

/// X1.15: a hundred clients that die in every state, and the channel does not notice.
fn killed_clients(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "1h"], &[]);
    let mut alice = server.join("alice", "killed");
    let mut bob = server.join("bob", "killed");
    alice.expect([header("bob", "killed")]);
    for number in 0..100 {
        match number % 5 {
            0 => drop(server.tls()),
            1 => server.open().reset(),
            2 => server.open().vanish(),
            3 => {
                let client = server.join(&format!("{number}"), "killed");
                alice.expect([header(&format!("{number}"), "killed")]);
                client.reset();
            }
            _ => {
                let mut client = server.open();
                client.send(header("alice", "killed"));
                client.reset();
            }
        }
        bob.send(format!("round {number}"));
        while alice.recv() != Message::text(format!("round {number}")) {}
    }
}
