//! `mles`: the Mles server on smol, and with a subcommand its clients.

use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bridges::Bridges;
use mles_sansio::{Node, Seed};
use monitor::Outlets;
use peers::Peers;
use runtime_common::certificates::Certificates;
use runtime_common::config::{self, ClientConfig, Config, Exit};
use runtime_common::limits;
use runtime_common::listening;
use runtime_common::logging;
use runtime_common::notices::Servers;
use runtime_common::random;
use runtime_common::trusting::Trusting;
use server::Others;

mod bridges;
mod certificates;
mod clock;
mod commands;
mod dialing;
mod driver;
mod handover;
mod io_thread;
mod listen;
mod monitor;
mod peers;
mod peers_url;
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
    let config = match Config::load(std::env::args_os(), &env, &listening::look) {
        Ok(config) => Arc::new(config),
        Err(exit) => return quit(&exit),
    };
    logging::start(config.log_format, std::env::var_os("RUST_LOG").as_deref());
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

/// Everything that can fail, before the first connection; then the server's life.
fn start(config: &Arc<Config>) -> Result<(), String> {
    let outlets = Outlets::open(config.metrics)?;
    // What can fail comes first: a start that fails says one line.
    let settings = config.node()?;
    let trusting = Rc::new(Trusting::new(&config.peering)?);
    let servers = Rc::new(Servers::new(&config.peering));
    let others = Others {
        peers: Peers::new(&config.peering, &trusting, &servers)?,
        bridges: Bridges::new(&config.peering, &trusting, &servers)?,
        servers,
    };
    let bound = listen::bind(&config.listen)?;
    let (certificates, remarks) = Certificates::of(config, SystemTime::now())?;
    runtime_common::certificates::log(remarks);
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
