//! The server's configuration: command line over environment over file over defaults, checked once, at the start.
//!
//! [`Config::load`] gets the arguments and the environment, and neither prints nor exits; an [`Exit`] says what to
//! print. It collects mistakes, so that one start shows all of them. It reads the configuration file; the files that
//! are named there are read later, by [`KeySource::read`] and [`crate::certificates`], and for `--check-config`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

mod check;
mod cli;
mod client;
mod document;
mod explain;
mod key;
mod layer;
mod listen;
mod peering;
mod report;
mod units;

pub use crate::file::NamedFile;
pub use client::{CLIENT_COMMANDS, ClientConfig, Format, Source, Task};
pub use key::{KeySource, MAX_KEY};
pub use listen::Listen;
pub use peering::{BRIDGES_MAX, NamedUrl, PEERS_MAX, Peering};

use check::Check;
use cli::Cli;
use client::TIMEOUT_VARIABLE;
use layer::Layer;
use report::Value;
use units::{GIB, KIB, MIB};

/// Everything the operator can decide, within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to accept connections.
    pub listen: Listen,
    /// The operator's own certificates, the default first; without one the server is in local mode.
    pub certificates: Vec<CertificateFiles>,
    /// The shared key of the clients (A1.1, A2.1).
    pub key: KeySource,
    /// Messages kept per channel (M3.3): 0 (none) to 1 000 000.
    pub limit: u32,
    /// Bytes kept per channel (M3.6): 0 (none) to [`Config::history_bytes`].
    pub history_channel_bytes: u64,
    /// Bytes kept in all channels together (M3.7): 0 (none) to 1 TiB.
    pub history_bytes: u64,
    /// Largest message in bytes (M4.1): 4 KiB to 1 GiB.
    pub max_message: usize,
    /// Bytes that may wait for one session (L3.1): 4 KiB to 1 GiB.
    pub outbox: usize,
    /// Time to take a replay (L3.7): 10 ms to 1 h.
    pub replay_timeout: Duration,
    /// Time for the TLS handshake: 10 ms to 1 h.
    pub handshake_timeout: Duration,
    /// Time for the Mles header (H3.1): 10 ms to 1 h.
    pub header_timeout: Duration,
    /// Silence after which a session is pinged (K1.1): 10 ms to 1 h.
    pub ping_interval: Duration,
    /// Time that an incumbent has to answer a probe (J1.3): 10 ms to 1 h.
    pub probe_timeout: Duration,
    /// Sessions at once: 1 to 10 000 000; `None` leaves it to the descriptors, see [`crate::limits::descriptors`].
    pub max_sessions: Option<u32>,
    /// Connections at once that are not sessions (yet): 1 to 1 000 000.
    pub filelimit: u32,
    /// New connections a minute and source, before TLS: at most 1 000 000; `None` is no limit.
    pub rate_limit: Option<NonZeroU32>,
    /// Connections at once of one source: at most 1 000 000; `None` is no limit.
    pub per_ip_limit: Option<NonZeroU32>,
    /// Threads that serve connections: 1 to 64; `None` is one for each core.
    pub threads: Option<u8>,
    /// The network of servers that this one is part of.
    pub peering: Peering,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Where to serve metrics; `None` is nowhere.
    pub metrics: Option<SocketAddr>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The PEM files of an own certificate. They may change at any time, see [`crate::certificates`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: NamedFile,
    /// Its private key.
    pub private_key: NamedFile,
}

/// The program ends here: print what there is to print, and exit with `code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// 0 for `--help`, `--version` and a configuration without mistakes, 2 for mistakes.
    pub code: u8,
    /// What was asked for, in whole lines.
    pub stdout: String,
    /// Mistakes and warnings, in whole lines that say what to do.
    pub stderr: String,
}

impl Exit {
    /// The refusal to start because of these mistakes; one line each, without a line feed.
    pub fn mistakes(lines: &[String]) -> Exit {
        Exit {
            code: 2,
            stdout: String::new(),
            stderr: report::lines("error", lines),
        }
    }
}

/// An address of the configuration on which nothing can listen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The key of the setting that it comes from.
    pub key: &'static str,
    /// What is in the way, and what to do.
    pub what: String,
    /// Whether that may be as it should: the port is in use, perhaps by the server itself.
    pub expected: bool,
}

/// What was read, mistakes or not.
struct Read {
    /// With the defaults in place of mistakes.
    config: Config,
    mistakes: Vec<String>,
    values: Vec<Value>,
    check_only: bool,
}

