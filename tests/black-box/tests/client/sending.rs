//! Sending: every line arrives once and in order, whatever happens to the line and the server.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use black_box::{Binary, Message, Server, Signal, Tool};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use crate::{code, history, numbers, port, publish, url};

black_box::suite! {
    one_message,
    ten_thousand_lines,
    a_line_that_breaks,
    a_server_that_comes_later,
    a_server_that_is_killed,
    a_server_that_restarts,
    a_server_that_does_not_answer,
    a_server_that_stays_away,
    a_server_that_hangs,
}

/// M1.1, X1.4: from the command line, from stdin, from a file; empty and of several lines.
fn one_message(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let url = url(&server);
    let file = server.home().file("message", "from a file\n");
    for (options, input) in [
        (&["-m", "an argument"][..], ""),
        (&[], "all of\nstdin\n"),
        (&["--file", &file], ""),
        (&["-m", ""], ""),
        (&["--message", "-dash"], ""),
    ] {
        let ended = publish(client, &url, options, input);
        assert_eq!(code(&ended), Some(0), "{ended:?}");
        assert!(
            ended.stdout.is_empty() && ended.stderr.is_empty(),
            "{ended:?}"
        );
    }
    let expected = [
        "an argument",
        "all of\nstdin\n",
        "from a file\n",
        "",
        "-dash",
    ];
    assert_eq!(history(&server), expected);
}

/// M1.3: a pipe, without losing a line, and more than the client keeps in doubt at once.
fn ten_thousand_lines(client: &Binary) {
    const LINES: u32 = 40_000;
    let server = Server::start(client, &["--limit", "100000"], &[]);
    let url = url(&server);
    let sub = ["sub", &url, "-c", "c", "--insecure", "--count", "40000"];
    let mut sub = Tool::start(client, &sub, &[]);
    let ended = publish(client, &url, &["--lines"], &numbers(1..=LINES));
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let expected: Vec<_> = (1..=LINES).map(|number| number.to_string()).collect();
    assert!(history(&server) == expected);
    let got = sub.wait();
    assert_eq!(code(&got), Some(0), "{:?}", got.stderr);
    assert!(got.stdout == expected);
}

