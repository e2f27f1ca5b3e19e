//! The certificate: made here and kept, or the operator's own.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use black_box::{Binary, Client, Launch, Message, Server, Signal, TempDir, suite, tls};
use rcgen::{CertificateParams, KeyPair};

suite! {
    local_certificate,
    a_certificate_that_cannot_be_kept,
    own_certificate,
    certificates_by_name,
    new_files_when_asked,
    new_files_unasked,
    files_that_cannot_be_used,
    nothing_to_reload_in_local_mode,
    a_certificate_that_ends_soon,
    #[ignore = "slow: run by .ci/run"]
    a_hundred_certificates_under_a_hundred_sessions,
}

/// T1.1: made once, kept for the user alone, good for every local name, and shown by its fingerprint.
fn local_certificate(binary: &Binary) {
    let home = Arc::new(TempDir::new());
    let mut shown = Vec::new();
    for _ in 0..2 {
        let server = Launch::new(binary).home(&home).start();
        let certificate = tls::certificate(&server.tls());
        let line = format!("SHA-256 {}", fingerprint(&certificate));
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

fn fingerprint(certificate: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let pairs = digest.as_ref().iter().map(|byte| format!("{byte:02X}"));
    pairs.collect::<Vec<_>>().join(":")
}

/// A certificate and its key.
struct Pair {
    certificate: String,
    key: String,
    fingerprint: String,
}

impl Pair {
    /// For these names.
    fn new(names: &[&str]) -> Pair {
        Pair::changed(names, |_| ())
    }

    fn changed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names = names.iter().map(|name| (*name).to_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Pair {
            fingerprint: fingerprint(certificate.der()),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes `NAME.cert` and `NAME.key`, each in one step, the key first; gives the arguments that name them.
    fn put(&self, dir: &TempDir, name: &str) -> [String; 4] {
        let file = |kind: &str, text: &str| {
            let new = dir.file("new", text);
            let path = dir.path().join(format!("{name}.{kind}"));
            std::fs::rename(new, &path).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let key = file("key", &self.key);
        let certificate = file("cert", &self.certificate);
        ["--tls-cert".into(), certificate, "--tls-key".into(), key]
    }

    /// Writes both into one file, in one step; gives the arguments that name it.
    fn put_as_one(&self, dir: &TempDir, name: &str) -> [String; 4] {
        let new = dir.file("new", self.certificate.clone() + &self.key);
        let path = dir.path().join(name);
        std::fs::rename(new, &path).unwrap();
        let path = path.to_str().unwrap();
        ["--tls-cert", path, "--tls-key", path].map(str::to_owned)
    }

    /// Waits until the server says that it shows this one.
    fn wait(&self, server: &Server) {
        let line = format!("SHA-256 {}", self.fingerprint);
        server.log().wait_for(&line).unwrap();
    }
}

/// The fingerprint of the certificate that is shown to who asks for this name.
fn shown(server: &Server, name: &str) -> String {
    let tls = tls::connect_to(server.tcp(), &tls::config(), name).unwrap();
    fingerprint(&tls::certificate(&tls))
}

fn start(binary: &Binary, args: &[String]) -> Server {
    Launch::new(binary)
        .args(&["--listen", "127.0.0.1:0"])
        .args(args)
        .start()
}

/// How many lines of the log hold this text.
fn count(server: &Server, part: &str) -> usize {
    let lines = server.log().lines();
    lines.iter().filter(|line| line.contains(part)).count()
}

/// The first certificate that is for the name that a client asks for; the first of all without such a name.
fn certificates_by_name(binary: &Binary) {
    let dir = TempDir::new();
    let pairs = [
        Pair::new(&["one.example", "192.0.2.1"]),
        Pair::new(&["two.example", "www.two.example"]),
        Pair::new(&["*.three.example", "127.0.0.1"]),
    ];
    let [one, two, three] = ["one", "two", "three"];
    let mut args: Vec<String> = pairs[0].put(&dir, one).to_vec();
    args.extend(pairs[1].put(&dir, two));
    args.extend(pairs[2].put(&dir, three));
    let by_options = start(binary, &args);
    let list = |from: usize| {
        let paths = args[from..].iter().step_by(4).cloned();
        paths.collect::<Vec<_>>().join(",")
    };
    let by_variables = Launch::new(binary)
        .args(&["--listen", "127.0.0.1:0"])
        .env("MLES_TLS_CERT", &list(1))
        .env("MLES_TLS_KEY", &list(3))
        .start();
    let text = "tls-cert = ['one.cert', 'two.cert', 'three.cert']\ntls-key = ['one.key', 'two.key', 'three.key']\n";
    let file = dir.file("mles.toml", text);
    let by_file = Launch::new(binary)
        .args(&["--listen", "127.0.0.1:0", "--config", &file])
        .start();
    for server in [&by_options, &by_variables, &by_file] {
        for (name, expected) in [
            ("one.example", 0),
            ("two.example", 1),
            ("WWW.two.example", 1),
            ("a.three.example", 2),
            ("three.example", 0),
            ("a.b.three.example", 0),
            ("elsewhere.example", 0),
            // Without a name: a client sends no address.
            ("127.0.0.1", 0),
        ] {
            assert_eq!(shown(server, name), pairs[expected].fingerprint, "{name}");
        }
        server.assert_serves();
    }
    // What can't be used says where it is named.
    dir.file("two.key", "");
    for (server, name) in [
        (by_options, "--tls-key"),
        (by_variables, "MLES_TLS_KEY"),
        (by_file, &format!("{file}:2: tls-key")),
    ] {
        server.signal(Signal::HUP);
        let line = format!(" {name}: no private key in '");
        server.log().wait_for(&line).unwrap();
    }
}

/// SIGHUP: new files are shown from then on, sessions stay, and there is an answer if there is nothing new.
fn new_files_when_asked(binary: &Binary) {
    let dir = TempDir::new();
    let first = Pair::new(&["localhost"]);
    let server = start(binary, &first.put(&dir, "a"));
    let mut alice = server.join("alice", "reload");
    assert_eq!(shown(&server, "localhost"), first.fingerprint);
    server.signal(Signal::HUP);
    let answer = "nothing new in the certificate files";
    server.log().wait_for(answer).unwrap();
    for _ in 0..3 {
        let next = Pair::new(&["localhost"]);
        next.put(&dir, "a");
        server.signal(Signal::HUP);
        next.wait(&server);
        assert_eq!(shown(&server, "localhost"), next.fingerprint);
    }
    let mut bob = server.join("bob", "reload");
    alice.send("still here");
    bob.expect([black_box::header("alice", "reload"), "still here".into()]);
}

/// Without a signal: files renamed into place, written anew, and behind a link that is swapped.
fn new_files_unasked(binary: &Binary) {
    let dir = TempDir::new();
    let pairs: Vec<_> = (0..5).map(|_| Pair::new(&["localhost"])).collect();
    let at = |number: usize| dir.path().join(number.to_string());
    for (number, pair) in pairs.iter().enumerate() {
        std::fs::create_dir(at(number)).unwrap();
        std::fs::write(at(number).join("cert"), &pair.certificate).unwrap();
        std::fs::write(at(number).join("key"), &pair.key).unwrap();
    }
    link(&dir, "0", "..data");
    let data = dir.path().join("..data");
    let path = |name: &str| data.join(name).to_str().unwrap().to_owned();
    let args = [
        "--tls-cert".into(),
        path("cert"),
        "--tls-key".into(),
        path("key"),
    ];
    let server = start(binary, &args);
    let check = |number: usize| {
        pairs[number].wait(&server);
        assert_eq!(shown(&server, "localhost"), pairs[number].fingerprint);
    };
    link(&dir, "1", "..data");
    check(1);
    for name in ["key", "cert"] {
        std::fs::rename(at(2).join(name), at(1).join(name)).unwrap();
    }
    check(2);
    for name in ["cert", "key"] {
        std::fs::write(at(1).join(name), std::fs::read(at(3).join(name)).unwrap()).unwrap();
    }
    check(3);
    for name in ["cert", "key"] {
        link(&dir, &format!("../4/{name}"), &format!("1/{name}"));
    }
    check(4);
    server.assert_serves();
}

/// Lets `at` be a link to `to`, in one step.
fn link(dir: &TempDir, to: &str, at: &str) {
    let new = dir.path().join("new link");
    symlink(Path::new(to), &new).unwrap();
    std::fs::rename(new, dir.path().join(at)).unwrap();
}

/// What is half written, or does not match, is told of once, and the certificate before stays in use.
fn files_that_cannot_be_used(binary: &Binary) {
    let dir = TempDir::new();
    let (bad, good) = (Pair::new(&["bad.example"]), Pair::new(&["good.example"]));
    let mut args = bad.put(&dir, "bad").to_vec();
    args.extend(good.put_as_one(&dir, "good"));
    let server = start(binary, &args);
    // Two looks at all files, at least: each takes in a new one of the other pair.
    let looks = || {
        for _ in 0..2 {
            let next = Pair::new(&["good.example"]);
            next.put_as_one(&dir, "good");
            next.wait(&server);
            assert_eq!(shown(&server, "good.example"), next.fingerprint);
        }
        assert_eq!(shown(&server, "bad.example"), bad.fingerprint);
    };
    let stays = "the certificate before stays in use";
    let other = Pair::new(&["bad.example"]);
    dir.file("bad.key", &other.key);
    server
        .log()
        .wait_for("is not that of the first certificate")
        .unwrap();
    looks();
    assert_eq!(count(&server, stays), 1);
    dir.file(
        "bad.cert",
        &other.certificate[..other.certificate.len() / 2],
    );
    server.log().wait_for("is a damaged PEM file").unwrap();
    looks();
    assert_eq!(count(&server, stays), 2);
    server.assert_serves();
    dir.file("bad.cert", &other.certificate);
    other.wait(&server);
    assert_eq!(shown(&server, "bad.example"), other.fingerprint);
    // And back to what is in use.
    dir.file("bad.key", "");
    server.log().wait_for("no private key in").unwrap();
    dir.file("bad.key", &other.key);
    server.log().wait_for("is as before, and good").unwrap();
    let warnings = count(&server, " WARN ");
    assert_eq!((warnings, count(&server, stays)), (3, 3));
}

/// SIGHUP ends no server that made its certificate itself.
fn nothing_to_reload_in_local_mode(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let before = shown(&server, "localhost");
    server.signal(Signal::HUP);
    let line = "is renewed 30 days before";
    server.log().wait_for(line).unwrap();
    assert_eq!(shown(&server, "localhost"), before);
    server.assert_serves();
}

/// A certificate that ends within 14 days, or has ended, is warned of at the start.
fn a_certificate_that_ends_soon(binary: &Binary) {
    let dir = TempDir::new();
    let today = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let ends = |at| {
        Pair::changed(&["localhost"], |params| {
            params.not_after = rcgen::date_time_ymd(1970, 1, 1) + at;
        })
    };
    for (pair, part) in [
        (ends(today - day), "the certificate has expired, on "),
        (
            ends(today + day * 13),
            "the certificate ends in 12 days, on ",
        ),
        (ends(today + day * 15), ""),
    ] {
        let server = start(binary, &pair.put(&dir, "a"));
        server.assert_serves();
        let lines = server.stop().stderr;
        let warnings: Vec<_> = lines
            .iter()
            .filter(|line| line.contains(" WARN "))
            .collect();
        let expected = usize::from(!part.is_empty());
        assert!(
            warnings.len() == expected && warnings.iter().all(|line| line.contains(part)),
            "{lines:?}"
        );
    }
}

/// Certificates change under sessions that talk: no session ends, and no handshake is shown an older one.
fn a_hundred_certificates_under_a_hundred_sessions(binary: &Binary) {
    const COUNT: usize = 100;
    let dir = TempDir::new();
    let args = Pair::new(&["localhost"]).put_as_one(&dir, "a");
    let server = Launch::new(binary)
        .args(&["--listen", "127.0.0.1:0", "--threads", "3"])
        .args(&args)
        .start();
    let mut members: Vec<_> = (0..COUNT)
        .map(|number| server.join(&number.to_string(), "talk"))
        .collect();
    for member in &mut members {
        member.recv_until_settled();
    }
    for round in 0..COUNT {
        let next = Pair::new(&["localhost"]);
        next.put_as_one(&dir, "a");
        let text = format!("before {round}");
        members[round].send(text.clone());
        server.signal(Signal::HUP);
        next.wait(&server);
        // One for each thread.
        let newcomers = [(); 3].map(|()| server.tls());
        for newcomer in &newcomers {
            let shown = fingerprint(&tls::certificate(newcomer));
            assert_eq!(shown, next.fingerprint, "round {round}");
        }
        let others = members.iter_mut().enumerate();
        for (_, member) in others.filter(|(number, _)| *number != round) {
            assert_eq!(member.recv(), Message::text(text.clone()));
        }
    }
    for member in &mut members {
        member.settle();
    }
}
