//! Sessions that do what they may.

use black_box::wire::{
    BINARY, BINARY_BEGINS, CLOSE, ENDS, GOES_ON, PING, PONG, TEXT, TEXT_BEGINS, frame as bytes,
};
use black_box::{Pair, header};

use crate::Scene;
use crate::stage::Step::{
    Answer, Connect, End, EndUnanswered, Ended, HalfClose, Hear, Open, OpenNarrow, Plain, Send,
    SendSlowly, Stop, Vanish,
};
use crate::stage::{close, frame, half_a_hello, join, text};

/// M1.1, M1.2, M1.4, M1.5, M1.6, M1.7, M1.8, M2.1, M2.2, M2.3, J2.1, J2.2, J2.3, J2.5, J3.1, J3.3, J3.6, J3.8, H2.3,
/// L1.2, T1.6: messages in every form, and what those who are there and those who come later have of them.
pub(crate) fn a_channel(pair: &Pair) {
    let mut steps = vec![
        Open("alice"),
        text(
            "alice",
            "\t{ \"channel\":\"c\",\"x\":[1,{}],\r\n\"uid\":\"\\u0061lice\" } ",
        ),
        frame("alice", PING, b"joined?"),
        Hear("alice", 1),
        text("alice", "Hello Bob!"),
        frame("alice", PING, b""),
        Hear("alice", 1),
        Open("bob"),
        join("bob", "c"),
        Hear("bob", 2),
        Hear("alice", 1),
        text("bob", "Hello Alice!"),
        Hear("alice", 1),
        frame("bob", BINARY, &[0, 255, 128]),
        text("bob", ""),
        frame("bob", BINARY, b""),
        text("bob", "\u{0}\u{feff}\u{10ffff} ünïcode"),
        Hear("alice", 4),
        // Control frames between fragments, and a character that is cut.
        frame("alice", TEXT_BEGINS, b"one, "),
        frame("alice", PING, b"in between"),
        Hear("alice", 1),
        frame("alice", GOES_ON, b""),
        frame("alice", GOES_ON, b"two, \xe2\x82"),
        frame("alice", PONG, b"nobody asked"),
        frame("alice", ENDS, b"\xac three"),
        Hear("bob", 1),
        frame("alice", BINARY_BEGINS, b""),
        frame("alice", ENDS, b""),
        Hear("bob", 1),
        SendSlowly("alice", bytes(TEXT, b"byte by byte")),
        Hear("bob", 1),
        frame("alice", BINARY_BEGINS, &[1; 70_000]),
        frame("alice", ENDS, &[2; 70_000]),
        Hear("bob", 1),
        frame("alice", PING, &[0xff; 125]),
        Hear("alice", 1),
    ];
    for length in [124, 125, 126, 127, 65_535, 65_536] {
        steps.extend([frame("bob", BINARY, &vec![7; length]), Hear("alice", 1)]);
    }
    let all = [
        bytes(TEXT, header("carol", "c").as_bytes()),
        bytes(TEXT, b"first"),
        bytes(PING, b"between"),
        bytes(BINARY, b"second"),
    ];
    steps.extend([
        // Their own announcement, another's, and what looks like one.
        text("alice", &header("alice", "c")),
        text("alice", &header("bob", "c")),
        text("alice", "{\"uid\":\"alice\", \"channel\":\"c\"}"),
        Hear("bob", 3),
        // A header in the place of a message.
        text("bob", &header("bob", "other")),
        Hear("alice", 1),
        // All at once; the replay is as long as all that was said, and the pong may overtake it.
        Open("carol"),
        Send("carol", all[..2].concat()),
        Send("carol", all[3].clone()),
        Hear("alice", 3),
        Hear("bob", 3),
        Hear("carol", 21),
        Send("carol", all[2].clone()),
        Hear("carol", 1),
        Open("dave"),
        join("dave", "another"),
        text("dave", "to nobody"),
        frame("dave", PING, b"accepted?"),
        Hear("dave", 1),
        // Who leaves is not told of, however that is; the uid is free.
        Vanish("carol"),
        Open("carol"),
        join("carol", "c"),
        Hear("alice", 1),
        Hear("bob", 1),
        Hear("carol", 24),
        text("carol", "again"),
        Hear("alice", 1),
        Hear("bob", 1),
    ]);
    for who in ["alice", "bob", "carol", "dave"] {
        steps.extend([close(who, 1001, "bye"), End(who)]);
    }
    let scene = Scene {
        args: &["--probe-timeout", "1h"],
        variables: &[],
        steps,
        shows: &[
            "one, two",
            "byte by byte",
            "140000 bytes",
            "pong \"in between\"",
        ],
    };
    scene.compare(pair);
}

