//! Paths, rings, and whether trees merge.

use std::collections::BTreeMap;
use std::time::Duration;

use mles_sansio::{ConnId, DialFault, Event, Frame, Role};
use serde_json::{Value, json};

use super::player::{self, NONCES, Output, Player, open_peering};
use super::{each, same, text};
use crate::common::{START, lost};

struct Case {
    player: Player,
    /// The link with each node.
    links: BTreeMap<String, String>,
    count: usize,
}

impl Case {
    /// A name for a new connection with a node.
    fn connection(&mut self, uid: &str) -> String {
        self.count += 1;
        format!("{uid}#{}", self.count)
    }

    /// Until the node dials this peer; other peers cannot be had.
    fn wait_for(&mut self, uid: &str) -> Result<(), String> {
        for _ in 0..10_000 {
            for (name, output) in self.player.take() {
                if !matches!(output, Output::Dial) {
                    continue;
                }
                if name == uid {
                    return Ok(());
                }
                let (peer, why) = (self.player.peer(&name), DialFault::Unreachable);
                self.player.event(Event::DialFailed { peer, why });
            }
            self.player.wait(Duration::from_millis(10));
        }
        Err(format!("{uid} is never dialed"))
    }

    /// The node dials, and has a reply.
    fn reply(&mut self, uid: &str, path: &Value, probe: bool) -> Result<Value, String> {
        self.wait_for(uid)?;
        let name = self.connection(uid);
        let (peer, nonces) = (self.player.peer(uid), NONCES);
        let role = Role::Dialed { peer, nonces };
        self.player.open(&name, role, true);
        let asked = self.player.take();
        let (_, asked) = asked.first().ok_or("no handshake")?;
        let asked = self.player.shown(&name, asked)["frame"].clone();
        same("probe", &(asked["probe"] == json!(true)), &probe)?;
        let ts = self.player.world.now.unix;
        let reply = player::handshake(uid, path, ts, 1000, false, NONCES);
        self.player.frame(&name, reply);
        if probe {
            let dials =
                |(to, output): &(String, Output)| to == uid && matches!(output, Output::Dial);
            return Ok(json!({"stays": self.player.outputs.iter().any(dials)}));
        }
        Ok(self.linked(uid, name))
    }

    fn linked(&mut self, uid: &str, name: String) -> Value {
        let conn = self.player.conn(&name);
        let link = self.player.world.node.link(conn).is_some();
        if link {
            self.links.insert(uid.to_owned(), name);
        }
        json!({"link": link})
    }

    fn step(&mut self, step: &Value) -> Result<Value, String> {
        if let Some(uid) = step["reply"].as_str() {
            return self.reply(uid, &step["path"], false);
        }
        if let Some(uid) = step["probe_reply"].as_str() {
            return self.reply(uid, &step["path"], true);
        }
        self.player
            .outputs
            .retain(|(_, output)| matches!(output, Output::Dial));
        if let Some(uid) = step["dialed_by"].as_str() {
            let name = self.connection(uid);
            self.player.open(&name, Role::Peer(NONCES), true);
            let (ts, probe) = (self.player.world.now.unix, step["probe"] == json!(true));
            let opening = player::handshake(uid, &step["path"], ts, 1000, probe, NONCES);
            self.player.frame(&name, opening);
            return Ok(self.linked(uid, name));
        }
        if let Some(uid) = step["said"].as_str() {
            let mut frame = json!({"uid": uid, "peer": true, "path": step["path"]});
            if step["turn"] == json!(true) {
                frame["turn"] = json!(true);
            }
            let link = self.links[uid].clone();
            self.player.frame(&link, Frame::text(frame.to_string()));
        } else {
            let link = self.links[text(&step["lost"])].clone();
            let ConnId(conn) = self.player.conn(&link);
            self.player.event(lost(conn));
        }
        Ok(json!({}))
    }

    /// The answer, with the path and whatever path frames and closes there were.
    fn result(&mut self, mut answer: Value) -> Value {
        let node = &self.player.world.node;
        let path: Vec<String> = node.path().iter().map(ToString::to_string).collect();
        answer["path"] = json!(path);
        let mut above = node.links().filter(|(_, below)| !below);
        let upstream = above.next().map(|(uid, _)| uid.to_string());
        answer["upstream"] = json!(upstream);
        drop(above);
        let outputs = self.player.take();
        for (name, output) in outputs {
            let uid = name.split('#').next().unwrap().to_owned();
            let shown = self.player.shown(&name, &output);
            let frame = &shown["frame"];
            if frame["path"].is_array() && frame["ts"].is_null() {
                let mut said = json!({"path": frame["path"]});
                if frame["turn"] == json!(true) {
                    said["turn"] = json!(true);
                }
                if answer["told"][&uid].is_null() {
                    answer["told"][&uid] = json!([]);
                }
                answer["told"][&uid].as_array_mut().unwrap().push(said);
            } else if shown["code"].is_number() {
                answer["closed"][&uid] = shown["code"].clone();
            } else if matches!(output, Output::Dial) {
                self.player.outputs.push((name, output));
            }
        }
        answer
    }
}

#[test]
fn paths() {
    // R1, G1
    each("paths.json", 40, |case| {
        let given = &case["input"];
        let player = Player::new(open_peering(), text(&given["uid"]), START);
        let (links, count) = (BTreeMap::new(), 0);
        let mut run = Case {
            player,
            links,
            count,
        };
        let peers = given["peers"].as_array().unwrap().iter();
        let peers = peers.map(|peer| run.player.peer(text(peer))).collect();
        run.player.event(Event::Peers { peers });
        let expected = case["expect"]["steps"].as_array().unwrap();
        let steps = given["steps"].as_array().unwrap();
        same("steps", &steps.len(), &expected.len())?;
        for (at, (step, expected)) in steps.iter().zip(expected).enumerate() {
            let answer = run.step(step)?;
            let result = run.result(answer);
            same(&format!("step {at}"), &result, expected)?;
        }
        Ok(())
    });
}
