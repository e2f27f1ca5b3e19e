//! A node whose sockets take everything at once, and what it has each of its connections sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mles_sansio::{
    Action, Closing, Config, ConnId, Ending, Event, Frame, GroupId, Kind, Node, NodeId, Nonces,
    Now, PeerId, Role, Seed, Source, Violation, peering,
};
use serde_json::{Value, json};

use super::{number, text};
use crate::common::World;

/// Something that a connection is sent, or that the node wants.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    Frame(Frame),
    Ping,
    Close(Closing),
    Dial,
}

pub(crate) struct Player {
    pub(crate) world: World,
    /// Connections by the names of the case, and the other way round.
    ids: BTreeMap<String, u64>,
    names: Vec<String>,
    groups: BTreeMap<GroupId, BTreeSet<ConnId>>,
    /// Connections whose pings are answered at once.
    answering: BTreeSet<ConnId>,
    /// Links where the next frame is a payload.
    labelled: BTreeSet<String>,
    pub(crate) peers: Vec<String>,
    pub(crate) outputs: Vec<(String, Output)>,
}

/// The seed whose node has this uid, if there is one of equal bytes: seeds are the core's own, the files
/// say uids.
pub(crate) fn seed_of(uid: &str) -> Seed {
    let seeds = (0..=u8::MAX).map(|byte| Seed([byte; 32]));
    let mut fitting = seeds.filter(|seed| NodeId::of(seed).to_string() == uid);
    fitting
        .next()
        .unwrap_or_else(|| panic!("no seed of equal bytes has the uid {uid}"))
}

pub(crate) fn open_peering() -> Config {
    let peering = peering::Config {
        open: true,
        ..peering::Config::default()
    };
    Config {
        peering,
        ..Config::default()
    }
}

pub(crate) fn hex(digits: &Value) -> u128 {
    u128::from_str_radix(text(digits), 16).unwrap()
}

pub(crate) fn nonces(value: &Value) -> Nonces {
    Nonces {
        dialer: hex(&value["dialer"]),
        acceptor: hex(&value["acceptor"]),
    }
}

/// The role of a connection that the other end has opened, whose request may have had a nonce.
pub(crate) fn accepted(drawn: &Value) -> Role {
    if drawn.is_null() {
        return Role::Accepted;
    }
    Role::Peer(nonces(drawn))
}

/// The payload and kind that a step gives: `text`, `hex` or `length`.
pub(crate) fn payload(step: &Value) -> Frame {
    let bytes = if let Some(text) = step["text"].as_str() {
        text.as_bytes().to_vec()
    } else if let Some(hex) = step["hex"].as_str() {
        super::bytes_of_hex(hex)
    } else {
        vec![b'x'; usize::try_from(number(&step["length"])).unwrap()]
    };
    match step["kind"].as_str() {
        Some("binary") => Frame::binary(bytes),
        Some(_) | None => Frame::text(bytes),
    }
}

/// The clause that a violation between nodes breaks.
pub(crate) fn clause(violation: Violation) -> &'static str {
    match violation {
        Violation::PeerWithoutNonce => "O1.1",
        Violation::PeerAuth => "O1.4",
        Violation::PeerRefused => "O1.5",
        Violation::PeerClockAhead | Violation::PeerClockBehind => "O1.7",
        Violation::TooManyLinks => "O1.9",
        Violation::PeerLoop => "R1.1",
        Violation::PathTooLong => "R1.7",
        Violation::LinkFrame | Violation::LinkUid => "F1.4",
        Violation::HeaderTooBig
        | Violation::HeaderNotText
        | Violation::HeaderNotJson
        | Violation::HeaderTooDeep
        | Violation::HeaderRepeatedMember
        | Violation::HeaderMissingMember
        | Violation::HeaderWrongType
        | Violation::HeaderEmptyName
        | Violation::HeaderBadName => "H1.12",
        Violation::LinkPayloadTooBig => "F1.5",
        Violation::LinkTime => "F1.6",
        Violation::Protocol
        | Violation::NotUtf8
        | Violation::MessageTooBig
        | Violation::NoRoom
        | Violation::HeaderTimeout
        | Violation::AuthMissing
        | Violation::AuthMalformed
        | Violation::AuthMismatch
        | Violation::Duplicate
        | Violation::NoAnswer
        | Violation::Lagging
        | Violation::TurnTimeout
        | Violation::LinkReplaced
        | Violation::LinkFlood => panic!("{violation:?} is not what a handshake is refused for"),
    }
}

