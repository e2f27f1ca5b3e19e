//! A node, and the frames of peers that the test plays.

use std::time::Duration;

use mles_sansio::{
    Action, Config, ConnId, Event, Frame, Kind, NodeId, Nonces, PeerId, Role, Source, auth, peering,
};

use crate::common::World;

pub(crate) const NONCES: Nonces = Nonces {
    dialer: 1,
    acceptor: 2,
};

/// Two other nodes.
pub(crate) const A: NodeId = NodeId(0xa);
pub(crate) const B: NodeId = NodeId(0xb);

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

pub(crate) fn handshake(uid: NodeId, path: &[NodeId], ts: u64) -> Frame {
    let channel = "any";
    let hash = auth::link_hash(&uid.to_string(), channel, None, NONCES);
    let path: Vec<String> = path.iter().map(|node| format!("\"{node}\"")).collect();
    Frame::text(format!(
        "{{\"uid\":\"{uid}\",\"channel\":\"{channel}\",\"auth\":\"{hash:016x}\",\"peer\":true,\
         \"path\":[{}],\"ts\":{ts},\"max\":1000}}",
        path.join(",")
    ))
}

pub(crate) fn frame(conn: u64, frame: Frame) -> Event {
    let conn = ConnId(conn);
    Event::Frame { conn, frame }
}

/// What actions send to a connection: text as it is, binary as its length.
pub(crate) fn said(actions: &[Action], to: u64) -> Vec<String> {
    let show = |frame: &Frame| match frame.kind {
        Kind::Text => String::from_utf8_lossy(&frame.payload).into_owned(),
        Kind::Binary => format!("{} bytes", frame.payload.len()),
    };
    let mut said = Vec::new();
    for action in actions {
        if let Action::Send { conn, frames } = action
            && *conn == ConnId(to)
        {
            said.extend(frames.iter().map(show));
        } else if let Action::Replay { conn, frames } = action
            && *conn == ConnId(to)
        {
            said.extend(frames.iter().map(show));
        }
    }
    said
}

/// A node whose links take everything at once, and answer pings.
pub(crate) struct Linked {
    pub(crate) world: World,
    pub(crate) links: Vec<u64>,
    pub(crate) answers: bool,
}

impl Linked {
    pub(crate) fn new(config: Config) -> Self {
        let world = World::new(config);
        Self {
            world,
            links: Vec::new(),
            answers: true,
        }
    }

    pub(crate) fn uid(&self) -> NodeId {
        self.world.node.uid()
    }

    /// Hands an event in; what is handed to links is taken, and so all there is comes.
    pub(crate) fn event(&mut self, event: Event) -> Vec<Action> {
        let mut all = self.world.event(event);
        let mut looked = 0;
        while let Some(action) = all.get(looked) {
            looked += 1;
            if let Action::Ping { conn } = action
                && self.answers
                && self.links.contains(&conn.0)
            {
                let conn = *conn;
                all.extend(self.world.event(Event::Pong { conn }));
                continue;
            }
            if let Action::Replay { conn, .. } = action
                && self.links.contains(&conn.0)
            {
                let conn = *conn;
                all.extend(self.world.event(Event::Replayed { conn }));
            }
        }
        all
    }

    /// Time passes, and what is due is done.
    pub(crate) fn wait(&mut self, span: Duration) -> Vec<Action> {
        let mut all = Vec::new();
        let until = self.world.now.mono + span;
        while let Some((at, _)) = self
            .world
            .node
            .next_timeout()
            .filter(|(at, _)| *at <= until)
        {
            self.world.advance(at.since(self.world.now.mono));
            all.extend(self.event(Event::Timeout));
        }
        self.world.advance(until.since(self.world.now.mono));
        all
    }

    /// A node links below.
    pub(crate) fn below(&mut self, conn: u64, uid: NodeId) -> Vec<Action> {
        let (role, source) = (Role::Peer(NONCES), Source(0));
        let opened = Event::Opened {
            conn: ConnId(conn),
            role,
            source,
        };
        assert_eq!(self.event(opened), []);
        self.links.push(conn);
        let opening = handshake(uid, &[], self.world.now.unix);
        self.event(frame(conn, opening))
    }

    /// The node links below another one.
    pub(crate) fn above(&mut self, conn: u64, uid: NodeId, path: &[NodeId]) -> Vec<Action> {
        let peer = PeerId(u32::try_from(conn).expect("small"));
        let mut actions = self.event(Event::Peers { peers: vec![peer] });
        actions.extend(self.wait(Duration::ZERO));
        assert!(actions.contains(&Action::Dial { peer }), "{actions:?}");
        let nonces = NONCES;
        let opened = Event::Opened {
            conn: ConnId(conn),
            role: Role::Dialed { peer, nonces },
            source: Source(0),
        };
        let opening = said(&self.event(opened), conn);
        assert_eq!(opening.len(), 1, "O1.2: the dialer begins");
        self.links.push(conn);
        let reply = handshake(uid, path, self.world.now.unix);
        self.event(frame(conn, reply))
    }

    /// A frame comes over a link; what goes out over another is given back.
    pub(crate) fn hear(&mut self, conn: u64, text: &str) -> Vec<Action> {
        self.event(frame(conn, Frame::text(text.to_owned())))
    }

    /// A message comes over a link.
    pub(crate) fn message(
        &mut self,
        conn: u64,
        origin: NodeId,
        seq: u64,
        ts: u64,
        text: &str,
    ) -> Vec<Action> {
        let label = format!(
            "{{\"uid\":\"alice\",\"channel\":\"room\",\"node\":\"{origin}\",\"seq\":{seq},\"ts\":{ts}}}"
        );
        assert_eq!(self.hear(conn, &label), []);
        self.hear(conn, text)
    }

    pub(crate) fn kept(&self) -> Vec<String> {
        let kept = self.world.kept("room").into_iter();
        kept.map(|(_, frame)| String::from_utf8_lossy(&frame.payload).into_owned())
            .collect()
    }
}

pub(crate) fn join(uid: NodeId, have: &str) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\",\"peer\":true,\"have\":{{{have}}}}}")
}

pub(crate) fn done(uid: NodeId) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\",\"peer\":true,\"done\":true}}")
}

pub(crate) fn leave(uid: NodeId) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\",\"peer\":false}}")
}

pub(crate) fn label(uid: &str, origin: NodeId, seq: u64, ts: u64) -> String {
    format!(
        "{{\"uid\":\"{uid}\",\"channel\":\"room\",\"node\":\"{origin}\",\"seq\":{seq},\"ts\":{ts}}}"
    )
}

pub(crate) fn announcement(uid: &str) -> String {
    format!("{{\"uid\":\"{uid}\",\"channel\":\"room\"}}")
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
