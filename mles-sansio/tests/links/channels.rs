//! Channels on a link (C1, S3).

use std::time::Duration;

use mles_sansio::{Action, NodeId};

use crate::common::{self, lost, text};
use crate::played::{A, B, Linked, SECOND, announcement, config, done, join, label, leave, said};

#[test]
fn interest_joins_a_channel_above_and_lingers() {
    // C1.1: a member's channel is joined above. C1.4: with what the node has seen, itself included.
    let mut node = Linked::new(config());
    let own = node.uid();
    assert_eq!(said(&node.above(1, A, &[]), 1), [""; 0]);
    let _ = node.event(common::open(2));
    let actions = node.event(common::header(2, "bob", "room"));
    // Bob's announcement is number 1; it is not sent before the reply has come (C1.5).
    assert_eq!(said(&actions, 1), [join(own, &format!("\"{own}\":1"))]);
    let ts = node.world.now.unix;
    let actions = node.hear(1, &join(A, ""));
    assert_eq!(
        said(&actions, 1),
        [label("bob", own, 1, ts), announcement("bob")]
    );
    let _ = node.hear(1, &done(A));
    // C1.2: ten minutes after the last member has gone, and not before, it is left (C1.7).
    let _ = node.event(lost(2));
    let quiet = said(&node.wait(Duration::from_secs(599)), 1);
    assert_eq!(quiet, [""; 0]);
    assert_eq!(said(&node.wait(SECOND), 1), [leave(own)]);
    // C1.6: what comes on it now is as if never sent.
    assert_eq!(node.message(1, A, 1, ts, "late"), []);
    assert!(!node.kept().contains(&"late".to_owned()));
}

#[test]
fn interest_that_comes_back_keeps_the_channel() {
    // C1.2
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[]);
    let _ = node.world.open(2);
    let _ = node.event(common::header(2, "bob", "room"));
    let _ = node.hear(1, &join(A, ""));
    let _ = node.hear(1, &done(A));
    let _ = node.event(lost(2));
    let _ = node.wait(Duration::from_secs(500));
    let _ = node.world.open(3);
    let _ = node.event(common::header(3, "bob", "room"));
    let said = said(&node.wait(Duration::from_secs(60)), 1);
    assert_eq!(said, [""; 0]);
}

#[test]
fn what_comes_before_the_reply_is_ignored() {
    // C1.5: it belongs to an earlier join.
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[]);
    let _ = node.event(common::open(2));
    let _ = node.event(common::header(2, "bob", "room"));
    let ts = node.world.now.unix;
    assert_eq!(node.message(1, A, 1, ts, "early"), []);
    let _ = node.hear(1, &done(A));
    assert!(!node.kept().contains(&"early".to_owned()));
    // The next `have` brings it.
    let _ = node.hear(1, &join(A, &format!("\"{A}\":1")));
    let _ = node.message(1, A, 1, ts, "early");
    assert!(node.kept().contains(&"early".to_owned()));
}

#[test]
fn the_upper_end_sends_what_the_lower_lacks_and_is_done() {
    // C1.5, S1.3, S1.5, S3.1: the reply, what is above `have`, `done`.
    let mut node = Linked::new(config());
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.event(text(1, "one"));
    let _ = node.event(text(1, "two"));
    let ts = node.world.now.unix;
    let _ = node.below(2, B);
    let actions = node.hear(2, &join(B, &format!("\"{own}\":2")));
    assert_eq!(
        said(&actions, 2),
        [
            join(own, &format!("\"{own}\":3")),
            label("alice", own, 3, ts + 2),
            "two".into(),
            done(own),
        ]
    );
    // What comes in now follows, once.
    let actions = node.event(text(1, "three"));
    assert_eq!(
        said(&actions, 2),
        [label("alice", own, 4, ts + 3), "three".into()]
    );
    // And what comes from there does not go back (S1.5), but to the members, whatever its age (S1.2).
    let actions = node.message(2, B, 7, ts - 5, "older");
    assert_eq!(said(&actions, 2), [""; 0]);
    let delivered = |action: &&Action| matches!(action, Action::Broadcast { except: None, .. });
    assert_eq!(actions.iter().filter(delivered).count(), 1);
    assert_eq!(
        node.kept()[0],
        "older",
        "M3.2: where its time stamp belongs"
    );
    // S1.1: again, or an older one of the same origin, it is dropped.
    assert_eq!(node.message(2, B, 7, ts - 5, "older"), []);
    assert_eq!(node.message(2, B, 6, ts - 6, "oldest"), []);
    assert_eq!(node.kept().len(), 5);
    // C1.9: a second join begins anew.
    let actions = node.hear(2, &join(B, &format!("\"{own}\":4,\"{B}\":7")));
    let have = format!("\"{own}\":4,\"{B}\":7");
    assert_eq!(said(&actions, 2), [join(own, &have), done(own)]);
    // C1.7: after a leave nothing is sent.
    let _ = node.hear(2, &leave(B));
    assert_eq!(said(&node.event(text(1, "four")), 2), [""; 0]);
}