/// M3.3, M3.4, M3.6, M3.8, J3.7, J2.1, L1.3: what a history keeps, for those who come later.
pub(crate) fn history_for_late_joiners(pair: &Pair) {
    let mut steps = vec![Open("alice"), join("alice", "c")];
    for number in 0..5 {
        steps.push(text("alice", &format!("message {number}")));
    }
    for who in ["bob", "carol", "dave", "erin"] {
        steps.extend([
            Open(who),
            join(who, "c"),
            Hear("alice", 1),
            close(who, 1000, ""),
            End(who),
        ]);
    }
    steps.extend([
        // Larger than the bound: to those who are there alone.
        Open("bob"),
        join("bob", "c"),
        Hear("alice", 1),
        Hear("bob", 6),
        frame("alice", BINARY, &[1; 2000]),
        Hear("bob", 1),
        // Of these two the bound has room for one.
        frame("alice", BINARY, &[2; 700]),
        frame("alice", BINARY, &[3; 700]),
        Hear("bob", 2),
        Open("frank"),
        join("frank", "c"),
        Hear("alice", 1),
        Hear("bob", 1),
        text("alice", "the last"),
        Hear("bob", 1),
        // The newest message, what was told of frank, and what is live.
        Hear("frank", 2),
        Vanish("alice"),
        Vanish("bob"),
        Vanish("frank"),
        // Nobody is there, and the history is.
        Open("grace"),
        join("grace", "c"),
        Hear("grace", 3),
        close("grace", 1000, ""),
        End("grace"),
    ]);
    let scene = Scene {
        args: &["--limit", "3", "--history-channel-bytes", "1500"],
        variables: &[],
        steps,
        shows: &["message 4", "2000 bytes", "the last"],
    };
    scene.compare(pair);
}

/// J1.1, J1.2, J1.3, J1.4, J1.5, X1.1, X1.3: two sessions for one pair: 4002 for the one that comes, 4005 for the one
/// that is silent.
pub(crate) fn one_place_for_a_pair(pair: &Pair) {
    let named = |who| text(who, &header("alice", "c"));
    let steps = vec![
        Open("incumbent"),
        named("incumbent"),
        text("incumbent", "mine"),
        frame("incumbent", PING, b"said?"),
        Hear("incumbent", 1),
        // It answers.
        Open("newcomer"),
        named("newcomer"),
        text("newcomer", "not yours"),
        Hear("incumbent", 1),
        frame("incumbent", PONG, b""),
        End("newcomer"),
        // It says a part of something, and not yet the rest.
        Open("newcomer"),
        named("newcomer"),
        Hear("incumbent", 1),
        frame("incumbent", TEXT_BEGINS, b"a part "),
        End("newcomer"),
        frame("incumbent", ENDS, b"of a message"),
        frame("incumbent", PING, b"said?"),
        Hear("incumbent", 1),
        // Who fails to be one does not count.
        Open("newcomer"),
        text(
            "newcomer",
            "{\"uid\":\"alice\",\"channel\":\"c\",\"auth\":\"0\"}",
        ),
        End("newcomer"),
        frame("incumbent", PING, b"no other"),
        Hear("incumbent", 1),
        // It says nothing.
        Open("newcomer"),
        named("newcomer"),
        Hear("newcomer", 3),
        End("incumbent"),
        text("newcomer", "I am it now"),
        frame("newcomer", PING, b"said?"),
        Hear("newcomer", 1),
        close("newcomer", 1000, ""),
        End("newcomer"),
    ];
    let scene = Scene {
        args: &["--probe-timeout", "700ms"],
        variables: &[],
        steps,
        shows: &[
            "close 4002",
            "close 4005",
            "close 4001",
            "a part of a message",
        ],
    };
    scene.compare(pair);
}

