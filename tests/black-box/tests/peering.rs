//! Servers that make a network: links, the tree, what crosses them, and what is said when it does not work.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use black_box::{
    Binary, DEADLINE, Launch, Message, PEER_KEY as KEY, Pair, Server, Signal, TempDir, fingerprint,
    header, pairs, peer_url as url, suite, unused_port,
};

pairs! {
    messages_cross_both_ways,
    history_comes_from_above,
    large_messages_cross,
    another_key,
    open_peering,
    no_peering,
    a_certificate_that_is_not_trusted,
    a_certificate_from_a_file,
    a_file_of_certificates_that_changes,
    upstream_comes_back,
    an_earlier_peer_is_away,
    peers_in_a_file,
    a_ring_of_three,
    two_trees_become_one,
    a_server_stops_with_its_links,
    the_lower_server_stops,
    links_in_health_and_numbers,
}

suite! {
    nobody_there,
    a_server_that_names_itself,
    a_peer_that_knows_no_peering,
}

/// A server with these peers, in order, whose certificates it knows by their fingerprints.
fn below(binary: &Binary, peers: &[&Server]) -> Launch {
    let mut launch = Launch::new(binary).env(KEY.0, KEY.1);
    for peer in peers {
        launch = launch.args(&["--peer", &url(peer)]);
        launch = launch.args(&["--peer-fingerprint", &fingerprint(peer)]);
    }
    launch
}

/// Two servers, the first above the second, and linked.
fn linked_pair(pair: &Pair) -> (Server, Server) {
    let upper = Server::start(&pair.0, &[], &[KEY]);
    let lower = below(&pair.1, &[&upper]).start();
    linked(&lower);
    (upper, lower)
}

fn linked(server: &Server) {
    assert!(server.log().wait_for("linked to peer").is_some());
}

/// Lines above debug level that hold this.
fn count(server: &Server, part: &str) -> usize {
    let lines = server.log().lines();
    let told = lines.iter().filter(|line| !line.contains(" DEBUG "));
    told.filter(|line| line.contains(part)).count()
}

/// D1: what is sent at one server is received at the other, once, and never by its sender.
fn messages_cross_both_ways(pair: &Pair) {
    let (upper, lower) = linked_pair(pair);
    let mut alice = upper.join("alice", "c");
    let mut bob = lower.join("bob", "c");
    alice.expect([header("bob", "c")]);
    bob.expect([header("alice", "c")]);
    for round in 0..3 {
        alice.send(format!("from above {round}"));
        bob.expect([format!("from above {round}")]);
        bob.send(Message::binary(vec![round; 300]));
        alice.expect([Message::binary(vec![round; 300])]);
    }
    assert!(alice.leave().is_empty());
    assert!(bob.leave().is_empty());
}

/// D2: a late joiner at the lower server gets the history of the upper one.
fn history_comes_from_above(pair: &Pair) {
    let (upper, lower) = linked_pair(pair);
    let mut alice = upper.join("alice", "c");
    for number in 0..50 {
        alice.send(number.to_string());
    }
    alice.settle();
    let mut bob = lower.join("bob", "c");
    bob.expect([header("alice", "c")]);
    bob.expect((0..50).map(|number| number.to_string()));
    // And again, when the lower one has it.
    let mut carol = lower.join("carol", "c");
    let first = carol.recv();
    assert!(first == Message::text(header("alice", "c")), "{first:?}");
}

/// Longer than what is masked at once, and than what TLS takes at once, both ways.
fn large_messages_cross(pair: &Pair) {
    let (upper, lower) = linked_pair(pair);
    let mut alice = upper.join("alice", "c");
    let mut bob = lower.join("bob", "c");
    alice.expect([header("bob", "c")]);
    bob.expect([header("alice", "c")]);
    let bytes = |seed: usize, len: usize| -> Vec<u8> {
        (0..len).map(|at| (at * seed % 251) as u8).collect()
    };
    for (seed, len) in [(3, 16 << 10), (5, 65_536), (7, 3 << 20)] {
        bob.send(Message::binary(bytes(seed, len)));
        alice.expect([Message::binary(bytes(seed, len))]);
        alice.send(Message::binary(bytes(seed + 1, len)));
        bob.expect([Message::binary(bytes(seed + 1, len))]);
    }
}

