//! Small networks, step by step.

mod net;

use std::time::Duration;

use mles_sansio::{Config, Frame, peering};
use net::{Net, seeds};

pub(crate) fn config() -> Config {
    let peering = peering::Config {
        open: true,
        ..peering::Config::default()
    };
    Config {
        peering,
        ..Config::default()
    }
}

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

fn show(net: &mut Net, body: impl FnOnce(&mut Net)) {
    net.log = Some(Vec::new());
    body(net);
    if std::env::var_os("SHOW").is_some() {
        for line in net.log.take().expect("a log") {
            eprintln!("{line}");
        }
    }
}

#[test]
fn two() {
    let mut net = net(&[&[], &[0]]);
    show(&mut net, |net| {
        net.settle(Duration::from_secs(1));
        assert_eq!(net.upstreams(), [None, Some(0)]);
        let alice = net.join(0, "alice", "room");
        let bob = net.join(1, "bob", "room");
        net.settle(Duration::from_secs(1));
        net.say(alice, Frame::text("hello"));
        net.settle(Duration::from_secs(1));
        net.say(bob, Frame::text("hi"));
        net.settle(Duration::from_secs(1));
        eprintln!(
            "{:?} {:?}",
            net.clients[0].received, net.clients[1].received
        );
    });
}

#[test]
fn ring() {
    let mut net = net(&[&[1], &[2], &[0]]);
    show(&mut net, |net| {
        net.settle(Duration::from_secs(10));
        eprintln!("{:?}", net.upstreams());
    });
}

#[test]
fn merge() {
    let mut net = net(&[&[], &[], &[0, 1], &[2]]);
    show(&mut net, |net| {
        net.settle(Duration::from_secs(10));
        eprintln!("{:?}", net.upstreams());
    });
}
