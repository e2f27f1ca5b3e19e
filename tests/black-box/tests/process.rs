//! Starting, and what it says when it does not start.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::net::TcpListener;

use black_box::{Binary, Client, Ended, Launch, Server, TempDir, header, suite, tls};
use rcgen::{CertificateParams, KeyPair};

suite! {
    refuses_to_start,
    help_and_version,
    variables_and_options,
    what_is_logged,
    a_level_that_is_none,
    the_port_it_has,
    several_addresses,
    too_few_descriptors,
    descriptors_run_out,
}

/// It ended by itself with one line for a person to read, and nothing else.
#[track_caller]
fn assert_refusal(ended: &Ended, part: &str) {
    assert!(
        !ended.status.success() && ended.status.code().is_some(),
        "{ended:?}"
    );
    let [line] = &ended.stderr[..] else {
        panic!("one line: {ended:#?}");
    };
    assert!(line.starts_with("error: ") && line.contains(part), "{line}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
}

/// A certificate for localhost and its key, in PEM.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Arguments, variables, and what the refusal says.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// A2.7, A3.2: one line that says what to do, no backtrace, and the exit code says that it failed.
fn refuses_to_start(binary: &Binary) {
    let dir = TempDir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port().to_string();
    let (cert, key) = certificate();
    let (_, other_key) = certificate();
    let (cert, key) = (dir.file("cert", cert), dir.file("key", key));
    let other_key = dir.file("other", other_key);
    let secret = dir.file("secret", "the secret\n");
    let empty = dir.file("empty", "\n");
    let missing = dir.path().join("missing");
    let missing = missing.to_str().unwrap();
    let listen = format!("127.0.0.1:{taken_port}");
    let cases: [Case<'_>; 24] = [
        (&["--port", &taken_port], &[], "in use"),
        (&["--listen", &listen], &[], "in use"),
        (
            &["--listen", "192.0.2.1:0"],
            &[],
            "does not have the address",
        ),
        (
            &["--tls-cert", missing, "--tls-key", &key],
            &[],
            "can't read",
        ),
        (
            &["--tls-cert", &cert, "--tls-key", missing],
            &[],
            "can't read",
        ),
        (
            &[
                "--tls-cert",
                dir.path().to_str().unwrap(),
                "--tls-key",
                &key,
            ],
            &[],
            "can't read",
        ),
        (
            &["--tls-cert", &cert, "--tls-key", &other_key],
            &[],
            "is not that of",
        ),
        (&["--tls-cert", &key, "--tls-key", &cert], &[], "swapped"),
        (
            &["--tls-cert", &secret, "--tls-key", &key],
            &[],
            "no certificate",
        ),
        (&["--tls-cert", &cert], &[], "--tls-key"),
        (&["--tls-key", &key], &[], "--tls-cert"),
        (&[], &[("MLES_KEY", "")], "empty"),
        (&["--key-file", &empty], &[], "empty"),
        (&["--key-file", missing], &[], "can't read"),
        (&["--key-file", &key], &[], "PEM"),
        (
            &["--key-file", &secret],
            &[("MLES_KEY", "the secret")],
            "both given",
        ),
        (
            &[],
            &[("MLES_KEY", "the secret"), ("MLES_KEY_FILE", &secret)],
            "both given",
        ),
        (&["--domains", "example.org"], &[], "not supported yet"),
        (&["-w", "/var/www", "-s", "-r"], &[], "not supported yet"),
        (&["--port", "65536"], &[], "--port"),
        (&["--max-message", "1"], &[], "--max-message"),
        (
            &["--history-bytes", "1MiB", "--history-channel-bytes", "2MiB"],
            &[],
            "--history-channel-bytes",
        ),
        (&["--no-such-option"], &[], "--help"),
        (&["--key", "the secret"], &[], "--key"),
    ];
    for (args, variables, part) in cases {
        let mut launch = Launch::new(binary)
            .env("RUST_BACKTRACE", "1")
            .env("RUST_LOG", "error");
        if !args.contains(&"--port") {
            launch = launch.args(&["--port", "0"]);
        }
        for (name, value) in variables {
            launch = launch.env(name, value);
        }
        let ended = launch.args(args).run();
        assert_refusal(&ended, part);
        assert!(
            !ended.stderr.iter().any(|line| line.contains("the secret")),
            "A3.2: {ended:?}"
        );
    }
}

fn help_and_version(binary: &Binary) {
    let texts = |flag: &str| {
        let ended = Launch::new(binary).args(&[flag]).run();
        assert!(
            ended.status.success() && ended.stderr.is_empty(),
            "{ended:?}"
        );
        ended.stdout
    };
    for (flag, part) in [("--help", "--listen"), ("-h", "MLES_")] {
        let lines = texts(flag);
        assert!(lines.iter().any(|line| line.contains(part)), "{lines:?}");
    }
    let version = format!("{} {}", binary.name, env!("CARGO_PKG_VERSION"));
    for flag in ["--version", "-V"] {
        let lines = texts(flag);
        assert_eq!(lines[0], version);
    }
}

/// An option wins over its variable; a variable that means nothing is worth a warning.
fn variables_and_options(binary: &Binary) {
    let variables = [("MLES_LIMIT", "1"), ("MLES_LIMT", "1"), ("MLES_OUTBOX", "")];
    for (args, kept) in [(&[][..], 1), (&["--limit", "2"], 2)] {
        let server = Server::start(binary, args, &variables);
        let mut alice = server.join("alice", "kept");
        ["one", "two", "three"]
            .into_iter()
            .for_each(|text| alice.send(text));
        alice.settle();
        let replay = server.join("bob", "kept").leave();
        assert_eq!(replay.len() - 1, kept, "and alice's announcement");
        drop(alice);
        let warnings = server.stop().stderr;
        let warnings: Vec<_> = warnings
            .iter()
            .filter(|line| line.contains(" WARN "))
            .collect();
        assert!(
            warnings.len() == 1 && warnings[0].contains("MLES_LIMT"),
            "{warnings:?}"
        );
    }
}

/// Who is on which channel is known at debug level alone, and what they say at none.
fn what_is_logged(binary: &Binary) {
    for level in ["info", "debug", "trace"] {
        let server = Server::start(binary, &[], &[("RUST_LOG", level)]);
        let mut alice = server.join("a certain person", "a certain place");
        alice.send("a certain message");
        alice.send_frame(0x83, b"a certain mistake");
        alice.expect_close(1002);
        drop(alice);
        let lines = server.stop().stderr.join("\n");
        assert!(!lines.contains("a certain m"), "{lines}");
        let known = lines.contains("a certain person") && lines.contains("a certain place");
        assert_eq!(known, level != "info", "{lines}");
    }
}

/// A word that is no level does not silence the log.
fn a_level_that_is_none(binary: &Binary) {
    for (wish, known) in [
        ("warning", false),
        ("info,mles=loud", false),
        ("info", true),
        ("warn,mles=info", true),
    ] {
        let lines = Server::start(binary, &[], &[("RUST_LOG", wish)])
            .stop()
            .stderr;
        let has = |part| lines.iter().any(|line| line.contains(part));
        assert!(has("stopping"), "{wish}: {lines:?}");
        assert_eq!(has("RUST_LOG is not understood"), !known, "{lines:?}");
    }
}

/// With `--port 0` the line that says that it listens has the real port.
fn the_port_it_has(binary: &Binary) {
    let server = Server::start(binary, &["--port", "0"], &[]);
    let port = server.address().port();
    assert_ne!(port, 0);
    let lines = server.stdout().lines();
    let last = lines.last().unwrap();
    assert!(
        last.starts_with(&format!("mles listens on https://localhost:{port}/ (")),
        "{last}"
    );
    assert!(
        lines[0].contains(&format!("https://localhost:{port}/")),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains(&format!("{} talk", binary.name))
                && line.contains(&format!(":{port} ")))
    );
    assert!(
        server
            .addresses()
            .iter()
            .all(|address| address.ip().is_loopback() && address.port() == port)
    );
    server.assert_serves();
    // And again on the same port, at once.
    drop(server);
    let server = Server::start(binary, &["--port", &port.to_string()], &[]);
    assert_eq!(server.address().port(), port);
    server.assert_serves();
}

