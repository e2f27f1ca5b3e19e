//! The history: what a joiner gets, and how it meets the live stream.

use std::sync::atomic::{AtomicBool, Ordering};

use black_box::{Binary, Client, Message, Server, header, suite};

suite! {
    the_newest_messages,
    no_history,
    bytes_of_a_channel,
    bytes_of_all_channels,
    it_outlives_its_members,
    joining_a_burst,
    a_pong_says_that_messages_have_arrived,
}

/// Waits until the server has accepted everything that a member has sent.
fn send_all(client: &mut Client, messages: impl IntoIterator<Item = String>) {
    messages
        .into_iter()
        .for_each(|message| client.send(message));
    client.settle();
}

/// What a new member of the channel is replayed, without announcements.
fn replay(server: &Server, channel: &str) -> Vec<String> {
    let replayed = server.join("who looks", channel).leave();
    let texts = replayed
        .iter()
        .map(|message| message.to_text().unwrap_or("binary").to_owned());
    texts.filter(|text| !text.starts_with("{\"uid\"")).collect()
}

/// J2.1, J3.7, M3.3: the newest 200 unless configured, and announcements by themselves.
fn the_newest_messages(binary: &Binary) {
    for (args, limit) in [(&[][..], 200), (&["--limit", "7"], 7)] {
        let server = Server::start(binary, args, &[]);
        let mut alice = server.join("alice", "newest");
        let all: Vec<String> = (0..limit + 50).map(|number| number.to_string()).collect();
        send_all(&mut alice, all.clone());
        let mut joins: Vec<_> = (0..limit + 5)
            .map(|n| server.join(&format!("j{n}"), "newest").leave())
            .collect();
        let last: Vec<Message> = joins.pop().unwrap_or_default();
        let (told, messages): (Vec<_>, Vec<_>) = last
            .into_iter()
            .partition(|message| message.to_text().is_ok_and(|text| text.starts_with('{')));
        let messages: Vec<_> = messages
            .iter()
            .map(|message| message.to_text().unwrap_or_default())
            .collect();
        assert_eq!(messages, all[50..], "messages");
        assert_eq!(told.len(), limit, "announcements");
    }
}

/// M3.4: with a limit of 0 there is neither.
fn no_history(binary: &Binary) {
    let server = Server::start(binary, &["--limit", "0"], &[]);
    let mut alice = server.join("alice", "nothing");
    send_all(&mut alice, ["forgotten".to_owned()]);
    assert!(server.join("bob", "nothing").leave().is_empty());
}

/// M3.5, M3.6, M3.8: the oldest go when the bytes are used up; what is too large by itself is only distributed.
fn bytes_of_a_channel(binary: &Binary) {
    let server = Server::start(binary, &["--history-channel-bytes", "10KiB"], &[]);
    let mut alice = server.join("alice", "bytes");
    let mut bob = server.join("bob", "bytes");
    // Each costs 936 + 5 + 64 = 1005.
    let message = |number: usize| format!("{number:04} {}", "x".repeat(931));
    send_all(&mut alice, (0..30).map(message));
    let large = "y".repeat(10 * 1024);
    send_all(&mut alice, [large.clone()]);
    bob.expect([header("alice", "bytes")]);
    bob.expect((0..30).map(message));
    bob.expect([large]);
    assert_eq!(
        replay(&server, "bytes"),
        (20..30).map(message).collect::<Vec<_>>()
    );
}

/// M3.7: the channel whose last activity is the oldest loses first.
fn bytes_of_all_channels(binary: &Binary) {
    let args = [
        "--history-bytes",
        "64KiB",
        "--history-channel-bytes",
        "32KiB",
    ];
    let server = Server::start(binary, &args, &[]);
    let message = |number: usize| format!("{number:04} {}", "x".repeat(9_995));
    let mut members: Vec<_> = ["old", "new"]
        .iter()
        .map(|name| server.join("alice", name))
        .collect();
    for member in &mut members {
        send_all(member, (0..3).map(message));
    }
    assert_eq!(replay(&server, "old").len(), 3);
    let mut third = server.join("alice", "third");
    send_all(&mut third, (0..2).map(message));
    assert_eq!(replay(&server, "third").len(), 2);
    assert_eq!(
        replay(&server, "old").len(),
        3,
        "looked at last, and so the youngest"
    );
    assert_eq!(replay(&server, "new"), [message(2)]);
}

/// L1.2, L1.3: the last one to leave takes nothing along.
fn it_outlives_its_members(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut alice = server.join("alice", "left alone");
    send_all(&mut alice, ["remember me".to_owned()]);
    alice.reset();
    let mut bob = server.join("bob", "left alone");
    bob.expect([header("alice", "left alone"), "remember me".into()]);
    assert!(bob.leave().is_empty());
}

/// J2.1, J2.3, J2.4: history and live stream are joined without gap, repeat or reordering.
fn joining_a_burst(binary: &Binary) {
    const TIMES: usize = 50;
    const SEEN: usize = 700;
    let server = Server::start(binary, &["--outbox", "64MiB"], &[]);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut publisher = server.join("publisher", "burst");
        let enough = &enough;
        let publishing = scope.spawn(move || {
            let mut number = 0;
            while !enough.load(Ordering::Relaxed) {
                publisher.send(format!("{number}"));
                number += 1;
            }
        });
        let joins = std::panic::AssertUnwindSafe(|| {
            for time in 0..TIMES {
                let mut joiner = server.open();
                joiner.send(header(&format!("joiner {time}"), "burst"));
                let (mut next, mut seen) = (None, 0);
                while seen < SEEN {
                    let message = joiner.recv();
                    let text = message.to_text().unwrap_or_default();
                    let Ok(number) = text.parse::<u64>() else {
                        assert!(text.starts_with("{\"uid\""), "{text}");
                        continue;
                    };
                    assert_eq!(
                        next.unwrap_or(number),
                        number,
                        "join {time}, message {seen}"
                    );
                    next = Some(number + 1);
                    seen += 1;
                }
            }
        });
        let outcome = std::panic::catch_unwind(joins);
        enough.store(true, Ordering::Relaxed);
        drop(publishing.join());
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// M2.4: who has the pong knows that others will find what was sent before the ping.
fn a_pong_says_that_messages_have_arrived(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let mut alice = server.join("alice", "arrived");
    for round in 0..20 {
        let message = |number: usize| format!("{round} {number}");
        send_all(&mut alice, (0..200).map(message));
        let expected: Vec<_> = (0..200).map(message).collect();
        assert_eq!(replay(&server, "arrived"), expected);
    }
}
