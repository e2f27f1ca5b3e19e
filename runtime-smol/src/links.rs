//! What is logged of links to other servers.

use mles_sansio::{Notice, PeerId, Source};
use runtime_common::limits;

use crate::peers::Peers;

/// Logs what the node says of peers and of links. Says whether it was about that.
pub(crate) fn log(notice: &Notice, peers: Option<&Peers>) -> bool {
    // Who was dialed is called as in the list, who came by where it is from.
    let name = |peer: &Option<PeerId>, source: &Source| match (peer, peers) {
        (Some(peer), Some(peers)) => format!("to peer {}", peers.name(*peer)),
        (Some(_) | None, _) => format!("from {}", limits::Source::of_key(source.0)),
    };
    if let Notice::PeerTrouble { peer, trouble } = notice
        && let Some(peers) = peers
    {
        peers.log_trouble(*peer, *trouble);
    } else if let Notice::Linked {
        node, peer, source, ..
    } = notice
    {
        tracing::info!("linked {}, node {node}", name(peer, source));
    } else if let Notice::Unlinked {
        node,
        peer,
        source,
        why,
        received,
        sent,
        ..
    } = notice
    {
        let name = name(peer, source);
        tracing::info!(
            "the link {name}, node {node}, has ended: {why}; {received} messages came over it, {sent} went"
        );
    } else {
        return false;
    }
    true
}
