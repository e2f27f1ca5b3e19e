//! What a server does before its first connection and when it is to end, whatever it runs on.

use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use mles_sansio::Seed;

use crate::Node;
use crate::announcement::announcement;
use crate::certificates::{self, Certificates};
use crate::config::{self, ClientConfig, Config, Exit};
use crate::door::Door;
use crate::http::Health;
use crate::limits::{self, Limits};
use crate::listening::{self, Bound};
use crate::logging;
use crate::metrics::Meter;
use crate::others::Others;
use crate::random;

/// A program: `client` if the command line asks for one, else `server`, whose error is one line that says what to do.
pub fn run(
    client: impl FnOnce(&ClientConfig) -> ExitCode,
    server: impl FnOnce(Config) -> Result<(), String>,
) -> ExitCode {
    let env = |name: &str| std::env::var_os(name);
    match ClientConfig::load(std::env::args_os(), &env) {
        Ok(Some(config)) => return client(&config),
        Ok(None) => {}
        Err(exit) => return quit(&exit),
    }
    let config = match Config::load(std::env::args_os(), &env, &listening::look) {
        Ok(config) => config,
        Err(exit) => return quit(&exit),
    };
    logging::start(config.log_format, std::env::var_os("RUST_LOG").as_deref());
    match server(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            let _ = writeln!(io::stderr(), "error: {line}");
            ExitCode::FAILURE
        }
    }
}

fn quit(exit: &Exit) -> ExitCode {
    // A closed pipe is the reader's wish, not an error.
    let _ = io::stdout().write_all(exit.stdout.as_bytes());
    let _ = io::stderr().write_all(exit.stderr.as_bytes());
    ExitCode::from(exit.code)
}

/// All that a server is made of, ready to be run.
#[derive(Debug)]
pub struct Ready {
    /// Its settings.
    pub config: Arc<Config>,
    /// Who may come in.
    pub door: Arc<Door>,
    /// What is counted.
    pub meter: Arc<Meter>,
    /// The servers that it connects to.
    pub others: Arc<Others>,
    /// The protocol.
    pub node: Node,
    /// Where it listens.
    pub bound: Bound,
    /// Where metrics are served, if they are.
    pub metrics: Option<TcpListener>,
    /// What it shows of itself.
    pub certificates: Certificates,
}

impl Ready {
    /// Does everything that can fail, before the first connection.
    ///
    /// # Errors
    /// One line that says what to do.
    pub fn new(config: Config) -> Result<Self, String> {
        // What can fail comes first: a start that fails says one line.
        let metrics = config.metrics.map(listening::bind_metrics).transpose()?;
        let settings = config.node()?;
        let others = Arc::new(Others::new(&config.peering)?);
        let bound = listening::bind(&config.listen)?;
        let (certificates, remarks) = Certificates::of(&config, SystemTime::now())?;
        certificates::log(remarks);
        for name in config::unknown_variables(std::env::vars_os().map(|(name, _)| name)) {
            tracing::warn!("unknown environment variable {name}: see mles --help");
        }
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        for remark in &bound.remarks {
            tracing::info!("{remark}");
        }
        let descriptors = limits::raise_descriptors(config.max_sessions, config.filelimit);
        if let Some(remark) = &descriptors.shortage {
            tracing::warn!("{remark}");
        }
        let mut seed = [0; 32];
        random::fill(&mut seed).map_err(|error| error.to_string())?;
        let node = Node::new(settings, &Seed(seed));
        match config.peering.is_on() {
            // It is what other servers call this one in their logs.
            true => tracing::info!("this is node {}", node.uid()),
            false => tracing::debug!("this is node {}", node.uid()),
        }
        let limits = Limits {
            filelimit: descriptors.filelimit,
            max_sessions: descriptors.max_sessions,
            per_ip_limit: config.per_ip_limit,
            rate_limit: config.rate_limit,
        };
        let health = Health::new(config.peering.is_on());
        let door = Arc::new(Door::new(limits, config.io_threads(), health));
        Ok(Self {
            meter: Arc::new(Meter::new(&door, &config)),
            config: Arc::new(config),
            door,
            others,
            node,
            bound,
            metrics,
            certificates,
        })
    }

    /// What the server says on stdout when it is ready.
    pub fn announcement(&self) -> String {
        let local = self.certificates.local_fingerprint();
        let started_as = std::env::args_os().next();
        let text = announcement(&self.bound.addresses, local.as_deref(), started_as);
        #[cfg(feature = "echo")]
        let text = format!("{}\n{text}", crate::echo::WARNING);
        text
    }
}

/// Says on stdout that the server is ready.
///
/// # Errors
/// One line: nobody can be told.
pub fn announce(announcement: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(announcement.as_bytes());
    let written = written.and_then(|()| stdout.flush());
    written.map_err(|error| format!("cannot write to stdout: {error}"))
}

/// The server is to end: nobody comes in any more. To be called when nobody listens, before the node is told.
pub fn stop(door: &Door, meter: &Meter) {
    door.stopping.store(true, Ordering::Relaxed);
    let sessions = door.sessions();
    match meter.links() {
        0 => tracing::info!("stopping: closing {sessions} sessions"),
        links => tracing::info!("stopping: closing {sessions} sessions, {links} of them links"),
    }
}

/// Ends the process although there are sessions: on a second signal (`asked`), or after [`STOP_MAX`].
pub fn exit(asked: bool) -> ! {
    match asked {
        true => tracing::warn!("second signal: exiting at once"),
        false => tracing::info!("some sessions did not answer the close frame in time"),
    }
    std::process::exit(0)
}

/// Time for sessions to take what is queued and the close frame: the whole stop takes less than 5 s.
pub const STOP_MAX: Duration = Duration::from_millis(4500);

/// The time between two looks at the files of certificates and of peers.
pub const LOOK: Duration = Duration::from_secs(3);
