//! A network of nodes and clients: connections are ordered and reliable while they live, and may be cut
//! at any moment. Whoever uses it decides what happens next: which connection delivers, who is dialed,
//! whose timer fires.
#![expect(dead_code, reason = "each test file uses a part of it")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use mles_sansio::{
    Action, Config, ConnId, DialFault, DialId, Ending, Entry, Event, Frame, GroupId, Instant, Node,
    NodeId, Nonces, Notice, Now, PeerId, Role, Seed, Source,
};

mod older;
mod states;
mod wires;

/// What is on its way in one direction of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Packet {
    Frame(Frame),
    /// The end of what was handed over at once: the sender is told when this is reached.
    Mark,
    Ping,
    Pong,
    Close(u16),
    Lost,
}

/// Who is at an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Party {
    Node(usize, ConnId),
    Client(usize),
    /// A connection at the server that knows no peering.
    Older(u64),
}

/// One direction: towards `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pipe {
    pub(crate) to: Party,
    pub(crate) packets: VecDeque<Packet>,
    /// Nothing was delivered yet.
    fresh: bool,
    /// The receiver does not read: a node that has had the first message and not resumed.
    held: bool,
    /// The receiver has forgotten the connection.
    deaf: bool,
}

/// A connection: what goes to the one who dialed, and to the one who accepted.
pub(crate) type Wire = [Pipe; 2];

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) groups: BTreeMap<GroupId, BTreeSet<ConnId>>,
    /// Dials that the network has not answered yet.
    pub(crate) dials: BTreeSet<PeerId>,
    /// How far its clock is ahead, in microseconds.
    pub(crate) offset: i64,
    pub(crate) up: bool,
    next_conn: u64,
    /// The node's digest, while nothing happens to it.
    digest: Cell<Option<u128>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) host: usize,
    pub(crate) uid: String,
    pub(crate) channel: String,
    pub(crate) wire: Option<usize>,
    /// Everything it has received, in order.
    pub(crate) received: Vec<Frame>,
    pub(crate) code: Option<u16>,
    pub(crate) lagging: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// Shared until they change, so that a step copies little.
    pub(crate) hosts: Vec<Rc<Host>>,
    pub(crate) wires: BTreeMap<usize, Rc<Wire>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) time: u64,
    next_wire: usize,
    /// Whether ids of connections that are gone are used again, so that states come back.
    pub(crate) reuse: bool,
    /// Whether, where states are counted, openings arrive as soon as they are sent: a later arrival is
    /// as good as a later dial, for what stands in an opening decides nothing.
    pub(crate) openings_at_once: bool,
    answered: Vec<(usize, ConnId)>,
    /// A server that hosts may be bridged to, and dials of bridges that are not answered yet.
    pub(crate) older: older::Older,
    pub(crate) bridge_dials: Vec<(usize, DialId)>,
    /// Every message that was ever accepted anywhere, if nodes are asked to say so.
    pub(crate) accepted: BTreeMap<String, BTreeMap<(u64, NodeId, u64), Entry>>,
    pub(crate) notices: Vec<(usize, Notice)>,
    pub(crate) log: Option<Vec<String>>,
}

/// The date at the beginning.
const EPOCH: u64 = 1_700_000_000_000_000;

/// Seeds whose nodes have uids in rising order.
pub(crate) fn seeds(count: usize) -> Vec<Seed> {
    let mut seeds: Vec<Seed> = (0..count).map(|n| Seed([n as u8 + 1; 32])).collect();
    seeds.sort_by_key(NodeId::of);
    seeds
}

impl Net {
    pub(crate) fn new() -> Self {
        Self {
            hosts: Vec::new(),
            wires: BTreeMap::new(),
            clients: Vec::new(),
            time: 0,
            next_wire: 0,
            reuse: false,
            openings_at_once: false,
            answered: Vec::new(),
            older: older::Older::default(),
            bridge_dials: Vec::new(),
            accepted: BTreeMap::new(),
            notices: Vec::new(),
            log: None,
        }
    }

    /// A node that does not know its peers yet. Entry `n` of a list of peers is host `n`.
    pub(crate) fn add(&mut self, config: Config, seed: &Seed, offset: i64) -> usize {
        self.hosts.push(Rc::new(Host {
            node: Node::new(config, seed),
            groups: BTreeMap::new(),
            dials: BTreeSet::new(),
            offset,
            up: true,
            next_conn: 1,
            digest: Cell::new(None),
        }));
        self.hosts.len() - 1
    }

    pub(crate) fn peers(&mut self, host: usize, peers: &[usize]) {
        let peers = peers.iter().map(|peer| PeerId(*peer as u32)).collect();
        self.event(host, Event::Peers { peers });
    }

    pub(crate) fn now(&self, host: usize) -> Now {
        let unix = (EPOCH + self.time).saturating_add_signed(self.hosts[host].offset);
        let mono = Instant::from_micros(self.time);
        Now { mono, unix }
    }

