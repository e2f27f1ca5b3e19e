//! The servers that this one connects to: who they are, what each is asked, and what has come of it. Opening the
//! connection is a runtime's business.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mles_sansio::{Action, BridgeId, DialFault, DialId, Event, Nonces, PeerId, Role, Source};
use rustls::ClientConfig;

use crate::address::Address;
use crate::certificates;
use crate::config::{NamedFile, NamedUrl, Peering};
use crate::http::{Fetch, Upgrade};
use crate::limits;
use crate::notices::Servers;
use crate::peers_list::{MAX_LIST, PeersList, Place};
use crate::random;
use crate::tls;
use crate::trusting::{Authorities, Trusting};

/// All of them.
#[derive(Debug)]
pub struct Others {
    /// What they are called.
    pub servers: Servers,
    /// Whom this server believes to be one of them.
    pub trusting: Trusting,
    peers: Option<Peers>,
}

/// The places that name peers.
#[derive(Debug)]
struct Peers {
    list: Mutex<PeersList>,
    file: Option<NamedFile>,
    page: Option<Page>,
}

/// One that is to be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// A peer (U1).
    Peer(PeerId),
    /// The server at the end of a bridge (B1.1).
    Bridge(BridgeId, DialId),
}

impl Whom {
    /// Who is to be dialed by an action, if anybody is.
    pub fn of(action: &Action) -> Option<Self> {
        if let Action::Dial { peer } = action {
            return Some(Self::Peer(*peer));
        }
        if let Action::DialBridge { bridge, dial } = action {
            return Some(Self::Bridge(*bridge, *dial));
        }
        None
    }
}

/// Why one could not be had: for the node and for the log.
pub type Failed = (DialFault, String);

impl Others {
    /// Those that these settings name.
    ///
    /// # Errors
    /// One line that says what to do: files can't be read, or this machine trusts nobody.
    pub fn new(peering: &Peering) -> Result<Self, String> {
        let trusting = Trusting::new(peering)?;
        let mut peers = None;
        if peering.dials() {
            let list = Mutex::new(PeersList::load(peering)?);
            let page = peering.url.clone().map(|url| Page {
                url,
                interval: peering.url_interval,
                pause: None,
            });
            if page.is_some() {
                trusting.tls(Authorities::Too, OPTIONS)?;
            }
            trusting.tls(Authorities::Instead, OPTIONS)?;
            let file = peering.file.clone();
            peers = Some(Peers { list, file, page });
        }
        if !peering.bridges.is_empty() {
            trusting.tls(Authorities::Too, OPTIONS)?;
        }
        Ok(Self {
            servers: Servers::new(peering),
            trusting,
            peers,
        })
    }

    /// The peers at the start, for the node.
    pub fn first(&self) -> Option<Event> {
        let peers = self.peers.as_ref()?;
        let list = peers.list.lock().unwrap_or_else(PoisonError::into_inner);
        let peers = self.servers.ids(list.peers());
        Some(Event::Peers { peers })
    }

    /// The file of peers, to be read with [`read`](crate::peers_list::read) once in a while and to be taken in.
    pub fn file(&self) -> Option<&NamedFile> {
        self.peers.as_ref()?.file.as_ref()
    }

    /// The page of peers, to be fetched and to be taken in.
    pub fn page(&self) -> Option<&Page> {
        self.peers.as_ref()?.page.as_ref()
    }

    /// Takes in what was read of a place that names peers: who they are now, for the node, if they are others. When the
    /// operator has `asked` for it, there is an answer in the log.
    pub fn take_in(
        &self,
        place: Place,
        read: Result<Vec<u8>, String>,
        asked: bool,
    ) -> Option<Event> {
        let list = &self.peers.as_ref()?.list;
        let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, remarks) = list.take_in(place, read, asked);
        certificates::log(remarks);
        if !changed {
            return None;
        }
        let peers = self.servers.ids(list.peers());
        Some(Event::Peers { peers })
    }

    /// What TLS needs to know for a dial, of the file of certificates as it is now. It may be behind a network that has
    /// stopped: to be called where that does no harm.
    ///
    /// # Errors
    /// This machine trusts nobody.
    pub fn tls(&self, authorities: Authorities) -> Result<Arc<ClientConfig>, String> {
        if let Some(file) = self.trusting.file() {
            self.trusting.take_in(tls::trusted_certificates(file));
        }
        self.trusting.tls(authorities, OPTIONS)
    }

    /// One could not be had: what the node is to be told. Why is logged when the node has noticed.
    pub fn failed(&self, whom: Whom, (why, text): Failed) -> Event {
        match whom {
            Whom::Peer(peer) => {
                self.servers.peer_failed(peer, text);
                Event::DialFailed { peer, why }
            }
            Whom::Bridge(bridge, dial) => {
                self.servers.bridge_failed(bridge, text);
                Event::BridgeFailed { dial, why }
            }
        }
    }
}

