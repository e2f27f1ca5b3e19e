//! The other servers that this one makes a network with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::KeySource;
use super::layer::Given;
use crate::address::Address;
use crate::file::NamedFile;
use crate::tls;

/// How the server peers with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peering {
    /// Whom to dial, in order of preference, without repeats: at most [`PEERS_MAX`].
    pub peers: Vec<Address>,
    /// A file that names more of them, see [`crate::peers_list`].
    pub file: Option<NamedFile>,
    /// A page of the Web that names yet more.
    pub url: Option<NamedUrl>,
    /// How long a list from there is good: 1 s to 24 h.
    pub url_interval: Duration,
    /// The key of the network of servers (O1.4), apart from that of the clients.
    pub key: KeySource,
    /// Whether peers are taken without a key (O1.5).
    pub open: bool,
    /// Certificates that a peer may have, or be signed with; without any, and without fingerprints, the
    /// authorities that the operating system trusts.
    pub ca: Option<NamedFile>,
    /// SHA-256 fingerprints of certificates that a peer may have, whatever their names.
    pub fingerprints: Vec<[u8; 32]>,
    /// Servers without peering that this one is bridged to (B1.1), without repeats: at most [`BRIDGES_MAX`].
    pub bridges: Vec<Address>,
}

/// A page of the Web that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedUrl {
    /// Where it is.
    pub address: Address,
    /// Where the configuration names it, for mistakes.
    pub name: String,
}

impl NamedUrl {
    /// A page at this address, which stands under this name in the configuration.
    pub fn new(name: impl Into<String>, address: Address) -> Self {
        let name = name.into();
        Self { address, name }
    }
}

impl fmt::Display for NamedUrl {
    /// The URL without its query, in which a secret may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        write!(f, "https://{address}{}", address.uri.path())?;
        match address.uri.query() {
            Some(_) => f.write_str("?…"),
            None => Ok(()),
        }
    }
}

/// The most bridges: each may cost a connection for each channel.
pub const BRIDGES_MAX: usize = 8;

/// The most peers that can be named: a list that is gone through with waits between has no use for more.
pub const PEERS_MAX: usize = 64;

impl Peering {
    /// Whether the server dials others, or takes them.
    pub fn is_on(&self) -> bool {
        self.dials() || self.takes()
    }

    /// The bridges, as they are named to everybody (B1.5).
    pub fn bridge_names(&self) -> Vec<Arc<str>> {
        let names = self.bridges.iter();
        names
            .map(|address| format!("wss://{address}").into())
            .collect()
    }

    /// Whether there are servers to dial, or may be.
    pub fn dials(&self) -> bool {
        !self.peers.is_empty() || self.file.is_some() || self.url.is_some()
    }

    /// Whether other servers are taken (O1.5).
    pub(super) fn takes(&self) -> bool {
        self.open || self.key != KeySource::None
    }

    /// What is allowed but should be known.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let open = "--open-peering: whoever can connect can be a peer, and read and write every channel; \
             give all servers one secret with MLES_PEER_KEY or --peer-key-file, and leave it out";
        let idle = "--peer-ca and --peer-fingerprint say which certificates the servers may have that this one \
             connects to, and there are none: name them with --peer, --peers-file, --peers-url or --bridge";
        let trusts = self.ca.is_some() || !self.fingerprints.is_empty();
        let lines = [
            (self.open, open),
            (trusts && !self.dials() && self.bridges.is_empty(), idle),
        ];
        let lines = lines.into_iter().filter(|(holds, _)| *holds);
        lines.map(|(_, line)| line.to_owned())
    }
}

/// The texts of a setting that may be given several times, or in a variable separated by commas.
fn texts(given: &Given) -> Vec<String> {
    let texts = given.texts.iter().map(|text| text.to_string_lossy());
    let split = |text: &str| -> Vec<String> {
        match given.in_variable() {
            true => text.split(',').map(|part| part.trim().to_owned()).collect(),
            false => vec![text.to_owned()],
        }
    };
    texts.flat_map(|text| split(&text)).collect()
}

/// Reads `--peer`.
///
/// # Errors
/// One line for each text that is no address, or that repeats one.
pub(super) fn peers(given: &Given) -> Result<Vec<Address>, Vec<String>> {
    addresses(given, "peers", PEERS_MAX)
}

/// Reads `--bridge`.
///
/// # Errors
/// One line for each text that is no address, or that repeats one.
pub(super) fn bridges(given: &Given) -> Result<Vec<Address>, Vec<String>> {
    addresses(given, "bridges", BRIDGES_MAX)
}

fn addresses(given: &Given, what: &str, most: usize) -> Result<Vec<Address>, Vec<String>> {
    let name = &given.name;
    let mut addresses = Vec::new();
    let mut mistakes = Vec::new();
    for text in texts(given) {
        match Address::parse(&text) {
            Err(mistake) => mistakes.push(format!("{name}: {mistake}")),
            Ok(address) if addresses.contains(&address) => {
                mistakes.push(format!("{name}: {address} is given twice: leave one out"));
            }
            Ok(address) => addresses.push(address),
        }
    }
    if addresses.len() > most {
        let count = addresses.len();
        mistakes.push(format!(
            "{name}: {count} {what} are too many: give at most {most}"
        ));
    }
    match mistakes.is_empty() {
        true => Ok(addresses),
        false => Err(mistakes),
    }
}

/// Reads `--peer-fingerprint`.
///
/// # Errors
/// One line for each text that is no fingerprint.
pub(super) fn fingerprints(given: &Given) -> Result<Vec<[u8; 32]>, Vec<String>> {
    let name = &given.name;
    let mut fingerprints = Vec::new();
    let mut mistakes = Vec::new();
    for text in texts(given) {
        match tls::parse_fingerprint(&text) {
            Err(mistake) => mistakes.push(format!("{name}: {mistake}")),
            Ok(fingerprint) => fingerprints.push(fingerprint),
        }
    }
    match mistakes.is_empty() {
        true => Ok(fingerprints),
        false => Err(mistakes),
    }
}
