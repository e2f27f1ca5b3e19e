//! The configuration file, `--check-config`, and the format of the log.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::sync::Arc;

use black_box::{Binary, Ended, Launch, Server, TempDir, suite};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

suite! {
    the_file_is_heard,
    file_names_start_from_the_file,
    refuses_a_bad_file,
    check_config_says_yes,
    check_config_says_no,
    check_config_tries_the_addresses,
    check_config_explains_the_peers,
    the_example_is_the_default,
    logs_as_json,
}

/// How many of three messages are kept on this server.
fn kept(server: &Server) -> usize {
    let mut alice = server.join("alice", "kept");
    for text in ["one", "two", "three"] {
        alice.send(text);
    }
    alice.settle();
    let replay = server.join("bob", "kept").leave();
    replay.len() - 1 // alice's announcement
}

/// The option before the variable, that before the file, and the file before the default.
fn the_file_is_heard(binary: &Binary) {
    let dir = TempDir::new();
    let file = dir.file("mles.toml", "limit = 1\nhistory-bytes = \"1MiB\"\n");
    let variable = ("MLES_LIMIT", "2");
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], usize);
    let table: [Case<'_>; 4] = [
        (&["--config", &file], &[], 1),
        (&[], &[("MLES_CONFIG", &file)], 1),
        (&["--config", &file], &[variable], 2),
        (&["--config", &file, "--limit", "9"], &[variable], 3),
    ];
    for (args, variables, expected) in table {
        let server = Server::start(binary, args, variables);
        assert_eq!(kept(&server), expected, "{args:?} {variables:?}");
    }
}

fn file_names_start_from_the_file(binary: &Binary) {
    let dir = TempDir::new();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    dir.file("chain.pem", params.self_signed(&key).unwrap().pem());
    dir.file("private.pem", key.serialize_pem());
    dir.file("shared.key", "the secret\n");
    let text = "listen = [\"127.0.0.1\", \"127.0.0.2:0\"]\ntls-cert = \"chain.pem\"\ntls-key = \"private.pem\"\n\
        key-file = \"shared.key\"\n";
    let file = dir.file("mles.toml", text);
    let server = Server::start(binary, &["--config", &file], &[]);
    assert_eq!(server.addresses().len(), 2);
    drop(server.tls());
    drop(server);
    // What can't be read says where it is named.
    std::fs::remove_file(dir.path().join("chain.pem")).unwrap();
    let ended = Launch::new(binary).args(&["--config", &file]).run();
    assert_refusal(&ended, &[&format!("{file}:2: tls-cert: can't read '")]);
}

/// It ended by itself with exactly these lines on stderr, as far as they are given here.
#[track_caller]
fn assert_refusal(ended: &Ended, lines: &[&str]) {
    assert!(
        !ended.status.success() && ended.status.code().is_some(),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.len(), lines.len(), "{ended:#?}");
    for (line, part) in ended.stderr.iter().zip(lines) {
        assert!(line.starts_with(&format!("error: {part}")), "{line}");
    }
    let all = ended.stdout.iter().chain(&ended.stderr);
    assert!(!all.into_iter().any(|line| line.contains("hush")), "A3.2");
}

