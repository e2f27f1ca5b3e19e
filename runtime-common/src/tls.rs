//! TLS set-up of a server; that of a client is in [`trust`](crate::trust).
//!
//! TLS 1.2 and 1.3, ring, ALPN `http/1.1`, no client certificates, nothing remembered between connections (T1).
//! rustls itself fails the handshake of a client that offers ALPN without `http/1.1`; a client that offers none is fine.
//! Which certificate a client is shown is the business of [`Identities`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, Error, NoKeyLog, RootCertStore, ServerConfig};

use crate::config::NamedFile;

mod identities;

pub use identities::Identities;

/// A certificate chain with its private key: what a server shows. `Debug` shows neither.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    ends: SystemTime,
    warnings: Vec<String>,
}

impl Identity {
    /// An identity of a chain (the server's own certificate first) and its private key. `now` is used for
    /// [`Identity::warnings`] only.
    ///
    /// # Errors
    /// Says which of these it is: no certificate, one that can't be read, a key of an unknown kind (RSA, ECDSA on
    /// P-256 or P-384 and Ed25519 are known), or a key of another certificate.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        now: SystemTime,
    ) -> Result<Identity, IdentityError> {
        let Some(own) = chain.first() else {
            return Err(IdentityError::NoCertificate);
        };
        let ends = ends(own).ok_or(IdentityError::BadCertificate)?;
        let warnings = warnings(&chain, ends, now);
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(certified) => Ok(Identity {
                certified: Arc::new(certified),
                ends,
                warnings,
            }),
            Err(Error::InconsistentKeys(_)) => Err(IdentityError::OtherKey),
            Err(_) => Err(IdentityError::BadKey),
        }
    }

    /// The server's own certificate, in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        // `Identity::new` refused an empty chain.
        &self.certified.cert[0]
    }

    /// The last second in which clients take the server's own certificate.
    pub fn ends(&self) -> SystemTime {
        self.ends
    }

    /// Whether clients are shown the same as with the other.
    pub fn shows_the_same(&self, other: &Identity) -> bool {
        // The key is that of the first certificate.
        self.certified.cert == other.certified.cert
    }

    /// What clients may refuse about the certificate, but that it has ended; one line each, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether one of the warnings is that an issuer's certificate has ended.
    pub(crate) fn has_expired_issuer(&self) -> bool {
        self.warnings.iter().any(|line| line == ISSUER_EXPIRED)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("fingerprint", &fingerprint(self.certificate()))
            .finish_non_exhaustive()
    }
}

/// Why a chain and a key are no [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The chain is empty.
    NoCertificate,
    /// The server's own certificate is not X.509 version 3, or damaged.
    BadCertificate,
    /// The private key is damaged, or of a kind that ring does not know.
    BadKey,
    /// The private key belongs to another certificate.
    OtherKey,
}

/// The configuration of a server that shows these, also what replaces them later.
pub fn server_config(identities: &Arc<Identities>) -> Arc<ServerConfig> {
    // Building fails only if the provider has no cipher suite for a version.
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(identities.clone());
    config.alpn_protocols = vec![ALPN.to_vec()]; // T1.3
    // No resumption: tickets cost two sealed messages in each handshake, a cache costs memory for clients that are
    // gone, and either keeps secrets that open a recorded connection later. A Mles connection is made once and lives
    // long, so that there is little to gain. And so every connection is shown the certificate of its own time.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Without resumption there is no early data, which could be replayed; be explicit all the same.
    config.max_early_data_size = 0;
    config.key_log = Arc::new(NoKeyLog);
    Arc::new(config)
}

/// Reads the PEM files of `--tls-cert` and `--tls-key`. `now` is used for [`Identity::warnings`] only.
///
/// # Errors
/// One line that says what to do: a file can't be read, holds nothing of its kind, or the two don't match.
pub fn load_identity(
    certificate: &NamedFile,
    private_key: &NamedFile,
    now: SystemTime,
) -> Result<Identity, String> {
    let (name, shown) = (&certificate.name, certificate.path.display());
    let (name_key, shown_key) = (&private_key.name, private_key.path.display());
    let pem = certificate.read(MAX_PEM)?;
    let key_pem = private_key.read(MAX_PEM)?;

    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| format!("{name}: '{shown}' is a damaged PEM file: get the file again"))?;
    if chain.is_empty() {
        let hint = match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(_) => "it holds a private key; are --tls-cert and --tls-key swapped?",
            Err(_) => "give a PEM file with -----BEGIN CERTIFICATE-----",
        };
        return Err(format!("{name}: no certificate in '{shown}': {hint}"));
    }
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| {
        let has = |label: &str| contains(&key_pem, label.as_bytes());
        let hint = if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED")
        {
            "it is protected by a passphrase; remove that with openssl pkey -in OLD -out NEW"
        } else if CertificateDer::pem_slice_iter(&key_pem).any(|section| section.is_ok()) {
            "it holds a certificate; are --tls-cert and --tls-key swapped?"
        } else {
            "give a PEM file with -----BEGIN PRIVATE KEY-----"
        };
        format!("{name_key}: no private key in '{shown_key}': {hint}")
    })?;
    Identity::new(chain, key, now).map_err(|error| match error {
        IdentityError::NoCertificate | IdentityError::BadCertificate => {
            format!("{name}: the first certificate in '{shown}' is damaged or not X.509 version 3: get the file again")
        }
        IdentityError::BadKey => {
            format!("{name_key}: the key in '{shown_key}' can't be used: give an RSA (2048 bits or more), ECDSA P-256 or P-384, or Ed25519 key")
        }
        IdentityError::OtherKey => {
            format!("{name_key}: the key in '{shown_key}' is not that of the first certificate in '{shown}': give the key that belongs to it, and the server's own certificate first")
        }
    })
}

