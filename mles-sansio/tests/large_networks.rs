//! Networks of 12 to 24 nodes in which what goes over links takes up to three seconds, and probes overtake it:
//! what nodes say of their root is old, and trees merge upon what is not so any more. They come to one tree all
//! the same, within ten minutes, and stay at rest (G1.1, R1.6, P2); what clients say meanwhile is delivered,
//! once (P1, P3). So it is at the start, when the root has died, and when a partition has healed.

mod net;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use mles_sansio::{Config, Event, Frame, Notice, PeerId, Seed, peering};
use net::{Net, Party, Wire};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;

/// How long a packet takes on a link, and on any other connection, in microseconds.
const LINKS: Range<u64> = SECOND / 20..3 * SECOND;
const OTHERS: Range<u64> = SECOND / 1000..SECOND / 20;

/// How long it may take until all is at rest.
const REST: u64 = 10 * MINUTE;

/// A network with time: each packet takes its own, and none overtakes another on its way.
struct Slow {
    net: Net,
    lists: Vec<Vec<usize>>,
    seed: Seed,
    draws: u64,
    /// When what is on its way arrives.
    arrivals: BTreeMap<(usize, usize), VecDeque<u64>>,
    dials: BTreeMap<(usize, PeerId), u64>,
    /// Hosts below this do not reach the others.
    split: usize,
    /// When a link began or ended, or somebody heard of another root.
    changed: u64,
    /// Who has to have each message.
    said: Vec<(String, Vec<usize>)>,
}

fn config() -> Config {
    let peering = peering::Config {
        open: true,
        ..peering::Config::default()
    };
    Config {
        history_limit: 10_000,
        peering,
        ..Config::default()
    }
}

impl Slow {
    fn new(lists: Vec<Vec<usize>>, seed: u8) -> Self {
        let mut net = Net::new();
        for n in 0..lists.len() {
            let uid = seed.wrapping_mul(31) ^ n as u8 ^ 0x80;
            net.add(config(), &Seed([uid; 32]), 0);
        }
        for (host, list) in lists.iter().enumerate() {
            net.peers(host, list);
            net.join(host, &format!("u{host}"), "room");
        }
        Self {
            net,
            lists,
            seed: Seed([seed; 32]),
            draws: 0,
            arrivals: BTreeMap::new(),
            dials: BTreeMap::new(),
            split: 0,
            changed: 0,
            said: Vec::new(),
        }
    }

    fn moment(&mut self, range: Range<u64>) -> u64 {
        self.draws += 1;
        let draw = self.seed.block("slow", self.draws) % (range.end - range.start);
        self.net.time + range.start + draw
    }

    fn reach(&self, a: usize, b: usize) -> bool {
        (a < self.split) == (b < self.split)
    }

    /// Gives each packet and each dial that is new its time.
    fn note(&mut self) {
        let (net, arrivals) = (&self.net, &mut self.arrivals);
        arrivals.retain(|(wire, _), _| net.wires.contains_key(wire));
        let mut new = Vec::new();
        for (id, wire) in &net.wires {
            for (side, pipe) in wire.iter().enumerate() {
                let known = arrivals.entry((*id, side)).or_default();
                known.truncate(pipe.packets.len());
                let link = is_link(net, wire);
                new.extend((known.len()..pipe.packets.len()).map(|_| (*id, side, link)));
            }
        }
        for (id, side, link) in new {
            let at = self.moment(if link { LINKS } else { OTHERS });
            let queue = self.arrivals.entry((id, side)).or_default();
            let last = queue.back().copied().unwrap_or(0);
            queue.push_back(at.max(last));
        }
        let dials = self.net.dials();
        self.dials.retain(|dial, _| dials.contains(dial));
        for dial in dials {
            if !self.dials.contains_key(&dial) {
                let at = self.moment(OTHERS);
                self.dials.insert(dial, at);
            }
        }
        for (_, notice) in self.net.notices.drain(..) {
            let change = matches!(
                notice,
                Notice::Linked { .. } | Notice::Unlinked { .. } | Notice::Root { .. }
            );
            if change {
                self.changed = self.net.time;
            }
        }
    }

