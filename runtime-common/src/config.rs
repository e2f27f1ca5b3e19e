//! The server's configuration: command line over environment over file over defaults, checked once, at the start.
//!
//! [`Config::load`] gets the arguments and the environment, and neither prints nor exits; an [`Exit`] says what to
//! print. It collects mistakes, so that one start shows all of them. It reads the configuration file; the files that
//! are named there are read later, by [`KeySource::read`] and [`crate::certificates`], and for `--check-config`.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

mod cli;
mod client;
mod document;
mod key;
mod layer;
mod listen;
mod report;
mod units;

pub use crate::file::NamedFile;
pub use client::{CLIENT_COMMANDS, ClientConfig, Format, Source, Task};
pub use key::{KeySource, MAX_KEY};
pub use listen::Listen;

use cli::Cli;
use document::Document;
use layer::{Form, Layer, Setting};
use report::{DEFAULT, Value};
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
    /// # Errors
    /// `--help`, `--version`, `--check-config`, a usage error, or one line for each mistake.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Config, Exit> {
        let read = Config::read(args, env)?;
        if read.check_only {
            let names = std::env::vars_os().map(|(name, _)| name);
            Err(report::check(read, names, SystemTime::now()))
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

/// The variables among these names that begin with `MLES_` and mean nothing to the server, sorted: likely typing
/// mistakes, worth a warning.
pub fn unknown_variables(names: impl Iterator<Item = OsString>) -> Vec<String> {
    let mut unknown: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("MLES_"))
        .filter(|name| name != KEY_VARIABLE && name != CONFIG_VARIABLE)
        .filter(|name| !layer::VARIABLES.contains(&name.as_str()))
        .collect();
    unknown.sort();
    unknown
}

/// Turns what is written into values, and gathers what is wrong with it; a mistake goes on with the default.
struct Check {
    mistakes: Vec<String>,
    /// What each setting is in the end, for `--check-config`.
    values: Vec<Value>,
    /// Part of the configuration could not be read: that something is missing is no mistake of its own.
    incomplete: bool,
}

impl Check {
    /// The configuration file, if there is one.
    fn document(&mut self, option: Option<OsString>, variable: Option<OsString>) -> Document {
        let variable = variable.filter(|path| !path.is_empty());
        let given = option.map(|path| ("--config", path));
        let given = given.or_else(|| variable.map(|path| (CONFIG_VARIABLE, path)));
        let Some((name, path)) = given else {
            self.tell("config", "none", DEFAULT);
            return Document::default();
        };
        let path = PathBuf::from(path);
        self.tell("config", path.display(), name);
        Document::read(name, &path).unwrap_or_else(|mistake| {
            self.mistakes.push(mistake);
            self.incomplete = true;
            Document::default()
        })
    }

    /// Takes note of what a setting is in the end.
    fn tell(&mut self, key: &'static str, value: impl Display, origin: &str) {
        self.values.push(Value::new(key, value, origin));
    }

    /// Parses one value, if it is of a kind that can be right; without one, the default.
    fn typed<T>(
        &mut self,
        setting: Setting,
        default: T,
        fits: impl Fn(Form) -> Result<(), &'static str>,
        show: impl Fn(&T) -> String,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let key = setting.key;
        let Some(given) = setting.given else {
            self.tell(key, show(&default), DEFAULT);
            return default;
        };
        let text = given.texts.last().map_or(Some(""), |text| text.to_str());
        let value = match (fits(given.form), text) {
            (Err(right), _) => Err(format!("{} {right}", given.form.name())),
            (Ok(()), None) => Err("not valid UTF-8: give text".to_owned()),
            (Ok(()), Some(text)) => parse(text),
        };
        match value {
            Ok(value) => {
                self.tell(key, show(&value), &given.origin);
                value
            }
            Err(error) => {
                self.tell(key, "?", &given.origin);
                self.mistakes.push(format!("{}: {error}", given.name));
                default
            }
        }
    }

