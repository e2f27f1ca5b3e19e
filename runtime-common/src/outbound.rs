//! What goes out on the sessions of one thread: the node's actions, on their outboxes and into their sockets.
//!
//! Pure but for the [`Outlet`] that the runtime hands over for each write, which must not wait.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mles_sansio::peering::wire::LINK_HEADER_MAX;
use mles_sansio::{Action, ConnId, Event, GroupId};

use crate::config::Config;
use crate::groups::{Excess, Fill, Flushed, Groups, Progress};
use crate::websocket::ControlPayload;

/// What one thread's sessions are owed.
#[derive(Debug)]
pub struct Outbound {
    groups: Groups,
    max_message: usize,
    /// Groups and sessions that have something to deliver this turn.
    grown: Vec<GroupId>,
    touched: Vec<ConnId>,
    /// Closing sessions and when they are dropped at the latest, in order.
    lingering: VecDeque<(Instant, ConnId)>,
}

/// What is left to do for the runtime when an action is executed.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Then {
    /// Nothing.
    Nothing,
    /// To tell the node, in the next turn.
    Report(Event),
    /// To deliver a group at once, with [`Outbound::members`].
    Deliver(GroupId),
    /// To read on, messages of at most so many bytes.
    Resume(ConnId, usize),
    /// To read nothing but the other end's close frame.
    Closing(ConnId),
}

/// Where the bytes of one session go: TLS on a socket that does not wait.
pub trait Outlet {
    /// Takes a part of these bytes, which are not empty.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it takes none for now; anything else ends the connection.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Hands everything that was taken to the socket.
    ///
    /// # Errors
    /// As for [`write`](Outlet::write).
    fn flush(&mut self) -> io::Result<()>;
}

/// How far a session's outbox was emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// To its end.
    Everything,
    /// To its end, and that was the close frame.
    Closed,
    /// The socket takes no more for now.
    Blocked,
    /// The connection is broken.
    Broken,
}

impl Outbound {
    /// For one of the threads of this configuration.
    pub fn new(config: &Config) -> Self {
        let budget = budget(config) as u64;
        Self {
            groups: Groups::new(config.outbox, budget),
            max_message: config.max_message,
            grown: Vec::new(),
            touched: Vec::new(),
            lingering: VecDeque::new(),
        }
    }

    /// A session begins.
    pub fn open(&mut self, conn: ConnId) {
        self.groups.open(conn);
    }

    /// A session is over, and what it was owed is forgotten.
    pub fn remove(&mut self, conn: ConnId) {
        self.groups.remove(conn);
    }

    /// Answers a ping, the node having had what came before it (M2.4).
    pub fn pong(&mut self, conn: ConnId, payload: ControlPayload) {
        self.groups.pong(conn, payload);
        self.touched.push(conn);
    }

    /// Executes one action of the node, but for those that are for no session.
    pub fn execute(&mut self, action: Action) -> Then {
        match action {
            Action::Send { conn, frames } => {
                self.touched.push(conn);
                if self.groups.send(conn, &frames) {
                    return Then::Report(Event::Overrun { conn });
                }
            }
            Action::Broadcast {
                group,
                except,
                frames,
            } => match self.groups.broadcast(group, except, &frames) {
                Fill::First => self.grown.push(group),
                Fill::Room => {}
                Fill::Deliver => return Then::Deliver(group),
            },
            Action::Replay { conn, frames } => {
                self.touched.push(conn);
                if self.groups.replay(conn, frames) == Progress::Replayed {
                    return Then::Report(Event::Replayed { conn });
                }
            }
            Action::Join { conn, group } => self.groups.join(conn, group),
            Action::Leave { conn, .. } => self.groups.leave(conn),
            Action::Resume { conn, link } => {
                let least = if link { LINK_HEADER_MAX } else { 0 };
                return Then::Resume(conn, self.max_message.max(least)); // F1.1
            }
            Action::Ping { conn } => {
                self.groups.ping(conn);
                self.touched.push(conn);
            }
            Action::Discard { conn } => {
                self.groups.discard(conn);
                self.touched.push(conn);
            }
            Action::Close { conn, why } => {
                self.groups.close(conn, why);
                self.touched.push(conn);
                self.lingering.push_back((Instant::now() + LINGER, conn));
                return Then::Closing(conn);
            }
            Action::StoreHistory { .. }
            | Action::Dial { .. }
            | Action::DialBridge { .. }
            | Action::Notice(_) => {}
        }
        Then::Nothing
    }