    /// All that happens in so long.
    fn run(&mut self, span: u64) {
        let until = self.net.time + span;
        loop {
            self.note();
            let arrivals = self.net.deliverable().into_iter();
            let arrival = arrivals.map(|pipe| (self.arrivals[&pipe][0], pipe)).min();
            let dial = self.dials.iter().map(|(dial, at)| (*at, *dial)).min();
            let hosts = self.net.hosts.iter().enumerate();
            let hosts = hosts.filter(|(_, host)| host.up);
            let timer = hosts
                .filter_map(|(n, host)| Some((host.node.next_timeout()?.0.as_micros(), n)))
                .min();
            let moments = [
                arrival.map(|(at, _)| at),
                dial.map(|(at, _)| at),
                timer.map(|(at, _)| at),
            ];
            let next = moments.into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.net.time = until;
                return;
            };
            self.net.time = next.max(self.net.time);
            if let Some((at, pipe)) = arrival
                && at == next
            {
                self.arrivals.entry(pipe).or_default().pop_front();
                self.net.deliver(pipe.0, pipe.1);
            } else if let Some((at, (host, peer))) = dial
                && at == next
            {
                self.dials.remove(&(host, peer));
                let works = self.reach(host, peer.0 as usize);
                self.net.connect(host, peer, works);
            } else if let Some((_, host)) = timer {
                self.net.event(host, Event::Timeout);
            }
        }
    }

    /// For each host that is up, the least of those that peers connect it to.
    fn parts(&self) -> Vec<Option<usize>> {
        let up = |host: usize| self.net.hosts[host].up;
        let mut part: Vec<Option<usize>> = (0..self.lists.len())
            .map(|host| Some(host).filter(|host| up(*host)))
            .collect();
        for (from, list) in self.lists.iter().enumerate() {
            for to in list.iter().filter(|to| up(from) && up(**to)) {
                let (a, b) = (part[from].max(part[*to]), part[from].min(part[*to]));
                part.iter_mut().filter(|p| **p == a).for_each(|p| *p = b);
            }
        }
        part
    }

    /// Some clients say something that all have to hear who will be in one tree with them.
    fn talk(&mut self) {
        let parts = self.parts();
        for client in 0..parts.len() {
            let text = format!("m {client} {}", self.said.len());
            if parts[client].is_some() && (client + self.said.len()).is_multiple_of(3) {
                self.net.say(client, Frame::text(text.clone()));
                let others = (0..parts.len())
                    .filter(|other| *other != client && parts[*other] == parts[client]);
                self.said.push((text, others.collect()));
            }
        }
    }

    /// There is one tree for all that peers connect, soon enough, and it is left alone.
    fn rests(&mut self, what: &str) {
        let begin = self.net.time;
        for _ in 0..REST / MINUTE {
            self.talk();
            self.run(MINUTE);
        }
        self.talk();
        self.run(REST);
        let took = self.changed.saturating_sub(begin);
        assert!(took <= REST, "G1.1: {what}: no rest after {took} us");
        let (parts, ups) = (self.parts(), self.net.upstreams());
        for (host, part) in parts.iter().enumerate() {
            let mut top = host;
            let mut path = Vec::new();
            while let Some(up) = ups[top] {
                path.insert(0, self.net.uid(up));
                top = up;
            }
            let node = &self.net.hosts[host].node;
            assert!(part.is_none() || node.path() == path, "P2: {what}: a path");
            let tree = |other: &usize| parts[*other] == *part && ups[*other].is_none();
            let roots: Vec<usize> = (0..parts.len()).filter(tree).collect();
            assert!(part.is_none() || roots == [top], "P2: {what}: {roots:?}");
        }
        // P1, P3
        let mut received = BTreeMap::<(usize, &str), usize>::new();
        for (number, client) in self.net.clients.iter().enumerate() {
            for frame in &client.received {
                let text = std::str::from_utf8(&frame.payload).expect("text");
                *received.entry((number, text)).or_default() += 1;
            }
        }
        for (text, others) in &self.said {
            for other in others.iter().filter(|other| parts[**other].is_some()) {
                let count = received.get(&(*other, text)).copied().unwrap_or(0);
                assert_eq!(count, 1, "P1, P3: {what}: client {other} gets {text}");
            }
        }
    }

    fn cut(&mut self, which: impl Fn(usize, usize) -> bool) {
        let apart = |wire: &Wire| match [wire[0].to, wire[1].to] {
            [Party::Node(a, _), Party::Node(b, _)] => which(a, b),
            _ => false,
        };
        let wires = self.net.wires.iter().filter(|(_, wire)| apart(wire));
        let wires: Vec<usize> = wires.map(|(id, _)| *id).collect();
        for wire in wires {
            self.net.cut(wire);
        }
    }

    /// The whole story.
    fn live(mut self, what: &str) {
        self.rests(&format!("{what}: start"));
        let half = self.lists.len() / 2;
        self.split = half;
        self.cut(|a, b| (a < half) != (b < half));
        for _ in 0..20 {
            self.run(MINUTE);
            self.talk();
        }
        self.split = 0;
        self.rests(&format!("{what}: healed"));
        let ups = self.net.upstreams();
        let root = ups.iter().position(Option::is_none).expect("a root");
        let nobody = Seed(std::array::from_fn(|n| n as u8));
        self.net.restart(root, &nobody, &[]);
        Rc::make_mut(&mut self.net.hosts[root]).up = false;
        self.rests(&format!("{what}: root lost"));
    }
}

