//! The other servers that this one makes a network with.

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
    /// A file that names more of them, see [`crate::peers_file`].
    pub file: Option<NamedFile>,
    /// The key of the network of servers (O1.4), apart from that of the clients.
    pub key: KeySource,
    /// Whether peers are taken without a key (O1.5).
    pub open: bool,
    /// Certificates that a peer may have, or be signed with; without any, and without fingerprints, the
    /// authorities that the operating system trusts.
    pub ca: Option<NamedFile>,
    /// SHA-256 fingerprints of certificates that a peer may have, whatever their names.
    pub fingerprints: Vec<[u8; 32]>,
}

/// The most peers that can be named: a list that is gone through with waits between has no use for more.
pub const PEERS_MAX: usize = 64;

impl Peering {
    /// Whether there may be links to other servers.
    #[must_use]
    pub fn is_on(&self) -> bool {
        let dials = !self.peers.is_empty() || self.file.is_some();
        dials || self.open || !matches!(self.key, KeySource::None)
    }

    /// What is allowed but should be known.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let open = "--open-peering: whoever can connect can be a peer, and read and write every channel; \
             give all servers one secret with MLES_PEER_KEY or --peer-key-file, and leave it out";
        let idle = "--peer-ca and --peer-fingerprint say which certificates the servers may have that this one \
             connects to, and there are none: name them with --peer or --peers-file";
        let dials = !self.peers.is_empty() || self.file.is_some();
        let trusts = self.ca.is_some() || !self.fingerprints.is_empty();
        let lines = [(self.open, open), (trusts && !dials, idle)];
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
    let name = &given.name;
    let mut peers = Vec::new();
    let mut mistakes = Vec::new();
    for text in texts(given) {
        match Address::parse(&text) {
            Err(mistake) => mistakes.push(format!("{name}: {mistake}")),
            Ok(peer) if peers.contains(&peer) => {
                mistakes.push(format!("{name}: {peer} is given twice: leave one out"));
            }
            Ok(peer) => peers.push(peer),
        }
    }
    if peers.len() > PEERS_MAX {
        let count = peers.len();
        mistakes.push(format!(
            "{name}: {count} peers are too many: give at most {PEERS_MAX}"
        ));
    }
    match mistakes.is_empty() {
        true => Ok(peers),
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
