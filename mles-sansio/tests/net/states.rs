//! What exploring states needs: what decides nothing happens at once, and states can be told apart.

use super::*;

impl Net {
    /// What happens at once where states are counted: pings are answered, what was handed over is taken,
    /// dials are answered. None of it decides anything.
    pub(super) fn hurry(&mut self) {
        while let Some((host, conn)) = self.answered.pop() {
            self.event(host, Event::Pong { conn });
        }
        let marked = self.wires.iter().find_map(|(id, wire)| {
            let reached = |pipe: &Pipe| pipe.packets.front() == Some(&Packet::Mark);
            Some((*id, wire.iter().position(reached)?))
        });
        if let Some((id, side)) = marked {
            self.deliver(id, side);
            return self.hurry();
        }
        if self.openings_at_once {
            let opening = self.wires.iter().find(|(_, wire)| {
                wire[1].fresh && matches!(wire[1].packets.front(), Some(Packet::Frame(_)))
            });
            if let Some((id, _)) = opening {
                let id = *id;
                self.deliver_one(id, 1);
                return self.hurry();
            }
        }
        if let Some((host, peer)) = self.dials().first().copied() {
            self.connect(host, peer, true);
        }
    }

    pub(crate) fn hash(&self) -> u128 {
        let mut hasher = siphasher::sip128::SipHasher24::new();
        for host in 0..self.hosts.len() {
            let state = &self.hosts[host];
            state.digest(self.now(host)).hash(&mut hasher);
            state.dials.hash(&mut hasher);
        }
        for (id, wire) in &self.wires {
            id.hash(&mut hasher);
            for pipe in wire.iter() {
                (pipe.to, pipe.held, pipe.deaf, pipe.fresh).hash(&mut hasher);
            }
            wire[0].packets.hash(&mut hasher);
            // Of an opening on its way the path decides nothing: only the reply's does (G1.3, R1.1).
            match (wire[1].fresh, wire[1].packets.front()) {
                (true, Some(Packet::Frame(frame))) => {
                    frame
                        .payload
                        .ends_with(b"\"probe\":true}")
                        .hash(&mut hasher);
                    let rest = wire[1].packets.iter().skip(1);
                    rest.for_each(|packet| packet.hash(&mut hasher));
                }
                _ => wire[1].packets.hash(&mut hasher),
            }
        }
        for client in &self.clients {
            (client.wire, &client.received).hash(&mut hasher);
        }
        use siphasher::sip128::Hasher128;
        hasher.finish128().as_u128()
    }
}

impl Host {
    pub(super) fn digest(&self, now: Now) -> u128 {
        let digest = self.digest.get().unwrap_or_else(|| self.node.digest(now));
        self.digest.set(Some(digest));
        digest
    }
}