    /// A value that is text.
    fn value<T>(
        &mut self,
        setting: Setting,
        default: T,
        show: impl Fn(&T) -> String,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let fits = |form| match form {
            Form::Untyped | Form::String => Ok(()),
            Form::Integer | Form::Strings | Form::Other(_) => {
                Err("is no text: give a string in quotes")
            }
        };
        self.typed(setting, default, fits, show, parse)
    }

    fn number<T>(&mut self, setting: Setting, range: RangeInclusive<T>, default: T) -> T
    where
        T: Copy + Display + Into<u64> + TryFrom<u64>,
    {
        let none = default.to_string();
        self.number_or(setting, range, &none).unwrap_or(default)
    }

    /// A number without a default of its own; `none` is what to call that there is none.
    fn number_or<T>(&mut self, setting: Setting, range: RangeInclusive<T>, none: &str) -> Option<T>
    where
        T: Copy + Display + Into<u64> + TryFrom<u64>,
    {
        let bounds = (*range.start()).into()..=(*range.end()).into();
        let fits = |form| match form {
            Form::Untyped | Form::Integer => Ok(()),
            Form::String | Form::Strings | Form::Other(_) => {
                Err("is no whole number: give one, without quotes, such as 100")
            }
        };
        let show = |value: &Option<T>| value.map_or_else(|| none.to_owned(), |it| it.to_string());
        self.typed(setting, None, fits, show, |text| {
            // The conversion can't fail: the bounds are of type T.
            units::number(text, &bounds).map(|value| T::try_from(value).ok())
        })
    }

    fn size(&mut self, setting: Setting, range: RangeInclusive<u64>, default: u64) -> u64 {
        self.size_by(setting, default, |text| units::size(text, &range))
    }

    fn size_by(
        &mut self,
        setting: Setting,
        default: u64,
        parse: impl Fn(&str) -> Result<u64, String>,
    ) -> u64 {
        let fits = |form| match form {
            Form::Untyped | Form::Integer | Form::String => Ok(()),
            Form::Strings | Form::Other(_) => {
                Err("is no size: give bytes, or a string such as \"8MiB\"")
            }
        };
        self.typed(
            setting,
            default,
            fits,
            |bytes| units::show_size(*bytes),
            parse,
        )
    }

    fn duration(&mut self, setting: Setting, default: Duration) -> Duration {
        let fits = |form| match form {
            Form::Untyped | Form::Integer | Form::String => Ok(()),
            Form::Strings | Form::Other(_) => {
                Err("is no duration: give seconds, or a string such as \"10s\"")
            }
        };
        let show = |duration: &Duration| units::show_duration(*duration);
        self.typed(setting, default, fits, show, |text| {
            units::duration(text, &TIMES)
        })
    }

    fn channel_bytes(&mut self, setting: Setting, total: u64) -> u64 {
        let within = HISTORY_CHANNEL_BYTES.min(total / 4);
        let of_total = self
            .values
            .iter()
            .find(|value| value.key == "history-bytes");
        let origin = of_total.map_or_else(String::new, |value| value.origin.clone());
        let incomplete = self.incomplete;
        self.size_by(setting, within, |text| match units::size(text, &(0..=1024 * GIB))? {
            bytes if bytes > total && !incomplete => Err(format!(
                "{text} is more than --history-bytes, which is {} ({origin}): lower it, or raise --history-bytes",
                units::show_size(total)
            )),
            bytes => Ok(bytes),
        })
    }

    fn log_format(&mut self, setting: Setting) -> LogFormat {
        let formats = [(LogFormat::Text, "text"), (LogFormat::Json, "json")];
        let show = |value: &LogFormat| {
            let format = formats.iter().find(|(format, _)| format == value);
            format.map_or("", |(_, name)| name).to_owned()
        };
        self.value(setting, LogFormat::Text, show, |text| {
            let format = formats.iter().find(|(_, name)| *name == text);
            let format = format.map(|(format, _)| *format);
            format.ok_or_else(|| format!("'{text}' is no log format: give text or json"))
        })
    }

