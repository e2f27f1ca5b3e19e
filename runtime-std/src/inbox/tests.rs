//! What the node's thread gets, and how it holds back those that read.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use mles_sansio::Frame;

use super::*;
use crate::testing::{DEADLINE, letters, session};

/// A message, which was as many bytes when it came in.
fn message(conn: ConnId, text: &str, bytes: usize) -> News {
    let frame = Frame::text(text.to_owned());
    News {
        events: vec![Event::Frame { conn, frame }],
        bytes,
        ..News::default()
    }
}

#[test]
fn what_is_told_of_a_session_stays_in_order() {
    let inbox = Inbox::new(100);
    let (session, _client) = session(&inbox);
    let conn = session.conn;
    let mut both = message(conn, "1", 1);
    both.events.append(&mut message(conn, "2", 1).events);
    inbox.put(conn, both);
    inbox.put(conn, message(conn, "3", 1));
    inbox.put_writable(conn);
    inbox.report(Event::Overrun { conn });
    inbox.put_gone(conn);
    let mut letters = letters(&inbox);
    assert_eq!(letters.arrivals.len(), 1);
    assert_eq!(letters.arrivals[0].conn, conn);
    let mut events = letters.batch.events.drain(..);
    assert!(matches!(events.next(), Some(Event::Opened { .. })));
    for text in ["1", "2", "3"] {
        assert_eq!(events.next(), message(conn, text, 0).events.pop());
    }
    assert_eq!(events.next(), Some(Event::Overrun { conn }));
    assert_eq!(events.next(), None);
    drop(events);
    assert_eq!((letters.writable, letters.gone), (vec![conn], vec![conn]));
}

#[test]
fn a_slot_is_used_again_when_the_node_has_forgotten_who_had_it() {
    let inbox = Inbox::new(100);
    let conns: Vec<_> = (0..2).map(|_| session(&inbox).0.conn).collect();
    assert_eq!([slot(conns[0]), slot(conns[1])], [0, 1]);
    inbox.put_gone(conns[0]);
    assert_eq!(slot(session(&inbox).0.conn), 2);
    inbox.free(conns[0]);
    let again = session(&inbox).0.conn;
    assert_eq!(slot(again), 0);
    assert_ne!(again, conns[0], "a name is never used again");
}

#[test]
fn the_slowest_message_gives_way() {
    let inbox = Inbox::new(100);
    let [(one, _), (other, _)] = [session(&inbox), session(&inbox)];
    let drip = |session: &Session, buffered| {
        let news = News {
            buffered,
            ..News::default()
        };
        inbox.put(session.conn, news);
    };
    drip(&one, 1);
    drip(&other, 90);
    let conn = one.conn;
    assert_eq!(letters(&inbox).given_up, []);
    drip(&one, 11);
    let letters = letters(&inbox);
    assert_eq!(letters.given_up, [conn]);
    let fault = Fault::NoRoom;
    assert_eq!(letters.batch.events, [Event::Faulted { conn, fault }]);
    // Another one has its room now.
    drip(&one, 10);
    assert!(inbox.lock().letters.is_empty());
}

/// Has threads wait for room, each of which then reads a little. Gives what tells when one has.
fn readers(inbox: &Arc<Inbox>, shares: Vec<Share>) -> Receiver<()> {
    let (done, all) = channel();
    for mut share in shares {
        let (inbox, done) = (inbox.clone(), done.clone());
        thread::spawn(move || {
            inbox.wait_for_room(&mut share);
            inbox.put(ConnId(0), message(ConnId(0), "a little", 8));
            let _ = done.send(());
        });
    }
    all
}

#[test]
fn whoever_reads_waits_while_there_is_too_much() {
    let inbox = Arc::new(Inbox::new(100));
    inbox.put(ConnId(1), message(ConnId(1), "much", READ_MAX));
    let all = readers(&inbox, (0..8).map(|_| Share::default()).collect());
    // None comes through before the node has looked, however late they begin.
    assert_eq!(letters(&inbox).batch.events.len(), 1);
    // Each lets the next one through.
    for _ in 0..8 {
        assert_eq!(all.recv_timeout(DEADLINE), Ok(()));
    }
}

#[test]
fn all_of_those_that_wait_come_through() {
    const READERS: usize = 8;
    const READS: usize = 100;
    let inbox = Arc::new(Inbox::new(100));
    for _ in 0..READERS {
        let inbox = inbox.clone();
        thread::spawn(move || {
            for _ in 0..READS {
                inbox.wait_for_room(&mut Share::default());
                inbox.put(ConnId(0), message(ConnId(0), "much", READ_MAX / 4));
            }
        });
    }
    let mut count = 0;
    while count < READERS * READS {
        let mut letters = Letters::default();
        inbox.take(&mut letters, Some(Instant::now() + DEADLINE));
        assert!(!letters.is_empty(), "{count}");
        count += letters.batch.events.len();
    }
}

#[test]
fn bytes_that_are_thrown_away_block_nobody() {
    let inbox = Arc::new(Inbox::new(100));
    let bytes = News {
        bytes: READ_MAX + 1,
        ..News::default()
    };
    inbox.put(ConnId(1), bytes);
    let all = readers(&inbox, vec![Share::default()]);
    // There is nothing for the node but that there is no room, and so no end of waiting if it does not look.
    let node = inbox.clone();
    thread::spawn(move || node.take(&mut Letters::default(), None));
    assert_eq!(all.recv_timeout(DEADLINE), Ok(()));
}

#[test]
fn each_has_a_share() {
    let inbox = Arc::new(Inbox::new(100));
    let mut share = Share::default();
    inbox.wait_for_room(&mut share);
    share.cost += inbox.put(ConnId(1), message(ConnId(1), "all of it", SHARE));
    let greedy = readers(&inbox, vec![share]);
    let modest = readers(&inbox, vec![Share::default()]);
    assert_eq!(modest.recv_timeout(DEADLINE), Ok(()));
    let none = greedy.recv_timeout(std::time::Duration::ZERO);
    assert_eq!(none, Err(RecvTimeoutError::Timeout));
    assert_eq!(letters(&inbox).batch.events.len(), 2);
    assert_eq!(greedy.recv_timeout(DEADLINE), Ok(()));
}
