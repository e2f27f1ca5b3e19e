//! Which certificate is shown to whom.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::*;

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
