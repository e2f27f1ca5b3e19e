//! Files with every mistake, and whole handshakes in memory.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, ProtocolVersion,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
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

fn server(identity: &Identity) -> Arc<ServerConfig> {
    server_config(&Arc::new(Identities::new(vec![identity.clone()])))
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
fn alpn_in_both_versions() {
    let (certificate, key) = pair(|_| ());
    let identity = load(&certificate, &key).unwrap();
    let server = server(&identity);
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
    let server = server(&identity);
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
    let config = server(&load(&certificate, &key).unwrap());
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
    // Not here, but each day.
    let (certificate, key) = pair(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let expired = load(&certificate, &key).unwrap();
    assert_eq!(expired.warnings(), [] as [String; 0]);
    let midnight = UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    assert_eq!(expired.ends(), midnight);
    assert_eq!(
        warning(|params| params.not_before = rcgen::date_time_ymd(3000, 1, 1)),
        ["the certificate is not valid yet: clients will refuse it; check this machine's clock"]
    );
}

#[test]
fn warns_of_an_issuer_that_has_expired() {
    let (authority, issuer) = {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "root");
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        (root, rcgen::Issuer::new(params, key))
    };
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "between");
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let between_key = KeyPair::generate().unwrap();
    let between = params.signed_by(&between_key, &issuer).unwrap();
    let issuer = rcgen::Issuer::new(params, between_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let chain = leaf.pem() + &between.pem() + &authority.pem();
    assert_eq!(
        load(&chain, &key.serialize_pem()).unwrap().warnings(),
        [
            "the certificate of an issuer in the file has expired: clients will refuse it; get the file again"
        ]
    );
}

#[test]
fn a_certificate_that_ends_before_it_begins_is_refused() {
    let (certificate, key) = pair(|params| {
        params.not_before = rcgen::date_time_ymd(2021, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    assert_eq!(
        load(&certificate, &key).unwrap_err(),
        "--tls-cert: the first certificate in 'CERT' is damaged or not X.509 version 3: get the file again"
    );
}

/// Identities for these names, one each.
fn identities(names: &[&[&str]]) -> Vec<Identity> {
    let of = |names: &&[&str]| {
        let (certificate, key) = pair(|params| {
            let names = names.iter().map(|name| (*name).to_owned());
            params.subject_alt_names = CertificateParams::new(names.collect::<Vec<_>>())
                .unwrap()
                .subject_alt_names;
        });
        load(&certificate, &key).unwrap()
    };
    names.iter().map(of).collect()
}

#[test]
fn the_first_that_is_for_the_name_else_the_first() {
    let all = identities(&[
        &["first.example", "192.0.2.1"],
        &["a.example.org", "second.example"],
        &["*.example.org", "example.net"],
        &["b.example.org", "192.0.2.2"],
    ]);
    let server = server_config(&Arc::new(Identities::new(all.clone())));
    let cases = [
        ("first.example", 0),
        ("second.example", 1),
        ("Second.EXAMPLE", 1),
        ("a.example.org", 1),
        ("c.example.org", 2),
        ("example.net", 2),
        // In the order given, also where a later one is closer.
        ("b.example.org", 2),
        // A wildcard is one label, and not none.
        ("c.b.example.org", 0),
        ("example.org", 0),
        ("unknown.example", 0),
        // A client sends no address.
        ("192.0.2.1", 0),
        ("192.0.2.2", 0),
    ];
    for (name, expected) in cases {
        for version in [&TLS12, &TLS13] {
            let client = anyone(version);
            let (client, _) = handshake_with(name, client, server.clone()).unwrap();
            let shown = &client.peer_certificates().unwrap()[0];
            let at = all.iter().position(|one| one.certificate() == shown);
            assert_eq!(at, Some(expected), "{name}");
        }
    }
}

#[test]
fn replaced_for_the_handshakes_that_begin_later() {
    let all = identities(&[&["a.example"], &["b.example"], &["b.example"]]);
    let identities = Arc::new(Identities::new(all[..2].to_vec()));
    let server = server_config(&identities);
    let shown = |name| {
        let (client, _) = handshake_with(name, anyone(&TLS13), server.clone()).unwrap();
        client.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown("b.example"), *all[1].certificate());
    identities.replace(1, all[2].clone());
    assert_eq!(shown("b.example"), *all[2].certificate());
    assert_eq!(shown("a.example"), *all[0].certificate());
    identities.replace(7, all[1].clone());
    assert_eq!(identities.all().len(), 2);
    assert!(format!("{identities:?}").starts_with("[Identity { fingerprint: "));
}

#[test]
fn nothing_to_show_fails_the_handshake() {
    let server = server_config(&Arc::new(Identities::new(Vec::new())));
    handshake(anyone(&TLS13), server).err().unwrap();
}

/// A client that takes any certificate.
fn anyone(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Anyone;

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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
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
