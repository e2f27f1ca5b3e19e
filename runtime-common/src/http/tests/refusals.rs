//! Refusals as they go on the wire.

use super::*;

#[test]
fn refusals_in_full() {
    let close = "Connection: close";
    for (refusal, status, own, sentence) in [
        (
            Refusal::PlainHttp,
            "400 Bad Request",
            close,
            "This port speaks TLS: use https:// or wss:// in place of http:// or ws://.",
        ),
        (
            Refusal::Method,
            "405 Method Not Allowed",
            "Connection: close\r\nAllow: GET, HEAD",
            "Use GET or HEAD: this server takes no other method.",
        ),
        (
            Refusal::HeadTimeout,
            "408 Request Timeout",
            close,
            "The request head did not arrive in time: connect again and send it at once.",
        ),
        (
            Refusal::WebSocketVersion,
            "426 Upgrade Required",
            "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
            "Use WebSocket version 13 (RFC 6455).",
        ),
        (
            Refusal::ShuttingDown,
            "503 Service Unavailable",
            "Connection: close\r\nRetry-After: 2",
            "This server is restarting: connect again in two seconds.",
        ),
    ] {
        let expected = format!(
            "HTTP/1.1 {status}\r\n\
             {own}\r\n\
             Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             \r\n\
             {sentence}\n",
            sentence.len() + 1
        );
        assert_eq!(String::from_utf8(refusal.response()), Ok(expected));
    }
}

#[test]
fn every_refusal_is_a_complete_response_with_one_sentence() {
    for refusal in Refusal::ALL {
        let response = String::from_utf8(refusal.response()).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(STATUSES.contains(&refusal.status()), "{refusal:?}");
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