/// O1.4: both ends have to know the key; the one that dials says so, once.
fn another_key(pair: &Pair) {
    let upper = Server::start(&pair.0, &[], &[KEY]);
    let lower = below(&pair.1, &[&upper]).env(KEY.0, "another").start();
    let line = lower.log().wait_for("the peer keys differ").unwrap();
    assert!(
        line.contains(" WARN ") && line.contains(&url(&upper)),
        "{line}"
    );
    // It goes on trying, and says nothing more.
    let refused = |lines: &[String]| lines.iter().filter(|it| it.contains("PeerAuth")).count();
    upper.log().wait_until(|lines| refused(lines) > 3);
    assert_eq!(count(&lower, "peer"), 1, "{:#?}", lower.log().lines());
    upper.assert_quiet();
}

/// O1.5: without a key peers are taken only if the operator wants that, which gets a warning.
fn open_peering(pair: &Pair) {
    let upper = Server::start(&pair.0, &["--open-peering"], &[]);
    assert!(
        upper
            .log()
            .wait_for("whoever can connect can be a peer")
            .is_some()
    );
    let lower = below(&pair.1, &[&upper]).without(KEY.0).start();
    linked(&lower);
    let mut alice = upper.join("alice", "c");
    let mut bob = lower.join("bob", "c");
    alice.expect([header("bob", "c")]);
    bob.expect([header("alice", "c")]);
}

/// H4.3: one that takes no peers says so.
fn no_peering(pair: &Pair) {
    let upper = Server::start(&pair.0, &[], &[]);
    let lower = below(&pair.1, &[&upper]).start();
    let line = lower.log().wait_for("it takes no peers").unwrap();
    assert!(
        line.contains(" WARN ") && line.contains(&url(&upper)),
        "{line}"
    );
}

/// Without an option a peer has to have a certificate of an authority.
fn a_certificate_that_is_not_trusted(pair: &Pair) {
    let upper = Server::start(&pair.0, &[], &[KEY]);
    let other = Server::start(&pair.0, &[], &[KEY]);
    let wrong = [
        "--peer",
        &url(&upper),
        "--peer-fingerprint",
        &fingerprint(&other),
    ];
    let lower = Server::start(&pair.1, &wrong, &[KEY]);
    let line = lower.log().wait_for("not trusted: ").unwrap();
    assert!(
        line.contains(" WARN ") && line.contains("--peer-fingerprint"),
        "{line}"
    );
}

/// The certificate of a server in local mode.
fn certificate(server: &Server) -> String {
    let directory = server.home().path().join("mles");
    let mut files = std::fs::read_dir(directory).unwrap();
    let pem = std::fs::read_to_string(files.next().unwrap().unwrap().path()).unwrap();
    let certificate = pem.find("-----BEGIN CERTIFICATE").unwrap();
    pem[certificate..].to_owned()
}

/// A file that `--peer-ca` names is read again for each dial: one that can't be used is told of once.
fn a_file_of_certificates_that_changes(pair: &Pair) {
    let [upper, other] = [(); 2].map(|()| Server::start(&pair.0, &[], &[KEY]));
    let files = TempDir::new();
    let file = files.file("peer.pem", certificate(&other));
    let args = ["--peer", &url(&upper), "--peer-ca", &file];
    let lower = Server::start(&pair.1, &args, &[KEY]);
    assert!(lower.log().wait_for("not trusted: ").is_some());
    files.file("peer.pem", "");
    let line = lower.log().wait_for("certificates from before").unwrap();
    assert!(
        line.contains(" WARN ") && line.contains("--peer-ca"),
        "{line}"
    );
    files.file("peer.pem", certificate(&other) + &certificate(&upper));
    linked(&lower);
    assert_eq!(count(&lower, "certificates from before"), 1);
    assert_eq!(count(&lower, "took in"), 1, "{:#?}", lower.log().lines());
}