    fn metrics(&mut self, setting: Setting) -> Option<SocketAddr> {
        let fits = |form| match form {
            Form::Untyped | Form::String | Form::Integer => Ok(()),
            Form::Strings | Form::Other(_) => {
                Err("is no address: give a port, or a string such as \"127.0.0.1:8078\"")
            }
        };
        let show = |value: &Option<SocketAddr>| {
            value.map_or_else(|| "none".to_owned(), |address| address.to_string())
        };
        let parse = |text: &str| listen::metrics(text).map(Some);
        self.typed(setting, None, fits, show, parse)
    }

    fn listen(&mut self, setting: Setting, local: bool, port: u16) -> Listen {
        let key = setting.key;
        let default = if local {
            Listen::Loopback { port }
        } else {
            Listen::Everywhere { port }
        };
        let Some(given) = setting.given else {
            self.tell(key, &default, DEFAULT);
            return default;
        };
        let listen = match given.form {
            Form::Untyped | Form::String | Form::Strings => Listen::addresses(&given, port),
            Form::Integer | Form::Other(_) => Err(vec![format!(
                "{}: {} is no address: give a string such as \"127.0.0.1\", or an array of such",
                given.name,
                given.form.name()
            )]),
        };
        match listen {
            Ok(listen) => {
                self.tell(key, &listen, &given.origin);
                listen
            }
            Err(mistakes) => {
                self.tell(key, "?", &given.origin);
                self.mistakes.extend(mistakes);
                default
            }
        }
    }

    /// The name of a file.
    fn path(&mut self, setting: Setting) -> Option<NamedFile> {
        self.files(setting, false)?.pop()
    }

    /// The names of files, at least one: an option's and the configuration file's each as it is, a variable's
    /// separated by commas.
    fn paths(&mut self, setting: Setting) -> Option<Vec<NamedFile>> {
        self.files(setting, true)
    }

    /// The names of one file or several. One in the configuration file starts from the directory of that; one that
    /// is a mistake is empty.
    fn files(&mut self, setting: Setting, several: bool) -> Option<Vec<NamedFile>> {
        let key = setting.key;
        let Some(given) = setting.given else {
            self.tell(key, "none", DEFAULT);
            return None;
        };
        let fits = match given.form {
            Form::Untyped | Form::String => true,
            Form::Strings => several,
            Form::Integer | Form::Other(_) => false,
        };
        let texts = if fits { &given.texts[..] } else { &[] };
        let names = texts
            .iter()
            .flat_map(|text| names(text, several && given.in_variable()));
        let path = |name: &OsStr| match name.is_empty() {
            true => PathBuf::new(),
            false => given.directory.join(name),
        };
        let mut paths: Vec<PathBuf> = names.map(path).collect();
        let mut shown = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let mistake = if !fits {
            paths = vec![PathBuf::new()];
            let form = given.form.name();
            let array = if several { ", or an array of such" } else { "" };
            Some(format!(
                "{form} is no file's name: give a string in quotes{array}"
            ))
        } else if paths.iter().any(|path| path.as_os_str().is_empty()) {
            Some("the file's name is empty: give one, or leave the setting out".to_owned())
        } else {
            None
        };
        if let Some(mistake) = mistake {
            self.mistakes.push(format!("{}: {mistake}", given.name));
            shown = "?".to_owned();
        }
        self.tell(key, shown, &given.origin);
        let files = paths
            .into_iter()
            .map(|path| NamedFile::new(&given.name, path));
        Some(files.collect())
    }

