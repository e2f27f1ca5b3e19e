//! `mles talk` where a person sits: on a terminal.

use black_box::{Binary, Message, Server, Signal, Terminal};

use crate::{history, url};

black_box::suite! {
    a_conversation_on_a_terminal,
    nobody_commands_the_terminal,
    control_c,
    control_c_before_all_is_sent,
}

fn talk(client: &Binary, server: &Server, channel: &str) -> Terminal {
    let url = url(server);
    let args = ["talk", &url, "-u", "alice", "-c", channel, "--insecure"];
    Terminal::start(env!("CARGO_BIN_EXE_foreground"), client, &args)
}

/// X1.4, J3.1: what was said before is marked, who comes is told, the own lines are there once, and ^D is the end.
fn a_conversation_on_a_terminal(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let mut bob = server.join("bob", "c");
    bob.send("Hello?");
    bob.settle();
    let mut alice = talk(client, &server, "c");
    alice.screen().wait_for("so much for the history").unwrap();
    let mut carol = server.join("carol", "c");
    carol.send("two\nlines");
    carol.send(Message::binary(vec![0x1b, 0xff]));
    alice.screen().wait_for("bytes").unwrap();
    // Who only presses Enter says nothing.
    alice.type_in("\r");
    alice.type_in("Hello B\u{e9}la!\r");
    while bob.recv() != Message::text("Hello B\u{e9}la!") {}
    bob.send("Hello Alice!");
    alice.screen().wait_for("Hello Alice!").unwrap();
    // Within a line it only sends on what is there; at its beginning it is the end.
    alice.type_in("Bye\x04\x04");
    let (status, screen) = alice.wait();
    assert_eq!(status.code(), Some(0), "{screen:#?}");
    let expected = [
        &*format!("mles: connected to {}, alice on c", url(&server)),
        "* bob has joined (history)",
        "~ Hello?",
        "mles: so much for the history",
        "* carol has joined",
        "< two",
        "  lines",
        "< (2 bytes)",
        "",
        "Hello B\u{e9}la!",
        "< Hello Alice!",
        "Bye",
    ];
    assert_eq!(screen, expected);
    assert_eq!(
        history(&server),
        [
            "Hello?",
            "two\nlines",
            "Hello B\u{e9}la!",
            "Hello Alice!",
            "Bye"
        ]
    );
}

/// What a terminal would obey.
const HOSTILE: &str = "\x1b[2J\x1b]0;title\x07\u{9b}31m\r\x08\x7f\u{85}\u{202e}\u{2028}x\n~ y";

/// What others write and are called can't move the cursor, change colours or the title, ring, or look like a line
/// that somebody else has written.
fn nobody_commands_the_terminal(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let mut mallory = server.open();
    mallory.send(escaped_header(HOSTILE));
    mallory.send(HOSTILE);
    mallory.settle();
    let mut alice = talk(client, &server, HOSTILE);
    alice.screen().wait_for("so much for the history").unwrap();
    let mut mallory = server.open();
    mallory.send(escaped_header(&format!("second {HOSTILE}")));
    mallory.send(HOSTILE);
    mallory.send("the end");
    alice.screen().wait_for("the end").unwrap();
    alice.type_in("\x04");
    let (status, screen) = alice.wait();
    assert_eq!(status.code(), Some(0), "{screen:#?}");
    let is_command = |c: char| c.is_control() || matches!(c, '\u{202e}' | '\u{2028}');
    let commands = screen.iter().filter(|line| line.contains(is_command));
    assert_eq!(commands.count(), 0, "{screen:#?}");
    let known = |line: &&String| {
        ["mles: ", "* ", "~ ", "< ", "  "]
            .iter()
            .any(|mark| line.starts_with(mark))
    };
    assert!(screen.iter().all(|line| known(&line)), "{screen:#?}");
    let count = |start: &str| screen.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (count("* "), count("~ "), count("< ")),
        (2, 1, 2),
        "{screen:#?}"
    );
}

/// A header for the channel of a hostile name.
fn escaped_header(uid: &str) -> String {
    serde_json::json!({ "uid": uid, "channel": HOSTILE }).to_string()
}

/// It leaves the channel: the uid is free.
fn control_c(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let mut alice = talk(client, &server, "c");
    alice.screen().wait_for("connected to").unwrap();
    let mut bob = server.join("bob", "c");
    alice.type_in("said\r");
    while bob.recv() != Message::text("said") {}
    alice.type_in("not said\x03");
    let (status, screen) = alice.wait();
    assert_eq!(status.code(), Some(0), "{screen:#?}");
    let shown = |part| screen.iter().any(|line| line.contains(part));
    assert!(!shown("error") && !shown("panicked"), "{screen:#?}");
    server.join("alice", "c").close(1000);
}

/// Who leaves is told if others may not have got what was said.
fn control_c_before_all_is_sent(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let mut alice = talk(client, &server, "c");
    alice.screen().wait_for("connected to").unwrap();
    server.signal(Signal::STOP);
    // The complaint about the second line shows that the first one is taken.
    alice.type_in(b"unheard\r\xff\r");
    alice.screen().wait_for("not UTF-8").unwrap();
    alice.type_in("\x03");
    let (status, screen) = alice.wait();
    assert_eq!(status.code(), Some(3), "{screen:#?}");
    let last = screen.last().unwrap();
    assert!(
        last.ends_with("error: 1 lines are not known to be accepted"),
        "{last}"
    );
}
