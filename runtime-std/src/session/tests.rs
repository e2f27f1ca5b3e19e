//! What a session's thread does next, and how it ends.

use std::io::Write;

use mles_sansio::{Action, Closing};
use runtime_common::outbound::Then;

use super::*;
use crate::testing::{CLOSE, Client, HEADER, TEXT, config, frame, is_end, letters, session};

/// Reads as a session's thread does, until that has to do something else.
fn read(session: &Session, arrived: &mut Arrived, inbox: &Inbox) -> Next {
    loop {
        match session.read(arrived, inbox) {
            Next::Read if arrived.fill(&session.socket).unwrap() == 0 => return Next::End,
            Next::Read => {}
            next @ (Next::Wait | Next::Waiter | Next::End) => return next,
        }
    }
}

/// A session whose header was accepted.
fn member(inbox: &Inbox) -> (Arc<Session>, Client, Arrived) {
    let (session, mut client) = session(inbox);
    let mut arrived = Arrived::default();
    client.write_all(&frame(TEXT, HEADER)).unwrap();
    assert_eq!(read(&session, &mut arrived, inbox), Next::Wait);
    session.resume(1000, inbox);
    assert_eq!(letters(inbox).batch.events.len(), 2);
    (session, client, arrived)
}

fn text(event: &Event) -> Option<&[u8]> {
    let Event::Frame { frame, .. } = event else {
        return None;
    };
    Some(&frame.payload)
}

#[test]
fn what_was_read_before_a_resume_comes_before_what_is_read_after() {
    let inbox = Inbox::new(1000);
    let (session, mut client) = session(&inbox);
    let mut arrived = Arrived::default();
    let first = [frame(TEXT, HEADER), frame(TEXT, b"1")].concat();
    client.write_all(&first).unwrap();
    assert_eq!(read(&session, &mut arrived, &inbox), Next::Wait);
    assert_eq!(letters(&inbox).batch.held, [session.conn]);
    // It has to wait, and more comes.
    session.wait(&inbox);
    let more = [frame(TEXT, b"2"), frame(TEXT, b"3")].concat();
    client.write_all(&more[..9]).unwrap();
    assert_eq!(session.read(&mut arrived, &inbox), Next::Read);
    arrived.fill(&session.socket).unwrap();
    assert_eq!(session.read(&mut arrived, &inbox), Next::Read);
    session.resume(1000, &inbox);
    client.write_all(&more[9..]).unwrap();
    client.write_all(&frame(CLOSE, b"")).unwrap();
    assert_eq!(read(&session, &mut arrived, &inbox), Next::Wait);
    let events = letters(&inbox).batch.events;
    let texts: Vec<_> = events.iter().filter_map(text).collect();
    assert_eq!(texts, [b"1", b"2", b"3"]);
    let how = Ending::CloseFrame(1005);
    let conn = session.conn;
    assert_eq!(events.last(), Some(&Event::Closed { conn, how }));
}

#[test]
fn a_close_frame_goes_out_before_the_end_is_looked_at() {
    let inbox = Arc::new(Inbox::new(1000));
    let (session, mut client, mut arrived) = member(&inbox);
    client.write_all(&frame(CLOSE, b"")).unwrap();
    client.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read(&session, &mut arrived, &inbox), Next::Wait);
    let mut outbound = Outbound::new(&config());
    outbound.open(session.conn);
    let (conn, why) = (session.conn, Closing::Answer);
    let then = outbound.execute(Action::Close { conn, why });
    assert_eq!(then, Then::Closing(conn));
    session.closing(&inbox);
    // If it read now, it would find the end of the stream, and nothing would be written any more.
    assert_eq!(read(&session, &mut arrived, &inbox), Next::Wait);
    session.write(&mut outbound, &inbox, |event| panic!("{event:?}"));
    assert_eq!(read(&session, &mut arrived, &inbox), Next::End);
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(
        (answer[0], &answer[2..]),
        (CLOSE, &1000u16.to_be_bytes()[..])
    );
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "with TLS's goodbye");
}

#[test]
fn nobody_keeps_a_socket_open_whose_session_is_over() {
    let inbox = Arc::new(Inbox::new(1000));
    let (session, client, _) = member(&inbox);
    client.sock.shutdown(Shutdown::Write).unwrap();
    session.clone().start(&inbox, ());
    while letters(&inbox).gone.is_empty() {}
    // As somebody would who waits until the socket takes more.
    assert_eq!((&client.sock).read(&mut [0]).unwrap(), 0);
    drop(session);
}

#[test]
fn a_panic_of_its_thread_is_told() {
    let inbox = Arc::new(Inbox::new(1000));
    let (session, client, _) = member(&inbox);
    let (conn, how) = (session.conn, Ending::Lost);
    let leaving = Leaving(session, inbox.clone());
    let body = move || {
        let _state = leaving.0.lock();
        panic!("as it might within TLS");
    };
    let thread = std::thread::spawn(body);
    assert!(thread.join().is_err());
    let letters = letters(&inbox);
    assert_eq!(letters.batch.events, [Event::Closed { conn, how }]);
    assert_eq!(letters.gone, [conn]);
    assert_eq!((&client.sock).read(&mut [0]).unwrap(), 0);
}

#[test]
fn nothing_is_written_to_what_is_broken() {
    let inbox = Arc::new(Inbox::new(1000));
    let (session, mut client, mut arrived) = member(&inbox);
    let mut outbound = Outbound::new(&config());
    let conn = session.conn;
    outbound.open(conn);
    session.break_off();
    assert_eq!(outbound.execute(Action::Ping { conn }), Then::Nothing);
    session.write(&mut outbound, &inbox, |event| panic!("{event:?}"));
    assert_eq!(session.read(&mut arrived, &inbox), Next::End);
    assert_eq!(session.read(&mut arrived, &inbox), Next::End);
    let how = Ending::Lost;
    let once = [Event::Closed { conn, how }];
    assert_eq!(letters(&inbox).batch.events, once);
    assert!(is_end(&client.read(&mut [0])));
}

#[test]
fn what_is_wrong_with_tls_is_told() {
    let inbox = Inbox::new(1000);
    let (session, mut client, mut arrived) = member(&inbox);
    let garbage = [&[23, 3, 3, 0, 32][..], &[0; 32]].concat();
    client.sock.write_all(&garbage).unwrap();
    assert_eq!(read(&session, &mut arrived, &inbox), Next::End);
    let told = client.read(&mut [0]).unwrap_err().to_string();
    assert!(told.contains("BadRecordMac"), "{told}");
}
