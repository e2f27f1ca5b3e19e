//! TLS, the upgrade and the subprotocol.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{Read, Write};
use std::sync::Arc;

use black_box::{
    Binary, Client, Message, Server, header, suite, tls, upgrade, upgrade_request, wire,
};
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

suite! {
    tls_1_2_and_1_3,
    tls_1_1_is_refused,
    alpn,
    no_session_over_plain_tcp,
    other_websocket_versions,
    the_token_anywhere_in_the_offer,
    no_token_no_upgrade,
    any_path,
    no_extension,
    any_origin,
    both_families,
    one_pair_for_a_session,
}

const OFFER: &str = "Sec-WebSocket-Protocol: mles-websocket";

/// T1.2: both versions carry a session.
fn tls_1_2_and_1_3(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let config = Arc::new(tls::config_of(&[version], &[]));
        let stream = tls::connect(server.tcp(), &config).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(expected));
        let mut client = Client::open(stream);
        client.join("alice", &format!("{expected:?}"));
    }
}

/// T1.2: the hello of a client that knows TLS 1.1 at most gets no handshake, but an alert.
fn tls_1_1_is_refused(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut body = vec![0x03, 0x02]; // TLS 1.1
    body.extend([7; 32]); // random
    body.extend([0, 0, 4, 0xc0, 0x13, 0xc0, 0x09, 1, 0]); // no session; ECDHE with AES-128-CBC; no compression
    let mut hello = vec![0x16, 0x03, 0x01, 0, body.len() as u8 + 4];
    hello.extend([1, 0, 0, body.len() as u8]);
    hello.extend(body);
    let mut stream = server.tcp();
    stream.write_all(&hello).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
    assert_eq!(answer.len(), 7, "and nothing else: {answer:?}");
}

/// T1.3, T1.4: `http/1.1` is selected wherever it is offered, nothing else ever is, and no offer is fine.
fn alpn(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let connect = |offer: &[&str]| {
        let config = Arc::new(tls::config_of(&[&TLS12, &TLS13], offer));
        tls::connect(server.tcp(), &config)
    };
    for offer in [&["http/1.1"][..], &["h2", "http/1.1"], &["http/1.1", "h2"]] {
        let stream = connect(offer).unwrap();
        assert_eq!(
            stream.conn.alpn_protocol(),
            Some(&b"http/1.1"[..]),
            "{offer:?}"
        );
        Client::open(stream).join("alice", "alpn");
    }
    for offer in [&["h2"][..], &["http/1.0", "h3"], &["mles-websocket"]] {
        let error = connect(offer).expect_err("no handshake").to_string();
        assert!(
            error.contains("NoApplicationProtocol"),
            "{offer:?}: {error}"
        );
    }
    let stream = connect(&[]).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), None);
    Client::open(stream).join("alice", "no alpn");
}

/// T1.1: the upgrade that gets 101 inside TLS gets 400 without it.
fn no_session_over_plain_tcp(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let response = black_box::request(server.tcp(), &upgrade_request("/", &[OFFER]));
    assert_eq!(response.status, 400);
    assert!(response.text().contains("TLS"), "{}", response.text());
}

/// T1.5: 426 names the version; the same request with 13 is a session.
fn other_websocket_versions(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let good = String::from_utf8(upgrade_request("/", &[OFFER])).unwrap();
    for version in ["8", "12", "14", "013", "13, 8", ""] {
        let field = format!("Sec-WebSocket-Version: {version}");
        let other = good.replace("Sec-WebSocket-Version: 13", &field);
        let response = black_box::request(server.tls(), other.as_bytes());
        assert_eq!(response.status, 426, "{version}");
        assert_eq!(response.field("Sec-WebSocket-Version"), Some("13"));
    }
    let mut stream = server.tls();
    assert_eq!(upgrade(&mut stream, good.as_bytes()).status, 101);
    Client::on(stream).join("alice", "thirteen");
}