    /// Hands an event to a node and does what it says.
    pub(crate) fn event(&mut self, host: usize, event: Event) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>9} n{host} <- {event}", self.time));
        }
        let now = self.now(host);
        let actions: Vec<Action> = self.host(host).node.handle(now, event).collect();
        for action in actions {
            if let Some(log) = &mut self.log {
                log.push(format!("{:>9} n{host} -> {action}", self.time));
            }
            self.execute(host, action);
        }
        if self.reuse {
            self.hurry();
        }
    }

    fn host(&mut self, host: usize) -> &mut Host {
        let host = Rc::make_mut(&mut self.hosts[host]);
        host.digest.set(None);
        host
    }

    /// Sets the clock of a host, in microseconds ahead of the network's.
    pub(crate) fn set_clock(&mut self, host: usize, offset: i64) {
        self.host(host).offset = offset;
    }

    fn execute(&mut self, host: usize, action: Action) {
        match action {
            Action::Send { conn, frames } => {
                let frames: Vec<Frame> = frames.iter().cloned().collect();
                self.push(host, conn, frames.into_iter().map(Packet::Frame));
            }
            Action::Broadcast {
                group,
                except,
                frames,
            } => {
                let members = self.hosts[host].groups.get(&group);
                let members: Vec<ConnId> = members.into_iter().flatten().copied().collect();
                for conn in members.into_iter().filter(|conn| Some(*conn) != except) {
                    let frames: Vec<Frame> = frames.iter().cloned().collect();
                    self.push(host, conn, frames.into_iter().map(Packet::Frame));
                }
            }
            Action::Replay { conn, frames } => {
                let frames = frames.iter().cloned().map(Packet::Frame);
                self.push(host, conn, frames.chain([Packet::Mark]));
            }
            Action::Join { conn, group } => {
                self.leave_all(host, conn);
                self.host(host)
                    .groups
                    .entry(group)
                    .or_default()
                    .insert(conn);
            }
            Action::Leave { conn, .. } => self.leave_all(host, conn),
            Action::Resume { conn, .. } => {
                if let Some(pipe) = self.pipe_to(Party::Node(host, conn)) {
                    pipe.held = false;
                    pipe.fresh = false;
                }
            }
            Action::Ping { conn } if self.reuse => self.answered.push((host, conn)),
            Action::Ping { conn } => self.push(host, conn, [Packet::Ping]),
            Action::Discard { conn } => {
                if let Some(pipe) = self.pipe_from(Party::Node(host, conn)) {
                    pipe.packets.clear();
                }
            }
            Action::Close { conn, why } => {
                self.leave_all(host, conn);
                self.push(host, conn, [Packet::Close(why.code())]);
                if let Some((id, side)) = self.find(Party::Node(host, conn))
                    && let Some(wire) = self.wire_mut(id)
                {
                    wire[side].deaf = true;
                    wire[side].packets.clear();
                    if wire[1 - side].deaf {
                        self.wires.remove(&id);
                    }
                }
            }
            Action::Dial { peer } => {
                let new = self.host(host).dials.insert(peer);
                assert!(new, "one dial of a peer at a time");
            }
            Action::DialBridge { dial, .. } => self.bridge_dials.push((host, dial)),
            Action::StoreHistory { channel, entry } => {
                let channel = self.accepted.entry(channel.to_string()).or_default();
                channel.insert(entry.order(), entry);
            }
            Action::Notice(notice) => {
                if let Notice::Lagging { conn, .. } = notice
                    && let Some((id, side)) = self.find(Party::Node(host, conn))
                    && let Party::Client(client) = self.wires[&id][1 - side].to
                {
                    self.clients[client].lagging = true;
                }
                self.notices.push((host, notice));
            }
        }
    }

    fn leave_all(&mut self, host: usize, conn: ConnId) {
        for group in self.host(host).groups.values_mut() {
            group.remove(&conn);
        }
    }

    /// The network answers a dial. If the other is not there, or `works` is false, it fails.
    pub(crate) fn connect(&mut self, host: usize, peer: PeerId, works: bool) {
        self.host(host).dials.remove(&peer);
        let other = peer.0 as usize;
        if !works || !self.hosts[other].up {
            return self.event(
                host,
                Event::DialFailed {
                    peer,
                    why: DialFault::Unreachable,
                },
            );
        }
        let dialer = self.conn(host, other, true);
        let acceptor = self.conn(other, host, false);
        let first = (1 + host * 10 + other) * 1000;
        let id = self.wire(
            [Party::Node(host, dialer), Party::Node(other, acceptor)],
            first,
        );
        // States come back only if the nonces do.
        let nonce = if self.reuse { 1 } else { id as u128 + 1 };
        let nonces = Nonces {
            dialer: nonce,
            acceptor: nonce << 64,
        };
        let source = Source(0);
        let (conn, role) = (acceptor, Role::Peer(nonces));
        self.event(other, Event::Opened { conn, role, source });
        let (conn, role) = (dialer, Role::Dialed { peer, nonces });
        self.event(host, Event::Opened { conn, role, source });
    }

    /// A client connects and sends its header.
    pub(crate) fn join(&mut self, host: usize, uid: &str, channel: &str) -> usize {
        let header = mles_sansio::header::compose(uid, channel, None);
        self.join_with(host, uid, channel, header)
    }

    pub(crate) fn join_with(
        &mut self,
        host: usize,
        uid: &str,
        channel: &str,
        header: Frame,
    ) -> usize {
        let client = self.clients.len();
        let conn = self.conn(host, 9, false);
        let wire = self.wire([Party::Client(client), Party::Node(host, conn)], 0);
        self.clients.push(Client {
            host,
            uid: uid.into(),
            channel: channel.into(),
            wire: Some(wire),
            received: Vec::new(),
            code: None,
            lagging: false,
        });
        if let Some(log) = &mut self.log {
            log.push(format!(
                "client {client} is {uid} on {channel}: {conn} of n{host}"
            ));
        }
        let (role, source) = (Role::Accepted, Source(0));
        self.event(host, Event::Opened { conn, role, source });
        self.say(client, header);
        client
    }

    /// A client sends.
    pub(crate) fn say(&mut self, client: usize, frame: Frame) {
        if let Some(pipe) = self.pipe_from(Party::Client(client)) {
            pipe.packets.push_back(Packet::Frame(frame));
        }
    }

    /// A host stops at once, and comes back empty, with another uid.
    pub(crate) fn restart(&mut self, host: usize, seed: &Seed, peers: &[usize]) {
        let wires: Vec<usize> = self
            .wires
            .iter()
            .filter(|(_, wire)| {
                wire.iter()
                    .any(|pipe| matches!(pipe.to, Party::Node(at, _) if at == host))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in wires {
            let Some(wire) = self.wire_mut(id) else {
                continue;
            };
            for pipe in wire.iter_mut() {
                pipe.packets = [Packet::Lost].into();
                pipe.deaf |= matches!(pipe.to, Party::Node(at, _) if at == host);
            }
        }
        let host_state = self.host(host);
        let config = host_state.node.config().clone();
        host_state.node = Node::new(config, seed);
        host_state.groups.clear();
        host_state.dials.clear();
        self.peers(host, peers);
    }

    /// Hosts whose timer is due.
    pub(crate) fn due(&self) -> Vec<usize> {
        let due = |host: &Host| {
            let next = host.node.next_timeout();
            host.up && next.is_some_and(|(at, _)| at.as_micros() <= self.time)
        };
        (0..self.hosts.len())
            .filter(|host| due(&self.hosts[*host]))
            .collect()
    }

    /// Time passes to the next timer, if it is due within the span. Says whether there was one.
    pub(crate) fn advance(&mut self, most: Duration) -> bool {
        let until = self.time + most.as_micros() as u64;
        let timers = self
            .hosts
            .iter()
            .filter_map(|host| host.node.next_timeout());
        let next = timers.map(|(at, _)| at.as_micros()).min();
        match next.filter(|next| *next <= until) {
            Some(next) => {
                self.time = self.time.max(next);
                true
            }
            None => {
                self.time = until;
                false
            }
        }
    }

    pub(crate) fn dials(&self) -> Vec<(usize, PeerId)> {
        let hosts = self.hosts.iter().enumerate();
        hosts
            .flat_map(|(host, state)| state.dials.iter().map(move |peer| (host, *peer)))
            .collect()
    }

    /// Runs everything that can happen, in a fixed order, until nothing is under way, for so long.
    pub(crate) fn settle(&mut self, span: Duration) {
        let until = self.time + span.as_micros() as u64;
        loop {
            if let Some((wire, side)) = self.deliverable().first().copied() {
                self.deliver(wire, side);
            } else if let Some((host, peer)) = self.dials().first().copied() {
                self.connect(host, peer, true);
            } else if let Some((host, dial)) = self.bridge_dials.first().copied() {
                self.connect_bridge(host, dial, true);
            } else if let Some(host) = self.due().first().copied() {
                self.event(host, Event::Timeout);
            } else {
                let left = Duration::from_micros(until - self.time);
                if !self.advance(left) {
                    return;
                }
            }
        }
    }

    pub(crate) fn uid(&self, host: usize) -> NodeId {
        self.hosts[host].node.uid()
    }

    pub(crate) fn host_of(&self, uid: NodeId) -> Option<usize> {
        (0..self.hosts.len()).find(|host| self.uid(*host) == uid)
    }

    /// The host above each host.
    pub(crate) fn upstreams(&self) -> Vec<Option<usize>> {
        let above = |host: &Rc<Host>| host.node.upstream().and_then(|uid| self.host_of(uid));
        self.hosts.iter().map(above).collect()
    }

    pub(crate) fn history(&self, host: usize, channel: &str) -> Vec<Entry> {
        self.hosts[host].node.history(channel).cloned().collect()
    }
}
