//! Connections: what is on its way in them, and how it arrives.

use super::*;

impl Net {
    pub(super) fn find(&self, party: Party) -> Option<(usize, usize)> {
        self.wires.iter().find_map(|(id, wire)| {
            let side = wire.iter().position(|pipe| pipe.to == party)?;
            Some((*id, side))
        })
    }

    pub(super) fn pipe_to(&mut self, party: Party) -> Option<&mut Pipe> {
        let (wire, side) = self.find(party)?;
        Some(&mut self.wire_mut(wire)?[side])
    }

    pub(super) fn pipe_from(&mut self, party: Party) -> Option<&mut Pipe> {
        let (wire, side) = self.find(party)?;
        Some(&mut self.wire_mut(wire)?[1 - side])
    }

    pub(super) fn push(
        &mut self,
        host: usize,
        conn: ConnId,
        packets: impl IntoIterator<Item = Packet>,
    ) {
        if let Some(pipe) = self.pipe_from(Party::Node(host, conn))
            && !pipe.deaf
        {
            pipe.packets.extend(packets);
        }
    }

    /// An id for a connection with the other; where ids come back, those of a pair are of their own.
    pub(super) fn conn(&mut self, host: usize, other: usize, dialed: bool) -> ConnId {
        if !self.reuse {
            let next = &mut self.host(host).next_conn;
            *next += 1;
            return ConnId(*next - 1);
        }
        let class = 1000 * (2 * other as u64 + u64::from(dialed));
        let used = |id: u64| self.find(Party::Node(host, ConnId(id))).is_some();
        let free = (class..).find(|id| !used(*id));
        ConnId(free.expect("a number"))
    }

    pub(super) fn wire(&mut self, parties: [Party; 2], first: usize) -> usize {
        let id = match self.reuse {
            true => (first..)
                .find(|id| !self.wires.contains_key(id))
                .expect("a number"),
            false => self.next_wire,
        };
        self.next_wire += 1;
        let wire = parties.map(|to| Pipe {
            to,
            packets: VecDeque::new(),
            fresh: true,
            held: false,
            deaf: false,
        });
        self.wires.insert(id, Rc::new(wire));
        id
    }

    pub(super) fn wire_mut(&mut self, id: usize) -> Option<&mut Wire> {
        self.wires.get_mut(&id).map(Rc::make_mut)
    }

    /// Directions of connections that have something to deliver.
    pub(crate) fn deliverable(&self) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        for (id, wire) in &self.wires {
            for (side, pipe) in wire.iter().enumerate() {
                let held = pipe.held && matches!(pipe.packets.front(), Some(Packet::Frame(_)));
                if !pipe.packets.is_empty() && !held {
                    all.push((*id, side));
                }
            }
        }
        all
    }

    /// Delivers the next packet of a direction.
    pub(crate) fn deliver(&mut self, id: usize, side: usize) {
        self.deliver_one(id, side);
        if self.reuse {
            self.hurry();
        }
    }

    pub(super) fn deliver_one(&mut self, id: usize, side: usize) {
        let Some(wire) = self.wire_mut(id) else {
            return;
        };
        let Some(packet) = wire[side].packets.pop_front() else {
            return;
        };
        let (to, from) = (wire[side].to, wire[1 - side].to);
        let deaf = wire[side].deaf;
        if packet == Packet::Mark {
            if let Party::Node(host, conn) = from
                && !wire[1 - side].deaf
            {
                self.event(host, Event::Replayed { conn });
            }
            return; // Nothing else has changed.
        }
        if deaf {
            return self.bury(id, side, &packet);
        }
        match to {
            Party::Client(client) => match packet {
                Packet::Frame(frame) => self.clients[client].received.push(frame),
                Packet::Ping => {
                    if let Some(pipe) = self.pipe_from(to) {
                        pipe.packets.push_back(Packet::Pong);
                    }
                }
                Packet::Close(code) => {
                    self.clients[client].code = Some(code);
                    self.clients[client].wire = None;
                    self.wires.remove(&id);
                }
                Packet::Lost => {
                    wire[side].deaf = true;
                    self.clients[client].wire = None;
                    self.bury(id, side, &Packet::Lost);
                }
                Packet::Pong | Packet::Mark => {}
            },
            Party::Older(session) => {
                if let Packet::Close(_) = packet {
                    self.wires.remove(&id);
                } else if packet == Packet::Lost {
                    wire[side].deaf = true;
                    self.bury(id, side, &Packet::Lost);
                }
                self.older_hears(session, packet);
            }
            Party::Node(host, conn) => match packet {
                Packet::Frame(frame) => {
                    wire[side].held = std::mem::take(&mut wire[side].fresh);
                    self.event(host, Event::Frame { conn, frame });
                }
                Packet::Ping => {
                    self.push(host, conn, [Packet::Pong]);
                    self.event(host, Event::Heard { conn });
                }
                Packet::Pong => self.event(host, Event::Pong { conn }),
                Packet::Close(code) => {
                    let how = Ending::CloseFrame(code);
                    self.event(host, Event::Closed { conn, how });
                    self.wires.remove(&id);
                }
                Packet::Lost => {
                    wire[side].deaf = true;
                    let how = Ending::Lost;
                    self.leave_all(host, conn);
                    self.event(host, Event::Closed { conn, how });
                    self.bury(id, side, &Packet::Lost);
                }
                Packet::Mark => {}
            },
        }
    }

    /// A connection is gone when both ends have forgotten it.
    pub(super) fn bury(&mut self, id: usize, side: usize, packet: &Packet) {
        let ended = matches!(packet, Packet::Lost | Packet::Close(_));
        if let Some(wire) = self.wires.get(&id)
            && ended
            && wire[side].deaf
            && wire[1 - side].deaf
        {
            self.wires.remove(&id);
        }
    }

    /// The connection breaks: both ends hear of it, what was under way is gone.
    pub(crate) fn cut(&mut self, wire: usize) {
        if let Some(wire) = self.wire_mut(wire) {
            for pipe in wire {
                pipe.packets = [Packet::Lost].into();
            }
        }
    }
}
