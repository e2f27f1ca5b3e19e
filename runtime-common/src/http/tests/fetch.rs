//! A page from the Web.

use proptest::prelude::*;

use super::*;
use crate::address::Address;

const MOST: usize = 100;

fn fetch() -> Fetch {
    let address = Address::parse_https("https://lists.example:8077/a?b").unwrap();
    Fetch::new(&address, MOST)
}

/// What comes of an answer that arrives in pieces of this length, at whose end the connection ends.
fn result(answer: &[u8], step: usize) -> Result<Vec<u8>, String> {
    let mut fetch = fetch();
    for piece in answer.chunks(step) {
        if fetch.take_in(piece)? {
            break;
        }
    }
    fetch.page()
}

fn any_pieces(answer: &str) -> Result<String, String> {
    let whole = result(answer.as_bytes(), usize::MAX);
    let least = if answer.len() < 1024 { 1 } else { 100 };
    for step in (least..answer.len()).take(40) {
        assert_eq!(result(answer.as_bytes(), step), whole, "{answer:?}, {step}");
    }
    whole.map(|body| String::from_utf8(body).unwrap())
}

#[test]
fn asks_once_for_what_it_understands() {
    let request = String::from_utf8(fetch().request).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        request,
        format!(
            "GET /a?b HTTP/1.1\r\nHost: lists.example:8077\r\nConnection: close\r\nAccept: text/plain, */*;q=0.5\r\n\
             Accept-Encoding: identity\r\nUser-Agent: mles/{version}\r\n\r\n"
        )
    );
    let (head, _) = parse_head(request.as_bytes()).unwrap().unwrap();
    assert_eq!(head.path(), "/a");
    for (url, host) in [
        ("https://a/", "a"),
        ("https://[::1]", "[::1]"),
        ("https://a:1443", "a:1443"),
    ] {
        let request = Fetch::new(&Address::parse_https(url).unwrap(), MOST).request;
        let line = format!("\r\nHost: {host}\r\n");
        assert!(String::from_utf8(request).unwrap().contains(&line), "{url}");
    }
}

#[test]
fn reads_each_kind_of_body() {
    for (answer, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd", "abc"),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", ""),
        ("HTTP/1.0 200 OK\r\n\r\nabc", "abc"),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", ""),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA ;x=\"y\"\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
            "abc0123456789",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n000\r\n\r\n",
            "",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
            "a",
        ),
    ] {
        assert_eq!(any_pieces(answer).as_deref(), Ok(body), "{answer}");
    }
    let most = "a".repeat(MOST);
    for answer in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: {MOST}\r\n\r\n{most}"),
        format!("HTTP/1.1 200 OK\r\n\r\n{most}"),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MOST:x}\r\n{most}\r\n0\r\n\r\n"
        ),
    ] {
        assert_eq!(any_pieces(&answer).as_deref(), Ok(&*most));
    }
}

#[test]
fn refuses_what_is_no_page() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let more = "a".repeat(MOST + 1);
    let table = [
        ("", "it ended the connection"),
        ("SSH-2.0-x\r\n", "does not speak HTTP"),
        (
            "HTTP/1.1 301 Moved\r\nLocation: https://b/\r\n\r\n",
            "it redirects (HTTP 301)",
        ),
        (
            "HTTP/1.1 304 Not Modified\r\n\r\n",
            "it answers with HTTP 304",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP 404",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP 101"),
        (&format!("{ok}Content-Length: 3\r\n\r\nab"), "in the middle"),
        (&format!("{ok}Content-Length"), "in the middle"),
        (&format!("{chunked}3\r\nabc\r\n"), "in the middle"),
        (&format!("{chunked}3\r\nab"), "in the middle"),
        (
            &format!("{ok}Content-Length: 101\r\n\r\n"),
            "larger than 100 bytes",
        ),
        (
            &format!("{ok}Content-Length: 99999999999999999999\r\n\r\n"),
            "malformed",
        ),
        (&format!("{ok}Content-Length: +3\r\n\r\nabc"), "malformed"),
        (
            &format!("{ok}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
            "malformed",
        ),
        (
            &format!("{ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "malformed",
        ),
        (
            &format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            "transfer coding",
        ),
        (&format!("{ok}Content-Encoding: gzip\r\n\r\n"), "compressed"),
        (&format!("{ok}\r\n{more}"), "larger than 100 bytes"),
        (
            &format!("{chunked}65\r\n{more}\r\n0\r\n\r\n"),
            "larger than 100 bytes",
        ),
        (
            &format!("{chunked}64\r\n{}\r\n1\r\na\r\n0\r\n\r\n", &more[1..]),
            "larger than 100 bytes",
        ),
        (
            &format!("{chunked}fffffffffffffffffffffff\r\n"),
            "larger than 100 bytes",
        ),
        (&format!("{chunked}-1\r\n"), "malformed"),
        (&format!("{chunked}\r\n"), "malformed"),
        (&format!("{chunked}3\nabc\r\n"), "malformed"),
        (&format!("{chunked}3\r\nabcd\r\n"), "malformed"),
        (&format!("{chunked}1;{}\r\n", "x".repeat(300)), "malformed"),
        (
            &format!("{ok}X: {}", "x".repeat(HEAD_MAX)),
            "too long a head",
        ),
        (
            &"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000),
            "longer than any list",
        ),
    ];
    for (answer, what) in table {
        let error = any_pieces(answer).unwrap_err();
        assert!(error.contains(what), "{answer:.80}: {error}");
    }
}

proptest! {
    /// Whatever comes, in whatever pieces: no panic, no page beyond the bound, and pieces make no difference.
    #[test]
    fn takes_any_bytes(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n", "Content-Length: 12\r\n",
                "Transfer-Encoding: chunked\r\n", "\r\n", "3\r\n", "C;a\r\n", "0\r\n", "abc", "abc\r\n", "\n", "\r", "\0",
                "fedcba\r\n", "wss://a\nwss://b\n", "\u{20ac}",
            ]),
            0..20,
        ),
        step in 1_usize..20,
    ) {
        let answer = pieces.concat();
        let whole = result(answer.as_bytes(), usize::MAX);
        prop_assert_eq!(&result(answer.as_bytes(), step), &whole);
        prop_assert!(whole.map_or(0, |page| page.len()) <= MOST);
    }
}