/// A way to a server that can be cut.
struct Line {
    port: u16,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sockets = Arc::new(Mutex::new(Vec::new()));
        let (address, list) = (server.address(), sockets.clone());
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(address).unwrap());
                let clone = |stream: &TcpStream| stream.try_clone().unwrap();
                list.lock().unwrap().extend([clone(&near), clone(&far)]);
                for (mut from, mut to) in [(clone(&near), clone(&far)), (far, near)] {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port, sockets }
    }

    fn url(&self) -> String {
        format!("wss://127.0.0.1:{}", self.port)
    }

    fn cut(&self) {
        for socket in self.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// J2.1, L2.7: what a connection loses in the middle arrives once and in order, either way.
fn a_line_that_breaks(client: &Binary) {
    let server = Server::start(client, &["--limit", "100000"], &[]);
    let line = Line::to(&server);
    let url = line.url();
    let sub = ["sub", &url, "-c", "c", "--insecure", "--count", "8000"];
    let mut sub = Tool::start(client, &sub, &[]);
    let args = ["pub", &url, "-c", "c", "--insecure", "--lines"];
    let mut tool = Tool::start(client, &args, &[]);
    let mut alice = server.join("alice", "c");
    for round in 0..4 {
        tool.write(&numbers(round * 2000 + 1..=round * 2000 + 2000));
        let middle = Message::text((round * 2000 + 700).to_string());
        while alice.recv() != middle {}
        line.cut();
    }
    let ended = tool.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let expected: Vec<_> = (1..=8000).map(|number| number.to_string()).collect();
    assert!(history(&server) == expected, "accepted once, in order");
    let got = sub.wait();
    assert_eq!(code(&got), Some(0), "{:?}", got.stderr);
    assert!(got.stdout == expected, "printed once, in order");
    let lost = got
        .stderr
        .iter()
        .filter(|line| line.contains("trying again"))
        .count();
    assert!(
        lost > 0
            && !got
                .stderr
                .iter()
                .any(|line| line.contains("may be missing")),
        "{:?}",
        got.stderr
    );
}

/// With `--retry` the first connection may take its time; it is not told of as a second one.
fn a_server_that_comes_later(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let (url, port) = (url(&server), port(&server));
    server.stop();
    let args = [
        "pub",
        &url,
        "-c",
        "c",
        "--insecure",
        "--retry",
        "-m",
        "late",
    ];
    let mut tool = Tool::start(client, &args, &[]);
    tool.stderr().wait_for("trying again in").unwrap();
    let server = Server::start(client, &["--port", &port], &[]);
    let ended = tool.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let said = format!("mles: connected to {url}");
    assert!(ended.stderr.contains(&said), "{ended:?}");
    assert_eq!(history(&server), ["late"]);
}

/// A server that is killed has accepted some and remembers nothing: everything that it did not confirm is sent to
/// the next one, in order.
fn a_server_that_is_killed(client: &Binary) {
    let server = Server::start(client, &["--limit", "100000"], &[]);
    let (url, port) = (url(&server), port(&server));
    let args = ["pub", &url, "-c", "c", "--insecure", "--lines"];
    let mut tool = Tool::start(client, &args, &[]);
    let mut alice = server.join("alice", "c");
    tool.write(&numbers(1..=5000));
    while alice.recv() != Message::text("3000") {}
    server.signal(Signal::KILL);
    drop(alice);
    drop(server);
    let server = Server::start(client, &["--limit", "100000", "--port", &port], &[]);
    tool.write(&numbers(5001..=10_000));
    let ended = tool.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let got = history(&server);
    let expected: Vec<_> = (1..=10_000).map(|number| number.to_string()).collect();
    assert!(got == expected, "{} lines", got.len());
    assert!(
        ended
            .stderr
            .iter()
            .any(|line| line.contains("trying again in"))
    );
    assert!(
        ended
            .stderr
            .iter()
            .any(|line| line.contains("again") && line.contains("connected"))
    );
}

/// X1.8: with 1012 and a new history. Who was there is back, and is told what cannot be known.
fn a_server_that_restarts(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let (url, port) = (url(&server), port(&server));
    let mut sub = Tool::start(client, &["sub", &url, "-c", "c", "--insecure"], &[]);
    publish(client, &url, &["-m", "before"], "");
    sub.stdout().wait_for("before").unwrap();
    server.stop();
    let server = Server::start(client, &["--port", &port], &[]);
    sub.stderr().wait_for("again").unwrap();
    publish(client, &url, &["-m", "after"], "");
    sub.stdout().wait_for("after").unwrap();
    sub.stderr().wait_for("messages may be missing").unwrap();
    sub.signal(Signal::INT);
    let ended = sub.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    assert_eq!(ended.stdout, ["before", "after"]);
    drop(server);
}

/// One that drops the connection at the close frame, and shows no history: it is not known what it has.
fn a_server_that_does_not_answer(client: &Binary) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://127.0.0.1:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = rustls::ServerConnection::new(config.clone()).unwrap();
            let stream = rustls::StreamOwned::new(tls, stream.unwrap());
            #[expect(clippy::result_large_err, reason = "tungstenite's callback")]
            let select = |_: &_, mut response: tungstenite::handshake::server::Response| {
                let token = "mles-websocket".parse().unwrap();
                response
                    .headers_mut()
                    .insert("Sec-WebSocket-Protocol", token);
                Ok(response)
            };
            let mut socket = tungstenite::accept_hdr(stream, select).unwrap();
            while socket.read().is_ok_and(|message| !message.is_close()) {}
        }
    });
    let ended = publish(client, &url, &["-m", "hello"], "");
    assert_eq!(code(&ended), Some(3), "{ended:?}");
    let last = ended.stderr.last().unwrap();
    assert!(
        last.contains("1 messages may not have reached it"),
        "{last}"
    );
}

/// A job that is to end has an end, says what was not sent, and fails.
fn a_server_that_stays_away(client: &Binary) {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("wss://127.0.0.1:{}", closed.local_addr().unwrap().port());
    drop(closed);
    let args = ["pub", &nobody, "-cc", "--insecure", "--retry", "-mx"];
    let ended = Tool::start(client, &args, &[("MLES_TIMEOUT", "300ms")]).wait();
    assert_eq!(code(&ended), Some(1), "{ended:?}");
    assert!(ended.stderr[0].contains("nobody listens at"), "{ended:?}");
    assert_eq!(
        ended.stderr.last().unwrap(),
        "error: gave up after 300ms (--timeout): 1 of 1 messages are not sent"
    );
    // Later, in the middle of the input.
    let server = Server::start(client, &[], &[]);
    let url = url(&server);
    let args = ["pub", &url, "-cc", "--insecure", "-l", "--timeout=3s"];
    let mut tool = Tool::start(client, &args, &[]);
    let mut alice = server.join("alice", "c");
    tool.write(&numbers(1..=10));
    while alice.recv() != Message::text("10") {}
    server.signal(Signal::KILL);
    let line = tool.stderr().wait_for("gave up").unwrap();
    assert_eq!(
        line,
        "error: gave up after 3s (--timeout): 10 of 10 messages are not known to be accepted, \
         and the rest of stdin was not read"
    );
    assert_eq!(code(&tool.wait()), Some(3));
}

/// One that takes everything and confirms nothing.
fn a_server_that_hangs(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let url = url(&server);
    let args = ["pub", &url, "-cc", "--insecure", "-l", "--timeout=3s"];
    let mut tool = Tool::start(client, &args, &[]);
    let mut alice = server.join("alice", "c");
    tool.write("one\n");
    while alice.recv() != Message::text("one") {}
    server.signal(Signal::STOP);
    tool.write("two\n");
    let ended = tool.wait();
    assert_eq!(code(&ended), Some(3), "{ended:?}");
    assert_eq!(
        ended.stderr,
        ["error: gave up after 3s (--timeout): 2 of 2 messages are not known to be accepted"]
    );
}