    /// What is no pair is a mistake, and yet no wish for local mode.
    fn certificates(&mut self, cert: Setting, key: Setting) -> Vec<CertificateFiles> {
        let beside = |it: &Setting, other| it.given.as_ref().map(|it| it.beside(other, "FILE"));
        let (add_key, add_cert) = (beside(&cert, "tls-key"), beside(&key, "tls-cert"));
        let (certificates, keys) = (self.paths(cert), self.paths(key));
        let name = |files: &Option<Vec<NamedFile>>| Some(files.as_ref()?.first()?.name.clone());
        let (cert_name, key_name) = (name(&certificates), name(&keys));
        let (certificates, keys) = (certificates.unwrap_or_default(), keys.unwrap_or_default());
        let pair = |(certificate, private_key)| CertificateFiles {
            certificate,
            private_key,
        };
        if certificates.len() == keys.len() {
            return certificates.into_iter().zip(keys).map(pair).collect();
        }
        let named = |file: &NamedFile| !file.path.as_os_str().is_empty();
        let all_named = certificates.iter().chain(&keys).all(named);
        let half = |name: String, what, add: Option<String>| {
            let add = add.unwrap_or_default();
            (!self.incomplete).then(|| format!("{name} needs the {what} too: add {add}"))
        };
        let mistake = match (cert_name, key_name) {
            (None, None) => None,
            (Some(name), None) => half(name, "private key", add_key),
            (None, Some(name)) => half(name, "certificate", add_cert),
            // How many there are is as uncertain as the names.
            (Some(_), Some(_)) if !all_named => None,
            (Some(name), Some(key_name)) => Some(format!(
                "{name} and {key_name} don't match, {} and {}: give one private key for each certificate, in the same order",
                certificates.len(),
                keys.len()
            )),
        };
        self.mistakes.extend(mistake);
        // Nobody knows what belongs together.
        let none = || NamedFile::new("", "");
        let certificates = certificates.into_iter().map(|file| (file, none()));
        let keys = keys.into_iter().map(|file| (none(), file));
        certificates.chain(keys).map(pair).collect()
    }

    fn key(&mut self, variable: Option<OsString>, file: Setting) -> KeySource {
        let (source, value, origin) = match (variable, self.path(file)) {
            (None, None) => (KeySource::None, "not set", DEFAULT),
            (None, Some(file)) => (KeySource::File(file), "set", "key-file"),
            (Some(_), Some(file)) => {
                let name = file.name;
                self.mistakes.push(format!(
                    "{KEY_VARIABLE} and {name} are both given: keep one of them"
                ));
                (KeySource::None, "?", KEY_VARIABLE)
            }
            (Some(text), None) => match key::key_of(text.as_encoded_bytes()) {
                Ok(key) => (KeySource::Environment(key), "set", KEY_VARIABLE),
                Err(error) => {
                    self.mistakes.push(format!(
                        "{KEY_VARIABLE} {error}: set it to the shared key, or unset it"
                    ));
                    (KeySource::None, "?", KEY_VARIABLE)
                }
            },
        };
        self.tell("key", value, origin);
        source
    }
}

/// The names of files in a text: only a variable can hold several.
fn names(text: &OsStr, in_variable: bool) -> impl Iterator<Item = &OsStr> {
    let separator = move |byte: &u8| in_variable && *byte == b',';
    let several = text.as_bytes().iter().any(separator);
    let parts = text.as_bytes().split(separator);
    parts.map(move |part| OsStr::from_bytes(if several { part.trim_ascii() } else { part }))
}

/// The variable of the configuration file.
const CONFIG_VARIABLE: &str = "MLES_CONFIG";

/// The variable of the shared key (A1.1); there is no option for it, because everybody on a machine sees arguments.
const KEY_VARIABLE: &str = "MLES_KEY";

/// The bounds of every duration: below, nobody could answer in time; above, it would not protect anything.
const TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

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
/// Default of [`Config::filelimit`]; the public server's.
pub const FILELIMIT: u32 = 256;
/// Default of [`Config::rate_limit`]: none; the public server's.
pub const RATE_LIMIT: u32 = 0;
/// Default of [`Config::per_ip_limit`]; the public server's.
pub const PER_IP_LIMIT: u32 = 32;

#[cfg(test)]
mod tests;
