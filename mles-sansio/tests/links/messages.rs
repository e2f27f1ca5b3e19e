//! Messages over links, and what is forgotten (S1, S2, F1).

use std::time::Duration;

use mles_sansio::{ConnId, Event, NodeId};

use crate::common::{self, lost, text};
use crate::played::{A, B, Linked, announcement, config, done, join, label, leave, said};

#[test]
fn messages_are_forwarded_to_the_other_links() {
    // S1.2
    let mut node = Linked::new(config());
    let _ = node.below(2, A);
    let _ = node.below(3, B);
    let _ = node.hear(2, &join(A, ""));
    let _ = node.hear(3, &join(B, ""));
    let ts = node.world.now.unix;
    let actions = node.message(2, A, 1, ts, "hello");
    assert_eq!(said(&actions, 2), [""; 0]);
    assert_eq!(
        said(&actions, 3),
        [label("alice", A, 1, ts), "hello".into()]
    );
}

#[test]
fn what_history_cannot_keep_waits_within_bounds() {
    // S1.6: with a limit of 0, one message waits for a link whose room is used up, the next is counted.
    let mut config = config();
    config.history_limit = 0;
    config.peering.link_bytes = 1;
    let mut node = Linked::new(config);
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    node.links.clear(); // The link takes nothing from now on.
    let conn = ConnId(2);
    let reply = node.hear(2, &join(B, ""));
    assert_eq!(
        said(&reply, 2),
        [join(own, &format!("\"{own}\":1")), done(own)]
    );
    for payload in ["one", "two", "three"] {
        assert_eq!(said(&node.event(text(1, payload)), 2), [""; 0]);
    }
    assert_eq!(node.world.node.stats().link_dropped, 2);
    let actions = node.event(Event::Replayed { conn });
    assert_eq!(said(&actions, 2)[1..], ["one"]);
}

#[test]
fn a_slow_link_is_served_from_the_history() {
    // S1.3: what comes in meanwhile is sent when there is room, in history order, in one piece.
    let mut node = Linked::new(config());
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    node.links.clear();
    let _ = node.event(text(1, "one"));
    for payload in ["two", "three"] {
        assert_eq!(said(&node.event(text(1, payload)), 2), [""; 0]);
    }
    let conn = ConnId(2);
    let sent = said(&node.event(Event::Replayed { conn }), 2);
    assert_eq!([&sent[1], &sent[3]], ["two", "three"]);
}

#[test]
fn a_payload_above_max_is_left_out() {
    // F1.5: the handshake of these tests says 1000.
    let mut node = Linked::new(config());
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    assert_eq!(said(&node.event(text(1, &"x".repeat(1001))), 2), [""; 0]);
    assert_eq!(node.world.node.stats().link_too_big, 1);
    assert_eq!(said(&node.event(text(1, &"x".repeat(1000))), 2).len(), 2);
}

#[test]
fn a_node_goes_on_above_what_others_know_of_it() {
    // S1.4
    let mut node = Linked::new(config());
    let own = node.uid();
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, &format!("\"{own}\":41")));
    let sent = said(&node.event(text(1, "hello")), 2);
    assert!(sent[0].contains("\"seq\":42"), "{sent:?}");
}

#[test]
fn what_is_seen_is_forgotten_with_the_history() {
    // S2.1: while somebody is on the channel, or it is joined on a link, nothing is forgotten.
    let mut config = config();
    config.history_limit = 1;
    config.history_bytes = 0;
    let mut node = Linked::new(config);
    node.world.enter(1, "alice", "room");
    let _ = node.below(2, B);
    let ts = node.world.now.unix;
    let _ = node.hear(2, &join(B, ""));
    assert_ne!(node.message(2, B, 1, ts, "once"), []);
    assert_eq!(node.message(2, B, 1, ts, "once"), []);
    // Both go: so does what was seen.
    let _ = node.hear(2, &leave(B));
    let _ = node.event(lost(1));
    assert_eq!(node.world.node.stats().channels, 0);
}

#[test]
fn origins_are_forgotten_safely() {
    // S2.2: with room for two, the quietest gives way; what is not newer than its newest is seen.
    let mut config = config();
    config.peering.origins = 2;
    let mut node = Linked::new(config);
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    let ts = node.world.now.unix;
    for (origin, at) in [(1, 10), (2, 20), (3, 30)] {
        let _ = node.message(2, NodeId(origin), 1, ts + at, &format!("of {origin}"));
    }
    let kept = ["of 1", "of 2", "of 3"];
    assert_eq!(node.kept(), kept);
    // Origin 1 is not remembered: its old message is not taken again, nor one of another up to then.
    let _ = node.message(2, NodeId(1), 1, ts + 10, "of 1");
    let _ = node.message(2, NodeId(4), 1, ts + 9, "of 4");
    assert_eq!(node.kept(), kept);
    let _ = node.message(2, NodeId(4), 2, ts + 40, "of 4");
    assert_eq!(node.kept().len(), 4);
}

#[test]
fn time_stamps_go_on_above_those_of_forgotten_channels() {
    // S2.3: the clock is set back by a minute, the channel was forgotten in between.
    let mut config = config();
    config.history_limit = 0;
    let mut node = Linked::new(config);
    let first = node.world.now.unix;
    node.world.enter(1, "alice", "room");
    let _ = node.event(lost(1));
    assert_eq!(node.world.node.stats().channels, 0);
    node.world.now.unix -= 60_000_000;
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    let _ = node.world.open(3);
    let sent = said(&node.event(common::header(3, "alice", "room")), 2);
    assert_eq!(sent[0], label("alice", node.uid(), 2, first + 1));
}

#[test]
fn an_hour_ahead_is_skipped() {
    // F1.6: as if it had not come: the next one counts.
    let mut node = Linked::new(config());
    let _ = node.below(2, B);
    let _ = node.hear(2, &join(B, ""));
    let ts = node.world.now.unix;
    let hour = 3_600_000_000;
    let _ = node.message(2, B, 1, ts + hour + 1, "ahead");
    assert_eq!(node.kept(), [""; 0]);
    let _ = node.message(2, B, 1, ts + hour, "in time");
    assert_eq!(node.kept(), ["in time"]);
}

#[test]
fn what_is_ahead_of_the_own_clock_is_held_back() {
    // F1.6: the clock was a day ahead when alice spoke, and was set right since. Nothing of hers goes out
    // before its time; what others say does not wait for it.
    let mut node = Linked::new(config());
    let day = Duration::from_secs(86_400);
    node.world.now.unix += 86_400_000_000;
    node.world.enter(1, "alice", "room");
    node.world.now.unix -= 86_400_000_000;
    let _ = node.below(2, B);
    let sent = said(&node.hear(2, &join(B, "")), 2);
    assert!(sent.iter().all(|text| !text.contains("alice")), "{sent:?}");
    let ts = node.world.now.unix;
    let _ = node.below(3, A);
    let _ = node.hear(3, &join(A, ""));
    assert_eq!(said(&node.message(3, A, 1, ts, "now"), 2)[1], "now");
    let later = said(&node.wait(day), 2);
    assert_eq!(later.last(), Some(&announcement("alice")));
}
