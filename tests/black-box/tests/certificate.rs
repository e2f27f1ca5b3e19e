//! The certificate: made here and kept, or the operator's own.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use black_box::{Binary, Client, Launch, Server, TempDir, suite, tls};
use rcgen::{CertificateParams, KeyPair};

suite! {
    local_certificate,
    a_certificate_that_cannot_be_kept,
    own_certificate,
}

/// T1.1: made once, kept for the user alone, good for every local name, and shown by its fingerprint.
fn local_certificate(binary: &Binary) {
    let home = Arc::new(TempDir::new());
    let mut shown = Vec::new();
    for _ in 0..2 {
        let server = Launch::new(binary).home(&home).start();
        let certificate = tls::certificate(&server.tls());
        let digest = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let pairs: Vec<_> = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let line = format!("SHA-256 {}", pairs.join(":"));
        assert!(
            server.stdout().lines().iter().any(|it| it.ends_with(&line)),
            "{line}"
        );
        let config = tls::config_trusting(certificate);
        for name in ["localhost", "127.0.0.1", "::1"] {
            let mut stream = tls::connect_to(server.tcp(), &config, name).unwrap();
            let response = black_box::request(&mut stream, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(response.status, 200);
        }
        tls::connect_to(server.tcp(), &config, "example.org").unwrap_err();
        shown.push(line);
    }
    assert_eq!(shown[0], shown[1], "kept over a restart");
    let directory = home.path().join("mles");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for file in std::fs::read_dir(&directory).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    // Damaged, it is made again.
    let file = std::fs::read_dir(&directory)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(&file, "damaged").unwrap();
    let server = Launch::new(binary).home(&home).start();
    server.assert_serves();
    assert!(
        server
            .log()
            .lines()
            .iter()
            .any(|line| line.contains("damaged"))
    );
}

/// Without a directory to write to there is a certificate all the same, and a warning.
fn a_certificate_that_cannot_be_kept(binary: &Binary) {
    let dir = TempDir::new();
    let file = dir.file("no directory", "");
    let launches = [
        Launch::new(binary).without("HOME").without("XDG_DATA_HOME"),
        Launch::new(binary).env("XDG_DATA_HOME", &file),
        Launch::new(binary).env("XDG_DATA_HOME", "/proc/no/such"),
    ];
    for launch in launches {
        let server = launch.start();
        server.assert_serves();
        let lines = server.stop().stderr;
        let warnings: Vec<_> = lines
            .iter()
            .filter(|line| line.contains(" WARN "))
            .collect();
        assert!(
            warnings.len() == 1 && warnings[0].contains("ends with this process"),
            "{lines:?}"
        );
    }
}

/// T1.1, T3.1: the operator's certificate is the one that is shown, over IPv4 and IPv6.
fn own_certificate(binary: &Binary) {
    let dir = TempDir::new();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap().pem();
    let (cert, key) = (
        dir.file("cert.pem", cert),
        dir.file("key.pem", key.serialize_pem()),
    );
    let args = ["--tls-cert", &cert, "--tls-key", &key, "--listen", "[::]:0"];
    let server = Server::start(binary, &args, &[]);
    assert!(
        !server
            .stdout()
            .lines()
            .iter()
            .any(|line| line.contains("Fingerprint"))
    );
    assert!(
        !server.home().path().join("mles").exists(),
        "no certificate was made"
    );
    let port = server.address().port();
    let shown = tls::certificate(&server.tls());
    let config = tls::config_trusting(shown);
    for host in ["127.0.0.1", "::1"] {
        let tcp = std::net::TcpStream::connect((host, port)).unwrap();
        let stream = tls::connect_to(tcp, &config, "localhost").unwrap();
        Client::open(stream).join("alice", host);
    }
}