impl Player {
    pub(crate) fn new(config: Config, uid: &str, clock: u64) -> Self {
        let mut world = World::new(config.clone());
        world.node = Node::new(config, &seed_of(uid));
        world.now = Now {
            unix: clock,
            ..world.now
        };
        Self {
            world,
            ids: BTreeMap::new(),
            names: Vec::new(),
            groups: BTreeMap::new(),
            answering: BTreeSet::new(),
            labelled: BTreeSet::new(),
            peers: Vec::new(),
            outputs: Vec::new(),
        }
    }

    pub(crate) fn conn(&self, name: &str) -> ConnId {
        let id = self.ids.get(name);
        ConnId(*id.unwrap_or_else(|| panic!("no connection {name}")))
    }

    fn name(&self, conn: ConnId) -> String {
        self.names[usize::try_from(conn.0).unwrap()].clone()
    }

    /// A new connection; a name may come again when the one before is gone.
    pub(crate) fn open(&mut self, name: &str, role: Role, answers: bool) {
        let id = self.names.len() as u64;
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        let (conn, source) = (ConnId(id), Source(0));
        if answers {
            self.answering.insert(conn);
        }
        self.event(Event::Opened { conn, role, source });
    }

    /// The entry of the list of peers with this name.
    pub(crate) fn peer(&mut self, name: &str) -> PeerId {
        let known = self.peers.iter().position(|peer| peer == name);
        let at = known.unwrap_or_else(|| {
            self.peers.push(name.to_owned());
            self.peers.len() - 1
        });
        PeerId(u32::try_from(at).unwrap())
    }

    /// Hands an event in, and does what the node asks for.
    pub(crate) fn event(&mut self, event: Event) {
        if let Event::Closed { conn, how } = event
            && how == Ending::Lost
        {
            // A runtime forgets a connection that is lost before it says so.
            for members in self.groups.values_mut() {
                members.remove(&conn);
            }
        }
        let actions = self.world.event(event);
        let mut later = Vec::new();
        for action in actions {
            match action {
                Action::Send { conn, frames } => self.sent(conn, frames.iter()),
                Action::Broadcast {
                    group,
                    except,
                    frames,
                } => {
                    let members = self.groups.get(&group).cloned().unwrap_or_default();
                    for conn in members.into_iter().filter(|conn| Some(*conn) != except) {
                        self.sent(conn, frames.iter());
                    }
                }
                Action::Replay { conn, frames } => {
                    self.sent(conn, frames.iter());
                    later.push(Event::Replayed { conn });
                }
                Action::Join { conn, group } => {
                    self.groups.entry(group).or_default().insert(conn);
                }
                Action::Leave { conn, group } => {
                    self.groups.entry(group).or_default().remove(&conn);
                }
                Action::Ping { conn } if self.answering.contains(&conn) => {
                    later.push(Event::Pong { conn });
                }
                Action::Ping { conn } => self.outputs.push((self.name(conn), Output::Ping)),
                Action::Close { conn, why } => {
                    self.outputs.push((self.name(conn), Output::Close(why)));
                    for members in self.groups.values_mut() {
                        members.remove(&conn);
                    }
                }
                Action::Dial { peer } => {
                    let name = self.peers[usize::try_from(peer.0).unwrap()].clone();
                    self.outputs.push((name, Output::Dial));
                }
                Action::Resume { .. }
                | Action::Discard { .. }
                | Action::StoreHistory { .. }
                | Action::DialBridge { .. }
                | Action::Notice(_) => {}
            }
        }
        for event in later {
            self.event(event);
        }
    }