/// `--peer-ca` takes a peer's own certificate, and checks its name.
fn a_certificate_from_a_file(pair: &Pair) {
    let upper = Server::start(&pair.0, &[], &[KEY]);
    let files = TempDir::new();
    let file = files.file("peer.pem", certificate(&upper));
    let lower = Server::start(
        &pair.1,
        &["--peer", &url(&upper), "--peer-ca", &file],
        &[KEY],
    );
    linked(&lower);
    let nobody = files.file("nobody.pem", "");
    let ended = Launch::new(&pair.1)
        .args(&["--peer", &url(&upper), "--peer-ca", &nobody])
        .run();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr.len(), 1, "{:?}", ended.stderr);
    assert!(ended.stderr[0].contains("--peer-ca: no certificate in"));
}

/// U1.3: a peer that is away is told of once.
fn nobody_there(binary: &Binary) {
    let port = unused_port();
    let peer = format!("wss://localhost:{port}");
    let lower = Server::start(binary, &["--peer", &peer], &[KEY]);
    let line = lower
        .log()
        .wait_for("cannot be reached: nobody listens")
        .unwrap();
    assert!(line.contains(" WARN ") && line.contains(&peer), "{line}");
    let tried = |lines: &[String]| {
        lines
            .iter()
            .filter(|it| it.contains("nobody listens"))
            .count()
    };
    lower.log().wait_until(|lines| tried(lines) > 4);
    assert_eq!(count(&lower, "nobody listens"), 1);
}

/// U1.2, C1.3: a server above that is killed and comes back gets its links again, and the history from them.
fn upstream_comes_back(pair: &Pair) {
    let home = Arc::new(TempDir::new());
    let port = unused_port().to_string();
    let start = || {
        let launch = Launch::new(&pair.0).env(KEY.0, KEY.1).home(&home);
        launch.args(&["--port", &port]).start()
    };
    let first = start();
    let lower = below(&pair.1, &[&first]).start();
    linked(&lower);
    let mut alice = first.join("alice", "c");
    alice.send("before");
    alice.settle();
    let mut bob = lower.join("bob", "c");
    bob.expect([header("alice", "c"), "before".to_owned()]);
    bob.send("below");
    alice.expect([header("bob", "c"), "below".to_owned()]);
    first.signal(Signal::KILL);
    assert!(lower.log().wait_for("has ended").is_some());
    drop(first);
    let again = start();
    let twice = |lines: &[String]| {
        lines
            .iter()
            .filter(|it| it.contains("linked to peer"))
            .count()
            == 2
    };
    lower.log().wait_until(twice);
    bob.send("after");
    let mut carol = again.join("carol", "c");
    let mut got = Vec::new();
    while got.last() != Some(&Message::text("after")) {
        got.push(carol.recv());
    }
    let texts: Vec<_> = got.iter().map(|it| it.to_text().unwrap()).collect();
    let texts: Vec<_> = texts
        .into_iter()
        .filter(|it| !it.starts_with('{'))
        .collect();
    assert_eq!(texts, ["before", "below", "after"]);
    bob.expect([header("carol", "c")]);
}

/// U1.1: the next in the list is taken when the first is away.
fn an_earlier_peer_is_away(pair: &Pair) {
    let port = unused_port();
    let upper = Server::start(&pair.0, &[], &[KEY]);
    let lower = Launch::new(&pair.1)
        .args(&["--peer", &format!("wss://localhost:{port}")])
        .args(&[
            "--peer",
            &url(&upper),
            "--peer-fingerprint",
            &fingerprint(&upper),
        ])
        .env(KEY.0, KEY.1)
        .start();
    linked(&lower);
}

