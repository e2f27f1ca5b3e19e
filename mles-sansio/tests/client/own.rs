//! A client's own messages: which are accepted, which are sent again, which wait.

use mles_sansio::client::{Client, ClientAction, ClientConfig, ClientEvent, Refusal};
use mles_sansio::{ConnId, Frame, Instant, Now, Seed};

use crate::run::{Run, config};

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

/// A message is taken for accepted when its connection has lived for 30 s after it was written.
#[test]
fn settled() {
    let mut run = Run::open(config(), "");
    run.say("a");
    run.wait(20.0);
    run.say("b");
    run.wait(10.0);
    assert_eq!((run.client.accepted(), run.client.unconfirmed()), (1, 1));
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
