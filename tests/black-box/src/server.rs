//! The process under test.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit, setrlimit};
use rustls::ClientConfig;

use crate::{Binary, Client, DEADLINE, Log, Message, TempDir, Tls, tls};

/// How a server is to be started.
#[derive(Debug)]
pub struct Launch {
    binary: Binary,
    args: Vec<String>,
    variables: Vec<(String, Option<String>)>,
    home: Option<Arc<TempDir>>,
    descriptors: Option<u32>,
}

impl Launch {
    /// A start without arguments, with a home directory of its own and an otherwise empty environment.
    /// `BLACK_BOX_THREADS` says how many I/O threads a server that has those gets, instead of one for each core.
    #[must_use]
    pub fn new(binary: &Binary) -> Self {
        Self {
            binary: *binary,
            args: Vec::new(),
            variables: std::env::var("BLACK_BOX_THREADS")
                .map(|count| ("MLES_THREADS".to_owned(), Some(count)))
                .into_iter()
                .filter(|_| binary.has_io_threads())
                .collect(),
            home: None,
            descriptors: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<str>>(mut self, args: &[S]) -> Self {
        let args = args.iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables
            .push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Takes an environment variable out that would be there.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.push((name.to_owned(), None));
        self
    }

    /// Uses this home directory, which outlives the process.
    #[must_use]
    pub fn home(mut self, home: &Arc<TempDir>) -> Self {
        self.home = Some(home.clone());
        self
    }

    /// Lets the process have only so many file descriptors.
    #[must_use]
    pub fn descriptors(mut self, count: u32) -> Self {
        self.descriptors = Some(count);
        self
    }

    /// Starts a server on a free port and waits until it listens.
    #[must_use]
    pub fn start(self) -> Server {
        self.begin().listening()
    }

    /// Starts a server on a free port.
    #[must_use]
    pub fn begin(mut self) -> Starting {
        if !self.args.iter().any(|arg| arg == "--port" || arg == "-p") {
            self.args.splice(0..0, ["--port".into(), "0".into()]);
        }
        Starting(self.spawn())
    }

    /// Starts a server that is expected to end by itself, and waits for that.
    #[must_use]
    pub fn run(self) -> Ended {
        let mut server = self.spawn();
        server.wait()
    }

    fn spawn(self) -> Server {
        raise_descriptors();
        let home = self.home.unwrap_or_else(|| Arc::new(TempDir::new()));
        let mut command = match self.descriptors {
            None => Command::new(self.binary.path()),
            Some(count) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &count.to_string()]);
                shell.arg(self.binary.path());
                shell
            }
        };
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("XDG_DATA_HOME", home.path())
            .env("RUST_LOG", LEVELS);
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, OsStr::new(value)),
                None => command.env_remove(name),
            };
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server's program runs");
        Server {
            stdout: Log::of(child.stdout.take().unwrap()),
            log: Log::of(child.stderr.take().unwrap()),
            child,
            ended: false,
            addresses: Vec::new(),
            config: tls::config(),
            home,
        }
    }
}

/// A server that has been started, and may not listen yet.
#[derive(Debug)]
pub struct Starting(Server);

impl Starting {
    /// Waits until it listens.
    #[must_use]
    pub fn listening(self) -> Server {
        let Self(mut server) = self;
        let Some(line) = server.stdout.wait_for("mles listens on ") else {
            server.ended = true;
            let status = server.child.wait().unwrap();
            panic!("no server, {status}: {:#?}", server.log.lines());
        };
        let (_, list) = line.split_once('(').expect("addresses in parentheses");
        let list = list.trim_end_matches(')').split(", ");
        server.addresses = list.map(|address| address.parse().unwrap()).collect();
        server
    }
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// The lines it wrote to stdout.
    pub stdout: Vec<String>,
    /// The lines it wrote to stderr.
    pub stderr: Vec<String>,
}

/// A server that runs. Dropping it ends it, and fails the test if it has logged an error or a panic.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ended: bool,
    addresses: Vec<SocketAddr>,
    stdout: Log,
    log: Log,
    config: Arc<ClientConfig>,
    home: Arc<TempDir>,
}

impl Server {
    /// Starts a server on a free port, with these arguments and variables.
    #[must_use]
    pub fn start(binary: &Binary, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let launch = Launch::new(binary).args(args);
        let set = |launch: Launch, &(name, value): &(&str, &str)| launch.env(name, value);
        variables.iter().fold(launch, set).start()
    }

    /// The first address it listens on; with `--port 0`, of the port it really has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses it listens on.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it writes to stdout.
    #[must_use]
    pub fn stdout(&self) -> &Log {
        &self.stdout
    }

    /// What it logs.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its home directory.
    #[must_use]
    pub fn home(&self) -> &Arc<TempDir> {
        &self.home
    }

    /// A plain TCP connection.
    #[must_use]
    pub fn tcp(&self) -> TcpStream {
        connect(self.address())
    }

    /// A TLS connection whose end here holds only so much unread, so that the server notices soon
    /// when nobody reads.
    #[must_use]
    pub fn narrow_tls(&self) -> Tls {
        let address = self.address();
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(NARROW).unwrap();
        socket.connect(&address.into()).unwrap();
        tls::connect(prepared(socket.into()), &self.config).expect("TLS handshake")
    }

    /// A TLS connection.
    #[must_use]
    pub fn tls(&self) -> Tls {
        tls::connect(self.tcp(), &self.config).expect("TLS handshake")
    }

