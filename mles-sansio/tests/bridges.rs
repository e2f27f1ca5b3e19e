//! Bridges to a server that knows no peering, told as stories (spec/peering.md, section "Bridges").

mod net;

use std::time::Duration;

use mles_sansio::{
    BridgeId, BridgeTrouble, Config, DialFault, Frame, Key, Notice, Seed, header, peering,
};
use net::{Net, seeds};

const ADDRESS: &str = "wss://older.example";

fn config() -> Config {
    Config {
        bridges: vec![ADDRESS.into()],
        ..plain()
    }
}

fn plain() -> Config {
    Config {
        peering: peering::Config {
            open: true,
            ..peering::Config::default()
        },
        ..Config::default()
    }
}

/// One node with a bridge.
fn net() -> Net {
    let mut net = Net::new();
    net.add(config(), &seeds(1)[0], 0);
    net
}

fn settle(net: &mut Net, seconds: u64) {
    net.settle(Duration::from_secs(seconds));
}

fn texts(frames: &[Frame]) -> Vec<String> {
    let text = |frame: &Frame| String::from_utf8_lossy(&frame.payload).into_owned();
    frames.iter().map(text).collect()
}

fn received(net: &Net, client: usize) -> Vec<String> {
    texts(&net.clients[client].received)
}

/// What a client of the older server has received, but for announcements.
fn abroad(net: &Net, client: usize) -> Vec<String> {
    let mut texts = texts(&net.older.clients[client].received);
    texts.retain(|text| !text.starts_with('{'));
    texts
}

fn announcement(uid: &str) -> String {
    let frame = header::announcement(uid, "room");
    texts(&[frame]).remove(0)
}

fn say(net: &mut Net, client: usize, text: &str) {
    net.say(client, Frame::text(text.to_owned()));
}

fn troubles(net: &Net) -> Vec<BridgeTrouble> {
    let mut troubles = Vec::new();
    for (_, notice) in &net.notices {
        if let Notice::BridgeTrouble { trouble, .. } = notice {
            troubles.push(*trouble);
        }
    }
    troubles
}

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
fn a_connection_that_breaks() {
    // B1.8: what is said on either side meanwhile arrives once, and nothing twice, although the older
    // server replays all that it has each time, and "again" is said again.
    let mut net = net();
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    let mut here = vec![announcement("eve")];
    let mut there = Vec::new();
    for round in 0..5 {
        net.older_loses_all();
        let (mine, hers) = (format!("alice {round}"), format!("eve {round}"));
        say(&mut net, alice, &mine);
        say(&mut net, alice, "again");
        net.foreign_say(eve, Frame::text(hers.clone()));
        net.foreign_say(eve, Frame::text("again"));
        here.extend([hers, "again".into()]);
        there.extend([mine, "again".into()]);
        settle(&mut net, 60);
        assert_eq!(received(&net, alice), here, "round {round}");
        assert_eq!(abroad(&net, eve), there, "round {round}");
    }
}

#[test]
fn what_was_under_way_when_it_broke_is_sent_again() {
    // B1.8
    let mut net = net();
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    say(&mut net, alice, "arrives");
    settle(&mut net, 1);
    say(&mut net, alice, "is lost");
    // As far as the node: the connection breaks with it in the socket.
    while net.hosts[0].node.stats().messages < 2 {
        let (wire, side) = net.deliverable()[0];
        net.deliver(wire, side);
    }
    net.older_loses_all();
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["arrives", "is lost"]);
}

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
fn a_channel_waits_for_the_upstream() {
    // B1.2: below another node, a channel is bridged when it is synchronised, so that what both have is known.
    let mut net = Net::new();
    let seeds = seeds(2);
    net.add(plain(), &seeds[0], 0);
    net.add(config(), &seeds[1], 0);
    net.peers(1, &[0]);
    settle(&mut net, 5);
    let _ = net.join(1, "alice", "room");
    // Everything but the link: the upper node says nothing.
    for _ in 0..100 {
        let mut ready = net.deliverable().into_iter();
        let link = |wire: usize| matches!(net.wires[&wire][0].to, net::Party::Node(..));
        let Some((wire, side)) = ready.find(|(wire, _)| !link(*wire)) else {
            break;
        };
        net.deliver(wire, side);
    }
    assert_eq!(net.bridge_dials.len(), 0);
    settle(&mut net, 1);
    assert_eq!(net.older.sessions.len(), 1);
    // Interest from below counts too.
    let _ = net.join(0, "bob", "hall");
    settle(&mut net, 5);
    assert_eq!(
        net.older.sessions.len(),
        1,
        "upper nodes' channels are not wanted here"
    );
}

