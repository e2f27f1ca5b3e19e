//! Random histories of small networks: clients come, talk and go, connections stall and break, nodes
//! restart, parts of the network cannot reach each other, clocks differ. Then everything heals, and the
//! properties of spec/peering.md have to hold. With `PROPTEST_CASES=50000` these are 100 000 histories, and as many
//! to see that each has one end: about seven minutes on two cores.

mod common;
mod net;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mles_sansio::{Config, Entry, Event, Frame, NodeId, Notice, Seed, Violation, peering};
use net::{Net, Party};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct World {
    /// For each node its peers.
    lists: Vec<Vec<usize>>,
    /// What each history keeps.
    limits: Vec<usize>,
    link_bytes: u64,
    /// Bytes of all histories of a node, and origins that a channel remembers: with little of either the
    /// network may forget, but repeats nothing.
    history_bytes: u64,
    origins: usize,
    /// The largest payload that each node takes from others.
    maxes: Vec<u64>,
    /// How long interest lingers, in milliseconds.
    linger: u64,
    /// How far each clock is ahead, in seconds.
    offsets: Vec<i64>,
    seed: u8,
}

#[derive(Clone, Debug)]
enum Step {
    /// So many things happen, in an order that the number decides.
    Run {
        count: u8,
        order: u16,
    },
    Wait {
        millis: u16,
    },
    Join {
        host: u8,
        uid: u8,
        channel: u8,
    },
    /// Some messages, so much longer than they have to be.
    Say {
        client: u8,
        count: u8,
        more: u8,
    },
    /// A node may dial only these of its peers from now on, until all heals.
    Peers {
        host: u8,
        list: Vec<u8>,
    },
    /// A node closes all that it has, and is started again.
    Shutdown {
        host: u8,
    },
    Part {
        client: u8,
    },
    Cut {
        wire: u8,
    },
    Stall {
        wire: u8,
        side: bool,
    },
    Restart {
        host: u8,
    },
    /// The clock of a host is so many seconds ahead from now on.
    Clock {
        host: u8,
        ahead: i16,
    },
    /// Hosts whose bit is set do not reach the others.
    Split {
        hosts: u8,
    },
    Heal,
}

fn worlds() -> impl Strategy<Value = World> {
    (2..=6_usize).prop_flat_map(|count| {
        let list = proptest::collection::vec(0..count, 0..=3).prop_map(|mut list| {
            let mut known = BTreeSet::new();
            list.retain(|peer| known.insert(*peer));
            list
        });
        let lists = proptest::collection::vec(list, count);
        let limit = prop_oneof![1 => Just(0), 1 => Just(1), 2 => Just(3), 4 => Just(200_usize)];
        let other = prop_oneof![9 => Just(None), 1 => (0..4_usize).prop_map(Some)];
        let limits =
            (limit, proptest::collection::vec(other, count)).prop_map(|(limit, others)| {
                let limits = others.into_iter().map(|other| other.unwrap_or(limit));
                limits.collect::<Vec<usize>>()
            });
        let link_bytes = prop_oneof![1 => Just(1), 1 => Just(300), 2 => Just(4 << 20)];
        let history_bytes = prop_oneof![1 => Just(2_000), 7 => Just(64 << 20)];
        let origins = prop_oneof![1 => Just(2), 7 => Just(256)];
        let linger = prop_oneof![Just(0), Just(1_000), Just(600_000)];
        let offsets = proptest::collection::vec(-250..250_i64, count);
        let max = prop_oneof![9 => Just(16 << 20), 1 => Just(40_u64)];
        let maxes = proptest::collection::vec(max, count);
        let bounds = (limits, link_bytes, history_bytes, origins, linger);
        let clocks = (offsets, any::<u8>());
        (lists, bounds, maxes, clocks).prop_map(|(lists, bounds, maxes, (offsets, seed))| World {
            lists,
            maxes,
            limits: bounds.0,
            link_bytes: bounds.1,
            history_bytes: bounds.2,
            origins: bounds.3,
            linger: bounds.4,
            offsets,
            seed,
        })
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (1..40_u8, any::<u16>()).prop_map(|(count, order)| Step::Run { count, order }),
        3 => (0..3_000_u16).prop_map(|millis| Step::Wait { millis }),
        4 => (any::<u8>(), 0..3_u8, 0..3_u8)
            .prop_map(|(host, uid, channel)| Step::Join { host, uid, channel }),
        8 => (any::<u8>(), 1..4_u8, prop_oneof![3 => Just(0), 1 => Just(100_u8)])
            .prop_map(|(client, count, more)| Step::Say { client, count, more }),
        1 => (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..3))
            .prop_map(|(host, list)| Step::Peers { host, list }),
        1 => any::<u8>().prop_map(|host| Step::Shutdown { host }),
        2 => any::<u8>().prop_map(|client| Step::Part { client }),
        2 => any::<u8>().prop_map(|wire| Step::Cut { wire }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(wire, side)| Step::Stall { wire, side }),
        1 => any::<u8>().prop_map(|host| Step::Restart { host }),
        1 => (any::<u8>(), -250..250_i16).prop_map(|(host, ahead)| Step::Clock { host, ahead }),
        1 => any::<u8>().prop_map(|hosts| Step::Split { hosts }),
        1 => Just(Step::Heal),
    ];
    proptest::collection::vec(step, 100..400)
}

