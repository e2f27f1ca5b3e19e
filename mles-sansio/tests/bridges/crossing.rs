//! What crosses, and what does not.

use mles_sansio::{BridgeId, BridgeTrouble, Config, Frame, Key, Notice, header};

use crate::net::{Net, seeds};
use crate::told::{
    ADDRESS, abroad, announcement, config, net, plain, received, say, settle, texts, troubles,
};

#[test]
fn one_channel_on_both_sides() {
    // B1.1, B1.3 (the older server panics at a ping), B1.4, B1.5: alice is here, eve there. Each hears
    // the other once; nobody hears the headers with `auth`, and nothing is said before somebody is interested.
    let mut net = net();
    settle(&mut net, 60);
    assert_eq!(net.older.sessions.len(), 0, "B1.2: nobody is interested");
    let eve = net.foreign_join("eve", "room");
    net.foreign_say(eve, Frame::binary("before"));
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    say(&mut net, alice, "hi");
    settle(&mut net, 1);
    net.foreign_say(eve, Frame::text("hi"));
    settle(&mut net, 60);
    let expected = [&announcement("eve"), "before", "hi"];
    assert_eq!(received(&net, alice), expected);
    assert_eq!(
        texts(&net.older.clients[eve].received),
        [&announcement("alice"), "hi"]
    );
    // One session, of this node's uid, without auth.
    assert_eq!(net.older.sessions.len(), 1);
    let uid = net.uid(0).to_string();
    assert_eq!(
        net.older.history["room"][2],
        header::compose(&uid, "room", None)
    );
    // What came is this node's, and says which server it is from; a join says who has joined.
    let uids: Vec<String> = net
        .history(0, "room")
        .iter()
        .map(|it| it.uid.to_string())
        .collect();
    assert_eq!(uids, ["alice", "eve", ADDRESS, "alice", ADDRESS]);
    let stats = net.hosts[0].node.stats();
    assert_eq!((stats.bridge_connections, stats.bridge_sent), (1, 2));
    let bridge = BridgeId(0);
    assert!(net.notices.contains(&(0, Notice::Bridged { bridge })));
}

#[test]
fn the_clients_key_is_proved() {
    // B1.1
    let mut net = Net::new();
    let key = Key::new(b"secret");
    let config = Config {
        key: key.clone(),
        ..config()
    };
    net.add(config, &seeds(1)[0], 0);
    let conn = net.join(0, "alice", "room");
    settle(&mut net, 1);
    assert_eq!(net.clients[conn].code, Some(4001), "the harness sends none");
    // So the interest comes from a client that knows it.
    let header = header::compose("bob", "room", key.as_ref());
    net.join_with(0, "bob", "room", header);
    settle(&mut net, 5);
    let uid = net.uid(0).to_string();
    let sent = header::compose(&uid, "room", key.as_ref());
    assert_eq!(net.older.history["room"][0], sent);
}

#[test]
fn what_comes_from_a_server_does_not_go_back_to_it() {
    // B1.4, B1.5: two nodes are bridged to one server, against the advice. Members hear twice what is said
    // there, but nothing goes round.
    let mut net = Net::new();
    let seeds = seeds(2);
    net.add(config(), &seeds[0], 0);
    net.add(config(), &seeds[1], 0);
    net.peers(1, &[0]);
    settle(&mut net, 1);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    let bob = net.join(1, "bob", "room");
    settle(&mut net, 10);
    net.foreign_say(eve, Frame::text("once"));
    settle(&mut net, 60);
    let count = |texts: Vec<String>| texts.iter().filter(|text| *text == "once").count();
    assert_eq!(
        (count(received(&net, alice)), count(received(&net, bob))),
        (2, 2)
    );
    assert_eq!(count(texts(&net.older.history["room"])), 1);
    assert_eq!(net.deliverable(), [], "it comes to rest");
}

/// Two nodes that are bridged to one server under two names, and somebody there.
fn looped() -> (Net, usize) {
    let mut net = Net::new();
    let seeds = seeds(2);
    net.add(config(), &seeds[0], 0);
    let other = Config {
        bridges: vec!["wss://192.0.2.1".into()],
        ..plain()
    };
    net.add(other, &seeds[1], 0);
    net.peers(1, &[0]);
    settle(&mut net, 1);
    let eve = net.foreign_join("eve", "room");
    let _ = net.join(0, "alice", "room");
    let _ = net.join(1, "bob", "room");
    settle(&mut net, 10);
    (net, eve)
}

