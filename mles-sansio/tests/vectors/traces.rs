//! Whole traces: each event is handed to its node, and what each connection is sent is compared.

use std::collections::BTreeMap;
use std::time::Duration;

use mles_sansio::{Config, ConnId, DialFault, Ending, Event, Frame, Key, Role, peering};
use serde_json::{Value, json};

use super::player::{Player, accepted, nonces, payload};
use super::{number, same, text};
use crate::common::{START, lost};

/// A node as a trace configures it.
fn node(settings: &Value) -> Player {
    let key = |name: &str| {
        let key = settings[name].as_str();
        key.and_then(|key| Key::new(key.as_bytes()))
    };
    let mut config = Config {
        key: key("key"),
        peering: peering::Config {
            key: key("peer_key"),
            open: settings["open_peering"] == json!(true),
            ..peering::Config::default()
        },
        ..Config::default()
    };
    if let Some(limit) = settings["limit"].as_u64() {
        config.history_limit = usize::try_from(limit).unwrap();
    }
    let clock = settings["clock"].as_u64().unwrap_or(START);
    Player::new(config, text(&settings["uid"]), clock)
}

/// What an event of a trace may be.
const EVENTS: [&str; 14] = [
    "opened", "dialed", "fails", "frame", "pong", "heard", "closes", "lost", "overrun", "drained",
    "peers", "passes", "clock", "shutdown",
];

/// Hands an event of a trace to its node.
fn hand(player: &mut Player, event: &Value) {
    let answers = event["answers"] == json!(true);
    let what = EVENTS.into_iter().find(|what| !event[what].is_null());
    let what = what.unwrap_or_else(|| panic!("unknown event {event}"));
    let value = &event[what];
    let name = value.as_str().unwrap_or_default();
    match what {
        "opened" => {
            let role = accepted(&event["nonces"]);
            player.open(name, role, answers);
        }
        "dialed" => {
            let (peer, nonces) = (player.peer(name), nonces(&event["nonces"]));
            let role = Role::Dialed { peer, nonces };
            player.open(text(&event["connection"]), role, answers);
        }
        "frame" => {
            let frame: Frame = payload(event);
            player.frame(name, frame);
        }
        "fails" => {
            let (peer, why) = (player.peer(name), DialFault::Unreachable);
            player.event(Event::DialFailed { peer, why });
        }
        "peers" => {
            let names = value.as_array().unwrap().iter();
            let peers = names.map(|name| player.peer(text(name))).collect();
            player.event(Event::Peers { peers });
        }
        "passes" => player.wait(Duration::from_millis(number(value))),
        "clock" => player.set_clock(value.as_i64().unwrap()),
        "shutdown" => player.event(Event::Shutdown),
        _ => {
            let conn = player.conn(name);
            let ConnId(id) = conn;
            player.event(match what {
                "pong" => Event::Pong { conn },
                "heard" => Event::Heard { conn },
                "overrun" => Event::Overrun { conn },
                "drained" => Event::Drained { conn },
                "closes" => {
                    let code = u16::try_from(number(&event["code"])).unwrap();
                    let how = Ending::CloseFrame(code);
                    Event::Closed { conn, how }
                }
                _ => lost(id),
            });
        }
    }
    player.wait(Duration::ZERO); // What is due at once is done at once.
}

/// Actions by whom they are for: between connections the order is free.
fn sorted(actions: impl Iterator<Item = Value>) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for mut action in actions {
        if let Some(action) = action.as_object_mut() {
            action.remove("clause");
        }
        let to = ["send", "close", "ping", "dial"]
            .into_iter()
            .find_map(|what| action[what].as_str());
        let kind = if action["dial"].is_string() {
            "dial "
        } else {
            ""
        };
        let to = format!("{kind}{}", to.expect("whom it is for"));
        all.entry(to).or_default().push(action);
    }
    all
}

fn run(trace: &Value) -> Result<(), String> {
    let nodes = trace["nodes"].as_object().unwrap().iter();
    let mut nodes: BTreeMap<&str, Player> = nodes
        .map(|(name, settings)| (&**name, node(settings)))
        .collect();
    for (at, step) in trace["steps"].as_array().unwrap().iter().enumerate() {
        let (name, event) = (text(&step["node"]), &step["event"]);
        let player = nodes.get_mut(name).ok_or("an unknown node")?;
        if event["restarts"].is_object() {
            let now = player.world.now;
            *player = node(&event["restarts"]);
            assert_eq!(player.world.now.unix, now.unix);
            continue;
        }
        hand(player, event);
        let outputs = player.take();
        let mut got = Vec::new();
        for (name, output) in outputs {
            got.push(player.shown(&name, &output));
        }
        let expected = step["expect"].as_array().unwrap().iter().cloned();
        let (got, expected) = (sorted(got.into_iter()), sorted(expected));
        same(&format!("step {at}, {event}"), &got, &expected)?;
    }
    Ok(())
}

#[test]
fn traces() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors/traces");
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let trace = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let trace: Value = serde_json::from_str(&trace).unwrap();
        count += 1;
        if let Err(why) = run(&trace) {
            wrong.push(format!("{}: {why}", trace["id"]));
        }
    }
    assert!(count >= 20, "{count} traces only");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
