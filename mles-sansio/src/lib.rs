//! Mles v2 as a pure, deterministic state machine: events in, actions out.
//!
//! This crate decides everything that the protocol decides — who may join, what a joiner gets, who
//! receives what in which order, what is remembered, who is closed and why — and does nothing: it has no
//! clock, no sockets, no threads, no locks, no logging and no randomness of its own. Whoever holds a
//! [`Node`] supplies them. The rules are those of `spec/client.md` and `spec/peering.md`; their ids (`J1`, `M3`, …) stand in
//! the code where a rule is enforced.
//!
//! # The run loop
//!
//! A runtime turns what happens into [`Event`]s, hands each to [`Node::handle`] with the time, and
//! executes the [`Action`]s it gets, in order, before the next event. That is all:
//!
//! ```
//! use mles_sansio::{
//!     Action, Config, ConnId, Event, Frame, Instant, Node, Now, Role, Seed, Source,
//! };
//!
//! // 256 random bits, once; a fixed seed repeats a run.
//! let mut node = Node::new(Config::default(), &Seed([7; 32]));
//! let now = Now { mono: Instant::from_micros(0), unix: 1_700_000_000_000_000 };
//!
//! let (alice, bob) = (ConnId(1), ConnId(2));
//! let header = |uid: &str| Frame::text(format!(r#"{{"uid":"{uid}","channel":"example"}}"#));
//! let mut delivered = Vec::new();
//! for event in [
//!     Event::Opened { conn: alice, role: Role::Accepted, source: Source(1) },
//!     Event::Frame { conn: alice, frame: header("alice") },
//!     Event::Frame { conn: alice, frame: Frame::text("Hello Bob!") },
//!     Event::Opened { conn: bob, role: Role::Accepted, source: Source(2) },
//!     Event::Frame { conn: bob, frame: header("bob") },
//!     Event::Frame { conn: bob, frame: Frame::text("Hello Alice!") },
//! ] {
//!     for action in node.handle(now, event) {
//!         match action {
//!             // The history goes to the one who joins …
//!             Action::Replay { conn, frames } => {
//!                 delivered.extend(frames.iter().map(|frame| (conn, frame.payload.clone())));
//!             }
//!             // … and a message to the members of a group, but for its sender.
//!             Action::Broadcast { frames, except, .. } => {
//!                 let to = if except == Some(alice) { bob } else { alice };
//!                 delivered.extend(frames.iter().map(|frame| (to, frame.payload.clone())));
//!             }
//!             _ => {} // Join, Resume and notices: a real runtime does what they say.
//!         }
//!     }
//! }
//! let delivered: Vec<(ConnId, &[u8])> = delivered.iter().map(|(c, p)| (*c, &p[..])).collect();
//! assert_eq!(delivered, [
//!     (bob, &br#"{"uid":"alice","channel":"example"}"#[..]),
//!     (bob, b"Hello Bob!"),
//!     (alice, br#"{"uid":"bob","channel":"example"}"#),
//!     (alice, b"Hello Alice!"),
//! ]);
//! ```
//!
//! # What a runtime owes
//!
//! - **Ids.** Each connection gets a [`ConnId`] that is never used again.
//! - **Opened** is reported when the WebSocket stands, with the subprotocol agreed on. TLS, HTTP and RFC
//!   6455 are the runtime's; their faults come in as [`Event::Faulted`].
//! - **One message, then hold.** A new connection is read until its first message, of at most
//!   [`HEADER_MAX`] bytes, is reported; then not at all until [`Action::Resume`]. Every later message is
//!   reported as it comes.
//! - **Groups.** The node programs a table of groups with [`Action::Join`] and [`Action::Leave`], and
//!   then says [`Action::Broadcast`] once for each message, however many members there are. A connection
//!   is in one group at most.
//! - **Order.** What one connection is sent leaves in the order of the actions. In the actions of a join,
//!   replay comes before membership and membership before the announcement: this is why history and
//!   live stream join without gap or repeat (J2).
//! - **Outboxes.** What waits for a connection is bounded by the runtime. Nothing waits for a slow
//!   reader: a full outbox is reported as [`Event::Overrun`], nothing more is queued, and the node
//!   decides (L2).
//! - **Ends.** The other end's close frame is reported *before* a reply is written; the reply is the
//!   node's [`Action::Close`]. After a `Close` the node has forgotten the connection, and events that
//!   were under way are counted as stale and have no effect.
//!
//! - **Peers.** A node that is given peers with [`Event::Peers`] asks for connections with [`Action::Dial`]; each
//!   `Dial` is answered once. What comes over such a connection, and over one that a peer has opened
//!   ([`Role::Peer`]), is reported as for a client, and so is what is handed to its socket. See [`peering`].
//!
//! # Time
//!
//! Every event carries [`Now`]: a monotonic clock, for all deadlines, and the date, for time stamps and
//! the expiry of history only; the date may jump. [`Node::next_timeout`] says when [`Event::Timeout`] is
//! due and what for; a late one does no harm. Traffic costs no timer work: a timer that fires looks at
//! what was heard meanwhile, and is armed again.
//!
//! # Errors
//!
//! There are three kinds, and none is a `Result` of `handle`:
//!
//! - A *client* that breaks a rule gets `Close` with a [`Violation`], from which code and reason follow,
//!   and the runtime a [`Notice`].
//! - A *runtime* that breaks the contract above gets [`Notice::Breach`] and a counted no-op; where debug
//!   assertions are on, a panic.
//! - A broken *invariant* of the node is a bug: a panic that names it.
//!
//! # Bounds
//!
//! What a node holds is bounded by its [`Config`] and by the number of connections that the runtime lets
//! in: the history by counts and bytes (M3), what only unfinished replays hold by the same bytes (L3), and
//! a fixed cost for each connection. An accepted message is held by reference, once. What one event may
//! cost is bounded too: see [`Node::handle`].
//!
//! # Determinism
//!
//! The same configuration, seed and events give the same actions, byte for byte (P8). A run is a list of
//! `(Now, Event)`: it can be recorded, replayed and searched. [`Node`] is `Clone`, and
//! [`Node::digest`] tells whether two nodes will behave alike.
//!
//! The other side of the protocol is in [`client`], as a machine of the same kind.
//!
//! `no_std` with `alloc`.
#![no_std]
extern crate alloc;

mod accept;
mod action;
pub mod auth;
mod bridge;
mod channel;
mod check;
pub mod client;
mod config;
mod describe;
mod event;
mod frame;
pub mod header;
mod history;
mod join;
mod json;
mod node;
mod notice;
pub mod peering;
mod seed;
mod session;
mod time;
mod timer;
mod violation;

pub use action::{Action, Actions, GroupId};
pub use auth::Key;
pub use config::Config;
pub use event::{
    BridgeId, ConnId, DialFault, DialId, Ending, Entry, Event, Fault, Name, Nonces, PeerId, Role,
    Source,
};
pub use frame::{Frame, Frames, Kind};
pub use header::HEADER_MAX;
pub use node::{BATCH, Node};
pub use notice::{BridgeTrouble, LagCause, Notice, Parting, Stats, Trouble};
pub use seed::{NodeId, Seed};
pub use time::{Instant, Now};
pub use timer::Timer;
pub use violation::{Closing, Violation};
