//! TLS from the client's end.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring::default_provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme, StreamOwned, SupportedProtocolVersion,
    WantsVerifier,
};

use crate::DEADLINE;

/// A TLS connection over TCP.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A TLS connection whose other end has dialed.
pub type Accepted = StreamOwned<ServerConnection, TcpStream>;

/// A configuration that takes any certificate, offers TLS 1.2 and 1.3, and no ALPN.
#[must_use]
pub fn config() -> Arc<ClientConfig> {
    Arc::new(config_of(rustls::ALL_VERSIONS, &[]))
}

/// A configuration that takes any certificate, with these versions and ALPN protocols.
#[must_use]
pub fn config_of(versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> ClientConfig {
    let mut config = builder(versions)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(default_provider())))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A configuration that trusts this certificate alone, and checks the name.
#[must_use]
pub fn config_trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = builder(rustls::ALL_VERSIONS)
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
}

/// A TLS connection, its handshake complete.
///
/// # Errors
/// The handshake fails.
pub fn connect(tcp: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Tls> {
    connect_to(tcp, config, "localhost")
}

/// The same, to a server of this name.
///
/// # Errors
/// The handshake fails.
pub fn connect_to(mut tcp: TcpStream, config: &Arc<ClientConfig>, name: &str) -> io::Result<Tls> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut tls = ClientConnection::new(config.clone(), name).unwrap();
    while tls.is_handshaking() || tls.wants_write() {
        tls.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(tls, tcp))
}

/// The other end of a connection: TLS with this certificate and its key in PKCS #8. The handshake goes with the first
/// bytes.
#[must_use]
pub fn accept(tcp: TcpStream, certificate: CertificateDer<'static>, key: Vec<u8>) -> Accepted {
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.into());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp)
}

/// The first bytes of a client: its hello, which the server answers only when it is complete.
#[must_use]
pub fn hello() -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(config(), name).unwrap();
    let mut bytes = Vec::new();
    tls.write_tls(&mut bytes).unwrap();
    bytes
}

/// The certificate that the server has shown.
#[must_use]
pub fn certificate(tls: &Tls) -> CertificateDer<'static> {
    tls.conn.peer_certificates().unwrap()[0].clone()
}

/// Takes any certificate; a test that is about certificates uses [`config_trusting`].
#[derive(Debug)]
struct Anyone(CryptoProvider);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
