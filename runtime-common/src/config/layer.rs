//! Layers of settings: what the command line says, what the environment says. The upper one wins, setting by setting.

use std::ffi::OsString;

use super::cli::Cli;

/// What was written for one setting, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// As written; more than one only where an option may be repeated.
    pub(super) texts: Vec<OsString>,
    /// The name that an error about it must say: `--limit`, `MLES_LIMIT`.
    pub(super) name: &'static str,
}

impl Given {
    fn new(texts: impl IntoIterator<Item = OsString>, name: &'static str) -> Option<Given> {
        let texts: Vec<_> = texts.into_iter().collect();
        (!texts.is_empty()).then_some(Given { texts, name })
    }
}

macro_rules! settings {
    ($($field:ident $flag:literal $variable:literal,)*) => {
        /// One layer; `None` leaves a setting to the layer below.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub(super) struct Layer {
            $(pub(super) $field: Option<Given>,)*
        }

        impl Layer {
            /// The command line.
            pub(super) fn of_flags(cli: Cli) -> Layer {
                Layer { $($field: Given::new(cli.$field, $flag),)* }
            }

            /// The environment; an empty variable counts as not set.
            pub(super) fn of_variables(variable: &dyn Fn(&str) -> Option<OsString>) -> Layer {
                let set = |name: &str| variable(name).filter(|text| !text.is_empty());
                Layer { $($field: Given::new(set($variable), $variable),)* }
            }

            /// This layer on top of another.
            pub(super) fn over(self, below: Layer) -> Layer {
                Layer { $($field: self.$field.or(below.$field),)* }
            }
        }

        /// Every variable of a setting; `MLES_KEY` is none, it has no option.
        pub(super) const VARIABLES: &[&str] = &[$($variable,)*];
    };
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
    metrics "--metrics" "MLES_METRICS",
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str, name: &'static str) -> Option<Given> {
        Given::new([text.into()], name)
    }

    #[test]
    fn the_upper_layer_wins_setting_by_setting() {
        let upper = Layer {
            limit: given("1", "--limit"),
            port: given("2", "--port"),
            ..Layer::default()
        };
        let lower = Layer {
            limit: given("3", "MLES_LIMIT"),
            outbox: given("4", "MLES_OUTBOX"),
            ..Layer::default()
        };
        let merged = Layer {
            limit: given("1", "--limit"),
            port: given("2", "--port"),
            outbox: given("4", "MLES_OUTBOX"),
            ..Layer::default()
        };
        assert_eq!(upper.over(lower), merged);
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let layer = Layer::of_variables(&|name| {
            (name == "MLES_LIMIT" || name == "MLES_PORT").then(OsString::new)
        });
        assert_eq!(layer, Layer::default());
    }

    #[test]
    fn every_option_has_its_variable() {
        let command = <Cli as clap::CommandFactory>::command();
        let supported = command.get_arguments().filter(|argument| {
            argument
                .get_help_heading()
                .is_some_and(|heading| heading != "Not supported yet")
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
