//! What a server must refuse or must not do. The whole list of actions is compared, so that anything
//! else that was sent, to anybody, fails the test; and the digest, where nothing may have changed.

mod common;

use std::time::Duration;

use common::{World, binary, close_frame, fault, frame, header, lost, one, text};
use mles_sansio::{
    Action, Closing, Config, ConnId, Event, Fault, Frame, GroupId, HEADER_MAX, Key, LagCause,
    Notice, Violation,
};

/// A channel with one member, who would notice if anything were announced or sent.
fn with_alice(config: Config) -> World {
    let mut world = World::new(config);
    world.enter_first(1, "alice", "room");
    world
}

impl World {
    /// The first on a channel has no replay to take.
    fn enter_first(&mut self, conn: u64, uid: &str, channel: &str) {
        let _ = self.join(conn, uid, channel);
    }
}

/// The answer to a violation before the join: a notice, a close frame, and nothing to anybody else.
fn refusal(conn: u64, violation: Violation) -> Vec<Action> {
    let conn = ConnId(conn);
    vec![
        Action::Notice(Notice::Violated { conn, violation }),
        Action::Close {
            conn,
            why: Closing::Violation(violation),
        },
    ]
}

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

/// Everything that follows when a first frame is refused.
fn rejects_first(config: Config, first: Frame, violation: Violation, code: u16) {
    let mut world = with_alice(config);
    let before = world.digest();
    assert_eq!(world.open(2), []);
    assert_eq!(world.event(frame(2, first)), refusal(2, violation));
    assert_eq!(violation.code(), code); // X1.3
    // H1.12: nothing is joined, nobody else notices, and the node is as it was.
    assert_eq!(world.digest(), before);
    // X1.6: whatever else comes on that connection has no effect.
    for event in [
        header(2, "bob", "room"),
        text(2, "hello"),
        Event::Pong { conn: ConnId(2) },
        close_frame(2),
        lost(2),
    ] {
        assert_eq!(world.event(event), []);
    }
    assert_eq!(world.digest(), before);
    assert_eq!(world.node.stats().stale, 5);
    assert_eq!(world.node.stats().violations, 1);
}

fn rejects_text(first: &str, violation: Violation, code: u16) {
    let first = Frame::text(first.to_owned());
    rejects_first(Config::default(), first, violation, code);
}

