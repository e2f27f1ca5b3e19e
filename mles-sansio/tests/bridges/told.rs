//! Nodes with bridges, and what is heard on either side.

use std::time::Duration;

use mles_sansio::{BridgeTrouble, Config, Frame, Notice, header, peering};

use crate::net::{Net, seeds};

pub(crate) const ADDRESS: &str = "wss://older.example";

pub(crate) fn config() -> Config {
    Config {
        bridges: vec![ADDRESS.into()],
        ..plain()
    }
}

pub(crate) fn plain() -> Config {
    Config {
        peering: peering::Config {
            open: true,
            ..peering::Config::default()
        },
        ..Config::default()
    }
}

/// One node with a bridge.
pub(crate) fn net() -> Net {
    let mut net = Net::new();
    net.add(config(), &seeds(1)[0], 0);
    net
}

pub(crate) fn settle(net: &mut Net, seconds: u64) {
    net.settle(Duration::from_secs(seconds));
}

pub(crate) fn texts(frames: &[Frame]) -> Vec<String> {
    let text = |frame: &Frame| String::from_utf8_lossy(&frame.payload).into_owned();
    frames.iter().map(text).collect()
}

pub(crate) fn received(net: &Net, client: usize) -> Vec<String> {
    texts(&net.clients[client].received)
}

/// What a client of the older server has received, but for announcements.
pub(crate) fn abroad(net: &Net, client: usize) -> Vec<String> {
    let mut texts = texts(&net.older.clients[client].received);
    texts.retain(|text| !text.starts_with('{'));
    texts
}

pub(crate) fn announcement(uid: &str) -> String {
    let frame = header::announcement(uid, "room");
    texts(&[frame]).remove(0)
}

pub(crate) fn say(net: &mut Net, client: usize, text: &str) {
    net.say(client, Frame::text(text.to_owned()));
}

pub(crate) fn troubles(net: &Net) -> Vec<BridgeTrouble> {
    let mut troubles = Vec::new();
    for (_, notice) in &net.notices {
        if let Notice::BridgeTrouble { trouble, .. } = notice {
            troubles.push(*trouble);
        }
    }
    troubles
}
