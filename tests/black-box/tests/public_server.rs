//! A bridge to the public server, `mles` 2.9.4 as crates.io has it: the program that `MLES_PUBLIC` names.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::io;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use black_box::{
    Binary, Client, Launch, Message, Signal, TempDir, Tls, header, suite, tls, unused_port,
};

suite! {
    #[ignore = "needs the public server, which takes minutes to build"]
    a_bridge_to_the_public_server,
}

/// Long, for a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// The public server, until it is dropped.
struct Public {
    child: Child,
    port: u16,
    files: TempDir,
}

/// It gets certificates over ACME alone, but looks into its cache first: under the hash, in base64, of the domain, a
/// NUL, and the address of Let's Encrypt's directory.
const CACHED: &str = "cached_cert_VK-lYGvOoYu5HvTAehRJeelHMjtQw3LqzEhpKEb7WlM";

impl Public {
    fn start() -> Self {
        let files = TempDir::new();
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (key, certificate) = (pair.signing_key.serialize_pem(), pair.cert.pem());
        for folder in ["acme", "www/localhost"] {
            fs::create_dir_all(files.path().join(folder)).unwrap();
        }
        files.file("peer.pem", &certificate);
        files.file(&format!("acme/{CACHED}"), format!("{key}{certificate}"));
        let port = unused_port();
        let child = Self::launch(&files, port);
        Self { child, port, files }
    }

    fn launch(files: &TempDir, port: u16) -> Child {
        let program = std::env::var_os("MLES_PUBLIC").expect("MLES_PUBLIC names the public server");
        let mut child = Command::new(program)
            .args([
                "--domains",
                "localhost",
                "--cache",
                "acme",
                "--wwwroot",
                "www",
            ])
            .args(["--port", &port.to_string()])
            .current_dir(files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let since = Instant::now();
        // It listens before it has its certificate, and resets who comes too early.
        while Self::connect(port).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            assert!(since.elapsed() < PATIENCE, "it does not listen");
            std::thread::sleep(Duration::from_millis(20)); // It says nothing when it does.
        }
        child
    }

    fn connect(port: u16) -> io::Result<Tls> {
        let tcp = TcpStream::connect(("localhost", port))?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let config = tls::config_of(rustls::ALL_VERSIONS, &["http/1.1"]);
        tls::connect(tcp, &config.into())
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// It stops at once, and is there again, with an empty history.
    fn restart(&mut self) {
        self.end();
        self.child = Self::launch(&self.files, self.port);
    }

    /// A client of its own. Nothing tells when the join is done; no ping is sent, for it would reach everybody.
    fn join(&self, uid: &str, channel: &str) -> Client {
        let mut client = Client::open(Self::connect(self.port).unwrap());
        client.send(header(uid, channel));
        client
    }

    fn bridge(&self, binary: &Binary) -> Launch {
        let url = format!("wss://localhost:{}", self.port);
        let file = self.files.path().join("peer.pem").display().to_string();
        Launch::new(binary).args(&["--bridge", &url, "--peer-ca", &file])
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        self.end();
    }
}

/// Everything up to a text, but for announcements.
fn until(client: &mut Client, last: &str) -> Vec<Message> {
    let mut got = Vec::new();
    while got.last() != Some(&Message::text(last)) {
        let message = client.recv();
        let announces = |text: &str| text.starts_with("{\"uid\"");
        if !message.to_text().is_ok_and(announces) {
            got.push(message);
        }
    }
    got
}

/// B1: both directions, history without repeats, and either server lost.
fn a_bridge_to_the_public_server(binary: &Binary) {
    let mut public = Public::start();
    let mut eve = public.join("eve", "room");
    eve.send("before 1");
    eve.send("before 2");
    let near = public.bridge(binary).start();
    let mut alice = near.join("alice", "room");
    alice.expect([header("eve", "room"), "before 1".into(), "before 2".into()]);
    alice.send("from alice");
    assert_eq!(until(&mut eve, "from alice").len(), 1);
    let bytes = Message::binary(vec![7; 100_000]);
    eve.send(bytes.clone());
    eve.send("from eve");
    assert_eq!(
        until(&mut alice, "from eve"),
        [bytes.clone(), Message::text("from eve")]
    );

    // Our server is lost: the next one has the history from there, and nothing goes back.
    near.signal(Signal::KILL);
    drop((near, alice));
    let near = public.bridge(binary).start();
    let mut bob = near.join("bob", "room");
    let all = [
        Message::text("before 1"),
        Message::text("before 2"),
        Message::text("from alice"),
        bytes,
        Message::text("from eve"),
    ];
    assert_eq!(until(&mut bob, "from eve"), all);
    bob.send("from bob");
    assert_eq!(until(&mut eve, "from bob"), [Message::text("from bob")]);
    eve.send("to bob");
    assert_eq!(until(&mut bob, "to bob"), [Message::text("to bob")]);

    // The public server is lost: what is said meanwhile waits.
    drop(eve);
    public.end();
    assert!(near.log().wait_for("is down").is_some());
    bob.send("meanwhile");
    public.restart();
    let mut eve = public.join("eve", "room");
    until(&mut eve, "meanwhile");
    eve.send("welcome back");
    until(&mut bob, "welcome back");
}
