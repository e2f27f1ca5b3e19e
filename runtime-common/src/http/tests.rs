//! Tests of the request head and the router.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

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
    Ok(respond(&head, gate))
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

/// The head is refused; so is each prefix that suffices, and none is taken for another head.
#[track_caller]
fn assert_refused(head: &[u8], refusal: Refusal) {
    assert_eq!(parse_head(head), Err(refusal), "{}", head.escape_ascii());
    for end in 0..head.len() {
        let prefix = parse_head(&head[..end]);
        assert!(
            prefix == Ok(None) || prefix == Err(refusal),
            "{prefix:?} after {end} bytes"
        );
    }
    let tail = [head, b"tail\r\n\r\n"].concat();
    assert_eq!(parse_head(&tail), Err(refusal), "a tail changes nothing");
}

/// The request is valid HTTP but gets this refusal.
#[track_caller]
fn assert_answered(request: &str, refusal: Refusal) {
    let expected = Answer::Close {
        response: refusal.response(),
        status: refusal.status(),
    };
    assert_eq!(answer(request), Ok(expected), "{refusal:?}");
}

#[track_caller]
fn assert_upgraded(request: &str) {
    let response = SWITCHING.as_bytes().to_vec();
    assert_eq!(answer(request), Ok(Answer::Upgrade { response }));
}

fn text(answer: Result<Answer, Refusal>) -> String {
    match answer {
        Ok(Answer::Close { response, .. }) => String::from_utf8(response).unwrap(),
        other => panic!("{other:?}"),
    }
}

// Complete responses.

#[test]
fn upgrades() {
    assert_upgraded(UPGRADE);
    assert_upgraded(BROWSER);
    assert_upgraded(&altered(
        "Sec-WebSocket-Protocol: mles-websocket",
        "sec-websocket-protocol:mles-websocket,bearer\r\n",
    ));
    assert_upgraded(&altered(
        "Connection: Upgrade",
        "Connection: close\r\nCONNECTION: uPGRADE\r\n",
    ));
    assert_upgraded(&format!("\r\n{UPGRADE}"));
}

#[test]
fn serves_the_page() {
    let html = include_str!("../../page/index.html");
    let expected = format!(
        "HTTP/1.1 200 OK\r\n\
         Connection: close\r\n\
         Cache-Control: no-cache\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
         img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         \r\n",
        html.len()
    );
    let whole = format!("{expected}{html}");
    assert_eq!(text(answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), whole);
    assert_eq!(text(answer("GET /?a=/b HTTP/1.1\r\nHost:\r\n\r\n")), whole);
    assert_eq!(text(answer("GET / HTTP/1.0\r\n\r\n")), whole);
    let absolute = "GET HTTPS://a:1?q HTTP/1.1\r\nHost: a:1\r\n\r\n";
    assert_eq!(text(answer(absolute)), whole);
    let head = "HEAD / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n";
    assert_eq!(text(answer(head)), expected);
    // Whether there is room for a session does not matter.
    let full = answer_at("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Gate::Full);
    assert_eq!(text(full), whole);
}

#[test]
fn serves_what_the_page_needs() {
    for (path, media_type, file) in [
        (
            "/app.js",
            "text/javascript",
            include_str!("../../page/app.js"),
        ),
        (
            "/style.css",
            "text/css",
            include_str!("../../page/style.css"),
        ),
    ] {
        let text = text(answer(&format!(
            "GET {path}?v=1 HTTP/1.1\r\nHost: a\r\n\r\n"
        )));
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"));
        let end = format!(
            "\r\nContent-Type: {media_type}; charset=utf-8\r\nContent-Length: {}\r\n\r\n{file}",
            file.len()
        );
        assert!(text.ends_with(&end), "{text}");
    }
}

#[test]
fn has_no_icon_and_says_so() {
    let expected = "HTTP/1.1 204 No Content\r\n\
        Connection: close\r\n\
        Cache-Control: max-age=86400\r\n\
        \r\n";
    for method in ["GET", "HEAD"] {
        let request = format!("{method} /favicon.ico HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(text(answer(&request)), expected);
    }
}

#[test]
fn answers_without_a_head() {
    let plain = |refusal: Refusal| String::from_utf8(refusal.response()).unwrap();
    assert_eq!(
        plain(Refusal::PlainHttp),
        "HTTP/1.1 400 Bad Request\r\n\
         Connection: close\r\n\
         Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 75\r\n\
         \r\n\
         This port speaks TLS: use https:// or wss:// in place of http:// or ws://.\n"
    );
    assert_eq!(
        plain(Refusal::HeadTimeout),
        "HTTP/1.1 408 Request Timeout\r\n\
         Connection: close\r\n\
         Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 76\r\n\
         \r\n\
         The request head did not arrive in time: connect again and send it at once.\n"
    );
    assert_eq!(
        plain(Refusal::ShuttingDown),
        "HTTP/1.1 503 Service Unavailable\r\n\
         Connection: close\r\n\
         Retry-After: 2\r\n\
         Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 57\r\n\
         \r\n\
         This server is restarting: connect again in two seconds.\n"
    );
}

#[test]
fn a_wrong_version_is_told_the_right_one() {
    let request = altered("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8\r\n");
    assert_eq!(
        text(answer(&request)),
        "HTTP/1.1 426 Upgrade Required\r\n\
         Connection: close, Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 37\r\n\
         \r\n\
         Use WebSocket version 13 (RFC 6455).\n"
    );
}

#[test]
fn every_refusal_is_a_complete_response_with_one_sentence() {
    for refusal in Refusal::ALL {
        let response = String::from_utf8(refusal.response()).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let line = head.lines().next().unwrap();
        assert!(line.starts_with(&format!("HTTP/1.1 {} ", refusal.status())));
        assert!(line.len() > "HTTP/1.1 400 ".len(), "{line} has a reason");
        assert!(head.contains("\r\nConnection: close"), "{refusal:?}");
        assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())));
        assert_eq!(body, format!("{}\n", refusal.sentence()));
        assert!(body.ends_with(".\n") && body.lines().count() == 1, "{body}");
        assert_eq!(head.contains("Retry-After"), refusal.status() == 503);
        let same = |other: &&Refusal| other.sentence() == refusal.sentence();
        assert_eq!(Refusal::ALL.iter().filter(same).count(), 1, "{refusal:?}");
    }
}

