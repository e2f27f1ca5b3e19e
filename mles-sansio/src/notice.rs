//! What a runtime logs and counts.

use core::fmt;

use crate::event::{BridgeId, ConnId, DialFault, Name, PeerId, Source};
use crate::seed::NodeId;
use crate::violation::{Closing, Violation};

/// Something worth a log line. Payloads, `auth` and keys never appear in one; uids and channels do,
/// so they belong at debug level.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A session has joined its channel.
    Joined {
        /// The connection.
        conn: ConnId,
        /// Its uid.
        uid: Name,
        /// Its channel.
        channel: Name,
    },
    /// A session has left its channel, for whatever reason.
    Left {
        /// The connection.
        conn: ConnId,
        /// Its uid.
        uid: Name,
        /// Its channel.
        channel: Name,
    },
    /// A connection is closed for what it did.
    Violated {
        /// The connection.
        conn: ConnId,
        /// The rule.
        violation: Violation,
    },
    /// A session gets nothing more until it reconnects (L2.4).
    Lagging {
        /// The connection.
        conn: ConnId,
        /// What ran out.
        cause: LagCause,
    },
    /// A channel's history has expired (L1.3).
    Expired {
        /// The channel.
        channel: Name,
    },
    /// A link to another node stands.
    Linked {
        /// The connection.
        conn: ConnId,
        /// The other node.
        node: NodeId,
        /// Whether it is the upstream of this one.
        upstream: bool,
        /// The entry of the list that it was dialed by, if this end has dialed.
        peer: Option<PeerId>,
        /// Where the other end is, as [`Event::Opened`](crate::Event::Opened) has it.
        source: Source,
    },
    /// A link has ended.
    Unlinked {
        /// The connection.
        conn: ConnId,
        /// The other node.
        node: NodeId,
        /// Whether it was the upstream of this one.
        upstream: bool,
        /// The entry of the list that it was dialed by, if this end has dialed.
        peer: Option<PeerId>,
        /// Where the other end was.
        source: Source,
        /// Who has ended it, and why.
        why: Parting,
        /// Messages that came over it on channels joined there, but for those too far ahead.
        received: u64,
        /// Messages sent over it.
        sent: u64,
    },
    /// A peer cannot be had, for another reason than before. Nothing is said of a peer that is in this
    /// node's tree already.
    PeerTrouble {
        /// Which.
        peer: PeerId,
        /// Why.
        trouble: Trouble,
    },
    /// There is a connection to a server that this node is bridged to, for the first time or again.
    Bridged {
        /// Which.
        bridge: BridgeId,
    },
    /// The last connection to it has ended.
    Unbridged {
        /// Which.
        bridge: BridgeId,
    },
    /// A bridge does not do all that it should, for another reason than before.
    BridgeTrouble {
        /// Which.
        bridge: BridgeId,
        /// Why.
        trouble: BridgeTrouble,
    },
    /// This node is in another tree than before.
    Root {
        /// The root; the node itself if it has no upstream.
        root: NodeId,
        /// Links between here and there.
        hops: usize,
    },
    /// An entry given back at start was not taken.
    NotRestored {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The runtime broke the contract; the event had no effect.
    Breach {
        /// Which rule of the contract.
        rule: &'static str,
    },
}

/// Why a link has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parting {
    /// The connection is gone.
    Lost,
    /// This end has closed it.
    Here(Closing),
    /// The other end has closed it, with this code; 1005 is none.
    There(u16),
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("the connection was lost"),
            Self::Here(why) => write!(f, "closed here with {}: {}", why.code(), why.reason()),
            Self::There(code) => {
                write!(f, "closed by the other end with {code}")?;
                // What it may mean for a link (spec: peering).
                f.write_str(match code {
                    1000 => ": not needed any more",
                    1012 => ": it is restarting",
                    4002 => ": a newer link of this node is there",
                    4003 => ": no answer in time",
                    4005 => ": no answer to pings",
                    4010 => ": the link closed a ring",
                    4012 => ": it did not expect what this node has sent",
                    _ => "",
                })
            }
        }
    }
}

/// Why a peer is not linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// There was no connection.
    Dial(DialFault),
    /// It has closed the connection, with this code.
    Refused(u16),
    /// We have, because of what it said or did not say.
    Violated(Violation),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(DialFault::Unreachable) => f.write_str("cannot be reached"),
            Self::Dial(DialFault::Untrusted) => {
                f.write_str("TLS failed, or its certificate is not trusted")
            }
            Self::Dial(DialFault::NotMles) => f.write_str("is no Mles server"),
            Self::Dial(DialFault::NoPeering) => f.write_str("is a Mles server without peering"),
            Self::Refused(4001) => f.write_str("refused: the peer keys differ"),
            Self::Refused(4002) => f.write_str("refused: a newer link of this node is there"),
            Self::Refused(4004) => f.write_str("refused: it has no room for one more link"),
            Self::Refused(4011) => f.write_str("refused: it takes no peers, or the clocks differ"),
            Self::Refused(code) => write!(f, "closed the connection with {code}"),
            Self::Violated(violation) => write!(f, "was refused here: {violation}"),
        }
    }
}

