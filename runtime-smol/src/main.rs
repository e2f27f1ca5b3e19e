//! `mles`: the Mles server on smol, and with a subcommand its clients.

use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bridges::Bridges;
use mles_sansio::{Node, Seed, peering};
use monitor::Outlets;
use peers::Peers;
use runtime_common::certificates::{Certificates, Remark};
use runtime_common::config::{self, ClientConfig, Config, Exit, LogFormat};
use runtime_common::limits;
use runtime_common::local_certificate;
use runtime_common::notices::Servers;
use runtime_common::trusting::Trusting;
use server::Others;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

mod bridges;
mod certificates;
mod clock;
mod commands;
mod dialing;
mod door;
mod driver;
mod handover;
mod io_thread;
mod listen;
mod monitor;
mod peers;
mod peers_url;
mod random;
mod route;
mod server;
mod session;
mod sniff;
mod socket;
mod transport;
mod turn;
mod worker;

fn main() -> ExitCode {
    let env = |name: &str| std::env::var_os(name);
    match ClientConfig::load(std::env::args_os(), &env) {
        Ok(Some(config)) => return commands::run(&config),
        Ok(None) => {}
        Err(exit) => return quit(&exit),
    }
    let config = match Config::load(std::env::args_os(), &env, &listen::look) {
        Ok(config) => Arc::new(config),
        Err(exit) => return quit(&exit),
    };
    let wish = std::env::var_os("RUST_LOG").unwrap_or_default();
    let filter = filter(&wish.to_string_lossy());
    log_to_stderr(config.log_format, filter.clone().unwrap_or_else(usual));
    if filter.is_none() {
        tracing::warn!(
            "RUST_LOG is not understood, and what is logged is as without it: give error, warn, info, debug or \
             trace, or TARGET=LEVEL, separated by commas"
        );
    }
    match start(&config) {
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

/// What `RUST_LOG` says: `level` or `target=level`, by commas. None if it says something else.
fn filter(wish: &str) -> Option<Targets> {
    if wish.is_empty() {
        return Some(usual());
    }
    // A word that is no level would be a target, and silence all others: "warning" everything.
    let known = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    wish.split(',')
        .all(known)
        .then(|| wish.parse().ok())
        .flatten()
}

fn usual() -> Targets {
    Targets::new().with_default(tracing::Level::INFO)
}

fn log_to_stderr(format: LogFormat, filter: Targets) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(lines).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
}

/// Everything that can fail, before the first connection; then the server's life.
fn start(config: &Arc<Config>) -> Result<(), String> {
    let outlets = Outlets::open(config.metrics)?;
    // What can fail comes first: a start that fails says one line.
    let key = config.key.read()?;
    let peering = peering::Config {
        key: config.peering.key.read()?,
        open: config.peering.open,
        max_payload: config.max_message as u64,
        ..peering::Config::default()
    };
    let trusting = Rc::new(Trusting::new(&config.peering)?);
    let servers = Rc::new(Servers::new(&config.peering));
    let others = Others {
        peers: Peers::new(&config.peering, &trusting, &servers)?,
        bridges: Bridges::new(&config.peering, &trusting, &servers)?,
        servers,
    };
    let bound = listen::bind(&config.listen)?;
    let (certificates, remarks) = certificates(config)?;
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
    let node = Node::new(
        mles_sansio::Config {
            key,
            history_limit: config.limit as usize,
            history_channel_bytes: config.history_channel_bytes,
            history_bytes: config.history_bytes,
            header_timeout: config.header_timeout,
            ping_interval: config.ping_interval,
            probe_timeout: config.probe_timeout,
            replay_timeout: config.replay_timeout,
            peering,
            bridges: config.peering.bridge_names(),
            ..mles_sansio::Config::default()
        },
        &Seed(seed),
    );
    tracing::debug!("node {}", node.uid());
    server::run(
        config,
        &descriptors,
        certificates,
        node,
        others,
        bound,
        outlets,
    )
}

/// The server's certificates: the operator's own, or one made for this machine.
fn certificates(config: &Config) -> Result<(Certificates, Vec<Remark>), String> {
    let now = SystemTime::now();
    if config.local_mode() {
        let directory = local_certificate::data_directory(&|name| std::env::var_os(name));
        Certificates::local(directory, local_certificate::host_name(), now)
    } else {
        Certificates::own(&config.certificates, now)
    }
}