struct Run {
    net: Net,
    world: World,
    stalled: BTreeSet<(usize, usize)>,
    split: u8,
    lives: Vec<usize>,
    numbers: BTreeMap<usize, u32>,
}

impl Run {
    fn new(world: &World) -> Self {
        let mut net = Net::new();
        for (host, offset) in world.offsets.iter().enumerate() {
            let peering = peering::Config {
                open: true,
                link_bytes: world.link_bytes,
                origins: world.origins,
                max_payload: world.maxes[host],
                linger: Duration::from_millis(world.linger),
                ..peering::Config::default()
            };
            let config = Config {
                history_limit: world.limits[host],
                history_bytes: world.history_bytes,
                history_channel_bytes: world.history_bytes / 4,
                store_history: true,
                peering,
                ..Config::default()
            };
            let seed = Self::seed(world, host, 0);
            net.add(config, &seed, offset * 1_000_000);
        }
        for (host, list) in world.lists.iter().enumerate() {
            net.peers(host, list);
        }
        Self {
            net,
            world: world.clone(),
            stalled: BTreeSet::new(),
            split: 0,
            lives: vec![0; world.lists.len()],
            numbers: BTreeMap::new(),
        }
    }

    fn seed(world: &World, host: usize, life: usize) -> Seed {
        let mut seed = [world.seed; 32];
        (seed[0], seed[1]) = (host as u8, life as u8);
        Seed(seed)
    }

