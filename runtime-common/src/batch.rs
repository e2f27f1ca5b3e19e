//! What happened on the sessions of a thread, for the node.

use mles_sansio::{ConnId, Event};

use crate::inbound::Seen;
use crate::websocket::ControlPayload;

/// What happened between two turns.
#[derive(Debug, Default)]
pub struct Batch {
    /// For the node, in order.
    pub events: Vec<Event>,
    /// Sessions whose first message is among the events: when these are handled, who is neither resumed nor closed has
    /// to wait.
    pub held: Vec<ConnId>,
    /// Pings to be answered when the events are handled (M2.4).
    pub pings: Vec<(ConnId, ControlPayload)>,
}

impl Batch {
    /// Whether nothing has happened.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.held.is_empty() && self.pings.is_empty()
    }

    /// Adds what one read has brought beside its events. `heard` says that there was anything at all (K1.3).
    pub fn add(&mut self, conn: ConnId, seen: &Seen, heard: bool) {
        if seen.first {
            self.held.push(conn);
        }
        if let Some(payload) = seen.ping {
            self.pings.push((conn, payload));
        }
        if heard {
            self.events.push(Event::Heard { conn });
        }
    }
}

/// What all connections of a thread together read before a turn, and so what waits for the node, in bytes.
pub const READ_MAX: usize = 4 << 20;

/// What an event counts as beside its bytes: tiny messages cost the node more than reading them.
pub const EVENT: usize = 256;
