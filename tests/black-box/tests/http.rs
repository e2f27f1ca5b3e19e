//! Requests that do not become sessions.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use black_box::{Binary, Response, Server, request, suite, upgrade_request};

suite! {
    the_page,
    head_requests,
    health,
    nothing_elsewhere,
    malformed_requests,
    other_methods,
    head_in_time,
    head_too_long,
    too_many_sessions,
    http_2_preface,
    plain_http,
    a_client_that_sends_all_at_once,
}

const OFFER: &str = "Sec-WebSocket-Protocol: mles-websocket";

fn get(server: &Server, path: &str) -> Response {
    let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    request(server.tls(), text.as_bytes())
}

/// A refusal is a sentence in plain text on a connection that closes, and repeats nothing (X1.2, X1.9).
#[track_caller]
fn assert_refusal(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(
        response.field("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(response.field("Connection").unwrap().contains("close"));
    let length = response.field("Content-Length").unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), response.body.len());
    let text = response.text();
    assert!(
        text.ends_with(".\n") && text.len() > 20,
        "a sentence: {text}"
    );
    assert!(!text.contains("SECRET") && !response.head.contains("SECRET"));
}

/// The page is the files of the repository, with a policy that lets in nothing else.
fn the_page(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../runtime-common/page");
    for (path, file, media) in [
        ("/", "index.html", "text/html"),
        ("/app.js", "app.js", "text/javascript"),
        ("/style.css", "style.css", "text/css"),
        ("/icon.svg", "icon.svg", "image/svg+xml"),
    ] {
        for query in ["", "?x=/../etc/passwd"] {
            let response = get(&server, &format!("{path}{query}"));
            assert_eq!(response.status, 200);
            assert!(
                response.body == std::fs::read(format!("{page}/{file}")).unwrap(),
                "{file}"
            );
            let media = format!("{media}; charset=utf-8");
            assert_eq!(response.field("Content-Type"), Some(media.as_str()));
            let policy = response.field("Content-Security-Policy").unwrap();
            assert!(policy.starts_with("default-src 'none';"), "{policy}");
            assert!(
                !policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http")
            );
            assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        }
    }
    assert_eq!(get(&server, "/favicon.ico").status, 204);
}

/// HEAD gets the head that GET gets.
fn head_requests(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for path in ["/", "/app.js", "/style.css", "/healthz", "/nothing"] {
        let text = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = request(server.tls(), text.as_bytes());
        assert_eq!(head.head, get(&server, path).head);
        assert!(head.body.is_empty(), "{path}");
    }
}

/// The server is well, also with as many sessions as it takes; nobody keeps the answer.
fn health(binary: &Binary) {
    let server = Server::start(binary, &["--max-sessions", "1"], &[]);
    let member = server.join("alice", "small");
    for _ in 0..2 {
        let response = get(&server, "/healthz");
        assert_eq!((response.status, response.text()), (200, "ok\n"));
        assert_eq!(response.field("Cache-Control"), Some("no-store"));
    }
    drop(member);
}

fn nothing_elsewhere(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for path in [
        "/index.html",
        "/app.js/",
        "/../app.js",
        "/SECRET",
        "//",
        "/%2e",
    ] {
        assert_refusal(&get(&server, path), 404);
    }
}

/// X1.9: what two readers could read in two ways is refused.
fn malformed_requests(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let good = String::from_utf8(upgrade_request("/SECRET", &[OFFER])).unwrap();
    let with = |line: &str| good.replace("Connection:", &format!("{line}\r\nConnection:"));
    for bad in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "SECRET\r\n\r\n".to_owned(),
        "GET SECRET HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\nHost: x\n\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        with("Host: again"),
        with("SECRET"),
        with(" folded: SECRET"),
        with("SECRET : x"),
        with("Content-Length: 1\r\nContent-Length: 1"),
        with("Content-Length: 1\r\nTransfer-Encoding: chunked"),
        with("Content-Length: -1"),
        with("Content-Length: 3"),
        with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        good.replace("dGhlIHNhbXBsZSBub25jZQ==", "SECRET"),
        good.replace("Connection: Upgrade", "Connection: keep-alive"),
        good.replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        assert_refusal(&request(server.tls(), bad.as_bytes()), 400);
    }
    server.assert_serves();
}

/// X1.9: an upgrade is a GET; nothing is stored or changed here.
fn other_methods(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let upgrade = String::from_utf8(upgrade_request("/", &[OFFER])).unwrap();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "SECRET"] {
        let other = upgrade.replacen("GET", method, 1);
        let response = request(server.tls(), other.as_bytes());
        assert_refusal(&response, 405);
        assert_eq!(response.field("Allow"), Some("GET, HEAD"));
        let plain = format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        assert_refusal(&request(server.tls(), plain.as_bytes()), 405);
    }
}