    fn step(&mut self, step: &Step) {
        let hosts = self.net.hosts.len();
        match *step {
            Step::Peers { host, ref list } => {
                let host = usize::from(host) % hosts;
                // Some of them, in another order: others would connect what is apart in the end.
                let all = &self.world.lists[host];
                let picks = list.iter().filter(|_| !all.is_empty());
                let mut list: Vec<usize> = picks
                    .map(|pick| all[usize::from(*pick) % all.len()])
                    .collect();
                let mut known = BTreeSet::new();
                list.retain(|peer| known.insert(*peer));
                self.net.peers(host, &list);
            }
            Step::Shutdown { host } => {
                self.net.event(usize::from(host) % hosts, Event::Shutdown);
                self.step(&Step::Restart { host });
            }
            Step::Run { count, order } => {
                for turn in 0..u64::from(count) {
                    let draw = Seed([order as u8; 32]).block("run", u64::from(order) << 8 | turn);
                    if !self.one(draw as usize) {
                        self.net.advance(Duration::from_millis(500));
                    }
                }
            }
            Step::Wait { millis } => {
                let end = self.net.time + u64::from(millis) * 1_000;
                self.net.time = end;
            }
            Step::Join { host, uid, channel } => {
                let host = usize::from(host) % hosts;
                let (uid, channel) = (format!("u{uid}"), format!("c{channel}"));
                self.net.join(host, &uid, &channel);
            }
            Step::Say {
                client,
                count,
                more,
            } => {
                let Some(client) = self.client(client) else {
                    return;
                };
                for _ in 0..count {
                    let number = self.numbers.entry(client).or_default();
                    *number += 1;
                    let more = " ".repeat(usize::from(more));
                    let payload = format!("m {client} {number}{more}");
                    self.net.say(client, Frame::text(payload));
                }
            }
            Step::Part { client } => {
                if let Some(client) = self.client(client)
                    && let Some(wire) = self.net.clients[client].wire
                {
                    self.net.cut(wire);
                }
            }
            Step::Cut { wire } => {
                let wires: Vec<usize> = self.net.wires.keys().copied().collect();
                if !wires.is_empty() {
                    self.net.cut(wires[usize::from(wire) % wires.len()]);
                }
            }
            Step::Stall { wire, side } => {
                // A client that does not read for long is lagging, and owed nothing.
                let nodes = |wire: &net::Wire| {
                    let node = |pipe: &net::Pipe| matches!(pipe.to, Party::Node(..));
                    wire.iter().all(node)
                };
                let wires = self.net.wires.iter().filter(|(_, wire)| nodes(wire));
                let wires: Vec<usize> = wires.map(|(id, _)| *id).collect();
                if !wires.is_empty() {
                    let wire = wires[usize::from(wire) % wires.len()];
                    self.stalled.insert((wire, usize::from(side)));
                }
            }
            Step::Restart { host } => {
                let host = usize::from(host) % hosts;
                self.lives[host] += 1;
                let seed = Self::seed(&self.world, host, self.lives[host]);
                let list = self.world.lists[host].clone();
                self.net.restart(host, &seed, &list);
            }
            Step::Clock { host, ahead } => {
                self.net
                    .set_clock(usize::from(host) % hosts, i64::from(ahead) * 1_000_000);
            }
            Step::Split { hosts } => {
                self.split = hosts;
                let apart = |wire: &net::Wire| match [wire[0].to, wire[1].to] {
                    [Party::Node(a, _), Party::Node(b, _)] => !self.reach(a, b),
                    _ => false,
                };
                let wires = self.net.wires.iter().filter(|(_, wire)| apart(wire));
                let wires: Vec<usize> = wires.map(|(id, _)| *id).collect();
                for wire in wires {
                    self.net.cut(wire);
                }
            }
            Step::Heal => {
                self.split = 0;
                self.stalled.clear();
            }
        }
    }

    fn reach(&self, a: usize, b: usize) -> bool {
        (self.split >> a & 1) == (self.split >> b & 1)
    }

    fn client(&self, pick: u8) -> Option<usize> {
        let clients = self.net.clients.iter().enumerate();
        let here: Vec<usize> = clients
            .filter(|(_, client)| client.wire.is_some())
            .map(|(number, _)| number)
            .collect();
        (!here.is_empty()).then(|| here[usize::from(pick) % here.len()])
    }

    /// One thing happens, if there is one.
    fn one(&mut self, draw: usize) -> bool {
        let mut deliver = self.net.deliverable();
        deliver.retain(|pipe| !self.stalled.contains(pipe));
        let dials = self.net.dials();
        let due = self.net.due();
        let all = deliver.len() + dials.len() + due.len();
        if all == 0 {
            return false;
        }
        let at = draw % all;
        if let Some((wire, side)) = deliver.get(at) {
            self.net.deliver(*wire, *side);
        } else if let Some((host, peer)) = dials.get(at - deliver.len()) {
            let works = self.reach(*host, peer.0 as usize);
            self.net.connect(*host, *peer, works);
        } else if let Some(host) = due.get(at - deliver.len() - dials.len()) {
            self.net.event(*host, Event::Timeout);
        }
        true
    }

    /// Everything heals, and time passes.
    fn heal(&mut self) {
        self.step(&Step::Heal);
        for (host, list) in self.world.lists.iter().enumerate() {
            self.net.peers(host, list);
        }
        let until = self.net.time + 400_000_000;
        let mut draw = 0;
        while self.net.time < until {
            draw += 1;
            if !self.one(draw) {
                let left = Duration::from_micros(until - self.net.time);
                self.net.advance(left.min(Duration::from_millis(500)));
            }
        }
        while self.one(0) {}
    }

