//! A node and the frames of its links, said one by one by the test.

use mles_sansio::peering::wire::{self, LinkFrame};
use mles_sansio::{
    Action, Closing, Config, ConnId, Event, Frame, Key, NodeId, Nonces, Notice, Parting, PeerId,
    Role, Source, Violation, auth, peering,
};

use crate::common::{self, World, pong, refusal, text};

pub(crate) const KEY: &[u8] = b"peers";
/// Uids: of a peer below, of one above, of the root above that, of nobody.
pub(crate) const BELOW: u128 = 0xb;
pub(crate) const ABOVE: u128 = 0xa;
pub(crate) const ROOT: u128 = 0xf00;
pub(crate) const OTHER: u128 = 0xc;

pub(crate) const MINUTE: u64 = 60_000_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;

pub(crate) fn config() -> Config {
    with(|_| {})
}

pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Config {
    let peering = peering::Config {
        key: Key::new(KEY),
        max_payload: 100,
        ..peering::Config::default()
    };
    let mut config = Config {
        peering,
        ..Config::default()
    };
    change(&mut config);
    config
}

pub(crate) fn nonces(conn: u64) -> Nonces {
    Nonces {
        dialer: u128::from(conn),
        acceptor: u128::from(conn) << 64,
    }
}

/// A handshake, right unless something is changed.
pub(crate) struct Hello {
    pub(crate) uid: String,
    pub(crate) auth: Option<String>,
    pub(crate) path: Vec<NodeId>,
    pub(crate) ts: String,
    pub(crate) max: String,
    pub(crate) more: &'static str,
}

impl Hello {
    pub(crate) fn of(world: &World, conn: u64, uid: u128) -> Self {
        let uid = NodeId(uid).to_string();
        let auth = auth::link_hash(&uid, "mles", Key::new(KEY).as_ref(), nonces(conn));
        Self {
            uid,
            auth: Some(format!("{auth:016x}")),
            path: Vec::new(),
            ts: world.now.unix.to_string(),
            max: "1000".into(),
            more: "",
        }
    }

    pub(crate) fn frame(&self) -> Frame {
        let auth = self.auth.as_ref();
        let auth = auth.map(|auth| format!(",\"auth\":\"{auth}\""));
        let path: Vec<String> = self.path.iter().map(|node| format!("\"{node}\"")).collect();
        Frame::text(format!(
            "{{\"uid\":\"{}\",\"channel\":\"mles\"{},\"peer\":true,\"path\":[{}],\"ts\":{},\"max\":{}{}}}",
            self.uid,
            auth.unwrap_or_default(),
            path.join(","),
            self.ts,
            self.max,
            self.more,
        ))
    }
}

pub(crate) fn opened(conn: u64, role: Role) -> Event {
    Event::Opened {
        conn: ConnId(conn),
        role,
        source: Source(0),
    }
}

pub(crate) fn frame(conn: u64, frame: Frame) -> Event {
    common::frame(conn, frame)
}

pub(crate) fn replayed(conn: u64) -> Event {
    let conn = ConnId(conn);
    Event::Replayed { conn }
}

/// A peer links itself below the node.
pub(crate) fn below(world: &mut World, conn: u64, uid: u128) {
    let actions = world.event(opened(conn, Role::Peer(nonces(conn))));
    assert_eq!(actions, []);
    let hello = Hello::of(world, conn, uid);
    let actions = world.event(frame(conn, hello.frame()));
    let linked = Action::Notice(Notice::Linked {
        conn: ConnId(conn),
        node: NodeId(uid),
        upstream: false,
        peer: None,
        source: Source(0),
    });
    assert_eq!(actions.len(), 3, "{actions:?}");
    assert!(matches!(actions[0], Action::Send { .. }));
    assert_eq!(
        actions[1..],
        [
            Action::Resume {
                conn: ConnId(conn),
                link: true
            },
            linked
        ]
    );
}

/// The node links itself below a peer, whose own upstream is the root.
pub(crate) fn above(world: &mut World, conn: u64) -> Vec<Action> {
    let peer = PeerId(0);
    assert_eq!(world.event(Event::Peers { peers: vec![peer] }), []);
    assert_eq!(world.event(Event::Timeout), [Action::Dial { peer }]);
    let nonces = nonces(conn);
    let sent = world.event(opened(conn, Role::Dialed { peer, nonces }));
    assert_eq!(sent.len(), 1);
    let mut hello = Hello::of(world, conn, ABOVE);
    hello.path = vec![NodeId(ROOT)];
    let actions = world.event(frame(conn, hello.frame()));
    assert_eq!(world.node.path(), [NodeId(ROOT), NodeId(ABOVE)]);
    actions
}

