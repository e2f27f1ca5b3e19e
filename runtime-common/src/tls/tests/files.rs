//! Files with every mistake, and those that get a warning.

use rcgen::{BasicConstraints, IsCa};

use super::*;

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