    fn check(&self) -> Result<(), TestCaseError> {
        self.check_tree()?;
        self.check_streams()?;
        self.check_manners()?;
        for (number, client) in self.net.clients.iter().enumerate() {
            if client.wire.is_some() && !client.lagging {
                self.check_member(number)?;
            }
        }
        // With little room the network may forget.
        let room = self.world.history_bytes > 1 << 20 && self.world.origins > 100;
        if room { self.check_histories() } else { Ok(()) }
    }

    /// Nobody takes another node for a bad one.
    fn check_manners(&self) -> Result<(), TestCaseError> {
        for (host, notice) in &self.net.notices {
            if let Notice::Violated { violation, .. } = notice {
                let may = matches!(
                    violation,
                    Violation::PeerLoop
                        | Violation::LinkReplaced
                        | Violation::NoAnswer
                        | Violation::HeaderTimeout
                        | Violation::TurnTimeout
                        | Violation::Duplicate
                );
                prop_assert!(may, "n{host}: {notice}");
            }
        }
        Ok(())
    }

    /// P2.
    fn check_tree(&self) -> Result<(), TestCaseError> {
        let lists = &self.world.lists;
        let mut part: Vec<usize> = (0..lists.len()).collect();
        for (from, list) in lists.iter().enumerate() {
            for to in list {
                let (a, b) = (part[from], part[*to]);
                part.iter_mut().filter(|p| **p == a).for_each(|p| *p = b);
            }
        }
        let ups = self.net.upstreams();
        for host in 0..lists.len() {
            let mut path = Vec::new();
            let mut at = host;
            while let Some(up) = ups[at] {
                path.insert(0, self.net.uid(up));
                at = up;
                prop_assert!(path.len() <= lists.len(), "P2: a ring: {ups:?}");
            }
            prop_assert_eq!(
                self.net.hosts[host].node.path(),
                &path[..],
                "P2: the path of {}",
                host
            );
        }
        let roots = ups.iter().filter(|up| up.is_none()).count();
        part.sort_unstable();
        part.dedup();
        prop_assert_eq!(roots, part.len(), "P2: roots of {:?}: {:?}", lists, ups);
        let links: usize = self
            .net
            .hosts
            .iter()
            .map(|host| host.node.links().count())
            .sum();
        prop_assert_eq!(links, 2 * (lists.len() - roots), "P2: links");
        Ok(())
    }

    /// P1, P5.
    fn check_streams(&self) -> Result<(), TestCaseError> {
        for (number, client) in self.net.clients.iter().enumerate() {
            let mut last: BTreeMap<usize, u32> = BTreeMap::new();
            for frame in &client.received {
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                let Some(text) = text.strip_prefix("m ") else {
                    continue;
                };
                let (sender, count) = text.split_once(' ').expect("two numbers");
                let sender: usize = sender.parse().expect("a number");
                let count: u32 = count.trim_end().parse().expect("a number");
                prop_assert!(sender != number, "P1: client {number} gets its own");
                let before = last.insert(sender, count).unwrap_or(0);
                prop_assert!(
                    before < count,
                    "P1, P5: client {number} gets {count} of {sender} after {before}"
                );
                let channel = &self.net.clients[sender].channel;
                prop_assert_eq!(channel, &client.channel, "another channel");
            }
        }
        Ok(())
    }

