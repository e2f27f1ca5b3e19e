//! What the node asks of the runtime.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use crate::event::{BridgeId, ConnId, DialId, Entry, Name, PeerId};
use crate::frame::{Frame, Frames};
use crate::notice::Notice;
use crate::violation::Closing;

/// A set of connections that the node has the runtime keep, so that a broadcast is one action.
/// Ids are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// One thing for the runtime to do.
///
/// Actions are executed in order; what one connection is sent leaves in the order of the actions. An
/// action for a connection that is gone meanwhile does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Queue frames for one connection.
    Send {
        /// To whom.
        conn: ConnId,
        /// What; a pair is queued whole or not at all.
        frames: Frames,
    },
    /// Queue frames for every member of a group but one.
    Broadcast {
        /// To whom.
        group: GroupId,
        /// The member that is left out: the sender (M1.2).
        except: Option<ConnId>,
        /// What; a pair is queued whole or not at all.
        frames: Frames,
    },
    /// Stream these frames to a connection as its socket takes them, outside its outbox, ahead of
    /// everything queued later; then report [`Event::Replayed`](crate::Event::Replayed) (J2.1, L3.6).
    Replay {
        /// To whom.
        conn: ConnId,
        /// The history, oldest first.
        frames: Arc<[Frame]>,
    },
    /// Make a connection a member of a group. It is in no other.
    Join {
        /// Who.
        conn: ConnId,
        /// The group; it comes into being with its first member.
        group: GroupId,
    },
    /// End a membership. A group without members is forgotten.
    Leave {
        /// Who.
        conn: ConnId,
        /// The group.
        group: GroupId,
    },
    /// Read from a connection: first asked for after its header was accepted. The bound of the
    /// runtime on messages holds from then on (M4.1).
    Resume {
        /// Which.
        conn: ConnId,
        /// Whether it is a link. Its headers have up to [`LINK_HEADER_MAX`] bytes, however small that bound is (F1.1);
        /// the node itself holds the payloads against it.
        ///
        /// [`LINK_HEADER_MAX`]: crate::peering::wire::LINK_HEADER_MAX
        link: bool,
    },
    /// Send a ping, ahead of what is queued (K1.1, J1.2).
    Ping {
        /// To whom.
        conn: ConnId,
    },
    /// Drop what is queued for a connection, the replay too, except a frame that has begun to
    /// leave; report [`Event::Drained`](crate::Event::Drained) when the socket has taken that and
    /// takes more (L2.5, L3.4).
    Discard {
        /// For whom.
        conn: ConnId,
    },
    /// End the connection and its membership: send what is still queued, then the close frame, wait
    /// a bounded time for the other end's, and drop the transport. The node has forgotten the
    /// connection; nothing needs to be reported of it.
    Close {
        /// Which.
        conn: ConnId,
        /// Code and reason.
        why: Closing,
    },
    /// Make an accepted message durable. Only with [`Config::store_history`](crate::Config).
    StoreHistory {
        /// The channel it belongs to.
        channel: Name,
        /// The message.
        entry: Entry,
    },
    /// Open a connection to a peer: TLS, then a WebSocket with the subprotocol and a fresh nonce, all
    /// within the handshake timeout. Answered once, by [`Event::Opened`](crate::Event::Opened) with
    /// [`Role::Dialed`](crate::Role::Dialed), or by [`Event::DialFailed`](crate::Event::DialFailed).
    Dial {
        /// Whom.
        peer: PeerId,
    },
    /// Open a connection to a server that knows no peering: TLS, then a WebSocket with the subprotocol
    /// and without a nonce. It is to be reported as lost when written bytes are not acknowledged within 10 s,
    /// and when the other end is silent and its host does not answer TCP's keep-alive. Answered once, by
    /// [`Event::Opened`](crate::Event::Opened) with [`Role::Bridged`](crate::Role::Bridged), or by
    /// [`Event::BridgeFailed`](crate::Event::BridgeFailed).
    DialBridge {
        /// Which server.
        bridge: BridgeId,
        /// The name of this request.
        dial: DialId,
    },
    /// Something to log or to count.
    Notice(Notice),
}

/// The actions of one event, in order. It borrows the node, so that the next event cannot come in
/// before these are taken.
#[derive(Debug)]
#[must_use = "actions that are not executed are lost to the clients"]
pub struct Actions<'a>(pub(crate) &'a mut VecDeque<Action>);

impl Iterator for Actions<'_> {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        self.0.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Actions<'_> {}
