//! Every rule of the upgrade.

use super::*;

#[track_caller]
fn assert_upgraded(request: &str) {
    let response = SWITCHING.as_bytes().to_vec();
    assert_eq!(answer(request), Ok(Answer::Upgrade { response }));
}

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

/// X1.17: of several reasons the version is said first, room last, and no other method upgrades.
#[test]
fn the_first_reason_decides() {
    let version = UPGRADE.replace("Version: 13", "Version: 8");
    let neither = version.replace("mles-websocket", "chat");
    let token = UPGRADE.replace("mles-websocket", "chat");
    for gate in [Gate::Open, Gate::Full, Gate::ShuttingDown] {
        assert_answered_at(&neither, gate, Refusal::WebSocketVersion);
        assert_answered_at(&version, gate, Refusal::WebSocketVersion);
        assert_answered_at(&token, gate, Refusal::Subprotocol);
        let other = neither.replacen("GET /", "PUT /nothing", 1);
        assert_answered_at(&other, gate, Refusal::Method);
    }
    let old = neither.replace("HTTP/1.1", "HTTP/2.0");
    assert_eq!(answer(&old), Err(Refusal::Version));
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
        assert_eq!(refusal.status(), 503);
        assert_answered_at(UPGRADE, gate, refusal);
        // What no retry can mend is said first.
        let wrong = altered("Sec-WebSocket-Protocol: mles-websocket", "");
        assert_answered_at(&wrong, gate, Refusal::Subprotocol);
    }
}
