//! What the server tells its operator.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use black_box::{
    Binary, DEADLINE, Launch, Response, Server, Signal, header, suite, upgrade_request,
};

suite! {
    a_line_of_numbers,
    numbers_to_the_end,
    metrics,
    metrics_for_others,
    a_port_for_metrics_that_is_taken,
    metrics_do_no_harm,
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
    // It is counted when the connection is over.
    server.log().wait_for("answered with HTTP 503").unwrap();
    let number = numbers(&server);
    if binary.has_io_threads() {
        assert_eq!(number("threads"), 2);
    }
    for (name, value) in [
        ("sessions", 2),
        ("opening", 0),
        ("lagging", 0),
        ("channels", 1),
        ("joins", 2),
        ("messages", 1),
        ("message_bytes", 5),
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

/// Where it says that its metrics are.
fn metrics_address(server: &Server) -> SocketAddr {
    let line = server.log().wait_for("metrics are at http://").unwrap();
    let (_, rest) = line.split_once("http://").unwrap();
    rest.strip_suffix("/metrics").unwrap().parse().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn ask(address: SocketAddr, line: &str) -> Response {
    let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    black_box::request(connect(address), request.as_bytes())
}

/// The value of a series.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    rest.unwrap_or_else(|| panic!("{series} in {text}"))
        .parse()
        .unwrap()
}

/// On a port of their own, for this machine unless told otherwise; no word of a client is in them.
fn metrics(binary: &Binary) {
    let args = ["--metrics", "0", "--max-sessions", "2", "--threads", "2"];
    let server = Server::start(binary, &args, &[]);
    let address = metrics_address(&server);
    assert!(address.ip().is_loopback());
    let mut alice = server.join("alice", "a place");
    alice.send("hello");
    alice.settle();
    let mut bob = server.open();
    bob.send("no header");
    bob.expect_close(4000);
    drop(bob);
    assert_eq!(
        black_box::request(server.tls(), b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status,
        404
    );
    // It is counted when the connection is over.
    server.log().wait_for("answered with HTTP 404").unwrap();
    let response = ask(address, "GET /metrics");
    assert_eq!(response.status, 200);
    let media = response.field("Content-Type");
    assert_eq!(media, Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(response.field("Cache-Control"), Some("no-store"));
    let text = response.text();
    for (series, expected) in [
        ("mles_sessions", 1),
        ("mles_sessions_limit", 2),
        ("mles_channels", 1),
        ("mles_joins_total", 1),
        ("mles_messages_total", 1),
        ("mles_message_bytes_total", 5),
        ("mles_connections_total", 3),
        (
            "mles_closes_total{code=\"4000\",cause=\"header_not_json\"}",
            1,
        ),
        ("mles_closes_total{code=\"1000\",cause=\"client\"}", 0),
        ("mles_http_responses_total{code=\"404\"}", 1),
        ("mles_refused_connections_total{reason=\"max_sessions\"}", 0),
        ("mles_breaches_total", 0),
    ] {
        assert_eq!(value(text, series), f64::from(expected), "{series}");
    }
    let series = text
        .lines()
        .filter(|line| line.starts_with("mles_thread_connections{thread=\""));
    let connections: Vec<_> = series
        .map(|line| value(text, line.split_once(' ').unwrap().0))
        .collect();
    assert!(connections.len() == 2 || !binary.has_io_threads(), "{text}");
    assert!(connections.iter().sum::<f64>() >= 1.0, "{text}");
    assert!(value(text, "process_resident_memory_bytes") > 1e6);
    let start =
        std::time::UNIX_EPOCH + Duration::from_secs_f64(value(text, "process_start_time_seconds"));
    assert!(start.elapsed().unwrap() < 2 * DEADLINE);
    assert!(!text.contains("alice") && !text.contains("a place"));

    let head = ask(address, "HEAD /metrics");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for path in ["/", "/healthz", "/metrics/x", "/app.js"] {
        assert_eq!(ask(address, &format!("GET {path}")).status, 404, "{path}");
    }
    assert_eq!(ask(address, "POST /metrics").status, 405);
    assert_eq!(ask(address, "GET metrics").status, 400);
    let upgrade = upgrade_request("/metrics", &["Sec-WebSocket-Protocol: mles-websocket"]);
    assert_eq!(black_box::request(connect(address), &upgrade).status, 200);
}

fn metrics_for_others(binary: &Binary) {
    let server = Server::start(binary, &[], &[("MLES_METRICS", "0.0.0.0:0")]);
    let warning = server.log().wait_for("other machines").unwrap();
    assert!(warning.contains(" WARN "), "{warning}");
    let port = metrics_address(&server).port();
    assert_eq!(
        ask(([127, 0, 0, 1], port).into(), "GET /metrics").status,
        200
    );
}

fn a_port_for_metrics_that_is_taken(binary: &Binary) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = Launch::new(binary)
        .args(&["--port", "0", "--metrics", &port])
        .run();
    assert_eq!(ended.status.code(), Some(1));
    let [line] = &ended.stderr[..] else {
        panic!("one line: {ended:#?}");
    };
    assert!(
        line.contains("in use") && line.contains("--metrics"),
        "{line}"
    );
}

/// Who connects and says nothing, or too much, or asks all the time, is in nobody's way: nobody's who talks,
/// and after 10 s nobody's who wants metrics.
fn metrics_do_no_harm(binary: &Binary) {
    let server = Server::start(binary, &["--metrics", "0"], &[]);
    let address = metrics_address(&server);
    let mut long = connect(address);
    long.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ").unwrap();
    // A reset is an end too.
    let _ = long.write_all(&[b'x'; 8 * 1024]);
    let mut answer = Vec::new();
    let _ = long.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");

    let began = Instant::now();
    let silent: Vec<_> = (0..8).map(|_| connect(address)).collect();
    let asking = std::thread::spawn(move || ask(address, "GET /metrics").status);
    server.assert_serves();
    assert_eq!(asking.join().unwrap(), 200);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(9), "{took:?}");
    drop(silent);

    let began = Instant::now();
    let asking: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || (0..10).for_each(|_| drop(ask(address, "GET /metrics"))))
        })
        .collect();
    server.assert_serves();
    asking.into_iter().for_each(|it| it.join().unwrap());
    let took = began.elapsed();
    let paced = Duration::from_millis(39 * 20)..Duration::from_secs(20);
    assert!(paced.contains(&took), "{took:?}");
    server.assert_serves();
}