    /// The sessions that something was queued for alone since the last call. To be written to before the groups.
    #[must_use]
    pub fn touched(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.touched)
    }

    /// The groups that something was broadcast on since the last call.
    #[must_use]
    pub fn grown(&mut self) -> Vec<GroupId> {
        std::mem::take(&mut self.grown)
    }

    /// Whom a group's delivery is for: each is to be written to, then [`delivered`](Outbound::delivered) is to be called.
    #[must_use]
    pub fn members(&self, group: GroupId) -> &[ConnId] {
        self.groups.members(group)
    }

    /// Ends the delivery of a group.
    pub fn delivered(&mut self, group: GroupId) {
        self.groups.delivered(group);
    }

    /// To be called after a delivery: who has to give way because all outboxes hold too much (L3.10).
    #[must_use]
    pub fn relieve(&mut self) -> Vec<Excess> {
        self.groups.relieve()
    }

    /// Writes what a session's outbox holds, as far as its outlet takes it.
    pub fn write(
        &mut self,
        conn: ConnId,
        outlet: &mut impl Outlet,
        mut report: impl FnMut(Event),
    ) -> Written {
        let result = loop {
            let bytes = self.groups.next(conn);
            if bytes.is_empty() {
                break outlet.flush();
            }
            match outlet.write(bytes) {
                Ok(taken) => {
                    if self.groups.advance(conn, taken) == Progress::Replayed {
                        report(Event::Replayed { conn });
                    }
                }
                Err(error) => break Err(error),
            }
        };
        match result {
            Ok(()) => match self.groups.flushed(conn) {
                Flushed::UpToDate => Written::Everything,
                Flushed::Drained => {
                    report(Event::Drained { conn });
                    Written::Everything
                }
                Flushed::Closed => Written::Closed,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked(conn, report);
                Written::Blocked
            }
            Err(_) => Written::Broken,
        }
    }

    /// The socket of a session, which has something to be delivered, takes no more since the last
    /// [`write`](Outbound::write).
    pub fn blocked(&mut self, conn: ConnId, mut report: impl FnMut(Event)) {
        if self.groups.blocked(conn) {
            report(Event::Overrun { conn });
        }
    }

    /// The next session that has been closing for too long and is to be dropped (X1.7); else, when there may be one.
    /// `is_there` says whether a session is.
    pub fn overdue(
        &mut self,
        now: Instant,
        is_there: impl Fn(ConnId) -> bool,
    ) -> Result<ConnId, Option<Instant>> {
        while let Some(&(end, conn)) = self.lingering.front() {
            if !is_there(conn) {
                self.lingering.pop_front();
                continue;
            }
            if end > now {
                return Err(Some(end));
            }
            self.lingering.pop_front();
            return Ok(conn);
        }
        Err(None)
    }
}

/// What the outboxes of one thread's sessions may hold together, and what the messages that are coming in on them
/// may: its share of the budgets over all sessions (M4.6, L3.10).
pub fn budget(config: &Config) -> usize {
    let together = TOGETHER.div_ceil(config.io_threads().into());
    let together = together.max(TOGETHER_LEAST);
    // Where messages are small, the largest that comes may be a link's header (F1.1).
    let least = match config.peering.is_on() {
        true => LINK_HEADER_MAX,
        false => 0,
    };
    config.max_message.max(least).saturating_mul(together)
}

/// Messages of the largest size for which there is room on the way in, and as many on the way out;
/// smaller ones share it (M4.6, L3.10).
const TOGETHER: usize = 4;
/// For how many of them each thread has room at least: fewer would not be what the clauses allow.
const TOGETHER_LEAST: usize = 2;

