//! What a node is told once, when it is made.

use alloc::vec::Vec;
use core::time::Duration;

use crate::auth::Key;
use crate::event::Name;
use crate::peering;

/// The settings of a [`Node`](crate::Node). [`Config::default`] is the protocol's (section "Limits").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The shared key that clients prove in `auth`; without one everybody may join (A2.1, A2.3).
    pub key: Option<Key>,
    /// Messages that a channel's history keeps, and announcements beside them; 0 keeps none (M3.3).
    pub history_limit: usize,
    /// Bytes that the frames of one channel's history may cost; 0 keeps none (M3.6).
    pub history_channel_bytes: u64,
    /// Bytes that all histories, and what only replays still hold, may cost; 0 keeps none (M3.7, L3.9).
    pub history_bytes: u64,
    /// How long a channel without members keeps its history (L1.3).
    pub history_expiry: Duration,
    /// Time from the upgrade to a valid header (H3.1).
    pub header_timeout: Duration,
    /// Silence after which a session is pinged, and pinged again (K1.1).
    pub ping_interval: Duration,
    /// Time an incumbent has to answer when a newcomer claims its uid (J1.3).
    pub probe_timeout: Duration,
    /// Time a joiner has to take its replay (L3.7).
    pub replay_timeout: Duration,
    /// Whether each accepted message is also emitted as [`Action::StoreHistory`](crate::Action).
    pub store_history: bool,
    /// How it peers with other nodes.
    pub peering: peering::Config,
    /// Servers that know no peering and that this node is a client of on every channel that is wanted here,
    /// by their addresses: an address is the uid of what comes from there (B1.1, B1.5).
    pub bridges: Vec<Name>,
    /// Channels that are bridged to each of them at once (B1.2).
    pub bridge_channels: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key: None,
            history_limit: 200,
            history_channel_bytes: 8 << 20,
            history_bytes: 64 << 20,
            history_expiry: Duration::from_secs(30 * 24 * 60 * 60),
            header_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(24),
            probe_timeout: Duration::from_secs(5),
            replay_timeout: Duration::from_secs(60),
            store_history: false,
            peering: peering::Config::default(),
            bridges: Vec::new(),
            bridge_channels: 256,
        }
    }
}