// Three ways to hand over the same bytes.

#[test]
fn every_prefix_of_a_head_is_incomplete() {
    for request in [UPGRADE, BROWSER, "GET / HTTP/1.0\r\n\r\n"] {
        let request = request.as_bytes();
        for end in 0..request.len() {
            assert_eq!(parse_head(&request[..end]), Ok(None), "{end} bytes");
        }
        let whole = parse_head(request).unwrap().unwrap();
        assert_eq!(whole.1, request.len());
        for tail in [&b"\x81\x80abcd"[..], b"\r\n", b"\n", b"GET / HTTP/9"] {
            let longer = [request, tail].concat();
            let (head, used) = parse_head(&longer).unwrap().unwrap();
            assert_eq!((head, used), whole, "the tail is not looked at");
        }
    }
}

#[test]
fn a_head_gives_its_parts() {
    let (head, _) = parse_head(BROWSER.as_bytes()).unwrap().unwrap();
    assert_eq!((head.method(), head.path()), ("GET", "/"));
    let offers: Vec<_> = head.values("SEC-websocket-PROTOCOL").collect();
    assert_eq!(offers, [&b"chat,superchat"[..], b"v1 ,, mles-websocket"]);
    assert_eq!(head.values("x-empty").collect::<Vec<_>>(), [b""]);
    assert_eq!(head.values("mles-nonce").count(), 0);
    let (head, _) = parse_head(UPGRADE.as_bytes()).unwrap().unwrap();
    assert_eq!(head.path(), "/any/path");
}

// Every rule of the head.

#[test]
fn rejects_line_endings_other_than_crlf() {
    for head in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\rHost: a\r\n\r\n",
    ] {
        assert_refused(head.as_bytes(), Refusal::LineEnding);
    }
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\rb\r\n\r\n",
    ] {
        assert_refused(head.as_bytes(), Refusal::Malformed);
    }
}

#[test]
fn rejects_folded_lines() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    ] {
        assert_refused(head.as_bytes(), Refusal::Malformed);
    }
}

#[test]
fn rejects_bytes_that_do_not_belong() {
    for head in [
        &b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0",
    ] {
        assert_refused(head, Refusal::Malformed);
    }
}

#[test]
fn rejects_other_versions() {
    for head in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/3\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let refusal = match head.starts_with("GET  ") {
            true => Refusal::Malformed,
            false => Refusal::Version,
        };
        assert_refused(head.as_bytes(), refusal);
    }
}

