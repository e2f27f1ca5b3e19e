//! Receiving, and conversing.

use std::io::{BufRead, BufReader};

use black_box::{Binary, Message, Server, Signal, Tool};

use crate::{assert_fails, code, history, numbers, publish, url};

black_box::suite! {
    binary_and_json,
    counts_and_signals,
    nobody_reads,
    a_conversation,
    talk_in_a_pipe,
}

/// M1.1: bytes stay bytes, and each of the formats can be told apart.
fn binary_and_json(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let url = url(&server);
    let mut alice = server.join("alice", "c");
    alice.send("a \"text\"\n\u{e9}");
    alice.send(Message::binary(vec![0_u8, 255, b'\n']));
    alice.settle();
    let file = server.home().file("bytes", [0xff, 0xfe]);
    let ended = publish(client, &url, &["--file", &file, "--uid", "bob"], "");
    assert_fails(&ended, "--binary");
    let ended = publish(
        client,
        &url,
        &["--file", &file, "--binary", "--uid", "bob"],
        "",
    );
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let sub = |format: &str| {
        let args = ["sub", &url, "-c", "c", "--insecure", "--count", "3", format];
        let ended = Tool::start(client, &args, &[]).wait();
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

fn counts_and_signals(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let url = url(&server);
    publish(client, &url, &["--lines"], &numbers(1..=5));
    let args = ["sub", &url, "-c", "c", "--insecure", "-n", "2"];
    let ended = Tool::start(client, &args, &[]).wait();
    assert_eq!(
        (code(&ended), &ended.stdout[..]),
        (Some(0), &["1".to_owned(), "2".to_owned()][..])
    );
    let mut sub = Tool::start(
        client,
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
fn nobody_reads(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let url = url(&server);
    let (gone, wait) = std::sync::mpsc::channel();
    let args = ["sub", &url, "-c", "c", "--insecure"];
    let mut sub = Tool::read_by(client, &args, move |stdout| {
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        stdout.read_line(&mut line).unwrap();
        drop(stdout);
        gone.send(line).unwrap();
    });
    publish(client, &url, &["-m", "one"], "");
    assert_eq!(wait.recv().unwrap(), "one\n");
    publish(client, &url, &["-m", "two"], "");
    let ended = sub.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

/// Two people, with pipes for terminals.
fn a_conversation(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let url = url(&server);
    let talk = |uid: &str| {
        let args = ["talk", &url, "--uid", uid, "--channel", "c", "--insecure"];
        Tool::start(client, &args, &[])
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

fn talk_in_a_pipe(client: &Binary) {
    let server = Server::start(client, &["--limit", "100000"], &[]);
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
    let mut talk = Tool::start(client, &args, &[]);
    talk.write(&numbers(1..=10_000));
    let ended = talk.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    let expected: Vec<_> = (1..=10_000).map(|number| number.to_string()).collect();
    assert!(history(&server) == expected);
}
