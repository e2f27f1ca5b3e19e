//! What the runtime tells the node. One door: [`Node::handle`](crate::Node::handle).

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::frame::Frame;
use crate::seed::NodeId;

/// A connection, named by the runtime.
///
/// An id is unique for the life of the node: a slot in the upper half and its generation in the lower
/// is one way. The node never looks inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A uid or the name of a channel: UTF-8, not empty, without NUL (H1, H2).
pub type Name = Arc<str>;

/// Where a connection comes from: an opaque key, equal for what limits should count as one source
/// (an IPv4 address, an IPv6 /64).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub u128);

/// Which end opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The other end dialed.
    Accepted,
    /// The other end dialed, and its request had a nonce: it may be a node (O1.1).
    Peer(Nonces),
    /// This end dialed, because of [`Action::Dial`](crate::Action::Dial).
    Dialed {
        /// Whom.
        peer: PeerId,
        /// The nonces of the two ends.
        nonces: Nonces,
    },
    /// This end dialed, because of [`Action::DialBridge`](crate::Action::DialBridge).
    Bridged {
        /// What was asked for.
        dial: DialId,
    },
}

/// Why a connection to a peer could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialFault {
    /// No connection: an unknown name, a closed port, nothing in time.
    Unreachable,
    /// TLS has failed, or the certificate is not trusted.
    Untrusted,
    /// It speaks, but not Mles: no WebSocket, or not the subprotocol.
    NotMles,
    /// A Mles server that knows no peering: its response has no nonce (O1.1).
    NoPeering,
}

/// An entry of the list of peers, named by the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// A server that knows no peering and that the node is bridged to: its place in
/// [`Config::bridges`](crate::Config::bridges).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId(pub u32);

/// One request for a connection to such a server; named by the node, and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// What the two ends of a connection between nodes drew for it, and said in the header `Mles-Nonce`
/// of request and response: 128 random bits each, as 32 lower-case hexadecimal digits (O1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonces {
    /// Of the end that dialed.
    pub dialer: u128,
    /// Of the end that accepted.
    pub acceptor: u128,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// The other end's close frame has arrived. The runtime reports it *before* it writes a reply:
    /// the node asks for that with [`Action::Close`](crate::Action::Close).
    ///
    /// Its code, or 1005 if it has none, says to a node why a peer has refused it.
    CloseFrame(u16),
    /// The transport is gone: end of stream, reset, TLS error. The runtime has forgotten the
    /// connection already.
    Lost,
}

/// What the WebSocket layer found wrong with a connection; the node decides the close code (X1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A violation of RFC 6455: reserved bits, an unmasked frame, a bad opcode or length, …
    Protocol,
    /// A text message, or the reason of a close frame, that is not UTF-8.
    NotUtf8,
    /// A message above the bound in force: [`HEADER_MAX`](crate::HEADER_MAX) until the node resumes
    /// the connection, the runtime's own bound from then on.
    TooBig,
    /// The runtime has no memory for the message that is coming in: what all unfinished messages may
    /// hold together is exceeded, and this one has been the slowest.
    NoRoom,
}

/// One message of a channel's history, as peering orders, merges and names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The node that accepted it.
    pub origin: NodeId,
    /// Its number among those that `origin` accepted on this channel: from 1, below 2^53.
    pub seq: u64,
    /// When it was accepted: microseconds since 1970, rising within a channel, below 2^53.
    pub ts: u64,
    /// The client that sent it.
    pub uid: Name,
    /// What it sent.
    pub frame: Frame,
}

/// Something that happened to the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A WebSocket with the subprotocol is open.
    ///
    /// The runtime hands up the connection's first message and then reads no further until
    /// [`Action::Resume`](crate::Action::Resume).
    Opened {
        /// Its name from now on, never used before.
        conn: ConnId,
        /// Which end opened it.
        role: Role,
        /// Where it comes from.
        source: Source,
    },
    /// A complete message has arrived.
    Frame {
        /// The connection it came on.
        conn: ConnId,
        /// The message, unmasked and reassembled; text is known to be UTF-8.
        frame: Frame,
    },
    /// Something else has arrived that shows life: a ping, a part of a message (K1.3).
    Heard {
        /// The connection it came on.
        conn: ConnId,
    },
    /// A pong has arrived.
    Pong {
        /// The connection it came on.
        conn: ConnId,
    },
    /// The other end broke WebSocket's rules. Nothing more is read from it.
    Faulted {
        /// The connection at fault.
        conn: ConnId,
        /// What it did.
        fault: Fault,
    },
    /// The connection has ended, or its close frame has arrived.
    Closed {
        /// The connection.
        conn: ConnId,
        /// How.
        how: Ending,
    },
    /// The connection's outbox is full (L3.3). From the report on, the runtime queues nothing more
    /// for it.
    Overrun {
        /// The connection.
        conn: ConnId,
    },
    /// After [`Action::Discard`](crate::Action::Discard): the socket has taken what was left.
    Drained {
        /// The connection.
        conn: ConnId,
    },
    /// The last frame of a replay has been handed to the socket (L3.7).
    Replayed {
        /// The connection.
        conn: ConnId,
    },
    /// [`Node::next_timeout`](crate::Node::next_timeout) is due.
    Timeout,
    /// An entry that an earlier node emitted with `StoreHistory`, given back at start, before
    /// anybody has joined the channel.
    Restored {
        /// The channel it belongs to.
        channel: Name,
        /// The entry.
        entry: Entry,
    },
    /// The peers that this node may dial, in order of preference, instead of those it knew (U1.1).
    Peers {
        /// All of them; an id stands for the same address for ever.
        peers: Vec<PeerId>,
    },
    /// What [`Action::Dial`](crate::Action::Dial) asked for could not be had: no connection, a
    /// certificate that is not trusted, no WebSocket, or no nonce in the response.
    DialFailed {
        /// Whom.
        peer: PeerId,
        /// What was in the way.
        why: DialFault,
    },
    /// What [`Action::DialBridge`](crate::Action::DialBridge) asked for could not be had.
    BridgeFailed {
        /// What was asked for.
        dial: DialId,
        /// What was in the way; never [`DialFault::NoPeering`].
        why: DialFault,
    },
    /// The server is to stop: every session is closed with 1012, and so is who still comes.
    Shutdown,
}