/// A dial on its way.
#[derive(Debug)]
pub struct Dial {
    whom: Whom,
    nonce: Option<u128>,
    upgrade: Upgrade,
    /// The answer to it, as far as it has come.
    answer: Vec<u8>,
    /// Where to.
    pub address: Address,
    /// Who may vouch for it.
    pub authorities: Authorities,
}

impl Dial {
    /// Begins one.
    ///
    /// # Errors
    /// It is nobody that was named, or the operating system gives no random numbers.
    pub fn new(servers: &Servers, whom: Whom) -> Result<Self, Failed> {
        let (address, authorities, nonce) = match whom {
            Whom::Peer(peer) => {
                let nonce = random::nonce().map_err(|error| unreachable(error.to_string()))?;
                (servers.peer(peer), Authorities::Instead, Some(nonce))
            }
            // B1.3
            Whom::Bridge(bridge, _) => (servers.bridge(bridge).cloned(), Authorities::Too, None),
        };
        let address = address.ok_or_else(|| unreachable("it is not known"))?;
        Ok(Self {
            whom,
            nonce,
            upgrade: Upgrade::new(&address, nonce),
            answer: Vec::new(),
            address,
            authorities,
        })
    }

    /// What to send when TLS stands.
    pub fn request(&self) -> &[u8] {
        &self.upgrade.request
    }

    /// Takes in what was read of the answer. When it is complete: who is there, and what came behind it.
    ///
    /// # Errors
    /// It is not one that was looked for, or it has ended the connection (there were no bytes).
    pub fn take_in(&mut self, bytes: &[u8]) -> Result<Option<(Role, Vec<u8>)>, Failed> {
        let no_mles = |text: String| (DialFault::NotMles, text);
        if bytes.is_empty() {
            return Err(no_mles("it ended the connection".to_owned()));
        }
        self.answer.extend_from_slice(bytes);
        let Some((nonce, used)) = self.upgrade.answer(&self.answer).map_err(no_mles)? else {
            return Ok(None);
        };
        let role = match (self.whom, self.nonce, nonce) {
            (Whom::Bridge(_, dial), _, _) => Role::Bridged { dial },
            (Whom::Peer(peer), Some(dialer), Some(acceptor)) => Role::Dialed {
                peer,
                nonces: Nonces { dialer, acceptor },
            },
            (Whom::Peer(_), _, _) => {
                let text = "its answer has no Mles-Nonce: it is too old, or something between takes it out";
                return Err((DialFault::NoPeering, text.to_owned()));
            }
        };
        Ok(Some((role, self.answer.split_off(used))))
    }
}

/// There is no connection.
pub fn unreachable(error: impl Into<String>) -> Failed {
    (DialFault::Unreachable, error.into())
}

/// TLS has failed, or this machine trusts nobody.
pub fn untrusted(error: impl Into<String>) -> Failed {
    (DialFault::Untrusted, error.into())
}

/// The connection was lost behind TLS.
pub fn lost(error: io::Error) -> Failed {
    (
        DialFault::NotMles,
        format!("it ended the connection ({error})"),
    )
}

/// It took longer than [`DIAL_TIMEOUT`].
pub fn too_slow() -> Failed {
    unreachable(TOO_SLOW)
}

/// Where a server is that was dialed, for the limits.
pub fn source(address: io::Result<SocketAddr>) -> Source {
    let key = |address: SocketAddr| Source(limits::Source::of(address.ip()).key());
    address.map_or_else(|_| Source::default(), key)
}

/// The list of peers on a page of the Web.
#[derive(Clone, Debug)]
pub struct Page {
    url: NamedUrl,
    interval: Duration,
    /// The pause after the last look, if that was in vain.
    pause: Option<Duration>,
}