    /// P3, P4, P6.
    fn check_histories(&self) -> Result<(), TestCaseError> {
        let ups = self.net.upstreams();
        let root = |mut host: usize| {
            while let Some(up) = ups[host] {
                host = up;
            }
            host
        };
        let mut homes: BTreeMap<NodeId, usize> = BTreeMap::new();
        for (host, lives) in self.lives.iter().enumerate() {
            for life in 0..=*lives {
                homes.insert(NodeId::of(&Self::seed(&self.world, host, life)), host);
            }
        }
        let parts = (0..ups.len()).filter(|host| ups[*host].is_none());
        let parts = parts.flat_map(|part| self.net.accepted.iter().map(move |all| (part, all)));
        for (part, (channel, accepted)) in parts {
            let here = |entry: &Entry| root(homes[&entry.origin]) == part;
            let accepted: BTreeMap<_, &Entry> =
                accepted.iter().filter(|(_, entry)| here(entry)).collect();
            let mut interested: BTreeSet<usize> = BTreeSet::new();
            for client in &self.net.clients {
                if client.channel != *channel || client.wire.is_none() || root(client.host) != part
                {
                    continue;
                }
                // Those on the way to the root are interested too.
                let mut at = Some(client.host);
                while let Some(host) = at {
                    interested.insert(host);
                    at = ups[host];
                }
            }
            let histories: BTreeMap<usize, Vec<Entry>> = interested
                .iter()
                .map(|host| (*host, self.net.history(*host, channel)))
                .collect();
            let limit = self.world.limits.iter().min().copied().unwrap_or(0);
            let max = self.world.maxes.iter().min().copied().unwrap_or(0);
            for entry in accepted.values() {
                // Whether it is among the newest of all that were ever accepted.
                let announces = |entry: &Entry| !entry.frame.payload.starts_with(b"m ");
                let newer = accepted
                    .values()
                    .filter(|other| other.order() > entry.order());
                let newer = newer.filter(|other| announces(other) == announces(entry));
                let (mut count, mut latest) = (0, true);
                for other in newer {
                    count += 1;
                    latest &= other.uid != entry.uid;
                }
                let large = entry.frame.payload.len() as u64 > max;
                if count >= limit || announces(entry) && !latest || large {
                    continue;
                }
                let have =
                    |host: &&usize| histories[host].iter().any(|e| e.order() == entry.order());
                let count = interested.iter().filter(have).count();
                let alive = self.net.host_of(entry.origin);
                let owed = count > 0 || alive.is_some_and(|host| interested.contains(&host));
                let lacking = interested.iter().find(|host| !have(host));
                prop_assert!(
                    !owed || lacking.is_none(),
                    "P3, P4, P6: {entry} is not on n{} of {interested:?}",
                    lacking.unwrap_or(&9)
                );
            }
        }
        Ok(())
    }

    /// P3: a session has had all of what its node has.
    fn check_member(&self, number: usize) -> Result<(), TestCaseError> {
        let client = &self.net.clients[number];
        let received = client.received.iter().map(|frame| &frame.payload[..]);
        let received: BTreeSet<&[u8]> = received.collect();
        for entry in self.net.history(client.host, &client.channel) {
            let text = String::from_utf8_lossy(&entry.frame.payload).into_owned();
            let own = text.starts_with(&format!("m {number} "));
            prop_assert!(
                own || !text.starts_with("m ") || received.contains(&entry.frame.payload[..]),
                "P3: client {number} on n{} lacks {text}",
                client.host
            );
        }
        Ok(())
    }
}

/// The story of the last run that failed goes to the file that `MLES_NET_LOG` names.
fn live(world: &World, steps: &[Step]) -> Result<u128, TestCaseError> {
    let mut run = Run::new(world);
    let file = std::env::var_os("MLES_NET_LOG");
    if file.is_some() {
        run.net.log = Some(Vec::new());
    }
    for step in steps {
        if let Some(log) = &mut run.net.log {
            log.push(format!("{step:?}"));
        }
        run.step(step);
    }
    run.heal();
    let result = run.check().map(|()| run.net.hash());
    if let Some(log) = run.net.log.take()
        && let Some(file) = file
        && result.is_err()
    {
        std::fs::write(file, log.join("\n")).expect("a file");
    }
    result
}

proptest! {
    #![proptest_config(common::runs(300))]
    #[test]
    fn a_network_keeps_its_promises(world in worlds(), steps in steps()) {
        live(&world, &steps)?;
    }

    /// The same with other histories, so that a second thread has something to do.
    #[test]
    fn another_network_keeps_its_promises(world in worlds(), steps in steps()) {
        live(&world, &steps)?;
    }

    /// P8.
    #[test]
    fn the_same_history_has_the_same_end(world in worlds(), steps in steps()) {
        prop_assert_eq!(live(&world, &steps)?, live(&world, &steps)?);
    }
}