/// U1.5: a list in a file may change; one that is wrong is told of once, and the one before stays.
fn peers_in_a_file(pair: &Pair) {
    let [one, other] = [&pair.0, &pair.1].map(|binary| Server::start(binary, &[], &[KEY]));
    let files = TempDir::new();
    let file = files.file("peers", format!("# the first\n{}\n", url(&one)));
    let lower = Launch::new(&pair.1)
        .args(&["--peers-file", &file])
        .args(&["--peer-fingerprint", &fingerprint(&one)])
        .args(&["--peer-fingerprint", &fingerprint(&other)])
        .env(KEY.0, KEY.1)
        .start();
    let to = |server| format!("linked to peer {}", url(server));
    assert!(lower.log().wait_for(&to(&one)).is_some());
    files.file("peers", "wss//other");
    let line = lower.log().wait_for("the list from before stays").unwrap();
    assert!(
        line.contains(" WARN ") && line.contains("line 1: 'wss//other'"),
        "{line}"
    );
    lower.signal(Signal::HUP);
    let answers = |lines: &[String]| {
        lines
            .iter()
            .filter(|it| it.contains("stays in use"))
            .count()
    };
    lower.log().wait_until(|lines| answers(lines) == 2);
    assert_eq!(count(&lower, "has ended"), 0);
    files.file("peers", url(&other));
    lower.signal(Signal::HUP);
    assert!(lower.log().wait_for(&to(&other)).is_some());
    let mut alice = other.join("alice", "c");
    let mut bob = lower.join("bob", "c");
    alice.expect([header("bob", "c")]);
    bob.expect([header("alice", "c")]);
}

/// R1, G1: three servers that name each other in a ring, started together, are one tree.
fn a_ring_of_three(pair: &Pair) {
    // All show the same certificate, so that each can name it before the others are there.
    let home = Arc::new(TempDir::new());
    let first = Launch::new(&pair.0).home(&home).start();
    let shown = fingerprint(&first);
    drop(first);
    let peers = [(); 3].map(|()| unused_port());
    let servers: Vec<Server> = (0..3)
        .map(|number| {
            Launch::new(pair.node(number))
                .args(&["--port", &peers[number].to_string()])
                .args(&[
                    "--peer",
                    &format!("wss://localhost:{}", peers[(number + 1) % 3]),
                ])
                .args(&["--peer-fingerprint", &shown])
                .env(KEY.0, KEY.1)
                .home(&home)
                .start()
        })
        .collect();
    let mut members: Vec<_> = (0..3)
        .map(|number| servers[number].join(&format!("m{number}"), "c"))
        .collect();
    // Everybody hears of everybody else, whenever the tree stands, and once.
    for (number, member) in members.iter_mut().enumerate() {
        let mut heard = [member.recv(), member.recv()].map(|it| it.to_text().unwrap().to_owned());
        heard.sort();
        let others = (0..3).filter(|other| *other != number);
        let others: Vec<_> = others
            .map(|other| header(&format!("m{other}"), "c"))
            .collect();
        assert_eq!(heard.to_vec(), others);
    }
    for from in 0..3 {
        members[from].send(format!("from {from}"));
        for to in (0..3).filter(|to| *to != from) {
            members[to].expect([format!("from {from}")]);
        }
    }
    for member in members {
        assert!(member.leave().is_empty(), "nothing came twice");
    }
}

/// G1: a server that names two others that know nothing of each other makes one tree of all.
fn two_trees_become_one(pair: &Pair) {
    let [one, other] = [&pair.0, &pair.1].map(|binary| Server::start(binary, &[], &[KEY]));
    let mut alice = one.join("alice", "c");
    let mut bob = other.join("bob", "c");
    alice.send("early");
    alice.settle();
    let between = below(&pair.1, &[&one, &other]).start();
    bob.expect([header("alice", "c"), "early".to_owned()]);
    alice.expect([header("bob", "c")]);
    let mut carol = between.join("carol", "c");
    for member in [&mut alice, &mut bob] {
        member.expect([header("carol", "c")]);
    }
    bob.send("late");
    alice.expect(["late"]);
    while carol.recv() != Message::text("late") {}
    for member in [alice, bob, carol] {
        assert!(member.leave().is_empty(), "nothing came twice");
    }
}