/// What is in the way of a bridge, on one channel at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BridgeTrouble {
    /// There was no connection.
    Dial(DialFault),
    /// The other end has closed one for good, with this code.
    Refused(u16),
    /// We have, because of what came.
    Violated(Violation),
    /// More channels are wanted than a bridge has connections for (B1.2).
    Channels,
    /// The same message comes again and again (B1.9).
    Loop,
}

impl fmt::Display for BridgeTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(fault) => Trouble::Dial(*fault).fmt(f),
            Self::Refused(4001) => f.write_str("refused: its clients' key is another one"),
            Self::Refused(code) => write!(f, "refused with {code}"),
            Self::Violated(violation) => write!(f, "was refused here: {violation}"),
            Self::Channels => f.write_str("does not get all channels: there are too many"),
            Self::Loop => f.write_str(
                "sends the same message again and again: is another server of this network bridged to it?",
            ),
        }
    }
}

/// Why a session is lagging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LagCause {
    /// Its outbox was full (L3.3).
    Outbox,
    /// It did not take its replay in time (L3.7).
    ReplayTimeout,
    /// Its replay held history that the byte budget had no room for any more (L3.9).
    HistoryBudget,
}

impl fmt::Display for LagCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outbox => "outbox full",
            Self::ReplayTimeout => "replay not taken in time",
            Self::HistoryBudget => "history budget exceeded by its replay",
        })
    }
}

/// Counters since the node was made, and gauges (marked so) of this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stats {
    /// Gauge: connections that have not sent a header, or wait for an incumbent.
    pub opening: u64,
    /// Gauge: members of channels, lagging ones among them.
    pub sessions: u64,
    /// Gauge: lagging sessions.
    pub lagging: u64,
    /// Gauge: channels with members or history.
    pub channels: u64,
    /// Gauge: bytes of the history budget in use.
    pub history_bytes: u64,
    /// Gauge: links to other nodes.
    pub links: u64,
    /// Gauge: 1 if one of them is to an upstream.
    pub upstreams: u64,
    /// Gauge: links between here and the root; in a ring that is not cut yet, around it.
    pub hops: u64,
    /// Joins.
    pub joins: u64,
    /// Messages accepted from clients.
    pub messages: u64,
    /// Bytes of their payloads.
    pub message_bytes: u64,
    /// Sessions that became lagging.
    pub lagged: u64,
    /// Connections closed for a violation.
    pub violations: u64,
    /// Links that stood, those that stand among them.
    pub links_opened: u64,
    /// Joins of channels on an upstream link that have led to a synchronised channel (S3.1).
    pub link_resyncs: u64,
    /// Joins of channels on an upstream link that were refused (C1.8).
    pub link_refusals: u64,
    /// News that came from an upstream before the channel was synchronised: what this node had missed.
    pub link_recovered: u64,
    /// Messages that came over links on channels joined there.
    pub link_messages: u64,
    /// Of those, the ones that were news.
    pub link_accepted: u64,
    /// Of those, the ones that the node had already.
    pub link_duplicates: u64,
    /// Messages on channels not joined on the link they came on.
    pub link_ignored: u64,
    /// Messages skipped because their time stamp is too far ahead.
    pub link_ahead: u64,
    /// Messages sent over links.
    pub link_sent: u64,
    /// Messages not sent because they are above the bound of the other node.
    pub link_too_big: u64,
    /// Messages that a link was to get and that there was no room to keep for it.
    pub link_dropped: u64,
    /// Gauge: connections to servers that the node is bridged to.
    pub bridge_connections: u64,
    /// Messages that came over bridges.
    pub bridge_messages: u64,
    /// Of those, the ones that the node had already.
    pub bridge_known: u64,
    /// Of those, the ones that had come too often.
    pub bridge_repeats: u64,
    /// Messages sent over bridges, those that were sent again among them.
    pub bridge_sent: u64,
    /// Messages that a bridge was to get and that there was no room to keep for it.
    pub bridge_dropped: u64,
    /// Events for connections that the node knows no more: normal in a race, and harmless.
    pub stale: u64,
    /// Events with which the runtime broke the contract.
    pub breaches: u64,
}
