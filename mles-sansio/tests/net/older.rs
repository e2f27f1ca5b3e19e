//! A server that knows no peering, as far as bridges meet it: it stores and replays the headers of its clients as
//! they came, and announces nobody.

use super::*;

/// What it remembers, and who is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Older {
    /// Each channel's history.
    pub(crate) history: BTreeMap<String, Vec<Frame>>,
    /// Connections of nodes, with their channels once they have sent a header.
    pub(crate) sessions: BTreeMap<u64, Option<String>>,
    /// Clients of its own.
    pub(crate) clients: Vec<Foreign>,
    /// Messages that a history keeps.
    pub(crate) limit: Option<usize>,
    /// It closes whoever sends a header, with this code.
    pub(crate) refuses: Option<u16>,
    /// It closes whoever sends a longer message, with 1009.
    pub(crate) largest: Option<usize>,
    next: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    channel: String,
    /// Everything it has received, in order.
    pub(crate) received: Vec<Frame>,
}

impl Older {
    /// Connections that it has had so far.
    pub(crate) fn next_session(&self) -> u64 {
        self.next
    }
}

impl Net {
    /// The network answers a dial of a bridge.
    pub(crate) fn connect_bridge(&mut self, host: usize, dial: DialId, works: bool) {
        self.bridge_dials.retain(|waiting| *waiting != (host, dial));
        if !works {
            let why = DialFault::Unreachable;
            return self.event(host, Event::BridgeFailed { dial, why });
        }
        let id = self.older.next;
        self.older.next += 1;
        self.older.sessions.insert(id, None);
        let conn = self.conn(host, 8, true);
        self.wire([Party::Node(host, conn), Party::Older(id)], 0);
        let (role, source) = (Role::Bridged { dial }, Source(0));
        self.event(host, Event::Opened { conn, role, source });
    }

    /// A client of the older server joins there.
    pub(crate) fn foreign_join(&mut self, uid: &str, channel: &str) -> usize {
        let history = self.older.history.entry(channel.into()).or_default();
        let received = history.clone();
        let key = mles_sansio::Key::new(b"key").expect("a key");
        history.push(mles_sansio::header::compose(uid, channel, Some(&key)));
        let channel = channel.into();
        self.older.clients.push(Foreign { channel, received });
        self.older.clients.len() - 1
    }

    /// A client of the older server says something.
    pub(crate) fn foreign_say(&mut self, client: usize, frame: Frame) {
        let channel = self.older.clients[client].channel.clone();
        self.older_accepts(&channel, &frame, None, Some(client));
    }

    /// The older server stops, and is there again, empty.
    pub(crate) fn older_restarts(&mut self) {
        self.older_loses_all();
        self.older.history.clear();
    }

    /// All its connections break.
    pub(crate) fn older_loses_all(&mut self) {
        let older = |wire: &Rc<Wire>| matches!(wire[1].to, Party::Older(_));
        let wires = self.wires.iter().filter(|(_, wire)| older(wire));
        for id in wires.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.cut(id);
        }
    }

    /// It closes all connections; what is on its way to it is lost.
    pub(crate) fn older_closes_all(&mut self, code: u16) {
        for id in std::mem::take(&mut self.older.sessions).into_keys() {
            self.older_sends(id, [Packet::Close(code)]);
        }
    }

    /// Something comes to the older server.
    pub(super) fn older_hears(&mut self, id: u64, packet: Packet) {
        match packet {
            Packet::Frame(frame) => match self.older.sessions.get(&id) {
                Some(Some(_))
                    if self
                        .older
                        .largest
                        .is_some_and(|it| frame.payload.len() > it) =>
                {
                    self.older.sessions.remove(&id);
                    self.older_sends(id, [Packet::Close(1009)]);
                }
                Some(Some(channel)) => {
                    let channel = channel.clone();
                    self.older_accepts(&channel, &frame, Some(id), None);
                }
                Some(None) => self.older_welcomes(id, frame),
                None => {}
            },
            Packet::Close(_) | Packet::Lost => drop(self.older.sessions.remove(&id)),
            Packet::Ping => panic!("it would spread a ping: bridges send none (B1.3)"),
            Packet::Pong | Packet::Mark => {}
        }
    }

    fn older_welcomes(&mut self, id: u64, header: Frame) {
        if let Some(code) = self.older.refuses {
            self.older.sessions.remove(&id);
            return self.older_sends(id, [Packet::Close(code)]);
        }
        let said = mles_sansio::header::parse(&header).expect("a header");
        let channel = said.channel.to_string();
        let history = self.older.history.entry(channel.clone()).or_default();
        let replay: Vec<Packet> = history.iter().cloned().map(Packet::Frame).collect();
        history.push(header);
        self.older.sessions.insert(id, Some(channel));
        self.older_sends(id, replay);
    }

    fn older_accepts(
        &mut self,
        channel: &str,
        frame: &Frame,
        session: Option<u64>,
        client: Option<usize>,
    ) {
        let history = self.older.history.entry(channel.into()).or_default();
        history.push(frame.clone());
        let over = history
            .len()
            .saturating_sub(self.older.limit.unwrap_or(200));
        history.drain(..over);
        let clients = self.older.clients.iter_mut().enumerate();
        for (_, other) in clients.filter(|(n, it)| Some(*n) != client && it.channel == channel) {
            other.received.push(frame.clone());
        }
        let others = self.older.sessions.iter();
        let others =
            others.filter(|(id, on)| Some(**id) != session && on.as_deref() == Some(channel));
        for id in others.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.older_sends(id, [Packet::Frame(frame.clone())]);
        }
    }

    fn older_sends(&mut self, id: u64, packets: impl IntoIterator<Item = Packet>) {
        if let Some(pipe) = self.pipe_from(Party::Older(id)) {
            pipe.packets.extend(packets);
        }
    }
}