impl Page {
    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.url.address
    }

    /// A look at it.
    pub fn fetch(&self) -> Fetch {
        Fetch::new(&self.url.address, MAX_LIST)
    }

    /// What has come of a look, `None` after [`PAGE_TIMEOUT`], and the time to the next: it is soon after one in vain,
    /// and then twice as long each time.
    pub fn looked(
        &mut self,
        fetched: Option<Result<Vec<u8>, String>>,
    ) -> (Result<Vec<u8>, String>, Duration) {
        let fetched = fetched.unwrap_or_else(|| Err(TOO_SLOW.to_owned()));
        let fetched = fetched.map_err(|why| format!("{}: '{}': {why}", self.url.name, self.url));
        self.pause = match fetched {
            Ok(_) => None,
            Err(_) => {
                let longer = self.pause.map_or(FIRST_PAUSE, |pause| pause * 2);
                Some(longer.min(self.interval))
            }
        };
        (fetched, self.pause.unwrap_or(self.interval))
    }
}

/// What the options begin with that say which servers to trust.
pub const OPTIONS: &str = "--peer-";

/// Time for a connection to another server, all in all.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the page of peers, all in all.
pub const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after the first look at the page in vain.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const TOO_SLOW: &str = "it did not answer in time";

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::parse(url).unwrap()
    }

    fn peering() -> Peering {
        let env = |_: &str| None;
        let args = ["mles".into()].into_iter();
        let config = crate::config::Config::load(args, &env, &|_| Vec::new());
        config.unwrap().peering
    }

    /// O1.1, B1.3: a peer's answer has to have a nonce; a bridge's need not, and was not asked for one.
    #[test]
    fn who_answers_a_dial() {
        let servers = Servers::new(&Peering {
            bridges: vec![address("wss://up")],
            ..peering()
        });
        let peer = servers.ids(&[address("wss://peer")])[0];
        let bridge = Whom::Bridge(BridgeId(0), DialId(5));
        for (whom, nonce, expected) in [
            (Whom::Peer(peer), Some(9), Ok("peer")),
            (Whom::Peer(peer), None, Err(DialFault::NoPeering)),
            (bridge, None, Ok("bridge")),
            (bridge, Some(9), Ok("bridge")),
        ] {
            let mut dial = Dial::new(&servers, whom).unwrap();
            let request = String::from_utf8(dial.request().to_vec()).unwrap();
            assert_eq!(request.contains("Mles-Nonce"), whom != bridge);
            let key = request.split_once("Sec-WebSocket-Key: ").unwrap().1;
            let key = key.split_once("\r\n").unwrap().0;
            let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
            let nonce = nonce.map(|nonce: u128| format!("Mles-Nonce: {nonce:032x}\r\n"));
            let answer = format!(
                "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mles-websocket\r\n{}\r\nrest",
                nonce.unwrap_or_default()
            );
            let (first, last) = answer.as_bytes().split_at(20);
            assert_eq!(dial.take_in(first), Ok(None));
            let found = dial.take_in(last);
            let kind = found.map_err(|(why, _)| why).map(|found| {
                let (role, rest) = found.unwrap();
                assert_eq!(rest, b"rest");
                match role {
                    Role::Dialed { peer: it, nonces } => {
                        assert_eq!((it, nonces.acceptor), (peer, 9));
                        assert!(request.contains(&format!("{:032x}", nonces.dialer)));
                        "peer"
                    }
                    Role::Bridged { dial } => {
                        assert_eq!(dial, DialId(5));
                        "bridge"
                    }
                    Role::Accepted | Role::Peer(_) => "who is that",
                }
            });
            assert_eq!(kind, expected);
        }
        let mut dial = Dial::new(&servers, bridge).unwrap();
        assert_eq!(dial.take_in(b"").unwrap_err().0, DialFault::NotMles);
        let nobody = Dial::new(&servers, Whom::Peer(PeerId(77)));
        assert_eq!(nobody.unwrap_err().0, DialFault::Unreachable);
    }

    #[test]
    fn looks_in_vain_come_ever_slower() {
        let seconds = Duration::from_secs;
        let mut page = Page {
            url: NamedUrl::new("--peers-url", address("wss://page/list")),
            interval: seconds(10),
            pause: None,
        };
        let vain = || Some(Err("no".to_owned()));
        for pause in [1, 2, 4, 8, 10, 10] {
            let (why, next) = page.looked(vain());
            assert_eq!(next, seconds(pause));
            assert!(why.unwrap_err().starts_with("--peers-url: 'https://page"));
        }
        assert_eq!(
            page.looked(Some(Ok(Vec::new()))),
            (Ok(Vec::new()), seconds(10))
        );
        let (why, next) = page.looked(None);
        assert!(why.unwrap_err().ends_with(TOO_SLOW) && next == seconds(1));
    }
}