/// T2.1, T2.2, T2.3: alone, in a list, in one of several lines, with white space; nothing else is selected.
fn the_token_anywhere_in_the_offer(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let offers: [&[&str]; 8] = [
        &["Sec-WebSocket-Protocol: mles-websocket"],
        &["Sec-WebSocket-Protocol: chat, mles-websocket"],
        &["Sec-WebSocket-Protocol: mles-websocket,chat"],
        &["Sec-WebSocket-Protocol: chat ,\tmles-websocket\t, superchat"],
        &["Sec-WebSocket-Protocol:mles-websocket"],
        &[
            "sec-websocket-protocol: chat",
            "SEC-WEBSOCKET-PROTOCOL: mles-websocket",
        ],
        &[
            "Sec-WebSocket-Protocol: mles-websocket",
            "Sec-WebSocket-Protocol: chat",
        ],
        &["Sec-WebSocket-Protocol: mles-websocket, mles-websocket"],
    ];
    for (number, offer) in offers.into_iter().enumerate() {
        let mut stream = server.tls();
        let response = upgrade(&mut stream, &upgrade_request("/", offer));
        assert_eq!(response.status, 101, "{offer:?}");
        assert_eq!(
            response.field("Sec-WebSocket-Protocol"),
            Some("mles-websocket"),
            "{offer:?}"
        );
        assert_eq!(
            response.field("Sec-WebSocket-Accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        Client::on(stream).join("alice", &format!("offer {number}"));
    }
}

/// T2.4: 400 and a sentence with the token; case counts (T2.2).
fn no_token_no_upgrade(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let offers: [&[&str]; 6] = [
        &[],
        &["Sec-WebSocket-Protocol: chat"],
        &["Sec-WebSocket-Protocol: Mles-WebSocket"],
        &["Sec-WebSocket-Protocol: mles-websocket2"],
        &["Sec-WebSocket-Protocol: mles-websocket chat"],
        &["Sec-WebSocket-Protocol: \"mles-websocket\""],
    ];
    for offer in offers {
        let response = black_box::request(server.tls(), &upgrade_request("/", offer));
        assert_eq!(response.status, 400, "{offer:?}");
        assert!(
            response.text().contains("mles-websocket"),
            "{}",
            response.text()
        );
        assert!(
            !response.text().contains("chat"),
            "X1.2: nothing of the request"
        );
    }
    assert!(
        !server
            .log()
            .lines()
            .iter()
            .any(|line| line.contains("joined"))
    );
}

/// T2.5: the path and the query have no meaning.
fn any_path(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for target in [
        "/",
        "/app.js",
        "/no/such/file",
        "/?channel=x",
        "/a/../b?%00&?#",
        "wss://localhost/x",
    ] {
        let mut stream = server.tls();
        let response = upgrade(&mut stream, &upgrade_request(target, &[OFFER]));
        assert_eq!(response.status, 101, "{target}");
        Client::on(stream).join("alice", "everywhere");
    }
}

/// T2.6: an offer of compression is not taken up, so that a reserved bit is a violation (M4.4).
fn no_extension(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let extension = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame";
    let mut stream = server.tls();
    let response = upgrade(&mut stream, &upgrade_request("/", &[OFFER, extension]));
    assert_eq!(response.status, 101);
    assert_eq!(response.field("Sec-WebSocket-Extensions"), None);
    let mut client = Client::on(stream);
    client.join("alice", "plain");
    client.send_frame(wire::TEXT | 0x40, b"deflated, so it says");
    client.expect_close(1002);
}

/// T2.7: a page of anybody, or no page at all.
fn any_origin(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for origin in [
        "Origin: https://elsewhere.example",
        "Origin: null",
        "X-Origin: none",
    ] {
        let mut stream = server.tls();
        let response = upgrade(&mut stream, &upgrade_request("/", &[OFFER, origin]));
        assert_eq!(response.status, 101, "{origin}");
    }
}

/// T3.1: members that come over IPv4 and over IPv6 talk to each other.
fn both_families(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let addresses = server.addresses();
    if addresses.len() == 1 {
        // The server has looked for IPv6, and says that there is none.
        assert!(std::net::TcpListener::bind("[::1]:0").is_err());
        return;
    }
    assert_eq!(addresses[0].port(), addresses[1].port());
    let mut members = Vec::new();
    for (&address, uid) in addresses.iter().zip(["four", "six"]) {
        let tcp = std::net::TcpStream::connect(address).unwrap();
        let mut client = Client::open(tls::connect(tcp, &tls::config()).unwrap());
        client.join(uid, "families");
        members.push(client);
    }
    let [four, six] = &mut members[..] else {
        panic!("two addresses: {addresses:?}");
    };
    four.expect([header("six", "families")]);
    six.expect([header("four", "families")]);
    four.send("from four");
    six.expect(["from four"]);
    six.send("from six");
    four.expect(["from six"]);
}

/// T1.6: what looks like a header is a message, if it is not the first frame.
fn one_pair_for_a_session(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut alice = server.join("alice", "one");
    let mut carol = server.join("carol", "two");
    let mut bob = server.join("bob", "one");
    alice.expect([header("bob", "one")]);
    bob.expect([header("alice", "one")]);
    bob.send(header("bob", "two"));
    bob.send("to channel one");
    alice.expect([Message::text(header("bob", "two")), "to channel one".into()]);
    carol.send("to myself");
    let mut dave = server.join("dave", "two");
    dave.expect([Message::text(header("carol", "two")), "to myself".into()]);
    carol.expect([header("dave", "two")]);
}
