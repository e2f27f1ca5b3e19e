//! Files with every mistake, and whole handshakes in memory.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, ServerConnection,
    SupportedProtocolVersion,
};

use super::*;
use crate::test_dir::TestDir;

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

fn client(
    identity: &Identity,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// Moves records between the two until both are done or one fails.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let mut client =
        ClientConnection::new(client, ServerName::try_from("localhost").unwrap()).unwrap();
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
fn alpn_in_both_versions() {
    let (certificate, key) = pair(|_| ());
    let identity = load(&certificate, &key).unwrap();
    let server = server_config(identity.clone());
    for (version, name) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let fine: [(&[&str], Option<&[u8]>); 3] = [
            (&[], None),
            (&["http/1.1"], Some(b"http/1.1")),
            (&["h2", "http/1.1"], Some(b"http/1.1")),
        ];
        for (offer, chosen) in fine {
            let (client, server) =
                handshake(client(&identity, version, offer), server.clone()).unwrap();
            assert_eq!(
                (client.protocol_version(), server.alpn_protocol()),
                (Some(name), chosen)
            );
            assert_eq!(client.alpn_protocol(), chosen);
        }
        for offer in [&["h2"][..], &["http/1.0", "mles"]] {
            let error = handshake(client(&identity, version, offer), server.clone())
                .err()
                .unwrap();
            assert_eq!(error, Error::NoApplicationProtocol);
        }
    }
}

#[test]
fn nothing_is_resumed() {
    let (certificate, key) = pair(|_| ());
    let identity = load(&certificate, &key).unwrap();
    let server = server_config(identity.clone());
    for version in [&TLS12, &TLS13] {
        let client = client(&identity, version, &["http/1.1"]);
        for _ in 0..3 {
            let (client, mut server) = handshake(client.clone(), server.clone()).unwrap();
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
            assert!(client.tls13_tickets_received() == 0 && server.early_data().is_none());
        }
    }
}

#[test]
fn older_versions_are_not_offered() {
    let (certificate, key) = pair(|_| ());
    let config = server_config(load(&certificate, &key).unwrap());
    let versions: Vec<_> = config
        .crypto_provider()
        .cipher_suites
        .iter()
        .map(|s| s.version().version)
        .collect();
    assert!(
        versions.contains(&ProtocolVersion::TLSv1_2)
            && versions.contains(&ProtocolVersion::TLSv1_3)
    );
    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    assert_eq!(
        (config.send_tls13_tickets, config.max_early_data_size),
        (0, 0)
    );
}

#[test]
fn a_chain_shows_its_first_certificate() {
    let (authority, authority_key) = {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        (
            params.self_signed(&key).unwrap(),
            rcgen::Issuer::new(params, key),
        )
    };
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority_key)
        .unwrap();
    let chain = format!("{}{}", leaf.pem(), authority.pem());
    let identity = load(&chain, &key.serialize_pem()).unwrap();
    assert_eq!(identity.certificate(), leaf.der());
    assert_eq!(identity.warnings(), [] as [String; 0]);
    // Without its issuer, which may be a private root that clients have: no warning.
    assert_eq!(
        load(&leaf.pem(), &key.serialize_pem()).unwrap().warnings(),
        [] as [String; 0]
    );

    let reversed = format!("{}{}", authority.pem(), leaf.pem());
    assert_eq!(
        load(&reversed, &key.serialize_pem()).unwrap_err(),
        "--tls-key: the key in 'KEY' is not that of the first certificate in 'CERT': \
         give the key that belongs to it, and the server's own certificate first"
    );
}

#[test]
fn refusals_in_full() {
    let (certificate, key) = pair(|_| ());
    let (_, other) = pair(|_| ());
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cut = &certificate[..certificate.len() / 2];
    let bad_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let table = [
        (
            "",
            key.as_str(),
            "--tls-cert: no certificate in 'CERT': give a PEM file with -----BEGIN CERTIFICATE-----",
        ),
        (
            &key,
            &certificate,
            "--tls-cert: no certificate in 'CERT': it holds a private key; are --tls-cert and --tls-key swapped?",
        ),
        (
            cut,
            &key,
            "--tls-cert: 'CERT' is a damaged PEM file: get the file again",
        ),
        (
            damaged,
            &key,
            "--tls-cert: the first certificate in 'CERT' is damaged or not X.509 version 3: get the file again",
        ),
        (
            &certificate,
            "",
            "--tls-key: no private key in 'KEY': give a PEM file with -----BEGIN PRIVATE KEY-----",
        ),
        (
            &certificate,
            &certificate,
            "--tls-key: no private key in 'KEY': it holds a certificate; are --tls-cert and --tls-key swapped?",
        ),
        (
            &certificate,
            encrypted,
            "--tls-key: no private key in 'KEY': it is protected by a passphrase; remove that with openssl pkey -in OLD -out NEW",
        ),
        (
            &certificate,
            bad_key,
            "--tls-key: the key in 'KEY' can't be used: give an RSA (2048 bits or more), ECDSA P-256 or P-384, or Ed25519 key",
        ),
        (
            &certificate,
            &other,
            "--tls-key: the key in 'KEY' is not that of the first certificate in 'CERT': give the key that belongs to it, and the server's own certificate first",
        ),
    ];
    for (certificate, key, expected) in table {
        assert_eq!(load(certificate, key).unwrap_err(), expected);
    }
    let dir = TestDir::new();
    let (missing, key) = (dir.path().join("missing"), dir.file("KEY", &key));
    let cause = "No such file or directory (os error 2); check the path and its permissions";
    assert_eq!(
        read(&missing, &key).unwrap_err(),
        format!("--tls-cert: can't read '{}': {cause}", missing.display())
    );
    assert_eq!(
        read(&key, &missing).unwrap_err(),
        format!("--tls-key: can't read '{}': {cause}", missing.display())
    );
    assert_eq!(
        read(dir.path(), &key).unwrap_err(),
        format!(
            "--tls-cert: can't read '{}': Is a directory (os error 21); check the path and its permissions",
            dir.path().display()
        )
    );
}

#[test]
fn warns_of_what_clients_refuse() {
    let warning = |change: fn(&mut CertificateParams)| {
        let (certificate, key) = pair(change);
        load(&certificate, &key).unwrap().warnings().to_vec()
    };
    assert_eq!(warning(|_| ()), [] as [String; 0]);
    assert_eq!(
        warning(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        [
            "the certificate is one of an authority (CA:TRUE): browsers may take it, clients such as those with rustls refuse it; \
          make it with openssl req -x509 -addext basicConstraints=critical,CA:FALSE"
        ]
    );
    assert_eq!(
        warning(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)),
        ["the certificate has expired: clients will refuse it; renew it"]
    );
    assert_eq!(
        warning(|params| params.not_before = rcgen::date_time_ymd(3000, 1, 1)),
        ["the certificate is not valid yet: clients will refuse it; check this machine's clock"]
    );
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
