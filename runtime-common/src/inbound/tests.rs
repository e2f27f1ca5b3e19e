use mles_sansio::{Fault, Frame};

use super::*;

const CONN: ConnId = ConnId(7);

/// A masked frame with the mask of zeros, encoded without any help from our own code.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

fn message(text: &'static str) -> Event {
    let frame = Frame::text(text);
    Event::Frame { conn: CONN, frame }
}

fn closed(code: u16) -> Event {
    let how = Ending::CloseFrame(code);
    Event::Closed { conn: CONN, how }
}

/// A session, and what it has told.
struct Told {
    inbound: Inbound,
    seen: Seen,
}

impl Told {
    fn new(rest: &[u8]) -> Self {
        Self {
            inbound: Inbound::new(CONN, false, rest.to_vec()),
            seen: Seen::default(),
        }
    }

    fn read(&mut self, mut bytes: Vec<u8>) -> Vec<Event> {
        let mut events = Vec::new();
        let report = |event| events.push(event);
        self.inbound.read(&mut bytes, &mut self.seen, report);
        events
    }

    /// What had been read before.
    fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let report = |event| events.push(event);
        self.inbound.read_rest(&mut self.seen, report);
        events
    }
}

/// H2.2, J1.10: the first message holds the session; what came behind it waits, up to a bound, and is read when the node
/// lets it.
#[test]
fn the_first_message_holds_the_rest() {
    let two = [frame(0x81, b"header"), frame(0x81, b"one")].concat();
    let mut told = Told::new(&two);
    assert_eq!(told.inbound.room(64), 64);
    assert_eq!(told.rest(), [message("header")]);
    assert!(told.seen.first && told.inbound.phase() == Phase::Held);
    assert_eq!((told.inbound.room(64), told.rest()), (0, vec![]));
    assert!(told.inbound.wait() && !told.inbound.wait());
    let room = told.inbound.room(usize::MAX);
    assert_eq!(room, FIRST_MAX - frame(0x81, b"one").len());
    assert_eq!(told.read(frame(0x81, b"two")), []);
    assert_eq!(told.rest(), [], "it waits");
    assert!(told.inbound.resume(100) && !told.inbound.resume(100));
    assert_eq!(told.rest(), [message("one"), message("two")]);
    assert_eq!(told.read(frame(0x81, b"three")), [message("three")]);
    assert_eq!(told.inbound.room(9), 9);
}

/// H2.2: before the first message there is room for so much, in whatever pieces it comes.
#[test]
fn room_for_the_first_message() {
    let mut told = Told::new(&[]);
    assert_eq!(told.inbound.room(usize::MAX), FIRST_MAX);
    // A fragment of 4 000 bytes.
    let mut fragment = vec![0x01, 0x80 | 126, 0x0f, 0xa0, 0, 0, 0, 0];
    fragment.extend([b'a'; 4000]);
    assert_eq!(told.read(fragment), []);
    let held = told.inbound.buffered();
    assert!((4000..FIRST_MAX).contains(&held), "{held}");
    assert_eq!(told.inbound.room(usize::MAX), FIRST_MAX - held);
}

/// K1.3, M2.4: of a read the node hears at least once, of messages each, of pongs once; the latest ping is answered.
#[test]
fn what_the_node_hears() {
    let mut told = Told::new(&[]);
    told.inbound.resume(100);
    assert!(!told.inbound.was_heard(&told.seen), "nothing came");
    assert_eq!(told.read(frame(0x89, b"a")), []);
    assert_eq!(told.read(frame(0x89, b"b")), []);
    assert!(told.inbound.was_heard(&told.seen));
    assert_eq!(told.seen.ping.as_deref(), Some(&b"b"[..]));
    let pongs = [frame(0x8a, b""), frame(0x8a, b"")].concat();
    assert_eq!(told.read(pongs), [Event::Pong { conn: CONN }]);
    assert!(!told.inbound.was_heard(&told.seen), "it has heard the pong");
}

/// X1.3, X1.5, X1.16: after a close frame, or a fault, nothing is understood any more.
#[test]
fn the_end_of_a_session() {
    let ends = [
        (frame(0x88, &1001_u16.to_be_bytes()), closed(1001), true),
        (frame(0x88, b""), closed(1005), true),
        (
            frame(0xc1, b"reserved"),
            Event::Faulted {
                conn: CONN,
                fault: Fault::Protocol,
            },
            false,
        ),
    ];
    for (bytes, event, is_close) in ends {
        let mut told = Told::new(&[]);
        told.inbound.resume(100);
        assert_eq!(told.read(bytes), [event]);
        assert_eq!(told.inbound.room(9), 0, "the node's answer is on its way");
        assert!(!told.inbound.is_over());
        assert!(told.inbound.closing());
        assert!(told.inbound.is_over());
        assert_eq!(told.inbound.may_be_dropped(), is_close);
        assert_eq!(told.read(frame(0x81, b"more")), []);
        assert!(!told.inbound.may_be_dropped(), "there may be still more");
    }
}

/// X1.6, X1.7: while the node closes it, only the other end's close frame counts, and what comes is taken up to a bound.
#[test]
fn a_session_that_is_closed() {
    let mut told = Told::new(&[]);
    told.inbound.resume(100);
    assert!(told.inbound.closing());
    let many = [frame(0x81, b"more"), frame(0x8a, b"")].concat();
    assert_eq!(told.read(many.clone()), []);
    assert_eq!(told.inbound.room(usize::MAX), PATIENCE - many.len());
    assert!(!told.inbound.is_over());
    assert_eq!(told.read(frame(0x88, b"")), []);
    assert!(told.inbound.is_over() && told.inbound.may_be_dropped());
    told.read(vec![0]);
    assert!(!told.inbound.may_be_dropped(), "there may be still more");
    let left = told.inbound.room(usize::MAX);
    told.read(vec![0; left]);
    assert!(told.inbound.may_be_dropped(), "it was enough");
    assert_eq!(told.inbound.room(usize::MAX), 0);
    assert!(!told.inbound.lost(), "the node closes it: it knows");
    assert!(!told.inbound.closing(), "it has ended");
}

/// X1.15: a transport that is gone is told of once.
#[test]
fn a_loss_is_told_once() {
    let mut told = Told::new(&[]);
    assert!(told.inbound.lost());
    assert!(!told.inbound.lost());
    assert_eq!(
        (told.inbound.phase(), told.inbound.room(9)),
        (Phase::Ended, 0)
    );
    let mut told = Told::new(&[]);
    told.inbound.end();
    assert!(!told.inbound.lost());
}

/// M4.6: who gives up its message keeps nothing of it.
#[test]
fn a_message_that_is_given_up() {
    let mut told = Told::new(&[]);
    told.inbound.resume(100);
    assert_eq!(told.read(vec![0x01, 0x80 | 9, 0, 0, 0, 0, b'a']), []);
    assert!(told.inbound.buffered() > 0);
    told.inbound.give_up();
    assert_eq!((told.inbound.buffered(), told.inbound.room(9)), (0, 0));
}
