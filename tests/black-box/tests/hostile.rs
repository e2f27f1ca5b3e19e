//! Clients that mean harm, or are broken: the server lives, its members talk on, its memory stays
//! bounded, and its log stays quiet.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use black_box::wire::{BINARY, BINARY_BEGINS, GOES_ON, PING, TEXT, frame, head};
use black_box::{
    Binary, Client, Message, Records, Server, Talk, header, suite, tls, upgrade_request,
};

suite! {
    garbage_before_tls,
    garbage_in_tls,
    half_open_handshakes,
    handshakes_in_time,
    slow_heads,
    an_upload_of_a_gibibyte,
    endless_fragments,
    a_flood_of_pings,
    floods_of_nothing,
    a_newcomer_that_does_not_wait,
    resets_everywhere,
    too_many_connections_a_minute,
}

const MIB: u64 = 1 << 20;

/// Reads to the end, whatever kind of end it is; says what came.
fn drain(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no end"),
        Ok(_) | Err(_) => bytes,
    }
}

/// Writes the same bytes again and again, a gibibyte at most, until they are not taken any more.
fn upload(mut stream: impl Write) -> u64 {
    let block = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < 1 << 30 && stream.write_all(&block).is_ok() {
        sent += block.len() as u64;
    }
    sent
}

/// X1.14: nothing but the end of the connection.
fn garbage_before_tls(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[]);
    let hello = tls::hello();
    let mut longer = hello.clone();
    longer[3..5].copy_from_slice(&[0xff, 0xff]);
    let mut garbled = hello.clone();
    garbled[9..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let all: [&[u8]; 9] = [
        &[0; 10_000],
        &[0xff; 10_000],
        &[0x16; 10_000],
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x05hello",
        &longer,
        &garbled,
    ];
    for bytes in all {
        let mut stream = talk.server.tcp();
        // The server may have gone in the middle.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        drain(stream);
        talk.round();
    }
    let mut stream = talk.server.tcp();
    let sent = upload(&mut stream);
    assert!(sent < 64 * MIB, "{sent} bytes taken");
    talk.end(8 * MIB);
}

/// X1.15: records that are none, after the handshake and after the join.
fn garbage_in_tls(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[]);
    for bytes in [
        &[0x17, 3, 3, 0, 20, 1, 2, 3][..],
        &[0xff; 100],
        &[0x17, 3, 3, 0xff, 0xff],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        for state in 0..3 {
            let mut stream = match state {
                0 => talk.server.tls(),
                1 => talk.server.open().into_stream(),
                _ => talk.server.join("mallory", "elsewhere").into_stream(),
            };
            stream.sock.write_all(bytes).unwrap();
            stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
            drain(&mut stream.sock);
        }
        talk.round();
    }
    talk.end(8 * MIB);
}

/// X1.12: a thousand connections that trickle half a hello byte by byte displace each other, and
/// nobody else: members talk, newcomers get in.
fn half_open_handshakes(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[]);
    let hello = tls::hello();
    let mut streams: Vec<Option<TcpStream>> = (0..1000).map(|_| Some(talk.server.tcp())).collect();
    for byte in &hello[..hello.len() / 2] {
        for place in &mut streams {
            let open = place
                .as_mut()
                .is_some_and(|stream| stream.write_all(&[*byte]).is_ok());
            if !open {
                *place = None;
            }
        }
        talk.round();
    }
    talk.server.assert_serves();
    let mut left = 0;
    for mut stream in streams.into_iter().flatten() {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0]);
        left += usize::from(read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }
    assert!(left <= 256, "{left} of 1000 were kept");
    talk.end(16 * MIB);
}

/// X1.13: who does not complete the handshake in time is gone without a byte.
fn handshakes_in_time(binary: &Binary) {
    let mut talk = Talk::begin(binary, &["--handshake-timeout", "500ms"], &[]);
    let began = Instant::now();
    let silent = talk.server.tcp();
    let mut half = talk.server.tcp();
    half.write_all(&tls::hello()[..50]).unwrap();
    talk.round();
    for stream in [silent, half] {
        assert!(drain(stream).is_empty());
    }
    let took = began.elapsed();
    assert!((500..3000).contains(&took.as_millis()), "{took:?}");
    talk.end(8 * MIB);
}

