//! The server's configuration: command line over environment over defaults, checked once, at the start.
//!
//! [`Config::load`] is pure: it gets the arguments and the environment, and neither prints nor exits; an [`Exit`] says
//! what to print. It collects mistakes, so that one start shows all of them. Files are read later, by
//! [`KeySource::read`] and [`crate::tls::load_identity`].

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

mod cli;
mod client;
mod key;
mod layer;
mod listen;
mod units;

pub use client::{CLIENT_COMMANDS, ClientConfig, Format, Source, Task};
pub use key::{KeySource, MAX_KEY, SharedKey};
pub use listen::Listen;

use cli::Cli;
use layer::{Given, Layer};
use units::{GIB, KIB, MIB};

/// Everything the operator can decide, within its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to accept connections.
    pub listen: Listen,
    /// The operator's own certificate; without one the server is in local mode.
    pub certificate: Option<CertificateFiles>,
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
}

/// The PEM files of an own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// The program ends here: print `message` and a line feed, and exit with `code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// 0 for `--help` and `--version`, 2 for a mistake.
    pub code: i32,
    /// The text, without a line feed at its end; for mistakes one line each, that says what to do.
    pub message: String,
    /// Print to stdout (what was asked for) or to stderr (mistakes).
    pub to_stdout: bool,
}

impl Exit {
    /// The refusal to start because of these mistakes; one line each, without a line feed.
    pub fn mistakes(lines: &[String]) -> Exit {
        let message = lines
            .iter()
            .map(|line| format!("error: {line}"))
            .collect::<Vec<_>>()
            .join("\n");
        Exit {
            code: 2,
            message,
            to_stdout: false,
        }
    }
}

impl Config {
    /// The configuration of these arguments (the first is the program's name) and this environment, which is best
    /// given as `&|name| std::env::var_os(name)`: text that is not UTF-8 must not look like "not set".
    ///
    /// # Errors
    /// `--help`, `--version`, a usage error, or one line for each mistake.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Config, Exit> {
        let cli = Cli::read(args)?;
        let mut check = Check {
            mistakes: cli.refusal().into_iter().collect(),
        };
        let layer = Layer::of_flags(cli).over(Layer::of_variables(env));

        let certificate = check.certificate(layer.tls_cert, layer.tls_key);
        let local = certificate.is_none();
        let default_port = if local { LOCAL_PORT } else { TLS_PORT };
        let port = check.number(layer.port, u16::MIN..=u16::MAX, default_port);
        let listen = match layer.listen {
            None if local => Listen::Loopback { port },
            None => Listen::Everywhere { port },
            Some(given) => Listen::addresses(&given, port).unwrap_or_else(|mistakes| {
                check.mistakes.extend(mistakes);
                Listen::Loopback { port }
            }),
        };
        let key = check.key(env(KEY_VARIABLE), layer.key_file);
        let limit = check.number(layer.limit, 0..=1_000_000, LIMIT);
        let history_bytes = check.size(layer.history_bytes, 0..=1024 * GIB, HISTORY_BYTES);
        let history_channel_bytes = check.channel_bytes(layer.history_channel_bytes, history_bytes);
        let max_message = check.size(layer.max_message, 4 * KIB..=GIB, MAX_MESSAGE) as usize;
        let outbox = check.size(layer.outbox, 4 * KIB..=GIB, OUTBOX) as usize;
        let config = Config {
            listen,
            certificate,
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
            max_sessions: layer
                .max_sessions
                .map(|given| check.number(Some(given), 1..=10_000_000, 1)),
            filelimit: check.number(layer.filelimit, 1..=1_000_000, FILELIMIT),
            rate_limit: NonZeroU32::new(check.number(layer.rate_limit, 0..=1_000_000, RATE_LIMIT)),
            per_ip_limit: NonZeroU32::new(check.number(
                layer.per_ip_limit,
                0..=1_000_000,
                PER_IP_LIMIT,
            )),
        };
        if check.mistakes.is_empty() {
            Ok(config)
        } else {
            Err(Exit::mistakes(&check.mistakes))
        }
    }

    /// Whether the server makes its own certificate, for this machine.
    pub fn local_mode(&self) -> bool {
        self.certificate.is_none()
    }

    /// What is allowed but should be known; one line each, for the log.
    pub fn warnings(&self) -> Vec<String> {
        let reachable = if self.local_mode() {
            self.listen.reachable()
        } else {
            Vec::new()
        };
        if reachable.is_empty() {
            return Vec::new();
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
        vec![line]
    }
}

/// The variables among these names that begin with `MLES_` and mean nothing to the server, sorted: likely typing
/// mistakes, worth a warning.
pub fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut unknown: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("MLES_"))
        .filter(|name| name != KEY_VARIABLE && !layer::VARIABLES.contains(&name.as_str()))
        .collect();
    unknown.sort();
    unknown
}

