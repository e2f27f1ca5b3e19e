//! A connection's states, each named for what it waits for (spec: section "States").

use crate::action::GroupId;
use crate::bridge::Key;
use crate::event::{Name, Nonces, PeerId, Source};
use crate::time::{Instant, micros};

/// A connection that the node knows.
#[derive(Clone, Debug)]
pub(crate) enum Conn {
    /// It owes its header until the deadline (H3.1).
    AwaitHeader {
        deadline: Instant,
        /// If it is a peer's, as its upgrade request says: its nonces (O1.1), and where it is.
        dialer: Option<(Nonces, Source)>,
    },
    /// We dialed it, and wait for the reply to our handshake (O1.3).
    AwaitReply(AwaitReply),
    /// Its header was good; it waits for the incumbent of its uid to answer or to go (J1.2).
    AwaitIncumbent(AwaitIncumbent),
    /// It is on its channel.
    Joined(Session),
    /// It is a link to another node; `peering` has the rest.
    Link,
    /// It leads to a server that knows no peering; `bridge` has the rest.
    Bridge(Key),
}

#[derive(Clone, Debug)]
pub(crate) struct AwaitReply {
    pub(crate) peer: PeerId,
    pub(crate) nonces: Nonces,
    /// Where the other end is.
    pub(crate) source: Source,
    /// Whether the reply is all that is wanted.
    pub(crate) probe: bool,
    pub(crate) deadline: Instant,
}

#[derive(Clone, Debug)]
pub(crate) struct AwaitIncumbent {
    pub(crate) group: GroupId,
    pub(crate) uid: Name,
    pub(crate) deadline: Instant,
    /// Whether the incumbent was heard of since it was asked.
    pub(crate) alive: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) group: GroupId,
    pub(crate) uid: Name,
    /// When something came last (K1.1).
    pub(crate) heard: Instant,
    /// Keep-alive pings sent since.
    pub(crate) pings: u8,
    /// When its keep-alive timer fires next.
    pub(crate) wake: Instant,
    pub(crate) flow: Flow,
}

/// How far a session takes what it is sent.
#[derive(Clone, Debug)]
pub(crate) enum Flow {
    /// It waits for the upstream's history, until the deadline (W1.1). What it has sent itself has
    /// numbers above `own`.
    AwaitHistory { deadline: Instant, own: u64 },
    /// It takes its replay, until the deadline (L3.7).
    Replaying { tick: u64, deadline: Instant },
    /// It is up to date, or its outbox holds the rest.
    Live,
    /// It gets nothing more; if it reads again it is closed (L2.5).
    Lagging,
}

impl Session {
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.pings = 0;
    }
}

/// A deadline as state: how far away it is.
pub(crate) fn ahead(deadline: Instant, now: Instant) -> u64 {
    micros(deadline.since(now))
}