#[test]
fn interest_from_below_is_enough() {
    // B1.2, and a message over two links and a bridge.
    let mut net = Net::new();
    let seeds = seeds(3);
    net.add(config(), &seeds[0], 0);
    net.add(plain(), &seeds[1], 0);
    net.add(plain(), &seeds[2], 0);
    net.peers(1, &[0]);
    net.peers(2, &[1]);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(2, "alice", "room");
    settle(&mut net, 5);
    say(&mut net, alice, "up");
    net.foreign_say(eve, Frame::text("down"));
    settle(&mut net, 5);
    assert_eq!(abroad(&net, eve), ["up"]);
    assert_eq!(received(&net, alice), [&announcement("eve"), "down"]);
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

#[test]
fn a_loop_that_names_do_not_show_is_broken() {
    // B1.9: the same server under two names.
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
fn too_many_channels() {
    // B1.2: those beyond the bound are told of once, and come in when one is left.
    let mut net = Net::new();
    let config = Config {
        bridge_channels: 2,
        ..config()
    };
    net.add(config, &seeds(1)[0], 0);
    let clients: Vec<usize> = (0..4)
        .map(|n| net.join(0, "alice", &format!("room {n}")))
        .collect();
    settle(&mut net, 5);
    assert_eq!(net.older.sessions.len(), 2);
    assert_eq!(troubles(&net), [BridgeTrouble::Channels]);
    // Nor again when something else was in the way since.
    net.older_closes_all(4001);
    settle(&mut net, 1);
    let _ = net.join(0, "alice", "room 4");
    settle(&mut net, 1);
    let expected = [BridgeTrouble::Channels, BridgeTrouble::Refused(4001)];
    assert_eq!(troubles(&net), expected);
    for client in &clients[..2] {
        let wire = net.clients[*client].wire.expect("a connection");
        net.cut(wire);
    }
    settle(&mut net, 15 * 60);
    let mut channels: Vec<&str> = net
        .older
        .sessions
        .values()
        .flatten()
        .map(|it| &**it)
        .collect();
    channels.sort();
    assert_eq!(channels, ["room 2", "room 3"]);
}

#[test]
fn dials_come_a_few_at_a_time() {
    // B1.2
    let mut net = net();
    for n in 0..10 {
        let client = net.join(0, "alice", &format!("room {n}"));
        while let Some((wire, side)) = net.deliverable().first().copied() {
            net.deliver(wire, side);
        }
        assert!(net.bridge_dials.len() <= 4, "client {client}");
    }
    assert_eq!(net.bridge_dials.len(), 4);
    settle(&mut net, 5);
    assert_eq!(net.older.sessions.len(), 10);
}

#[test]
fn a_server_that_cannot_be_had() {
    // B1.10: told once, tried again, and what was said waits.
    let mut net = net();
    let alice = net.join(0, "alice", "room");
    let eve = net.foreign_join("eve", "room");
    let started = net.time;
    while net.time < started + 300_000_000 {
        while let Some((wire, side)) = net.deliverable().first().copied() {
            net.deliver(wire, side);
        }
        while let Some((host, dial)) = net.bridge_dials.first().copied() {
            net.connect_bridge(host, dial, false);
        }
        while let Some(host) = net.due().first().copied() {
            net.event(host, mles_sansio::Event::Timeout);
        }
        net.advance(Duration::from_secs(10));
    }
    assert_eq!(
        troubles(&net),
        [BridgeTrouble::Dial(DialFault::Unreachable)]
    );
    say(&mut net, alice, "patience");
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["patience"]);
}

#[test]
fn a_server_that_refuses() {
    // B1.10: it is asked again five minutes later, not before.
    let mut net = net();
    net.older.refuses = Some(4001);
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 60);
    assert_eq!(troubles(&net), [BridgeTrouble::Refused(4001)]);
    let before = net.older.next_session();
    settle(&mut net, 200);
    assert_eq!(net.older.next_session(), before);
    net.older.refuses = None;
    say(&mut net, alice, "hello?");
    settle(&mut net, 120);
    assert_eq!(
        texts(&net.older.history["room"])[1..],
        [announcement("alice"), "hello?".into()]
    );
}

#[test]
fn a_server_that_stops_takes_its_leave() {
    let mut net = net();
    let _ = net.join(0, "alice", "room");
    settle(&mut net, 5);
    net.event(0, mles_sansio::Event::Shutdown);
    settle(&mut net, 60);
    assert_eq!(net.older.sessions.len(), 0);
    assert_eq!(net.bridge_dials.len(), 0);
}