#[test]
fn a_new_upstream_gets_all_history_back() {
    // C1.3: also of channels that nobody is on; those are left when synchronised.
    let mut node = Linked::new(config());
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.event(text(1, "one"));
    let ts = node.world.now.unix;
    let _ = node.event(lost(1));
    let actions = node.above(2, A, &[]);
    assert_eq!(said(&actions, 2), [join(own, &format!("\"{own}\":2"))]);
    let actions = node.hear(2, &join(A, ""));
    let (first, second) = (label("alice", own, 1, ts), label("alice", own, 2, ts + 1));
    let sent = [first, announcement("alice"), second, "one".into()];
    assert_eq!(said(&actions, 2), sent);
    assert_eq!(said(&node.hear(2, &done(A)), 2), [leave(own)]);
}

#[test]
fn done_waits_for_the_own_upstream_but_not_for_long() {
    // S3.1, S3.2
    let between = || {
        let mut node = Linked::new(config());
        let _ = node.above(2, A, &[]);
        let _ = node.below(3, B);
        let own = node.uid();
        let actions = node.hear(3, &join(B, ""));
        assert_eq!(said(&actions, 3), [join(own, "")]);
        assert_eq!(
            said(&actions, 2),
            [join(own, "")],
            "C1.1: interest below is interest"
        );
        node
    };
    let mut node = between();
    let own = node.uid();
    let _ = node.hear(2, &join(A, ""));
    assert_eq!(said(&node.hear(2, &done(A)), 3), [done(own)]);
    let mut node = between();
    assert_eq!(said(&node.hear(2, &leave(A)), 3), [done(own)]);
    let mut node = between();
    assert_eq!(said(&node.wait(Duration::from_millis(1_999)), 3), [""; 0]);
    assert_eq!(said(&node.wait(Duration::from_millis(1)), 3), [done(own)]);
}

#[test]
fn a_refused_join_is_tried_again() {
    // C1.8
    let mut node = Linked::new(config());
    let _ = node.above(2, A, &[]);
    let own = node.uid();
    let _ = node.event(common::open(3));
    let _ = node.event(common::header(3, "bob", "room"));
    assert_eq!(said(&node.hear(2, &leave(A)), 2), [""; 0]);
    assert_eq!(said(&node.wait(29 * SECOND), 2), [""; 0]);
    let again = said(&node.wait(2 * SECOND), 2);
    assert_eq!(again, [join(own, &format!("\"{own}\":1"))]);
}

#[test]
fn many_channels_do_not_linger() {
    // C1.2: beyond 4096 joined channels, one that nobody wants any more is left at once.
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[]);
    let named = |text: &str, channel: usize| text.replace("room", &format!("room {channel}"));
    for channel in 0..4097 {
        let conn = 10 + channel as u64;
        let _ = node.event(common::open(conn));
        let _ = node.event(common::header(conn, "bob", &format!("room {channel}")));
        let _ = node.hear(1, &named(&join(A, ""), channel));
        let _ = node.hear(1, &named(&done(A), channel));
    }
    let own = node.uid();
    let mut left = said(&node.event(lost(10)), 1);
    left.extend(said(&node.wait(Duration::ZERO), 1));
    assert_eq!(left, [named(&leave(own), 0)]);
    let mut left = said(&node.event(lost(11)), 1);
    left.extend(said(&node.wait(SECOND), 1));
    assert_eq!(left, [""; 0]);
}

#[test]
fn what_a_resync_brings_is_counted() {
    // S3.1, C1.8: what comes between the reply and `done` is what the node had missed.
    let mut node = Linked::new(config());
    let _ = node.above(1, A, &[B]);
    let _ = node.below(2, NodeId(0xc));
    let stats = node.world.node.stats();
    assert_eq!((stats.links, stats.upstreams, stats.hops), (2, 1, 2));
    node.world.enter(3, "bob", "room");
    let ts = node.world.now.unix;
    let _ = node.message(1, A, 1, ts, "ignored");
    let _ = node.hear(1, &join(A, &format!("\"{A}\":3")));
    for seq in [1, 2, 2] {
        let _ = node.message(1, A, seq, ts + seq, "missed");
    }
    let _ = node.hear(1, &done(A));
    let _ = node.hear(1, &done(A));
    let _ = node.message(1, A, 3, ts + 3, "live");
    let stats = node.world.node.stats();
    let came = (stats.link_messages, stats.link_accepted);
    assert_eq!((came, stats.link_duplicates), ((4, 3), 1));
    assert_eq!((stats.link_resyncs, stats.link_recovered), (1, 2));
    // A new upstream is another resync; one that refuses is none.
    let _ = node.event(lost(1));
    let stats = node.world.node.stats();
    assert_eq!((stats.links, stats.upstreams, stats.hops), (1, 0, 0));
    let _ = node.above(4, B, &[]);
    let _ = node.hear(4, &leave(B));
    let stats = node.world.node.stats();
    assert_eq!((stats.link_resyncs, stats.link_refusals), (1, 1));
    assert_eq!((stats.links, stats.links_opened, stats.hops), (2, 3, 1));
}

#[test]
fn history_of_a_channel_that_only_links_had_expires() {
    // L1.3, S2.1: nobody ever joined it here, and no other channel has anybody look.
    let mut node = Linked::new(config());
    let _ = node.below(1, A);
    let _ = node.hear(1, &join(A, ""));
    let ts = node.world.now.unix;
    let _ = node.message(1, A, 9, ts, "hello");
    let _ = node.hear(1, &leave(A));
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let _ = node.wait(days(30) - SECOND);
    assert_eq!(node.kept(), ["hello"]);
    let _ = node.wait(2 * SECOND);
    assert_eq!(node.kept(), [""; 0]);
}
