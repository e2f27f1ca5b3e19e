//! The settings of peering.

use core::time::Duration;

use crate::auth::Key;

/// How a node peers with others. The default takes no peers, and dials none until it is told of some
/// with [`Event::Peers`](crate::Event::Peers).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peering {
    /// What nodes of one network prove to each other; not the clients' key (O1.4).
    pub key: Option<Key>,
    /// Whether peers are taken without a key (O1.5).
    pub open: bool,
    /// The largest payload that is taken from a peer, in bytes (F1.5).
    pub max_payload: u64,
    /// Links, upstream and downstream (O1.9).
    pub links: usize,
    /// Channels that a lower end may have joined on one link (C1.8).
    pub channels: usize,
    /// Bytes that wait for one link beyond what the history holds; one message more always fits (S1.6).
    pub link_bytes: u64,
    /// Origins that a channel remembers, its own not counted (S2.2).
    pub origins: usize,
    /// Time for a link's handshake (O1.8).
    pub handshake_timeout: Duration,
    /// Time a peer has to answer a turn (G1.7).
    pub turn_timeout: Duration,
    /// The time between pings; a link that is silent for four times as long is given up (U1.6).
    pub ping_interval: Duration,
    /// Time an upstream has to give a sign of life when it is suspected to be dead (R1.6).
    pub suspect_timeout: Duration,
    /// How long a channel stays joined upstream after the last interest in it (C1.2).
    pub linger: Duration,
    /// How long a joining client waits for the upstream's history (W1.1).
    pub history_wait: Duration,
    /// The wait between two passes over the list of peers, at first (U1.3).
    pub backoff_min: Duration,
    /// What it doubles up to (U1.3).
    pub backoff_max: Duration,
    /// When other peers are looked at after the root has changed, at the earliest (G1.1).
    pub probe_after_min: Duration,
    /// And at the latest (G1.1).
    pub probe_after_max: Duration,
    /// How long a peer that has shown to be in the same tree is left alone, at most (G1.10).
    pub probe_rest: Duration,
    /// How far backoff is spread to either side, in percent (U1.3).
    pub jitter_percent: u32,
}

impl Default for Peering {
    fn default() -> Self {
        Self {
            key: None,
            open: false,
            max_payload: 16 << 20,
            links: 64,
            channels: 65_536,
            link_bytes: 4 << 20,
            origins: 256,
            handshake_timeout: Duration::from_secs(10),
            turn_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(5),
            suspect_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(10 * 60),
            history_wait: Duration::from_secs(2),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            probe_after_min: Duration::from_millis(100),
            probe_after_max: Duration::from_secs(1),
            probe_rest: Duration::from_secs(5 * 60),
            jitter_percent: 25,
        }
    }
}

impl Peering {
    /// Whether handshakes are answered at all (O1.5).
    pub(crate) fn takes_peers(&self) -> bool {
        self.key.is_some() || self.open
    }
}
