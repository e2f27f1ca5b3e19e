//! The client programs `mles talk`, `mles pub` and `mles sub` against a real server.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use black_box::{Binary, Ended, Launch, Message, Server, Signal, Tool, suite};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;

suite! {
    one_message,
    ten_thousand_lines,
    a_line_that_breaks,
    a_server_that_is_killed,
    a_server_that_restarts,
    a_server_that_does_not_answer,
    what_goes_wrong,
    keys,
    certificates,
    binary_and_json,
    counts_and_signals,
    nobody_reads,
    a_conversation,
    talk_in_a_pipe,
}

fn url(server: &Server) -> String {
    format!("wss://localhost:{}", server.address().port())
}

/// The port is asked of the server, so that it can be restarted there.
fn port(server: &Server) -> String {
    server.address().port().to_string()
}

fn code(ended: &Ended) -> Option<i32> {
    ended.status.code()
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    range.fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").unwrap();
        text
    })
}

fn publish(binary: &Binary, url: &str, options: &[&str], input: &str) -> Ended {
    let args = [&["pub", url, "--channel", "c", "--insecure"], options].concat();
    let mut tool = Tool::start(binary, &args, &[]);
    tool.write(input);
    tool.wait()
}

/// What a newcomer gets, by the channel's order.
fn history(server: &Server) -> Vec<String> {
    let messages = server.join("newcomer", "c").leave();
    let texts = messages.iter().filter_map(|message| match message {
        Message::Text(text) if !text.starts_with('{') => Some(text.to_string()),
        Message::Text(_) | Message::Binary(_) => None,
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => None,
    });
    texts.collect()
}