#[test]
fn rejects_binary_header() {
    // H1.1
    let first = Frame::binary(r#"{"uid":"bob","channel":"room"}"#);
    let violation = Violation::HeaderNotText;
    rejects_first(Config::default(), first, violation, 4000);
}

#[test]
fn rejects_header_that_is_not_json() {
    // H1.2
    for first in [
        "",
        "bob",
        "null",
        "[]",
        "{\"uid\":\"bob\",\"channel\":\"room\"",
        "{\"uid\":\"bob\",\"channel\":\"room\",}",
        "{'uid':'bob','channel':'room'}",
        "\u{feff}{\"uid\":\"bob\",\"channel\":\"room\"}",
        "{\"uid\":\"bob\",\"channel\":\"room\"}{}",
        "{\"uid\":\"bob\",\"channel\":\"room\",\"x\":01}",
        "{\"uid\":\"bob\",\"channel\":\"room\",\"x\":NaN}",
        "{\"uid\":\"b\nb\",\"channel\":\"room\"}",
        "\u{b}{\"uid\":\"bob\",\"channel\":\"room\"}",
    ] {
        rejects_text(first, Violation::HeaderNotJson, 4000);
    }
}

#[test]
fn rejects_header_without_names() {
    // H1.3
    for first in ["{}", r#"{"uid":"bob"}"#, r#"{"channel":"room"}"#] {
        rejects_text(first, Violation::HeaderMissingMember, 4000);
    }
    // Member names are compared exactly.
    let other = r#"{"Uid":"bob","channel":"room"}"#;
    rejects_text(other, Violation::HeaderMissingMember, 4000);
}

#[test]
fn rejects_members_of_another_type() {
    // H1.3, H1.5, H4.2
    for value in ["null", "1", "true", "[]", "{}"] {
        for first in [
            format!("{{\"uid\":{value},\"channel\":\"room\"}}"),
            format!("{{\"uid\":\"bob\",\"channel\":{value}}}"),
            format!("{{\"uid\":\"bob\",\"channel\":\"room\",\"auth\":{value}}}"),
        ] {
            rejects_text(&first, Violation::HeaderWrongType, 4000);
        }
    }
    for value in ["null", "1", "\"true\"", "[]", "{}"] {
        let first = format!("{{\"uid\":\"bob\",\"channel\":\"room\",\"peer\":{value}}}");
        rejects_text(&first, Violation::HeaderWrongType, 4000);
    }
}

#[test]
fn rejects_names_that_are_none() {
    // H1.4
    let empty = [
        r#"{"uid":"","channel":"room"}"#,
        r#"{"uid":"b","channel":""}"#,
    ];
    for first in empty {
        rejects_text(first, Violation::HeaderEmptyName, 4000);
    }
    // H1.9
    for bad in [
        "\\u0000",
        "b\\u0000",
        "\\ud800",
        "\\udc00\\ud800",
        "\\ud800x",
    ] {
        let first = format!("{{\"uid\":\"{bad}\",\"channel\":\"room\"}}");
        rejects_text(&first, Violation::HeaderBadName, 4000);
        let first = format!("{{\"uid\":\"bob\",\"channel\":\"{bad}\"}}");
        rejects_text(&first, Violation::HeaderBadName, 4000);
    }
}

#[test]
fn rejects_depth_and_repetition() {
    // H1.7: 17 deep, with objects as with arrays.
    let (open, close) = ("{\"x\":".repeat(16), "}".repeat(16));
    let first = format!("{{\"uid\":\"bob\",\"channel\":\"room\",\"x\":{open}[]{close}}}");
    rejects_text(&first, Violation::HeaderTooDeep, 4000);
    // H1.8
    for first in [
        r#"{"uid":"bob","channel":"room","uid":"bob"}"#,
        r#"{"uid":"bob","channel":"room","x":1,"\u0078":2}"#,
        r#"{"uid":"bob","channel":"room","x":[0,{"":1,"":2}]}"#,
        r#"{"uid":"bob","channel":"room","\ud800":1,"\ud800":2}"#,
        r#"{"uid":"bob","channel":"room","\ud83d\ude00":1,"😀":2}"#,
    ] {
        rejects_text(first, Violation::HeaderRepeatedMember, 4000);
    }
}

#[test]
fn rejects_header_above_4096_bytes() {
    // H2.1, at the byte.
    let header = |length: usize| {
        let bare = r#"{"uid":"bob","channel":"room","x":""}"#.len();
        let x = "x".repeat(length - bare);
        format!("{{\"uid\":\"bob\",\"channel\":\"room\",\"x\":\"{x}\"}}")
    };
    assert_eq!(header(HEADER_MAX).len(), 4096);
    rejects_text(&header(4097), Violation::HeaderTooBig, 4000);
    let mut world = with_alice(Config::default());
    assert_eq!(world.open(2), []);
    let _ = world.event(text(2, &header(4096)));
    assert_eq!(world.node.stats().sessions, 2);
}

#[test]
fn rejects_peers() {
    // H4.3: before auth, whatever auth is.
    for auth in ["", ",\"auth\":\"\"", ",\"auth\":\"0\""] {
        let first = format!("{{\"uid\":\"bob\",\"channel\":\"room\",\"peer\":true{auth}}}");
        rejects_text(&first, Violation::PeerRefused, 4011);
    }
}

#[test]
fn rejects_failed_auth() {
    // A2.4: without a key.
    let first = |uid: &str, auth: &str| {
        Frame::text(format!(
            "{{\"uid\":\"{uid}\",\"channel\":\"room\",\"auth\":\"{auth}\"}}"
        ))
    };
    let open = Config::default;
    let keyed = || Config {
        key: Key::new(b"mles-devel-frank"),
        ..open()
    };
    rejects_first(open(), first("bob", "0"), Violation::AuthMismatch, 4001);
    // A1.4
    for auth in [
        "",
        "+1",
        "-1",
        "0x1",
        " 1",
        "1 ",
        "g",
        "00000000000000000",
        "١",
    ] {
        rejects_first(open(), first("bob", auth), Violation::AuthMalformed, 4001);
    }
    // A2.5: alice is there, but she is not asked.
    rejects_first(open(), first("alice", "1"), Violation::AuthMismatch, 4001);

    // A2.1, A2.2: with a key. Alice is not there, for she has no auth either.
    let rejects = |first: Frame, violation: Violation| {
        let mut world = World::new(keyed());
        assert_eq!(world.open(2), []);
        assert_eq!(world.event(frame(2, first)), refusal(2, violation));
        assert_eq!(world.node.stats().channels, 0);
        assert_eq!(world.node.next_timeout(), None);
    };
    let bare = Frame::text(r#"{"uid":"bob","channel":"room"}"#);
    rejects(bare, Violation::AuthMissing);
    rejects(first("bob", "x"), Violation::AuthMalformed);
    rejects(first("bob", "cddd69d5f9771d66"), Violation::AuthMismatch);
}

#[test]
fn rejects_silence_instead_of_a_header() {
    // H3.1, H3.2
    let mut world = with_alice(Config::default());
    assert_eq!(world.open(2), []);
    assert_eq!(world.wait(Duration::from_millis(9999)), []);
    assert_eq!(world.event(Event::Heard { conn: ConnId(2) }), []);
    assert_eq!(world.event(Event::Pong { conn: ConnId(2) }), []);
    let late = world.wait(Duration::from_millis(1));
    assert_eq!(late, refusal(2, Violation::HeaderTimeout));
    assert_eq!(Violation::HeaderTimeout.code(), 4003);
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
    let first = world.event(Event::Pong { conn: ConnId(1) });
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
    world.enter_first(2, "bob", "other");
    assert_eq!(world.event(text(1, "hello?")), []);
    assert_eq!(world.event(binary(1, b"")), []);
    assert_eq!(world.event(Event::Heard { conn: ConnId(1) }), []); // M2.1
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
        let more = [4005, 4008, 4011];
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
