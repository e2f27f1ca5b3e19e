//! What goes wrong gets one line that says what to do.

use std::net::TcpListener;

use black_box::{Binary, Launch, Server, Tool};
use rcgen::{CertificateParams, KeyPair};

use crate::{assert_fails, code, port, publish, url};

black_box::suite! {
    what_goes_wrong,
    keys,
    certificates,
}

fn what_goes_wrong(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let url = url(&server);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("wss://127.0.0.1:{}", closed.local_addr().unwrap().port());
    drop(closed);
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = format!("wss://127.0.0.1:{}", mute.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in mute.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), b"SSH-2.0-nothing\r\n");
        }
    });
    for (command, address, part) in [
        ("pub", &*nobody, "nobody listens at 127.0.0.1:"),
        ("sub", &nobody, "nobody listens at 127.0.0.1:"),
        (
            "sub",
            "wss://a.host.that.does.not.exist.invalid",
            "is not known",
        ),
        ("sub", "ws://localhost", "TLS alone"),
        ("sub", &plain, "does not speak TLS"),
        ("sub", &format!("{url}/?\u{e9} "), "malformed"),
    ] {
        let mut tool = Tool::start(client, &[command, address, "-c", "c", "--insecure"], &[]);
        assert_fails(&tool.wait(), part);
    }
    let channel = "c".repeat(5000);
    for (channel, part) in [
        (
            "",
            "error: these names can't be used: uid and channel must not be empty",
        ),
        (&channel, "too big"),
    ] {
        let mut tool = Tool::start(client, &["sub", &url, "-c", channel, "--insecure"], &[]);
        assert_fails(&tool.wait(), part);
    }
    let ended = publish(client, &url, &["--file", "/nowhere/at/all"], "");
    assert_fails(&ended, "can't read");
    // J1.3: somebody else has this uid.
    let args = ["talk", &url, "-c", "c", "--insecure", "--uid", "carol"];
    let carol = Tool::start(client, &args, &[]);
    server.log().wait_for("carol").unwrap();
    let ended = publish(client, &url, &["-m", "x", "--uid", "carol"], "");
    assert_fails(&ended, "(4002)");
    drop(carol);
    drop(server);
    // M4.2
    let server = Server::start(client, &["--max-message", "4KiB"], &[]);
    let ended = publish(client, &self::url(&server), &["-m", &"x".repeat(5000)], "");
    assert_fails(&ended, "(1009)");
    let mut tool = Tool::start(
        client,
        &[
            "pub",
            &self::url(&server),
            "-c",
            "c",
            "--insecure",
            "-m",
            "x",
            "-l",
        ],
        &[],
    );
    let ended = tool.wait();
    assert_eq!(code(&ended), Some(2), "{ended:?}");
}

/// A2.1, A2.2, A2.3: with the key, without, with another one; in the environment and in a file.
fn keys(client: &Binary) {
    let server = Server::start(client, &[], &[("MLES_KEY", "the secret")]);
    let url = url(&server);
    let file = server.home().file("key", "the secret\n");
    let args = ["pub", &url, "-c", "c", "--insecure", "-m", "x"];
    let with_file = [&args[..], &["--key-file", &file]].concat();
    for (args, variables, works) in [
        (&args[..], &[("MLES_KEY", "the secret")][..], true),
        (&with_file, &[], true),
        (&args, &[("MLES_KEY_FILE", &file)], true),
        (&args, &[], false),
        (&args, &[("MLES_KEY", "another secret")], false),
    ] {
        let ended = Tool::start(client, args, variables).wait();
        if works {
            assert_eq!(code(&ended), Some(0), "{ended:?}");
        } else {
            assert_fails(&ended, "(4001)");
            assert!(!ended.stderr.join(" ").contains("secret"), "A3.2");
        }
    }
}

/// Nobody is trusted who is not known; a fingerprint, the certificate itself and its authority are enough.
fn certificates(client: &Binary) {
    let server = Server::start(client, &[], &[]);
    let port = port(&server);
    let local = server.home().path().join("mles/local.pem");
    let local = local.to_str().unwrap();
    let fingerprint = server.stdout().wait_for("Fingerprint").unwrap();
    let fingerprint = fingerprint.rsplit(' ').next().unwrap();
    let wrong = fingerprint.replace(|c: char| c.is_ascii_digit(), "A");
    let command = server
        .stdout()
        .wait_for(&format!("{} talk", client.name))
        .unwrap();
    assert!(
        command.contains(&format!("--fingerprint {fingerprint}")),
        "{command}"
    );
    // It can be pasted.
    let mut words = command.split_whitespace().skip(1);
    assert_eq!(words.next().map(Into::into), Some(client.path()));
    let mut talk = Tool::start(client, &words.collect::<Vec<_>>(), &[]);
    talk.write("hello\n");
    let ended = talk.wait();
    assert_eq!(code(&ended), Some(0), "{ended:?}");
    assert_eq!(server.join("reader", "lobby").recv_until_settled().len(), 2);
    for (host, options, error) in [
        ("localhost", &["--fingerprint", fingerprint][..], ""),
        (
            "127.0.0.1",
            &["--fingerprint", &fingerprint.to_lowercase()],
            "",
        ),
        ("localhost", &["--ca", local], ""),
        ("127.0.0.1", &["--ca", local], ""),
        ("localhost", &["--insecure"], ""),
        (
            "localhost",
            &["--fingerprint", &wrong],
            "another fingerprint",
        ),
        (
            "localhost",
            &["--fingerprint", "AB:CD"],
            "no SHA-256 fingerprint",
        ),
        ("localhost", &["--ca", "/dev/null"], "no certificate in"),
        ("localhost", &[], "certificate"),
    ] {
        let url = format!("wss://{host}:{port}");
        let args = [&["pub", &url, "-c", "c", "-m", "x"], options].concat();
        let ended = Tool::start(client, &args, &[]).wait();
        if error.is_empty() {
            assert_eq!(code(&ended), Some(0), "{ended:?}");
        } else {
            assert_fails(&ended, error);
        }
    }
    // An authority's certificate that is the server's own, and the name is checked.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let home = server.home();
    let cert = home.file("cert", params.self_signed(&key).unwrap().pem());
    let key = home.file("key.pem", key.serialize_pem());
    let args = [
        "--listen",
        "127.0.0.1",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let server = Launch::new(client).args(&args).start();
    let port = self::port(&server);
    for (host, error) in [("localhost", ""), ("127.0.0.1", "is for other names")] {
        let url = format!("wss://{host}:{port}");
        let args = ["pub", &url, "-c", "c", "-m", "x", "--ca", &cert];
        let ended = Tool::start(client, &args, &[]).wait();
        if error.is_empty() {
            assert_eq!(code(&ended), Some(0), "{ended:?}");
        } else {
            assert_fails(&ended, error);
        }
    }
}