/// How long the other end has to answer a close frame (X1.7).
const LINGER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use mles_sansio::{Closing, Frame, Frames};

    use super::*;

    const CONN: ConnId = ConnId(1);
    const GROUP: GroupId = GroupId(5);

    fn config(args: &[&str]) -> Config {
        let args = ["mles"].iter().chain(args).map(Into::into);
        Config::load(args, &|_| None, &|_| Vec::new()).unwrap()
    }

    fn outbound(args: &[&str]) -> Outbound {
        let mut outbound = Outbound::new(&config(args));
        outbound.open(CONN);
        let (conn, group) = (CONN, GROUP);
        assert_eq!(
            outbound.execute(Action::Join { conn, group }),
            Then::Nothing
        );
        outbound
    }

    fn broadcast(outbound: &mut Outbound, length: usize) {
        let action = Action::Broadcast {
            group: GROUP,
            except: None,
            frames: Frames::One(Frame::binary(vec![7; length])),
        };
        let then = outbound.execute(action);
        assert!(matches!(then, Then::Nothing | Then::Deliver(GROUP)));
    }

    /// A socket that takes so many bytes, and then no more or breaks.
    struct Sink {
        taken: Vec<u8>,
        room: usize,
        then: io::ErrorKind,
    }

    impl Sink {
        fn of(room: usize, then: io::ErrorKind) -> Self {
            let taken = Vec::new();
            Self { taken, room, then }
        }
    }

    impl Outlet for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room - self.taken.len());
            if count == 0 {
                return Err(self.then.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn write(outbound: &mut Outbound, sink: &mut Sink) -> (Written, Vec<Event>) {
        let mut events = Vec::new();
        let written = outbound.write(CONN, sink, |event| events.push(event));
        (written, events)
    }

    /// L3.3: only who is behind when its socket is full is overrun, and what was begun is finished.
    #[test]
    fn a_full_socket_and_what_waits_behind_it() {
        let full = io::ErrorKind::WouldBlock;
        let mut outbound = outbound(&["--outbox", "64KiB", "--max-message", "64KiB"]);
        broadcast(&mut outbound, 100);
        assert_eq!(outbound.grown(), [GROUP]);
        assert_eq!(outbound.members(GROUP), [CONN]);
        let mut sink = Sink::of(50, full);
        assert_eq!(write(&mut outbound, &mut sink), (Written::Blocked, vec![]));
        outbound.delivered(GROUP);
        for _ in 0..3 {
            broadcast(&mut outbound, 30_000);
        }
        let mut events = Vec::new();
        outbound.blocked(CONN, |event| events.push(event));
        assert_eq!(events, [Event::Overrun { conn: CONN }]);
        let conn = CONN;
        assert_eq!(outbound.execute(Action::Discard { conn }), Then::Nothing);
        assert_eq!(outbound.touched(), [CONN]);
        let mut rest = Sink::of(1 << 20, full);
        let drained = vec![Event::Drained { conn }];
        assert_eq!(
            write(&mut outbound, &mut rest),
            (Written::Everything, drained)
        );
        // A header of two bytes, and 100 bytes.
        assert_eq!(sink.taken.len() + rest.taken.len(), 102);
        let mut broken = Sink::of(0, io::ErrorKind::BrokenPipe);
        assert_eq!(outbound.execute(Action::Ping { conn }), Then::Nothing);
        assert_eq!(write(&mut outbound, &mut broken).0, Written::Broken);
    }

    /// X1.7: who is closed has its time; who is gone by then is not looked for.
    #[test]
    fn closing_takes_its_time_at_most() {
        let mut outbound = outbound(&[]);
        let (conn, why) = (CONN, Closing::Answer);
        let before = Instant::now();
        assert_eq!(
            outbound.execute(Action::Close { conn, why }),
            Then::Closing(CONN)
        );
        let mut sink = Sink::of(1 << 10, io::ErrorKind::WouldBlock);
        assert_eq!(write(&mut outbound, &mut sink), (Written::Closed, vec![]));
        assert_eq!(sink.taken[0], 0x88);
        let there = |conn| conn == CONN;
        let Err(Some(end)) = outbound.overdue(before, there) else {
            panic!("it is not");
        };
        assert!(end >= before + LINGER);
        assert_eq!(outbound.overdue(end, there), Ok(CONN));
        assert_eq!(outbound.overdue(end, there), Err(None));
        let _ = outbound.execute(Action::Close { conn, why });
        assert_eq!(outbound.overdue(before, |_| false), Err(None));
    }

    /// H2.2, F1.1: how large the next messages may be.
    #[test]
    fn what_may_come_after_the_header() {
        let mut outbound = outbound(&["--max-message", "4KiB"]);
        for (link, most) in [(false, 4096), (true, LINK_HEADER_MAX)] {
            let then = outbound.execute(Action::Resume { conn: CONN, link });
            assert_eq!(then, Then::Resume(CONN, most));
        }
    }

    /// M4.6, L3.10: threads share a budget, and each has room for what the clauses allow.
    #[test]
    fn budgets() {
        for (threads, messages) in [("1", 4), ("2", 2), ("3", 2), ("64", 2)] {
            let config = config(&["--max-message", "1MiB", "--threads", threads]);
            assert_eq!(budget(&config), messages << 20);
        }
    }
}
