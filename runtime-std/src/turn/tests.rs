//! The end of the turns.

use std::io::{Read, Write};
use std::num::NonZeroU32;
use std::thread::JoinHandle;

use mles_sansio::Seed;
use runtime_common::http::{Gate, Health};
use runtime_common::limits::Limits;

use super::*;
use crate::testing::{CLOSE, Client, config, frame, session};

fn turns() -> Turns {
    let config = config();
    let limits = Limits {
        filelimit: 1,
        max_sessions: 1,
        per_ip_limit: NonZeroU32::new(1),
        rate_limit: None,
    };
    let door = Arc::new(Door::new(limits, 1, Health::default()));
    let node = Node::new(config.node().unwrap(), &Seed([0; 32]));
    let inbox = Arc::new(Inbox::new(1000));
    let meter = Arc::new(Meter::new(&door, &config));
    let others = Arc::new(Others::new(&config.peering).unwrap());
    Turns::new(node, inbox, Outbound::new(&config), door, meter, others)
}

/// The code that a client is told.
fn closed(mut client: Client) -> JoinHandle<u16> {
    std::thread::spawn(move || {
        let mut close = [0; 4];
        client.read_exact(&mut close).unwrap();
        client.write_all(&frame(CLOSE, b"")).unwrap();
        assert_eq!(close[0], CLOSE);
        u16::from_be_bytes([close[2], close[3]])
    })
}

/// X1.8: the node has not heard of it when there is no other.
#[test]
fn a_session_that_begins_while_the_server_stops_is_closed() {
    let mut turns = turns();
    let (session, client) = session(&turns.inbox);
    session.start(&turns.inbox, ());
    turns.door.stopping.store(true, Ordering::Relaxed);
    turns.inbox.report(Event::Shutdown);
    let client = closed(client);
    turns.run(&|_| {});
    assert_eq!(client.join().unwrap(), 1012);
}

/// X1.8: it was let in before, and is a session after that.
#[test]
fn a_connection_that_was_let_in_is_waited_for() {
    struct Gone(Arc<Door>, u64);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.gone(self.1);
        }
    }
    let mut turns = turns();
    let (ticket, _) = turns.door.admit([192, 0, 2, 1].into()).unwrap();
    assert_eq!(turns.door.enter(ticket.id), Gate::Open);
    turns.door.stopping.store(true, Ordering::Relaxed);
    turns.inbox.report(Event::Shutdown);
    let (inbox, gone) = (turns.inbox.clone(), Gone(turns.door.clone(), ticket.id));
    let late = std::thread::spawn(move || {
        while inbox.turn() == 0 {
            std::thread::yield_now();
        }
        let (session, client) = session(&inbox);
        session.start(&inbox, gone);
        closed(client).join().unwrap()
    });
    turns.run(&|_| {});
    assert_eq!(late.join().unwrap(), 1012);
}