/// X1.11: 408 after 10 s, also for a client that sends a byte now and then; nobody waits for it.
fn head_in_time(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let began = Instant::now();
    let silent = server.tls();
    let mut dripping = server.tls();
    silent
        .sock
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    dripping
        .sock
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    dripping
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .unwrap();
    let mut answer = Vec::new();
    while answer.is_empty() && began.elapsed() < Duration::from_secs(20) {
        let mut bytes = [0; 4096];
        match dripping.read(&mut bytes) {
            Ok(count) => answer.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                dripping.write_all(b"x").unwrap();
                server.assert_serves();
            }
            Err(error) => panic!("{error}"),
        }
    }
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(10) && took < Duration::from_secs(15),
        "{took:?}"
    );
    assert_refusal(&Response::parse(&answer), 408);
    assert_refusal(&request(silent, b""), 408);
}

/// X1.11: 431 for more than 16 KiB, whether or not the head ends.
fn head_too_long(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let fill = |length: usize| {
        let head = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
        let fill = "a".repeat(length - head.len() - 4);
        format!("{head}{fill}\r\n\r\n").into_bytes()
    };
    assert_eq!(request(server.tls(), &fill(16 * 1024)).status, 200);
    assert_refusal(&request(server.tls(), &fill(16 * 1024 + 1)), 431);
    assert_refusal(&request(server.tls(), &[b'G'; 16 * 1024]), 431);
    let many = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "A: b\r\n".repeat(200)
    );
    assert_refusal(&request(server.tls(), many.as_bytes()), 431);
}

/// X1.10: 503 says when to come again; the page is served all the same, and a place that is left can
/// be taken.
fn too_many_sessions(binary: &Binary) {
    let server = Server::start(binary, &["--max-sessions", "1"], &[]);
    let mut only = server.join("alice", "small");
    for _ in 0..3 {
        let response = request(server.tls(), &upgrade_request("/", &[OFFER]));
        assert_refusal(&response, 503);
        assert!(
            response
                .field("Retry-After")
                .unwrap()
                .parse::<u32>()
                .unwrap()
                > 0
        );
    }
    assert_eq!(get(&server, "/").status, 200);
    only.close(1000);
    only.expect_close(1000);
    let mut next = server.join("bob", "small");
    next.expect([black_box::header("alice", "small")]);
}

/// A client that speaks HTTP/2 although nobody agreed to it gets an answer in HTTP/1.1.
fn http_2_preface(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let response = request(server.tls(), preface);
    assert_refusal(&response, 505);
    server.assert_serves();
}

/// X1.14: plain HTTP gets plain HTTP, anything else that is not TLS gets the end of the connection.
fn plain_http(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for plain in [
        "GET / HTTP/1.1\r\nHost: SECRET\r\n\r\n",
        "POST /SECRET HTTP/1.0\r\n\r\n",
        "G",
    ] {
        let response = request(server.tcp(), plain.as_bytes());
        assert_refusal(&response, 400);
        assert!(response.text().contains("https://"));
    }
    for other in [
        &b"\0"[..],
        b"\x80\x2e\x01",
        b"\r\n",
        b"\xff\xff",
        b"SSH-2.0-x",
    ] {
        let mut stream = server.tcp();
        stream.write_all(other).unwrap();
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut answer);
        assert!(
            answer.is_empty() || other[0].is_ascii_uppercase(),
            "{answer:?}"
        );
    }
    server.assert_serves();
}

/// H2.3: header and messages may come in one piece with the request; none is lost.
fn a_client_that_sends_all_at_once(binary: &Binary) {
    use black_box::wire::{TEXT, frame};
    let server = Server::start(binary, &[], &[]);
    let mut bob = server.join("bob", "eager");
    let mut all = upgrade_request("/", &[OFFER]);
    all.extend(frame(TEXT, black_box::header("alice", "eager").as_bytes()));
    for number in 0..100 {
        all.extend(frame(TEXT, format!("message {number}").as_bytes()));
    }
    let mut stream = server.tls();
    assert_eq!(black_box::upgrade(&mut stream, &all).status, 101);
    let mut alice = black_box::Client::on(stream);
    bob.expect([black_box::header("alice", "eager")]);
    bob.expect((0..100).map(|number| format!("message {number}")));
    alice.expect([black_box::header("bob", "eager")]);
}
