//! A list of peers on a page of the Web.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{Read, Write};
use std::net::TcpListener;

use black_box::{Binary, Launch, Server, Signal, TempDir, suite, tls};

suite! {
    peers_on_a_page,
    a_page_that_is_away,
    a_page_that_hangs,
    what_is_no_list,
    a_certificate_of_nobody,
    asked_by_a_signal,
    in_order_of_preference,
}

const KEY: (&str, &str) = ("MLES_PEER_KEY", "the servers' secret");

/// Somebody who serves a page; nobody does before the test lets it.
struct Page {
    listener: TcpListener,
    certificate: rcgen::CertifiedKey<rcgen::KeyPair>,
    files: TempDir,
}

impl Page {
    fn new() -> Self {
        let names = ["localhost".to_owned()];
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            certificate: rcgen::generate_simple_self_signed(names).unwrap(),
            files: TempDir::new(),
        }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/peers?token=hush", self.port())
    }

    /// A server that knows the page, and these others.
    fn reader(&self, binary: &Binary, peers: &[&Server]) -> Launch {
        let pem = self.files.file("page.pem", self.certificate.cert.pem());
        let launch = Launch::new(binary).env(KEY.0, KEY.1).args(&[
            "--peers-url",
            &self.url(),
            "--peer-ca",
            &pem,
        ]);
        peers.iter().fold(launch, |launch, peer| {
            launch.args(&["--peer-fingerprint", &fingerprint(peer)])
        })
    }

    /// Waits for the next request, answers it, ends the connection in good order, and gives the request.
    fn answer(&self, answer: &str) -> String {
        self.answer_and(answer, true)
    }

    /// The same, but TLS may be left without its goodbye.
    fn answer_and(&self, answer: &str, goodbye: bool) -> String {
        let (stream, _) = self.listener.accept().unwrap();
        let key = self.certificate.signing_key.serialize_der();
        let certificate = self.certificate.cert.der().clone();
        let mut stream = tls::accept(stream, certificate, key);
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the end of {request:?}");
            request.extend_from_slice(&buffer[..count]);
        }
        // Who has read enough may be gone.
        let _ = stream.write_all(answer.as_bytes());
        if goodbye {
            stream.conn.send_close_notify();
        }
        let _ = stream.flush();
        String::from_utf8(request).unwrap()
    }

    fn list(&self, text: &str) -> String {
        let length = text.len();
        self.answer(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{text}"
        ))
    }
}

fn fingerprint(server: &Server) -> String {
    let lines = server.stdout().lines();
    let line = lines.iter().find(|line| line.starts_with("Fingerprint"));
    line.unwrap().rsplit(' ').next().unwrap().to_owned()
}

fn url(server: &Server) -> String {
    format!("wss://localhost:{}", server.address().port())
}

/// Waits until so many lines hold this; gives the last of them.
fn nth(server: &Server, count: usize, part: &str) -> String {
    let with = |lines: &[String]| -> Vec<String> {
        let with = lines.iter().filter(|line| line.contains(part));
        with.cloned().collect()
    };
    server.log().wait_until(|lines| with(lines).len() >= count);
    with(&server.log().lines())[count - 1].clone()
}

fn linked(server: &Server, to: &Server) {
    let part = format!("linked to peer {}", url(to));
    assert!(server.log().wait_for(&part).is_some());
}

/// The page is fetched when the server starts and then again and again, in each form that an answer can have; a peer
/// that is not there any more is left.
fn peers_on_a_page(binary: &Binary) {
    let [one, other, third] = [(); 3].map(|()| Server::start(binary, &[], &[KEY]));
    let page = Page::new();
    let lower = page
        .reader(binary, &[&one, &other, &third])
        .args(&["--peers-url-interval", "1s"])
        .start();
    let request = page.list(&format!("# ours\n{}\n", url(&one)));
    assert!(
        request.starts_with("GET /peers?token=hush HTTP/1.1\r\nHost: localhost:"),
        "{request}"
    );
    linked(&lower, &one);
    let line = nth(&lower, 1, "took in 'https://localhost:");
    assert!(
        line.contains(" INFO ") && line.ends_with("/peers?…': 1 peers"),
        "{line}"
    );
    let (first, second) = (format!("# ours\n{}", url(&other)), "\n# and\n");
    page.answer(&format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:X};a=b\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len(),
    ));
    linked(&lower, &other);
    page.answer(&format!("HTTP/1.0 200 OK\r\n\r\n{}", url(&third)));
    linked(&lower, &third);
    let secret = |line: &String| line.contains("hush");
    assert!(!lower.log().lines().iter().any(secret));
}

/// A port where nobody listens, from those that the system does not give out by itself.
fn unused_port() -> u16 {
    let own = 30_000 + (std::process::id() % 2000) as u16;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (own..32_700).find(free).unwrap()
}

