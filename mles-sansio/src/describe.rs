//! Events and actions as one line of text each: what scenario files, traces and failing tests show.
//!
//! Payloads are in it, cut after 60 bytes: this is for tests and debugging, not for logs.

use core::fmt;

use crate::action::Action;
use crate::event::{BridgeId, ConnId, DialId, Ending, Entry, Event, PeerId, Role};
use crate::frame::{Frame, Frames, Kind};
use crate::notice::Notice;
use crate::timer::Timer;

/// Bytes of a payload that are shown.
const SHOWN: usize = 60;

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for BridgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bridge {}", self.0)
    }
}

impl fmt::Display for DialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dial {}", self.0)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.payload[..self.payload.len().min(SHOWN)];
        match self.kind {
            // JSON would be unreadable with its quotes escaped; nothing else is left bare.
            Kind::Text => {
                f.write_str("text ")?;
                for c in alloc::string::String::from_utf8_lossy(shown).chars() {
                    match c {
                        '"' | '\\' => write!(f, "{c}")?,
                        _ => write!(f, "{}", c.escape_debug())?,
                    }
                }
            }
            Kind::Binary => write!(f, "binary {}", shown.escape_ascii())?,
        }
        match self.payload.len() {
            len if len > SHOWN => write!(f, "… ({len} bytes)"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(frame) => write!(f, "{frame}"),
            Self::Pair(header, payload) => write!(f, "{header} + {payload}"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}@{} {} {}",
            self.origin, self.seq, self.ts, self.uid, self.frame
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { conn, role, .. } => match role {
                Role::Accepted => write!(f, "opened {conn}"),
                Role::Peer(_) => write!(f, "opened {conn} by a peer"),
                Role::Dialed { peer, .. } => write!(f, "opened {conn} to {peer}"),
                Role::Bridged { dial } => write!(f, "opened {conn} for {dial}"),
            },
            Self::Frame { conn, frame } => write!(f, "frame {conn} {frame}"),
            Self::Heard { conn } => write!(f, "heard {conn}"),
            Self::Pong { conn } => write!(f, "pong {conn}"),
            Self::Faulted { conn, fault } => write!(f, "faulted {conn} {fault:?}"),
            Self::Closed {
                conn,
                how: Ending::CloseFrame(_),
            } => write!(f, "close frame {conn}"),
            Self::Closed {
                conn,
                how: Ending::Lost,
            } => write!(f, "lost {conn}"),
            Self::Overrun { conn } => write!(f, "overrun {conn}"),
            Self::Drained { conn } => write!(f, "drained {conn}"),
            Self::Replayed { conn } => write!(f, "replayed {conn}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Restored { channel, entry } => write!(f, "restored {channel} {entry}"),
            Self::Peers { peers } => {
                f.write_str("peers")?;
                peers.iter().try_for_each(|peer| write!(f, " {peer}"))
            }
            Self::DialFailed { peer, why } => write!(f, "dial failed {peer} {why:?}"),
            Self::BridgeFailed { dial, why } => write!(f, "{dial} failed {why:?}"),
            Self::Shutdown => f.write_str("shutdown"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { conn, frames } => write!(f, "send {conn}: {frames}"),
            Self::Broadcast {
                group,
                except,
                frames,
            } => {
                write!(f, "broadcast g{}", group.0)?;
                if let Some(conn) = except {
                    write!(f, " except {conn}")?;
                }
                write!(f, ": {frames}")
            }
            Self::Replay { conn, frames } => {
                write!(f, "replay {conn}, {} frames:", frames.len())?;
                frames
                    .iter()
                    .try_for_each(|frame| write!(f, "\n  | {frame}"))
            }
            Self::Join { conn, group } => write!(f, "join {conn} g{}", group.0),
            Self::Leave { conn, group } => write!(f, "leave {conn} g{}", group.0),
            Self::Resume { conn, .. } => write!(f, "resume {conn}"),
            Self::Ping { conn } => write!(f, "ping {conn}"),
            Self::Discard { conn } => write!(f, "discard {conn}"),
            Self::Close { conn, why } => write!(f, "close {conn}: {} {}", why.code(), why.reason()),
            Self::StoreHistory { channel, entry } => write!(f, "store {channel}: {entry}"),
            Self::Dial { peer } => write!(f, "dial {peer}"),
            Self::DialBridge { bridge, dial } => write!(f, "{dial} to {bridge}"),
            Self::Notice(notice) => write!(f, "notice {notice}"),
        }
    }
}

impl fmt::Display for Notice {
    /// Safe for logs at debug level: no payload, no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { conn, uid, channel } => {
                write!(f, "{conn} joined: {uid:?} on {channel:?}")
            }
            Self::Left { conn, uid, channel } => write!(f, "{conn} left: {uid:?} on {channel:?}"),
            Self::Violated { conn, violation } => write!(f, "{conn} violated {violation:?}"),
            Self::Lagging { conn, cause } => write!(f, "{conn} lags: {cause}"),
            Self::Expired { channel } => write!(f, "history expired: {channel:?}"),
            Self::Linked {
                conn,
                node,
                upstream,
                ..
            } => write!(f, "{conn} links {}: {node}", side(*upstream)),
            Self::Unlinked {
                conn,
                node,
                upstream,
                why,
                ..
            } => write!(f, "{conn} ends the link {}: {node}: {why}", side(*upstream)),
            Self::PeerTrouble { peer, trouble } => write!(f, "peer {peer}: {trouble}"),
            Self::Bridged { bridge } => write!(f, "{bridge} stands"),
            Self::Unbridged { bridge } => write!(f, "{bridge} is down"),
            Self::BridgeTrouble { bridge, trouble } => write!(f, "{bridge}: {trouble}"),
            Self::Root { root, hops: 0 } => write!(f, "root is {root}, this node"),
            Self::Root { root, hops: 1 } => write!(f, "root is {root}, 1 link away"),
            Self::Root { root, hops } => write!(f, "root is {root}, {hops} links away"),
            Self::NotRestored { reason } => write!(f, "entry not restored: {reason}"),
            Self::Breach { rule } => write!(f, "runtime broke the contract: {rule}"),
        }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(conn) => write!(f, "header of {conn}"),
            Self::Probe(conn) => write!(f, "probe for {conn}"),
            Self::KeepAlive(conn) => write!(f, "keep-alive of {conn}"),
            Self::Replay(conn) => write!(f, "replay of {conn}"),
            Self::History(conn) => write!(f, "history for {conn}"),
            Self::Turn(conn) => write!(f, "turn of {conn}"),
            Self::Dial => f.write_str("dial"),
            Self::Review => f.write_str("review"),
            Self::Bridge(bridge, group) => write!(f, "{bridge} on g{}", group.0),
            Self::Expiry => f.write_str("expiry"),
            Self::Relief => f.write_str("relief"),
        }
    }
}

fn side(upstream: bool) -> &'static str {
    if upstream { "up" } else { "down" }
}
