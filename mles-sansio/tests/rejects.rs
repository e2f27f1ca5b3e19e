//! What a server must not do to its members, or let them do. The whole list of actions is compared, so
//! that anything else that was sent, to anybody, fails the test. First frames that it refuses are in
//! `rejects_first.rs`.

mod common;

use common::{
    World, binary, close_frame, fault, header, heard, lost, one, pong, refusal, text, with_alice,
};
use mles_sansio::{
    Action, Closing, Config, ConnId, Event, Fault, Frame, GroupId, Key, LagCause, Notice, Violation,
};

/// The end of a member: what waits for it is dropped first (X1.5), then it has left.
fn end(conn: u64, uid: &str, why: Closing) -> Vec<Action> {
    let conn = ConnId(conn);
    vec![
        Action::Discard { conn },
        Action::Close { conn, why },
        left(conn.0, uid),
    ]
}

fn left(conn: u64, uid: &str) -> Action {
    Action::Notice(Notice::Left {
        conn: ConnId(conn),
        uid: uid.into(),
        channel: "room".into(),
    })
}

#[test]
fn rejects_a_second_newcomer() {
    // J1.7: at once, and the incumbent is not pinged again.
    let mut world = with_alice(Config::default());
    let ping = Action::Ping { conn: ConnId(1) };
    assert_eq!(world.join(2, "alice", "room"), [ping]); // J1.2: nothing else, no replay.
    let before = world.digest();
    assert_eq!(world.open(3), []);
    let second = world.event(header(3, "alice", "room"));
    assert_eq!(second, refusal(3, Violation::Duplicate));
    assert_eq!(Violation::Duplicate.code(), 4002);
    assert_eq!(world.digest(), before);
    // J1.3: a pong, and the first newcomer goes as well, and alone.
    let first = world.event(pong(1));
    assert_eq!(first, refusal(2, Violation::Duplicate));
    assert_eq!(world.waits().map(|(left, _)| left.as_secs()), Some(24));
}

#[test]
fn rejects_faults_of_members() {
    // M4.2, M4.4, M4.5, M4.6: the sender alone is closed, nobody is told (L1.2).
    for (what, violation, code) in [
        (Fault::TooBig, Violation::MessageTooBig, 1009),
        (Fault::Protocol, Violation::Protocol, 1002),
        (Fault::NotUtf8, Violation::NotUtf8, 1007),
        (Fault::NoRoom, Violation::NoRoom, 4004),
    ] {
        let mut world = with_alice(Config::default());
        world.enter(2, "bob", "room");
        let kept = world.kept("room");
        let conn = ConnId(2);
        let mut expected = vec![Action::Notice(Notice::Violated { conn, violation })];
        expected.extend(end(2, "bob", Closing::Violation(violation)));
        assert_eq!(world.event(fault(2, what)), expected);
        assert_eq!(violation.code(), code);
        assert_eq!(world.kept("room"), kept);
        // X1.6
        assert_eq!(world.event(text(2, "more")), []);
        assert_eq!(world.kept("room"), kept);
        // And alice has nobody left to talk to.
        assert_eq!(world.event(text(1, "hello")), []);
    }
}

#[test]
fn rejects_no_close_with_another_code() {
    // X1.4: whatever the client's code was, which the core never hears.
    let mut world = with_alice(Config::default());
    world.enter(2, "bob", "room");
    let answer = end(2, "bob", Closing::Answer);
    assert_eq!(world.event(close_frame(2)), answer);
    assert_eq!(Closing::Answer.code(), 1000);
    // L1.1: a session that is only lost is answered nothing.
    world.enter(3, "carol", "room");
    assert_eq!(world.event(lost(3)), [left(3, "carol")]);
    // Before the join: the answer and nothing else.
    assert_eq!(world.open(4), []);
    let (conn, why) = (ConnId(4), Closing::Answer);
    assert_eq!(world.event(close_frame(4)), [Action::Close { conn, why }]);
    // X1.15: and here not even that.
    assert_eq!(world.open(5), []);
    assert_eq!(world.event(lost(5)), []);
}

