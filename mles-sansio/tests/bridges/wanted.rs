//! Which channels are bridged, and when.

use std::time::Duration;

use mles_sansio::{BridgeTrouble, Config, Frame};

use crate::net::{Net, seeds};
use crate::told::{abroad, announcement, config, net, plain, received, say, settle, troubles};

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
        let link = |wire: usize| matches!(net.wires[&wire][0].to, crate::net::Party::Node(..));
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