    /// A WebSocket, before its header.
    #[must_use]
    pub fn open(&self) -> Client {
        Client::open(self.tls())
    }

    /// A member: its join is over, and what it got until then waits to be received.
    #[must_use]
    pub fn join(&self, uid: &str, channel: &str) -> Client {
        let mut client = self.open();
        client.join(uid, channel);
        client
    }

    /// Resident memory in bytes, now or at its peak.
    #[must_use]
    pub fn memory(&self, peak: bool) -> u64 {
        let name = if peak { "VmHWM:" } else { "VmRSS:" };
        let status = format!("/proc/{}/status", self.child.id());
        let mut text = String::new();
        let mut file = std::fs::File::open(status).unwrap();
        file.read_to_string(&mut text).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// How many threads the process has now, but for those that smol reads files with, which come and go.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.thread_names().values().sum()
    }

    /// Waits until the process has this many threads.
    pub fn wait_for_threads(&self, count: usize, when: &str) {
        let began = Instant::now();
        while self.threads() != count {
            let names = self.thread_names();
            assert!(began.elapsed() < DEADLINE, "{when}: not {count}: {names:?}");
            // The system tells of a thread's end only who asks.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the threads are called, and how many are called so.
    fn thread_names(&self) -> BTreeMap<String, usize> {
        let mut names = BTreeMap::new();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        for task in tasks {
            // One may end meanwhile.
            let name = std::fs::read_to_string(task.unwrap().path().join("comm"));
            let name = name.unwrap_or_default().trim_end().to_owned();
            if !name.is_empty() && !name.starts_with("blocking-") {
                *names.entry(name).or_default() += 1;
            }
        }
        names
    }

    /// One of the numbers that the server logs when it is asked for them.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        const STATS: &str = "stats uptime_seconds=";
        let is_stats = |line: &&String| line.contains(STATS);
        let before = self.log.lines().iter().filter(is_stats).count();
        self.signal(Signal::USR1);
        self.log
            .wait_until(|lines| lines.iter().filter(is_stats).count() > before);
        let lines = self.log.lines();
        let line = lines.iter().rfind(is_stats).unwrap();
        let mut pairs = line.split(' ').filter_map(|word| word.split_once('='));
        let found = pairs.find(|(key, _)| *key == name);
        let (_, value) = found.unwrap_or_else(|| panic!("{name} in {line}"));
        value.parse().unwrap()
    }

    /// Waits until one of these numbers is this.
    pub fn wait_for_number(&self, name: &str, wished: u64, when: &str) {
        let began = Instant::now();
        loop {
            let number = self.number(name);
            if number == wished {
                return;
            }
            assert!(began.elapsed() < DEADLINE, "{when}: {number} {name}");
        }
    }

    /// Nothing has been logged above debug level but where the certificate is, and which node it is.
    pub fn assert_quiet(&self) {
        let usual = [" DEBUG ", "made a certificate", "this is node"];
        let is_loud = |line: &&String| !usual.iter().any(|part| line.contains(part));
        let lines = self.log.lines();
        let loud: Vec<_> = lines.iter().filter(is_loud).collect();
        assert!(loud.is_empty(), "{loud:#?}");
    }

    /// Lets the running process have this many file descriptors more than it has open, or as many as before.
    pub fn spare_descriptors(&self, spare: Option<u64>) {
        let before = getrlimit(Resource::Nofile);
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let limit = Rlimit {
            current: spare.map_or(before.current, |spare| Some(open.count() as u64 + spare)),
            maximum: before.maximum,
        };
        prlimit(Some(self.pid()), Resource::Nofile, limit).unwrap();
    }

    /// Whether two members of a fresh channel can talk: the server lives and serves.
    pub fn assert_serves(&self) {
        let mut alice = self.join("alice", "a channel to check");
        let mut bob = self.join("bob", "a channel to check");
        bob.send("still there?");
        let mut got = alice.recv();
        while got != Message::text("still there?") {
            got = alice.recv();
        }
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap()).unwrap()
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> Ended {
        self.log.wait_for_end();
        self.stdout.wait_for_end();
        self.ended = true;
        let status = self.child.wait().unwrap();
        Ended {
            status,
            stdout: self.stdout.lines(),
            stderr: self.log.lines(),
        }
    }

    /// Asks the process to end, waits for that, and checks what it left behind.
    pub fn stop(mut self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if std::thread::panicking() {
            let lines = self.log.lines();
            let tail = lines.len().saturating_sub(40);
            eprintln!("the server's last lines: {:#?}", &lines[tail..]);
            return;
        }
        self.log.wait_for_end();
        let is_bad = |line: &&String| line.contains(" ERROR ") || line.contains("panicked at");
        let bad: Vec<_> = self.log.lines();
        let bad: Vec<_> = bad.iter().filter(is_bad).collect();
        assert!(bad.is_empty(), "the server logged {bad:#?}");
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    prepared(TcpStream::connect_timeout(&address, DEADLINE).expect("TCP connection"))
}

/// Lets this process have as many connections as the system allows.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Where it is refused, a test that needs them will say so.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Has a connection not wait to fill segments, and give up waiting after [`DEADLINE`].
fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What the servers log in tests. A target is meant with all that begin like it: `mles_std` too.
const LEVELS: &str = "warn,mles=debug,runtime_common=debug,runtime_std=debug";

/// Bytes that [`Server::narrow_tls`] takes without anybody reading them.
const NARROW: usize = 8 * 1024;
