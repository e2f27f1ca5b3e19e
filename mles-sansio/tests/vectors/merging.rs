//! What nodes give each other of a channel's history.

use std::collections::BTreeSet;
use std::time::Duration;

use mles_sansio::{Config, ConnId, Frame, Role, peering};
use serde_json::{Value, json};

use super::player::{self, Output, Player, hex, payload};
use super::{each, number, same, text};
use crate::common::{START, lost};

struct Case {
    player: Player,
    links: BTreeSet<String>,
}

fn config(given: &Value) -> Config {
    let limits = &given["limits"];
    let mut config = Config::default();
    if let Some(limit) = limits["limit"].as_u64() {
        config.history_limit = usize::try_from(limit).unwrap();
    }
    if let Some(bytes) = limits["channel_bytes"].as_u64() {
        config.history_channel_bytes = bytes;
    }
    if let Some(bytes) = limits["history_bytes"].as_u64() {
        config.history_bytes = bytes;
    }
    config.peering = peering::Config {
        open: true,
        max_payload: given["max"].as_u64().unwrap_or(16 << 20),
        ..peering::Config::default()
    };
    config
}

impl Case {
    fn link(&mut self, step: &Value) {
        let (name, uid) = (text(&step["link"]), text(&step["uid"]));
        let max = step["max"].as_u64().unwrap_or(16 << 20);
        let ahead = step["ahead"].as_i64().unwrap_or(0) * 1_000_000;
        self.links.insert(name.to_owned());
        if step["end"] == json!("upper") {
            player::below(&mut self.player, name, uid, max, ahead);
        } else {
            player::above(&mut self.player, name, uid, &[], max, ahead);
        }
    }

    /// A message comes; says how often it is accepted.
    fn message(&mut self, step: &Value) -> u64 {
        let before = self.player.world.node.stats().link_accepted;
        let (link, node) = (text(&step["said"]), hex(&step["node"]));
        for n in 0..step["times"].as_u64().unwrap_or(1) {
            let label = json!({
                "uid": step["uid"], "channel": step["channel"], "seq": step["seq"],
                "node": format!("{:032x}", node + u128::from(n)), "ts": number(&step["ts"]) + n,
            });
            self.player.frame(link, Frame::text(label.to_string()));
            self.player.frame(link, payload(step));
        }
        self.player.world.node.stats().link_accepted - before
    }

    /// Does a step; gives how often a message was accepted, if one came.
    fn step(&mut self, step: &Value) -> Option<u64> {
        let player = &mut self.player;
        if let Some(name) = step["join"].as_str() {
            let header = json!({"uid": step["uid"], "channel": step["channel"]});
            player.open(name, Role::Accepted, true);
            player.frame(name, Frame::text(header.to_string()));
        } else if let Some(name) = step["message"].as_str() {
            player.frame(name, payload(step));
        } else if let Some(name) = step["leave"].as_str().or(step["lost"].as_str()) {
            let ConnId(conn) = player.conn(name);
            player.event(lost(conn));
        } else if step["link"].is_string() {
            self.link(step);
        } else if let Some(seconds) = step["wait"].as_u64() {
            player.wait(Duration::from_secs(seconds));
        } else if let Some(seconds) = step["clock"].as_i64() {
            player.set_clock(seconds);
        } else if step["node"].is_string() {
            return Some(self.message(step));
        } else {
            let link = text(&step["said"]);
            let conn = player.conn(link);
            let uid = player.world.node.link(conn).unwrap().to_string();
            let mut frame = json!({"uid": uid, "peer": true});
            for (name, value) in step.as_object().unwrap() {
                if name != "said" {
                    frame[name] = value.clone();
                }
            }
            player.frame(link, Frame::text(frame.to_string()));
        }
        None
    }

    /// What a step has led to, as `expect` writes it.
    fn result(&mut self, step: &Value, accepted: Option<u64>) -> Value {
        let mut result = json!({});
        let times = step["times"].is_number();
        match accepted {
            Some(count) if times => result["accepted"] = json!(count),
            Some(count) => result["accepted"] = json!(count == 1),
            None => {}
        }
        let mut delivered = Vec::new();
        for (name, output) in self.player.take() {
            if !self.links.contains(&name) {
                delivered.push(name);
                continue;
            }
            let mut sent = match &output {
                Output::Close(why) => json!({"close": why.code()}),
                Output::Dial | Output::Ping => continue,
                Output::Frame(_) => self.player.shown(&name, &output)["frame"].clone(),
            };
            let Some(members) = sent.as_object_mut().filter(|it| !it.contains_key("path")) else {
                continue;
            };
            let refused = members.get("peer") == Some(&json!(false));
            members.remove("uid");
            if !refused {
                members.remove("peer");
            }
            if result["sent"].is_null() {
                result["sent"] = json!({});
            }
            if result["sent"][&name].is_null() {
                result["sent"][&name] = json!([]);
            }
            result["sent"][&name].as_array_mut().unwrap().push(sent);
        }
        delivered.sort();
        if !delivered.is_empty() && accepted.is_some() && !times {
            result["delivered"] = json!(delivered);
        }
        result
    }
}

#[test]
fn merging() {
    // S1, S2, C1, F1.5, F1.6, M3
    each("merging.json", 80, |case| {
        let given = &case["input"];
        let player = Player::new(config(given), text(&given["uid"]), START);
        let links = BTreeSet::new();
        let mut run = Case { player, links };
        let mut channels = BTreeSet::new();
        for (at, step) in given["steps"].as_array().unwrap().iter().enumerate() {
            run.player.wait(Duration::from_millis(1));
            if let Some(channel) = step["channel"].as_str() {
                channels.insert(channel);
            }
            let accepted = run.step(step);
            let result = run.result(step, accepted);
            let expected = case["expect"]["steps"].get(at.to_string());
            let expected = expected.cloned().unwrap_or_else(|| json!({}));
            same(&format!("step {at}"), &result, &expected)?;
        }
        let mut history = json!({});
        for channel in channels {
            let entries = run.player.world.node.history(channel);
            let entries = entries.map(|e| json!([e.origin.to_string(), e.seq, e.ts]));
            let entries: Vec<Value> = entries.collect();
            if !entries.is_empty() {
                history[channel] = json!(entries);
            }
        }
        same("history", &history, &case["expect"]["history"])
    });
}
