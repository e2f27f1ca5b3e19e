//! Layers of settings: what the command line says, the environment, the configuration file. The upper one wins,
//! setting by setting, and each value keeps where it was written.

use std::ffi::OsString;
use std::path::PathBuf;

use super::cli::Cli;
use super::document::Document;

/// What was written for one setting, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// As written; more than one only where an option may be repeated.
    pub(super) texts: Vec<OsString>,
    /// What an error about it must begin with: `--limit`, `MLES_LIMIT`, `/etc/mles.toml:3: limit`.
    pub(super) name: String,
    /// Where it stands: `--limit`, `MLES_LIMIT`, `/etc/mles.toml:3`.
    pub(super) origin: String,
    /// Of which kind it is.
    pub(super) form: Form,
    /// What a relative file name starts from; empty for the working directory.
    pub(super) directory: PathBuf,
}

/// The kind of a value as it was written. Options and variables are text whatever they mean; a file knows better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Of an option or a variable: for whoever reads it to find out.
    Untyped,
    Integer,
    String,
    Boolean,
    /// An array of strings.
    Strings,
    /// What no setting is made of, with its article: "a float".
    Other(&'static str),
}

impl Form {
    /// What it is, with its article, for an error.
    pub(super) fn name(self) -> &'static str {
        match self {
            Form::Untyped => "text",
            Form::Integer => "an integer",
            Form::String => "a string",
            Form::Boolean => "a boolean",
            Form::Strings => "an array",
            Form::Other(name) => name,
        }
    }
}

impl Given {
    pub(super) fn new(texts: impl IntoIterator<Item = OsString>, name: &str) -> Option<Given> {
        let texts: Vec<_> = texts.into_iter().collect();
        (!texts.is_empty()).then(|| Given {
            texts,
            name: name.to_owned(),
            origin: name.to_owned(),
            form: Form::Untyped,
            directory: PathBuf::new(),
        })
    }

    /// Whether it stands in a variable, which has one text for everything.
    pub(super) fn in_variable(&self) -> bool {
        self.form == Form::Untyped && self.origin.starts_with("MLES_")
    }

    /// How the setting of this key is added where this one stands.
    pub(super) fn beside(&self, key: &str, value: &str) -> String {
        match self.form {
            Form::Untyped => format!("--{key} {value}"),
            Form::Integer | Form::String | Form::Boolean | Form::Strings | Form::Other(_) => {
                format!("{key} = \"{value}\"")
            }
        }
    }
}

/// A setting, and what was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its name in the configuration file: that of the option without the dashes in front.
    pub(super) key: &'static str,
    /// `None` leaves it to the layer below, and in the end to the default.
    pub(super) given: Option<Given>,
}

macro_rules! settings {
    ($($field:ident $flag:literal $variable:literal,)*) => {
        /// One layer.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) struct Layer {
            $(pub(super) $field: Setting,)*
        }

        impl Layer {
            /// The command line.
            pub(super) fn of_flags(cli: Cli) -> Layer {
                Layer { $($field: Setting { key: key($flag), given: Given::new(cli.$field, $flag) },)* }
            }

            /// The environment; an empty variable counts as not set.
            pub(super) fn of_variables(variable: &dyn Fn(&str) -> Option<OsString>) -> Layer {
                let set = |name: &str| variable(name).filter(|text| !text.is_empty());
                Layer { $($field: Setting { key: key($flag), given: Given::new(set($variable), $variable) },)* }
            }

            /// The configuration file.
            pub(super) fn of_document(document: &mut Document) -> Layer {
                Layer { $($field: Setting { key: key($flag), given: document.take(key($flag)) },)* }
            }

            /// This layer on top of another.
            pub(super) fn over(self, below: Layer) -> Layer {
                Layer { $($field: Setting { key: key($flag), given: self.$field.given.or(below.$field.given) },)* }
            }
        }

        /// Every variable of a setting; `MLES_KEY` and `MLES_PEER_KEY` are none, they have no option.
        pub(super) const VARIABLES: &[&str] = &[$($variable,)*];

        /// Every key of the configuration file.
        pub(super) const KEYS: &[&str] = &[$(key($flag),)*];
    };
}

