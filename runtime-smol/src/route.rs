//! Which I/O thread an action is for: that of its connection, and a broadcast for every thread that has
//! members of the group.

use std::collections::HashMap;

use mles_sansio::{Action, ConnId, Ending, Event, GroupId};
use runtime_common::groups::thread;

/// Where members are.
pub(crate) struct Routes {
    threads: usize,
    /// Members of each group on each thread.
    groups: HashMap<GroupId, Box<[u32]>>,
    members: HashMap<ConnId, GroupId>,
}

impl Routes {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads,
            groups: HashMap::new(),
            members: HashMap::new(),
        }
    }

    /// An event is about to be handled: a connection that is lost is no member any more, and no action
    /// will say so.
    pub(crate) fn hear(&mut self, event: &Event) {
        if let Event::Closed {
            conn,
            how: Ending::Lost,
        } = event
        {
            self.leave(*conn);
        }
    }

    /// Gives an action to the threads that it is for, in order of their numbers.
    pub(crate) fn send(&mut self, action: Action, mut to: impl FnMut(usize, Action)) {
        let conn = match action {
            Action::Broadcast { group, .. } => {
                let counts = self.groups.get(&group).map_or(&[][..], |counts| counts);
                let mut threads = (0..).zip(counts).filter(|(_, count)| **count > 0);
                let Some((mut thread, _)) = threads.next() else {
                    return;
                };
                // The last gets it as it is: a copy counts one more to each payload.
                for (next, _) in threads {
                    to(std::mem::replace(&mut thread, next), action.clone());
                }
                return to(thread, action);
            }
            Action::Join { conn, group } => {
                self.join(conn, group);
                conn
            }
            Action::Leave { conn, .. } | Action::Close { conn, .. } => {
                self.leave(conn);
                conn
            }
            Action::Send { conn, .. }
            | Action::Replay { conn, .. }
            | Action::Resume { conn, .. }
            | Action::Ping { conn }
            | Action::Discard { conn } => conn,
            Action::StoreHistory { .. }
            | Action::Dial { .. }
            | Action::DialBridge { .. }
            | Action::Notice(_) => return,
        };
        to(thread(conn), action);
    }

    fn join(&mut self, conn: ConnId, group: GroupId) {
        self.leave(conn);
        self.members.insert(conn, group);
        let none = || vec![0; self.threads].into();
        self.groups.entry(group).or_insert_with(none)[thread(conn)] += 1;
    }

    fn leave(&mut self, conn: ConnId) {
        let Some(group) = self.members.remove(&conn) else {
            return;
        };
        if let Some(counts) = self.groups.get_mut(&group) {
            counts[thread(conn)] -= 1;
            if counts.iter().all(|count| *count == 0) {
                self.groups.remove(&group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mles_sansio::{Frame, Frames};
    use runtime_common::groups::conn_id;

    use super::*;

    const GROUP: GroupId = GroupId(7);

    /// The threads that a broadcast on the group goes to.
    fn reached(routes: &mut Routes) -> Vec<usize> {
        let mut reached = Vec::new();
        let broadcast = Action::Broadcast {
            group: GROUP,
            except: None,
            frames: Frames::One(Frame::text("hello")),
        };
        routes.send(broadcast, |thread, _| reached.push(thread));
        reached
    }

    #[test]
    fn a_broadcast_goes_once_to_each_thread_with_members() {
        let mut routes = Routes::new(3);
        assert_eq!(reached(&mut routes), [0; 0]);
        let conns = [(1, 0), (1, 2), (2, 2)].map(|(slot, thread)| conn_id(1, thread, slot));
        for conn in conns {
            let join = Action::Join { conn, group: GROUP };
            routes.send(join, |to, _| assert_eq!(to, thread(conn)));
        }
        assert_eq!(reached(&mut routes), [0, 2]);
        let (conn, group) = (conns[0], GROUP);
        routes.send(Action::Leave { conn, group }, |to, _| assert_eq!(to, 0));
        // Leaving twice, as a lagging session does that is closed, counts once.
        routes.send(Action::Leave { conn, group }, |_, _| {});
        assert_eq!(reached(&mut routes), [2]);
        let (conn, how) = (conns[1], Ending::Lost);
        routes.hear(&Event::Closed { conn, how });
        assert_eq!(reached(&mut routes), [2]);
        let (conn, why) = (conns[2], mles_sansio::Closing::Answer);
        routes.send(Action::Close { conn, why }, |to, _| assert_eq!(to, 2));
        assert_eq!(reached(&mut routes), [0; 0]);
        assert!(routes.groups.is_empty() && routes.members.is_empty());
    }
}