/// X1.12: three hundred connections that send a request head byte by byte.
fn slow_heads(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[]);
    let mut streams: Vec<_> = (0..300).map(|_| talk.server.tls()).collect();
    let request = upgrade_request("/", &["Sec-WebSocket-Protocol: mles-websocket"]);
    for byte in &request[..20] {
        for stream in &mut streams {
            // Those that gave way say so here.
            let _ = stream.write_all(&[*byte]);
        }
        talk.round();
    }
    talk.server.assert_serves();
    let alive = streams.into_iter().filter_map(|stream| {
        stream.sock.set_nonblocking(true).unwrap();
        let read = (&stream.sock).read(&mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            .then_some(())
    });
    assert!(alive.count() <= 256);
    talk.end(32 * MIB);
}

/// M4.2, H2.1, X1.7: a gibibyte in a message, in a header, in a request: refused when it is declared, and
/// the connection is gone soon.
fn an_upload_of_a_gibibyte(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[]);
    let server = &talk.server;
    let mut member = server.join("mallory", "uploads");
    member.send_bytes(&head(BINARY, 1 << 30));
    let mut opened = server.open();
    opened.send_bytes(&head(TEXT, 1 << 30));
    let mut posted = server.tls();
    posted
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n")
        .unwrap();
    let uploads = [member.into_stream(), opened.into_stream(), posted];
    let uploads = uploads.map(|stream| std::thread::spawn(move || upload(stream)));
    while !uploads.iter().all(std::thread::JoinHandle::is_finished) {
        talk.round();
    }
    for upload in uploads {
        let sent = upload.join().unwrap();
        assert!(sent < 64 * MIB, "{sent} bytes taken");
    }
    talk.end(16 * MIB);
}

/// M4.2: fragments without an end are a message that is too long.
fn endless_fragments(binary: &Binary) {
    let mut talk = Talk::begin(binary, &["--max-message", "1MiB"], &[]);
    let mut member = talk.server.join("mallory", "uploads");
    member.send_frame(BINARY_BEGINS, &[0; 1000]);
    for _ in 0..(1 << 20) / 1000 {
        member.send_frame(GOES_ON, &[0; 1000]);
    }
    member.expect_close(1009);
    let mut member = talk.server.join("mallory", "uploads");
    member.recv_until_settled();
    // Empty ones cost nothing, however many.
    member.send_frame(BINARY_BEGINS, b"");
    let many = frame(GOES_ON, b"").repeat(10_000);
    for _ in 0..10 {
        member.send_bytes(&many);
        talk.round();
    }
    member.settle();
    talk.end(16 * MIB);
}

/// M2.2, L3.5, L3.8: pings of one that never reads, before and after the join.
fn a_flood_of_pings(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[]);
    let mut before = Client::open(talk.server.narrow_tls());
    let mut after = Client::open(talk.server.narrow_tls());
    after.join("mallory", "pings");
    let many = frame(PING, &[b'x'; 125]).repeat(1000);
    for _ in 0..200 {
        before.send_bytes(&many);
        after.send_bytes(&many);
        talk.round();
    }
    // It reads again, and still gets answers.
    after.send_frame(PING, b"the last");
    while after.next_frame() != Message::Pong("the last".into()) {}
    talk.end(16 * MIB);
}

