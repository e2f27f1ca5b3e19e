//! Which certificate a client is shown.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Identity;

/// What a server shows: to a client that asks for a name (SNI) the first identity that is for it, to the others
/// the first of all. Each can be replaced while the server runs; handshakes that have begun go on with what they
/// were shown.
pub struct Identities(RwLock<Arc<[Identity]>>);

impl Identities {
    /// These, the default first. Without any, every handshake fails.
    pub fn new(identities: Vec<Identity>) -> Identities {
        Identities(RwLock::new(identities.into()))
    }

    /// All of them at the moment.
    pub fn all(&self) -> Arc<[Identity]> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Shows this one from now on in place of that with this number, counted from 0.
    pub fn replace(&self, number: usize, identity: Identity) {
        let mut identities = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = identities.to_vec();
        if let Some(before) = all.get_mut(number) {
            *before = identity;
        }
        *identities = all.into();
    }

    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let identities = self.all();
        let named = match (name, identities.len()) {
            (None, _) | (_, 0 | 1) => None,
            (Some(name), _) => ServerName::try_from(name)
                .ok()
                .and_then(|name| identities.iter().find(|identity| identity.is_for(&name))),
        };
        let chosen = named.or(identities.first());
        chosen.map(|identity| identity.certified.clone())
    }
}

impl Identity {
    /// Whether the server's own certificate is for this name, as clients check it.
    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let parsed = ParsedCertificate::try_from(self.certificate());
        parsed.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter()).finish()
    }
}