/// A server starts and serves while the page is away; it is told once, tried again soon, and once there is a list, that
/// stays.
fn a_page_that_is_away(binary: &Binary) {
    let upper = Server::start(binary, &[], &[KEY]);
    let port = unused_port();
    let mut page = Page::new();
    let pem = page.files.file("page.pem", page.certificate.cert.pem());
    let lower = Launch::new(binary)
        .env(KEY.0, KEY.1)
        .env("MLES_PEERS_URL", &format!("https://localhost:{port}/"))
        .args(&["--peers-url-interval", "2s", "--peer-ca", &pem])
        .args(&["--peer-fingerprint", &fingerprint(&upper)])
        .start();
    let line = nth(&lower, 1, "there are no peers from there");
    assert!(
        line.contains(" WARN ") && line.contains("MLES_PEERS_URL: 'https://localhost:"),
        "{line}"
    );
    assert!(line.contains("nobody listens at localhost:"), "{line}");
    lower.assert_serves();
    page.listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    page.list(&url(&upper));
    linked(&lower, &upper);
    for _ in 0..2 {
        page.answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    let line = nth(&lower, 1, "it answers with HTTP 404; the list from before");
    assert!(line.contains(" WARN "), "{line}");
    page.list(&url(&upper));
    nth(&lower, 1, "nothing new in 'https://localhost:");
    let lines = lower.log().lines();
    let warned = lines.iter().filter(|line| line.contains(" WARN "));
    let warned: Vec<_> = warned.filter(|it| it.contains("PEERS_URL")).collect();
    assert_eq!(warned.len(), 2, "each state is told once: {warned:#?}");
    assert!(!lines.iter().any(|line| line.contains("has ended")));
}

/// Who takes the connection and says nothing holds nobody up, and is given up.
fn a_page_that_hangs(binary: &Binary) {
    let page = Page::new();
    let lower = page.reader(binary, &[]).start();
    let (silent, _) = page.listener.accept().unwrap();
    lower.assert_serves();
    let line = nth(&lower, 1, "it did not answer in time");
    assert!(line.contains(" WARN "), "{line}");
    drop(silent);
    // And once more, a second later.
    drop(page.listener.accept().unwrap());
    let ended = lower.stop();
    assert_eq!(ended.status.code(), Some(0));
}

/// An answer that can't be used says why in one line; a redirection is not followed.
fn what_is_no_list(binary: &Binary) {
    let page = Page::new();
    let lower = page
        .reader(binary, &[])
        .args(&["--peers-url-interval", "1s"])
        .start();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: https://localhost:{port}/\r\nContent-Length: 0\r\n\r\n"
    );
    let long = "#".repeat(1 << 16);
    let ok = "HTTP/1.1 200 OK\r\n";
    for (answer, what) in [
        (
            redirect,
            "it redirects (HTTP 302), which is not followed: give the address",
        ),
        (
            format!("{ok}Content-Length: 65537\r\n\r\n#{long}"),
            "larger than 65536 bytes",
        ),
        (format!("{ok}\r\n#{long}"), "larger than 65536 bytes"),
        (
            format!("{ok}Content-Length: 9\r\n\r\nwss://a"),
            "in the middle of its answer",
        ),
        (
            format!("{ok}\r\nwss://a\n\nhttp://b\n"),
            "/peers?…', line 3: 'http://b': Mles runs over TLS alone",
        ),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), "it does not speak HTTP"),
    ] {
        page.answer(&answer);
        let line = nth(&lower, 1, what);
        assert!(
            line.contains(" WARN ") && line.contains("--peers-url: 'https://"),
            "{line}"
        );
    }
    // Who cuts the connection off must not be able to shorten the list.
    page.answer_and(&format!("{ok}\r\nwss://one.example\n"), false);
    let line = nth(&lower, 1, "it ended the connection (");
    assert!(line.contains(" WARN "), "{line}");
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "nobody has come");
    lower.assert_serves();
}

/// Nobody is believed whose certificate is of no authority, nor in the file of `--peer-ca`.
fn a_certificate_of_nobody(binary: &Binary) {
    let (page, another) = (Page::new(), Page::new());
    let pem = another
        .files
        .file("page.pem", another.certificate.cert.pem());
    let lower = Launch::new(binary)
        .args(&["--peers-url", &page.url(), "--peer-ca", &pem])
        .start();
    let (stream, _) = page.listener.accept().unwrap();
    let key = page.certificate.signing_key.serialize_der();
    let mut stream = tls::accept(stream, page.certificate.cert.der().clone(), key);
    let mut request = Vec::new();
    let _ = stream.read_to_end(&mut request);
    assert!(request.is_empty(), "it is told nothing");
    let line = nth(&lower, 1, "--peers-url: 'https://");
    assert!(line.contains("the server's certificate"), "{line}");
}

/// SIGHUP has it fetched at once, and answered.
fn asked_by_a_signal(binary: &Binary) {
    let upper = Server::start(binary, &[], &[KEY]);
    let page = Page::new();
    let lower = page.reader(binary, &[&upper]).start();
    page.list(&url(&upper));
    linked(&lower, &upper);
    lower.signal(Signal::HUP);
    page.list(&url(&upper));
    nth(&lower, 1, "nothing new in 'https://localhost:");
    lower.signal(Signal::HUP);
    page.list("");
    assert!(lower.log().wait_for("has ended").is_some());
}

/// U1.1: those of the settings come first, then those of the file, then those of the page.
fn in_order_of_preference(binary: &Binary) {
    let page = Page::new();
    let address = |number: u8| format!("wss://127.0.0.{number}:9");
    let file = page.files.file("peers", address(2));
    let lower = page
        .reader(binary, &[])
        .args(&["--peer", &address(1), "--peers-file", &file])
        .start();
    page.list(&address(3));
    nth(&lower, 1, "took in 'https://localhost:");
    // From the new list on, they are tried in turn.
    let lines = || lower.log().lines();
    let start = lines()
        .iter()
        .position(|it| it.contains("took in"))
        .unwrap();
    let tried = |lines: &[String]| -> Vec<String> {
        let lines = lines[start..].iter().filter(|it| it.contains(" DEBUG "));
        let tried =
            lines.filter_map(|it| it.split_once("peer wss://127.0.0.")?.1.split(':').next());
        tried.map(str::to_owned).collect()
    };
    lower.log().wait_until(|lines| tried(lines).len() >= 6);
    let tried = tried(&lines()).concat();
    assert!(tried.contains("123"), "{tried}");
}
