//! The tree of nodes: paths, rings that are cut, trees that merge, links that end (spec: R1, G1).

use alloc::vec::Vec;

use super::handshake::PATH_MAX;
use super::link::{Control, End};
use super::wire::LinkFrame;
use crate::event::ConnId;
use crate::node::Node;
use crate::notice::{Notice, Parting};
use crate::seed::NodeId;
use crate::time::Now;
use crate::timer::Timer;
use crate::violation::Violation;

impl Node {
    /// A link whose lower end is ours becomes the upstream; a former one is turned (G1.3).
    pub(crate) fn adopt(&mut self, now: Now, conn: ConnId) {
        let former = self.peering.upstream.replace(conn);
        if let Some(former) = former {
            self.turn(now, former);
        }
        self.route(now);
        // Not if the route has shown a ring that was ours to cut.
        if self.peering.upstream == Some(conn) {
            self.begin_joins(conn);
        }
    }

    /// Turns a link whose lower end is ours: it is the upper end from now on, and hears nothing until
    /// the other has turned too (G1.4).
    fn turn(&mut self, now: Now, conn: ConnId) {
        self.drop_lanes(now, conn); // G1.8
        let by = now.mono + self.config.peering.turn_timeout;
        self.timers.arm(by, Timer::Turn(conn)); // G1.7
        if let Some(link) = self.peering.links.get_mut(&conn) {
            link.turn_by = Some(by);
            link.end = End::Turning;
            link.entry = None;
            link.path.clear();
            // The frame is made when the new path is known: see `route`.
            link.owe(Control::Turn);
        }
        self.peering.awake.insert(conn);
    }

    /// The other end of a link says `turn` (G1.4, G1.5).
    pub(crate) fn turned(&mut self, now: Now, conn: ConnId, path: Vec<NodeId>) {
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        match link.end {
            End::Lower => self.violated(now, conn, Violation::LinkFrame),
            End::Turning => {
                link.end = End::Upper;
                if let Some(by) = link.turn_by.take() {
                    self.timers.disarm(by, Timer::Turn(conn));
                }
                self.seek_again(now); // G1.6
            }
            // Two peers can have this node turn their links in turns, without reading.
            End::Upper if link.owes_much() => self.violated(now, conn, Violation::LinkFlood),
            End::Upper => {
                link.end = End::Lower;
                link.path = path;
                self.drop_lanes(now, conn); // G1.8
                if let Some(link) = self.peering.links.get_mut(&conn) {
                    link.owe(Control::Echo);
                }
                self.peering.awake.insert(conn);
                self.adopt(now, conn);
            }
        }
    }

    /// The path has changed, or may have: the upstream says so, or there is another one, or none.
    pub(crate) fn route(&mut self, now: Now) {
        let before = self.peering.root(self.uid);
        let mut path = Vec::new();
        if let Some(link) = self.peering.up() {
            path.extend_from_slice(&link.path);
            path.push(link.uid);
        }
        // R1.2: in a ring the path is the rest of the ring.
        if let Some(own) = path.iter().rposition(|node| *node == self.uid) {
            path.drain(..=own);
            if path.iter().all(|node| *node < self.uid) {
                self.cut(now, Violation::PeerLoop); // R1.3
                return self.seek_late(now); // G1.1
            }
        }
        if path.len() > PATH_MAX {
            return self.cut(now, Violation::PathTooLong); // R1.7
        }
        if path == self.peering.path {
            return;
        }
        self.peering.path = path;
        for (conn, link) in &mut self.peering.links {
            if link.end != End::Lower {
                link.owe_path(); // R1.4
                self.peering.awake.insert(*conn);
            }
        }
        let root = self.peering.root(self.uid);
        if root != before {
            self.notice(Notice::Root {
                root,
                hops: self.peering.path.len(),
            });
            self.root_changed(now); // G1.1
        }
    }

    /// Gives the upstream up.
    fn cut(&mut self, now: Now, why: Violation) {
        if let Some(conn) = self.peering.upstream {
            self.violated(now, conn, why);
        }
    }

    /// A link has ended, whoever ended it.
    pub(crate) fn unlink(&mut self, now: Now, conn: ConnId, why: Parting) {
        self.drop_lanes(now, conn);
        self.conns.remove(&conn);
        let Some(link) = self.peering.links.remove(&conn) else {
            return;
        };
        self.timers.disarm(link.wake, Timer::KeepAlive(conn));
        if let Some(by) = link.turn_by {
            self.timers.disarm(by, Timer::Turn(conn));
        }
        self.peering.awake.remove(&conn);
        let upstream = self.peering.upstream == Some(conn);
        self.notice(Notice::Unlinked {
            conn,
            node: link.uid,
            upstream,
            peer: link.peer,
            source: link.source,
            why,
            received: link.received,
            sent: link.sent,
        });
        if link.end == End::Turning {
            self.seek_again(now); // G1.6
        }
        if upstream {
            self.peering.upstream = None;
            self.seek_lost(now, link.entry, link.since); // U1.2
            self.route(now);
            self.synchronised_all(now);
        }
    }

    /// A frame about the path came from the other end (R1.4, G1).
    pub(crate) fn path_said(&mut self, now: Now, conn: ConnId, path: Vec<NodeId>) {
        let Some(link) = self.peering.links.get_mut(&conn) else {
            return;
        };
        if link.end != End::Lower {
            return self.violated(now, conn, Violation::LinkFrame);
        }
        if path.len() > PATH_MAX {
            return self.violated(now, conn, Violation::PathTooLong);
        }
        link.path = path;
        self.route(now);
    }

    /// What our path is, for a frame.
    pub(crate) fn path_frame(&self, turn: bool) -> LinkFrame {
        LinkFrame::Path {
            uid: self.uid,
            path: self.peering.path.clone(),
            turn,
        }
    }
}
