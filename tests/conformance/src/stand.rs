//! What a case about a client works with: a server that does what the case has it do, and the client's process.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use rustls::{ServerConfig, ServerConnection};
use serde_json::Value;

use crate::bench::random_digits;
use crate::case::{Case, Judged, Stop};
use crate::connection::Connection;
use crate::session::{Message, Session};
use crate::subject::Program;
use crate::transcript::{Transcript, Way, shown};
use crate::wire::{self, Request, Response, Stream, complete, server_config};

/// The certificate of the judge's own server.
struct Identity {
    pem: String,
    config: Result<Arc<ServerConfig>, String>,
}

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    match rcgen::generate_simple_self_signed(names) {
        Ok(pair) => {
            let key = pair.signing_key.serialize_der();
            let certificate = pair.cert.der().clone();
            let config = server_config(certificate, key, rustls::ALL_VERSIONS, &["http/1.1"]);
            Identity {
                pem: pair.cert.pem(),
                config: config.map(Arc::new).map_err(|error| error.to_string()),
            }
        }
        Err(error) => Identity {
            pem: String::new(),
            config: Err(error.to_string()),
        },
    }
});

/// What a case about a client works with.
#[derive(Debug)]
pub struct Stand {
    program: Arc<Program>,
    transcript: Transcript,
    listener: Option<TcpListener>,
    /// Holds the certificate for the client.
    file: PathBuf,
    process: Option<Process>,
    /// The channel that the client is told to be on.
    pub channel: String,
    /// The name that it is told to have.
    pub uid: String,
    /// The key that it is told.
    pub key: Option<String>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Stand {
    pub(crate) fn new(program: Arc<Program>, case: &Case) -> Self {
        let digits = random_digits();
        let mut file = std::env::temp_dir();
        file.push(format!("mles-conformance-{digits}.pem"));
        Self {
            program,
            transcript: Transcript::new(),
            listener: None,
            file,
            process: None,
            channel: format!("conformance {} {digits}", case.clause_id()),
            uid: "alice".into(),
            key: None,
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

    /// Adds a line to the transcript.
    pub fn note(&self, what: impl Into<String>) {
        self.transcript.add("", Way::Note, what);
    }

    /// Starts the client.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> Judged {
        let broken = |what: &str, error: &dyn std::fmt::Display| {
            Stop::Inconclusive(format!("{what}: {error}"))
        };
        let listener = TcpListener::bind("127.0.0.1:0");
        let listener = listener.map_err(|error| broken("no address to listen on", &error))?;
        let mut address = listener
            .local_addr()
            .map_err(|error| broken("no address", &error))?;
        self.listener = Some(listener);
        std::fs::write(&self.file, &IDENTITY.pem)
            .map_err(|error| broken(&self.file.display().to_string(), &error))?;
        if let Some(via) = &self.program.via {
            address = via(address);
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", &self.program.command])
            .env("MLES_URL", url(address))
            .env("MLES_UID", &self.uid)
            .env("MLES_CHANNEL", &self.channel)
            .env("MLES_CA", &self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        match &self.key {
            Some(key) => command.env("MLES_KEY", key),
            None => command.env_remove("MLES_KEY"),
        };
        let mut told = format!(
            "starts the client with MLES_URL={} MLES_UID={:?} MLES_CHANNEL={:?}",
            url(address),
            self.uid,
            self.channel
        );
        if let Some(key) = &self.key {
            told.push_str(&format!(" MLES_KEY={key:?}"));
        }
        self.transcript.add("judge", Way::Note, told);
        let mut child = command
            .spawn()
            .map_err(|error| broken("the client cannot be started", &error))?;
        let (sender, lines) = channel();
        if let Some(out) = child.stdout.take() {
            let transcript = self.transcript.clone();
            thread::spawn(move || {
                // Split at line feeds alone: a message may hold anything else.
                for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                    transcript.add("stdout", Way::Came, shown(&line));
                    let line = String::from_utf8_lossy(&line).into_owned();
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        if let Some(err) = child.stderr.take() {
            tell(err, "stderr", &self.transcript);
        }
        self.process = Some(Process {
            stdin: child.stdin.take(),
            child,
            lines,
        });
        Ok(())
    }

    /// The next connection of the client, whatever comes on it.
    ///
    /// # Errors
    /// There is none in this time.
    pub fn connection(&mut self, within: Duration) -> Judged<Connection> {
        match self.any_connection(within)? {
            Some(connection) => Ok(connection),
            None => Err(Stop::fail(
                "the client connects",
                format!("it did not within {:.1} s", within.as_secs_f32()),
            )),
        }
    }

    /// The next connection, or none in this time.
    ///
    /// # Errors
    /// The judge itself cannot accept it.
    pub fn any_connection(&mut self, within: Duration) -> Judged<Option<Connection>> {
        let Some(listener) = &self.listener else {
            return Ok(None);
        };
        let wrong = |error: &dyn std::fmt::Display| Stop::Inconclusive(error.to_string());
        let wait = Timespec::try_from(within).map_err(|error| wrong(&error))?;
        let mut polled = [PollFd::new(listener, PollFlags::IN)];
        if poll(&mut polled, Some(&wait)).map_err(|error| wrong(&error))? == 0 {
            return Ok(None);
        }
        let (tcp, _) = listener.accept().map_err(|error| wrong(&error))?;
        let _ = tcp.set_nodelay(true);
        self.transcript.add("client", Way::Note, "connects");
        Ok(Some(Connection {
            who: "client".into(),
            stream: Stream::plain(tcp),
            transcript: self.transcript.clone(),
            patience: self.patience(),
            _counted: Arc::new(()),
        }))
    }

    /// TLS on a connection of the client.
    ///
    /// # Errors
    /// The client does not speak it.
    pub fn shake(&self, connection: Connection) -> Judged<Connection> {
        shake(connection, self.patience())
    }

    /// The request of the client.
    ///
    /// # Errors
    /// There is none.
    pub fn request(&self, connection: &mut Connection) -> Judged<Request> {
        request(connection, self.patience())
    }

    /// The next session of the client, upgraded; with the request for it.
    ///
    /// # Errors
    /// There is none in this time.
    pub fn session(&mut self, within: Duration) -> Judged<(Session, Request)> {
        let connection = self.connection(within)?;
        let mut connection = self.shake(connection)?;
        let request = self.request(&mut connection)?;
        let response = Response::upgraded(&request);
        connection.send(&response.encode(), "101")?;
        let session = Session::new(connection, &[], false, &self.channel);
        Ok((session.hearing_announcements(), request))
    }

    /// The next session of the client and its header.
    ///
    /// # Errors
    /// There is none in this time.
    pub fn joiner(&mut self, within: Duration) -> Judged<(Session, Message)> {
        let (mut session, _) = self.session(within)?;
        let header = session.message("a header")?;
        Ok((session, header))
    }

    /// Starts the client, and gives its first session behind the header.
    ///
    /// # Errors
    /// It does not get as far.
    pub fn member(&mut self) -> Judged<Session> {
        self.start()?;
        let joined = self.joiner(self.patience());
        joined.map(|(session, _)| session).map_err(Stop::on_the_way)
    }

    /// Gives the client a line to send.
    ///
    /// # Errors
    /// It does not take it.
    pub fn give(&mut self, line: &str) -> Judged {
        self.transcript
            .add("stdin", Way::Sent, shown(line.as_bytes()));
        let stdin = self
            .process
            .as_mut()
            .and_then(|process| process.stdin.as_mut());
        let written = stdin.map(|stdin| {
            stdin.write_all(format!("{line}\n").as_bytes())?;
            stdin.flush()
        });
        match written {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Stop::fail("the client reads its input", error.to_string())),
            None => Err(Stop::Inconclusive("the client is not running".into())),
        }
    }

    /// The client's next line is this one.
    ///
    /// # Errors
    /// It is another, or none comes in time.
    pub fn prints(&mut self, line: &str) -> Judged {
        let expected = format!("the client prints {}", shown(line.as_bytes()));
        match self.line(self.patience())? {
            Some(printed) if printed == line => Ok(()),
            Some(printed) => Err(Stop::fail(expected, shown(printed.as_bytes()))),
            None => Err(Stop::fail(expected, "nothing in time")),
        }
    }

    /// The client's next line, if one comes in this time.
    ///
    /// # Errors
    /// It has closed its output.
    pub fn line(&mut self, within: Duration) -> Judged<Option<String>> {
        let Some(process) = &self.process else {
            return Err(Stop::Inconclusive("the client is not running".into()));
        };
        match process.lines.recv_timeout(within) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Stop::fail("the client goes on", "it has ended its output"))
            }
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // The shell, and what it has started.
            if let Ok(pid) = i32::try_from(process.child.id())
                && let Some(group) = Pid::from_raw(pid)
            {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = process.child.wait();
        }
        let _ = std::fs::remove_file(&self.file);
    }
}

/// What the judge's own servers show, in PEM.
pub(crate) fn certificate() -> &'static str {
    &IDENTITY.pem
}

/// Notes each line that a process writes.
pub(crate) fn tell(out: impl Read + Send + 'static, who: &'static str, transcript: &Transcript) {
    let transcript = transcript.clone();
    thread::spawn(move || {
        for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
            transcript.add(who, Way::Came, shown(&line));
        }
    });
}

/// TLS on a connection that the judge has accepted.
///
/// # Errors
/// The other end does not speak it.
pub(crate) fn shake(connection: Connection, patience: Duration) -> Judged<Connection> {
    let config = IDENTITY.config.clone().map_err(Stop::Inconclusive)?;
    let tls = ServerConnection::new(config);
    let tls = tls.map_err(|error| Stop::Inconclusive(error.to_string()))?;
    let mut stream = Stream::tls(connection.stream.into_tcp(), tls);
    let shaken = stream.shake(patience);
    let expected = || format!("{} speaks TLS", connection.who);
    shaken.map_err(|end| Stop::fail(expected(), end.to_string()))?;
    Ok(Connection {
        stream,
        ..connection
    })
}

/// The request on a connection that the judge has accepted.
///
/// # Errors
/// There is none.
pub(crate) fn request(connection: &mut Connection, patience: Duration) -> Judged<Request> {
    let deadline = Instant::now() + patience;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while complete(&bytes).is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        match connection.stream.read(&mut buffer, left) {
            wire::Read::Bytes(count) => bytes.extend(&buffer[..count]),
            wire::Read::Nothing if !left.is_zero() => {}
            wire::Read::Nothing => return Err(Stop::fail("a request", shown(&bytes))),
            wire::Read::End(end) => return Err(Stop::fail("a request", end.to_string())),
        }
    }
    let head = String::from_utf8_lossy(&bytes);
    let told = head.trim_end().replace("\r\n", "; ");
    connection.transcript.add(&connection.who, Way::Came, told);
    match Request::parse(&bytes) {
        Ok(Some((request, _))) => Ok(request),
        _ => Err(Stop::fail("a request in HTTP/1.1", shown(&bytes))),
    }
}

fn url(address: SocketAddr) -> String {
    format!("wss://localhost:{}", address.port())
}

/// The header that a message is.
///
/// # Errors
/// It is none.
pub fn header_of(message: &Message) -> Judged<Value> {
    let value = match message.text {
        true => serde_json::from_slice::<Value>(&message.payload).ok(),
        false => None,
    };
    match value {
        Some(value) if value.is_object() => Ok(value),
        _ => Err(Stop::fail(
            "the first frame is a text with a JSON object",
            message.to_string(),
        )),
    }
}
