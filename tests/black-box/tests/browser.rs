//! The page in a real browser.

use std::sync::Arc;

use black_box::{Binary, Browser, Launch, Message, Server, Signal, Tab, TempDir, suite};

suite! {
    #[ignore = "needs chromium-driver: run by .ci/run"]
    two_pages_talk,
    #[ignore = "needs chromium-driver: run by .ci/run"]
    a_key_that_is_asked_for,
    #[ignore = "needs chromium-driver: run by .ci/run"]
    a_photo,
    #[ignore = "needs chromium-driver: run by .ci/run"]
    who_comes_back,
    #[ignore = "needs chromium-driver: run by .ci/run"]
    a_server_that_is_killed,
}

/// Two pages join, talk, exchange an image, one is loaded anew, and the server restarts under them.
/// A program that knows nothing of the page's convention takes part.
fn two_pages_talk(binary: &Binary) {
    let home = Arc::new(TempDir::new());
    let server = Launch::new(binary).home(&home).start();
    let port = server.address().port().to_string();
    let browser = Browser::start();
    let (alice, bob) = (browser.open(), browser.open());

    join(&alice, &server, "alice", "");
    alice.wait_for("document.activeElement.id === 'say'");
    alice.wait_for("!document.getElementById('empty').hidden");
    join(&bob, &server, "bob", "");
    alice.wait_for("[...document.querySelectorAll('.note')].at(-1)?.textContent === 'bob joined'");

    // Text, which is never taken for HTML.
    say(&alice, "Hello <b>Bob</b>! https://mles.io/");
    bob.wait_for(&has("alice", "Hello <b>Bob</b>! https://mles.io/"));
    assert!(bob.value("document.querySelector('.text b')").is_null());
    assert_eq!(
        bob.value("document.querySelector('.text a').href"),
        "https://mles.io/"
    );
    say(&bob, "Hello Alice!");
    alice.wait_for(&has("bob", "Hello Alice!"));

    // An image.
    let image = image();
    bob.type_into("#file", &home.file("image.png", &image));
    bob.wait_for("!document.getElementById('attached').hidden");
    say(&bob, "");
    alice.wait_for("document.querySelector('.message .picture img')?.naturalWidth === 2");
    let alt = alice.value("document.querySelector('.picture img').alt");
    assert_eq!(alt, "Image from bob");
    alice.run("document.querySelector('.picture').click()", &[]);
    alice.wait_for("document.getElementById('large').open");
    alice.run("document.querySelector('#large button').click()", &[]);
    alice.wait_for("!document.getElementById('large').open");
    // A file that is none is refused.
    bob.type_into(
        "#file",
        &home.file("image.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
    );
    bob.wait_for("document.getElementById('say-hint').textContent.includes('not an image')");

    // What others see of it, and what is seen of others.
    let mut terminal = server.join("terminal", "example");
    let framed = [&image[..], b"\0bob\0mles"].concat();
    terminal.expect([
        Message::text(r#"{"uid":"alice","channel":"example"}"#),
        Message::text(r#"{"uid":"bob","channel":"example"}"#),
        Message::text("alice: Hello <b>Bob</b>! https://mles.io/"),
        Message::text("bob: Hello Alice!"),
        Message::binary(framed),
    ]);
    terminal.send("bare text");
    alice.wait_for(&has("Unknown sender", "bare text"));
    terminal.send(Message::binary(image));
    alice.wait_for("document.querySelectorAll('.picture img').length === 2");
    terminal.send(Message::binary(&b"\x01\x02"[..]));
    alice.wait_for("document.querySelector('.odd')?.textContent.startsWith('Binary message, 2 b')");

    // One comes back to the history.
    bob.reload();
    bob.wait_for("document.activeElement.id === 'enter'");
    bob.run("document.getElementById('join-form').requestSubmit()", &[]);
    bob.wait_for("document.querySelector('.line')?.textContent === 'Earlier messages above'");
    let shown = "[document.querySelectorAll('.message.past').length, \
                 document.querySelectorAll('.message.past.own').length, \
                 document.querySelectorAll('.past time').length, \
                 document.querySelectorAll('.picture img').length]";
    assert_eq!(bob.value(shown).to_string(), "[6,2,0,2]");
    assert_clean(&alice, &[]);
    assert_clean(&bob, &[]);

    // The server restarts; what is written meanwhile is kept.
    terminal.leave();
    server.stop();
    for tab in [&alice, &bob] {
        tab.wait_for("document.body.dataset.state === 'waiting'");
    }
    say(&alice, "Still there?");
    alice.wait_for("document.querySelector('[data-sending=pending]') !== null");
    let server = Launch::new(binary)
        .home(&home)
        .args(&["--port", &port])
        .start();
    bob.wait_for(&has("alice", "Still there?"));
    alice.wait_for("document.querySelector('[data-sending=pending]') === null");
    say(&bob, "Here I am.");
    alice.wait_for(&has("bob", "Here I am."));
    assert_eq!(bob.value("document.querySelectorAll('.message').length"), 8);
    for tab in [&alice, &bob] {
        assert_clean(tab, &[CONNECTION_REFUSED]);
    }
    server.assert_quiet();
}

/// 4001 leads back to the form, with the reason and nothing lost.
fn a_key_that_is_asked_for(binary: &Binary) {
    let server = Server::start(binary, &[], &[("MLES_KEY", "secret")]);
    let browser = Browser::start();
    let tab = browser.open();
    enter(&tab, &server, "alice", "wrong");
    tab.wait_for("document.body.dataset.state === 'refused'");
    tab.wait_for("document.getElementById('join-hint').textContent.includes('4001')");
    assert_eq!(tab.value("document.activeElement.id"), "key");
    assert_eq!(tab.value("document.getElementById('name').value"), "alice");
    tab.type_into(
        "#key",
        "\u{e003}\u{e003}\u{e003}\u{e003}\u{e003}secret\u{e007}",
    );
    tab.wait_for("document.body.dataset.state === 'joined'");
    assert_eq!(tab.value("location.hash"), "#channel=example");
    // The key changes, and with it the name: what is written goes along.
    say(&tab, "one");
    let (home, port) = (server.home().clone(), server.address().port().to_string());
    server.stop();
    tab.wait_for("document.body.dataset.state === 'waiting'");
    say(&tab, "two");
    let server = Launch::new(binary)
        .home(&home)
        .args(&["--port", &port])
        .env("MLES_KEY", "other")
        .start();
    tab.wait_for("document.body.dataset.state === 'refused'");
    tab.run("document.getElementById('change').click()", &[]);
    assert_eq!(tab.value("document.activeElement.id"), "key");
    tab.type_into("#name", "2");
    tab.run("document.getElementById('key').value = ''", &[]);
    tab.type_into("#key", "other\u{e007}");
    tab.wait_for("document.body.dataset.state === 'joined'");
    assert_eq!(tab.value("document.getElementById('say').value"), "two");
    say(&tab, "");
    tab.wait_for("document.querySelector('.message.own[data-name=\".alice2\"] .text')?.textContent === 'two'");
    assert_clean(&tab, &[CONNECTION_REFUSED]);
    drop(server);
}

/// A photo is made smaller, and what its file tells besides the picture stays with its sender.
fn a_photo(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let browser = Browser::start();
    let tab = browser.open();
    join(&tab, &server, "alice", "");
    let mut terminal = server.join("terminal", "example");
    terminal.expect([r#"{"uid":"alice","channel":"example"}"#]);
    let drawn = tab.run(
        "const canvas = document.createElement('canvas');
         canvas.width = 4096;
         canvas.height = 1024;
         canvas.getContext('2d').fillRect(0, 0, 100, 100);
         return [...atob(canvas.toDataURL('image/jpeg').split(',')[1])].map((c) => c.charCodeAt(0))",
        &[],
    );
    let drawn: Vec<u8> = serde_json::from_value(drawn).expect("bytes");
    let place = b"Exif\0\0A SECRET PLACE";
    let length = [0, place.len() as u8 + 2];
    let photo = [&drawn[..2], b"\xff\xe1", &length, place, &drawn[2..]].concat();
    tab.type_into("#file", &server.home().file("photo.jpg", photo));
    tab.wait_for("!document.getElementById('attached').hidden");
    say(&tab, "");
    let Message::Binary(sent) = terminal.recv() else {
        panic!("an image is a binary message");
    };
    assert!(sent.starts_with(b"\xff\xd8\xff") && sent.ends_with(b"\0alice\0mles"));
    assert!(!sent.windows(6).any(|part| part == b"SECRET"));
    terminal.send(Message::Binary(sent));
    tab.wait_for(
        "[...document.querySelectorAll('.message:not(.own) img')].some((it) => \
         it.naturalWidth === 2048 && it.naturalHeight === 512 && it.alt === 'Image from alice')",
    );
    assert_clean(&tab, &[]);
}

/// What was said meanwhile is shown once and in its place; what was written meanwhile comes after it.
fn who_comes_back(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let browser = Browser::start();
    let tab = browser.open();
    join(&tab, &server, "alice", "");
    say(&tab, "one");
    let mut terminal = server.join("terminal", "example");
    terminal.expect([r#"{"uid":"alice","channel":"example"}"#, "alice: one"]);
    terminal.send("terminal: two");
    tab.wait_for(&has("terminal", "two"));
    // The page lets go of its connection when it is left; here it stays.
    server.signal(Signal::STOP);
    tab.run("dispatchEvent(new PageTransitionEvent('pagehide'))", &[]);
    tab.wait_for("document.body.dataset.state === 'waiting'");
    terminal.send("terminal: three");
    say(&tab, "four");
    server.signal(Signal::CONT);
    terminal.expect([r#"{"uid":"alice","channel":"example"}"#, "alice: four"]);
    terminal.send("terminal: five");
    tab.wait_for(&has("terminal", "five"));
    tab.wait_for("document.querySelector('.line.missed.done') !== null");
    let order = "[...document.querySelectorAll('.text, .line')].map((it) => it.textContent)";
    assert_eq!(
        tab.value(order),
        serde_json::json!([
            "one",
            "two",
            "Sent while you were disconnected",
            "three",
            "Live again",
            "four",
            "five"
        ])
    );
    let doubts = "document.querySelectorAll('[data-sending]:not([data-sending=sent])').length";
    assert_eq!(tab.value(doubts), 0);
    assert_clean(&tab, &[]);
}

/// A connection that ends without a close frame.
fn a_server_that_is_killed(binary: &Binary) {
    let home = Arc::new(TempDir::new());
    let mut server = Launch::new(binary).home(&home).start();
    let port = server.address().port().to_string();
    let browser = Browser::start();
    let tab = browser.open();
    join(&tab, &server, "alice", "");
    let mut bob = server.join("bob", "example");
    tab.wait_for("document.querySelector('.note') !== null");
    say(&tab, "Is this safe?");
    assert_eq!(
        bob.recv(),
        Message::text(r#"{"uid":"alice","channel":"example"}"#)
    );
    assert_eq!(bob.recv(), Message::text("alice: Is this safe?"));
    server.signal(Signal::KILL);
    server.wait();
    tab.wait_for("document.querySelector('[data-sending=checking]') !== null");
    let server = Launch::new(binary)
        .home(&home)
        .args(&["--port", &port])
        .start();
    // The history is gone, so nobody can tell: it is not sent by itself.
    tab.wait_for("document.querySelector('[data-sending=doubt] button') !== null");
    let mut bob = server.join("bob", "example");
    tab.run(
        "document.querySelector('[data-sending=doubt] button').click()",
        &[],
    );
    assert_eq!(
        bob.recv(),
        Message::text(r#"{"uid":"alice","channel":"example"}"#)
    );
    assert_eq!(bob.recv(), Message::text("alice: Is this safe?"));
    tab.wait_for("document.querySelectorAll('.message').length === 1");
    assert_clean(&tab, &[CONNECTION_REFUSED]);
}

/// What Chromium writes about each try to reach a server that is not there.
const CONNECTION_REFUSED: &str = "net::ERR_CONNECTION_REFUSED";

fn join(tab: &Tab<'_>, server: &Server, name: &str, key: &str) {
    enter(tab, server, name, key);
    tab.wait_for("document.body.dataset.state === 'joined'");
}

/// Fills in the form and sends it off.
fn enter(tab: &Tab<'_>, server: &Server, name: &str, key: &str) {
    let port = server.address().port();
    tab.go(&format!(
        "https://localhost:{port}/#channel=example&name={name}"
    ));
    tab.type_into("#key", &format!("{key}\u{e007}"));
}

/// Types a message and the Enter key.
fn say(tab: &Tab<'_>, text: &str) {
    tab.type_into("#say", &format!("{text}\u{e007}"));
}

/// Whether the page shows exactly one such message.
fn has(name: &str, text: &str) -> String {
    format!(
        "[...document.querySelectorAll('.message')].filter((it) => \
         it.querySelector('.name').textContent === {name:?} && \
         it.querySelector('.text')?.textContent === {text:?}).length === 1"
    )
}

/// Nothing is on the console but what holds one of these: no error, and nothing that the policy forbade.
fn assert_clean(tab: &Tab<'_>, allowed: &[&str]) {
    let is_bad = |line: &String| !allowed.iter().any(|part| line.contains(part));
    let bad: Vec<_> = tab.console().into_iter().filter(is_bad).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

/// A PNG of 2 × 1 pixels.
fn image() -> Vec<u8> {
    let bytes: &[u8] =
        b"\x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x02\x00\x00\x00\x01\x08\x02\x00\
      \x00\x00{@\xe8\xdd\x00\x00\x00\x0fIDATx\xdac\x10\xcf\x8c\xbf\xfc\xfa)\x00\x09N\x03\x83w\
      \x19\xe6\x0b\x00\x00\x00\x00IEND\xaeB`\x82";
    bytes.to_vec()
}
