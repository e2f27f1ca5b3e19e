//! Frames on a link: what they say, and what an end of a link makes of them.

use mles_sansio::peering::wire::{self, LinkFrame};
use mles_sansio::{Closing, ConnId, Frame, NodeId, PeerId, Role, Violation};
use serde_json::{Value, json};

use super::player::{self, NONCES, OWN, Output, Player, open_peering};
use super::{each, same, text};
use crate::common::START;

/// What the core makes of a frame, as `expect` writes it.
fn said(frame: &Frame) -> Option<Value> {
    let said = wire::parse(frame)?;
    let name = |uid: &NodeId| json!(uid.to_string());
    let list = |path: &[NodeId]| path.iter().map(name).collect::<Vec<_>>();
    let mut value = match &said {
        LinkFrame::Handshake(it) => json!({
            "is": "handshake", "uid": name(&it.uid), "channel": &*it.channel,
            "auth": it.auth.as_ref().map(|auth| auth.reveal()), "path": list(&it.path),
            "ts": it.ts, "max": it.max, "probe": it.probe,
        }),
        LinkFrame::Path { uid, path, turn } => {
            let is = if *turn { "turn" } else { "path" };
            json!({"is": is, "uid": name(uid), "path": list(path)})
        }
        LinkFrame::Join { uid, channel, have } => {
            let have: serde_json::Map<String, Value> = have
                .iter()
                .map(|(origin, seq)| (origin.to_string(), json!(seq)))
                .collect();
            json!({"is": "join", "uid": name(uid), "channel": &**channel, "have": have})
        }
        LinkFrame::Done { uid, channel } => {
            json!({"is": "done", "uid": name(uid), "channel": &**channel})
        }
        LinkFrame::Leave { uid, channel } => {
            json!({"is": "leave", "uid": name(uid), "channel": &**channel})
        }
        LinkFrame::Message(it) => json!({
            "is": "message", "uid": &*it.uid, "channel": &*it.channel, "node": name(&it.origin),
            "seq": it.seq, "ts": it.ts,
        }),
    };
    let written = said.compose();
    value["written"] = json!(String::from_utf8_lossy(&written.payload));
    Some(value)
}

/// A node with a link whose end this one is, and a join outstanding on it.
fn linked(end: &str, other: &str) -> Player {
    let mut player = Player::new(open_peering(), OWN, START);
    if end == "upper" {
        player::below(&mut player, "link", other, 1000, 0);
        let join = json!({"uid": other, "channel": "room", "peer": true, "have": {}});
        player.frame("link", Frame::text(join.to_string()));
    } else {
        player::above(&mut player, "link", other, &[], 1000, 0);
        player.open("alice", Role::Accepted, true);
        let header = r#"{"uid":"alice","channel":"room"}"#;
        player.frame("alice", Frame::text(header));
    }
    if end == "turning" {
        // Another tree is found, and the link to this one turned (G1.3).
        let peers = vec![PeerId(0), player.peer("other")];
        player.event(mles_sansio::Event::Peers { peers });
        for _ in 0..2 {
            player.wait(std::time::Duration::from_secs(1));
            let (peer, nonces) = (player.peer("other"), NONCES);
            player.open("other", Role::Dialed { peer, nonces }, true);
            let (root, ts) = ("f".repeat(32), player.world.now.unix);
            let reply = player::handshake(&root, &json!([]), ts, 1000, false, NONCES);
            player.frame("other", reply);
        }
        let turned = player.world.node.links().all(|(_, below)| !below);
        assert!(!turned && player.world.node.links().count() == 2);
    }
    let link = player.world.node.link(ConnId(0));
    assert_eq!(link.map(|uid| uid.to_string()).as_deref(), Some(other));
    player
}

/// What a frame closes the link with.
fn closing(end: &str, other: &str, frame: Frame) -> Option<Closing> {
    let mut player = linked(end, other);
    player.take();
    player.frame("link", frame);
    let mut outputs = player.take().into_iter();
    outputs.find_map(|output| match output {
        (name, Output::Close(why)) if name == "link" => Some(why),
        _ => None,
    })
}

#[test]
fn frames() {
    // F1.1, F1.2, F1.4, R1.7
    each("frames.json", 150, |case| {
        let mut payload = text(&case["input"]).to_owned();
        let length = case["length"].as_u64().unwrap_or(0);
        while (payload.len() as u64) < length {
            payload.push(' ');
        }
        let frame = match case["kind"].as_str() {
            Some("binary") => Frame::binary(payload),
            Some("text") | None => Frame::text(payload),
            Some(kind) => return Err(format!("unknown kind {kind}")),
        };
        let refused = case["expect"]["code"].as_u64();
        if let Some(end) = case["end"].as_str() {
            let why = closing(end, text(&case["other"]), frame);
            let code = why.map(|why| u64::from(why.code()));
            return same("close code", &code, &refused);
        }
        let got = said(&frame).unwrap_or(Value::Null);
        if refused.is_none() {
            return same("said", &got, &case["expect"]);
        }
        same("said", &got, &Value::Null)?;
        // On a link it is a fault, whoever says it.
        let why = closing("upper", &"a".repeat(32), frame);
        let expected = Closing::Violation(Violation::LinkFrame);
        same("closing", &why, &Some(expected))
    });
}