impl Config {
    /// The configuration of these arguments (the first is the program's name) and this environment, which is best
    /// given as `&|name| std::env::var_os(name)`: text that is not UTF-8 must not look like "not set".
    ///
    /// For `--check-config`, `look` tries the addresses.
    ///
    /// # Errors
    /// `--help`, `--version`, `--check-config`, a usage error, or one line for each mistake.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: &dyn Fn(&str) -> Option<OsString>,
        look: &dyn Fn(&Config) -> Vec<Obstacle>,
    ) -> Result<Config, Exit> {
        let read = Config::read(args, env)?;
        if read.check_only {
            let names = std::env::vars_os().map(|(name, _)| name);
            Err(report::check(read, names, SystemTime::now(), look))
        } else if read.mistakes.is_empty() {
            Ok(read.config)
        } else {
            Err(Exit::mistakes(&read.mistakes))
        }
    }

    fn read(
        args: impl Iterator<Item = OsString>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Read, Exit> {
        let mut cli = Cli::read(args)?;
        let mut check = Check {
            mistakes: cli.refusal().into_iter().collect(),
            values: Vec::new(),
            incomplete: false,
        };
        let check_only = cli.check_config;
        let mut document = check.document(cli.config.take(), env(CONFIG_VARIABLE));
        let layer = Layer::of_flags(cli)
            .over(Layer::of_variables(env))
            .over(Layer::of_document(&mut document));
        check.incomplete |= document.damaged;
        check.mistakes.extend(document.mistakes());

        let certificates = check.certificates(layer.tls_cert, layer.tls_key);
        let local = certificates.is_empty();
        let default_port = if local { LOCAL_PORT } else { TLS_PORT };
        let port = check.number(layer.port, u16::MIN..=u16::MAX, default_port);
        let listen = check.listen(layer.listen, local, port);
        let key = check.key(env(KEY_VARIABLE), layer.key_file);
        let limit = check.number(layer.limit, 0..=1_000_000, LIMIT);
        let history_bytes = check.size(layer.history_bytes, 0..=1024 * GIB, HISTORY_BYTES);
        let history_channel_bytes = check.channel_bytes(layer.history_channel_bytes, history_bytes);
        let max_message = check.size(layer.max_message, 4 * KIB..=GIB, MAX_MESSAGE) as usize;
        let outbox = check.size(layer.outbox, 4 * KIB..=GIB, OUTBOX) as usize;
        let config = Config {
            listen,
            certificates,
            key,
            limit,
            history_channel_bytes,
            history_bytes,
            max_message,
            outbox,
            replay_timeout: check.duration(layer.replay_timeout, REPLAY_TIMEOUT),
            handshake_timeout: check.duration(layer.handshake_timeout, HANDSHAKE_TIMEOUT),
            header_timeout: check.duration(layer.header_timeout, HEADER_TIMEOUT),
            ping_interval: check.duration(layer.ping_interval, PING_INTERVAL),
            probe_timeout: check.duration(layer.probe_timeout, PROBE_TIMEOUT),
            max_sessions: check.number_or(layer.max_sessions, 1..=10_000_000, "by descriptors"),
            filelimit: check.number(layer.filelimit, 1..=1_000_000, FILELIMIT),
            rate_limit: NonZeroU32::new(check.number(layer.rate_limit, 0..=1_000_000, RATE_LIMIT)),
            per_ip_limit: NonZeroU32::new(check.number(
                layer.per_ip_limit,
                0..=1_000_000,
                PER_IP_LIMIT,
            )),
            threads: check.number_or(layer.threads, 1..=THREADS_MAX, "one for each core"),
            peering: check.peering(
                (layer.peer, layer.peers_file),
                (layer.peers_url, layer.peers_url_interval),
                (env(PEER_KEY_VARIABLE), layer.peer_key_file),
                layer.open_peering,
                (layer.peer_ca, layer.peer_fingerprint),
                layer.bridge,
            ),
            log_format: check.log_format(layer.log_format),
            metrics: check.metrics(layer.metrics),
        };
        Ok(Read {
            config,
            mistakes: check.mistakes,
            values: check.values,
            check_only,
        })
    }

    /// What the node needs to know of it; this reads the keys.
    ///
    /// # Errors
    /// A key can't be read; one line that says what to do.
    pub fn node(&self) -> Result<mles_sansio::Config, String> {
        Ok(mles_sansio::Config {
            key: self.key.read()?,
            history_limit: self.limit as usize,
            history_channel_bytes: self.history_channel_bytes,
            history_bytes: self.history_bytes,
            header_timeout: self.header_timeout,
            ping_interval: self.ping_interval,
            probe_timeout: self.probe_timeout,
            replay_timeout: self.replay_timeout,
            peering: mles_sansio::peering::Config {
                key: self.peering.key.read()?,
                open: self.peering.open,
                max_payload: self.max_message as u64,
                ..mles_sansio::peering::Config::default()
            },
            bridges: self.peering.bridge_names(),
            ..mles_sansio::Config::default()
        })
    }

    /// Threads that serve connections.
    pub fn io_threads(&self) -> u8 {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let cores = || {
            u8::try_from(cores())
                .unwrap_or(THREADS_MAX)
                .min(THREADS_MAX)
        };
        self.threads.unwrap_or_else(cores)
    }

    /// Whether the server makes its own certificate, for this machine.
    pub fn local_mode(&self) -> bool {
        self.certificates.is_empty()
    }

    /// What is allowed but should be known; one line each, for the log.
    pub fn warnings(&self) -> Vec<String> {
        self.exposed_local_mode()
            .into_iter()
            .chain(self.exposed_metrics())
            .chain(self.peering.warnings())
            .collect()
    }

    fn exposed_metrics(&self) -> Option<String> {
        let address = self.metrics?;
        (!address.ip().to_canonical().is_loopback()).then(|| {
            format!(
                "--metrics {address}: other machines can read the metrics, without encryption or a key; \
                 give a loopback address, or have a firewall keep others out"
            )
        })
    }

    fn exposed_local_mode(&self) -> Option<String> {
        let reachable = if self.local_mode() {
            self.listen.reachable()
        } else {
            Vec::new()
        };
        if reachable.is_empty() {
            return None;
        }
        let addresses = reachable
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let mut line = format!(
            "{addresses}: other machines can connect, but the certificate was made for this one and nobody else trusts it; \
             for others give --tls-cert and --tls-key"
        );
        if self.key == KeySource::None {
            line.push_str(
                "; without a shared key (MLES_KEY or --key-file) whoever connects may join",
            );
        }
        Some(line)
    }
}