fn refuses_a_bad_file(binary: &Binary) {
    let dir = TempDir::new();
    let file = dir.path().join("mles.toml").to_str().unwrap().to_owned();
    let table: [(&str, &[&str]); 5] = [
        ("# fine\nlimit = [5\n", &[":2: limit: not TOML"]),
        (
            "limit = 5\n\nlimt = 5\n",
            &[":3: limt: no such setting; the nearest is limit"],
        ),
        (
            "key = \"hush\"\n",
            &[":1: key: the secret does not belong here"],
        ),
        (
            "key = hush\n",
            &[":1: key: the secret does not belong here"],
        ),
        (
            "port = \"1\"\noutbox = 1\n",
            &[":1: port: a string", ":2: outbox: 1 is out of range"],
        ),
    ];
    for (text, lines) in table {
        dir.file("mles.toml", text);
        let ended = Launch::new(binary).args(&["--config", &file]).run();
        let lines: Vec<String> = lines.iter().map(|line| format!("{file}{line}")).collect();
        assert_refusal(
            &ended,
            &lines.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
    let directory = dir.path().to_str().unwrap();
    let ended = Launch::new(binary).args(&["--config", directory]).run();
    assert_refusal(&ended, &["--config: can't read '"]);
    let missing = format!("{file}.missing");
    let ended = Launch::new(binary).env("MLES_CONFIG", &missing).run();
    assert_refusal(&ended, &[&format!("MLES_CONFIG: can't read '{missing}'")]);
}

fn check_config_says_yes(binary: &Binary) {
    let dir = TempDir::new();
    let file = dir.file("mles.toml", "\nlimit = 7\n");
    let home = Arc::new(TempDir::new());
    let ended = Launch::new(binary)
        .home(&home)
        .args(&["--check-config", "--config", &file, "--port", "0"])
        .env("MLES_KEY", "hush")
        .env("MLES_LIMT", "5")
        .run();
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(
        ended.stderr,
        ["warning: unknown environment variable MLES_LIMT: see mles --help"]
    );
    let at = format!("({file}:2)");
    for words in [
        ["config", &file, "(--config)"],
        ["limit", "7", &at],
        ["port", "0", "(--port)"],
        ["key", "set", "(MLES_KEY)"],
        ["outbox", "1MiB", "(default)"],
    ] {
        let is_it = |line: &String| line.split_whitespace().eq(words);
        assert!(ended.stdout.iter().any(is_it), "{words:?} in {ended:#?}");
    }
    assert!(!ended.stdout.iter().any(|line| line.contains("hush")));
    // It only looked: nothing listens, and no certificate was made.
    assert!(!ended.stdout.iter().any(|line| line.contains("listens")));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

fn check_config_says_no(binary: &Binary) {
    let dir = TempDir::new();
    let text =
        "limit = -1\nkey-file = \"none\"\ntls-cert = \"none\"\ntls-key = \"none\"\nport = 70000\n";
    let file = dir.file("mles.toml", text);
    let ended = Launch::new(binary)
        .args(&["--check-config", "--config", &file])
        .run();
    let lines = [
        ":5: port: 70000 is out of range",
        ":1: limit: '-1' is not a whole number",
        ":2: key-file: can't read",
        ":3: tls-cert: can't read",
    ];
    let lines = lines.map(|line| format!("{file}{line}"));
    assert_refusal(&ended, &lines.each_ref().map(String::as_str));
    assert!(ended.stdout.iter().any(|line| line.starts_with("outbox ")));
}

/// Who is dialed, who is believed, who is taken; nobody is asked for it.
fn check_config_explains_the_peers(binary: &Binary) {
    let files = TempDir::new();
    let list = files.file("peers", "wss://two.example\nthree.example\n");
    let page = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    page.set_nonblocking(true).unwrap();
    let url = format!(
        "https://localhost:{}/peers",
        page.local_addr().unwrap().port()
    );
    let ended = Launch::new(binary)
        .args(&[
            "--check-config",
            "--port",
            "0",
            "--peer",
            "wss://one.example",
        ])
        .args(&["--peers-file", &list, "--peers-url", &url])
        .env("MLES_PEER_KEY", "hush")
        .run();
    assert_eq!(ended.status.code(), Some(2));
    let mistake =
        format!("error: --peers-file: '{list}', line 2: 'three.example': not a WebSocket");
    let [line] = &ended.stderr[..] else {
        panic!("{ended:#?}");
    };
    assert!(line.starts_with(&mistake), "{line}");
    let start = ended.stdout.iter().position(String::is_empty).unwrap();
    let told = &ended.stdout[start + 1..];
    let expected = [
        "peer wss://one.example:443 (--peer): good if its certificate is of an authority that"
            .to_owned(),
        format!("peer wss://two.example:443 ('{list}', line 1): good if its certificate is"),
        format!("peers of {url} (--peers-url): fetched only when the server runs"),
        "peer key: set (MLES_PEER_KEY)".to_owned(),
        "peers that connect: accepted if they know the peer key".to_owned(),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (line, start) in told.iter().zip(&expected) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(page.accept().is_err(), "nobody has come");
}

/// In use is as it should be: by the server that runs there. It notices nothing of it.
fn check_config_tries_the_addresses(binary: &Binary) {
    let server = Server::start(binary, &["--metrics", "0"], &[]);
    let port = server.address().port().to_string();
    let line = server.log().wait_for("metrics are at http://").unwrap();
    let (_, metrics) = line.split_once("http://").unwrap();
    let metrics = metrics.trim_end_matches("/metrics");
    let check = |args: &[&str]| {
        let args = [&["--check-config"], args].concat();
        Launch::new(binary).args(&args).run()
    };
    let ended = check(&["-p", &port, "--metrics", metrics]);
    assert!(ended.status.success(), "{ended:#?}");
    let address = server.address();
    let [first, .., last] = &ended.stderr[..] else {
        panic!("{ended:#?}");
    };
    assert!(
        first.starts_with(&format!("note: --port: {address} is in use: ")),
        "{first}"
    );
    assert!(
        last.starts_with(&format!("note: --metrics: {metrics} is in use: "))
            && last.ends_with("with --metrics"),
        "{last}"
    );
    assert!(ended.stderr.iter().all(|line| line.starts_with("note: ")));
    // RFC 5737: no machine has this address.
    let ended = check(&["--listen", "127.0.0.1:0", "--listen", "192.0.2.1:0"]);
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    let last = ended.stderr.last().unwrap();
    let mistake =
        "error: --listen: cannot listen on 192.0.2.1:0: this machine does not have the address";
    assert!(last.starts_with(mistake), "{last}");
    server.assert_serves();
}

fn the_example_is_the_default(binary: &Binary) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/mles.toml");
    let check = |args: &[&str]| {
        let ended = Launch::new(binary)
            .args(&["--check-config"])
            .args(args)
            .run();
        // The port may be in use: by whoever runs the tests.
        let only_notes = ended.stderr.iter().all(|line| line.starts_with("note: "));
        assert!(ended.status.success() && only_notes, "{ended:?}");
        let words = |line: &String| {
            let words = line.split_whitespace().map(str::to_owned);
            words.collect::<Vec<_>>()
        };
        let lines = ended.stdout.iter().map(words);
        lines
            .filter(|words| words[0] != "config")
            .collect::<Vec<_>>()
    };
    assert_eq!(check(&["--config", file]), check(&[]));
}

/// One object a line, with what the text has: time, level and message.
fn logs_as_json(binary: &Binary) {
    let variables = [("MLES_LOG_FORMAT", "json"), ("MLES_LIMT", "5")];
    let server = Server::start(binary, &[], &variables);
    server.assert_serves();
    server.log().wait_for("joined").unwrap();
    let lines = server.log().lines();
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    assert!(
        lines.iter().any(|line| line["level"] == "WARN"
            && line["message"].as_str().unwrap().contains("MLES_LIMT"))
    );
    // The option wins here too.
    let server = Server::start(binary, &["--log-format", "text"], &variables);
    server.log().wait_for(" WARN ").unwrap();
}
