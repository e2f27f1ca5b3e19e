//! What the peer settings come to, for `--check-config`: whom the server dials, whom it believes, whom it takes.

use super::report::Value;
use super::units::show_duration;
use super::{KeySource, Peering};
use crate::address::Address;
use crate::peers_list;
use crate::tls;

/// One line for each peer that is named, one for each thing that holds for all of them; and what is wrong with the file
/// of peers. Nothing for a server that has no peers and takes none. One line for each bridge.
pub(super) fn peering(peering: &Peering, values: &[Value]) -> (Vec<String>, Vec<String>) {
    let origin = |key| {
        let value = values.iter().find(|value| value.key == key);
        value.map_or(key, |value| &*value.origin)
    };
    let bridge = |bridge: &Address| {
        let mut ways = ways(peering, bridge);
        ways.push(authority(bridge));
        let good = good(&ways);
        format!("bridge to wss://{bridge} ({}): {good}", origin("bridge"))
    };
    let mut lines: Vec<String> = peering.bridges.iter().map(bridge).collect();
    if !peering.is_on() {
        return (lines, Vec::new());
    }
    let peer = |peer: &Address, place: &str| {
        let certificate = certificate(peering, peer);
        format!("peer wss://{peer} ({place}): {certificate}")
    };
    for named in &peering.peers {
        lines.push(peer(named, origin("peer")));
    }
    let mut mistakes = Vec::new();
    // What has no path is a mistake that was already told.
    if let Some(file) = &peering.file
        && !file.path.as_os_str().is_empty()
    {
        let found = peers_list::of_file(file, &peering.peers);
        let path = file.path.display();
        for (line, address) in found.peers {
            if !peering.peers.contains(&address) {
                lines.push(peer(&address, &format!("'{path}', line {line}")));
            }
        }
        mistakes = found.mistakes;
    }
    if let Some(url) = &peering.url {
        let (interval, origin) = (show_duration(peering.url_interval), origin("peers-url"));
        lines.push(format!(
            "peers of {url} ({origin}): fetched only when the server runs, and then every {interval}; they come behind \
             all others"
        ));
    }
    lines.push(match &peering.key {
        KeySource::None => {
            "peer key: not set: only servers with --open-peering take this one as a peer".to_owned()
        }
        KeySource::File(file) => {
            format!("peer key: the first line of '{}'", file.path.display())
        }
        KeySource::Environment(_) => format!("peer key: set ({})", origin("peer-key")),
    });
    lines.push(match (peering.takes(), peering.open) {
        (false, _) => "peers that connect: refused, there is no peer key".to_owned(),
        (true, true) => format!(
            "peers that connect: accepted, whoever they are ({})",
            origin("open-peering")
        ),
        (true, false) => "peers that connect: accepted if they know the peer key".to_owned(),
    });
    (lines, mistakes)
}

/// What a peer's certificate has to be like.
fn certificate(peering: &Peering, peer: &Address) -> String {
    let mut ways = ways(peering, peer);
    if ways.is_empty() {
        ways.push(authority(peer));
    }
    good(&ways)
}

fn good(ways: &[String]) -> String {
    format!("good if its certificate {}", ways.join(", or "))
}

fn authority(address: &Address) -> String {
    let host = &address.host;
    format!("is of an authority that this machine trusts, and is for '{host}'")
}

/// How the settings say that a certificate may be good.
fn ways(peering: &Peering, peer: &Address) -> Vec<String> {
    let mut ways = Vec::new();
    if let Some(file) = &peering.ca {
        let path = file.path.display();
        let found = tls::trusted_certificates(file).ok();
        let which = match found.map(|found| found.len()) {
            // That is a mistake of its own.
            None => format!("is one of those in '{path}' or signed with one of them"),
            Some(1) => format!("is the one in '{path}' or signed with it"),
            Some(count) => format!("is one of the {count} in '{path}' or signed with one of them"),
        };
        ways.push(format!("{which}, and is for '{}' (--peer-ca)", peer.host));
    }
    match peering.fingerprints.len() {
        0 => {}
        1 => ways.push("has the fingerprint of --peer-fingerprint".to_owned()),
        count => ways.push(format!(
            "has one of the {count} fingerprints of --peer-fingerprint"
        )),
    }
    ways
}
