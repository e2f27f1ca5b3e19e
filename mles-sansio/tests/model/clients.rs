//! The simplest runtime: a queue for each connection, a group for each member.

use std::collections::VecDeque;

use mles_sansio::{Action, ConnId, Event, Fault, Frame, GroupId, Notice};

/// Live frames that may wait for a client.
const OUTBOX: usize = 3;

#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// Frames that wait, and how many of them are still of the replay.
    pub(crate) waiting: VecDeque<Frame>,
    pub(crate) replay: usize,
    pub(crate) got: Vec<Frame>,
    pub(crate) group: Option<GroupId>,
    /// Not read: its header was sent, and it was not resumed (H2.3).
    pub(crate) held: bool,
    pub(crate) headed: bool,
    pub(crate) inbox: VecDeque<Input>,
    pub(crate) overrun: bool,
    pub(crate) discarded: bool,
    pub(crate) pings: u32,
    pub(crate) closed: Option<u16>,
    pub(crate) gone: bool,
}

/// What comes from a client behind its header.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Frame(Frame),
    Heard,
    Pong,
    Close,
    Fault(Fault),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Clients {
    /// By connection.
    pub(crate) all: Vec<Client>,
    /// What had arrived behind a header, once it is read.
    pub(crate) resumed: VecDeque<(usize, Input)>,
    /// What there is to report to the node.
    pub(crate) reports: VecDeque<Event>,
}

impl Clients {
    /// One of the connections that are open and as wanted.
    pub(crate) fn pick(&self, who: usize, wanted: impl Fn(&Client) -> bool) -> Option<usize> {
        let open = |c: &Client| !c.gone && c.closed.is_none();
        let all = (0..self.all.len()).filter(|&at| {
            let client = &self.all[at];
            open(client) && wanted(client)
        });
        let all: Vec<_> = all.collect();
        all.get(who.checked_rem(all.len())?).copied()
    }

    pub(crate) fn execute(&mut self, action: Action) {
        match action {
            Action::Send { .. } => panic!("clients are sent nothing but history and broadcasts"),
            Action::Broadcast {
                group,
                except,
                frames,
            } => {
                for (conn, client) in (0..).zip(&mut self.all) {
                    if client.group != Some(group) || except == Some(ConnId(conn)) {
                        continue;
                    }
                    if client.overrun {
                        continue;
                    }
                    if client.waiting.len() - client.replay >= OUTBOX {
                        client.overrun = true; // L3.3
                        let conn = ConnId(conn);
                        self.reports.push_back(Event::Overrun { conn });
                    } else {
                        client.waiting.extend(frames.iter().cloned());
                    }
                }
            }
            Action::Replay { conn, frames } => {
                let client = self.client(conn);
                assert!(client.waiting.is_empty() && client.got.is_empty(), "J2.1");
                client.waiting.extend(frames.iter().cloned());
                client.replay = frames.len();
            }
            Action::Join { conn, group } => {
                let old = self.client(conn).group.replace(group);
                assert_eq!(old, None, "a connection is in one group");
            }
            Action::Leave { conn, group } => {
                let old = self.client(conn).group.take();
                assert_eq!(old, Some(group), "it leaves where it was");
            }
            Action::Resume { conn, .. } => {
                let client = self.client(conn);
                assert!(client.held, "read already");
                client.held = false;
                let who = usize::try_from(conn.0).expect("small");
                let inputs = std::mem::take(&mut client.inbox);
                self.resumed.extend(inputs.into_iter().map(|i| (who, i)));
            }
            Action::Ping { conn } => self.client(conn).pings += 1,
            Action::Discard { conn } => {
                let client = self.client(conn);
                client.waiting.clear(); // L3.4
                (client.replay, client.discarded) = (0, true);
            }
            Action::Close { conn, why } => {
                let client = self.client(conn);
                assert_eq!(client.closed, None, "closed twice");
                assert!(!client.gone, "closed after its end");
                client.closed = Some(why.code());
                client.group = None;
                if why.code() == 1012 {
                    client.got.extend(client.waiting.drain(..)); // X1.5
                }
                assert!(client.waiting.is_empty(), "X1.5: {conn} {}", why.code());
            }
            Action::StoreHistory { .. } | Action::Dial { .. } | Action::DialBridge { .. } => {
                panic!("not asked for")
            }
            Action::Notice(Notice::Breach { rule }) => panic!("{rule}"),
            Action::Notice(_) => {}
        }
    }

    fn client(&mut self, conn: ConnId) -> &mut Client {
        &mut self.all[usize::try_from(conn.0).expect("small")]
    }
}