/// J1.6, J1.7, J1.8, J1.10, H2.3: one newcomer waits, the next is sent away; one gives up, one gets the place.
pub(crate) fn a_newcomer_waits(pair: &Pair) {
    let named = |who| text(who, &header("alice", "c"));
    let steps = vec![
        Open("incumbent"),
        named("incumbent"),
        text("incumbent", "mine"),
        Open("newcomer"),
        named("newcomer"),
        Hear("incumbent", 1),
        Open("second"),
        named("second"),
        End("second"),
        Open("third"),
        named("third"),
        EndUnanswered("third"),
        // A message of one who waits is said when it has joined.
        text("newcomer", "early"),
        Open("watcher"),
        join("watcher", "c"),
        Hear("watcher", 2),
        Hear("incumbent", 1),
        close("incumbent", 1000, ""),
        End("incumbent"),
        Hear("watcher", 2),
        Hear("newcomer", 3),
        // The next gives up.
        Open("second"),
        named("second"),
        Hear("newcomer", 1),
        Vanish("second"),
        text("watcher", "still here"),
        Hear("newcomer", 1),
        Vanish("newcomer"),
        Open("third"),
        named("third"),
        Hear("watcher", 1),
        Hear("third", 5),
        close("third", 1000, ""),
        End("third"),
        close("watcher", 1000, ""),
        End("watcher"),
    ];
    let scene = Scene {
        args: &["--probe-timeout", "1h"],
        variables: &[],
        steps,
        shows: &["close 4002", "early", "still here"],
    };
    scene.compare(pair);
}

/// X1.4, X1.6, X1.7, L1.1, X1.15: close frames of all kinds, in one piece and in many, before and after the join; what
/// follows one; and the end of one half.
pub(crate) fn closing(pair: &Pair) {
    let mut steps = vec![
        Open("watcher"),
        join("watcher", "c"),
        frame("watcher", PING, b""),
        Hear("watcher", 1),
    ];
    let reason = "x".repeat(123);
    for payload in [
        vec![],
        black_box::wire::close(1000, "bye"),
        black_box::wire::close(1000, &reason),
        black_box::wire::close(1001, ""),
        black_box::wire::close(1011, ""),
        black_box::wire::close(3000, ""),
        black_box::wire::close(4999, "ünï"),
    ] {
        steps.extend([
            Open("member"),
            join("member", "c"),
            Hear("watcher", 1),
            frame("member", CLOSE, &payload),
            End("member"),
            Open("early"),
            frame("early", CLOSE, &payload),
            End("early"),
        ]);
    }
    let late = [
        bytes(CLOSE, b""),
        bytes(TEXT, b"too late"),
        bytes(PING, b""),
    ]
    .concat();
    steps.extend([
        Open("member"),
        join("member", "c"),
        Hear("watcher", 1),
        SendSlowly(
            "member",
            bytes(CLOSE, &black_box::wire::close(1000, "slowly")),
        ),
        EndUnanswered("member"),
        Open("member"),
        join("member", "c"),
        Hear("watcher", 1),
        Send("member", late),
        EndUnanswered("member"),
        // Within a message: nobody gets a part of it.
        Open("member"),
        join("member", "c"),
        Hear("watcher", 1),
        frame("member", TEXT_BEGINS, b"never "),
        frame("member", CLOSE, b""),
        End("member"),
        Open("member"),
        join("member", "c"),
        Hear("watcher", 1),
        HalfClose("member"),
        EndUnanswered("member"),
        Open("early"),
        HalfClose("early"),
        EndUnanswered("early"),
        text("watcher", "that was all"),
        close("watcher", 1000, ""),
        End("watcher"),
    ]);
    let scene = Scene {
        args: &["--limit", "0", "--probe-timeout", "1h"],
        variables: &[],
        steps,
        shows: &["close 1000"],
    };
    scene.compare(pair);
}

