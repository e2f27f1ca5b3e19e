//! Sessions that do what they may not.

use black_box::Pair;
use black_box::wire::{
    BINARY, BINARY_BEGINS, CLOSE, ENDS, GOES_ON, PING, PONG, TEXT, TEXT_BEGINS, close, frame, head,
};

use crate::Scene;
use crate::stage::Step::{self, End, EndUnanswered, Hear, Open, Send, Vanish};
use crate::stage::{join, text};

/// Bytes that break RFC 6455 (M4.4), hold what is no UTF-8 (M4.5), or are too long (M4.2).
fn faults() -> Vec<Vec<u8>> {
    let began = frame(TEXT_BEGINS, b"x");
    let mut faults = vec![
        frame(TEXT | 0x40, b"x"),
        frame(TEXT | 0x20, b"x"),
        frame(PING | 0x10, b"x"),
        frame(0x83, b"x"),
        frame(0x8b, b""),
        frame(0x8f, b"x"),
        b"\x81\x01x".to_vec(),
        b"\x89\x00".to_vec(),
        b"\x88\x02\x03\xe8".to_vec(),
        b"\x82\xfe\x00\x7d".to_vec(),
        b"\x82\xff\0\0\0\0\0\0\xff\xff".to_vec(),
        b"\x82\xff\x80\0\0\0\0\0\0\0".to_vec(),
        frame(PING & 0x0f, b""),
        frame(CLOSE & 0x0f, b""),
        frame(PING, &[b'x'; 126]),
        frame(PONG, &[b'x'; 126]),
        frame(CLOSE, &[b'x'; 126]),
        frame(GOES_ON, b"x"),
        frame(ENDS, b"x"),
        [began.clone(), frame(TEXT, b"x")].concat(),
        [began.clone(), frame(BINARY, b"x")].concat(),
        frame(CLOSE, b"\x03"),
    ];
    faults.extend(
        [0, 999, 1004, 1005, 1006, 1015, 2999, 5000].map(|code| frame(CLOSE, &close(code, ""))),
    );
    faults.push(frame(CLOSE, &[&close(1000, "")[..], b"\xff"].concat()));
    faults
}

/// M4.2, M4.4, M4.5, X1.1, X1.3, X1.6: each fault of a member ends in its close frame, and the others do not notice;
/// also where nothing is answered to that, and where more follows at once.
pub(crate) fn at_fault_in_a_channel(pair: &Pair) {
    let mut steps = vec![
        Open("watcher"),
        join("watcher", "c"),
        Send("watcher", frame(PING, b"")),
        Hear("watcher", 1),
    ];
    let mut faults = faults();
    for text in [
        &b"\xff"[..],
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"fine \xe2\x82",
    ] {
        faults.push(frame(TEXT, text));
    }
    faults.extend([
        [frame(TEXT_BEGINS, b"\xe2\x82"), frame(ENDS, b"")].concat(),
        head(BINARY, 4097),
        head(TEXT, 1 << 40),
        [frame(BINARY_BEGINS, &[0; 4000]), head(GOES_ON, 97)].concat(),
    ]);
    for (number, fault) in faults.into_iter().enumerate() {
        let end = match number % 2 {
            0 => End("mallory"),
            _ => EndUnanswered("mallory"),
        };
        steps.extend([
            Open("mallory"),
            join("mallory", "c"),
            Hear("watcher", 1),
            text("mallory", "a good one"),
            Hear("watcher", 1),
            Send("mallory", fault),
            end,
        ]);
    }
    for fault in [frame(0x83, b""), frame(TEXT, b"\xff"), head(BINARY, 4097)] {
        steps.extend([
            Open("mallory"),
            join("mallory", "c"),
            Hear("watcher", 1),
            Send(
                "mallory",
                [fault, frame(TEXT, b"too late"), frame(PING, b"")].concat(),
            ),
            EndUnanswered("mallory"),
        ]);
    }
    // What is just long enough.
    steps.extend([
        Open("bob"),
        join("bob", "c"),
        Hear("watcher", 1),
        Send("bob", frame(BINARY, &[1; 4096])),
        Hear("watcher", 1),
        Send("watcher", frame(CLOSE, b"")),
        End("watcher"),
    ]);
    let scene = Scene {
        args: &[
            "--max-message",
            "4KiB",
            "--limit",
            "0",
            "--probe-timeout",
            "1h",
        ],
        variables: &[],
        steps,
        shows: &["close 1002", "close 1007", "close 1009", "4096 bytes"],
    };
    scene.compare(pair);
}

/// M4.4, M4.5, H1.12, H2.1: the same in the place of a header.
pub(crate) fn at_fault_before_the_join(pair: &Pair) {
    let mut steps: Vec<Step> = Vec::new();
    for (number, fault) in faults().into_iter().enumerate() {
        let end = match number % 2 {
            0 => End("mallory"),
            _ => EndUnanswered("mallory"),
        };
        steps.extend([Open("mallory"), Send("mallory", fault), end]);
    }
    let scene = Scene {
        args: &[],
        variables: &[],
        steps,
        shows: &["close 1002"],
    };
    scene.compare(pair);
}

/// M4.6: more unfinished messages than there is room for: 4004 for the one that comes in most slowly.
pub(crate) fn no_room_for_a_message(pair: &Pair) {
    const SIZE: usize = 1 << 20;
    const OTHERS: [&str; 4] = ["one", "two", "three", "four"];
    let mut steps = vec![
        Open("slow"),
        join("slow", "c"),
        Send("slow", frame(PING, b"")),
        Hear("slow", 1),
    ];
    for (before, who) in OTHERS.into_iter().enumerate() {
        steps.extend([Open(who), join(who, "c"), Hear("slow", 1)]);
        steps.extend(OTHERS[..before].iter().map(|other| Hear(other, 1)));
    }
    let whole = frame(BINARY, &[7; SIZE]);
    let (most, rest) = whole.split_at(whole.len() - 10);
    steps.push(Send(
        "slow",
        [head(BINARY, SIZE as u64), vec![0; 1000]].concat(),
    ));
    steps.extend(OTHERS.map(|who| Send(who, most.to_vec())));
    steps.extend([
        End("slow"),
        Open("watcher"),
        join("watcher", "d"),
        Send("watcher", frame(PING, b"")),
    ]);
    steps.push(Hear("watcher", 1));
    for (at, who) in OTHERS.into_iter().enumerate() {
        steps.push(Send(who, rest.to_vec()));
        let others = OTHERS
            .into_iter()
            .enumerate()
            .filter(|(other, _)| *other != at);
        steps.extend(others.map(|(_, who)| Hear(who, 1)));
    }
    steps.extend(OTHERS.map(Vanish));
    let scene = Scene {
        args: &[
            "--max-message",
            "1MiB",
            "--threads",
            "1",
            "--limit",
            "0",
            "--outbox",
            "8MiB",
        ],
        variables: &[],
        steps,
        shows: &["close 4004", "1048576 bytes"],
    };
    scene.compare(pair);
}
