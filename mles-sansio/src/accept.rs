//! What becomes of a message that the node takes, wherever it comes from (spec: M1, S1.2, B1.4).

use crate::action::{Action, GroupId};
use crate::channel::Channel;
use crate::config::Config;
use crate::event::{BridgeId, ConnId, Entry, Name};
use crate::frame::Frame;
use crate::history::Dropped;
use crate::node::{NUMBER_MAX, Node};
use crate::time::Now;

/// Where a message comes from: it does not go back there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender {
    Session(ConnId),
    Link(ConnId),
    Bridge(BridgeId),
}

/// A message that its channel has taken, and where it is to go.
pub(crate) struct Taken {
    frame: Frame,
    members: usize,
    stored: Option<Action>,
    /// For links and bridges, if there are any.
    news: Option<Entry>,
    dropped: Dropped,
    /// Whether those who wait for history wait no more (W1.5).
    much: bool,
}

impl Taken {
    /// Has the channel remember the message.
    pub(crate) fn by(channel: &mut Channel, entry: Entry, config: &Config) -> Self {
        let stored = config.store_history.then(|| Action::StoreHistory {
            channel: channel.name.clone(),
            entry: entry.clone(),
        });
        let leaves = !channel.links.is_empty() || channel.bridges > 0;
        Self {
            frame: entry.frame.clone(),
            members: channel.members.len(),
            stored,
            news: leaves.then(|| entry.clone()),
            dropped: channel.remember(entry, config),
            much: channel.awaits_much(config),
        }
    }
}

impl Node {
    /// Accepts a message that no other node has named: numbers it, remembers it, sends it to the others
    /// (M1.1, M1.4).
    pub(crate) fn accept(
        &mut self,
        now: Now,
        group: GroupId,
        uid: Name,
        frame: Frame,
        sender: Sender,
    ) {
        let mut content = Some((uid, frame));
        loop {
            let (origin, config) = (self.uid, &self.config);
            let taken = self.channels.update(group, |channel| {
                if channel.seq + 1 >= NUMBER_MAX {
                    return None; // S1.4
                }
                let (uid, frame) = content.take()?;
                channel.seq += 1; // M3.11
                channel.last_ts = stamp(now, channel.last_given(now));
                channel.own_ts = channel.last_ts;
                let entry = Entry {
                    origin,
                    seq: channel.seq,
                    ts: channel.last_ts,
                    uid,
                    frame,
                };
                Some(Taken::by(channel, entry, config))
            });
            match taken {
                Some(Some(taken)) => return self.distribute(now, group, taken, sender),
                Some(None) => self.renew(now),
                None => panic!("a sender's channel exists as long as the sender does"),
            }
        }
    }

    /// Sends a message that was taken to everybody but who it came from.
    pub(crate) fn distribute(&mut self, now: Now, group: GroupId, taken: Taken, sender: Sender) {
        let (member, link, bridge) = match sender {
            Sender::Session(conn) => (Some(conn), None, None),
            Sender::Link(conn) => (None, Some(conn), None),
            Sender::Bridge(bridge) => (None, None, Some(bridge)),
        };
        if taken.members > usize::from(member.is_some()) {
            self.emit(Action::Broadcast {
                group,
                except: member, // M1.2
                frames: taken.frame.into(),
            });
        }
        if let Some(stored) = taken.stored {
            self.emit(stored);
        }
        if let Some(news) = taken.news {
            self.forward(group, &news, link, &taken.dropped);
            self.cross(now, group, &news, bridge);
        }
        if taken.much {
            self.await_no_more(now, group); // W1.5
        }
    }
}

/// The next time stamp on a channel: the date, or just after the last one if that is later (M3.1).
fn stamp(now: Now, last: u64) -> u64 {
    // A clock beyond 2^53 is broken: the channel's own time goes on without it.
    let date = if now.unix < NUMBER_MAX { now.unix } else { 0 };
    date.max(last + 1)
}
