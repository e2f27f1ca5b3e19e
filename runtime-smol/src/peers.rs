//! The network of servers that this one is part of: dialing its peers, and telling how that goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_signal::Signals;
use mles_sansio::{DialFault, Event, Nonces, PeerId, Role, Trouble};
use runtime_common::address::Address;
use runtime_common::config::{NamedFile, Peering};
use runtime_common::http::Upgrade;
use runtime_common::peers_list::{self, PeersList, Place};
use runtime_common::trusting::{Authorities, Trusting};
use runtime_smol::client::way::Way;

use crate::certificates;
use crate::dialing::{self, Dialed};
use crate::door::Door;
use crate::driver::within;
use crate::peers_url::PeersUrl;
use crate::random;
use crate::worker::Worker;

/// The peers that this server knows, on the node's thread.
pub(crate) struct Peers {
    /// The places that name them.
    list: RefCell<PeersList>,
    file: Option<NamedFile>,
    pub(crate) page: Option<PeersUrl>,
    trusting: Rc<Trusting>,
    /// By id: an entry is never taken back, for an id stands for the same address for ever.
    known: RefCell<Vec<Address>>,
    /// What was in the way of each that could not be had the last time.
    obstacles: RefCell<HashMap<PeerId, String>>,
}

impl Peers {
    /// Those that are named at the start; nothing, if none can be.
    ///
    /// # Errors
    ///
    /// One line that says what to do: files can't be read, or this machine trusts nobody.
    pub(crate) fn new(peering: &Peering, trusting: &Rc<Trusting>) -> Result<Option<Self>, String> {
        if !peering.dials() {
            return Ok(None);
        }
        let list = PeersList::load(peering)?;
        let page = PeersUrl::new(peering, trusting)?;
        trusting.tls(Authorities::Instead, OPTIONS)?;
        let known = list.peers().to_vec();
        Ok(Some(Self {
            list: RefCell::new(list),
            file: peering.file.clone(),
            page,
            trusting: trusting.clone(),
            known: RefCell::new(known),
            obstacles: RefCell::default(),
        }))
    }

    /// All peers at the start, for the node.
    pub(crate) fn first(&self) -> Event {
        let peers = self.ids(self.list.borrow().peers());
        Event::Peers { peers }
    }

    /// The ids of these addresses.
    fn ids(&self, addresses: &[Address]) -> Vec<PeerId> {
        let mut known = self.known.borrow_mut();
        let mut id = |address: &Address| {
            let at = known.iter().position(|it| it == address);
            let at = at.unwrap_or_else(|| {
                known.push(address.clone());
                known.len() - 1
            });
            PeerId(u32::try_from(at).unwrap_or(u32::MAX))
        };
        addresses.iter().map(&mut id).collect()
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
        certificates::log(remarks);
        if changed {
            let peers = self.ids(list.peers());
            worker.io.report(Event::Peers { peers });
        }
    }

    /// Opens a connection to a peer, and tells the node what has come of it (U1).
    pub(crate) fn dial(self: &Rc<Self>, worker: &Rc<Worker>, door: &Arc<Door>, peer: PeerId) {
        let (peers, inner, door) = (self.clone(), worker.clone(), door.clone());
        let task = worker.executor.spawn(async move {
            let io = &inner.io;
            // Boxed, so that what a dial needs is gone when the link stands.
            let dialed = Box::pin(async {
                let slow = || {
                    let why = format!("{} did not answer in time", peers.name(peer));
                    Err((DialFault::Unreachable, why))
                };
                within(dialing::TIMEOUT, peers.open(peer))
                    .await
                    .unwrap_or_else(slow)
            });
            let dialed = dialed.await;
            if door.stopping.load(Ordering::Relaxed) {
                return; // Nobody wants to know any more.
            }
            let (dialed, nonces) = match dialed {
                Ok(dialed) => dialed,
                Err((why, text)) => {
                    tracing::debug!("peer {}: {text}", peers.name(peer));
                    peers.obstacles.borrow_mut().insert(peer, text);
                    return io.report(Event::DialFailed { peer, why });
                }
            };
            let role = Role::Dialed { peer, nonces };
            dialed.live(io, &door, role).await;
        });
        task.detach();
    }

    /// A WebSocket at a peer.
    async fn open(&self, peer: PeerId) -> Result<(Dialed, Nonces), (DialFault, String)> {
        let unreachable = |text: String| (DialFault::Unreachable, text);
        let address = self.known.borrow().get(peer.0 as usize).cloned();
        let address = address.ok_or_else(|| unreachable("it is not known".to_owned()))?;
        let dialer = random::nonce().map_err(|error| unreachable(error.to_string()))?;
        let tls = dialing::tls_now(&self.trusting, Authorities::Instead, OPTIONS).await;
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

    /// Logs that a peer cannot be had.
    pub(crate) fn log_trouble(&self, peer: PeerId, trouble: Trouble) {
        let (name, obstacles) = (self.name(peer), self.obstacles.borrow());
        match obstacles.get(&peer) {
            Some(why) if matches!(trouble, Trouble::Dial(_)) => {
                tracing::warn!("peer {name} {trouble}: {why}");
            }
            Some(_) | None => tracing::warn!("peer {name} {trouble}"),
        }
    }

    /// What a peer is called in the log.
    pub(crate) fn name(&self, peer: PeerId) -> String {
        let known = self.known.borrow();
        let address = known.get(peer.0 as usize);
        address.map_or_else(|| peer.to_string(), |address| format!("wss://{address}"))
    }
}

/// What the options begin with that say which peers to trust.
pub(crate) const OPTIONS: &str = "--peer-";
