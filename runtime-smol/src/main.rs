//! `mles`: the Mles server on smol, and with a subcommand its clients.

use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::SystemTime;

use mles_sansio::{Key, Node, Seed};
use runtime_common::config::{self, ClientConfig, Config, Exit};
use runtime_common::limits;
use runtime_common::local_certificate::{self, Origin};
use runtime_common::tls::{self, Identity};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::server::Server;

mod commands;
mod driver;
mod io_thread;
mod listen;
mod server;
mod session;
mod sniff;
mod turn;

fn main() -> ExitCode {
    let env = |name: &str| std::env::var_os(name);
    match ClientConfig::load(std::env::args_os(), &env) {
        Ok(Some(config)) => return commands::run(&config),
        Ok(None) => {}
        Err(exit) => return quit(&exit),
    }
    let config = match Config::load(std::env::args_os(), &env) {
        Ok(config) => config,
        Err(exit) => return quit(&exit),
    };
    log_to_stderr();
    match start(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            let _ = writeln!(io::stderr(), "error: {line}");
            ExitCode::FAILURE
        }
    }
}

fn quit(exit: &Exit) -> ExitCode {
    let text = format!("{}\n", exit.message);
    // A closed pipe is the reader's wish, not an error.
    let _ = if exit.to_stdout {
        io::stdout().write_all(text.as_bytes())
    } else {
        io::stderr().write_all(text.as_bytes())
    };
    ExitCode::from(u8::try_from(exit.code).unwrap_or(1))
}

/// Logs as `RUST_LOG` says (`level` or `target=level`, by commas), at info without it.
fn log_to_stderr() {
    let wish = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = match wish.parse::<Targets>() {
        Ok(filter) if !wish.is_empty() => filter,
        Ok(_) | Err(_) => Targets::new().with_default(tracing::Level::INFO),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}

/// Everything that can fail, before the first connection; then the server's life.
fn start(config: &Config) -> Result<(), String> {
    // What can fail comes first: a start that fails says one line.
    let key = config.key.read()?;
    let key = key.and_then(|key| Key::new(key.as_bytes()));
    let bound = listen::bind(&config.listen)?;
    let identity = identity(config)?;
    let fingerprint = tls::fingerprint(identity.certificate());
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
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut seed)
        .map_err(|_| "the operating system gives no random numbers".to_owned())?;
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
            ..mles_sansio::Config::default()
        },
        &Seed(seed),
    );
    let tls = tls::server_config(identity);
    let server = Rc::new(Server::new(config, &descriptors, tls));
    tracing::debug!("node {}", node.uid());
    let local = config.local_mode().then_some(fingerprint);
    smol::block_on(server::live(server, node, bound, local.as_deref()))
}

/// The server's certificate: the operator's own, or one made for this machine.
fn identity(config: &Config) -> Result<Identity, String> {
    let now = SystemTime::now();
    let Some(files) = &config.certificate else {
        let directory = local_certificate::data_directory(&|name| std::env::var_os(name));
        let host = local_certificate::host_name();
        let made = local_certificate::local_certificate(directory.as_deref(), now, host.as_deref());
        let (identity, origin) = made?;
        match origin {
            Origin::Kept(path) => tracing::debug!("certificate from {}", path.display()),
            Origin::Made { path, why } => {
                tracing::info!("made a certificate ({why}), kept in {}", path.display());
            }
            Origin::InMemory(why) => {
                tracing::warn!("made a certificate that ends with this process: {why}");
            }
        }
        return Ok(identity);
    };
    let identity = tls::load_identity(&files.certificate, &files.private_key, now)?;
    for warning in identity.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(identity)
}
