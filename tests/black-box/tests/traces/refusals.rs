//! What does not become a member, or not even a session.

use black_box::wire::{BINARY, CLOSE, ENDS, PING, TEXT, TEXT_BEGINS, frame, head};
use black_box::{Pair, upgrade_request};

use crate::Scene;
use crate::stage::Step::{self, Answer, Ask, Connect, End, Hear, Open, Plain, Send, Upgrade};
use crate::stage::{close, join, text};

const OFFER: &str = "Sec-WebSocket-Protocol: mles-websocket";

/// H1.1, H1.2, H1.3, H1.4, H1.5, H1.7, H1.8, H1.9, H1.11, H1.12, H2.1, H4.2, H4.3, X1.1, X1.2: 4000 for every kind of
/// bad header, 4011 for a server; and some that are good.
pub(crate) fn bad_headers(pair: &Pair) {
    let deep = |depth| {
        format!(
            "{{\"uid\":\"a\",\"channel\":\"c\",\"x\":{}{}}}",
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let long = |length: usize| {
        let start = "{\"uid\":\"a\",\"channel\":\"c\",\"x\":\"";
        format!("{start}{}\"}}", "x".repeat(length - start.len() - 2))
    };
    let mut steps: Vec<Step> = Vec::new();
    for bad in [
        "",
        " ",
        "[]",
        "null",
        "Hello!",
        "{\"uid\":\"a\",\"channel\":\"c\"",
        "{\"uid\":\"a\",\"channel\":\"c\"} {}",
        "{\"uid\":\"a\",\"channel\":\"c\",}",
        "{'uid':'a','channel':'c'}",
        "\u{feff}{\"uid\":\"a\",\"channel\":\"c\"}",
        "{\"uid\":\"a\"}",
        "{\"channel\":\"c\"}",
        "{\"uid\":1,\"channel\":\"c\"}",
        "{\"uid\":\"a\",\"channel\":null}",
        "{\"uid\":\"a\",\"channel\":\"c\",\"auth\":null}",
        "{\"uid\":\"\",\"channel\":\"c\"}",
        "{\"uid\":\"a\",\"channel\":\"\"}",
        "{\"uid\":\"a\\u0000\",\"channel\":\"c\"}",
        "{\"uid\":\"a\",\"channel\":\"\\ud800\"}",
        "{\"uid\":\"a\",\"channel\":\"c\",\"u\\u0069d\":\"a\"}",
        "{\"uid\":\"a\",\"channel\":\"c\",\"peer\":1}",
        "{\"uid\":\"a\",\"channel\":\"c\",\"peer\":true}",
        "{\"uid\":\"a\",\"channel\":\"c\",\"peer\":true,\"auth\":\"x\"}",
        &deep(17),
        &long(4097),
    ] {
        steps.extend([Open("mallory"), text("mallory", bad), End("mallory")]);
    }
    for bad in [
        frame(BINARY, b"{\"uid\":\"a\",\"channel\":\"c\"}"),
        frame(TEXT, b"{\"uid\":\"\xff\",\"channel\":\"c\"}"),
        head(TEXT, 4097),
        [frame(TEXT_BEGINS, &[b' '; 4000]), head(ENDS, 97)].concat(),
        [frame(TEXT, b"{}"), frame(TEXT, b"more"), frame(PING, b"")].concat(),
    ] {
        steps.extend([Open("mallory"), Send("mallory", bad), End("mallory")]);
    }
    for good in [
        "{\"uid\":\"a\",\"channel\":\"c\",\"peer\":false,\"path\":1,\"ts\":{}}",
        "{\"uid\":\"\\ud83e\\udd80\\n\\u0001/\\\"\",\"channel\":\"c\",\"x\":\"\\ud800\"}",
        &deep(16),
        &long(4096),
    ] {
        steps.extend([
            Open("watcher"),
            join("watcher", "c"),
            Send("watcher", frame(PING, b"")),
            Hear("watcher", 1),
            Open("alice"),
            Send("alice", frame(PING, b"before")),
            Hear("alice", 1),
            text("alice", good),
            Hear("watcher", 1),
        ]);
        for who in ["alice", "watcher"] {
            steps.extend([close(who, 1000, ""), End(who)]);
        }
    }
    let scene = Scene {
        args: &["--limit", "0"],
        variables: &[],
        steps,
        shows: &["close 4000", "close 4011", "\\\\u0001"],
    };
    scene.compare(pair);
}

/// A1.3, A1.4, A2.1, A2.2, A2.5: 4001 for who has no key, or another; who has it gets in.
pub(crate) fn wrong_auth(pair: &Pair) {
    let mut steps: Vec<Step> = Vec::new();
    let header = |auth: &str| format!("{{\"uid\":\"alice\",\"channel\":\"example\"{auth}}}");
    for auth in [
        "",
        ",\"auth\":\"\"",
        ",\"auth\":\"0\"",
        ",\"auth\":\"cddd69d5f9771d67\"",
        ",\"auth\":\"0cddd69d5f9771d66\"",
        ",\"auth\":\"0xddd69d5f9771d66\"",
        ",\"auth\":\" ddd69d5f9771d66\"",
        ",\"auth\":\"\\ud800\"",
    ] {
        steps.extend([
            Open("mallory"),
            text("mallory", &header(auth)),
            End("mallory"),
        ]);
    }
    for auth in ["cddd69d5f9771d66", "CDDD69D5F9771D66"] {
        let auth = format!(",\"auth\":\"{auth}\"");
        steps.extend([
            Open("alice"),
            text("alice", &header(&auth)),
            text("alice", "in"),
        ]);
        steps.extend([Send("alice", frame(CLOSE, b"")), End("alice")]);
    }
    let scene = Scene {
        args: &["--probe-timeout", "1h"],
        variables: &[("MLES_KEY", "mles-devel-frank")],
        steps,
        shows: &["close 4001", "text \"in\""],
    };
    scene.compare(pair);
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// T1.5, T2.4, X1.2, X1.9, X1.11: every status that refuses, byte by byte.
pub(crate) fn http_refusals(pair: &Pair) {
    let good = String::from_utf8(upgrade_request("/", &[OFFER])).expect("it is text");
    let with = |line: &str| good.replace("Connection:", &format!("{line}\r\nConnection:"));
    let filled = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
        format!("{start}{}\r\n\r\n", "a".repeat(length - start.len() - 4))
    };
    let mut steps: Vec<Step> = Vec::new();
    for request in [
        // 400
        "GET / HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET nonsense HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
        &with("Host: again"),
        &with("nonsense"),
        &with(" folded: x"),
        &with("X : x"),
        &with("Content-Length: 1\r\nContent-Length: 1"),
        &with("Content-Length: 1\r\nTransfer-Encoding: chunked"),
        &with("Content-Length: -1"),
        &with("Content-Length: 3"),
        &with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        &good.replace("dGhlIHNhbXBsZSBub25jZQ==", "x"),
        &good.replace("Connection: Upgrade", "Connection: keep-alive"),
        &good.replace("HTTP/1.1", "HTTP/1.0"),
        &good.replace(OFFER, "Sec-WebSocket-Protocol: chat"),
        &good.replace(OFFER, "X: y"),
        // 404
        "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
        "HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /nothing HTTP/1.0\r\n\r\n",
        // 405
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        &good.replacen("GET", "POST", 1),
        &good.replacen("GET", "HEAD", 1),
        // 426
        &good.replace("Version: 13", "Version: 8"),
        // 431
        &filled(16 * 1024 + 1),
        &format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
            "A: b\r\n".repeat(200)
        ),
        // 505
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/3.7\r\nHost: x\r\n\r\n",
    ] {
        steps.push(Ask(request.as_bytes().to_vec()));
    }
    let scene = Scene {
        args: &[],
        variables: &[],
        steps,
        shows: &[
            "HTTP/1.1 400",
            "HTTP/1.1 404",
            "HTTP/1.1 405",
            "HTTP/1.1 426",
            "HTTP/1.1 431",
            "HTTP/1.1 505",
        ],
    };
    scene.compare(pair);
}

/// T1.5, T2.2, T2.3, T2.5, T2.6, T2.7, X1.11: the page, and upgrades that are granted.
pub(crate) fn pages_and_upgrades(pair: &Pair) {
    let mut steps: Vec<Step> = Vec::new();
    for path in [
        "/",
        "/?x=1",
        "/app.js",
        "/style.css",
        "/icon.svg",
        "/favicon.ico",
        "/healthz",
    ] {
        let head = String::from_utf8(get(path))
            .expect("it is text")
            .replacen("GET", "HEAD", 1);
        steps.extend([Ask(get(path)), Ask(head.into_bytes())]);
    }
    steps.push(Ask(b"GET / HTTP/1.0\r\n\r\n".to_vec()));
    for (target, lines) in [
        ("/", &[OFFER][..]),
        (
            "/any/where?x=1",
            &["Sec-WebSocket-Protocol: chat, mles-websocket"],
        ),
        (
            "wss://localhost/x",
            &[
                "Sec-WebSocket-Protocol: chat",
                "sec-websocket-protocol:\tmles-websocket ",
            ],
        ),
        (
            "/",
            &[
                OFFER,
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            ],
        ),
        ("/", &[OFFER, "Origin: https://elsewhere.example"]),
    ] {
        steps.push(Upgrade(upgrade_request(target, lines)));
    }
    let scene = Scene {
        args: &[],
        variables: &[],
        steps,
        shows: &[
            "HTTP/1.1 200",
            "HTTP/1.1 204",
            "HTTP/1.1 101",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        ],
    };
    scene.compare(pair);
}

/// T1.1, X1.14: what is not TLS.
pub(crate) fn plain_and_garbage(pair: &Pair) {
    let mut steps: Vec<Step> = Vec::new();
    for plain in [
        &get("/")[..],
        b"POST /x HTTP/1.0\r\n\r\n",
        b"G",
        &upgrade_request("/", &[OFFER]),
    ] {
        steps.push(Plain(plain.to_vec()));
    }
    for garbage in [
        &b"\0"[..],
        b"\x80\x2e\x01",
        b"\r\n",
        b"\xff\xff",
        b"\x16\x03\x01\x00\x00",
    ] {
        steps.push(Plain(garbage.to_vec()));
    }
    let scene = Scene {
        args: &[],
        variables: &[],
        steps,
        shows: &["HTTP/1.1 400"],
    };
    scene.compare(pair);
}

/// X1.10: 503 for one session too many; the page is there all the same, and the place when it is left.
pub(crate) fn no_room(pair: &Pair) {
    let upgrade = || upgrade_request("/", &[OFFER]);
    let steps = vec![
        Open("only"),
        join("only", "c"),
        Send("only", frame(PING, b"")),
        Hear("only", 1),
        Ask(upgrade()),
        Ask(get("/")),
        Ask(get("/healthz")),
        close("only", 1000, ""),
        End("only"),
        Open("next"),
        join("next", "c"),
        Hear("next", 1),
        close("next", 1000, ""),
        End("next"),
    ];
    let scene = Scene {
        args: &["--max-sessions", "1"],
        variables: &[],
        steps,
        shows: &["HTTP/1.1 503", "Retry-After", "HTTP/1.1 200"],
    };
    scene.compare(pair);
}

/// X1.11: 408 for a head that is not complete in time.
pub(crate) fn slow_head(pair: &Pair) {
    let steps = vec![
        Connect("silent"),
        Connect("slow"),
        Send("slow", b"GET / HTTP/1.1\r\nHost: ".to_vec()),
        Answer("slow", b"x".to_vec()),
        Answer("silent", vec![]),
    ];
    let scene = Scene {
        args: &[],
        variables: &[],
        steps,
        shows: &["HTTP/1.1 408"],
    };
    scene.compare(pair);
}
