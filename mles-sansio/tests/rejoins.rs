//! Clients come and go at once on a node below another, in every order in which what is on its way can arrive:
//! the channel is joined, left and joined again on the same link while answers are outstanding. Nothing is
//! lost, and nothing comes twice (C1.5, C1.7, C1.9, W1.3, P1, P3).

mod net;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mles_sansio::{Config, Event, Frame, peering};
use net::{Net, Packet, Party, seeds};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody joins on the upper or the lower node; clients are numbered as they come.
    Join(usize),
    Part(usize),
    Say(usize, &'static str),
}

const UPPER: usize = 0;
const LOWER: usize = 1;

/// A node below another, linked, and at rest. Alice is on the upper one, and has spoken.
fn world(limit: usize) -> Net {
    let peering = peering::Config {
        open: true,
        linger: Duration::ZERO,
        ..peering::Config::default()
    };
    let config = Config {
        history_limit: limit,
        peering,
        ..Config::default()
    };
    let mut net = Net::new();
    for seed in seeds(2) {
        net.add(config.clone(), &seed, 0);
    }
    net.peers(LOWER, &[UPPER]);
    net.settle(Duration::from_secs(1));
    assert_eq!(net.upstreams(), [None, Some(UPPER)]);
    net.join(UPPER, "alice", "room");
    net.say(0, Frame::text("m 0"));
    net.settle(Duration::from_secs(1));
    net.notices.clear();
    net
}

fn apply(net: &mut Net, step: Step) {
    match step {
        Step::Join(host) => {
            let uid = format!("u{}", net.clients.len());
            net.join(host, &uid, "room");
        }
        Step::Part(client) => {
            if let Some(wire) = net.clients[client].wire {
                net.cut(wire);
            }
        }
        Step::Say(client, text) => net.say(client, Frame::text(text)),
    }
}

/// What leads on from here, but for the script.
fn next(net: &Net) -> Vec<Net> {
    let mut all = Vec::new();
    for (wire, side) in net.deliverable() {
        let mut next = net.clone();
        next.deliver(wire, side);
        all.push(next);
        // What a client gets decides nothing: it is delivered at once.
        let pipe = &net.wires[&wire][side];
        if matches!(pipe.to, Party::Client(_)) || pipe.packets.front() == Some(&Packet::Mark) {
            return all.split_off(all.len() - 1);
        }
    }
    for host in net.due() {
        let mut next = net.clone();
        next.event(host, Event::Timeout);
        all.push(next);
    }
    all
}

/// Every way in which the script and what is under way may meet. `check` sees all states at rest, and how many
/// these are is given back.
fn explore(script: &[Step], limit: usize, check: impl Fn(&Net)) -> usize {
    let start = world(limit);
    let mut known = BTreeSet::from([(start.hash(), 0)]);
    let mut queue = VecDeque::from([(start, 0)]);
    let (mut ends, mut left) = (0, false);
    while let Some((net, done)) = queue.pop_front() {
        let mut all: Vec<(Net, usize)> = next(&net).into_iter().map(|net| (net, done)).collect();
        if all.is_empty() && done == script.len() {
            check(&net);
            ends += 1;
        }
        if let Some(step) = script.get(done) {
            let mut next = net;
            apply(&mut next, *step);
            all.push((next, done + 1));
        }
        for (mut net, done) in all {
            net.notices.clear();
            left |= says(&net, "\"peer\":false}");
            if known.insert((net.hash(), done)) {
                queue.push_back((net, done));
            }
        }
        assert!(known.len() < 400_000, "{script:?}: too many states");
    }
    assert!(left, "the channel was never left");
    ends
}

/// Whether a frame that ends so is on its way.
fn says(net: &Net, end: &str) -> bool {
    let pipes = net.wires.values().flat_map(|wire| wire.iter());
    let mut packets = pipes.flat_map(|pipe| &pipe.packets);
    packets.any(
        |packet| matches!(packet, Packet::Frame(frame) if frame.payload.ends_with(end.as_bytes())),
    )
}

/// How often each message came.
fn heard(net: &Net, client: usize) -> BTreeMap<String, usize> {
    let mut heard = BTreeMap::new();
    for frame in &net.clients[client].received {
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        if text.starts_with("m ") {
            *heard.entry(text).or_default() += 1;
        }
    }
    heard
}

fn once(texts: &[&str]) -> BTreeMap<String, usize> {
    texts.iter().map(|text| (text.to_string(), 1)).collect()
}

#[test]
fn joined_left_and_joined_again() {
    // Two clients after each other on the lower node; alice speaks in between, at each of these places.
    for place in 0..4 {
        let mut script = vec![
            Step::Join(LOWER),
            Step::Part(1),
            Step::Join(LOWER),
            Step::Say(2, "m 2"),
        ];
        script.insert(place, Step::Say(0, "m 1"));
        let ends = explore(&script, 200, |net| {
            // Who left may have heard anything, but nothing twice.
            assert!(heard(net, 1).values().all(|count| *count == 1), "P1");
            assert_eq!(heard(net, 2), once(&["m 0", "m 1"]), "P3");
            assert_eq!(heard(net, 0), once(&["m 2"]), "P3");
        });
        assert!(ends > 0);
    }
}

#[test]
fn joined_twice_with_little_history() {
    // The history keeps one message: what is said while the second one waits is not lost (W1.3).
    let script = [
        Step::Join(LOWER),
        Step::Part(1),
        Step::Join(LOWER),
        Step::Say(0, "m 1"),
        Step::Say(0, "m 3"),
    ];
    let ends = explore(&script, 1, |net| {
        assert!(heard(net, 1).values().all(|count| *count == 1), "P1");
        let heard = heard(net, 2);
        assert!(heard.values().all(|count| *count == 1), "P1: {heard:?}");
        assert!(heard.contains_key("m 3"), "P3: {heard:?}");
    });
    assert!(ends > 0);
}
