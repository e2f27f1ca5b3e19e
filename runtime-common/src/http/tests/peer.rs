//! The upgrade between nodes.

use super::*;
use crate::address::Address;

const NONCE: u128 = 0x0123_4567_89ab_cdef_0000_0000_0000_00ff;

fn nonce_in(lines: &str) -> Option<u128> {
    let request = UPGRADE.replacen("Upgrade: websocket\r\n", lines, 1);
    let (head, _) = parse_head(request.as_bytes()).unwrap().unwrap();
    nonce(&head)
}

#[test]
fn a_nonce_has_one_form() {
    let good = "0123456789abcdef00000000000000ff";
    assert_eq!(nonce_in(&format!("Mles-Nonce: {good}\r\n")), Some(NONCE));
    assert_eq!(nonce_in(&format!("MLES-NONCE:{good} \r\n")), Some(NONCE));
    let upper = good.to_uppercase();
    let longer = format!("0{good}");
    for bad in [
        "",
        "0",
        &good[1..],
        &upper,
        &longer,
        "+123456789abcdef00000000000000ff",
    ] {
        assert_eq!(nonce_in(&format!("Mles-Nonce: {bad}\r\n")), None, "{bad}");
    }
    assert_eq!(nonce_in(""), None);
    let twice = format!("Mles-Nonce: {good}\r\nMles-Nonce: {good}\r\n");
    assert_eq!(nonce_in(&twice), None);
}

/// What one end asks, the other grants, and the first understands.
#[test]
fn both_ends_understand_each_other() {
    for url in ["wss://mles.example", "wss://[::1]:8077/a?b=c"] {
        let asked = Upgrade::new(&Address::parse(url).unwrap(), Some(NONCE));
        let (head, used) = parse_head(&asked.request).unwrap().unwrap();
        assert_eq!((used, nonce(&head)), (asked.request.len(), Some(NONCE)));
        let Answer::Upgrade { mut response } = respond(&head, Gate::Open, &Health::default())
        else {
            panic!("{url}");
        };
        assert_eq!(asked.answer(&response), Ok(Some((None, response.len()))));
        add_nonce(&mut response, 7);
        let length = response.len();
        for cut in 0..length {
            assert_eq!(asked.answer(&response[..cut]), Ok(None), "{cut}");
        }
        response.extend_from_slice(b"\x88\x00");
        assert_eq!(asked.answer(&response), Ok(Some((Some(7), length))));
    }
}

#[test]
fn who_is_no_mles_server() {
    let asked = Upgrade::new(&Address::parse("wss://mles.example").unwrap(), Some(NONCE));
    let (head, _) = parse_head(&asked.request).unwrap().unwrap();
    let Answer::Upgrade { response } = respond(&head, Gate::Open, &Health::default()) else {
        panic!("a good request");
    };
    let good = String::from_utf8(response).unwrap();
    let other = |from: &str, to: &str| good.replacen(from, to, 1);
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_MAX));
    for (answer, what) in [
        ("\x15\x03\x01".to_owned(), "does not speak HTTP"),
        (other("101", "404"), "HTTP 404"),
        (other("101", "503"), "no room"),
        (other("Accept: ", "Accept: x"), "no WebSocket"),
        (other("Upgrade: websocket\r\n", ""), "no WebSocket"),
        (other("mles-websocket", "chat"), "did not choose"),
        (
            other("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
            "no WebSocket",
        ),
        (long, "longer"),
    ] {
        let error = asked.answer(answer.as_bytes()).unwrap_err();
        assert!(error.contains(what), "{error}: {what}");
    }
    // One who does not know peering may say anything else in its place.
    let nonce = other("\r\n\r\n", "\r\nMles-Nonce: what?\r\n\r\n");
    assert_eq!(
        asked.answer(nonce.as_bytes()),
        Ok(Some((None, nonce.len())))
    );
}