/// K1.1, K1.2, K1.3: three pings, then 4005; a pong begins it anew.
pub(crate) fn silence(pair: &Pair) {
    let steps = vec![
        Open("silent"),
        join("silent", "c"),
        Hear("silent", 2),
        frame("silent", PONG, b""),
        End("silent"),
    ];
    let scene = Scene {
        args: &["--ping-interval", "500ms"],
        variables: &[],
        steps,
        shows: &["ping", "close 4005"],
    };
    scene.compare(pair);
}

/// H3.1, H3.2, X1.13: who says nothing in time, or half of it.
pub(crate) fn times(pair: &Pair) {
    let steps = vec![
        Open("nothing"),
        End("nothing"),
        Open("half"),
        Send(
            "half",
            bytes(TEXT, header("half", "c").as_bytes())[..20].to_vec(),
        ),
        frame("half", PONG, b""),
        End("half"),
        Open("a fragment"),
        frame("a fragment", TEXT_BEGINS, b"{"),
        frame("a fragment", PING, b"that does not help"),
        End("a fragment"),
        Open("unanswered"),
        EndUnanswered("unanswered"),
        Plain(vec![]),
        Plain(half_a_hello()),
    ];
    let scene = Scene {
        args: &["--header-timeout", "500ms", "--handshake-timeout", "500ms"],
        variables: &[],
        steps,
        shows: &["close 4003"],
    };
    scene.compare(pair);
}

/// L2.4, L2.5, L2.7, L3.2, L3.3, L3.4: of three messages that are longer than what the system takes, one is in progress
/// and one waits; the third is too much, and who reads again gets the first and 4008.
pub(crate) fn a_lagging_member(pair: &Pair) {
    let large = |number| frame("alice", BINARY, &vec![number; 12 << 20]);
    let steps = vec![
        Open("alice"),
        join("alice", "c"),
        frame("alice", PING, b""),
        Hear("alice", 1),
        OpenNarrow("slow"),
        join("slow", "c"),
        Hear("alice", 1),
        Hear("slow", 1),
        large(1),
        frame("alice", PING, b"1"),
        Hear("alice", 1),
        large(2),
        frame("alice", PING, b"2"),
        Hear("alice", 1),
        large(3),
        frame("alice", PING, b"3"),
        Hear("alice", 1),
        text("slow", "it talks on"),
        Hear("alice", 1),
        End("slow"),
        Open("slow"),
        join("slow", "c"),
        Hear("alice", 1),
        Hear("slow", 2),
        close("slow", 1000, ""),
        End("slow"),
        close("alice", 1000, ""),
        End("alice"),
    ];
    let scene = Scene {
        args: &["--outbox", "64KiB"],
        variables: &[],
        steps,
        shows: &["close 4008", "12582912 bytes"],
    };
    scene.compare(pair);
}

/// X1.5, X1.8, X1.10: 1012 to sessions in every state; who asks for one meanwhile gets 503.
pub(crate) fn the_server_leaves(pair: &Pair) {
    let request = black_box::upgrade_request("/", &["Sec-WebSocket-Protocol: mles-websocket"]);
    let named = |who| text(who, &header("alice", "c"));
    let steps = vec![
        Open("alice"),
        named("alice"),
        frame("alice", PING, b""),
        Hear("alice", 1),
        Open("newcomer"),
        named("newcomer"),
        Hear("alice", 1),
        Open("bob"),
        join("bob", "c"),
        Hear("alice", 1),
        Hear("bob", 1),
        Open("opened"),
        Connect("asks"),
        Connect("upgrades"),
        Stop,
        Answer("upgrades", request),
        Answer("asks", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        End("opened"),
        End("newcomer"),
        End("alice"),
        EndUnanswered("bob"),
        Ended,
    ];
    let scene = Scene {
        args: &["--probe-timeout", "1h"],
        variables: &[],
        steps,
        shows: &["close 1012", "HTTP/1.1 503", "Retry-After", "Some(0)"],
    };
    scene.compare(pair);
}