#[test]
fn a_loop_that_names_do_not_show_is_broken() {
    // B1.9: the same server under two names.
    let (mut net, eve) = looped();
    net.foreign_say(eve, Frame::text("round and round"));
    settle(&mut net, 5);
    assert_eq!(net.deliverable(), [], "it comes to rest");
    assert!(troubles(&net).contains(&BridgeTrouble::Loop));
    // It takes time to be so wrong again; another message is not held up.
    net.foreign_say(eve, Frame::text("else"));
    assert!(net.older.history["room"].len() <= 200);
    settle(&mut net, 5);
    let heard = |client: usize| texts(&net.clients[client].received);
    assert!(heard(0).contains(&"else".to_owned()));
}

#[test]
fn many_messages_that_go_round_are_stopped() {
    // B1.9, as in the test above, with more messages than one.
    let (mut net, eve) = looped();
    for number in 0..50 {
        net.foreign_say(eve, Frame::text(format!("round {number}")));
    }
    for _ in 0..200_000 {
        let Some((wire, side)) = net.deliverable().first().copied() else {
            return;
        };
        net.deliver(wire, side);
    }
    panic!("it does not come to rest");
}

#[test]
fn many_may_say_the_same() {
    // B1.9: not often enough for a loop; B1.6: the first replay is over.
    let mut net = net();
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    say(&mut net, alice, "hi");
    settle(&mut net, 1);
    for _ in 0..100 {
        net.foreign_say(eve, Frame::text("hi"));
    }
    settle(&mut net, 1);
    let heard = received(&net, alice)
        .into_iter()
        .filter(|text| text == "hi");
    assert_eq!(heard.count(), 100);
    assert_eq!(troubles(&net), []);
}

#[test]
fn one_node_with_two_bridges() {
    // B1.4: what comes over the one goes over the other. Here both lead to one server, so that it goes round
    // until it is stopped (B1.9).
    let mut net = Net::new();
    let config = Config {
        bridges: vec![ADDRESS.into(), "wss://192.0.2.1".into()],
        ..plain()
    };
    net.add(config, &seeds(1)[0], 0);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 10);
    assert_eq!(net.hosts[0].node.stats().bridge_connections, 2);
    net.foreign_say(eve, Frame::text("hi"));
    settle(&mut net, 30);
    assert!(abroad(&net, eve).contains(&"hi".to_owned()));
    assert!(troubles(&net).contains(&BridgeTrouble::Loop));
    for round in 0..5 {
        net.older_loses_all();
        say(&mut net, alice, &format!("round {round}"));
        settle(&mut net, 60);
    }
    assert_eq!(net.deliverable(), [], "it comes to rest");
    net.cut(net.clients[alice].wire.expect("a connection"));
    settle(&mut net, 15 * 60);
    assert_eq!(net.older.sessions.len(), 0);
}

#[test]
fn a_message_that_is_too_big_there() {
    // B1.10: it is left out, and what is behind it crosses.
    let mut net = net();
    net.older.largest = Some(1000);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    for text in ["before", &"x".repeat(1001), &"y".repeat(2000), "behind"] {
        say(&mut net, alice, text);
    }
    settle(&mut net, 15 * 60);
    assert_eq!(abroad(&net, eve), ["before", "behind"]);
    assert_eq!(troubles(&net), [BridgeTrouble::Refused(1009); 2]);
    assert_eq!(net.hosts[0].node.stats().bridge_connections, 1);
    // Not even tried any more, on this channel or another.
    let bob = net.join(0, "bob", "hall");
    let frank = net.foreign_join("frank", "hall");
    settle(&mut net, 5);
    for client in [alice, bob] {
        say(&mut net, client, &"z".repeat(1500));
        say(&mut net, client, "last");
    }
    settle(&mut net, 5);
    assert_eq!(abroad(&net, eve).last(), Some(&"last".to_owned()));
    assert_eq!(abroad(&net, frank), ["last"]);
}

#[test]
fn what_waits_is_bounded() {
    // B1.4: also while the first replay has not been over yet, and if the messages are empty.
    let mut net = net();
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 1); // The first replay may still go on.
    net.older_loses_all();
    while let Some((wire, side)) = net.deliverable().first().copied() {
        net.deliver(wire, side);
    }
    for _ in 0..20_000 {
        say(&mut net, alice, "");
    }
    while let Some((wire, side)) = net.deliverable().first().copied() {
        net.deliver(wire, side);
    }
    assert_eq!(net.hosts[0].node.stats().bridge_dropped, 20_000 - 16_384);
}