#[test]
fn rejects_a_missing_repeated_or_bad_host() {
    assert_refused(b"GET / HTTP/1.1\r\n\r\n", Refusal::NoHost);
    for version in ["1.0", "1.1"] {
        for second in ["a", "b", ""] {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\nhost: {second}\r\n\r\n");
            assert_refused(head.as_bytes(), Refusal::RepeatedHost);
        }
        for bad in ["a b", "a/b", "a@b", "a?b", "\"a\"", "a\\b", "a#b", "\u{e9}"] {
            let head = format!("GET / HTTP/{version}\r\nHost: {bad}\r\n\r\n");
            assert_refused(head.as_bytes(), Refusal::BadHost);
        }
    }
    for good in [
        "",
        "a",
        "a.example:443",
        "[2001:db8::1]:443",
        "xn--d1a",
        "a_b",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {good}\r\n\r\n");
        assert!(matches!(parse_head(head.as_bytes()), Ok(Some(_))), "{good}");
    }
}

#[test]
fn rejects_ambiguous_lengths() {
    let head = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
    for (lines, refusal) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            Refusal::LengthAndCoding,
        ),
        (
            "transfer-encoding: identity\r\ncontent-length: 0",
            Refusal::LengthAndCoding,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 5",
            Refusal::RepeatedLength,
        ),
        (
            "Content-Length: 5\r\ncontent-length: x",
            Refusal::RepeatedLength,
        ),
        ("Content-Length: 5, 5", Refusal::BadLength),
        ("Content-Length: +5", Refusal::BadLength),
        ("Content-Length: -5", Refusal::BadLength),
        ("Content-Length: 0x5", Refusal::BadLength),
        ("Content-Length: 5 5", Refusal::BadLength),
        ("Content-Length:", Refusal::BadLength),
        ("Content-Length: 18446744073709551616", Refusal::BadLength),
    ] {
        assert_refused(head(lines).as_bytes(), refusal);
    }
    for fine in ["Content-Length: 0", "Content-Length: 18446744073709551615"] {
        assert!(matches!(parse_head(head(fine).as_bytes()), Ok(Some(_))));
    }
}

#[test]
fn rejects_targets_of_no_known_form() {
    for target in ["*", "index.html", "a:443", "ftp://a/", "://", "?q"] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_refused(head.as_bytes(), Refusal::BadTarget);
    }
}

#[test]
fn rejects_a_head_that_is_too_long() {
    let head = |len: usize| {
        let lines = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n";
        let filler = "x".repeat(len - lines.len());
        lines.replace("X: ", &format!("X: {filler}"))
    };
    let longest = head(HEAD_MAX);
    let parsed = parse_head(longest.as_bytes());
    assert!(matches!(parsed, Ok(Some((_, HEAD_MAX)))));
    let with_tail = format!("{longest}tail");
    let parsed = parse_head(with_tail.as_bytes());
    assert!(matches!(parsed, Ok(Some((_, HEAD_MAX)))));
    let longer = head(HEAD_MAX + 1);
    let endless = "GET /".to_owned() + &"a".repeat(HEAD_MAX);
    let blank = "\r\n".repeat(HEAD_MAX);
    for long in [longer, endless, blank] {
        for end in [HEAD_MAX, HEAD_MAX + 1, long.len()] {
            let parsed = parse_head(&long.as_bytes()[..end]);
            assert_eq!(parsed, Err(Refusal::HeadTooLong));
        }
        let parsed = parse_head(&long.as_bytes()[..HEAD_MAX - 1]);
        assert_eq!(parsed, Ok(None));
    }
}

#[test]
fn rejects_too_many_headers() {
    let head = |n: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "X: y\r\n".repeat(n));
    assert!(matches!(
        parse_head(head(HEADERS_MAX).as_bytes()),
        Ok(Some(_))
    ));
    assert_refused(head(HEADERS_MAX + 1).as_bytes(), Refusal::TooManyHeaders);
}

// Every rule of the upgrade, and of the router.

#[test]
fn rejects_an_upgrade_over_http_1_0() {
    let request = UPGRADE.replace("HTTP/1.1", "HTTP/1.0");
    assert_answered(&request, Refusal::UpgradeOverHttp10);
}

#[test]
fn rejects_an_upgrade_without_connection_upgrade() {
    for by in ["", "Connection: keep-alive\r\n", "Connection: upgrades\r\n"] {
        let request = altered("Connection: Upgrade", by);
        assert_answered(&request, Refusal::NotConnectionUpgrade);
    }
}

#[test]
fn rejects_other_websocket_versions() {
    for by in [
        "",
        "Sec-WebSocket-Version: 8\r\n",
        "Sec-WebSocket-Version: 013\r\n",
        "Sec-WebSocket-Version: 13, 8\r\n",
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n",
        "Sec-WebSocket-Version:\r\n",
    ] {
        let request = altered("Sec-WebSocket-Version: 13", by);
        assert_answered(&request, Refusal::WebSocketVersion);
    }
}

