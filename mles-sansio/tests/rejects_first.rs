//! The first frames that a server must refuse, and silence in place of one. The whole list of actions is
//! compared, so that anything else that was sent, to anybody, fails the test; and the digest, where
//! nothing may have changed.

mod common;

use std::time::Duration;

use common::{World, close_frame, frame, header, heard, lost, pong, refusal, text, with_alice};
use mles_sansio::{Config, Frame, HEADER_MAX, Key, Violation};

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
        pong(2),
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
    assert_eq!(world.event(heard(2)), []);
    assert_eq!(world.event(pong(2)), []);
    let late = world.wait(Duration::from_millis(1));
    assert_eq!(late, refusal(2, Violation::HeaderTimeout));
    assert_eq!(Violation::HeaderTimeout.code(), 4003);
}
