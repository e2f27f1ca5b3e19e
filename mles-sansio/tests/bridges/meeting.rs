//! Two histories that meet: of nodes and servers that come back, or know each other by another way.

use std::time::Duration;

use mles_sansio::{Config, Frame, Seed};

use crate::net::{Net, seeds};
use crate::told::{abroad, announcement, config, net, plain, received, say, settle, texts};

#[test]
fn a_node_that_is_back_empty_gets_the_history_once() {
    // B1.6: everything comes with the replay, and is new here; nothing goes back.
    let mut net = net();
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    for text in ["one", "two", "two"] {
        say(&mut net, alice, text);
    }
    settle(&mut net, 5);
    net.restart(0, &Seed([9; 32]), &[]);
    let bob = net.join(0, "bob", "room");
    settle(&mut net, 60);
    let texts: Vec<String> = received(&net, bob);
    let messages: Vec<&String> = texts.iter().filter(|text| !text.starts_with('{')).collect();
    assert_eq!(messages, ["one", "two", "two"]);
    assert_eq!(abroad(&net, eve), ["one", "two", "two"]);
}

#[test]
fn two_histories_meet() {
    // B1.6, B1.7: a node has its history from another one, which was bridged before. What both have is
    // not repeated on either side; what the older server's history has lost is not sent to it again; what
    // only the node has is.
    let mut net = Net::new();
    let seeds = seeds(3);
    net.add(config(), &seeds[0], 0);
    net.add(plain(), &seeds[1], 0);
    net.older.limit = Some(4);
    net.peers(1, &[0]);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(1, "alice", "room");
    settle(&mut net, 5);
    for text in ["a", "b", "a", "b", "c", "d"] {
        say(&mut net, alice, text);
        settle(&mut net, 1);
    }
    assert_eq!(abroad(&net, eve), ["a", "b", "a", "b", "c", "d"]);
    // The bridged node is lost; alice's node goes on alone, then the other is back, empty.
    net.restart(0, &Seed([9; 32]), &[]);
    for (wire, side) in net.deliverable() {
        net.deliver(wire, side);
    }
    assert_eq!(net.upstreams()[1], None);
    say(&mut net, alice, "e");
    net.foreign_say(eve, Frame::text("f"));
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["a", "b", "a", "b", "c", "d", "e"]);
    let messages: Vec<String> = received(&net, alice);
    let heard = messages.iter().filter(|text| !text.starts_with('{'));
    assert_eq!(heard.collect::<Vec<_>>(), ["f"]);
}

#[test]
fn the_end_of_a_history_that_says_the_same_twice() {
    // B1.7: the newest message that both have is found although an equal one came before it.
    let mut net = Net::new();
    let seeds = seeds(2);
    net.add(config(), &seeds[0], 0);
    net.add(plain(), &seeds[1], 0);
    net.older.limit = Some(3);
    net.peers(1, &[0]);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(1, "alice", "room");
    settle(&mut net, 5);
    for text in ["ok", "a", "ok", "b", "ok"] {
        say(&mut net, alice, text);
        settle(&mut net, 1);
    }
    net.restart(0, &Seed([9; 32]), &[]);
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["ok", "a", "ok", "b", "ok"]);
}

#[test]
fn an_older_server_that_is_back_empty_gets_the_history() {
    // B1.7, B1.8: by the connections of a node that was not there before it.
    let mut net = net();
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    for text in ["one", "two"] {
        say(&mut net, alice, text);
    }
    settle(&mut net, 60);
    net.older_restarts();
    // Those that are known to have arrived are not sent again: who was there has had them.
    settle(&mut net, 60);
    let messages = |net: &Net| {
        let mut texts = texts(&net.older.history["room"]);
        texts.retain(|text| !text.starts_with('{'));
        texts
    };
    assert_eq!(messages(&net), Vec::<String>::new());
    // A bridge that is new to it brings what the node's history has.
    let leaves = net.clients[alice].wire.expect("a connection");
    net.cut(leaves);
    settle(&mut net, 15 * 60);
    assert_eq!(
        net.older.sessions.len(),
        0,
        "B1.2: nobody is interested any more"
    );
    let _ = net.join(0, "alice", "room");
    settle(&mut net, 60);
    assert_eq!(messages(&net), ["one", "two"]);
}

#[test]
fn a_node_that_keeps_no_history() {
    // B1.4: what is accepted before the first connection stands waits for it all the same.
    let mut net = Net::new();
    let config = Config {
        history_limit: 0,
        ..config()
    };
    net.add(config, &seeds(1)[0], 0);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    say(&mut net, alice, "early");
    while let Some((wire, side)) = net.deliverable().first().copied() {
        net.deliver(wire, side);
    }
    settle(&mut net, 5);
    say(&mut net, alice, "late");
    net.foreign_say(eve, Frame::text("hi"));
    settle(&mut net, 5);
    net.older_loses_all();
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["early", "late"]);
    let heard = received(&net, alice);
    assert_eq!(heard, [&announcement("eve"), "hi"]);
}

#[test]
fn a_root_that_is_back_empty_waits_for_the_history_below() {
    // B1.2, B1.6: the other server answers at once, the node below has its history on the way.
    let mut net = Net::new();
    let seeds = seeds(2);
    net.add(config(), &seeds[0], 0);
    net.add(plain(), &seeds[1], 0);
    net.peers(1, &[0]);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(1, "alice", "room");
    settle(&mut net, 5);
    for text in ["a", "b"] {
        say(&mut net, alice, text);
    }
    settle(&mut net, 1);
    net.foreign_say(eve, Frame::text("c"));
    settle(&mut net, 60);
    net.restart(0, &Seed([9; 32]), &[]);
    for _ in 0..1000 {
        if let Some((host, dial)) = net.bridge_dials.first().copied() {
            net.connect_bridge(host, dial, true);
        } else if let Some((host, peer)) = net.dials().first().copied() {
            net.connect(host, peer, true);
        } else if let Some((wire, side)) = net.deliverable().first().copied() {
            net.deliver(wire, side);
        } else if let Some(host) = net.due().first().copied() {
            net.event(host, mles_sansio::Event::Timeout);
        } else {
            net.advance(Duration::from_secs(60));
        }
    }
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["a", "b"]);
    let heard = received(&net, alice);
    assert_eq!(heard.iter().filter(|text| *text == "c").count(), 1);
    assert!(!heard.contains(&"a".to_owned()));
}

#[test]
fn a_server_that_remembers_much() {
    // B1.8: its replays are known although they are longer than what this node keeps.
    let mut net = net();
    net.older.limit = Some(3000);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    for number in 0..2000 {
        net.foreign_say(eve, Frame::text(number.to_string()));
    }
    settle(&mut net, 5);
    for _ in 0..3 {
        net.older_loses_all();
        settle(&mut net, 60);
        assert_eq!(received(&net, alice).len(), 2001);
    }
}
