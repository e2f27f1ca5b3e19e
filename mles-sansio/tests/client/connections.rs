//! Who it is, when it dials, and when it stops.

use std::time::Duration;

use mles_sansio::client::{Client, ClientAction, ClientConfig, ClientEvent, End, Goodbye};
use mles_sansio::{ConnId, Frame, Key, Now, Seed, Violation};

use crate::run::{Run, config, header};

/// A1.1, A1.2, A2.3: 16 lower-case digits with a key, and nothing without.
#[test]
fn the_header_with_auth() {
    let sent = |config: ClientConfig| {
        let mut client = Client::new(config, &Seed([1; 32])).unwrap();
        let conn = ConnId(0);
        let _ = client.handle(Now::default(), ClientEvent::Timeout).count();
        let mut actions = client.handle(Now::default(), ClientEvent::Opened { conn });
        match actions.next() {
            Some(ClientAction::Send { frame, .. }) => frame,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sent(config()), header("alice", ""));
    let key = Key::new(b"mles-devel-frank");
    let with_key = ClientConfig {
        key,
        ..ClientConfig::new("alice", "example")
    };
    let expected = r#"{"uid":"alice","channel":"example","auth":"cddd69d5f9771d66"}"#;
    assert_eq!(sent(with_key), Frame::text(expected));
}

/// H1.4, H1.9, H2.1: what a server would refuse is not tried.
#[test]
fn names_that_no_server_takes() {
    for (uid, channel, violation) in [
        ("", "c", Violation::HeaderEmptyName),
        ("u", "", Violation::HeaderEmptyName),
        ("u\0", "c", Violation::HeaderBadName),
        (&"u".repeat(4096)[..], "c", Violation::HeaderTooBig),
    ] {
        let client = Client::new(ClientConfig::new(uid, channel), &Seed([1; 32]));
        assert_eq!(client.err(), Some(violation));
    }
}

/// J3.1, J3.9: who joined is told apart, on this channel alone; older servers replay headers with `auth`.
#[test]
fn announcements() {
    let mut run = Run::open(config(), "");
    run.replay("+bob hello");
    let conn = run.conn;
    for frame in [
        header("carol", r#","auth":"0123456789abcdef""#),
        header("dave", r#","more":1"#),
        Frame::text(r#"{"uid":"eve","channel":"d"}"#),
        Frame::binary(&br#"{"uid":"eve","channel":"c"}"#[..]),
    ] {
        run.event(ClientEvent::Frame { conn, frame });
    }
    let log = run.log();
    assert_eq!(
        log,
        "new bob joined, new hello, new carol joined, new header, new header, new header"
    );
}

/// Section 14: which codes end it, and which only the connection.
#[test]
fn close_codes() {
    for code in [
        1000, 1001, 1005, 1011, 1012, 1013, 4003, 4004, 4005, 4008, 4999,
    ] {
        let mut run = Run::open(config(), "");
        run.closed(code);
        assert_eq!(run.log(), "waiting", "{code}");
        run.again();
        assert_eq!(run.log(), "dial, > header");
    }
    for code in [1002, 1007, 1009, 4000, 4001, 4002, 4011] {
        let mut run = Run::new(config());
        run.opened();
        run.closed(code);
        assert_eq!(
            run.log(),
            format!("dial, > header, Refused {{ code: {code} }}")
        );
        assert_eq!(run.client.next_timeout(), None);
        let sentence = End::Refused { code }.to_string();
        assert!(sentence.contains(&code.to_string()), "{sentence}");
        run.say("late");
        assert_eq!(run.log(), "Ended");
    }
}

/// J1.3, J1.7: after an own session the server may think that it still lives; later it is somebody else.
#[test]
fn a_duplicate_that_may_be_oneself() {
    let mut run = Run::open(config(), "");
    run.lost();
    let began = run.now.mono;
    while run.client.next_timeout().is_some() {
        run.again();
        run.closed(4002);
    }
    assert!(run.log().ends_with("Refused { code: 4002 }"));
    let tried = run.now.mono.since(began).as_secs();
    assert!((120..150).contains(&tried), "{tried}");
}

/// The delays double up to a bound, lie between a half and the whole, differ between clients and not between runs;
/// a connection that lasted begins anew.
#[test]
fn backoff() {
    let delays = |seed: u8| {
        let mut client = Client::new(config(), &Seed([seed; 32])).unwrap();
        let mut now = Now::default();
        let mut delays = Vec::new();
        for number in 0..10 {
            now.mono = now.mono.max(client.next_timeout().unwrap());
            let conn = ConnId(number);
            let _ = client.handle(now, ClientEvent::Timeout).count();
            let _ = client.handle(now, ClientEvent::Opened { conn }).count();
            if number == 8 {
                now.mono = now.mono + Duration::from_secs(30);
            }
            let how = Goodbye::Lost;
            let _ = client
                .handle(now, ClientEvent::Closed { conn, how })
                .count();
            delays.push(client.next_timeout().unwrap().since(now.mono));
        }
        delays
    };
    let first = delays(1);
    for (number, delay) in first.iter().enumerate().take(8) {
        let whole = Duration::from_millis(500 << number).min(Duration::from_secs(30));
        assert!(
            *delay >= whole / 2 && *delay <= whole,
            "{number}: {delay:?}"
        );
    }
    assert!(first[8] <= Duration::from_millis(500), "it had lasted");
    assert_eq!(first, delays(1));
    assert_ne!(first, delays(2));
}

/// Who misspells an address is told; who had a connection, or is patient, goes on. A certificate does not change.
#[test]
fn dials_that_fail() {
    let fail = |run: &mut Run, lasting| {
        let conn = run.conn;
        run.event(ClientEvent::Failed { conn, lasting });
    };
    let mut run = Run::new(config());
    fail(&mut run, false);
    assert_eq!(run.log(), "dial, Unreachable");
    let patient = ClientConfig {
        patient: true,
        ..config()
    };
    let mut run = Run::new(patient);
    fail(&mut run, false);
    assert_eq!(run.log(), "dial, waiting");
    run.wait(1.0);
    fail(&mut run, true);
    assert_eq!(run.log(), "dial, Unreachable");
    let mut run = Run::open(config(), "");
    run.lost();
    run.wait(1.0);
    fail(&mut run, false);
    assert_eq!(run.log(), "waiting, dial, waiting");
    // One that takes too long is given up, and what it still says has no effect.
    run.wait(1.0);
    let late = run.conn;
    run.wait(20.0);
    assert_eq!(run.log(), "dial, drop, waiting");
    run.event(ClientEvent::Opened { conn: late });
    assert_eq!(run.log(), "");
}
