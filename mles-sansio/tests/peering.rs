//! Small networks, told as stories: each says what happens, and who is where in the end.

mod net;

use std::time::Duration;

use mles_sansio::{Config, Event, Frame, Notice, PeerId, Violation, peering};
use net::{Net, seeds};

fn config() -> Config {
    let peering = peering::Config {
        open: true,
        ..peering::Config::default()
    };
    Config {
        peering,
        ..Config::default()
    }
}

/// Hosts with rising uids, and for each its peers.
fn net(lists: &[&[usize]]) -> Net {
    let mut net = Net::new();
    for seed in seeds(lists.len()) {
        net.add(config(), &seed, 0);
    }
    for (host, list) in lists.iter().enumerate() {
        net.peers(host, list);
    }
    net
}

fn settle(net: &mut Net, seconds: u64) {
    net.settle(Duration::from_secs(seconds));
}

fn received(net: &Net, client: usize) -> Vec<String> {
    let frames = net.clients[client].received.iter();
    let text = |frame: &Frame| String::from_utf8_lossy(&frame.payload).into_owned();
    frames.map(text).collect()
}

fn announcement(uid: &str) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\"}}")
}

#[test]
fn two_nodes_are_one_channel() {
    // Alice is on the upper node, bob on the lower one. Each hears of the other, and what the other says,
    // once. Bob finds alice's join in the history, and alice bob's as it happens.
    let mut net = net(&[&[], &[0]]);
    settle(&mut net, 1);
    assert_eq!(net.upstreams(), [None, Some(0)]);
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 1);
    let bob = net.join(1, "bob", "room");
    settle(&mut net, 1);
    net.say(alice, Frame::text("hello"));
    settle(&mut net, 1);
    net.say(bob, Frame::binary("hi"));
    settle(&mut net, 1);
    assert_eq!(received(&net, alice), [&announcement("bob"), "hi"]);
    assert_eq!(received(&net, bob), [&announcement("alice"), "hello"]);
    assert_eq!(net.history(0, "room"), net.history(1, "room"));
}

#[test]
fn a_pair_that_names_each_other() {
    // P2: each dials the other at the same moment, and both handshakes are under way before either knows.
    let mut net = net(&[&[1], &[0]]);
    net.event(0, Event::Timeout);
    net.event(1, Event::Timeout);
    net.connect(0, PeerId(1), true);
    net.connect(1, PeerId(0), true);
    settle(&mut net, 60);
    let roots = net.upstreams().iter().filter(|up| up.is_none()).count();
    assert_eq!(roots, 1, "{:?}", net.upstreams());
    assert_eq!(net.hosts[0].node.links().count(), 1);
}

#[test]
fn the_greatest_of_a_ring_cuts_it() {
    // R1.3: three nodes dial each other in a ring, all at once, so that each is taken by the next before any
    // path is known. The paths go round; the node with the greatest uid sees itself, and cuts; nobody else.
    let mut net = net(&[&[1], &[2], &[0]]);
    for host in 0..3 {
        net.event(host, Event::Timeout);
    }
    for host in 0..3 {
        net.connect(host, PeerId((host as u32 + 1) % 3), true);
    }
    // The handshakes, the replies, then what follows, each wire in its turn.
    for _ in 0..2 {
        for (wire, side) in net.deliverable() {
            net.deliver(wire, side);
        }
    }
    assert_eq!(net.upstreams(), [Some(1), Some(2), Some(0)], "a ring");
    settle(&mut net, 1);
    let cuts: Vec<usize> = net
        .notices
        .iter()
        .filter(|(_, notice)| {
            matches!(notice, Notice::Violated { violation, .. } if *violation == Violation::PeerLoop)
        })
        .map(|(host, _)| *host)
        .collect();
    assert_eq!(cuts.first(), Some(&2));
    assert!(!cuts.contains(&1), "{cuts:?}");
    assert_eq!(net.upstreams(), [Some(1), Some(2), None]);
    settle(&mut net, 60);
    assert_eq!(net.upstreams(), [Some(1), Some(2), None]);
}

#[test]
fn two_trees_become_one() {
    // G1: hosts 0 and 1 are roots of their own. Host 2 has the one above it and knows the other too; host 3
    // is below host 2. Nobody loses a link: all of one tree hangs below the other in the end, and what was
    // said on either side is everywhere.
    let mut net = net(&[&[], &[], &[], &[2]]);
    let alice = net.join(0, "alice", "room");
    let bob = net.join(1, "bob", "room");
    let carol = net.join(3, "carol", "room");
    settle(&mut net, 1);
    for client in [alice, bob, carol] {
        net.say(client, Frame::text(format!("{client}")));
    }
    settle(&mut net, 1);
    net.peers(2, &[0, 1]);
    settle(&mut net, 60);
    let ups = net.upstreams();
    assert_eq!(ups.iter().filter(|up| up.is_none()).count(), 1, "{ups:?}");
    assert_eq!(ups[3], Some(2));
    assert_eq!(ups[2], Some(1), "it has dialed that for good");
    assert_eq!(ups[0], Some(2), "and turned the other");
    for client in [alice, bob, carol] {
        let mut said = received(&net, client);
        said.retain(|text| text.len() == 1);
        said.sort();
        let others = ["0", "1", "2"]
            .into_iter()
            .filter(|n| *n != client.to_string());
        assert_eq!(said, others.collect::<Vec<_>>());
    }
    let unlinked = net
        .notices
        .iter()
        .filter(|(_, n)| matches!(n, Notice::Unlinked { .. }));
    assert_eq!(unlinked.count(), 0);
}

#[test]
fn the_root_comes_back_empty() {
    // P6: the root restarts and knows nothing. Nobody but it was ever written to; the node below has a copy.
    let mut net = net(&[&[], &[0]]);
    settle(&mut net, 1);
    let bob = net.join(1, "bob", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 3);
    net.say(alice, Frame::text("remember"));
    settle(&mut net, 1);
    let before = net.history(1, "room");
    assert_eq!(before.len(), 3);
    let seed = mles_sansio::Seed([99; 32]);
    net.restart(0, &seed, &[]);
    settle(&mut net, 60);
    assert_eq!(net.upstreams(), [None, Some(0)]);
    assert_eq!(net.history(0, "room"), before);
    // Who joins there finds it, and bob hears of nothing twice.
    let carol = net.join(0, "carol", "room");
    settle(&mut net, 3);
    assert!(received(&net, carol).contains(&"remember".into()));
    let heard = received(&net, bob);
    assert_eq!(heard.iter().filter(|text| *text == "remember").count(), 1);
}