/// The SHA-256 fingerprint of a certificate in DER, as browsers and OpenSSL show it: upper-case hex, colons between.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    show_fingerprint(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref())
}

pub(crate) fn show_fingerprint(bytes: &[u8]) -> String {
    let bytes = bytes.iter().map(|byte| format!("{byte:02X}"));
    bytes.collect::<Vec<_>>().join(":")
}

/// The fingerprint that 32 bytes in hexadecimal are, colons between them or not.
///
/// # Errors
/// It is none; one line that says what to do.
pub fn parse_fingerprint(text: &str) -> Result<[u8; 32], String> {
    let wrong = || {
        format!(
            "'{text}' is no SHA-256 fingerprint: give 32 bytes in hexadecimal, as the server prints it"
        )
    };
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect();
    match <[u8; 32]>::try_from(bytes) {
        Ok(bytes) if digits.len() == 64 => Ok(bytes),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

/// The certificates that a PEM file holds, for whom to trust; at least one.
///
/// # Errors
/// It can't be read, or holds none; one line that says what to do.
pub fn trusted_certificates(file: &NamedFile) -> Result<Vec<CertificateDer<'static>>, String> {
    let (name, shown) = (&file.name, file.path.display());
    let pem = file.read(MAX_TRUSTED)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    found
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| {
            format!("{name}: no certificate in '{shown}': give a PEM file with -----BEGIN CERTIFICATE-----")
        })
}

/// Bytes that are read of a file of certificates to trust.
const MAX_TRUSTED: u64 = 4 << 20;

/// Every use of cryptography names its provider: with a default one, a second one in the tree panics at run time.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The time for rustls; before 1970 is 1970.
pub(crate) fn unix(now: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

/// When a certificate ends; `None` if it is damaged.
fn ends(certificate: &CertificateDer<'static>) -> Option<SystemTime> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    // rustls reads the date, but tells it only of a certificate that has ended, which it checks first.
    let late = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    let roots = RootCertStore::empty();
    let checked = verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], late, &[]);
    let Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) =
        checked
    else {
        return None;
    };
    UNIX_EPOCH.checked_add(Duration::from_secs(not_after.as_secs()))
}

/// What a client's check would find that does not depend on whom it trusts: taking the chain's last certificate as
/// trusted, a good chain passes; an unknown issuer is none of our business (a private root need not be in the file).
fn warnings(chain: &[CertificateDer<'static>], ends: SystemTime, now: SystemTime) -> Vec<String> {
    let Some((own, rest)) = chain.split_first() else {
        return Vec::new();
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rest.last().or(Some(own)).cloned());
    let algorithms = provider().signature_verification_algorithms.all;
    let checked = ParsedCertificate::try_from(own).and_then(|own| {
        verify_server_cert_signed_by_trust_anchor(&own, &roots, rest, unix(now), algorithms)
    });
    let Err(Error::InvalidCertificate(error)) = checked else {
        return Vec::new();
    };
    let expired = matches!(
        error,
        CertificateError::Expired | CertificateError::ExpiredContext { .. }
    );
    let own = now > ends;
    let early = matches!(
        error,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
    );
    // rustls has no variant of its own for it.
    let authority = format!("{error:?}").contains("CaUsedAsEndEntity");
    let line = if expired && own {
        return Vec::new(); // Not once but each day, see `certificates`.
    } else if expired {
        ISSUER_EXPIRED
    } else if early {
        "the certificate is not valid yet: clients will refuse it; check this machine's clock"
    } else if authority {
        "the certificate is one of an authority (CA:TRUE): browsers may take it, clients such as those with rustls refuse it; \
         make it with openssl req -x509 -addext basicConstraints=critical,CA:FALSE"
    } else {
        return Vec::new();
    };
    vec![line.to_owned()]
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const ISSUER_EXPIRED: &str = "the certificate of an issuer in the file has expired: clients will refuse it; get the file again";

/// The only protocol that is offered (T1.3).
pub(crate) const ALPN: &[u8] = b"http/1.1";

/// Bytes that are read of a PEM file: ten times the longest chain in use.
const MAX_PEM: u64 = 1 << 20;

#[cfg(test)]
mod tests;
