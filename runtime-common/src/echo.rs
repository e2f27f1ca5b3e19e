//! An echo server for tests, in the place of the node (feature `echo`): general WebSocket test suites can then judge all
//! that is around it. It is the node, with each session alone on a channel, joined at once, and with what the node
//! accepts of it sent back the way it would have gone to others. What ends a session, and how, is the node's.

use std::collections::HashMap;
use std::ops::Deref;
use std::time::Duration;

use mles_sansio::{Action, Config, ConnId, Ending, Event, Frame, GroupId, Now, Role, Seed};

/// What is said at start, so that nobody takes it for a server.
pub const WARNING: &str =
    "THIS IS AN ECHO SERVER FOR TESTS: IT IS NO MLES SERVER, AND NOBODY REACHES ANYBODY ON IT";

/// The node, as far as a runtime needs it.
#[derive(Debug)]
pub struct Node {
    node: mles_sansio::Node,
    groups: HashMap<ConnId, GroupId>,
    actions: Vec<Action>,
}

impl Node {
    /// An echo server that has the limits of these settings.
    #[must_use]
    pub fn new(settings: Config, seed: &Seed) -> Self {
        let settings = Config {
            key: None,
            // What is accepted comes out as what is to be stored; nothing is remembered.
            store_history: true,
            history_limit: 0,
            history_expiry: Duration::ZERO,
            ..settings
        };
        Self {
            node: mles_sansio::Node::new(settings, seed),
            groups: HashMap::new(),
            actions: Vec::new(),
        }
    }

    /// Takes one event and says what to do about it.
    pub fn handle(&mut self, now: Now, event: Event) -> impl Iterator<Item = Action> {
        if let Event::Opened {
            conn,
            role: Role::Accepted | Role::Peer(_),
            source,
        } = event
        {
            let role = Role::Accepted;
            self.pass(now, Event::Opened { conn, role, source });
            let header = format!(r#"{{"uid":"echo","channel":"{}"}}"#, conn.0);
            let frame = Frame::text(header);
            self.pass(now, Event::Frame { conn, frame });
        } else if let Event::Frame { conn, frame } = event {
            self.pass(now, Event::Frame { conn, frame });
            self.send_back(conn);
        } else {
            self.pass(now, event);
        }
        self.actions.drain(..)
    }

    fn pass(&mut self, now: Now, event: Event) {
        if let Event::Closed {
            conn,
            how: Ending::Lost,
        } = event
        {
            self.groups.remove(&conn);
        }
        for action in self.node.handle(now, event) {
            if let Action::Join { conn, group } = action {
                self.groups.insert(conn, group);
            } else if let Action::Close { conn, .. } = action {
                self.groups.remove(&conn);
            }
            self.actions.push(action);
        }
    }

    /// Has what was accepted of a session broadcast on its group, the session included.
    fn send_back(&mut self, conn: ConnId) {
        let Some(&group) = self.groups.get(&conn) else {
            return;
        };
        for action in &mut self.actions {
            if let Action::StoreHistory { entry, .. } = action {
                *action = Action::Broadcast {
                    group,
                    except: None,
                    frames: entry.frame.clone().into(),
                };
            }
        }
    }
}

impl Deref for Node {
    type Target = mles_sansio::Node;

    fn deref(&self) -> &mles_sansio::Node {
        &self.node
    }
}