/// The key of an option's setting.
const fn key(flag: &'static str) -> &'static str {
    flag.split_at(2).1
}

settings! {
    listen "--listen" "MLES_LISTEN",
    port "--port" "MLES_PORT",
    tls_cert "--tls-cert" "MLES_TLS_CERT",
    tls_key "--tls-key" "MLES_TLS_KEY",
    key_file "--key-file" "MLES_KEY_FILE",
    limit "--limit" "MLES_LIMIT",
    history_channel_bytes "--history-channel-bytes" "MLES_HISTORY_CHANNEL_BYTES",
    history_bytes "--history-bytes" "MLES_HISTORY_BYTES",
    max_message "--max-message" "MLES_MAX_MESSAGE",
    outbox "--outbox" "MLES_OUTBOX",
    replay_timeout "--replay-timeout" "MLES_REPLAY_TIMEOUT",
    handshake_timeout "--handshake-timeout" "MLES_HANDSHAKE_TIMEOUT",
    header_timeout "--header-timeout" "MLES_HEADER_TIMEOUT",
    ping_interval "--ping-interval" "MLES_PING_INTERVAL",
    probe_timeout "--probe-timeout" "MLES_PROBE_TIMEOUT",
    max_sessions "--max-sessions" "MLES_MAX_SESSIONS",
    filelimit "--filelimit" "MLES_FILELIMIT",
    rate_limit "--rate-limit" "MLES_RATE_LIMIT",
    per_ip_limit "--per-ip-limit" "MLES_PER_IP_LIMIT",
    threads "--threads" "MLES_THREADS",
    peer "--peer" "MLES_PEER",
    peers_file "--peers-file" "MLES_PEERS_FILE",
    peers_url "--peers-url" "MLES_PEERS_URL",
    peers_url_interval "--peers-url-interval" "MLES_PEERS_URL_INTERVAL",
    peer_key_file "--peer-key-file" "MLES_PEER_KEY_FILE",
    open_peering "--open-peering" "MLES_OPEN_PEERING",
    peer_ca "--peer-ca" "MLES_PEER_CA",
    peer_fingerprint "--peer-fingerprint" "MLES_PEER_FINGERPRINT",
    bridge "--bridge" "MLES_BRIDGE",
    log_format "--log-format" "MLES_LOG_FORMAT",
    metrics "--metrics" "MLES_METRICS",
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(settings: &[(&str, &str)]) -> Layer {
        Layer::of_variables(&|name| {
            let given = settings.iter().find(|(variable, _)| *variable == name);
            given.map(|(_, text)| text.into())
        })
    }

    #[test]
    fn the_upper_layer_wins_setting_by_setting() {
        let upper = layer(&[("MLES_LIMIT", "1"), ("MLES_PORT", "2")]);
        let lower = layer(&[("MLES_LIMIT", "3"), ("MLES_OUTBOX", "4")]);
        let merged = layer(&[
            ("MLES_LIMIT", "1"),
            ("MLES_PORT", "2"),
            ("MLES_OUTBOX", "4"),
        ]);
        assert_eq!(upper.over(lower), merged);
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let empty = layer(&[("MLES_LIMIT", ""), ("MLES_PORT", "")]);
        assert_eq!(empty, layer(&[]));
    }

    #[test]
    fn keys_are_options_without_dashes_in_front() {
        assert_eq!(KEYS[..2], ["listen", "port"]);
        assert!(KEYS.contains(&"history-channel-bytes"));
    }

    #[test]
    fn every_option_has_its_variable() {
        let command = <Cli as clap::CommandFactory>::command();
        let supported = command.get_arguments().filter(|argument| {
            // --config has a variable too, but is above all layers.
            argument.get_help_heading().is_some_and(|heading| {
                heading != "Not supported yet" && heading != "Configuration file"
            })
        });
        let variables: Vec<String> = supported
            .map(|argument| {
                format!(
                    "MLES_{}",
                    argument
                        .get_long()
                        .unwrap()
                        .to_uppercase()
                        .replace('-', "_")
                )
            })
            .collect();
        assert_eq!(variables, VARIABLES);
    }
}
