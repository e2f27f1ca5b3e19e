//! Peering (peering.md).

mod channels;
mod frames;
mod merging;
mod messages;
mod opening;
mod paths;
mod upstream;
mod waiting;

use std::sync::{Arc, Mutex};

use black_box::PEER_KEY;
use mles_conformance::hash;
use mles_conformance::wire::{Frame, Opcode};
use serde_json::{Value, json};

use crate::Mutant;
use crate::proxy::{Hooks, Wires};

pub(super) fn mutants() -> Vec<Mutant> {
    [
        opening::mutants(),
        frames::mutants(),
        channels::mutants(),
        messages::mutants(),
        waiting::mutants(),
        paths::mutants(),
        merging::mutants(),
        upstream::mutants(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A frame on a link; a message's with what is behind its header.
pub(crate) struct Passing {
    pub(crate) head: Value,
    pub(crate) payload: Option<Frame>,
}

impl Passing {
    /// Whether it is this about a channel: `have`, `done`, `node`, `path` or `turn`.
    pub(crate) fn has(&self, member: &str) -> bool {
        self.head.get(member).is_some()
    }

    pub(crate) fn is_handshake(&self) -> bool {
        self.has("auth") || self.has("max")
    }

    pub(crate) fn is_leave(&self) -> bool {
        self.head["peer"] == false
    }

    /// What is a message's payload, if it is a text.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.payload.as_ref()?.payload).ok()
    }
}

/// Finds the frames of links among those of a WebSocket.
#[derive(Default)]
struct Reader {
    header: Option<(Value, Frame)>,
}

impl Reader {
    /// Hands frames on with what `change` makes of them. It says whether the frame passes.
    fn pass(
        &mut self,
        frame: Frame,
        wires: &mut Wires,
        send: fn(&mut Wires, Frame),
        change: &mut impl FnMut(&mut Passing, &mut Wires) -> bool,
    ) {
        if frame.opcode.is_control() {
            return send(wires, frame);
        }
        let (mut passing, original) = match self.header.take() {
            Some((head, header)) => {
                let payload = Some(frame);
                (Passing { head, payload }, header)
            }
            None => {
                let head: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
                if head.get("node").is_some() {
                    self.header = Some((head, frame));
                    return;
                }
                if frame.opcode != Opcode::TEXT || head.get("peer").is_none() {
                    return send(wires, frame);
                }
                let payload = None;
                (Passing { head, payload }, frame)
            }
        };
        let before = passing.head.clone();
        if !change(&mut passing, wires) {
            return;
        }
        match passing.head == before {
            true => send(wires, original),
            false => send(wires, Frame::text(passing.head.to_string())),
        }
        if let Some(payload) = passing.payload {
            send(wires, payload);
        }
    }
}

/// What the server says on links is changed in this way; `change` says whether a frame passes.
pub(crate) fn down(change: impl FnMut(&mut Passing, &mut Wires) -> bool + Send + 'static) -> Hooks {
    and_down(Hooks::default(), change)
}

pub(crate) fn and_down(
    hooks: Hooks,
    mut change: impl FnMut(&mut Passing, &mut Wires) -> bool + Send + 'static,
) -> Hooks {
    let mut reader = Reader::default();
    hooks.down(move |frame, wires| {
        reader.pass(frame, wires, Wires::send_client, &mut change);
    })
}

/// What the judge says on links reaches the server changed in this way; `change` says whether a frame passes.
pub(crate) fn up(change: impl FnMut(&mut Passing, &mut Wires) -> bool + Send + 'static) -> Hooks {
    and_up(Hooks::default(), change)
}

pub(crate) fn and_up(
    hooks: Hooks,
    mut change: impl FnMut(&mut Passing, &mut Wires) -> bool + Send + 'static,
) -> Hooks {
    let mut reader = Reader::default();
    hooks.up(move |frame, wires| {
        reader.pass(frame, wires, Wires::send_server, &mut change);
    })
}

/// Frames that the proxy itself says to the judge.
pub(crate) fn say(wires: &mut Wires, frame: &Value) {
    wires.send_client(Frame::text(frame.to_string()));
}

/// Frames that the proxy itself says to the server.
pub(crate) fn tell_server(wires: &mut Wires, frame: &Value) {
    wires.send_server(Frame::text(frame.to_string()));
}

/// Close frames of the server are changed in this way: code and reason.
fn closes(change: impl Fn(u16, String) -> (u16, String) + Send + 'static) -> Hooks {
    Hooks::default().down(move |frame, wires| {
        let frame = match frame.opcode == Opcode::CLOSE {
            true => {
                let close = frame.as_close();
                let (code, reason) = change(close.code.unwrap_or_default(), close.reason);
                Frame::close(code, &reason)
            }
            false => frame,
        };
        wires.send_client(frame);
    })
}

/// Where the server closes with one code, it closes with another.
fn closes_with(from: u16, to: u16) -> Hooks {
    closes(move |code, reason| (if code == from { to } else { code }, reason))
}

/// The server closes nothing with this code, and leaves the connection open.
fn never_closes_with(code: u16) -> Hooks {
    Hooks::default()
        .down(move |frame, wires| {
            if frame.opcode != Opcode::CLOSE || frame.as_close().code != Some(code) {
                wires.send_client(frame);
            }
        })
        .server_ended(|_| ())
}

/// What both ends have drawn for a connection.
pub(crate) type Nonces = Arc<Mutex<[String; 2]>>;

/// Hooks that learn the nonces.
pub(crate) fn learning() -> (Hooks, Nonces) {
    let nonces = Nonces::default();
    let (dialers, acceptors) = (nonces.clone(), nonces.clone());
    let hooks = Hooks::default()
        .request(move |request, _| {
            let nonce = request.all("Mles-Nonce").next().unwrap_or_default();
            dialers.lock().unwrap()[0] = nonce.to_owned();
        })
        .response(move |response, _| {
            let nonce = response.field("Mles-Nonce").unwrap_or_default();
            acceptors.lock().unwrap()[1] = nonce.to_owned();
        });
    (hooks, nonces)
}

/// Makes the `auth` of a handshake right.
fn prove(handshake: &mut Value, nonces: &Nonces) {
    let text = |name: &str| handshake[name].as_str().unwrap_or_default().to_owned();
    let (uid, channel) = (text("uid"), text("channel"));
    let [dialer, acceptor] = &*nonces.lock().unwrap();
    let auth = hash(&[&uid, &channel, PEER_KEY.1, dialer, acceptor]);
    handshake["auth"] = json!(format!("{auth:016x}"));
}

/// The judge's handshake reaches the server changed in this way, and is right then.
fn handshakes(change: impl Fn(&mut Value, &mut Wires) + Send + 'static) -> Hooks {
    let (hooks, nonces) = learning();
    and_up(hooks, move |passing, wires| {
        if passing.is_handshake() {
            change(&mut passing.head, wires);
            prove(&mut passing.head, &nonces);
        }
        true
    })
}
