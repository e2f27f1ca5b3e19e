//! Which certificates a client accepts.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::tls;

/// Whom a client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The authorities that the operating system trusts.
    System,
    /// These authorities; and a server whose own certificate is one of them. The name is checked.
    Certificates(Vec<CertificateDer<'static>>),
    /// A server whose own certificate has this SHA-256 fingerprint, whatever its name.
    Fingerprint([u8; 32]),
    /// Whom at least one of these accepts; nobody if there is none.
    AnyOf(Vec<Trust>),
    /// Everybody: who sits between can read and change everything.
    Anyone,
}

impl Trust {
    /// The fingerprint that 32 bytes in hexadecimal are, colons between them or not.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn fingerprint(text: &str) -> Result<Self, String> {
        tls::parse_fingerprint(text).map(Self::Fingerprint)
    }

    fn accepted(&self, provider: &Arc<CryptoProvider>, options: &str) -> Result<Accepted, String> {
        let (known, certificates) = match self {
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                (Vec::new(), found.certs)
            }
            Self::Certificates(certificates) => (certificates.clone(), certificates.clone()),
            Self::Fingerprint(fingerprint) => return Ok(Accepted::Fingerprint(*fingerprint)),
            Self::AnyOf(all) => {
                let all = all.iter().map(|trust| trust.accepted(provider, options));
                return Ok(Accepted::AnyOf(all.collect::<Result<_, _>>()?));
            }
            Self::Anyone => return Ok(Accepted::Anyone),
        };
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates);
        if *self == Self::System && added == 0 {
            return Err(format!(
                "this machine has no certificates of authorities: install ca-certificates, or give {options}ca or {options}fingerprint"
            ));
        }
        let built =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let authorities = built
            .map_err(|error| format!("{options}ca: {error}: give a PEM file with a certificate"))?;
        Ok(Accepted::Signed { known, authorities })
    }
}

/// TLS 1.2 and 1.3 on ring, with whom `trust` accepts. The options that could help are called `options` and `ca` or
/// `fingerprint`.
///
/// # Errors
/// One line that says what to do.
pub fn client_config(trust: &Trust, options: &str) -> Result<Arc<ClientConfig>, String> {
    let provider = tls::provider();
    let verifier = Verifier {
        accepted: trust.accepted(&provider, options)?,
        provider: provider.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![tls::ALPN.to_vec()]; // T1.3
    Ok(Arc::new(config))
}

/// What to say of a certificate that was not accepted; `options` as for [`client_config`].
pub fn refusal(error: &CertificateError, options: &str) -> String {
    use CertificateError as E;
    if let E::NotValidForNameContext { presented, .. } = error {
        // They come as DnsName("mles.example"), in a certificate that is trusted otherwise, and may be many.
        let names: Vec<_> = presented
            .iter()
            .take(5)
            .map(|name| name.split('"').nth(1).unwrap_or(name).escape_default())
            .map(|name| name.to_string())
            .collect();
        let names = names.join(", ");
        return format!(
            "the server's certificate is for other names ({names}): use one of them in the address, or give {options}fingerprint"
        );
    }
    // rustls keeps webpki's error for itself.
    let authority = || format!("{error:?}").contains("CaUsedAsEndEntity");
    let what = if matches!(error, E::UnknownIssuer) {
        format!(
            "is not of an authority that this machine trusts: give {options}ca FILE, or {options}fingerprint with what the server prints"
        )
    } else if matches!(
        error,
        E::BadSignature | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    ) {
        // The authority was found by its name.
        format!(
            "names an authority that is known here with another key: give {options}ca the server's FILE of today, or {options}fingerprint with what the server prints"
        )
    } else if authority() {
        format!(
            "is one of an authority (CA:TRUE), which a server's must not be: give the same file as {options}ca, or {options}fingerprint"
        )
    } else if matches!(error, E::ApplicationVerificationFailure) {
        format!(
            "has another fingerprint: check {options}fingerprint, and whether this is the right server"
        )
    } else if matches!(error, E::NotValidForName) {
        format!("is for other names: use one of them in the address, or give {options}fingerprint")
    } else if matches!(error, E::Expired | E::ExpiredContext { .. }) {
        "has expired: tell who runs it".to_owned()
    } else {
        return format!(
            "the server's certificate is not accepted: {error}; give {options}fingerprint with what the server prints"
        );
    };
    format!("the server's certificate {what}")
}

/// [`Trust`], ready for use.
enum Accepted {
    Signed {
        /// Certificates that are trusted themselves.
        known: Vec<CertificateDer<'static>>,
        authorities: Arc<WebPkiServerVerifier>,
    },
    Fingerprint([u8; 32]),
    AnyOf(Vec<Accepted>),
    Anyone,
}

struct Verifier {
    accepted: Accepted,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Accepted {
    fn verify(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        match self {
            Self::Anyone => Ok(()),
            Self::Fingerprint(expected) => {
                let digest = ring::digest::digest(&ring::digest::SHA256, own);
                if digest.as_ref() == expected {
                    Ok(())
                } else {
                    Err(CertificateError::ApplicationVerificationFailure.into())
                }
            }
            Self::AnyOf(all) => {
                let mut error = CertificateError::UnknownIssuer.into();
                for accepted in all {
                    match accepted.verify(own, chain, name, ocsp, now) {
                        Ok(()) => return Ok(()),
                        Err(why) => error = why,
                    }
                }
                Err(error)
            }
            // One that an authority's file holds is trusted itself, also if it may not be a server's by the rules
            // of authorities.
            Self::Signed { known, .. } if known.iter().any(|known| known == own) => {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)
            }
            Self::Signed { authorities, .. } => authorities
                .verify_server_cert(own, chain, name, ocsp, now)
                .map(|_| ()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.accepted.verify(own, chain, name, ocsp, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        let authority = rustls::OtherError(Arc::new(webpki_like::CaUsedAsEndEntity));
        for (error, what) in [
            (
                CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("localhost").unwrap(),
                    presented: vec!["DnsName(\"mles.example\")".into(), "10.0.0.1".into()],
                },
                "for other names (mles.example, 10.0.0.1): use one",
            ),
            (
                CertificateError::BadSignature,
                "known here with another key",
            ),
            (
                CertificateError::Other(authority),
                "give the same file as --ca",
            ),
        ] {
            let line = refusal(&error, "--");
            assert!(line.contains(what), "{line}");
        }
    }

    /// What stands for an error of webpki's.
    mod webpki_like {
        #[derive(Debug)]
        pub(super) struct CaUsedAsEndEntity;
        impl std::fmt::Display for CaUsedAsEndEntity {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("CaUsedAsEndEntity")
            }
        }
        impl std::error::Error for CaUsedAsEndEntity {}
    }

    #[test]
    fn fingerprints() {
        let colons = vec!["aB"; 32].join(":");
        let plain = "Ab".repeat(32);
        for text in [&colons, &plain] {
            assert_eq!(Trust::fingerprint(text), Ok(Trust::Fingerprint([0xab; 32])));
        }
        for text in [
            "",
            "ab",
            &"a".repeat(63),
            &"a".repeat(65),
            &"ab".repeat(33),
            &"xy".repeat(32),
        ] {
            assert!(Trust::fingerprint(text).is_err(), "{text}");
        }
    }
}