#[test]
fn a_channel_that_cannot_cross_does_not_keep_others_waiting() {
    // B1.2: its name leaves no room for a node's uid in a header; the next one that waits gets its turn.
    let mut net = Net::new();
    let config = Config {
        bridge_channels: 1,
        ..config()
    };
    net.add(config, &seeds(1)[0], 0);
    let first = net.join(0, "alice", "first");
    settle(&mut net, 1);
    let _ = net.join(0, "a", &"x".repeat(4066));
    let _ = net.join(0, "alice", "last");
    settle(&mut net, 1);
    let wire = net.clients[first].wire.expect("a connection");
    net.cut(wire);
    settle(&mut net, 11 * 60);
    let channels: Vec<_> = net.older.sessions.values().flatten().collect();
    assert_eq!(channels, ["last"]);
}

#[test]
fn dials_that_wait_cost_nothing() {
    // B1.2: while four dials hang, nobody looks again and again whether they are over.
    let mut net = net();
    for n in 0..100 {
        let _ = net.join(0, "alice", &format!("room {n}"));
    }
    while let Some((wire, side)) = net.deliverable().first().copied() {
        net.deliver(wire, side);
    }
    let mut timeouts = 0;
    let until = net.time + 10_000_000;
    while net.time < until {
        while let Some(host) = net.due().first().copied() {
            net.event(host, mles_sansio::Event::Timeout);
            timeouts += 1;
        }
        net.advance(Duration::from_micros(until - net.time));
    }
    assert!(timeouts < 100, "{timeouts} timeouts");
    settle(&mut net, 30);
    assert_eq!(net.older.sessions.len(), 100);
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

#[test]
fn the_last_words_of_one_who_left() {
    // B1.2: there is a connection only when the interest has ended almost long enough; what waits goes over it.
    let mut net = Net::new();
    let mut config = config();
    config.peering.linger = Duration::from_secs(10);
    net.add(config, &seeds(1)[0], 0);
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    say(&mut net, alice, "farewell");
    while let Some((wire, side)) = net.deliverable().first().copied() {
        net.deliver(wire, side);
    }
    net.cut(net.clients[alice].wire.expect("a connection"));
    while let Some((wire, side)) = net.deliverable().first().copied() {
        net.deliver(wire, side);
    }
    assert_eq!(net.bridge_dials.len(), 1);
    net.time += 9_000_000;
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["farewell"]);
    assert_eq!(net.older.sessions.len(), 0);
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
fn many_messages_that_go_round_are_stopped() {
    // B1.9, as in the test above, with more messages than one.
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
fn what_was_under_way_when_it_was_refused_is_sent_again() {
    // B1.8: although a message of the server's came behind it, and whatever was refused.
    for (code, big) in [(4001, ""), (1012, ""), (1009, &"x".repeat(99))] {
        let mut net = net();
        let eve = net.foreign_join("eve", "room");
        let alice = net.join(0, "alice", "room");
        settle(&mut net, 5);
        for text in ["first", big, "second"] {
            say(&mut net, alice, text);
        }
        while net.hosts[0].node.stats().messages < 3 {
            let (wire, side) = net.deliverable()[0];
            net.deliver(wire, side);
        }
        net.foreign_say(eve, Frame::text("meanwhile"));
        let messages = net.hosts[0].node.stats().bridge_messages;
        while net.hosts[0].node.stats().bridge_messages == messages {
            let ready = net.deliverable().into_iter();
            let mut in_order = ready
                .filter(|(wire, side)| !matches!(net.wires[wire][*side].to, net::Party::Older(_)));
            let (wire, side) = in_order.next().expect("something");
            net.deliver(wire, side);
        }
        net.older_closes_all(code);
        settle(&mut net, 15 * 60);
        let mut heard = abroad(&net, eve);
        heard.retain(|text| !text.is_empty());
        assert_eq!(heard, ["first", "second"], "{code}");
        assert_eq!(received(&net, alice), [&announcement("eve"), "meanwhile"]);
        // Nobody wants the channel: what was left out does not keep it.
        net.cut(net.clients[alice].wire.expect("a connection"));
        settle(&mut net, 11 * 60);
        assert_eq!(net.older.sessions.len(), 0);
    }
}

#[test]
fn a_server_that_stops_while_it_dials() {
    // What comes of the dials concerns nobody any more.
    let mut net = net();
    for n in 0..6 {
        let _ = net.join(0, "alice", &format!("room {n}"));
    }
    while let Some((wire, side)) = net.deliverable().first().copied() {
        net.deliver(wire, side);
    }
    assert_eq!(net.bridge_dials.len(), 4);
    net.event(0, mles_sansio::Event::Shutdown);
    for works in [true, false, true, false] {
        let (host, dial) = net.bridge_dials[0];
        net.connect_bridge(host, dial, works);
    }
    settle(&mut net, 60);
    assert_eq!((net.older.sessions.len(), net.bridge_dials.len()), (0, 0));
    assert_eq!(net.hosts[0].node.stats().bridge_connections, 0);
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

/// Numbers that look random: the same for the same seed (splitmix64).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[test]
fn whatever_breaks_when() {
    // B1.4 to B1.8 in random lives of a bridge: connections break with messages on their way, dials fail,
    // time passes or does not. As long as the histories reach back, each message crosses once, and in order.
    for seed in 0..1000 {
        let mut draws = Draws(seed);
        let mut net = net();
        let eve = net.foreign_join("eve", "room");
        let alice = net.join(0, "alice", "room");
        let (mut mine, mut hers) = (Vec::new(), Vec::new());
        for number in 0..60 {
            match draws.below(12) {
                0..3 => {
                    mine.push(format!("alice {number}"));
                    say(&mut net, alice, &mine[mine.len() - 1]);
                }
                3..6 => {
                    hers.push(format!("eve {number}"));
                    let frame = Frame::text(hers[hers.len() - 1].clone());
                    net.foreign_say(eve, frame);
                }
                6 => match draws.below(2) {
                    0 => net.older_loses_all(),
                    _ => net.older_closes_all(CODES[draws.below(6) as usize]),
                },
                7 => {
                    if let Some((host, dial)) = net.bridge_dials.first().copied() {
                        net.connect_bridge(host, dial, draws.below(2) == 0);
                    }
                }
                8 => settle(&mut net, 1 + draws.below(30)),
                _ => {
                    for _ in 0..draws.below(6) {
                        let ready = net.deliverable();
                        if ready.is_empty() {
                            break;
                        }
                        let (wire, side) = ready[draws.below(ready.len() as u64) as usize];
                        net.deliver(wire, side);
                    }
                    while let Some(host) = net.due().first().copied() {
                        net.event(host, mles_sansio::Event::Timeout);
                    }
                }
            }
        }
        settle(&mut net, 15 * 60);
        let mut heard = received(&net, alice);
        heard.retain(|text| !text.starts_with('{'));
        assert_eq!(heard, hers, "seed {seed}: what alice hears");
        assert_eq!(abroad(&net, eve), mine, "seed {seed}: what eve hears");
    }
}

/// Those that are refusals for good, and those that are not.
const CODES: [u16; 6] = [1000, 1001, 1012, 4001, 4002, 4008];

#[test]
fn whatever_breaks_in_a_network() {
    // The same with a node above the one that has the bridge: the link between them is cut, and comes again;
    // interest in the channel goes and comes.
    for seed in 0..500 {
        let mut draws = Draws(seed);
        let mut net = Net::new();
        let seeds = seeds(2);
        net.add(plain(), &seeds[0], 0);
        net.add(config(), &seeds[1], 0);
        net.peers(1, &[0]);
        let eve = net.foreign_join("eve", "room");
        let alice = net.join(0, "alice", "room");
        let mut bob = net.join(1, "bob", "room");
        let mut said = [Vec::new(), Vec::new(), Vec::new()];
        for number in 0..60 {
            match draws.below(14) {
                0 | 1 => {
                    said[0].push(format!("alice {number}"));
                    say(&mut net, alice, &said[0][said[0].len() - 1]);
                }
                2 | 3 => {
                    said[1].push(format!("bob {number}"));
                    say(&mut net, bob, &said[1][said[1].len() - 1]);
                }
                4 | 5 => {
                    said[2].push(format!("eve {number}"));
                    let frame = Frame::text(said[2][said[2].len() - 1].clone());
                    net.foreign_say(eve, frame);
                }
                6 => match draws.below(2) {
                    0 => net.older_loses_all(),
                    _ => net.older_closes_all(CODES[draws.below(6) as usize]),
                },
                7 => {
                    let between = |wire: &net::Wire| {
                        wire.iter().all(|it| matches!(it.to, net::Party::Node(..)))
                    };
                    let link = net.wires.iter().find(|(_, wire)| between(wire));
                    if let Some(wire) = link.map(|(wire, _)| *wire) {
                        net.cut(wire);
                    }
                }
                8 => {
                    // What he has said has arrived.
                    while let Some((wire, side)) = net.deliverable().first().copied() {
                        net.deliver(wire, side);
                    }
                    net.cut(net.clients[bob].wire.expect("a connection"));
                    settle(&mut net, [1, 30, 11 * 60][draws.below(3) as usize]);
                    bob = net.join(1, "bob", "room");
                }
                9 => {
                    if let Some((host, dial)) = net.bridge_dials.first().copied() {
                        net.connect_bridge(host, dial, draws.below(2) == 0);
                    }
                    if let Some((host, peer)) = net.dials().first().copied() {
                        net.connect(host, peer, draws.below(2) == 0);
                    }
                }
                10 => settle(&mut net, 1 + draws.below(30)),
                _ => {
                    for _ in 0..draws.below(6) {
                        let ready = net.deliverable();
                        if ready.is_empty() {
                            break;
                        }
                        let (wire, side) = ready[draws.below(ready.len() as u64) as usize];
                        net.deliver(wire, side);
                    }
                    while let Some(host) = net.due().first().copied() {
                        net.event(host, mles_sansio::Event::Timeout);
                    }
                }
            }
        }
        settle(&mut net, 15 * 60);
        let of = |uid: &str, texts: Vec<String>| {
            let of = texts.into_iter().filter(|text| text.starts_with(uid));
            of.collect::<Vec<_>>()
        };
        assert_eq!(of("eve", received(&net, alice)), said[2], "seed {seed}");
        assert_eq!(of("bob", received(&net, alice)), said[1], "seed {seed}");
        assert_eq!(of("bob", abroad(&net, eve)), said[1], "seed {seed}");
        assert_eq!(of("alice", abroad(&net, eve)), said[0], "seed {seed}");
    }
}

#[test]
fn whatever_restarts() {
    // Nodes come back empty, with and without a node above, in the middle of everything. It comes to rest, and
    // then the bridge works as ever.
    for seed in 0..200 {
        let mut draws = Draws(seed);
        let mut net = Net::new();
        let seeds = seeds(2);
        net.add(plain(), &seeds[0], 0);
        net.add(config(), &seeds[1], 0);
        net.peers(1, &[0]);
        let eve = net.foreign_join("eve", "room");
        let mut clients = Vec::new();
        for number in 0..80 {
            match draws.below(12) {
                0 => clients.push(net.join(draws.below(2) as usize, "alice", "room")),
                1 | 2 if !clients.is_empty() => {
                    let client = clients[draws.below(clients.len() as u64) as usize];
                    say(&mut net, client, &format!("text {}", number % 7));
                }
                3 | 4 => net.foreign_say(eve, Frame::text(format!("text {}", number % 7))),
                5 => net.older_closes_all(CODES[draws.below(6) as usize]),
                6 if draws.below(3) == 0 => {
                    let host = draws.below(2) as usize;
                    net.bridge_dials.retain(|(of, _)| *of != host);
                    let peers: &[usize] = if host == 1 { &[0] } else { &[] };
                    net.restart(host, &Seed([100 + number as u8; 32]), peers);
                }
                7 => {
                    let at = draws.below(net.wires.len() as u64 + 1) as usize;
                    if let Some(wire) = net.wires.keys().nth(at).copied() {
                        net.cut(wire);
                    }
                }
                8 => settle(&mut net, [1, 20, 300][draws.below(3) as usize]),
                9 => {
                    if let Some((host, dial)) = net.bridge_dials.first().copied() {
                        net.connect_bridge(host, dial, draws.below(2) == 0);
                    }
                }
                _ => {
                    for _ in 0..draws.below(9) {
                        let ready = net.deliverable();
                        if ready.is_empty() {
                            break;
                        }
                        let (wire, side) = ready[draws.below(ready.len() as u64) as usize];
                        net.deliver(wire, side);
                    }
                    while let Some(host) = net.due().first().copied() {
                        net.event(host, mles_sansio::Event::Timeout);
                    }
                }
            }
        }
        let bob = net.join(1, "bob", "room");
        settle(&mut net, 15 * 60);
        say(&mut net, bob, "from here");
        net.foreign_say(eve, Frame::text("from there"));
        settle(&mut net, 60);
        let count =
            |texts: Vec<String>, text: &str| texts.iter().filter(|it| **it == *text).count();
        assert_eq!(count(abroad(&net, eve), "from here"), 1, "seed {seed}");
        assert_eq!(count(received(&net, bob), "from there"), 1, "seed {seed}");
        assert_eq!(net.older.sessions.len(), 1, "seed {seed}");
    }
}