/// R1.1: one list of peers can be the same for all, each server among them; nothing is said of that.
fn a_server_that_names_itself(binary: &Binary) {
    let home = Arc::new(TempDir::new());
    let first = Launch::new(binary).home(&home).start();
    let shown = fingerprint(&first);
    drop(first);
    let port = unused_port().to_string();
    let server = Launch::new(binary)
        .args(&["--port", &port, "--peer-fingerprint", &shown])
        .args(&["--peer", &format!("wss://localhost:{port}")])
        .env(KEY.0, KEY.1)
        .home(&home)
        .start();
    let tries = |lines: &[String]| lines.iter().filter(|it| it.contains("PeerLoop")).count();
    server.log().wait_until(|lines| tries(lines) > 3);
    server.assert_quiet();
    server.assert_serves();
}

/// O1.1: a server whose answer has no nonce is sent nothing, and told of in one line.
fn a_peer_that_knows_no_peering(binary: &Binary) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TempDir::new();
    let file = files.file("peer.pem", pair.cert.pem());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
    let lower = Server::start(binary, &["--peer", &peer, "--peer-ca", &file], &[KEY]);
    for _ in 0..3 {
        let (stream, _) = listener.accept().unwrap();
        let key = pair.signing_key.serialize_der();
        let mut stream = black_box::tls::accept(stream, pair.cert.der().clone(), key);
        let request = black_box::grant_upgrade(&mut stream);
        assert!(request.contains("Mles-Nonce: "), "{request}");
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
        assert!(rest.is_empty(), "it is sent nothing");
    }
    let line = lower.log().wait_for("without peering").unwrap();
    assert!(line.contains(" WARN ") && line.contains(&peer), "{line}");
    assert_eq!(count(&lower, "without peering"), 1);
}

/// X1.8: links do not keep a server from ending, and the other end goes on. Both say what has become of the link.
fn a_server_stops_with_its_links(pair: &Pair) {
    let (upper, lower) = linked_pair(pair);
    let line = upper.log().wait_for("linked from ").unwrap();
    let from = ["127.0.0.1", "::1"].map(|ip| format!("linked from {ip}, node "));
    assert!(
        line.contains(" INFO ") && from.iter().any(|it| line.contains(it)),
        "{line}"
    );
    let mut alice = upper.join("alice", "c");
    let mut bob = lower.join("bob", "c");
    alice.expect([header("bob", "c")]);
    bob.expect([header("alice", "c")]);
    let peer = format!("the link to peer {}, node ", url(&upper));
    drop(alice);
    let ended = upper.stop();
    assert_eq!(ended.status.code(), Some(0));
    let told = |part: &str| ended.stderr.iter().any(|line| line.contains(part));
    assert!(told(" sessions, 1 of them links"), "{ended:#?}");
    assert!(told("has ended: closed here with 1012: "), "{ended:#?}");
    let line = lower.log().wait_for("has ended: ").unwrap();
    let why =
        "closed by the other end with 1012: it is restarting; 1 messages came over it, 1 went";
    assert!(line.contains(&peer) && line.ends_with(why), "{line}");
    bob.send("alone");
    bob.settle();
    lower.assert_serves();
    let ended = lower.stop();
    assert_eq!(ended.status.code(), Some(0));
}

