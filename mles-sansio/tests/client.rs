//! The rules of a client, one by one.

use std::time::Duration;

use mles_sansio::client::{
    Age, Client, ClientAction, ClientConfig, ClientEvent, ClientNotice, End, Goodbye, Refusal,
};
use mles_sansio::{ConnId, Frame, Instant, Key, Now, Seed, Violation};

/// A client, the time, and what has come out.
#[derive(Clone)]
struct Run {
    client: Client,
    now: Now,
    conn: ConnId,
    log: Vec<String>,
}

impl Run {
    fn new(config: ClientConfig) -> Self {
        let mut run = Self {
            client: Client::new(config, &Seed([1; 32])).expect("good names"),
            now: Now::default(),
            conn: ConnId(0),
            log: Vec::new(),
        };
        run.event(ClientEvent::Timeout);
        run
    }

    /// One that is connected and took its first replay.
    fn open(config: ClientConfig, replay: &str) -> Self {
        let mut run = Self::new(config);
        run.opened();
        run.replay(replay);
        run.wait(60.0);
        run.log.clear();
        run
    }

    fn event(&mut self, event: ClientEvent) {
        let mut sent = None;
        let actions: Vec<_> = self.client.handle(self.now, event).collect();
        for action in actions {
            let line = match action {
                ClientAction::Dial { conn } => {
                    self.conn = conn;
                    "dial".into()
                }
                ClientAction::Send { conn, frame } => {
                    sent = Some(conn);
                    format!("> {}", text(&frame))
                }
                ClientAction::Close { .. } => "close".into(),
                ClientAction::Drop { .. } => "drop".into(),
                ClientAction::Deliver(delivery) => {
                    let age = if delivery.age == Age::History {
                        "old"
                    } else {
                        "new"
                    };
                    let what = delivery
                        .joined
                        .map_or(text(&delivery.frame), |uid| format!("{uid} joined"));
                    format!("{age} {what}")
                }
                ClientAction::Refused { why, .. } => format!("{why:?}"),
                ClientAction::Room => "room".into(),
                ClientAction::Notice(ClientNotice::Connected) => continue,
                ClientAction::Notice(ClientNotice::Waiting { .. }) => "waiting".into(),
                ClientAction::Notice(ClientNotice::Resumed { gap_possible }) => {
                    if gap_possible { "gap" } else { "no gap" }.into()
                }
                ClientAction::Notice(ClientNotice::CaughtUp { resent }) => {
                    format!("resent {resent}")
                }
                ClientAction::Notice(ClientNotice::Ended(end)) => format!("{end:?}"),
            };
            self.log.push(line);
        }
        if let Some(conn) = sent {
            self.event(ClientEvent::Written { conn });
        }
    }

    fn opened(&mut self) {
        let conn = self.conn;
        self.event(ClientEvent::Opened { conn });
    }

    /// Each word is a frame; `+bob` is bob's announcement.
    fn replay(&mut self, words: &str) {
        for word in words.split_whitespace() {
            let conn = self.conn;
            let frame = match word.strip_prefix('+') {
                Some(uid) => header(uid, ""),
                None => Frame::text(word.to_owned()),
            };
            self.event(ClientEvent::Frame { conn, frame });
        }
    }

    fn say(&mut self, words: &str) {
        for word in words.split_whitespace() {
            let frame = Frame::text(word.to_owned());
            self.event(ClientEvent::Send { frame });
        }
    }

    fn closed(&mut self, code: u16) {
        let (conn, how) = (self.conn, Goodbye::Close(code));
        self.event(ClientEvent::Closed { conn, how });
    }

    fn lost(&mut self) {
        let (conn, how) = (self.conn, Goodbye::Lost);
        self.event(ClientEvent::Closed { conn, how });
    }

    /// Time passes.
    fn wait(&mut self, seconds: f64) {
        let until = self.now.mono + Duration::from_secs_f64(seconds);
        while let Some(at) = self.client.next_timeout().filter(|at| *at <= until) {
            self.now.mono = self.now.mono.max(at);
            self.event(ClientEvent::Timeout);
        }
        self.now.mono = until;
    }

    /// Until it dials again, and then on.
    fn again(&mut self) {
        let at = self.client.next_timeout().expect("it waits");
        self.now.mono = at;
        self.event(ClientEvent::Timeout);
        self.opened();
    }

    fn log(&mut self) -> String {
        std::mem::take(&mut self.log).join(", ")
    }
}

fn config() -> ClientConfig {
    ClientConfig::new("alice", "c")
}

