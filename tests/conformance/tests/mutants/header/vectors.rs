//! The published vectors: each that has to be refused is taken, and each that has to be accepted is refused.

use serde_json::{Value, json};

use super::{closes_with, first, refuses, takes};
use crate::proxy::Hooks;
use crate::{Mutant, is_data, mutant};

pub(super) fn mutants() -> Vec<Mutant> {
    let text = include_str!("../../../../../spec/vectors/headers.json");
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    let mut mutants: Vec<_> = vectors.iter().map(of).collect();
    mutants.extend([
        mutant("H4.3/peer-true-auth", "looks at auth first", || {
            closes_with(4001, 4011)
        }),
        mutant("H1.2/around", "waits for a brace", || {
            first(|first, wires| {
                if first.payload.starts_with(b"{") {
                    wires.send_server(first.frame());
                }
            })
        }),
        mutant("H1.9/surrogate-pair", "does not join surrogates", || {
            renames(|_| "\u{fffd}\u{fffd}".into())
        }),
        mutant("H2.4/space-names", "trims names", || {
            renames(|uid| uid.trim().into())
        }),
        mutant("H2.4/bom-in-name", "drops a byte order mark", || {
            renames(|uid| uid.trim_start_matches('\u{feff}').into())
        }),
        mutant("H2.4/not-normalised", "normalises names", || {
            renames(|uid| uid.replace("e\u{301}", "\u{e9}"))
        }),
        mutant("H1.2/all-escapes", "does not resolve escapes", || {
            renames(|uid| uid.replace('\n', "\\n"))
        }),
        mutant("H1.6/unknown-first", "finds names anywhere", || {
            renames(|_| "mallory".into())
        }),
        mutant("H1.6/name-case", "takes Uid for uid", || {
            renames(|_| "bob".into())
        }),
    ]);
    mutants
}

fn of(vector: &Value) -> Mutant {
    let clause = vector["clause"]
        .as_str()
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let id = vector["id"]
        .as_str()
        .unwrap()
        .strip_prefix("headers/")
        .unwrap();
    let case = format!("{clause}/{id}");
    let expect = &vector["expect"];
    if expect["code"].is_u64() || expect["peer"] == true {
        mutant(case, "takes it for a header", || takes(|_| true))
    } else {
        mutant(case, "refuses it", || refuses(4000, |_| true))
    }
}

/// Announces other uids than the watcher's under other names.
fn renames(name: impl Fn(&str) -> String + Send + 'static) -> Hooks {
    Hooks::default().down(move |mut frame, wires| {
        if is_data(&frame)
            && let Ok(value) = serde_json::from_slice::<Value>(&frame.payload)
            && let (Some(uid), Some(channel)) = (value["uid"].as_str(), value["channel"].as_str())
        {
            let renamed = json!({"uid": name(uid), "channel": channel});
            frame.payload = renamed.to_string().into_bytes();
        }
        wires.send_client(frame);
    })
}
