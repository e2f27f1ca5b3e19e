//! Random lives of bridges: whatever breaks when.

use mles_sansio::{Frame, Seed};

use crate::net::{Net, seeds};
use crate::told::{abroad, config, net, plain, received, say, settle};

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

/// Some of what is under way arrives, and what is due happens.
fn some_arrives(net: &mut Net, draws: &mut Draws) {
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
                _ => some_arrives(&mut net, &mut draws),
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
                    let between = |wire: &crate::net::Wire| {
                        wire.iter()
                            .all(|it| matches!(it.to, crate::net::Party::Node(..)))
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
                _ => some_arrives(&mut net, &mut draws),
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