/// M1.1, X1.4: from the command line, from stdin, from a file; empty and of several lines.
fn one_message(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let url = url(&server);
    let file = server.home().file("message", "from a file\n");
    for (options, input) in [
        (&["-m", "an argument"][..], ""),
        (&[], "all of\nstdin\n"),
        (&["--file", &file], ""),
        (&["-m", ""], ""),
        (&["--message", "-dash"], ""),
    ] {
        let ended = publish(binary, &url, options, input);
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
fn ten_thousand_lines(binary: &Binary) {
    const LINES: u32 = 40_000;
    let server = Server::start(binary, &["--limit", "100000"], &[]);
    let url = url(&server);
    let sub = ["sub", &url, "-c", "c", "--insecure", "--count", "40000"];
    let mut sub = Tool::start(binary, &sub, &[]);
    let ended = publish(binary, &url, &["--lines"], &numbers(1..=LINES));
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
fn a_line_that_breaks(binary: &Binary) {
    let server = Server::start(binary, &["--limit", "100000"], &[]);
    let line = Line::to(&server);
    let url = line.url();
    let sub = ["sub", &url, "-c", "c", "--insecure", "--count", "8000"];
    let mut sub = Tool::start(binary, &sub, &[]);
    let args = ["pub", &url, "-c", "c", "--insecure", "--lines"];
    let mut tool = Tool::start(binary, &args, &[]);
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

/// A server that is killed has accepted some and remembers nothing: everything that it did not confirm is sent to
/// the next one, in order.
fn a_server_that_is_killed(binary: &Binary) {
    let server = Server::start(binary, &["--limit", "100000"], &[]);
    let (url, port) = (url(&server), port(&server));
    let args = ["pub", &url, "-c", "c", "--insecure", "--lines"];
    let mut tool = Tool::start(binary, &args, &[]);
    let mut alice = server.join("alice", "c");
    tool.write(&numbers(1..=5000));
    while alice.recv() != Message::text("3000") {}
    server.signal(Signal::KILL);
    drop(alice);
    drop(server);
    let server = Server::start(binary, &["--limit", "100000", "--port", &port], &[]);
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
fn a_server_that_restarts(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let (url, port) = (url(&server), port(&server));
    let mut sub = Tool::start(binary, &["sub", &url, "-c", "c", "--insecure"], &[]);
    publish(binary, &url, &["-m", "before"], "");
    sub.stdout().wait_for("before").unwrap();
    server.stop();
    let server = Server::start(binary, &["--port", &port], &[]);
    sub.stderr().wait_for("again").unwrap();
    publish(binary, &url, &["-m", "after"], "");
    sub.stdout().wait_for("after").unwrap();
    sub.stderr().wait_for("messages may be missing").unwrap();
    sub.signal(Signal::INT);
    let ended = sub.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    assert_eq!(ended.stdout, ["before", "after"]);
    drop(server);
}

/// One that drops the connection at the close frame, and shows no history: it is not known what it has.
fn a_server_that_does_not_answer(binary: &Binary) {
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
    let ended = publish(binary, &url, &["-m", "hello"], "");
    assert_eq!(code(&ended), Some(3), "{ended:?}");
    let last = ended.stderr.last().unwrap();
    assert!(
        last.contains("1 messages may not have reached it"),
        "{last}"
    );
}

/// One line that says what to do.
#[track_caller]
fn assert_fails(ended: &Ended, part: &str) {
    assert_eq!(code(ended), Some(1), "{ended:?}");
    let [line] = &ended.stderr[..] else {
        panic!("one line: {ended:#?}");
    };
    assert!(line.starts_with("error: ") && line.contains(part), "{line}");
    assert!(ended.stdout.is_empty());
}

fn what_goes_wrong(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let url = url(&server);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("wss://127.0.0.1:{}", closed.local_addr().unwrap().port());
    drop(closed);
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = format!("wss://127.0.0.1:{}", mute.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in mute.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), b"SSH-2.0-nothing\r\n");
        }
    });
    for (command, address, part) in [
        ("pub", &*nobody, "nobody listens at 127.0.0.1:"),
        ("sub", &nobody, "nobody listens at 127.0.0.1:"),
        (
            "sub",
            "wss://a.host.that.does.not.exist.invalid",
            "is not known",
        ),
        ("sub", "ws://localhost", "TLS alone"),
        ("sub", &plain, "does not speak TLS"),
        ("sub", &format!("{url}/?\u{e9} "), "malformed"),
    ] {
        let mut tool = Tool::start(binary, &[command, address, "-c", "c", "--insecure"], &[]);
        assert_fails(&tool.wait(), part);
    }
    let channel = "c".repeat(5000);
    for (channel, part) in [("", "must not be empty"), (&channel, "too big")] {
        let mut tool = Tool::start(binary, &["sub", &url, "-c", channel, "--insecure"], &[]);
        assert_fails(&tool.wait(), part);
    }
    let ended = publish(binary, &url, &["--file", "/nowhere/at/all"], "");
    assert_fails(&ended, "can't read");
    // J1.3: somebody else has this uid.
    let args = ["talk", &url, "-c", "c", "--insecure", "--uid", "carol"];
    let carol = Tool::start(binary, &args, &[]);
    server.log().wait_for("carol").unwrap();
    let ended = publish(binary, &url, &["-m", "x", "--uid", "carol"], "");
    assert_fails(&ended, "(4002)");
    drop(carol);
    drop(server);
    // M4.2
    let server = Server::start(binary, &["--max-message", "4KiB"], &[]);
    let ended = publish(binary, &self::url(&server), &["-m", &"x".repeat(5000)], "");
    assert_fails(&ended, "(1009)");
    let mut tool = Tool::start(
        binary,
        &[
            "pub",
            &self::url(&server),
            "-c",
            "c",
            "--insecure",
            "-m",
            "x",
            "-l",
        ],
        &[],
    );
    let ended = tool.wait();
    assert_eq!(code(&ended), Some(2), "{ended:?}");
}

/// A2.1, A2.2, A2.3: with the key, without, with another one; in the environment and in a file.
fn keys(binary: &Binary) {
    let server = Server::start(binary, &[], &[("MLES_KEY", "the secret")]);
    let url = url(&server);
    let file = server.home().file("key", "the secret\n");
    let args = ["pub", &url, "-c", "c", "--insecure", "-m", "x"];
    let with_file = [&args[..], &["--key-file", &file]].concat();
    for (args, variables, works) in [
        (&args[..], &[("MLES_KEY", "the secret")][..], true),
        (&with_file, &[], true),
        (&args, &[("MLES_KEY_FILE", &file)], true),
        (&args, &[], false),
        (&args, &[("MLES_KEY", "another secret")], false),
    ] {
        let ended = Tool::start(binary, args, variables).wait();
        if works {
            assert_eq!(code(&ended), Some(0), "{ended:?}");
        } else {
            assert_fails(&ended, "(4001)");
            assert!(!ended.stderr.join(" ").contains("secret"), "A3.2");
        }
    }
}

/// Nobody is trusted who is not known; a fingerprint, the certificate itself and its authority are enough.
fn certificates(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let port = port(&server);
    let local = server.home().path().join("mles/local.pem");
    let local = local.to_str().unwrap();
    let fingerprint = server.stdout().wait_for("Fingerprint").unwrap();
    let fingerprint = fingerprint.rsplit(' ').next().unwrap();
    let wrong = fingerprint.replace(|c: char| c.is_ascii_digit(), "A");
    let command = server.stdout().wait_for("mles talk").unwrap();
    assert!(
        command.contains(&format!("--fingerprint {fingerprint}")),
        "{command}"
    );
    // It can be pasted.
    let mut words = command.split_whitespace().skip(1);
    assert_eq!(words.next().map(Into::into), Some(binary.path()));
    let mut talk = Tool::start(binary, &words.collect::<Vec<_>>(), &[]);
    talk.write("hello\n");
    let ended = talk.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    assert_eq!(server.join("reader", "lobby").recv_until_settled().len(), 2);
    for (host, options, error) in [
        ("localhost", &["--fingerprint", fingerprint][..], ""),
        (
            "127.0.0.1",
            &["--fingerprint", &fingerprint.to_lowercase()],
            "",
        ),
        ("localhost", &["--ca", local], ""),
        ("127.0.0.1", &["--ca", local], ""),
        ("localhost", &["--insecure"], ""),
        (
            "localhost",
            &["--fingerprint", &wrong],
            "another fingerprint",
        ),
        (
            "localhost",
            &["--fingerprint", "AB:CD"],
            "no SHA-256 fingerprint",
        ),
        ("localhost", &["--ca", "/dev/null"], "no certificate in"),
        ("localhost", &[], "certificate"),
    ] {
        let url = format!("wss://{host}:{port}");
        let args = [&["pub", &url, "-c", "c", "-m", "x"], options].concat();
        let ended = Tool::start(binary, &args, &[]).wait();
        if error.is_empty() {
            assert_eq!(code(&ended), Some(0), "{ended:?}");
        } else {
            assert_fails(&ended, error);
        }
    }
    // An authority's certificate that is the server's own, and the name is checked.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let home = server.home();
    let cert = home.file("cert", params.self_signed(&key).unwrap().pem());
    let key = home.file("key.pem", key.serialize_pem());
    let args = [
        "--listen",
        "127.0.0.1",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let server = Launch::new(binary).args(&args).start();
    let port = self::port(&server);
    for (host, error) in [("localhost", ""), ("127.0.0.1", "is for other names")] {
        let url = format!("wss://{host}:{port}");
        let args = ["pub", &url, "-c", "c", "-m", "x", "--ca", &cert];
        let ended = Tool::start(binary, &args, &[]).wait();
        if error.is_empty() {
            assert_eq!(code(&ended), Some(0), "{ended:?}");
        } else {
            assert_fails(&ended, error);
        }
    }
}

/// M1.1: bytes stay bytes, and each of the formats can be told apart.
fn binary_and_json(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let url = url(&server);
    let mut alice = server.join("alice", "c");
    alice.send("a \"text\"\n\u{e9}");
    alice.send(Message::binary(vec![0_u8, 255, b'\n']));
    alice.settle();
    let file = server.home().file("bytes", [0xff, 0xfe]);
    let ended = publish(binary, &url, &["--file", &file, "--uid", "bob"], "");
    assert_fails(&ended, "--binary");
    let ended = publish(
        binary,
        &url,
        &["--file", &file, "--binary", "--uid", "bob"],
        "",
    );
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let sub = |format: &str| {
        let args = ["sub", &url, "-c", "c", "--insecure", "--count", "3", format];
        let ended = Tool::start(binary, &args, &[]).wait();
        assert_eq!(code(&ended), Some(0), "{ended:?}");
        ended.stdout
    };
    let lines: Vec<_> = sub("--json")
        .into_iter()
        .filter(|line| !line.contains("mles-"))
        .collect();
    let expected = [
        r#"{"kind":"joined","uid":"alice","replay":true}"#,
        r#"{"kind":"text","payload":"a \"text\"\n\u00e9","replay":true}"#,
        r#"{"kind":"binary","base64":"AP8K","replay":true}"#,
        r#"{"kind":"joined","uid":"bob","replay":true}"#,
        r#"{"kind":"binary","base64":"//4=","replay":true}"#,
    ];
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let got: Vec<_> = lines.iter().map(|line| value(line)).collect();
    let expected: Vec<_> = expected.iter().map(|line| value(line)).collect();
    assert_eq!(got, expected);
    let raw = sub("--raw").join("\n");
    assert_eq!(raw, "a \"text\"\n\u{e9}\0\u{fffd}\n\u{fffd}\u{fffd}");
    alice.close(1000);
}

fn counts_and_signals(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let url = url(&server);
    publish(binary, &url, &["--lines"], &numbers(1..=5));
    let args = ["sub", &url, "-c", "c", "--insecure", "-n", "2"];
    let ended = Tool::start(binary, &args, &[]).wait();
    assert_eq!(
        (code(&ended), &ended.stdout[..]),
        (Some(0), &["1".to_owned(), "2".to_owned()][..])
    );
    let mut sub = Tool::start(
        binary,
        &["sub", &url, "-c", "c", "--insecure", "-u", "s"],
        &[],
    );
    sub.stdout().wait_for("5").unwrap();
    sub.signal(Signal::TERM);
    let ended = sub.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
    // It has left: the uid is free.
    server.join("s", "c").close(1000);
}

/// `mles sub … | head -1`
fn nobody_reads(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let url = url(&server);
    let (gone, wait) = std::sync::mpsc::channel();
    let args = ["sub", &url, "-c", "c", "--insecure"];
    let mut sub = Tool::read_by(binary, &args, move |stdout| {
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line).unwrap();
        drop(stdout);
        gone.send(line).unwrap();
    });
    publish(binary, &url, &["-m", "one"], "");
    assert_eq!(wait.recv().unwrap(), "one\n");
    publish(binary, &url, &["-m", "two"], "");
    let ended = sub.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

/// Two people, with pipes for terminals.
fn a_conversation(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let url = url(&server);
    let talk = |uid: &str| {
        let args = ["talk", &url, "--uid", uid, "--channel", "c", "--insecure"];
        Tool::start(binary, &args, &[])
    };
    let mut alice = talk("alice");
    alice.stderr().wait_for("connected to").unwrap();
    alice.write("Hello Bob!\n");
    let mut bob = talk("bob");
    bob.stdout().wait_for("Hello Bob!").unwrap();
    bob.write("Hello Alice!\nHow are you?");
    alice.stdout().wait_for("Hello Alice!").unwrap();
    // What is under way when the input ends arrives.
    let ended = bob.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    alice.stdout().wait_for("How are you?").unwrap();
    let ended = alice.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout,
        ["Hello Alice!", "How are you?"],
        "messages, and nothing else"
    );
    assert_eq!(
        history(&server),
        ["Hello Bob!", "Hello Alice!", "How are you?"]
    );
}

fn talk_in_a_pipe(binary: &Binary) {
    let server = Server::start(binary, &["--limit", "100000"], &[]);
    let url = url(&server);
    let args = [
        "talk",
        &url,
        "--uid",
        "alice",
        "--channel",
        "c",
        "--insecure",
    ];
    let mut talk = Tool::start(binary, &args, &[]);
    talk.write(&numbers(1..=10_000));
    let ended = talk.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let expected: Vec<_> = (1..=10_000).map(|number| number.to_string()).collect();
    assert!(history(&server) == expected);
}
