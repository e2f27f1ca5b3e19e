//! The network of servers that this one is part of: dialing its peers, and telling how that goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_signal::Signals;
use futures_rustls::client::TlsStream;
use mles_sansio::{ConnId, DialFault, Event, Nonces, Notice, PeerId, Role, Source, Trouble};
use runtime_common::address::Address;
use runtime_common::config::{NamedFile, Peering};
use runtime_common::http::Upgrade;
use runtime_common::peers_list::{self, PeersList, Place};
use runtime_common::{limits, tls};
use runtime_smol::client::Trust;
use runtime_smol::client::way::{DialError, Way, client_config};
use rustls::ClientConfig;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificates;
use crate::door::Door;
use crate::driver::{TLS_BUFFER, live, within};
use crate::peers_url::PeersUrl;
use crate::random;
use crate::sniff::Sniff;
use crate::socket::Socket;
use crate::transport::Transport;
use crate::worker::Worker;

/// The peers that this server knows, on the node's thread.
pub(crate) struct Peers {
    /// The places that name them.
    list: RefCell<PeersList>,
    file: Option<NamedFile>,
    pub(crate) page: Option<PeersUrl>,
    tls: Arc<ClientConfig>,
    /// By id: an entry is never taken back, for an id stands for the same address for ever.
    known: RefCell<Vec<Address>>,
    /// What was in the way of each that could not be had the last time.
    obstacles: RefCell<HashMap<PeerId, String>>,
    /// The connections that were dialed.
    dialed: RefCell<HashMap<ConnId, PeerId>>,
}

/// A WebSocket at a peer.
struct Dialed {
    stream: TlsStream<Sniff<Socket>>,
    /// What came behind the answer to the upgrade.
    rest: Vec<u8>,
    nonces: Nonces,
    source: Source,
}

impl Peers {
    /// Those that are named at the start; nothing, if none can be.
    ///
    /// # Errors
    ///
    /// One line that says what to do: files can't be read, or this machine trusts nobody.
    pub(crate) fn new(peering: &Peering) -> Result<Option<Self>, String> {
        if !peering.dials() {
            return Ok(None);
        }
        let list = PeersList::load(peering)?;
        let fingerprints = peering.fingerprints.iter();
        let mut trusted: Vec<_> = fingerprints.map(|it| Trust::Fingerprint(*it)).collect();
        if let Some(file) = &peering.ca {
            // Last, because its error says most.
            trusted.push(Trust::Certificates(tls::trusted_certificates(file)?));
        }
        let page = PeersUrl::new(peering, &trusted)?;
        let trust = match trusted.is_empty() {
            true => Trust::System,
            false => Trust::AnyOf(trusted),
        };
        let known = list.peers().to_vec();
        Ok(Some(Self {
            list: RefCell::new(list),
            file: peering.file.clone(),
            page,
            tls: client_config(&trust, OPTIONS)?,
            known: RefCell::new(known),
            obstacles: RefCell::default(),
            dialed: RefCell::default(),
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
                within(DIAL_TIMEOUT, peers.open(peer))
                    .await
                    .unwrap_or_else(slow)
            });
            let dialed = dialed.await;
            if door.stopping.load(Ordering::Relaxed) {
                return; // Nobody wants to know any more.
            }
            let Dialed {
                stream,
                rest,
                nonces,
                source,
            } = match dialed {
                Ok(dialed) => dialed,
                Err((why, text)) => {
                    tracing::debug!("peer {}: {text}", peers.name(peer));
                    peers.obstacles.borrow_mut().insert(peer, text);
                    return io.report(Event::DialFailed { peer, why });
                }
            };
            let role = Role::Dialed { peer, nonces };
            let session = io.open(Transport::dialed(stream), rest, role, source);
            {
                let mut dialed = peers.dialed.borrow_mut();
                // Those that are over have been told of by now.
                dialed.retain(|conn, _| io.session(*conn).is_some());
                dialed.insert(session.conn, peer);
            }
            live(io, &session).await;
        });
        task.detach();
    }

    /// TCP, TLS, the upgrade.
    async fn open(&self, peer: PeerId) -> Result<Dialed, (DialFault, String)> {
        let unreachable = |text: String| (DialFault::Unreachable, text);
        let untrusted = |error: DialError| (DialFault::Untrusted, error.text);
        let no_mles = |text: String| (DialFault::NotMles, text);
        let address = self.known.borrow().get(peer.0 as usize).cloned();
        let address = address.ok_or_else(|| unreachable("it is not known".to_owned()))?;
        let way = Way::new(address.clone(), self.tls.clone(), OPTIONS);
        let tcp = way.tcp().await.map_err(|error| unreachable(error.text))?;
        let source = tcp.get_ref().peer_addr();
        let source = source.map_or_else(
            |_| Source::default(),
            |address| Source(limits::Source::of(address.ip()).key()),
        );
        let stream = Sniff::dialed(Socket::new(tcp));
        let mut stream = way.tls(stream).await.map_err(untrusted)?;
        stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
        let lost = |error: std::io::Error| no_mles(format!("it ended the connection ({error})"));
        let dialer = random::nonce().map_err(|error| unreachable(error.to_string()))?;
        let upgrade = Upgrade::new(&address, dialer);
        stream.write_all(&upgrade.request).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let mut head = Vec::new();
        let mut buffer = [0; 2048];
        let (nonce, used) = loop {
            let count = stream.read(&mut buffer).await.map_err(lost)?;
            if count == 0 {
                return Err(no_mles("it ended the connection".to_owned()));
            }
            head.extend_from_slice(&buffer[..count]);
            if let Some(answer) = upgrade.answer(&head).map_err(no_mles)? {
                break answer;
            }
        };
        let Some(acceptor) = nonce else {
            let text =
                "its answer has no Mles-Nonce: it is too old, or something between takes it out";
            return Err((DialFault::NoPeering, text.to_owned()));
        };
        Ok(Dialed {
            stream,
            rest: head.split_off(used),
            nonces: Nonces { dialer, acceptor },
            source,
        })
    }

    /// Logs what the node says of peers and of links to them. Says whether it was about that.
    pub(crate) fn log(&self, notice: &Notice) -> bool {
        if let Notice::PeerTrouble { peer, trouble } = notice {
            let (name, obstacles) = (self.name(*peer), self.obstacles.borrow());
            match obstacles.get(peer) {
                Some(why) if matches!(trouble, Trouble::Dial(_)) => {
                    tracing::warn!("peer {name} {trouble}: {why}");
                }
                Some(_) | None => tracing::warn!("peer {name} {trouble}"),
            }
            return true;
        }
        let name = |conn| Some(self.name(*self.dialed.borrow().get(conn)?));
        if let Notice::Linked { conn, node, .. } = notice
            && let Some(name) = name(conn)
        {
            tracing::info!("linked to peer {name}, node {node}");
        } else if let Notice::Unlinked { conn, node, .. } = notice
            && let Some(name) = name(conn)
        {
            tracing::info!("the link to peer {name}, node {node}, has ended");
        } else {
            return false;
        }
        true
    }

    fn name(&self, peer: PeerId) -> String {
        let known = self.known.borrow();
        let address = known.get(peer.0 as usize);
        address.map_or_else(|| peer.to_string(), |address| format!("wss://{address}"))
    }
}

/// Time for a connection to a peer, all in all.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What the options begin with that say which peers to trust.
pub(crate) const OPTIONS: &str = "--peer-";
