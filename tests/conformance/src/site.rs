//! What a case about a server that dials works with: its peers and the servers that it is bridged to, which the judge plays,
//! and its process.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::Target;
use crate::bench::{Bench, random_digits};
use crate::case::{Case, Judged, Stop};
use crate::connection::Connection;
use crate::link::{Heard, Kind, Link, random_uid};
use crate::session::Session;
use crate::stand;
use crate::subject::Program;
use crate::transcript::{Transcript, Way};
use crate::wire::{Request, Response, Stream, Trust};

/// The key that the server shares with the judge.
pub const PEER_KEY: &str = "the key of the judge's network";

/// What a case about a server that dials works with.
#[derive(Debug)]
pub struct Site {
    program: Arc<Program>,
    case: Case,
    transcript: Transcript,
    /// Holds the certificate for the server.
    file: PathBuf,
    listeners: Vec<Listener>,
    process: Option<Child>,
    bench: Option<Bench>,
    /// The channel that the case is on.
    pub channel: String,
    /// The key of the server's clients, if it is to have one.
    pub key: Option<String>,
    peer_key: String,
}

/// Where the server is told that a peer is, or a server to be bridged to.
#[derive(Debug)]
struct Listener {
    tcp: TcpListener,
    /// What the server is told.
    url: String,
    who: String,
    uid: String,
}

/// A connection of the server, and the request on it.
#[derive(Debug)]
pub struct Dial {
    /// At which of the addresses that it was told, counted from 0.
    pub which: usize,
    /// When it came.
    pub at: Instant,
    /// What it asks for.
    pub request: Request,
    connection: Connection,
}

impl Dial {
    /// The nonce in the request, if there is one field of the name.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        let mut all = self.request.all("Mles-Nonce");
        all.next().filter(|_| all.next().is_none())
    }
}

impl Site {
    pub(crate) fn new(program: Arc<Program>, case: &Case) -> Self {
        let digits = random_digits();
        let mut file = std::env::temp_dir();
        file.push(format!("mles-conformance-{digits}.pem"));
        Self {
            program,
            case: case.clone(),
            transcript: Transcript::new(),
            file,
            listeners: Vec::new(),
            process: None,
            bench: None,
            channel: format!("conformance {} {digits}", case.clause_id()),
            key: None,
            peer_key: PEER_KEY.to_owned(),
        }
    }

