//! The header and its auth, over the wire. The core's own tests go deeper; here every vector of the
//! specification meets the server that is shipped.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use black_box::wire::{BINARY, ENDS, PING, TEXT, TEXT_BEGINS, head};
use black_box::{Binary, Client, Launch, Message, Server, TempDir, header, suite};
use serde_json::{Value, json};

suite! {
    header_vectors,
    auth_vectors,
    announcement_vectors,
    fragments_and_control_frames,
    too_big,
    no_header_in_time,
    peers_are_refused,
    key_from_a_file,
    auth_is_kept_secret,
}

fn vectors(name: &str) -> Vec<Value> {
    let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/vectors");
    let text = std::fs::read_to_string(format!("{spec}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

fn code(case: &Value) -> Option<u16> {
    case["expect"]
        .get("code")
        .map(|code| code.as_u64().unwrap() as u16)
}

/// What became of a first frame: a join, or a close code.
fn outcome(client: &mut Client) -> Result<(), u16> {
    client.send_frame(PING, b"joined?");
    loop {
        match client.next_frame() {
            Message::Pong(_) => return Ok(()),
            Message::Close(close) => {
                let close = close.unwrap();
                assert!(!close.reason.is_empty(), "X1.1");
                client.expect_end();
                return Err(close.code.into());
            }
            _ => {}
        }
    }
}

/// H1.1, H1.2, H1.3, H1.4, H1.5, H1.6, H1.7, H1.8, H1.9, H1.10, H1.11, H1.12, H2.1, H4.1, H4.2, H4.3: every vector,
/// at a server without a key.
fn header_vectors(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    for case in vectors("headers") {
        let payload = match text(&case, "input") {
            Some(input) => input.as_bytes().to_vec(),
            None => unhex(text(&case, "input_hex").unwrap()),
        };
        let first = if text(&case, "kind") == Some("binary") {
            BINARY
        } else {
            TEXT
        };
        let mut client = server.open();
        client.send_frame(first, &payload);
        let outcome = outcome(&mut client);
        let expect = &case["expect"];
        match code(&case) {
            Some(code) => assert_eq!(outcome, Err(code), "{case}"),
            None if expect["peer"] == json!(true) => assert_eq!(outcome, Err(4011), "{case}"),
            None if expect["auth"].is_null() => assert_eq!(outcome, Ok(()), "{case}"),
            // Whether this auth is right is not the vector's subject.
            None => assert!(matches!(outcome, Ok(()) | Err(4001)), "{case}: {outcome:?}"),
        }
    }
}

/// A1.1, A1.3, A1.4, A2.1, A2.2, A2.3, A2.4: every vector, at a server with its key.
fn auth_vectors(binary: &Binary) {
    let cases = vectors("auth");
    let key = |case: &Value| text(&case["input"], "key").map(str::to_owned);
    let keys: BTreeSet<Option<String>> = cases.iter().map(key).collect();
    for of in keys {
        let launch = Launch::new(binary);
        let server = match &of {
            Some(of) => launch.env("MLES_KEY", of).start(),
            None => launch.start(),
        };
        for case in cases.iter().filter(|case| key(case) == of) {
            let mut header = case["input"].clone();
            header.as_object_mut().unwrap().remove("key");
            if header["auth"].is_null() {
                header.as_object_mut().unwrap().remove("auth");
            }
            let mut client = server.open();
            client.send(header.to_string());
            let expected = code(case).map_or(Ok(()), Err);
            assert_eq!(outcome(&mut client), expected, "{case}");
        }
    }
}

/// J3.1, J3.2, J3.3: every vector, as another member gets it and as the history has it.
fn announcement_vectors(binary: &Binary) {
    for case in vectors("announcements") {
        let server = Server::start(binary, &[], &[]);
        let watch = json!({"uid": "who watches", "channel": case["input"]["channel"]}).to_string();
        let told = text(&case["expect"], "text").unwrap();
        let [mut watcher, mut client, mut later] = [(); 3].map(|()| server.open());
        watcher.send(watch.as_str());
        watcher.settle();
        client.send(case["input"].to_string());
        client.settle();
        watcher.expect([told]);
        watcher.close(1000);
        watcher.expect_close(1000);
        later.send(watch.as_str());
        let _own = later.recv();
        later.expect([told]);
    }
}

/// H1.1, M2.2: a header in pieces, pings answered in between.
fn fragments_and_control_frames(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut client = server.open();
    client.send_frame(PING, b"before");
    assert_eq!(client.next_frame(), Message::Pong("before".into()));
    let header = header("alice", "pieces");
    for (number, byte) in header.bytes().enumerate() {
        client.send_frame(if number == 0 { TEXT_BEGINS } else { 0 }, &[byte]);
    }
    client.send_frame(PING, b"within");
    assert_eq!(client.next_frame(), Message::Pong("within".into()));
    client.send_frame(ENDS, b"");
    client.settle();
    let mut bob = server.join("bob", "pieces");
    bob.expect([header]);
}

/// H2.1, H1.12: refused as soon as the lengths show it, and nobody notices.
fn too_big(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut watcher = server.join("watcher", "big");

    let fill = |length: usize| {
        let frame = format!(r#"{{"uid":"alice","channel":"big","x":"{}"}}"#, "");
        frame.replace(
            "\"x\":\"",
            &format!("\"x\":\"{}", "x".repeat(length - frame.len())),
        )
    };
    let mut fits = server.open();
    fits.send(fill(4096));
    fits.settle();
    watcher.expect([header("alice", "big")]);

    let mut whole = server.open();
    whole.send(fill(4097));
    whole.expect_close(4000);

    let mut declared = server.open();
    declared.send_bytes(&head(TEXT, 4097));
    declared.expect_close(4000);

    let mut huge = server.open();
    huge.send_bytes(&head(TEXT, 1 << 40));
    huge.expect_close(4000);

    let mut pieces = server.open();
    pieces.send_frame(TEXT_BEGINS, &[b' '; 4000]);
    pieces.send_bytes(&head(ENDS, 97));
    pieces.expect_close(4000);

    let _bob = server.join("bob", "big");
    watcher.expect([header("bob", "big")]);
}

/// H3.1, H3.2: 4003, whatever comes in the place of a header.
fn no_header_in_time(binary: &Binary) {
    let server = Server::start(binary, &["--header-timeout", "700ms"], &[]);
    let began = Instant::now();
    let mut silent = server.open();
    let mut talking = server.open();
    talking.send_bytes(&head(TEXT, 1000));
    let mut pings = 0;
    let close = loop {
        talking.send_bytes(b"x");
        let mut other = server.open();
        other.send_frame(PING, b"");
        assert_eq!(other.next_frame(), Message::Pong("".into()));
        let socket = &talking.stream().sock;
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        pings += 1;
        match talking.try_next_frame() {
            Ok(Message::Close(close)) => break close.unwrap(),
            Ok(other) => panic!("{other:?}"),
            Err(_) => assert!(pings < 100),
        }
    };
    assert_eq!(u16::from(close.code), 4003);
    assert!(began.elapsed() >= Duration::from_millis(700));
    silent.expect_close(4003);
}

/// H4.3: before auth is looked at.
fn peers_are_refused(binary: &Binary) {
    let server = Server::start(binary, &[], &[("MLES_KEY", "secret")]);
    for auth in ["", r#","auth":"0""#, r#","auth":"?""#] {
        let mut peer = server.open();
        peer.send(format!(r#"{{"uid":"a","channel":"c","peer":true{auth}}}"#));
        peer.expect_close(4011);
        let mut client = server.open();
        client.send(format!(r#"{{"uid":"a","channel":"c","peer":false{auth}}}"#));
        client.expect_close(4001);
    }
}

/// A1.1, A2.2: the first line of `--key-file` is the same key as `MLES_KEY`.
fn key_from_a_file(binary: &Binary) {
    let (alice, bob) = ("cddd69d5f9771d66", "9b3b95527f7c2d80");
    let dir = TempDir::new();
    for content in [
        "mles-devel-frank",
        "mles-devel-frank\n",
        "mles-devel-frank\r\nmore\n",
    ] {
        let file = dir.file("key", content);
        let server = Server::start(binary, &["--key-file", &file], &[]);
        for (auth, expected) in [(alice, Ok(())), (bob, Err(4001)), ("", Err(4001))] {
            let mut client = server.open();
            client.send(json!({"uid": "alice", "channel": "example", "auth": auth}).to_string());
            assert_eq!(outcome(&mut client), expected, "{content:?} {auth}");
        }
    }
}

/// A3.1, A3.2, A2.5: neither auth nor key comes out anywhere, and who fails disturbs nobody.
fn auth_is_kept_secret(binary: &Binary) {
    let (auth, key) = ("cddd69d5f9771d66", "mles-devel-frank");
    let launch = Launch::new(binary)
        .env("MLES_KEY", key)
        .env("RUST_LOG", "trace");
    let server = launch.start();
    let right = json!({"uid": "alice", "channel": "example", "auth": auth}).to_string();
    let mut alice = server.open();
    alice.send(right.as_str());
    alice.settle();
    for wrong in ["cddd69d5f9771d67", "not-hexadecimal", "CDDD69D5F9771D66x"] {
        let mut mallory = server.open();
        mallory.send(right.replace(auth, wrong));
        let (code, reason) = mallory.recv_close();
        assert_eq!(code, 4001);
        assert!(!reason.contains(wrong) && !reason.contains(auth));
    }
    // No ping: the incumbent was not even looked for.
    alice.send_frame(PING, b"quiet?");
    assert_eq!(alice.next_frame(), Message::Pong("quiet?".into()));
    alice.close(1000);
    alice.expect_close(1000);
    let mut again = server.open();
    again.send(right.as_str());
    again.settle();
    again.expect([header("alice", "example")]);
    let ended = server.stop();
    for line in ended.stderr.iter().chain(&ended.stdout) {
        for secret in [auth, key, "not-hexadecimal", "CDDD69"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}