/// Turns texts into values and gathers what is wrong with them; a mistake goes on with the default.
struct Check {
    mistakes: Vec<String>,
}

impl Check {
    /// Parses one value; without one, the default.
    fn value<T>(
        &mut self,
        given: Option<Given>,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let Some(Given { texts, name }) = given else {
            return default;
        };
        let text = texts.last().map_or(Some(""), |text| text.to_str());
        match text.map_or_else(|| Err("not valid UTF-8".to_owned()), parse) {
            Ok(value) => value,
            Err(error) => {
                self.mistakes.push(format!("{name}: {error}"));
                default
            }
        }
    }

    fn number<T>(&mut self, given: Option<Given>, range: RangeInclusive<T>, default: T) -> T
    where
        T: Copy + Into<u64> + TryFrom<u64>,
    {
        let bounds = (*range.start()).into()..=(*range.end()).into();
        self.value(given, default, |text| {
            // The conversion can't fail: the bounds are of type T.
            units::number(text, &bounds).map(|value| T::try_from(value).unwrap_or(default))
        })
    }

    fn size(&mut self, given: Option<Given>, range: RangeInclusive<u64>, default: u64) -> u64 {
        self.value(given, default, |text| units::size(text, &range))
    }

    fn duration(&mut self, given: Option<Given>, default: Duration) -> Duration {
        self.value(given, default, |text| units::duration(text, &TIMES))
    }

    fn channel_bytes(&mut self, given: Option<Given>, total: u64) -> u64 {
        let within = HISTORY_CHANNEL_BYTES.min(total / 4);
        self.value(given, within, |text| match units::size(text, &(0..=1024 * GIB))? {
            bytes if bytes > total => Err(format!(
                "{text} is more than --history-bytes, which is {}: lower it, or raise --history-bytes",
                units::show_size(total)
            )),
            bytes => Ok(bytes),
        })
    }

    fn path(&mut self, given: Option<Given>) -> Option<(PathBuf, Given)> {
        let given = given?;
        let path = PathBuf::from(given.texts.last()?);
        if path.as_os_str().is_empty() {
            self.mistakes
                .push(format!("{}: the file's name is empty", given.name));
        }
        Some((path, given))
    }

    fn certificate(&mut self, cert: Option<Given>, key: Option<Given>) -> Option<CertificateFiles> {
        match (self.path(cert), self.path(key)) {
            (None, None) => None,
            (Some((certificate, _)), Some((private_key, _))) => Some(CertificateFiles {
                certificate,
                private_key,
            }),
            (Some((certificate, Given { name, .. })), None) => {
                self.mistakes.push(format!(
                    "{name} needs the private key too: add --tls-key FILE"
                ));
                Some(CertificateFiles {
                    certificate,
                    private_key: PathBuf::new(),
                })
            }
            (None, Some((private_key, Given { name, .. }))) => {
                self.mistakes.push(format!(
                    "{name} needs the certificate too: add --tls-cert FILE"
                ));
                Some(CertificateFiles {
                    certificate: PathBuf::new(),
                    private_key,
                })
            }
        }
    }

    fn key(&mut self, variable: Option<OsString>, file: Option<Given>) -> KeySource {
        match (variable, self.path(file)) {
            (None, None) => KeySource::None,
            (None, Some((path, _))) => KeySource::File(path),
            (Some(_), Some((_, Given { name, .. }))) => {
                self.mistakes.push(format!(
                    "{KEY_VARIABLE} and {name} are both given: keep one of them"
                ));
                KeySource::None
            }
            (Some(text), None) => SharedKey::new(text.as_encoded_bytes()).map_or_else(
                |error| {
                    self.mistakes.push(format!(
                        "{KEY_VARIABLE} {error}: set it to the shared key, or unset it"
                    ));
                    KeySource::None
                },
                KeySource::Environment,
            ),
        }
    }
}

/// The variable of the shared key (A1.1); there is no option for it, because everybody on a machine sees arguments.
const KEY_VARIABLE: &str = "MLES_KEY";

/// The bounds of every duration: below, nobody could answer in time; above, it would not protect anything.
const TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// Port of local mode: Mles's port at IANA.
pub const LOCAL_PORT: u16 = 8077;
/// Port with an own certificate: that of HTTPS.
pub const TLS_PORT: u16 = 443;
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
/// Default of [`Config::filelimit`]; the public server's.
pub const FILELIMIT: u32 = 256;
/// Default of [`Config::rate_limit`]: none; the public server's.
pub const RATE_LIMIT: u32 = 0;
/// Default of [`Config::per_ip_limit`]; the public server's.
pub const PER_IP_LIMIT: u32 = 32;

#[cfg(test)]
mod tests;
