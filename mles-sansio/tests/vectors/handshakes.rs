//! How a link opens, or does not.

use std::time::Duration;

use mles_sansio::{Closing, Config, Event, Frame, Key, Role, peering};
use serde_json::{Value, json};

use super::player::{self, Output, Player, accepted, clause, nonces};
use super::{each, number, same, text};

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().unwrap().iter();
    values.map(|value| text(value).to_owned()).collect()
}

/// The node of a case, with the links that it has before.
fn prepared(given: &Value) -> Player {
    let key = given["peer_key"].as_str();
    let peering = peering::Config {
        key: key.and_then(|key| Key::new(key.as_bytes())),
        open: given["open"] == json!(true),
        ..peering::Config::default()
    };
    let config = Config {
        peering,
        ..Config::default()
    };
    let mut player = Player::new(config, text(&given["uid"]), number(&given["clock"]));
    let mut path = strings(&given["path"]);
    if let Some(upstream) = path.pop() {
        let peer = player.peer(&upstream);
        player.event(Event::Peers { peers: vec![peer] });
        player.wait(Duration::ZERO);
        let nonces = player::NONCES;
        player.open(&upstream, Role::Dialed { peer, nonces }, true);
        hello(&mut player, given, &upstream, &path);
    }
    let more = (0..number(&given["more_links"])).map(|n| format!("{:032x}", n + 0xabc000));
    for uid in strings(&given["linked"]).into_iter().chain(more) {
        player.open(&uid, Role::Peer(player::NONCES), true);
        hello(&mut player, given, &uid, &[]);
    }
    player
}

fn hello(player: &mut Player, given: &Value, uid: &str, path: &[String]) {
    let key = given["peer_key"].as_str();
    let key = key.and_then(|key| Key::new(key.as_bytes()));
    let auth = mles_sansio::auth::link_hash(uid, "mles", key.as_ref(), player::NONCES);
    let frame = json!({
        "uid": uid, "channel": "mles", "auth": format!("{auth:016x}"), "peer": true, "path": path,
        "ts": player.world.now.unix, "max": 1000,
    });
    player.frame(uid, Frame::text(frame.to_string()));
    let conn = player.conn(uid);
    let linked = player.world.node.link(conn).map(|uid| uid.to_string());
    assert_eq!(linked.as_deref(), Some(uid));
}

#[test]
fn handshakes() {
    // O1, R1.1, R1.7
    each("handshakes.json", 50, |case| {
        let given = &case["input"];
        let mut player = prepared(given);
        if given["dialed"] == json!(false) {
            let role = accepted(&given["nonces"]);
            player.open("it", role, true);
        } else {
            let peer = player.peer("it");
            player.event(Event::Peers { peers: vec![peer] });
            player.wait(Duration::ZERO);
            let nonces = nonces(&given["nonces"]);
            player.open("it", Role::Dialed { peer, nonces }, true);
        }
        player.take();
        player.frame("it", Frame::text(text(&given["frame"]).to_owned()));
        let conn = player.conn("it");
        let mut got = json!({"link": player.world.node.link(conn).is_some()});
        for (name, output) in player.take() {
            match (&*name, &output) {
                ("it", Output::Close(why)) => {
                    got["code"] = json!(why.code());
                    if let Closing::Violation(violation) = why {
                        got["refused"] = json!(clause(*violation));
                    }
                }
                ("it", _) => got["reply"] = player.shown("it", &output)["frame"].clone(),
                (_, Output::Close(why)) => got["closed"][&name] = json!(why.code()),
                (_, Output::Frame(_) | Output::Ping | Output::Dial) => {}
            }
        }
        same("outcome", &got, &case["expect"])
    });
}
