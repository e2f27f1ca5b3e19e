//! Turning what is written into values, one kind of setting after the other.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::document::Document;
use super::key;
use super::layer::{Form, Given, Setting};
use super::listen::{self, Listen};
use super::peering::{self, Peering};
use super::report::{DEFAULT, Value};
use super::units::{self, GIB};
use super::{
    CONFIG_VARIABLE, CertificateFiles, HISTORY_CHANNEL_BYTES, KEY_VARIABLE, KeySource, LOOKS,
    LogFormat, NamedFile, NamedUrl, PEER_KEY_VARIABLE, PEERS_URL_INTERVAL, TIMES,
};
use crate::address::Address;
use crate::tls;

/// Turns what is written into values, and gathers what is wrong with it; a mistake goes on with the default.
pub(super) struct Check {
    pub(super) mistakes: Vec<String>,
    /// What each setting is in the end, for `--check-config`.
    pub(super) values: Vec<Value>,
    /// Part of the configuration could not be read: that something is missing is no mistake of its own.
    pub(super) incomplete: bool,
}

impl Check {
    /// The configuration file, if there is one.
    pub(super) fn document(
        &mut self,
        option: Option<OsString>,
        variable: Option<OsString>,
    ) -> Document {
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
    pub(super) fn tell(&mut self, key: &'static str, value: impl Display, origin: &str) {
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
    pub(super) fn value<T>(
        &mut self,
        setting: Setting,
        default: T,
        show: impl Fn(&T) -> String,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let fits = |form| match form {
            Form::Untyped | Form::String => Ok(()),
            Form::Integer | Form::Boolean | Form::Strings | Form::Other(_) => {
                Err("is no text: give a string in quotes")
            }
        };
        self.typed(setting, default, fits, show, parse)
    }

    pub(super) fn number<T>(&mut self, setting: Setting, range: RangeInclusive<T>, default: T) -> T
    where
        T: Copy + Display + Into<u64> + TryFrom<u64>,
    {
        let none = default.to_string();
        self.number_or(setting, range, &none).unwrap_or(default)
    }

    /// A number without a default of its own; `none` is what to call that there is none.
    pub(super) fn number_or<T>(
        &mut self,
        setting: Setting,
        range: RangeInclusive<T>,
        none: &str,
    ) -> Option<T>
    where
        T: Copy + Display + Into<u64> + TryFrom<u64>,
    {
        let bounds = (*range.start()).into()..=(*range.end()).into();
        let fits = |form| match form {
            Form::Untyped | Form::Integer => Ok(()),
            Form::String | Form::Boolean | Form::Strings | Form::Other(_) => {
                Err("is no whole number: give one, without quotes, such as 100")
            }
        };
        let show = |value: &Option<T>| value.map_or_else(|| none.to_owned(), |it| it.to_string());
        self.typed(setting, None, fits, show, |text| {
            // The conversion can't fail: the bounds are of type T.
            units::number(text, &bounds).map(|value| T::try_from(value).ok())
        })
    }

    pub(super) fn size(
        &mut self,
        setting: Setting,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
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
            Form::Boolean | Form::Strings | Form::Other(_) => {
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

    pub(super) fn duration(&mut self, setting: Setting, default: Duration) -> Duration {
        let none = units::show_duration(default);
        self.duration_or(setting, &TIMES, &none).unwrap_or(default)
    }

    /// A duration without a default of its own; `none` is what to call that there is none.
    pub(super) fn duration_or(
        &mut self,
        setting: Setting,
        range: &RangeInclusive<Duration>,
        none: &str,
    ) -> Option<Duration> {
        let fits = |form| match form {
            Form::Untyped | Form::Integer | Form::String => Ok(()),
            Form::Boolean | Form::Strings | Form::Other(_) => {
                Err("is no duration: give seconds, or a string such as \"10s\"")
            }
        };
        let show =
            |value: &Option<Duration>| value.map_or_else(|| none.to_owned(), units::show_duration);
        self.typed(setting, None, fits, show, |text| {
            units::duration(text, range).map(Some)
        })
    }

    pub(super) fn channel_bytes(&mut self, setting: Setting, total: u64) -> u64 {
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

    pub(super) fn log_format(&mut self, setting: Setting) -> LogFormat {
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

    pub(super) fn metrics(&mut self, setting: Setting) -> Option<SocketAddr> {
        let fits = |form| match form {
            Form::Untyped | Form::String | Form::Integer => Ok(()),
            Form::Boolean | Form::Strings | Form::Other(_) => {
                Err("is no address: give a port, or a string such as \"127.0.0.1:8078\"")
            }
        };
        let show = |value: &Option<SocketAddr>| {
            value.map_or_else(|| "none".to_owned(), |address| address.to_string())
        };
        let parse = |text: &str| listen::metrics(text).map(Some);
        self.typed(setting, None, fits, show, parse)
    }

    pub(super) fn listen(&mut self, setting: Setting, local: bool, port: u16) -> Listen {
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
            Form::Integer | Form::Boolean | Form::Other(_) => Err(vec![format!(
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

    /// A switch: on or off.
    fn switch(&mut self, setting: Setting) -> bool {
        let fits = |form| match form {
            Form::Untyped | Form::Boolean => Ok(()),
            Form::Integer | Form::String | Form::Strings | Form::Other(_) => {
                Err("is no boolean: give true or false, without quotes")
            }
        };
        self.typed(setting, false, fits, bool::to_string, |text| {
            text.parse()
                .map_err(|_| format!("'{text}' is neither true nor false: give one of them"))
        })
    }

    /// A list of texts, each of which means something.
    fn list<T>(
        &mut self,
        setting: Setting,
        what: &str,
        show: impl Fn(&T) -> String,
        parse: impl Fn(&Given) -> Result<Vec<T>, Vec<String>>,
    ) -> Vec<T> {
        let key = setting.key;
        let Some(given) = setting.given else {
            self.tell(key, "none", DEFAULT);
            return Vec::new();
        };
        let list = match given.form {
            Form::Untyped | Form::String | Form::Strings => parse(&given),
            Form::Integer | Form::Boolean | Form::Other(_) => Err(vec![format!(
                "{}: {} is no {what}: give a string in quotes, or an array of such",
                given.name,
                given.form.name()
            )]),
        };
        match list {
            Ok(list) => {
                let shown: Vec<_> = list.iter().map(show).collect();
                self.tell(key, shown.join(", "), &given.origin);
                list
            }
            Err(mistakes) => {
                self.tell(key, "?", &given.origin);
                self.mistakes.extend(mistakes);
                Vec::new()
            }
        }
    }

    pub(super) fn peering(
        &mut self,
        (peers, file): (Setting, Setting),
        (page, interval): (Setting, Setting),
        key: (Option<OsString>, Setting),
        open: Setting,
        (ca, fingerprints): (Setting, Setting),
        bridges: Setting,
    ) -> Peering {
        let url = |peer: &Address| format!("wss://{peer}");
        let peers = self.list(peers, "address", url, peering::peers);
        let file = self.path(file);
        let name = page.given.as_ref().map(|given| given.name.clone());
        let name = name.unwrap_or_default();
        let show = |page: &Option<NamedUrl>| {
            page.as_ref()
                .map_or_else(|| "none".to_owned(), NamedUrl::to_string)
        };
        let page = self.value(page, None, show, |text| {
            Address::parse_https(text).map(|address| Some(NamedUrl::new(&name, address)))
        });
        let none = units::show_duration(PEERS_URL_INTERVAL);
        let interval = self.duration_or(interval, &LOOKS, &none);
        let key = self.secret(&PEER_KEY, key.0, key.1);
        let name = open.given.as_ref().map(|given| given.name.clone());
        let open = self.switch(open);
        if open && key != KeySource::None {
            self.mistakes.push(format!(
                "{}: there is a peer key, which peers have to know: leave one of them out",
                name.unwrap_or_default()
            ));
        }
        let hex = |fingerprint: &[u8; 32]| tls::show_fingerprint(fingerprint);
        Peering {
            peers,
            file,
            url: page,
            url_interval: interval.unwrap_or(PEERS_URL_INTERVAL),
            key,
            open,
            ca: self.path(ca),
            fingerprints: self.list(fingerprints, "fingerprint", hex, peering::fingerprints),
            bridges: self.list(bridges, "address", url, peering::bridges),
        }
    }

    /// The name of a file.
    pub(super) fn path(&mut self, setting: Setting) -> Option<NamedFile> {
        self.files(setting, false)?.pop()
    }

    /// The names of files, at least one: an option's and the configuration file's each as it is, a variable's
    /// separated by commas.
    pub(super) fn paths(&mut self, setting: Setting) -> Option<Vec<NamedFile>> {
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
            Form::Integer | Form::Boolean | Form::Other(_) => false,
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
    pub(super) fn certificates(&mut self, cert: Setting, key: Setting) -> Vec<CertificateFiles> {
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

    pub(super) fn key(&mut self, variable: Option<OsString>, file: Setting) -> KeySource {
        self.secret(&SHARED_KEY, variable, file)
    }

    fn secret(&mut self, secret: &Secret, variable: Option<OsString>, file: Setting) -> KeySource {
        let file_key = file.key;
        let variable_name = secret.variable;
        let (source, value, origin) = match (variable, self.path(file)) {
            (None, None) => (KeySource::None, "not set", DEFAULT),
            (None, Some(file)) => (KeySource::File(file), "set", file_key),
            (Some(_), Some(file)) => {
                let name = file.name;
                self.mistakes.push(format!(
                    "{variable_name} and {name} are both given: keep one of them"
                ));
                (KeySource::None, "?", variable_name)
            }
            (Some(text), None) => match key::key_of(text.as_encoded_bytes()) {
                Ok(key) => (KeySource::Environment(key), "set", variable_name),
                Err(error) => {
                    self.mistakes.push(format!(
                        "{variable_name} {error}: set it to the {}, or unset it",
                        secret.what
                    ));
                    (KeySource::None, "?", variable_name)
                }
            },
        };
        self.tell(secret.key, value, origin);
        source
    }
}

/// A secret that everybody of a kind knows; there is no option for it, because everybody on a machine sees
/// arguments.
struct Secret {
    /// What `--check-config` calls it.
    key: &'static str,
    variable: &'static str,
    what: &'static str,
}

const SHARED_KEY: Secret = Secret {
    key: "key",
    variable: KEY_VARIABLE,
    what: "shared key",
};

const PEER_KEY: Secret = Secret {
    key: "peer-key",
    variable: PEER_KEY_VARIABLE,
    what: "key of the servers",
};

/// The names of files in a text: only a variable can hold several.
fn names(text: &OsStr, in_variable: bool) -> impl Iterator<Item = &OsStr> {
    let separator = move |byte: &u8| in_variable && *byte == b',';
    let several = text.as_bytes().iter().any(separator);
    let parts = text.as_bytes().split(separator);
    parts.map(move |part| OsStr::from_bytes(if several { part.trim_ascii() } else { part }))
}
