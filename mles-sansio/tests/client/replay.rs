//! What a replay repeats, and where something may be missing.

use crate::run::{Run, config};

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
    // An announcement alone says nothing: bob may have come again, to a server that has lost its history.
    let mut run = Run::open(config(), "+bob x y z");
    run.say("a");
    run.lost();
    run.again();
    run.log();
    run.replay("+bob");
    run.wait(2.0);
    assert_eq!(run.log(), "no gap, resent 1, > a");
}
