//! Every rule of the head, and three ways to hand over the same bytes.

use super::*;

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
    assert_eq!((head.method, head.path()), ("GET", "/"));
    let offers: Vec<_> = head.values("SEC-websocket-PROTOCOL").collect();
    assert_eq!(offers, [&b"chat,superchat"[..], b"v1 ,, mles-websocket"]);
    assert_eq!(head.values("x-empty").collect::<Vec<_>>(), [b""]);
    assert_eq!(head.values("mles-nonce").count(), 0);
    let (head, _) = parse_head(UPGRADE.as_bytes()).unwrap().unwrap();
    assert_eq!(head.path(), "/any/path");
}

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
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
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
    ] {
        assert_refused(head.as_bytes(), Refusal::Version);
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
