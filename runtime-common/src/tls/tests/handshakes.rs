//! What is agreed on, and that nothing is kept of it.

use rustls::client::Resumption;
use rustls::{HandshakeKind, ProtocolVersion};

use super::*;

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