fn several_addresses(binary: &Binary) {
    let args = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.2"];
    let server = Server::start(binary, &args, &[]);
    let [first, second] = server.addresses() else {
        panic!("two: {:?}", server.addresses());
    };
    assert_eq!(first.ip().to_string(), "127.0.0.1");
    assert_eq!(second.ip().to_string(), "127.0.0.2");
    let mut members = [first, second].map(|address| {
        let tcp = std::net::TcpStream::connect(address).unwrap();
        Client::open(tls::connect(tcp, &tls::config()).unwrap())
    });
    members[0].join("one", "addresses");
    members[1].join("two", "addresses");
    members[1].expect([header("one", "addresses")]);
    members[0].expect([header("two", "addresses")]);
    server.assert_quiet();
    // Further than this machine: with a warning, as the certificate was made for this machine alone.
    let server = Server::start(binary, &["--listen", "0.0.0.0:0"], &[]);
    let warning = server.log().wait_for("other machines").unwrap();
    assert!(warning.contains(" WARN "), "{warning}");
}

/// X1.10, X1.12: fewer descriptors than the limits need are said, and the limits made to fit.
fn too_few_descriptors(binary: &Binary) {
    let server = Launch::new(binary).descriptors(64).start();
    let shortage = server.log().wait_for(" WARN ").unwrap();
    assert!(
        shortage.contains("64 descriptors") && shortage.contains("--filelimit"),
        "{shortage}"
    );
    // More connections than there are descriptors: they displace each other, or are refused.
    let _waiting: Vec<_> = (0..100).map(|_| server.tcp()).collect();
    let mut members = Vec::new();
    let refused = loop {
        let request = black_box::upgrade_request("/", &["Sec-WebSocket-Protocol: mles-websocket"]);
        let mut stream = server.tls();
        let response = black_box::upgrade(&mut stream, &request);
        if response.status != 101 {
            break response;
        }
        let mut client = Client::on(stream);
        client.join(&members.len().to_string(), "few");
        members.push(client);
    };
    assert_eq!(refused.status, 503);
    assert!(
        (10..50).contains(&members.len()),
        "{} sessions",
        members.len()
    );
    members.truncate(3);
    members[0].send("enough");
    while members[1].recv() != black_box::Message::text("enough") {}
    server.assert_serves();
}

/// When the system has no descriptors left, members talk on, the log says so once, and when there are
/// some again, connections are taken again.
fn descriptors_run_out(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut alice = server.join("alice", "none left");
    let mut bob = server.join("bob", "none left");
    alice.expect([header("bob", "none left")]);
    bob.expect([header("alice", "none left")]);
    server.spare_descriptors(Some(2));
    let waiting: Vec<_> = (0..20).map(|_| server.tcp()).collect();
    server.log().wait_for("out of file descriptors").unwrap();
    for number in 0..100 {
        alice.send(format!("{number}"));
        bob.expect([format!("{number}")]);
    }
    drop(waiting);
    server.spare_descriptors(None);
    server.assert_serves();
    let lines = server.log().lines();
    let said = lines
        .iter()
        .filter(|line| line.contains("out of file descriptors"))
        .count();
    assert_eq!(said, 1);
}
