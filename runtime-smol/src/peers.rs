//! The network of servers that this one is part of: the list of its peers, and dialing them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use async_signal::Signals;
use mles_sansio::{DialFault, Event, Nonces, PeerId, Role};
use runtime_common::config::{NamedFile, Peering};
use runtime_common::door::Door;
use runtime_common::http::Upgrade;
use runtime_common::notices::Servers;
use runtime_common::peers_list::{self, PeersList, Place};
use runtime_common::random;
use runtime_common::trusting::{Authorities, Trusting};
use runtime_smol::client::way::Way;

use crate::certificates;
use crate::dialing::{self, Dialed, OPTIONS};
use crate::peers_url::PeersUrl;
use crate::worker::Worker;

/// The peers that this server knows, on the node's thread.
pub(crate) struct Peers {
    /// The places that name them.
    list: RefCell<PeersList>,
    file: Option<NamedFile>,
    pub(crate) page: Option<PeersUrl>,
    trusting: Rc<Trusting>,
    servers: Rc<Servers>,
}

impl Peers {
    /// Those that are named at the start; nothing, if none can be.
    ///
    /// # Errors
    ///
    /// One line that says what to do: files can't be read, or this machine trusts nobody.
    pub(crate) fn new(
        peering: &Peering,
        trusting: &Rc<Trusting>,
        servers: &Rc<Servers>,
    ) -> Result<Option<Self>, String> {
        if !peering.dials() {
            return Ok(None);
        }
        let list = PeersList::load(peering)?;
        let page = PeersUrl::new(peering, trusting)?;
        trusting.tls(Authorities::Instead, OPTIONS)?;
        Ok(Some(Self {
            list: RefCell::new(list),
            file: peering.file.clone(),
            page,
            trusting: trusting.clone(),
            servers: servers.clone(),
        }))
    }

    /// All peers at the start, for the node.
    pub(crate) fn first(&self) -> Event {
        let peers = self.servers.ids(self.list.borrow().peers());
        Event::Peers { peers }
    }

    /// Looks after the file of peers for ever; each signal of `requests` has it read again.
    pub(crate) async fn watch(self: Rc<Self>, worker: Rc<Worker>, mut requests: Signals) {
        let Some(file) = self.file.clone() else {
            return;
        };
        loop {
            let asked = certificates::next_look(&mut requests).await;
            // Elsewhere: a file may be behind a network that has stopped.
            let file = file.clone();
            let read = smol::unblock(move || peers_list::read(&file)).await;
            self.take_in(&worker, Place::File, read, asked);
        }
    }

    /// Takes in what was read of a place that names peers, and tells the node if there are others.
    pub(crate) fn take_in(
        &self,
        worker: &Worker,
        place: Place,
        read: Result<Vec<u8>, String>,
        asked: bool,
    ) {
        let mut list = self.list.borrow_mut();
        let (changed, remarks) = list.take_in(place, read, asked);
        runtime_common::certificates::log(remarks);
        if changed {
            let peers = self.servers.ids(list.peers());
            worker.io.report(Event::Peers { peers });
        }
    }

    /// Opens a connection to a peer, and tells the node what has come of it (U1).
    pub(crate) fn dial(self: &Rc<Self>, worker: &Rc<Worker>, door: &Arc<Door>, peer: PeerId) {
        let (peers, servers) = (self.clone(), self.servers.clone());
        let opening = async move {
            let (dialed, nonces) = peers.open(peer).await?;
            Ok((dialed, Role::Dialed { peer, nonces }))
        };
        dialing::spawn(worker, door, opening, move |why, text| {
            servers.peer_failed(peer, text);
            Event::DialFailed { peer, why }
        });
    }

    /// A WebSocket at a peer.
    async fn open(&self, peer: PeerId) -> Result<(Dialed, Nonces), (DialFault, String)> {
        let unreachable = |text: String| (DialFault::Unreachable, text);
        let address = self.servers.peer(peer);
        let address = address.ok_or_else(|| unreachable("it is not known".to_owned()))?;
        let dialer = random::nonce().map_err(|error| unreachable(error.to_string()))?;
        let tls = dialing::tls_now(&self.trusting, Authorities::Instead).await;
        let tls = tls.map_err(|error| (DialFault::Untrusted, error))?;
        let way = Way::new(address.clone(), tls, OPTIONS);
        let (dialed, nonce) = dialing::open(&way, &Upgrade::new(&address, Some(dialer))).await?;
        let Some(acceptor) = nonce else {
            let text =
                "its answer has no Mles-Nonce: it is too old, or something between takes it out";
            return Err((DialFault::NoPeering, text.to_owned()));
        };
        Ok((dialed, Nonces { dialer, acceptor }))
    }
}
