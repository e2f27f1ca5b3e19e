//! The threads of a server: those that serve connections end with them, in whatever way a connection ends.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use black_box::wire::{CLOSE, TEXT, frame};
use black_box::{Binary, Client, Launch, Message, PEER_KEY, Pair, Server, header, suite, tls};
use black_box::{fingerprint, pairs, peer_url};

suite! {
    sessions_come_and_go,
    full_sockets,
    connections_that_never_become_sessions,
    displaced_connections,
    metrics_are_asked_for,
}

pairs! {
    links_come_and_go,
}

const COUNT: usize = 50;

/// Members of one channel, each of which knows all that it will be told.
fn members(server: &Server, channel: &str) -> Vec<Client> {
    let mut members: Vec<_> = (0..COUNT)
        .map(|number| server.join(&number.to_string(), channel))
        .collect();
    for member in &mut members {
        member.recv_until_settled();
    }
    members
}

/// As many threads more as there are connections, at least, if each has its own; else not one.
#[track_caller]
fn assert_serving(binary: &Binary, server: &Server, before: usize, connections: usize) {
    let now = server.threads();
    match binary.has_io_threads() {
        true => assert_eq!(now, before),
        false => assert!(now >= before + connections, "{now} threads"),
    }
}

/// X1.4, X1.15, L1.1, M4.4, J1.5, X1.7: fifty sessions at a time that end with a close frame, a reset, no word at all,
/// the end of their half, a violation, in the middle of a message, or because another takes their place.
fn sessions_come_and_go(binary: &Binary) {
    let server = Server::start(binary, &["--probe-timeout", "300ms"], &[]);
    let before = server.threads();
    for way in [
        "close frame",
        "reset",
        "vanished",
        "half closed",
        "violation",
        "within a message",
        "never reads its close frame",
        "replaced",
    ] {
        let mut members = members(&server, way);
        assert_serving(binary, &server, before, COUNT);
        match way {
            "close frame" => members.into_iter().for_each(|it| drop(it.leave())),
            "reset" => members.into_iter().for_each(Client::reset),
            "vanished" => members.into_iter().for_each(Client::vanish),
            "half closed" => {
                for member in &mut members {
                    member.stream().conn.send_close_notify();
                    member.send_bytes(b"");
                }
                server.wait_for_threads(before, way);
            }
            "violation" => {
                for mut member in members {
                    member.send_frame(0x83, b"");
                    member.expect_close(1002);
                }
            }
            "within a message" => {
                for mut member in members {
                    member.send_bytes(&frame(TEXT, b"never finished")[..9]);
                    member.vanish();
                }
            }
            "never reads its close frame" => {
                for member in &mut members {
                    member.send_frame(CLOSE, b"");
                }
                // They are there until now, and do nothing.
                server.wait_for_threads(before, way);
            }
            "replaced" => {
                let mut newcomers: Vec<_> = (0..COUNT)
                    .map(|number| {
                        let mut newcomer = server.open();
                        newcomer.send(header(&number.to_string(), way));
                        newcomer
                    })
                    .collect();
                newcomers.iter_mut().for_each(Client::settle);
                for mut member in members {
                    assert_eq!(end(&mut member), 4005);
                }
                drop(newcomers);
            }
            _ => panic!("{way}?"),
        }
        server.wait_for_threads(before, way);
        server.wait_for_number("sessions", 0, way);
    }
    server.assert_serves();
}

/// X1.15: whoever reads nothing and ends its half of the connection is gone, however much waits for it, and so is its
/// socket.
fn full_sockets(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let before = server.threads();
    let mut publisher = server.join("publisher", "full");
    let mut members: Vec<_> = (0..10)
        .map(|number: u32| {
            let mut client = Client::open(server.narrow_tls());
            client.join(&number.to_string(), "full");
            client
        })
        .collect();
    // The kernel does not take so much for a socket that nobody reads from.
    publisher.send(Message::binary(vec![0; 16 << 20]));
    publisher.settle();
    for member in &mut members {
        let socket = &member.stream().sock;
        socket.shutdown(std::net::Shutdown::Write).unwrap();
    }
    drop(publisher.leave());
    server.wait_for_threads(before, "full");
    drop(members);
}

/// The code of the close frame that comes at last.
fn end(client: &mut Client) -> u16 {
    loop {
        match client.next_frame() {
            Message::Close(close) => return close.unwrap().code.into(),
            message => assert!(message.is_text() || message.is_ping(), "{message:?}"),
        }
    }
}

fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// X1.9, X1.11, X1.13, X1.14, X1.15, H3.1: fifty connections at a time that end before the join: within the TLS
/// handshake, with an answer, without one, with no header.
fn connections_that_never_become_sessions(binary: &Binary) {
    let args = ["--handshake-timeout", "1s", "--header-timeout", "1s"];
    let server = Server::start(binary, &args, &[]);
    let before = server.threads();
    let hello = tls::hello();
    let health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for way in [
        "dropped at once",
        "half a hello, dropped",
        "half a hello, reset",
        "half a hello, no more",
        "plain HTTP",
        "dropped after the handshake",
        "half a request, reset",
        "answered",
        "refused",
        "upgraded, dropped",
        "upgraded, no header",
    ] {
        let mut stay = Vec::new();
        for _ in 0..COUNT {
            let mut tcp = server.tcp();
            match way {
                "dropped at once" => {}
                "half a hello, dropped" => tcp.write_all(&hello[..99]).unwrap(),
                "half a hello, reset" => {
                    tcp.write_all(&hello[..99]).unwrap();
                    reset(&tcp);
                }
                "half a hello, no more" => {
                    tcp.write_all(&hello[..99]).unwrap();
                    stay.push(tcp);
                }
                "plain HTTP" => {
                    assert_eq!(black_box::request(tcp, health).status, 400);
                }
                "dropped after the handshake" => drop(tls::connect(tcp, &tls::config())),
                "half a request, reset" => {
                    let mut stream = tls::connect(tcp, &tls::config()).unwrap();
                    stream.write_all(&health[..20]).unwrap();
                    reset(&stream.sock);
                }
                "answered" | "refused" => {
                    let stream = tls::connect(tcp, &tls::config()).unwrap();
                    let (request, status) = match way {
                        "answered" => (&health[..], 200),
                        _ => (&b"PUT / HTTP/1.1\r\nHost: x\r\n\r\n"[..], 405),
                    };
                    assert_eq!(black_box::request(stream, request).status, status);
                }
                "upgraded, dropped" => {
                    drop(Client::open(tls::connect(tcp, &tls::config()).unwrap()));
                }
                "upgraded, no header" => {
                    let mut client = Client::open(tls::connect(tcp, &tls::config()).unwrap());
                    stay.push(client.stream().sock.try_clone().unwrap());
                }
                _ => panic!("{way}?"),
            }
        }
        server.wait_for_threads(before, way);
        server.wait_for_number("opening", 0, way);
        drop(stay);
    }
    server.assert_serves();
}

/// X1.12: of more connections than may wait, those that give way leave nothing behind.
fn displaced_connections(binary: &Binary) {
    let server = Server::start(binary, &["--filelimit", "10"], &[]);
    let before = server.threads();
    let mut waiting: Vec<_> = (0..5 * COUNT).map(|_| server.tcp()).collect();
    server.assert_serves();
    let most = match binary.has_io_threads() {
        true => before,
        // One for each that waits, and some that are about to end.
        false => before + COUNT,
    };
    assert!(server.threads() <= most, "{} threads", server.threads());
    // Most have been closed: those that are left are as many as may wait.
    let mut left = 0;
    for stream in &mut waiting {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0]);
        left += usize::from(read.is_err_and(|it| it.kind() == std::io::ErrorKind::WouldBlock));
    }
    assert!(left <= 10, "{left} are left");
    drop(waiting);
    server.wait_for_threads(before, "displaced");
}

/// Who asks for metrics, or connects there and says nothing, leaves no thread behind either.
fn metrics_are_asked_for(binary: &Binary) {
    let server = Server::start(binary, &["--metrics", "0"], &[]);
    let line = server.log().wait_for("metrics are at http://").unwrap();
    let (_, rest) = line.split_once("http://").unwrap();
    let address = rest.strip_suffix("/metrics").unwrap().to_owned();
    let before = server.threads();
    let connect = || TcpStream::connect(&address).unwrap();
    for _ in 0..10 {
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(black_box::request(connect(), request).status, 200);
    }
    server.wait_for_threads(before, "asked");
    let silent: Vec<_> = (0..8).map(|_| connect()).collect();
    drop(silent);
    server.wait_for_threads(before, "silent");
}

/// X1.15: a link that ends, by whichever end, leaves no thread behind at the server that was dialed, nor one for each
/// try at the one that dials.
fn links_come_and_go(pair: &Pair) {
    let upper = Server::start(&pair.0, &[], &[PEER_KEY]);
    let before = upper.threads();
    for _ in 0..3 {
        let lower = Launch::new(&pair.1)
            .args(&["--peer", &peer_url(&upper)])
            .args(&["--peer-fingerprint", &fingerprint(&upper)])
            .env(PEER_KEY.0, PEER_KEY.1)
            .start();
        lower.log().wait_for("linked to peer").unwrap();
        drop(lower);
        upper.wait_for_threads(before, "the lower one is killed");
    }
    // And the other way round: what dials, dials on.
    let lower = Launch::new(&pair.1)
        .args(&["--peer", &peer_url(&upper)])
        .args(&["--peer-fingerprint", &fingerprint(&upper)])
        .env(PEER_KEY.0, PEER_KEY.1)
        .start();
    lower.log().wait_for("linked to peer").unwrap();
    let linked = lower.threads();
    upper.signal(black_box::Signal::KILL);
    let tries = |lines: &[String]| {
        let refused = lines.iter().filter(|it| it.contains("nobody listens"));
        refused.count()
    };
    lower.log().wait_until(|lines| tries(lines) > 5);
    // Some may be dialing just now.
    let now = lower.threads();
    assert!(now <= linked + 4, "{now} threads, {linked} before");
}