fn header(uid: &str, auth: &str) -> Frame {
    Frame::text(format!(r#"{{"uid":"{uid}","channel":"c"{auth}}}"#))
}

fn text(frame: &Frame) -> String {
    let text = String::from_utf8_lossy(&frame.payload).into_owned();
    if text.starts_with('{') {
        "header".into()
    } else {
        text
    }
}

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

/// J2.1: what comes at first is from the history; the first quiet 2 s end that.
#[test]
fn history_and_live() {
    let mut run = Run::new(config());
    run.opened();
    run.replay("+alice one");
    run.wait(1.9);
    run.replay("two");
    run.wait(2.1);
    run.replay("three");
    assert_eq!(
        run.log(),
        "dial, > header, old alice joined, old one, old two, resent 0, new three"
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

/// J2.1, L2.7: what was there before is not delivered again, also if the same was said later.
#[test]
fn duplicates_after_a_reconnect() {
    let mut run = Run::open(config(), "+bob ok one ok");
    run.say("mine");
    run.lost();
    run.again();
    run.log();
    run.replay("+bob ok one ok mine +alice");
    assert_eq!(run.log(), "");
    run.replay("ok two +bob");
    assert_eq!(run.log(), "no gap, old ok, old two, old bob joined");
    run.wait(2.0);
    assert_eq!(run.log(), "resent 0");
    run.replay("two");
    assert_eq!(run.log(), "new two");
}

/// M3.3: what the history no longer held can't be known; the notice stands where messages may be missing.
#[test]
fn gaps() {
    let reconnect = |known: &str, replay: &str| {
        let mut run = Run::open(config(), known);
        run.lost();
        run.again();
        run.log();
        run.replay(replay);
        run.wait(7.0);
        run.log()
    };
    assert_eq!(
        reconnect("one two", "two three"),
        "no gap, old three, resent 0"
    );
    assert_eq!(reconnect("one two", "three"), "gap, old three, resent 0");
    assert_eq!(reconnect("one two", "one two"), "no gap, resent 0");
    // The server has been restarted, or the history is off.
    assert_eq!(reconnect("one two", ""), "gap, resent 0");
    // The own announcement and no message: nobody has said anything.
    assert_eq!(reconnect("", "+alice"), "no gap, resent 0");
    assert_eq!(
        reconnect("", "+alice +bob"),
        "old bob joined, no gap, resent 0"
    );
    assert_eq!(
        reconnect("", "+alice +bob x"),
        "old bob joined, gap, old x, resent 0"
    );
    assert_eq!(reconnect("", ""), "gap, resent 0");
}

/// Messages in doubt wait for the end of the replay, and those after them; what was in it is not sent again, nor what
/// was sent before it.
#[test]
fn own_messages_after_a_reconnect() {
    let mut run = Run::open(config(), "");
    run.say("a b c d e f");
    run.lost();
    assert_eq!(run.client.unconfirmed(), 6);
    run.say("g");
    run.again();
    assert_eq!(
        run.log(),
        "> a, > b, > c, > d, > e, > f, waiting, dial, > header"
    );
    let mut all = run.clone();
    // The history has lost a message of somebody else, and a and b.
    run.replay("c d");
    run.wait(1.0);
    assert_eq!((run.log(), run.client.unconfirmed()), (String::new(), 7));
    run.wait(1.0);
    assert_eq!(
        run.log(),
        "gap, resent 6, > a, > b, > c, > d, > e, > f, > g",
        "two may be another's"
    );
    // All of them, before it is over: nothing has to wait.
    all.replay("c d e f");
    assert_eq!(all.log(), "> g");
    assert_eq!(all.client.unconfirmed(), 1);
}

#[test]
fn messages_in_doubt_are_vouched_for_in_order() {
    let mut run = Run::open(config(), "x");
    run.say("a b c d e f");
    run.lost();
    run.again();
    run.log();
    run.replay("x a y b");
    run.wait(2.0);
    assert_eq!(run.log(), "no gap, old y, resent 4, > c, > d, > e, > f");
}

/// J1.2: a replay that has not begun is not over: the server may be asking the old session.
#[test]
fn the_first_frame_has_more_time() {
    let mut run = Run::open(config(), "x");
    run.say("a");
    run.lost();
    run.again();
    run.log();
    run.wait(6.9);
    assert_eq!(run.log(), "");
    run.replay("x a");
    assert_eq!((run.log(), run.client.unconfirmed()), (String::new(), 0));
    // And while known frames are missing, quiet means nothing, up to 60 s.
    let mut run = Run::open(config(), "x y z");
    run.say("a");
    run.lost();
    run.again();
    run.log();
    run.replay("x y");
    run.wait(50.0);
    assert_eq!(run.log(), "");
    run.wait(10.0);
    assert_eq!(run.log(), "no gap, resent 1, > a");
}

/// A message is taken for accepted when its connection has lived for 30 s after it was written.
#[test]
fn settled() {
    let mut run = Run::open(config(), "");
    run.say("a");
    run.wait(20.0);
    run.say("b");
    run.wait(10.0);
    assert_eq!(run.client.unconfirmed(), 1);
    run.lost();
    run.again();
    run.wait(7.0);
    assert_eq!(
        run.log(),
        "> a, > b, waiting, dial, > header, gap, resent 1, > b"
    );
}

/// What is taken for accepted without a proof gets one from a later replay, or the end says that it has none.
#[test]
fn assumptions() {
    let mut run = Run::open(config(), "");
    run.say("a b");
    run.wait(30.0);
    assert_eq!(run.client.unconfirmed(), 0);
    let mut answered = run.clone();
    answered.event(ClientEvent::Finish);
    answered.closed(1000);
    assert_eq!(answered.log(), "> a, > b, close, Done");
    run.lost();
    run.event(ClientEvent::Finish);
    run.again();
    assert_eq!(
        run.log(),
        "> a, > b, waiting, dial, > header",
        "it waits for the replay"
    );
    let mut forgotten = run.clone();
    run.replay("b");
    run.wait(2.0);
    run.closed(1000);
    assert_eq!(run.log(), "gap, resent 0, close, Done");
    forgotten.replay("x");
    forgotten.wait(2.0);
    forgotten.closed(1000);
    assert_eq!(
        forgotten.log(),
        "gap, old x, resent 0, close, Assumed { messages: 2 }"
    );
}

/// X1.4: the answer to the close frame proves that all was accepted.
#[test]
fn finished() {
    let mut run = Run::new(config());
    run.say("a");
    run.event(ClientEvent::Finish);
    run.opened();
    assert_eq!(run.log(), "dial, > header, > a, close");
    assert_eq!(run.client.unconfirmed(), 1);
    run.replay("late");
    run.closed(1000);
    assert_eq!(run.log(), "old late, Done");
    // Nothing to send, and no connection yet.
    let mut run = Run::new(config());
    run.event(ClientEvent::Finish);
    assert_eq!(run.log(), "dial, drop, Done");
}

/// A server that drops the connection instead of answering may show the messages in its history; else it is not
/// known.
#[test]
fn finished_without_an_answer() {
    let mut run = Run::new(config());
    run.say("a");
    run.event(ClientEvent::Finish);
    run.opened();
    run.lost();
    run.again();
    let mut never = run.clone();
    run.log();
    run.replay("a");
    assert_eq!(run.log(), "close");
    run.lost();
    assert_eq!(run.log(), "waiting, Done");
    never.log();
    never.wait(7.0 + 15.0);
    assert_eq!(never.log(), "gap, resent 1, > a, close, drop, waiting");
    never.again();
    never.wait(7.0);
    never.lost();
    assert!(never.log().ends_with("close, Unproved { messages: 1 }"));
}

/// With a full queue sending is refused, and it is said when there is room.
#[test]
fn back_pressure() {
    let small = ClientConfig {
        queue_messages: 2,
        queue_bytes: 1000,
        ..config()
    };
    let mut run = Run::open(small.clone(), "");
    let frame = Frame::text("x".repeat(1000));
    assert_eq!(run.client.accepts(&frame), Err(Refusal::TooBig));
    run.say("a b c");
    assert_eq!(run.log(), "> a, > b, Full");
    run.wait(29.0);
    assert_eq!(run.log(), "");
    run.wait(1.0);
    assert_eq!(run.log(), "room");
    let frame = Frame::text("x".repeat(500));
    run.event(ClientEvent::Send {
        frame: frame.clone(),
    });
    assert_eq!(run.client.accepts(&frame), Err(Refusal::Full), "by bytes");

    let checkpoint = ClientConfig {
        checkpoint: true,
        ..small
    };
    let mut run = Run::open(checkpoint, "");
    run.say("a b c");
    assert_eq!(run.log(), "> a, > b, Full, close");
    run.closed(1000);
    assert_eq!(run.log(), "dial, room");
    run.say("c");
    run.opened();
    assert_eq!(run.log(), "> header, > c", "nothing is in doubt");
}

/// Batches: the next one when the last one is written.
#[test]
fn what_is_handed_out_is_bounded() {
    let mut client = Client::new(config(), &Seed([1; 32])).unwrap();
    let (now, conn) = (Now::default(), ConnId(0));
    for _ in 0..1000 {
        let frame = Frame::text("x");
        let _ = client.handle(now, ClientEvent::Send { frame }).count();
    }
    let _ = client.handle(now, ClientEvent::Timeout).count();
    let mut handed = Vec::new();
    for event in
        std::iter::once(ClientEvent::Opened { conn }).chain(vec![ClientEvent::Written { conn }; 4])
    {
        let sent = client
            .handle(now, event)
            .filter(|a| matches!(a, ClientAction::Send { .. }));
        handed.push(sent.count());
    }
    assert_eq!(handed, [257, 256, 256, 232, 0]);
    assert_eq!(client.next_timeout(), Some(Instant::from_micros(2_000_000)));
}
