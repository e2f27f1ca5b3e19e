//! The run loop of a client: news of connections, time and the user's wishes in, what the machine says out.

use std::sync::Arc;
use std::time::Instant;

use mles_sansio::ConnId;
use mles_sansio::client::ClientEvent;
use runtime_common::client::{Action, Event, Machine};
use runtime_common::dial::DialError;

use super::connection::Connection;
use super::dial::Dialer;
use super::mailbox::{Arrival, Mailbox, News, Turn};
use super::outbox::Item;

/// Owns the machine, on a thread of its own that waits for nothing but the mailbox.
pub(crate) struct Driver {
    machine: Machine,
    dialer: Dialer,
    mailbox: Arc<Mailbox>,
    link: Option<Link>,
    turn: Turn,
    /// What the machine has said to write, until it has said all.
    items: Vec<Item>,
    /// What the user is told at the end of a turn.
    events: Vec<Event>,
}

/// The connection, or the dial.
struct Link {
    conn: ConnId,
    connection: Arc<Connection>,
    /// How much it was given to write.
    given: u64,
}

/// Also a driver that panics leaves nobody waiting.
struct Over(Arc<Mailbox>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Driver {
    pub(crate) fn new(machine: Machine, dialer: Dialer, mailbox: Arc<Mailbox>) -> Self {
        Self {
            machine,
            dialer,
            mailbox,
            link: None,
            turn: Turn::default(),
            items: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn run(mut self) {
        let _over = Over(Arc::clone(&self.mailbox));
        loop {
            self.wishes();
            if !self.events.is_empty() {
                self.mailbox.tell(&mut self.events);
            }
            if self.machine.has_ended() {
                break;
            }
            let until = self.machine.next_timeout();
            let takes = self.machine.takes_messages();
            if !self.mailbox.turn(&mut self.turn, takes, until) {
                break;
            }
            // In turn, so that neither who sends without end nor who receives without end keeps out the other.
            if until.is_some_and(|until| until <= Instant::now()) {
                self.handle(ClientEvent::Timeout);
            }
            self.news();
            self.arrivals();
        }
        self.let_go();
    }

    /// What the user wants, as far as there is room for it.
    fn wishes(&mut self) {
        while self.machine.takes_messages()
            && let Some(frame) = self.turn.messages.pop_front()
        {
            self.handle(ClientEvent::Send { frame });
        }
        if self.turn.finish && self.machine.takes_messages() {
            self.turn.finish = false;
            self.handle(ClientEvent::Finish);
        }
    }

    fn news(&mut self) {
        while let Some(news) = self.turn.news.pop_front() {
            match news {
                News::Opened(conn) => self.handle(ClientEvent::Opened { conn }),
                News::Failed(conn, error) => self.failed(conn, error),
                News::Written(conn, count) => {
                    // Not if it was given more meanwhile.
                    let all = |link: &Link| link.conn == conn && link.given == count;
                    if self.link.as_ref().is_some_and(all) {
                        self.handle(ClientEvent::Written { conn });
                    }
                }
            }
        }
    }

    fn arrivals(&mut self) {
        while let Some((conn, arrival)) = self.turn.arrivals.pop_front() {
            match arrival {
                Arrival::Frame(frame) => self.handle(ClientEvent::Frame { conn, frame }),
                Arrival::End(how) => {
                    if self.link.as_ref().is_some_and(|link| link.conn == conn) {
                        // Its threads end it: an answer may have to leave.
                        self.link = None;
                        self.mailbox.read_from(None);
                    }
                    self.handle(ClientEvent::Closed { conn, how });
                }
            }
        }
    }

    fn failed(&mut self, conn: ConnId, error: DialError) {
        if self.link.as_ref().is_some_and(|link| link.conn == conn) {
            self.link = None;
            self.machine.failed(conn, error);
            self.execute();
        }
    }

    fn handle(&mut self, event: ClientEvent) {
        self.machine.handle(event);
        self.execute();
    }

    /// Does everything that the machine says.
    fn execute(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Dial(conn) => self.dial(conn),
                Action::Send(conn, frame) => self.write(conn, Item::Frame(frame)),
                Action::Close(conn) => self.write(conn, Item::Close),
                Action::Drop(_) => self.let_go(),
                Action::Tell(event) => self.events.push(event),
            }
        }
        if !self.items.is_empty()
            && let Some(link) = &self.link
        {
            link.connection.write(&mut self.items);
        }
    }

    fn dial(&mut self, conn: ConnId) {
        self.let_go();
        // The machine knows until when: it is what it has just set its time-out to.
        let deadline = self.machine.next_timeout().unwrap_or_else(Instant::now);
        self.mailbox.read_from(Some(conn));
        match Connection::dial(conn, &self.dialer, &self.mailbox, deadline) {
            Ok(connection) => {
                self.link = Some(Link {
                    conn,
                    connection,
                    given: 0,
                });
            }
            Err(text) => self.machine.failed(conn, DialError::passing(text)),
        }
    }

    fn write(&mut self, conn: ConnId, item: Item) {
        if let Some(link) = &mut self.link
            && link.conn == conn
        {
            link.given += 1;
            self.items.push(item);
        }
    }

    fn let_go(&mut self) {
        if let Some(link) = self.link.take() {
            self.items.clear();
            link.connection.let_go();
            self.mailbox.read_from(None);
        }
    }
}
