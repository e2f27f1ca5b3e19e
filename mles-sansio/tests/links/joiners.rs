//! What a joining client waits for (W1).

use std::time::Duration;

use mles_sansio::{Action, ConnId, Notice};

use crate::common::{self, lost, text};
use crate::played::{A, Linked, announcement, config, done, join, leave, said};

#[test]
fn a_joiner_waits_for_the_upstream() {
    // W1.1: it is announced at once, may send, and gets nothing.
    let mut node = Linked::new(config());
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.above(2, A, &[]);
    let _ = node.hear(2, &join(A, &format!("\"{A}\":1,\"{own}\":1")));
    let _ = node.event(common::open(3));
    let actions = node.event(common::header(3, "bob", "room"));
    let bob = Action::Resume {
        conn: ConnId(3),
        link: false,
    };
    assert!(actions.contains(&bob) && said(&actions, 3).is_empty());
    let announced = |action: &&Action| matches!(action, Action::Broadcast { .. });
    assert_eq!(actions.iter().filter(announced).count(), 1);
    let _ = node.event(text(3, "from bob"));
    let ts = node.world.now.unix;
    assert_eq!(
        said(&node.message(2, A, 1, ts - 9, "from above"), 3),
        [""; 0]
    );
    // W1.2, W1.4: with `done` it gets everything but its own.
    let actions = node.hear(2, &done(A));
    assert_eq!(
        said(&actions, 3),
        ["from above".to_owned(), announcement("alice")]
    );
    let joined = |action: &&Action| {
        matches!(
            action,
            Action::Join {
                conn: ConnId(3),
                ..
            }
        )
    };
    assert_eq!(actions.iter().filter(joined).count(), 1);
}

#[test]
fn a_joiner_that_waits_is_a_member() {
    // W1.6: another session of its pair is asked about (J1.2), and its replay has all of its time.
    let mut node = Linked::new(config());
    node.world.enter(1, "alice", "room");
    let _ = node.above(2, A, &[]);
    let _ = node.event(common::open(3));
    let _ = node.event(common::header(3, "bob", "room"));
    let _ = node.wait(Duration::from_secs(1));
    let _ = node.event(common::open(4));
    let actions = node.event(common::header(4, "bob", "room"));
    assert_eq!(actions, [Action::Ping { conn: ConnId(3) }]);
    let closed = |action: &&Action| matches!(action, Action::Close { conn: ConnId(4), why } if why.code() == 4002);
    let actions = node.event(common::pong(3));
    assert_eq!(actions.iter().filter(closed).count(), 1);
    let replay = node.wait(Duration::from_secs(1));
    assert_eq!(said(&replay, 3), [announcement("alice")]);
    let lags = |action: &&Action| matches!(action, Action::Notice(Notice::Lagging { .. }));
    let actions = node.wait(Duration::from_millis(59_999));
    assert_eq!(actions.iter().filter(lags).count(), 0);
    let actions = node.wait(Duration::from_millis(1));
    assert_eq!(actions.iter().filter(lags).count(), 1);
}

#[test]
fn a_joiner_waits_no_longer_than_two_seconds() {
    // W1.1, W1.2
    let waiting = || {
        let mut node = Linked::new(config());
        node.world.enter(1, "alice", "room");
        let _ = node.above(2, A, &[]);
        let _ = node.event(common::open(3));
        let actions = node.event(common::header(3, "bob", "room"));
        assert_eq!(said(&actions, 3), [""; 0]);
        node
    };
    let replay = [announcement("alice")];
    let mut node = waiting();
    assert_eq!(said(&node.wait(Duration::from_millis(1_999)), 3), [""; 0]);
    assert_eq!(said(&node.wait(Duration::from_millis(1)), 3), replay);
    // The upstream refuses the join, or is gone.
    let mut node = waiting();
    assert_eq!(said(&node.hear(2, &leave(A)), 3), replay);
    let mut node = waiting();
    assert_eq!(said(&node.event(lost(2)), 3), replay);
}

#[test]
fn a_joiner_gets_what_has_come_and_gone_while_it_waited() {
    // W1.3
    let mut config = config();
    config.history_limit = 1;
    let mut node = Linked::new(config);
    let _ = node.above(2, A, &[]);
    let _ = node.event(common::open(3));
    let _ = node.event(common::header(3, "bob", "room"));
    let _ = node.hear(2, &join(A, ""));
    let ts = node.world.now.unix;
    for (seq, payload) in [(1, "one"), (2, "two"), (3, "three")] {
        let _ = node.message(2, A, seq, ts + seq, payload);
    }
    assert_eq!(said(&node.hear(2, &done(A)), 3), ["one", "two", "three"]);
}

#[test]
fn a_joiner_gets_nothing_that_was_gone_before_it_came() {
    // W1.3: bob has waited since before the first message, carol since the third.
    let mut config = config();
    config.history_limit = 1;
    let mut node = Linked::new(config);
    let _ = node.above(2, A, &[]);
    let _ = node.event(common::open(3));
    let _ = node.event(common::header(3, "bob", "room"));
    let _ = node.hear(2, &join(A, ""));
    let ts = node.world.now.unix - 1000;
    for (seq, payload) in [(1, "one"), (2, "two"), (3, "three")] {
        let _ = node.message(2, A, seq, ts + seq, payload);
    }
    let _ = node.event(common::open(4));
    let _ = node.event(common::header(4, "carol", "room"));
    for (seq, payload) in [(4, "four"), (5, "five")] {
        let _ = node.message(2, A, seq, ts + seq, payload);
    }
    let actions = node.hear(2, &done(A));
    // Of announcements the history keeps one too: that of carol, who does not get her own (W1.4).
    let later = ["three", "four", "five"].map(String::from);
    assert_eq!(
        said(&actions, 4),
        [&later[..], &[announcement("bob")]].concat()
    );
    let all = ["one", "two", "three", "four", "five"].map(String::from);
    assert_eq!(
        said(&actions, 3),
        [&all[..], &[announcement("carol")]].concat()
    );
}

#[test]
fn a_joiner_does_not_wait_for_more_than_a_channel_may_hold() {
    // W1.5
    let mut config = config();
    config.history_limit = 1;
    config.history_channel_bytes = 300;
    let mut node = Linked::new(config);
    let _ = node.above(2, A, &[]);
    let _ = node.event(common::open(3));
    let _ = node.event(common::header(3, "bob", "room"));
    let _ = node.hear(2, &join(A, ""));
    let ts = node.world.now.unix;
    let mut got = Vec::new();
    for seq in 1..10 {
        let actions = node.message(2, A, seq, ts + seq, &format!("message {seq}"));
        got.push(said(&actions, 3).len());
    }
    // Each costs 78 (M3.5): the fifth that left the history was one too many.
    assert_eq!(got, [0, 0, 0, 0, 5, 0, 0, 0, 0]);
}
