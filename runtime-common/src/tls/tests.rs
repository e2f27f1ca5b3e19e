//! Files with every mistake, and whole handshakes in memory.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection, SupportedProtocolVersion};

use super::*;
use crate::test_dir::TestDir;

mod files;
mod handshakes;
mod names;

fn now() -> SystemTime {
    SystemTime::now()
}

/// The PEM of a certificate for localhost, and of its key.
fn pair(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn read(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let named = NamedFile::new;
    load_identity(
        &named("--tls-cert", certificate),
        &named("--tls-key", key),
        now(),
    )
}

fn load(certificate: &str, key: &str) -> Result<Identity, String> {
    let dir = TestDir::new();
    let (certificate, key) = (dir.file("CERT", certificate), dir.file("KEY", key));
    read(&certificate, &key)
        .map_err(|error| error.replace(&format!("{}/", dir.path().display()), ""))
}

/// Moves records between the two until both are done or one fails.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    handshake_with("localhost", client, server)
}

fn handshake_with(
    name: &'static str,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let mut client = ClientConnection::new(client, ServerName::try_from(name).unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

#[test]
fn fingerprints_as_openssl_writes_them() {
    // SHA-256 of nothing, FIPS 180-4.
    assert_eq!(
        fingerprint(&CertificateDer::from(Vec::new())),
        "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55"
    );
}

#[test]
fn debug_shows_no_key() {
    let (certificate, key) = pair(|_| ());
    let identity = load(&certificate, &key).unwrap();
    let expected = format!(
        "Identity {{ fingerprint: \"{}\", .. }}",
        fingerprint(identity.certificate())
    );
    assert_eq!(format!("{identity:?}"), expected);
}
