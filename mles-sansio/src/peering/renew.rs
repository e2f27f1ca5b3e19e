//! A node whose sequence numbers run out takes a new uid (spec: S1.4).

use alloc::vec::Vec;

use crate::event::ConnId;
use crate::node::Node;
use crate::notice::Notice;
use crate::seed::NodeId;
use crate::session::{Conn, Flow};
use crate::time::Now;
use crate::violation::Closing;

impl Node {
    /// The next number on a channel would not be one that others take. Nobody sends so much: a peer has
    /// said that it knows such a number of this node. The node goes on as another, and dials anew, for its
    /// links know it by its former uid.
    ///
    /// With `Shutdown` this is the one thing that looks at every connection and every channel; it costs the
    /// peer its link.
    pub(crate) fn renew(&mut self, now: Now) {
        // What a waiting session has sent is told by the former uid (W1.4): it waits no more.
        let waits = |conn: &Conn| match conn {
            Conn::Joined(session) => matches!(session.flow, Flow::AwaitHistory { .. }),
            Conn::AwaitHeader { .. }
            | Conn::AwaitReply(_)
            | Conn::AwaitIncumbent(_)
            | Conn::Link
            | Conn::Bridge(_) => false,
        };
        let waiting: Vec<ConnId> = self.conns_that(waits);
        for conn in waiting {
            self.start_replay(now, conn);
        }
        let links = self.conns_that(|conn| matches!(conn, Conn::Link | Conn::AwaitReply(_)));
        for conn in links {
            self.close(now, conn, Closing::Restarting);
        }
        self.peering.renewals += 1;
        let former = self.uid;
        self.uid = NodeId::nth(&self.peering.seed, self.peering.renewals);
        self.channels.renew(former, self.config.peering.origins);
        let (root, hops) = (self.uid, 0);
        self.notice(Notice::Root { root, hops });
    }

    fn conns_that(&self, are: impl Fn(&Conn) -> bool) -> Vec<ConnId> {
        let conns = self.conns.iter().filter(|(_, conn)| are(conn));
        conns.map(|(id, _)| *id).collect()
    }
}