#[test]
fn rejects_bad_keys() {
    let line = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for by in [
        String::new(),
        format!("{line}\r\n{line}\r\n"),
        "Sec-WebSocket-Key:\r\n".to_owned(),
        "Sec-WebSocket-Key: ==\r\n".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA=\r\n".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j-_==\r\n".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, x\r\n".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAAZQ==\r\n".to_owned(),
    ] {
        assert_answered(&altered(line, &by), Refusal::WebSocketKey);
    }
}

#[test]
fn rejects_an_upgrade_without_the_subprotocol() {
    for by in [
        "",
        "Sec-WebSocket-Protocol:\r\n",
        "Sec-WebSocket-Protocol: chat\r\n",
        "Sec-WebSocket-Protocol: Mles-WebSocket\r\n",
        "Sec-WebSocket-Protocol: mles-websocket2, amles-websocket\r\n",
        "Sec-WebSocket-Protocol: \"mles-websocket\"\r\n",
        "Sec-WebSocket-Protocol: chat mles-websocket\r\n",
        "X-WebSocket-Protocol: mles-websocket\r\n",
    ] {
        let request = altered("Sec-WebSocket-Protocol: mles-websocket", by);
        assert_answered(&request, Refusal::Subprotocol);
    }
}

#[test]
fn rejects_an_upgrade_with_a_body() {
    for line in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        let request = altered(
            "Upgrade: websocket",
            &format!("Upgrade: websocket\r\n{line}\r\n"),
        );
        assert_answered(&request, Refusal::UpgradeWithBody);
    }
}

#[test]
fn rejects_sessions_when_the_gate_is_not_open() {
    for (gate, refusal) in [
        (Gate::Full, Refusal::Full),
        (Gate::ShuttingDown, Refusal::ShuttingDown),
    ] {
        let expected = Answer::Close {
            response: refusal.response(),
            status: 503,
        };
        assert_eq!(answer_at(UPGRADE, gate), Ok(expected));
        // What no retry can mend is said first.
        let wrong = altered("Sec-WebSocket-Protocol: mles-websocket", "");
        let expected = Answer::Close {
            response: Refusal::Subprotocol.response(),
            status: 400,
        };
        assert_eq!(answer_at(&wrong, gate), Ok(expected));
    }
}

#[test]
fn rejects_other_methods() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "DELETE /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACE / HTTP/1.0\r\n\r\n",
    ] {
        assert_answered(request, Refusal::Method);
    }
    assert_answered(&UPGRADE.replace("GET", "POST"), Refusal::Method);
}

#[test]
fn rejects_unknown_paths() {
    for path in [
        "/nothing",
        "/index.html",
        "//",
        "/../app.js",
        "/%61pp.js",
        "/APP.JS",
        "/app.js/",
        "https://a/x",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_answered(&request, Refusal::NotFound);
        let head = text(answer(&request.replace("GET", "HEAD")));
        let whole = String::from_utf8(Refusal::NotFound.response()).unwrap();
        assert!(whole.starts_with(&head) && head.ends_with("\r\n\r\n"));
    }
    // An upgrade to something else is no upgrade; neither is one asked for by HEAD.
    let other = altered("Upgrade: websocket", "Upgrade: h2c\r\n");
    assert_answered(&other, Refusal::NotFound);
}

// At random.

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_fuzz_body_holds_on_noise(data in vec(any::<u8>(), 0..300)) {
        fuzz(&data);
    }

    #[test]
    fn the_fuzz_body_holds_on_damaged_heads(
        pieces in any::<u8>(),
        head in prop_oneof![Just(UPGRADE), Just(BROWSER)],
        damage in vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 0..4),
    ) {
        let mut data = [&[pieces], head.as_bytes()].concat();
        for (at, how, byte) in damage {
            let at = at.index(data.len());
            match how {
                0 => data[at] = byte,
                1 => data.insert(at, b"\r\n\0: ,"[usize::from(byte % 6)]),
                _ => {
                    data.remove(at);
                }
            }
        }
        fuzz(&data);
    }

    #[test]
    fn any_key_and_path_is_taken(key in "[A-Za-z0-9+/]{22}==", path in "(/[a-z0-9.%]{0,9}){1,3}") {
        let request = UPGRADE
            .replace("dGhlIHNhbXBsZSBub25jZQ==", &key)
            .replace("/any/path", &path);
        let expected = SWITCHING
            .replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &websocket::accept_key(key.as_bytes()));
        let response = expected.into_bytes();
        prop_assert_eq!(answer(&request), Ok(Answer::Upgrade { response }));
    }
}