#[test]
fn rejects_to_send_to_who_lags() {
    // L2.4, L3.4
    let mut world = with_alice(Config::default());
    world.enter(2, "bob", "room");
    let (conn, group) = (ConnId(2), GroupId(0));
    let expected = [
        Action::Leave { conn, group },
        Action::Discard { conn },
        Action::Notice(Notice::Lagging {
            conn,
            cause: LagCause::Outbox,
        }),
    ];
    assert_eq!(world.event(Event::Overrun { conn }), expected);
    assert_eq!(world.event(Event::Overrun { conn }), []);
    assert_eq!(world.event(Event::Replayed { conn }), []);
    // L2.1: he sends, and all hear him.
    let heard = Action::Broadcast {
        group,
        except: Some(conn),
        frames: one("still here"),
    };
    assert_eq!(world.event(text(2, "still here")), [heard]);
    // L2.5
    let mut expected = end(2, "bob", Closing::Violation(Violation::Lagging));
    assert_eq!(world.event(Event::Drained { conn }), expected);
    assert_eq!(Violation::Lagging.code(), 4008);
    // L2.5: one who does not lag is not closed for reading.
    world.enter(3, "carol", "room");
    let conn = ConnId(3);
    assert_eq!(world.event(Event::Drained { conn }), []);
    expected.clear();
    assert_eq!(world.event(Event::Drained { conn: ConnId(1) }), expected);
}

#[test]
fn rejects_to_echo_or_to_cross_channels() {
    // M1.2: alone on a channel, nothing is sent at all; M1.8: not to other channels either.
    let mut world = with_alice(Config::default());
    let _ = world.join(2, "bob", "other");
    assert_eq!(world.event(text(1, "hello?")), []);
    assert_eq!(world.event(binary(1, b"")), []);
    assert_eq!(world.event(heard(1)), []); // M2.1
    world.enter(3, "carol", "room");
    let sent = Action::Broadcast {
        group: GroupId(0),
        except: Some(ConnId(1)),
        frames: one("hello!"),
    };
    assert_eq!(world.event(text(1, "hello!")), [sent]);
}

#[test]
fn rejects_whoever_comes_after_shutdown() {
    // X1.8
    let mut world = with_alice(Config::default());
    let closed = |conn| Action::Close {
        conn: ConnId(conn),
        why: Closing::Restarting,
    };
    let all = [closed(1), left(1, "alice")];
    assert_eq!(world.event(Event::Shutdown), all);
    assert_eq!(Closing::Restarting.code(), 1012);
    assert_eq!(world.open(2), [closed(2)]);
    assert_eq!(world.event(header(2, "bob", "room")), []);
    assert_eq!(world.event(Event::Shutdown), []);
}

#[test]
fn rejects_reasons_that_are_no_help() {
    // X1.1: of at most 123 bytes, and a sentence; X1.2: a constant, so nothing of the client's.
    let all = Violation::ALL.map(Closing::Violation);
    for why in [Closing::Answer, Closing::Restarting].iter().chain(&all) {
        let reason: &'static str = why.reason();
        assert!(reason.len() <= 123, "{reason}");
        assert_eq!(reason.is_empty(), *why == Closing::Answer);
        // X1.3: the codes of the table that a client may see, and no other.
        let codes = [1000, 1002, 1007, 1009, 1012, 4000, 4001, 4002, 4003, 4004];
        let more = [4005, 4008, 4010, 4011, 4012];
        assert!(codes.contains(&why.code()) || more.contains(&why.code()));
    }
}

#[test]
fn rejects_to_show_secrets() {
    // A3.2: what is logged of a key, an auth, a seed or an event's header does not hold them.
    let key = Key::new(b"mles-devel-frank");
    let config = Config {
        key: key.clone(),
        ..Config::default()
    };
    let shown = format!("{key:?} {config:?} {:?}", mles_sansio::Seed([109; 32]));
    assert!(!shown.contains("frank") && !shown.contains("109"));
    let bytes: Vec<_> = b"frank".iter().map(u8::to_string).collect();
    assert!(!shown.contains(&bytes.join(", ")));
    let first = r#"{"uid":"alice","channel":"example","auth":"cddd69d5f9771d66"}"#;
    let header = mles_sansio::header::parse(&Frame::text(first));
    assert!(!format!("{header:?}").contains("cddd69"));
    // A3.1: nor do the actions of the join.
    let mut world = World::new(Config {
        store_history: true,
        ..config
    });
    assert_eq!(world.open(1), []);
    let actions = world.event(text(1, first));
    assert!(
        actions
            .iter()
            .any(|a| matches!(a, Action::StoreHistory { .. }))
    );
    assert!(!format!("{actions:?}").contains("cddd69"));
    // A2.7: and an empty key is none.
    assert_eq!(Key::new(b""), None);
}