    fn sent<'a>(&mut self, conn: ConnId, frames: impl Iterator<Item = &'a Frame>) {
        let name = self.name(conn);
        for frame in frames {
            self.outputs
                .push((name.clone(), Output::Frame(frame.clone())));
        }
    }

    pub(crate) fn frame(&mut self, name: &str, frame: Frame) {
        let conn = self.conn(name);
        self.event(Event::Frame { conn, frame });
    }

    /// Time passes, and what is due is done.
    pub(crate) fn wait(&mut self, span: Duration) {
        let until = self.world.now.mono + span;
        while let Some((at, _)) = self
            .world
            .node
            .next_timeout()
            .filter(|(at, _)| *at <= until)
        {
            self.world.advance(at.since(self.world.now.mono));
            self.event(Event::Timeout);
        }
        self.world.advance(until.since(self.world.now.mono));
    }

    pub(crate) fn set_clock(&mut self, seconds: i64) {
        let unix = self.world.now.unix;
        self.world.now.unix = unix.saturating_add_signed(seconds * 1_000_000);
    }

    pub(crate) fn take(&mut self) -> Vec<(String, Output)> {
        std::mem::take(&mut self.outputs)
    }

    /// What a connection was sent, as the files write it.
    pub(crate) fn shown(&mut self, name: &str, output: &Output) -> Value {
        let frame = match output {
            Output::Ping => return json!({"ping": name}),
            Output::Dial => return json!({"dial": name}),
            Output::Close(why) => return json!({"close": name, "code": why.code()}),
            Output::Frame(frame) => frame,
        };
        if !self.labelled.remove(name) {
            let said: Option<Value> = serde_json::from_slice(&frame.payload).ok();
            let peering = |said: &Value| said["peer"].is_boolean() || said["node"].is_string();
            if let Some(said) = said.filter(peering) {
                if said["node"].is_string() {
                    self.labelled.insert(name.to_owned());
                }
                return json!({"send": name, "frame": said});
            }
        }
        let short = frame.payload.len() < 1000;
        match frame.kind {
            Kind::Text if short => {
                json!({"send": name, "text": String::from_utf8_lossy(&frame.payload)})
            }
            Kind::Binary if short => {
                let hex: String = frame.payload.iter().map(|b| format!("{b:02x}")).collect();
                json!({"send": name, "hex": hex})
            }
            Kind::Text | Kind::Binary => {
                let kind = super::kind(frame);
                json!({"send": name, "kind": kind, "length": frame.payload.len()})
            }
        }
    }
}

/// A handshake of another node, as the files' models make it.
pub(crate) fn handshake(
    uid: &str,
    path: &Value,
    ts: u64,
    max: u64,
    probe: bool,
    nonces: Nonces,
) -> Frame {
    let hash = mles_sansio::auth::link_hash(uid, "mles", None, nonces);
    let mut frame = json!({
        "uid": uid, "channel": "mles", "auth": format!("{hash:016x}"), "peer": true, "path": path,
        "ts": ts, "max": max,
    });
    if probe {
        frame["probe"] = json!(true);
    }
    Frame::text(frame.to_string())
}

pub(crate) const NONCES: Nonces = Nonces {
    dialer: 0x1111_1111_1111_1111_1111_1111_1111_1111,
    acceptor: 0x2222_2222_2222_2222_2222_2222_2222_2222,
};

/// The uid of the node in cases with one node.
pub(crate) const OWN: &str = "43560fd413d47d947af72a511e7a0874";

/// The node dials a peer and has its reply: a link whose lower end it is.
pub(crate) fn above(
    player: &mut Player,
    name: &str,
    uid: &str,
    path: &[String],
    max: u64,
    ahead: i64,
) {
    let peer = player.peer(name);
    player.event(Event::Peers { peers: vec![peer] });
    player.wait(Duration::ZERO);
    let nonces = NONCES;
    player.open(name, Role::Dialed { peer, nonces }, true);
    let ts = player.world.now.unix.saturating_add_signed(ahead);
    let reply = handshake(uid, &json!(path), ts, max, false, NONCES);
    player.frame(name, reply);
}

/// A peer dials the node: a link whose upper end it is.
pub(crate) fn below(player: &mut Player, name: &str, uid: &str, max: u64, ahead: i64) {
    player.open(name, Role::Peer(NONCES), true);
    let ts = player.world.now.unix.saturating_add_signed(ahead);
    let opening = handshake(uid, &json!([]), ts, max, false, NONCES);
    player.frame(name, opening);
}