/// A frame that closes a link, with all that follows.
pub(crate) fn closes(
    world: &mut World,
    conn: u64,
    payload: Frame,
    violation: Violation,
    code: u16,
) {
    let upstream = world.node.upstream() == world.node.link(ConnId(conn));
    let node = world.node.link(ConnId(conn)).expect("a link");
    let mut expected = refusal(conn, violation);
    let conn = ConnId(conn);
    let before = expected.len();
    if upstream {
        let (root, hops) = (world.node.uid(), 0);
        expected.push(Action::Notice(Notice::Root { root, hops }));
    }
    let shown = format!("{payload:?}");
    let mut actions = world.event(frame(conn.0, payload));
    let why = Parting::Here(Closing::Violation(violation));
    let told = actions.remove(before);
    let Action::Notice(Notice::Unlinked {
        conn: told_conn,
        node: told_node,
        upstream: told_upstream,
        why: told_why,
        ..
    }) = told
    else {
        panic!("{told:?}, {shown}");
    };
    let told = (told_conn, told_node, told_upstream, told_why);
    assert_eq!(told, (conn, node, upstream, why), "{shown}");
    assert_eq!(actions, expected, "{shown}");
    assert_eq!(violation.code(), code);
    let reason = Closing::Violation(violation).reason();
    assert!(!reason.is_empty() && reason.len() <= 123);
    assert_eq!(world.node.link(conn), None);
    // Whatever else comes has no effect.
    let digest = world.digest();
    for event in [text(conn.0, "{}"), pong(conn.0), replayed(conn.0)] {
        assert_eq!(world.event(event), []);
    }
    assert_eq!(world.digest(), digest);
}

pub(crate) fn label(channel: &str, origin: u128, seq: u64, ts: u64) -> Frame {
    let label = wire::Label {
        uid: "eve".into(),
        channel: channel.into(),
        origin: NodeId(origin),
        seq,
        ts,
    };
    LinkFrame::Message(label).compose()
}

pub(crate) fn join(uid: u128, channel: &str, have: &[(u128, u64)]) -> Frame {
    let have = have.iter().map(|(origin, seq)| (NodeId(*origin), *seq));
    let (uid, channel, have) = (NodeId(uid), channel.into(), have.collect());
    LinkFrame::Join { uid, channel, have }.compose()
}

pub(crate) fn done(uid: u128, channel: &str) -> Frame {
    let (uid, channel) = (NodeId(uid), channel.into());
    LinkFrame::Done { uid, channel }.compose()
}

pub(crate) fn leave(uid: u128, channel: &str) -> Frame {
    let (uid, channel) = (NodeId(uid), channel.into());
    LinkFrame::Leave { uid, channel }.compose()
}

pub(crate) fn path(uid: u128, path: &[NodeId], turn: bool) -> Frame {
    let (uid, path) = (NodeId(uid), path.to_vec());
    LinkFrame::Path { uid, path, turn }.compose()
}

/// A message comes over a link.
pub(crate) fn message(world: &mut World, conn: u64, label: Frame, payload: &str) -> Vec<Action> {
    assert_eq!(world.event(frame(conn, label)), []);
    world.event(text(conn, payload))
}

pub(crate) fn kept(world: &World, channel: &str) -> Vec<String> {
    let entries = world.node.history(channel);
    let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
    entries.map(|entry| text(&entry.frame.payload)).collect()
}

/// What the links are handed: the frames of the replays, by connection.
pub(crate) fn handed(actions: &[Action], conn: u64) -> Vec<Frame> {
    let mut all = Vec::new();
    for action in actions {
        if let Action::Replay { conn: to, frames } = action
            && *to == ConnId(conn)
        {
            all.extend_from_slice(frames);
        }
    }
    all
}

/// How much a node holds, roughly: what it takes to write it down.
pub(crate) fn size(world: &World) -> usize {
    format!("{:?}", world.node).len()
}