fn is_link(net: &Net, wire: &Wire) -> bool {
    wire.iter().all(|pipe| match pipe.to {
        Party::Node(host, conn) => net.hosts[host].node.link(conn).is_some(),
        Party::Client(_) | Party::Older(_) => false,
    })
}

/// Lists in an order that the seed decides, and of so many at most.
fn shuffled(mut lists: Vec<Vec<usize>>, seed: u8, most: Range<u64>) -> Vec<Vec<usize>> {
    let (seed, mut draws) = (Seed([seed; 32]), 0);
    let mut draw = |range: Range<u64>| {
        draws += 1;
        (range.start + seed.block("list", draws) % (range.end - range.start)) as usize
    };
    for list in &mut lists {
        for n in (1..list.len()).rev() {
            list.swap(n, draw(0..n as u64 + 1));
        }
        list.truncate(draw(most.clone()));
    }
    lists
}

fn mesh(count: usize) -> Vec<Vec<usize>> {
    let others = |n: usize| (0..count).filter(move |m| *m != n);
    (0..count).map(|n| others(n).collect()).collect()
}

/// Each knows the next, or it and the one before.
fn chain(count: usize, both: bool) -> Vec<Vec<usize>> {
    let near = |n: usize| {
        let next = (n + 1 < count).then_some(n + 1);
        next.into_iter().chain(n.checked_sub(1).filter(|_| both))
    };
    (0..count).map(|n| near(n).collect()).collect()
}

fn ring(count: usize) -> Vec<Vec<usize>> {
    (0..count).map(|n| vec![(n + 1) % count]).collect()
}

/// The sizes of the networks.
const COUNTS: [usize; 3] = [12, 16, 24];

#[test]
fn meshes_come_to_rest() {
    for count in COUNTS {
        Slow::new(mesh(count), 2).live(&format!("a mesh of {count}"));
        let lists = shuffled(mesh(count), 1, 99..100);
        Slow::new(lists, 1).live(&format!("a mixed mesh of {count}"));
    }
}

#[test]
fn rings_and_chains_come_to_rest() {
    for count in COUNTS {
        Slow::new(ring(count), 1).live(&format!("a ring of {count}"));
        Slow::new(chain(count, false), 1).live(&format!("a chain of {count}"));
        Slow::new(chain(count, true), 1).live(&format!("a chain both ways of {count}"));
    }
}

#[test]
fn random_networks_come_to_rest() {
    for count in COUNTS {
        for seed in [1, 2] {
            let lists = shuffled(mesh(count), seed, 2..5);
            Slow::new(lists, seed).live(&format!("{count} with some peers, {seed}"));
        }
    }
}

#[test]
#[ignore = "takes minutes"]
fn many_large_networks_come_to_rest() {
    for seed in 3..40 {
        let lists = shuffled(mesh(24), seed, 2..5);
        Slow::new(lists, seed).live(&format!("24 with some peers, {seed}"));
        let lists = shuffled(mesh(24), seed, 99..100);
        Slow::new(lists, seed).live(&format!("a mixed mesh of 24, {seed}"));
    }
}
