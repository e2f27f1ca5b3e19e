//! What is logged of what the node notices. Other servers are numbers to it; here they have addresses.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mles_sansio::{BridgeId, BridgeTrouble, Notice, PeerId, Source, Trouble};

use crate::address::Address;
use crate::config::Peering;
use crate::limits;

/// The servers that this one dials, and what was in the way of those that could not be had.
#[derive(Debug)]
pub struct Servers {
    /// By id.
    bridges: Vec<Address>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By id: an entry is never taken back, for an id stands for the same address for ever.
    peers: Vec<Address>,
    /// What was in the way of each that could not be had the last time.
    peer_obstacles: HashMap<PeerId, String>,
    bridge_obstacles: HashMap<BridgeId, String>,
}

impl Servers {
    /// The bridges of these settings. Peers come as they are asked for with [`Servers::ids`].
    pub fn new(peering: &Peering) -> Self {
        Self {
            bridges: peering.bridges.clone(),
            known: Mutex::default(),
        }
    }

    /// The ids of these peers.
    pub fn ids(&self, addresses: &[Address]) -> Vec<PeerId> {
        let known = &mut self.known().peers;
        let mut id = |address: &Address| {
            let at = known.iter().position(|it| it == address);
            let at = at.unwrap_or_else(|| {
                known.push(address.clone());
                known.len() - 1
            });
            PeerId(u32::try_from(at).unwrap_or(u32::MAX))
        };
        addresses.iter().map(&mut id).collect()
    }

    /// Where a peer is.
    pub fn peer(&self, peer: PeerId) -> Option<Address> {
        self.known().peers.get(peer.0 as usize).cloned()
    }

    /// Where a bridge leads to.
    pub fn bridge(&self, bridge: BridgeId) -> Option<&Address> {
        self.bridges.get(bridge.0 as usize)
    }

    /// What a peer is called in the log.
    pub fn peer_name(&self, peer: PeerId) -> String {
        let address = self.peer(peer);
        address.map_or_else(|| peer.to_string(), |address| format!("wss://{address}"))
    }

    fn bridge_name(&self, bridge: BridgeId) -> String {
        let address = self.bridge(bridge);
        address.map_or_else(|| bridge.to_string(), |address| format!("wss://{address}"))
    }

    /// A peer was dialed in vain; what was in the way is told when the node has noticed.
    pub fn peer_failed(&self, peer: PeerId, why: String) {
        tracing::debug!("peer {}: {why}", self.peer_name(peer));
        self.known().peer_obstacles.insert(peer, why);
    }

    /// The same of a bridge.
    pub fn bridge_failed(&self, bridge: BridgeId, why: String) {
        tracing::debug!("bridge {}: {why}", self.bridge_name(bridge));
        self.known().bridge_obstacles.insert(bridge, why);
    }

    /// Logs what the node says.
    pub fn log(&self, notice: &Notice) {
        match notice {
            // A bug of ours: every test fails on it.
            Notice::Breach { .. } => tracing::error!("{notice}"),
            Notice::NotRestored { .. } => tracing::warn!("{notice}"),
            Notice::PeerTrouble { peer, trouble } => self.log_peer(*peer, *trouble),
            Notice::BridgeTrouble { bridge, trouble } => self.log_bridge(*bridge, *trouble),
            Notice::Linked {
                node, peer, source, ..
            } => tracing::info!("linked {}, node {node}", self.direction(*peer, *source)),
            Notice::Unlinked {
                node,
                peer,
                source,
                why,
                received,
                sent,
                ..
            } => {
                let name = self.direction(*peer, *source);
                tracing::info!(
                    "the link {name}, node {node}, has ended: {why}; {received} messages came over it, {sent} went"
                );
            }
            Notice::Bridged { bridge } => {
                tracing::info!("bridged to {}", self.bridge_name(*bridge));
            }
            Notice::Unbridged { bridge } => {
                tracing::info!("the bridge to {} is down", self.bridge_name(*bridge));
            }
            Notice::Root { .. } => tracing::info!("{notice}"),
            Notice::Joined { .. }
            | Notice::Left { .. }
            | Notice::Violated { .. }
            | Notice::Lagging { .. }
            | Notice::Expired { .. } => tracing::debug!("{notice}"),
        }
    }

    /// Who was dialed is called as in the list, who came by where it is from.
    fn direction(&self, peer: Option<PeerId>, source: Source) -> String {
        match peer {
            Some(peer) => format!("to peer {}", self.peer_name(peer)),
            None => format!("from {}", limits::Source::of_key(source.0)),
        }
    }

    fn log_peer(&self, peer: PeerId, trouble: Trouble) {
        let (name, known) = (self.peer_name(peer), self.known());
        match known.peer_obstacles.get(&peer) {
            Some(why) if matches!(trouble, Trouble::Dial(_)) => {
                tracing::warn!("peer {name} {trouble}: {why}");
            }
            Some(_) | None => tracing::warn!("peer {name} {trouble}"),
        }
    }

    fn log_bridge(&self, bridge: BridgeId, trouble: BridgeTrouble) {
        let (name, known) = (self.bridge_name(bridge), self.known());
        match known.bridge_obstacles.get(&bridge) {
            Some(why) if matches!(trouble, BridgeTrouble::Dial(_)) => {
                tracing::warn!("bridge {name} {trouble}: {why}");
            }
            Some(_) | None => tracing::warn!("bridge {name} {trouble}"),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_for_the_same_address_for_ever() {
        let addresses = |urls: &[&str]| -> Vec<Address> {
            let parsed = urls.iter().map(|url| Address::parse(url).unwrap());
            parsed.collect()
        };
        let servers = Servers {
            bridges: addresses(&["wss://up"]),
            known: Mutex::default(),
        };
        assert_eq!(
            servers.ids(&addresses(&["wss://a", "wss://b"])),
            [PeerId(0), PeerId(1)]
        );
        assert_eq!(
            servers.ids(&addresses(&["wss://c", "wss://b"])),
            [PeerId(2), PeerId(1)]
        );
        assert_eq!(servers.peer(PeerId(0)), addresses(&["wss://a"]).pop());
        assert_eq!(servers.peer_name(PeerId(2)), "wss://c:443");
        assert_eq!(servers.bridge_name(BridgeId(0)), "wss://up:443");
        assert_eq!(
            (servers.peer(PeerId(3)), servers.bridge(BridgeId(1))),
            (None, None)
        );
    }
}