/// The variables among these names that begin with `MLES_` and mean nothing to the server and its clients, sorted:
/// likely typing mistakes, worth a warning.
pub fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut unknown: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("MLES_"))
        .filter(|name| {
            ![
                KEY_VARIABLE,
                PEER_KEY_VARIABLE,
                CONFIG_VARIABLE,
                TIMEOUT_VARIABLE,
            ]
            .contains(&name.as_str())
        })
        .filter(|name| !layer::VARIABLES.contains(&name.as_str()))
        .collect();
    unknown.sort();
    unknown
}

/// The variable of the configuration file.
const CONFIG_VARIABLE: &str = "MLES_CONFIG";

/// The variable of the shared key (A1.1); there is no option for it, because everybody on a machine sees arguments.
const KEY_VARIABLE: &str = "MLES_KEY";

/// The variable of the key of the servers (O1.4).
const PEER_KEY_VARIABLE: &str = "MLES_PEER_KEY";

/// The bounds of every duration: below, nobody could answer in time; above, it would not protect anything.
const TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// The bounds of the time between two looks at a page of peers.
const LOOKS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Port of local mode: Mles's port at IANA.
pub const LOCAL_PORT: u16 = 8077;
/// Port with an own certificate: that of HTTPS.
pub const TLS_PORT: u16 = 443;
/// Port of [`Config::metrics`], if only an address is given.
pub const METRICS_PORT: u16 = 8078;
/// Default of [`Config::limit`] (M3.3).
pub const LIMIT: u32 = 200;
/// Default of [`Config::history_channel_bytes`] (M3.6). A smaller [`Config::history_bytes`] makes it a
/// quarter of that, so that a channel and what joiners still take of it fit together (L3.9).
pub const HISTORY_CHANNEL_BYTES: u64 = 8 * MIB;
/// Default of [`Config::history_bytes`] (M3.7).
pub const HISTORY_BYTES: u64 = 64 * MIB;
/// Default of [`Config::max_message`] (M4.1).
pub const MAX_MESSAGE: u64 = 16 * MIB;
/// Default of [`Config::outbox`] (L3.1).
pub const OUTBOX: u64 = MIB;
/// Default of [`Config::replay_timeout`] (L3.7).
pub const REPLAY_TIMEOUT: Duration = Duration::from_secs(60);
/// Default of [`Config::handshake_timeout`].
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of [`Config::header_timeout`] (H3.1).
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of [`Config::ping_interval`] (K1.1).
pub const PING_INTERVAL: Duration = Duration::from_secs(24);
/// Default of [`Config::probe_timeout`] (J1.3).
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most of [`Config::threads`].
pub const THREADS_MAX: u8 = 64;
/// Default of [`Peering::url_interval`].
pub const PEERS_URL_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Default of [`Config::filelimit`]; the public server's.
pub const FILELIMIT: u32 = 256;
/// Default of [`Config::rate_limit`]: none; the public server's.
pub const RATE_LIMIT: u32 = 0;
/// Default of [`Config::per_ip_limit`]; the public server's.
pub const PER_IP_LIMIT: u32 = 32;

#[cfg(test)]
mod tests;