/// A link that was dialed is closed with the rest when the server stops, and counted.
fn the_lower_server_stops(pair: &Pair) {
    let (upper, lower) = linked_pair(pair);
    // The line of the link comes before it is counted.
    let began = Instant::now();
    while !health(&lower).contains("links=1 ") {
        assert!(began.elapsed() < DEADLINE, "{}", health(&lower));
    }
    let ended = lower.stop();
    assert_eq!(ended.status.code(), Some(0));
    let told = |part: &str| ended.stderr.iter().any(|line| line.contains(part));
    assert!(
        told("stopping: closing 1 sessions, 1 of them links"),
        "{ended:#?}"
    );
    let line = upper.log().wait_for("has ended: ").unwrap();
    assert!(
        line.contains("the link from ") && line.contains("closed by the other end with 1012"),
        "{line}"
    );
}

fn health(server: &Server) -> String {
    let response = black_box::request(server.tls(), b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(response.status, 200);
    response.text().to_owned()
}

fn metrics(server: &Server) -> String {
    let line = server.log().wait_for("metrics are at http://").unwrap();
    let (_, rest) = line.split_once("http://").unwrap();
    let address = rest.strip_suffix("/metrics").unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    black_box::request(stream, request).text().to_owned()
}

/// The operator sees where a server is in the tree, and what its links bring, in all places where numbers are.
fn links_in_health_and_numbers(pair: &Pair) {
    let threads = ["--threads", "2", "--metrics", "0"];
    let upper = Server::start(&pair.0, &threads, &[KEY]);
    let mut alice = upper.join("alice", "c");
    for text in ["one", "two"] {
        alice.send(text);
    }
    alice.settle();
    assert_eq!(health(&upper), "ok\nlinks=0 upstream=0 hops=0\n");
    let lower = below(&pair.1, &[&upper]).args(&threads).start();
    linked(&lower);
    let mut bob = lower.join("bob", "c");
    bob.expect([header("alice", "c"), "one".to_owned(), "two".to_owned()]);
    alice.expect([header("bob", "c")]);
    alice.send("three");
    bob.expect(["three"]);
    assert_eq!(health(&upper), "ok\nlinks=1 upstream=0 hops=0\n");
    assert_eq!(health(&lower), "ok\nlinks=1 upstream=1 hops=1\n");
    let (above, text) = (metrics(&upper), metrics(&lower));
    for (text, series) in [
        (&text, "mles_links{to=\"upstream\"} 1"),
        (&text, "mles_links{to=\"downstream\"} 0"),
        (&text, "mles_root_hops 1"),
        (
            &text,
            "mles_link_received_messages_total{result=\"accepted\"} 4",
        ),
        (&text, "mles_link_recovered_messages_total 3"),
        (&text, "mles_link_sent_messages_total 1"),
        (&text, "mles_link_joins_total{result=\"synchronised\"} 1"),
        (&above, "mles_links{to=\"upstream\"} 0"),
        (&above, "mles_links{to=\"downstream\"} 1"),
        (&above, "mles_links_opened_total 1"),
        (&above, "mles_root_hops 0"),
        (&above, "mles_link_sent_messages_total 4"),
    ] {
        assert!(text.lines().any(|line| line == series), "{series}: {text}");
    }
    // The one below names the one above as that names itself.
    let info = |text: &str| -> Vec<String> {
        let line = text.lines().find(|it| it.starts_with("mles_node_info{"));
        let parts = line.unwrap().split('"');
        parts.skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (above, text) = (info(&above), info(&text));
    assert_eq!(above[1..], ["", &above[0]]);
    assert_eq!(text[1..], [above[0].clone(), above[0].clone()]);
    lower.signal(Signal::USR1);
    let line = lower.log().wait_for("stats uptime_seconds=").unwrap();
    let links =
        " links=1 upstream=1 hops=1 link_received=4 link_duplicates=0 link_recovered=3 link_sent=1";
    assert!(line.contains(links), "{line}");
    drop(upper);
    assert!(lower.log().wait_for("has ended").is_some());
    // A word from bob is taken through the node after what ended the link.
    bob.send("alone");
    bob.settle();
    assert_eq!(health(&lower), "ok\nlinks=0 upstream=0 hops=0\n");
}
