//! The request head and its answer: requests that the tests share, and what they ask of them.

use super::*;

mod fetch;
mod head;
mod noise;
mod pages;
mod peer;
mod refusals;
mod upgrade;

const UPGRADE: &str = "GET /any/path?at=all HTTP/1.1\r\n\
    Host: mles.example:8077\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: mles-websocket\r\n\
    \r\n";

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: mles-websocket\r\n\
    \r\n";

/// What Chromium sends, a proxy in between.
const BROWSER: &str = "GET wss://mles.example/ HTTP/1.1\r\n\
    Host: mles.example\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Pragma: no-cache\r\n\
    User-Agent: Mozilla/5.0 (caf\u{e9})\r\n\
    Upgrade: h2c, WebSocket\r\n\
    Origin: https://mles.example\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    Sec-WebSocket-Protocol: chat,superchat\r\n\
    Sec-WebSocket-Protocol: \t v1 ,, mles-websocket\t\r\n\
    Content-Length: 0\r\n\
    X-Empty:\r\n\
    \r\n";

fn answer_at(request: &str, gate: Gate) -> Result<Answer, Refusal> {
    let (head, used) = parse_head(request.as_bytes())?.expect("a complete head");
    assert_eq!(used, request.len());
    Ok(respond(&head, gate, &Health::default()))
}

fn answer(request: &str) -> Result<Answer, Refusal> {
    answer_at(request, Gate::Open)
}

/// The upgrade request with one line replaced (by none, one or several).
fn altered(line: &str, by: &str) -> String {
    let found = UPGRADE
        .split_inclusive("\r\n")
        .any(|l| l.trim_end() == line);
    assert!(found, "{line} is in the request");
    UPGRADE.replacen(&format!("{line}\r\n"), by, 1)
}

/// The request is valid HTTP but gets this refusal.
#[track_caller]
fn assert_answered(request: &str, refusal: Refusal) {
    assert_answered_at(request, Gate::Open, refusal);
}

#[track_caller]
fn assert_answered_at(request: &str, gate: Gate, refusal: Refusal) {
    let expected = Answer::Close {
        response: refusal.response(),
        status: refusal.status(),
    };
    assert_eq!(answer_at(request, gate), Ok(expected), "{refusal:?}");
}

fn text(answer: Result<Answer, Refusal>) -> String {
    match answer {
        Ok(Answer::Close { response, .. }) => String::from_utf8(response).unwrap(),
        other => panic!("{other:?}"),
    }
}