    pub(crate) fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// How long what has to happen at once may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.program.patience
    }

    /// The address that the server was told, of one of those that it dials.
    #[must_use]
    pub fn url(&self, which: usize) -> &str {
        self.listeners
            .get(which)
            .map_or("", |listener| &listener.url)
    }

    /// The uid of the judge as one of the peers.
    #[must_use]
    pub fn uid(&self, which: usize) -> String {
        let listener = self.listeners.get(which);
        listener
            .map(|listener| listener.uid.clone())
            .unwrap_or_default()
    }

    /// To be a client of the server, or a peer that dials it.
    ///
    /// # Errors
    /// It was not started.
    pub fn bench(&mut self) -> Judged<&mut Bench> {
        let stopped = || Stop::Inconclusive("the server is not running".into());
        self.bench.as_mut().ok_or_else(stopped)
    }

    /// Starts the server with so many peers, and servers to be bridged to; these are counted behind the peers.
    ///
    /// # Errors
    /// It cannot be started, or takes no connections.
    pub fn start(&mut self, peers: usize, bridges: usize) -> Judged {
        let broken = |what: &str, error: &dyn std::fmt::Display| {
            Stop::Inconclusive(format!("{what}: {error}"))
        };
        for number in 0..peers + bridges {
            let tcp = TcpListener::bind("127.0.0.1:0");
            let tcp = tcp.map_err(|error| broken("no address to listen on", &error))?;
            let mut address = tcp
                .local_addr()
                .map_err(|error| broken("no address", &error))?;
            if let Some(via) = &self.program.via {
                address = via(address);
            }
            let who = match number < peers {
                true => format!("peer {number}"),
                false => format!("other {}", number - peers),
            };
            self.listeners.push(Listener {
                tcp,
                url: format!("wss://localhost:{}", address.port()),
                who,
                uid: random_uid(),
            });
        }
        let file = self.file.display().to_string();
        std::fs::write(&self.file, stand::certificate()).map_err(|error| broken(&file, &error))?;
        let address = free_address().map_err(|error| broken("no address for it", &error))?;
        let list = |listeners: &[Listener]| {
            let urls: Vec<_> = listeners.iter().map(|listener| &*listener.url).collect();
            urls.join(",")
        };
        let (above, beside) = self.listeners.split_at(peers);
        let variables = [
            ("MLES_LISTEN", address.to_string()),
            ("MLES_PEER", list(above)),
            ("MLES_BRIDGE", list(beside)),
            ("MLES_PEER_KEY", self.peer_key.clone()),
            ("MLES_PEER_CA", file),
        ];
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.program.command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut told = "starts the server with".to_owned();
        for (name, value) in &variables {
            told.push_str(&format!(" {name}={value:?}"));
            command.env(name, value);
        }
        match &self.key {
            Some(key) => {
                told.push_str(&format!(" MLES_KEY={key:?}"));
                command.env("MLES_KEY", key)
            }
            None => command.env_remove("MLES_KEY"),
        };
        self.transcript.add("judge", Way::Note, told);
        let mut child = command
            .spawn()
            .map_err(|error| broken("the server cannot be started", &error))?;
        if let Some(out) = child.stdout.take() {
            stand::tell(out, "stdout", &self.transcript);
        }
        if let Some(err) = child.stderr.take() {
            stand::tell(err, "stderr", &self.transcript);
        }
        self.process = Some(child);
        self.wait_for(address)?;
        let url = format!("wss://{address}");
        let mut target = Target::new(&url, Trust::Anyone).map_err(Stop::Inconclusive)?;
        target.key.clone_from(&self.key);
        target.peer_key = Some(self.peer_key.clone());
        target.patience = self.patience();
        let mut bench = Bench::new(Arc::new(target), &self.case);
        bench.tells(&self.transcript);
        bench.channel.clone_from(&self.channel);
        self.bench = Some(bench);
        Ok(())
    }

    /// Waits until the server takes connections.
    fn wait_for(&mut self, address: SocketAddr) -> Judged {
        const LONGEST: Duration = Duration::from_secs(10);
        let deadline = Instant::now() + LONGEST;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let ended = self.process.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = ended {
                return Err(Stop::Inconclusive(format!(
                    "the server has ended: {status}"
                )));
            }
            if Instant::now() > deadline {
                let why = format!("the server does not listen on {address} (MLES_LISTEN)");
                return Err(Stop::Inconclusive(why));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The next connection of the server, and where it is made to, or none in this time.
    ///
    /// # Errors
    /// The judge itself cannot accept it.
    pub fn connection(&mut self, within: Duration) -> Judged<Option<(usize, Instant, Connection)>> {
        let wrong = |error: &dyn std::fmt::Display| Stop::Inconclusive(error.to_string());
        let wait = Timespec::try_from(within).map_err(|error| wrong(&error))?;
        let listeners = self.listeners.iter();
        let mut polled: Vec<_> = listeners
            .map(|listener| PollFd::new(&listener.tcp, PollFlags::IN))
            .collect();
        poll(&mut polled, Some(&wait)).map_err(|error| wrong(&error))?;
        let at = Instant::now();
        let Some(which) = polled.iter().position(|fd| !fd.revents().is_empty()) else {
            return Ok(None);
        };
        let listener = &self.listeners[which];
        let (tcp, _) = listener.tcp.accept().map_err(|error| wrong(&error))?;
        let _ = tcp.set_nodelay(true);
        self.transcript.add(&listener.who, Way::Note, "is dialed");
        let connection = Connection {
            who: listener.who.clone(),
            stream: Stream::plain(tcp),
            transcript: self.transcript.clone(),
            patience: self.patience(),
            _counted: Arc::new(()),
        };
        Ok(Some((which, at, connection)))
    }

    /// The next dial, or none in this time.
    ///
    /// # Errors
    /// The server does not speak TLS, or asks for nothing.
    pub fn dial_within(&mut self, within: Duration) -> Judged<Option<Dial>> {
        let Some((which, at, connection)) = self.connection(within)? else {
            return Ok(None);
        };
        let mut connection = stand::shake(connection, self.patience()).map_err(Stop::on_the_way)?;
        let request = stand::request(&mut connection, self.patience())?;
        Ok(Some(Dial {
            which,
            at,
            request,
            connection,
        }))
    }

    /// The next dial.
    ///
    /// # Errors
    /// There is none in this time.
    pub fn dial(&mut self, within: Duration) -> Judged<Dial> {
        match self.dial_within(within)? {
            Some(dial) => Ok(dial),
            None => {
                let came = format!("it did not within {:.1} s", within.as_secs_f32());
                Err(Stop::fail("the server dials", came))
            }
        }
    }

    /// The next dial is to this one.
    ///
    /// # Errors
    /// It is to another, or there is none in this time.
    pub fn dial_to(&mut self, which: usize, within: Duration) -> Judged<Dial> {
        let dial = self.dial(within)?;
        if dial.which == which {
            return Ok(dial);
        }
        let who = |which: usize| {
            self.listeners
                .get(which)
                .map_or("", |one| &*one.who)
                .to_owned()
        };
        let expected = format!("the server dials {}", who(which));
        Err(Stop::fail(
            expected,
            format!("it dials {}", who(dial.which)),
        ))
    }

    /// Upgrades the connection as a server that takes peers, or, without a nonce, as one that knows none.
    ///
    /// # Errors
    /// The server does not read.
    pub fn upgrade(&self, dial: Dial, has_nonce: bool) -> Judged<Link> {
        let dialer = dial.nonce().unwrap_or_default().to_owned();
        let acceptor = random_uid();
        let mut response = Response::upgraded(&dial.request);
        let mut told = "101".to_owned();
        if has_nonce {
            response = response.with("Mles-Nonce", &acceptor);
            told.push_str(&format!("; Mles-Nonce: {acceptor}"));
        }
        let mut connection = dial.connection;
        connection.send(&response.encode(), &told)?;
        let session = Session::new(connection, &[], false, &self.channel);
        let nonces = [dialer, acceptor];
        let mut link = Link::new(session, nonces, self.peer_key.clone(), &self.channel);
        link.uid = self.uid(dial.which);
        Ok(link)
    }

    /// Upgrades the connection, and takes the handshake.
    ///
    /// # Errors
    /// There is none.
    pub fn greeted(&self, dial: Dial) -> Judged<(Link, Heard)> {
        let mut link = self.upgrade(dial, true)?;
        let heard = link.hear("a handshake")?;
        if heard.kind != Kind::Handshake || heard.head["peer"] != true {
            return Err(Stop::fail("a handshake", heard.to_string()));
        }
        link.take_hello(heard.head.clone());
        Ok((link, heard))
    }

    /// The next dial to this one, upgraded, with the handshake.
    ///
    /// # Errors
    /// It does not come about.
    pub fn greeting(&mut self, which: usize) -> Judged<(Link, Heard)> {
        let within = self.patience();
        let dial = self.dial_to(which, within)?;
        self.greeted(dial)
    }

    /// Becomes the upstream of the server that has just been started: the first of its peers.
    ///
    /// # Errors
    /// It does not come about.
    pub fn upstream(&mut self) -> Judged<Link> {
        let (mut link, _) = self.greeting(0).map_err(Stop::on_the_way)?;
        link.welcome()?;
        Ok(link)
    }

    /// Answers as a server that has no room for another session.
    ///
    /// # Errors
    /// The server does not read.
    pub fn no_room(&self, dial: Dial) -> Judged {
        let response =
            Response::refusal(503, "there is no room; come again").with("Retry-After", "1");
        let mut connection = dial.connection;
        connection.send(&response.encode(), "503; Retry-After: 1")?;
        connection.stream.finish();
        Ok(())
    }

    /// A session with a server that knows no peering.
    ///
    /// # Errors
    /// The server does not read.
    pub fn session(&self, dial: Dial) -> Judged<Session> {
        Ok(self.upgrade(dial, false)?.session)
    }
}

/// An address that nobody listens on.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // The shell, and what it has started.
            if let Ok(pid) = i32::try_from(process.id())
                && let Some(group) = Pid::from_raw(pid)
            {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(&self.file);
    }
}
