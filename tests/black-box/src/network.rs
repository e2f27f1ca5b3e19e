//! Servers that are one network.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use crate::log::wait_for_logs;
use crate::{Launch, Pair, Server, Signal, TempDir};

/// The variable with the peer key, and one.
pub const PEER_KEY: (&str, &str) = ("MLES_PEER_KEY", "the servers' secret");

/// The fingerprint of a server in local mode, as it prints it.
#[must_use]
pub fn fingerprint(server: &Server) -> String {
    let lines = server.stdout().lines();
    let line = lines.iter().find(|line| line.starts_with("Fingerprint"));
    line.unwrap().rsplit(' ').next().unwrap().to_owned()
}

/// A server as others name it.
#[must_use]
pub fn peer_url(server: &Server) -> String {
    url_of(server.address().port())
}

fn url_of(port: u16) -> String {
    format!("wss://localhost:{port}")
}

/// A port where nobody listens. It is not among those that the system gives out by itself, so that nobody gets it
/// by chance before, or between two servers of a test.
#[must_use]
pub fn unused_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let own = (std::process::id() % 500) as u16 * 20;
        let port = 20_000 + own + NEXT.fetch_add(1, Ordering::Relaxed) % 20;
        let tried = ["127.0.0.1", "::1"].map(|host| TcpListener::bind((host, port)));
        if tried.iter().all(Result::is_ok) {
            return port;
        }
    }
}

/// Servers on fixed ports that all show the same certificate, so that each can name others that are not there yet,
/// or come back.
#[derive(Debug)]
pub struct Network {
    pair: Pair,
    home: Arc<TempDir>,
    shown: String,
    ports: Vec<u16>,
    peers: Vec<Vec<usize>>,
    nodes: Vec<Option<Server>>,
}

impl Network {
    /// One server for each list, which names its peers in order, of the programs of the pair by turns; none is started.
    #[must_use]
    pub fn of(pair: impl Into<Pair>, peers: &[&[usize]]) -> Self {
        let pair = pair.into();
        let home = Arc::new(TempDir::new());
        let first = Launch::new(pair.node(0)).home(&home).start();
        let shown = fingerprint(&first);
        drop(first);
        Self {
            pair,
            home,
            shown,
            ports: peers.iter().map(|_| unused_port()).collect(),
            peers: peers.iter().map(|peers| peers.to_vec()).collect(),
            nodes: peers.iter().map(|_| None).collect(),
        }
    }

    /// The same, all started at the same instant. Gives the moment at which the last of them listened.
    #[must_use]
    pub fn started(pair: impl Into<Pair>, peers: &[&[usize]]) -> (Self, Instant) {
        let mut network = Self::of(pair, peers);
        let listening = network.start_all();
        (network, listening)
    }

    /// The same, started one after the other: each is linked to the first of its peers, which come before it.
    #[must_use]
    pub fn in_order(pair: impl Into<Pair>, peers: &[&[usize]]) -> Self {
        let mut network = Self::of(pair, peers);
        for (at, peers) in peers.iter().enumerate() {
            network.start(at);
            if !peers.is_empty() {
                network.wait_for_links(at, 1);
            }
        }
        network
    }

    /// Starts all that do not run, at the same instant, and gives the moment at which the last listened.
    pub fn start_all(&mut self) -> Instant {
        let away = (0..self.ports.len()).filter(|at| self.nodes[*at].is_none());
        let starting: Vec<_> = away.map(|at| (at, self.launch(at).begin())).collect();
        for (at, starting) in starting {
            self.nodes[at] = Some(starting.listening());
        }
        Instant::now()
    }

    /// Starts one of them and waits until it listens.
    pub fn start(&mut self, at: usize) {
        self.nodes[at] = Some(self.launch(at).start());
    }

    fn launch(&self, at: usize) -> Launch {
        let launch = Launch::new(self.pair.node(at))
            .args(&["--port", &self.ports[at].to_string()])
            .env(PEER_KEY.0, PEER_KEY.1)
            .home(&self.home);
        let peers = self.peers[at].iter();
        let launch = peers.fold(launch, |launch, peer| {
            launch.args(&["--peer", &url_of(self.ports[*peer])])
        });
        match self.peers[at].is_empty() {
            true => launch,
            false => launch.args(&["--peer-fingerprint", &self.shown]),
        }
    }

    /// How many there are, those that do not run among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// One that runs.
    #[must_use]
    pub fn node(&self, at: usize) -> &Server {
        self.nodes[at].as_ref().expect("it runs")
    }

    /// Those that run.
    pub fn running(&self) -> impl Iterator<Item = (usize, &Server)> + Clone {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(at, node)| Some((at, node.as_ref()?)))
    }

    /// Ends one without a word, and gives the moment.
    pub fn kill(&mut self, at: usize) -> Instant {
        let node = self.nodes[at].take().expect("it runs");
        node.signal(Signal::KILL);
        let moment = Instant::now();
        drop(node);
        moment
    }

    /// Ends all.
    pub fn kill_all(&mut self) {
        for at in 0..self.len() {
            self.kill(at);
        }
    }

    /// Waits until those that run are one tree, as they log it: one link less than there are nodes, and one root.
    /// Gives the moment at which that was so.
    pub fn wait_for_one_tree(&self) -> Instant {
        let logs: Vec<_> = self.running().map(|(_, node)| node.log()).collect();
        wait_for_logs(&logs, |lines| {
            let links = lines.iter().map(|lines| links(lines)).sum::<usize>();
            let roots: Vec<_> = lines.iter().map(|lines| root(lines)).collect();
            let mut below = roots.iter().flatten();
            let first = below.next();
            links + 1 == lines.len()
                && roots.iter().flatten().count() == links
                && below.all(|root| Some(root) == first)
        });
        let told = ["linked to peer", "has ended", "root is"];
        let moments = logs
            .iter()
            .flat_map(|log| told.map(|part| log.moments(part)));
        moments.flatten().max().unwrap_or_else(Instant::now)
    }

    /// The moment of the link that was this node's first, second, … that it has dialed, if it stands.
    #[must_use]
    pub fn link(&self, at: usize, number: usize) -> Option<Instant> {
        let moments = self.node(at).log().moments(LINKED);
        moments.get(number - 1).copied()
    }

    /// Waits until a node has told of this many links in all that it has dialed; gives the moment of the last of
    /// them.
    pub fn wait_for_links(&self, at: usize, count: usize) -> Instant {
        let log = self.node(at).log();
        let linked = |lines: &[String]| lines.iter().filter(|it| it.contains(LINKED)).count();
        log.wait_until(|lines| linked(lines) >= count);
        log.moments(LINKED)[count - 1]
    }
}

/// Links that the node of this log has dialed, and that stand.
fn links(lines: &[String]) -> usize {
    let count = |part| lines.iter().filter(|line| line.contains(part)).count();
    let ended = lines
        .iter()
        .filter(|line| line.contains("the link to peer"));
    count(LINKED) - ended.filter(|line| line.contains("has ended")).count()
}

/// The root that the node of this log is below.
fn root(lines: &[String]) -> Option<&str> {
    let mut told = lines.iter().rev();
    let (_, told) = told.find_map(|line| line.split_once("root is "))?;
    let (root, hops) = told.split_once(", ")?;
    (!hops.starts_with("this ")).then_some(root)
}

const LINKED: &str = "linked to peer";