/// L2.2: who sends what costs it next to nothing, as fast as it can, and reads nothing, delays nobody: members
/// talk meanwhile.
fn floods_of_nothing(binary: &Binary) {
    const FLOOD: u64 = 2 * MIB;
    let data = |records: &mut Records, frame: &[u8]| {
        let many = frame.repeat(2000);
        records.send(&many).map(|()| many.len())
    };
    let mut talk = Talk::begin(binary, &[], &[]);
    for kind in ["pings", "empty messages", "records without data"] {
        let mut records = Records::on(talk.server.tcp());
        let request = upgrade_request("/", &["Sec-WebSocket-Protocol: mles-websocket"]);
        records.send(&request).unwrap();
        let join = frame(TEXT, header("mallory", kind).as_bytes());
        records.send(&join).unwrap();
        let joined = format!("\"mallory\" on {kind:?}");
        talk.server.log().wait_for(&joined).unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let enough = Arc::new(AtomicBool::new(false));
        let (count, stop) = (sent.clone(), enough.clone());
        let flood = std::thread::spawn(move || {
            while !stop.load(Relaxed) {
                let bytes = match kind {
                    "pings" => data(&mut records, &frame(PING, b"")),
                    "empty messages" => data(&mut records, &frame(BINARY, b"")),
                    _ => records.send_nothing(30),
                };
                count.fetch_add(bytes.unwrap() as u64, Relaxed);
            }
        });
        let rounds = talk.rounds() + 100;
        while talk.rounds() < rounds || sent.load(Relaxed) < FLOOD {
            assert!(!flood.is_finished(), "{kind}: not taken any more");
            talk.round();
        }
        enough.store(true, Relaxed);
        flood.join().unwrap();
    }
    talk.end(16 * MIB);
}

/// H2.2, H2.3: a newcomer that sends and sends while it waits for its pair: it is not read from; when it
/// has joined, nothing is lost.
fn a_newcomer_that_does_not_wait(binary: &Binary) {
    const COUNT: u64 = 200;
    // The watcher need not keep up.
    let args = ["--probe-timeout", "1h", "--outbox", "64MiB"];
    let mut talk = Talk::begin(binary, &args, &[]);
    let mut watcher = talk.server.join("watcher", "wait");
    let incumbent = talk.server.join("mallory", "wait");
    watcher.expect([header("mallory", "wait")]);
    let mut newcomer = talk.server.open();
    let sending = std::thread::spawn(move || {
        newcomer.send(header("mallory", "wait"));
        for number in 0..COUNT {
            newcomer.send(format!("{number} {}", "x".repeat(100_000)));
        }
        newcomer
    });
    (0..200).for_each(|_| talk.round());
    incumbent.reset();
    watcher.expect([header("mallory", "wait")]);
    for number in 0..COUNT {
        let got = watcher.recv();
        assert!(got.to_text().unwrap().starts_with(&format!("{number} ")));
    }
    drop(sending.join().unwrap());
    talk.end(32 * MIB);
}

/// X1.15: five hundred connections reset at every stage.
fn resets_everywhere(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[]);
    let hello = tls::hello();
    for number in 0..500 {
        let reset = |stream: &TcpStream| {
            let socket = socket2::SockRef::from(stream);
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        };
        match number % 5 {
            0 => reset(&talk.server.tcp()),
            1 => {
                let mut stream = talk.server.tcp();
                stream.write_all(&hello[..number % hello.len()]).unwrap();
                reset(&stream);
            }
            2 => reset(&talk.server.tls().sock),
            3 => talk.server.open().reset(),
            _ => {
                let mut client = talk.server.open();
                client.send(header(&number.to_string(), "talk"));
                client.send_bytes(&frame(TEXT, b"never finished")[..9]);
                client.reset();
            }
        }
        if number % 10 == 0 {
            talk.alice.recv_until_settled();
            talk.bob.recv_until_settled();
        }
    }
    // Others may have joined the channel: what is told of them is passed.
    for client in [&mut talk.alice, &mut talk.bob] {
        client.recv_until_settled();
    }
    talk.server.assert_serves();
    talk.alice.send("the last");
    while talk.bob.recv() != Message::text("the last") {}
    talk.server.assert_quiet();
    talk.assert_small(16 * MIB);
}

/// X1.12: beyond the rate a connection is closed before TLS, without a byte.
fn too_many_connections_a_minute(binary: &Binary) {
    let server = Server::start(binary, &["--rate-limit", "5"], &[]);
    let members: Vec<_> = (0..5)
        .map(|n| server.join(&n.to_string(), "rate"))
        .collect();
    for _ in 0..10 {
        let mut stream = server.tcp();
        let _ = stream.write_all(&tls::hello());
        assert!(drain(stream).is_empty());
    }
    server.assert_quiet();
    drop(members);
}
