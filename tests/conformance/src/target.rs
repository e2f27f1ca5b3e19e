//! The server that is judged.

use std::hash::Hasher as _;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use siphasher::sip::SipHasher24;
use socket2::{Domain, Socket, Type};

use crate::Limits;
use crate::wire::{Trust, client_config};

/// Where the server is, whom to believe that it is the one, and what is known of it.
#[derive(Debug)]
pub struct Target {
    /// What the user has given: `wss://host:port/path`.
    pub url: String,
    /// Host and port, as in the field `Host`.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Where its name leads.
    pub addresses: Vec<SocketAddr>,
    /// Who it has to be.
    pub name: ServerName<'static>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// The same for TLS as it is usually spoken.
    pub tls: Arc<ClientConfig>,
    /// The key of its clients, if it has one.
    pub key: Option<String>,
    /// The key of its peers, or the empty text if it takes peers without one; none if it takes no peers, as far as
    /// is known.
    pub peer_key: Option<String>,
    /// What it is configured to.
    pub limits: Limits,
    /// How long what has to happen at once may take.
    pub patience: Duration,
    /// What to run to have the server shut down.
    pub shutdown: Option<String>,
    /// The options that say all this, to be repeated.
    pub options: Vec<String>,
}

impl Target {
    /// A server with the defaults of the specification.
    ///
    /// # Errors
    /// The URL cannot be understood, its name leads nowhere, or the certificates to be believed cannot be read.
    pub fn new(url: &str, trust: Trust) -> Result<Self, String> {
        let rest = url
            .strip_prefix("wss://")
            .ok_or_else(|| format!("{url}: a server is given as wss://host:port"))?;
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && !port.contains(']') => {
                let port = port.parse::<u16>();
                (
                    name,
                    port.map_err(|_| format!("{url}: {authority} has no port that is a number"))?,
                )
            }
            _ => (authority, 443),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<_> = (name, port)
            .to_socket_addrs()
            .map_err(|error| format!("{name}: {error}"))?
            .collect();
        let server = ServerName::try_from(name.to_owned());
        Ok(Self {
            url: url.to_owned(),
            host: authority.to_owned(),
            path: match path {
                "" => "/".to_owned(),
                query if query.starts_with('?') => format!("/{query}"),
                path => path.to_owned(),
            },
            addresses,
            name: server.map_err(|error| format!("{name}: {error}"))?,
            tls: Arc::new(client_config(&trust, rustls::ALL_VERSIONS, &["http/1.1"])?),
            trust,
            key: None,
            peer_key: None,
            limits: Limits::default(),
            patience: Duration::from_secs(4),
            shutdown: None,
            options: Vec::new(),
        })
    }

    /// Whether it is on this machine, whose connections a server does not limit for coming from one source (X1.12).
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.addresses
            .iter()
            .all(|address| address.ip().is_loopback())
    }

    /// A TCP connection to it.
    ///
    /// # Errors
    /// None of its addresses takes one.
    pub fn connect(&self) -> Result<TcpStream, String> {
        let mut errors = Vec::new();
        for address in &self.addresses {
            match TcpStream::connect_timeout(address, self.patience) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => errors.push(format!("{address}: {error}")),
            }
        }
        Err(format!("no connection: {}", errors.join("; ")))
    }

    /// A TCP connection whose end here takes little that nobody reads, so that the server notices soon.
    ///
    /// # Errors
    /// None of its addresses takes one.
    pub fn connect_narrow(&self) -> Result<TcpStream, String> {
        const NARROW: usize = 8 << 10;
        let narrow = |address: &SocketAddr| {
            let domain = Domain::for_address(*address);
            let socket = Socket::new(domain, Type::STREAM, None)?;
            socket.set_recv_buffer_size(NARROW)?;
            socket.connect_timeout(&(*address).into(), self.patience)?;
            socket.set_tcp_nodelay(true)?;
            Ok::<_, std::io::Error>(TcpStream::from(socket))
        };
        let mut errors = Vec::new();
        for address in &self.addresses {
            match narrow(address) {
                Ok(stream) => return Ok(stream),
                Err(error) => errors.push(format!("{address}: {error}")),
            }
        }
        Err(format!("no connection: {}", errors.join("; ")))
    }

    /// The hash of a pair under its key (A1.1).
    #[must_use]
    pub fn hash(&self, uid: &str, channel: &str) -> u64 {
        hash(&[uid, channel, self.key.as_deref().unwrap_or_default()])
    }
}

/// SipHash-2-4 under a key of zeros over these texts, one behind the other (A1.1, O1.4).
#[must_use]
pub fn hash(texts: &[&str]) -> u64 {
    let mut hasher = SipHasher24::new();
    for text in texts {
        hasher.write(text.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_host_a_port_and_a_path() {
        let target = |url| Target::new(url, Trust::Anyone);
        let at = target("wss://127.0.0.1:8077/a?b").expect("right");
        assert_eq!((&*at.host, &*at.path), ("127.0.0.1:8077", "/a?b"));
        assert_eq!(at.addresses, ["127.0.0.1:8077".parse().expect("right")]);
        let at = target("wss://[::1]?x").expect("right");
        assert_eq!((&*at.host, &*at.path), ("[::1]", "/?x"));
        assert_eq!(at.addresses[0].port(), 443);
        for wrong in ["https://127.0.0.1:1", "127.0.0.1:1", "wss://127.0.0.1:port"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_published_vectors() {
        let hex = |texts: &[&str]| format!("{:016x}", hash(texts));
        assert_eq!(hex(&["alice", "example", ""]), "9b3b95527f7c2d80");
        assert_eq!(hex(&["bob", "example"]), "046ade5ad5646648");
    }
}
