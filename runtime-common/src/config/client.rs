//! The command lines of the clients: `mles talk`, `mles pub`, `mles sub`.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};

use super::layer::{Given, Setting};
use super::{Check, Exit, KEY_VARIABLE, KeySource, NamedFile, cli};

/// What a client program is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The server, as written.
    pub url: String,
    /// Who it is; `None` makes up a name.
    pub uid: Option<String>,
    /// The channel.
    pub channel: String,
    /// The shared key (A1.1).
    pub key: KeySource,
    /// PEM file of certificates to trust.
    pub ca: Option<NamedFile>,
    /// SHA-256 fingerprint of the server's certificate, as written.
    pub fingerprint: Option<String>,
    /// Whether any certificate is taken.
    pub insecure: bool,
    /// Whether to go on trying if the server can't be reached at first.
    pub retry: bool,
    /// What to do there.
    pub task: Task,
}

/// What a client does on its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A conversation.
    Talk,
    /// Sending.
    Pub {
        /// What.
        source: Source,
        /// As binary messages.
        binary: bool,
        /// How long it goes on without the server; `None` is for ever.
        timeout: Option<Duration>,
    },
    /// Receiving.
    Sub {
        /// Messages after which it ends.
        count: Option<u64>,
        /// How they are printed.
        format: Format,
        /// Whether those are left out that were sent before it came.
        live: bool,
    },
}

/// What `mles pub` sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This message.
    Message(OsString),
    /// Each line of stdin.
    Lines,
    /// A file, as one message.
    File(NamedFile),
    /// All of stdin, as one message.
    Stdin,
}

/// How `mles sub` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Each message and a line feed.
    Lines,
    /// The bytes of the messages, with nothing between them.
    Raw,
    /// A JSON object in each line.
    Json,
}

/// The commands that are clients, and what each is for.
pub const CLIENT_COMMANDS: [&str; 3] = ["talk", "pub", "sub"];

#[derive(Args)]
struct Common {
    /// The server, as wss://HOST or wss://HOST:PORT.
    #[arg(value_name = "URL")]
    url: String,

    /// The channel to be on.
    #[arg(short, long, value_name = "NAME")]
    channel: String,

    /// File whose first line is the shared key. Or set MLES_KEY to the key itself; not both.
    #[arg(long, value_name = "FILE")]
    key_file: Option<OsString>,

    /// PEM file with the certificate of the server, or of the authority that has signed it.
    #[arg(long, value_name = "FILE", group = "trust")]
    ca: Option<PathBuf>,

    /// SHA-256 fingerprint of the server's certificate, as the server prints it.
    #[arg(long, value_name = "SHA256", group = "trust")]
    fingerprint: Option<String>,

    /// Take any certificate: who is between can read and change everything.
    #[arg(long, group = "trust")]
    insecure: bool,

    /// Keep trying if the server can't be reached at first.
    #[arg(long)]
    retry: bool,
}

/// Converse on a channel: lines of stdin are sent, what comes is printed.
///
/// Without a terminal only the messages are printed, a line each; it ends with its input, when the
/// server has accepted everything.
///
/// Messages carry no sender: for the server's page to show who says a line, begin it with the name,
/// such as "alice: hello".
#[derive(Parser)]
#[command(
    name = "mles talk",
    no_binary_name = true,
    version,
    next_line_help = true,
    verbatim_doc_comment
)]
struct Talk {
    #[command(flatten)]
    common: Common,

    /// The name to be on the channel with.
    #[arg(short, long, value_name = "NAME")]
    uid: String,
}

/// Send to a channel: -m MESSAGE, a line of stdin each (-l), a file (-f), or all of stdin.
///
/// Without --retry it fails at once if the server can't be reached at first. A connection that is lost
/// later is replaced for as long as it takes: a cron job wants --timeout.
///
/// Exit code 0 means that the server has accepted everything; 3 that it does not confirm it; 1 that
/// it failed.
#[derive(Parser)]
#[command(
    name = "mles pub",
    no_binary_name = true,
    version,
    next_line_help = true,
    verbatim_doc_comment
)]
struct Pub {
    #[command(flatten)]
    common: Common,

    /// The name to be on the channel with. [default: a random one]
    #[arg(short, long, value_name = "NAME")]
    uid: Option<String>,

    /// Send this message.
    #[arg(
        short,
        long,
        value_name = "TEXT",
        group = "source",
        allow_hyphen_values = true
    )]
    message: Option<OsString>,

    /// Send each line of stdin as a message, without its line end.
    #[arg(short, long, group = "source")]
    lines: bool,

    /// Send the content of a file as one message.
    #[arg(short, long, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,

    /// Send binary messages; without it text, which must be UTF-8.
    #[arg(short, long)]
    binary: bool,

    /// Give up when the server is away for so long, or has not accepted everything so long after
    /// the end of the input: seconds, or with ms, s, m or h; 10ms to 24h. Or set MLES_TIMEOUT.
    /// [default: it goes on for as long as it takes]
    #[arg(long, value_name = "DURATION", verbatim_doc_comment)]
    timeout: Option<OsString>,
}

/// Print what comes on a channel, a line for each message; the history first.
///
/// Who joins is told in --json alone. It ends by SIGINT, after --count messages, or when there
/// is something to print and nobody reads it.
#[derive(Parser)]
#[command(
    name = "mles sub",
    no_binary_name = true,
    version,
    next_line_help = true,
    verbatim_doc_comment
)]
struct Sub {
    #[command(flatten)]
    common: Common,

    /// The name to be on the channel with. [default: a random one]
    #[arg(short, long, value_name = "NAME")]
    uid: Option<String>,

    /// End after so many messages.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print the bytes of the messages and nothing between them.
    #[arg(long, group = "format")]
    raw: bool,

    /// Print a JSON object in a line for each: kind ("text", "binary" or "joined"), payload or
    /// base64, replay (whether it may be from the history), uid of who joined.
    #[arg(long, group = "format", verbatim_doc_comment)]
    json: bool,

    /// Leave the history out.
    #[arg(long)]
    live: bool,
}

impl ClientConfig {
    /// The configuration of these arguments (the first is the program's name), if they are for a client; `None` if
    /// they are for the server.
    ///
    /// # Errors
    /// `--help`, `--version`, or what is wrong, in one line.
    pub fn load(
        args: impl Iterator<Item = OsString>,
        env: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Option<ClientConfig>, Exit> {
        let mut args = args.skip(1);
        let command = args.next();
        let mut check = Check {
            mistakes: Vec::new(),
            values: Vec::new(),
            incomplete: false,
        };
        let (common, uid, task) = match command.as_ref().and_then(|command| command.to_str()) {
            Some("talk") => {
                let Talk { common, uid } = cli::parse(args)?;
                (common, Some(uid), Task::Talk)
            }
            Some("pub") => {
                let given: Pub = cli::parse(args)?;
                let source = match (given.message, given.lines, given.file) {
                    (Some(message), ..) => Source::Message(message),
                    (None, true, _) => Source::Lines,
                    (None, false, Some(path)) => Source::File(NamedFile::new("--file", path)),
                    (None, false, None) => Source::Stdin,
                };
                let timeout = setting("timeout", given.timeout, "--timeout", TIMEOUT_VARIABLE, env);
                let task = Task::Pub {
                    source,
                    binary: given.binary,
                    timeout: check.duration_or(timeout, &TIMEOUTS, "none"),
                };
                (given.common, given.uid, task)
            }
            Some("sub") => {
                let given: Sub = cli::parse(args)?;
                let format = match (given.raw, given.json) {
                    (true, _) => Format::Raw,
                    (false, true) => Format::Json,
                    (false, false) => Format::Lines,
                };
                let (count, live) = (given.count, given.live);
                (
                    given.common,
                    given.uid,
                    Task::Sub {
                        count,
                        format,
                        live,
                    },
                )
            }
            Some(_) | None => return Ok(None),
        };
        let file = setting(
            "key-file",
            common.key_file,
            "--key-file",
            "MLES_KEY_FILE",
            env,
        );
        let key = check.key(env(KEY_VARIABLE), file);
        if !check.mistakes.is_empty() {
            return Err(Exit::mistakes(&check.mistakes));
        }
        Ok(Some(ClientConfig {
            url: common.url,
            uid,
            channel: common.channel,
            key,
            ca: common.ca.map(|path| NamedFile::new("--ca", path)),
            fingerprint: common.fingerprint,
            insecure: common.insecure,
            retry: common.retry,
            task,
        }))
    }
}

/// What was written for a setting of a client; an empty variable counts as not set.
fn setting(
    key: &'static str,
    option: Option<OsString>,
    flag: &str,
    variable: &str,
    env: &dyn Fn(&str) -> Option<OsString>,
) -> Setting {
    let set = || env(variable).filter(|text| !text.is_empty());
    let option = Given::new(option, flag);
    let given = option.or_else(|| Given::new(set(), variable));
    Setting { key, given }
}

/// The variable of `--timeout`.
pub(super) const TIMEOUT_VARIABLE: &str = "MLES_TIMEOUT";

/// What a job may want: at most, that it is over before the next day's.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn load(line: &str, env: &[(&str, &str)]) -> Result<Option<ClientConfig>, Exit> {
        let args = std::iter::once("mles").chain(line.split_whitespace());
        ClientConfig::load(args.map(OsString::from), &|name| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[track_caller]
    fn task(line: &str) -> Task {
        let config = load(line, &[]).unwrap_or_else(|exit| panic!("{}", exit.stderr));
        config.unwrap().task
    }

    #[test]
    fn are_well_formed() {
        <Talk as clap::CommandFactory>::command().debug_assert();
        <Pub as clap::CommandFactory>::command().debug_assert();
        <Sub as clap::CommandFactory>::command().debug_assert();
    }

    /// The server stays the default, its flags unchanged.
    #[test]
    fn the_server_is_not_a_client() {
        for line in ["", "--port 0", "-l 5", "--help", "talkative"] {
            assert_eq!(load(line, &[]), Ok(None), "{line}");
        }
    }

    #[test]
    fn everything_at_once() {
        let line = "talk wss://h:1 --uid u -c c --ca f --retry";
        let expected = ClientConfig {
            url: "wss://h:1".to_owned(),
            uid: Some("u".to_owned()),
            channel: "c".to_owned(),
            key: KeySource::None,
            ca: Some(NamedFile::new("--ca", "f")),
            fingerprint: None,
            insecure: false,
            retry: true,
            task: Task::Talk,
        };
        assert_eq!(load(line, &[]), Ok(Some(expected)));
        for (options, source) in [
            ("-m hello", Source::Message("hello".into())),
            ("-m -1", Source::Message("-1".into())),
            ("-l", Source::Lines),
            ("--file f", Source::File(NamedFile::new("--file", "f"))),
            ("", Source::Stdin),
        ] {
            let binary = options.is_empty();
            let line = format!(
                "pub wss://h -c c {options} {}",
                if binary { "--binary" } else { "" }
            );
            let expected = Task::Pub {
                source,
                binary,
                timeout: None,
            };
            assert_eq!(task(&line), expected, "{line}");
        }
        for (options, count, format, live) in [
            ("", None, Format::Lines, false),
            ("--count 5 --raw", Some(5), Format::Raw, false),
            ("--json --live", None, Format::Json, true),
        ] {
            let line = format!("sub wss://h --channel c {options}");
            assert_eq!(
                task(&line),
                Task::Sub {
                    count,
                    format,
                    live
                }
            );
        }
    }

    #[test]
    fn keys() {
        let key =
            |line: &str, env: &[(&str, &str)]| load(line, env).map(|config| config.unwrap().key);
        let line = "sub wss://h -c c";
        assert!(matches!(
            key(line, &[("MLES_KEY", "k")]),
            Ok(KeySource::Environment(_))
        ));
        assert_eq!(
            key(line, &[("MLES_KEY_FILE", "f")]),
            Ok(KeySource::File(NamedFile::new("MLES_KEY_FILE", "f")))
        );
        let with_file = format!("{line} --key-file g");
        assert_eq!(
            key(&with_file, &[("MLES_KEY_FILE", "f")]),
            Ok(KeySource::File(NamedFile::new("--key-file", "g")))
        );
        assert!(
            key(&with_file, &[("MLES_KEY", "k")])
                .unwrap_err()
                .stderr
                .contains("both given")
        );
        assert!(
            key(line, &[("MLES_KEY", "")])
                .unwrap_err()
                .stderr
                .contains("empty")
        );
    }

    #[test]
    fn timeouts() {
        let timeout = |options: &str, env: &[(&str, &str)]| {
            let line = format!("pub wss://h -c c -m x {options}");
            match load(&line, env).map(|config| config.unwrap().task) {
                Ok(Task::Pub { timeout, .. }) => Ok(timeout),
                Ok(task) => panic!("{task:?}"),
                Err(exit) => Err(exit.stderr),
            }
        };
        let variable = [("MLES_TIMEOUT", "2h")];
        let hours = |count: u64| Ok(Some(Duration::from_secs(count * 3600)));
        assert_eq!(timeout("", &[]), Ok(None));
        assert_eq!(timeout("", &[("MLES_TIMEOUT", "")]), Ok(None));
        assert_eq!(timeout("", &variable), hours(2));
        assert_eq!(timeout("--timeout 24h", &variable), hours(24));
        assert_eq!(
            timeout("--timeout 25h", &[]),
            Err("error: --timeout: 25h is out of range: give 10ms to 24h\n".to_owned())
        );
        let mistake = timeout("", &[("MLES_TIMEOUT", "soon")]).unwrap_err();
        assert!(
            mistake.starts_with("error: MLES_TIMEOUT: 'soon'"),
            "{mistake}"
        );
    }

    #[test]
    fn mistakes_are_one_line() {
        for (line, part) in [
            ("talk", "--uid"),
            ("talk wss://h -c c", "--uid"),
            ("pub wss://h", "--channel"),
            ("pub wss://h -c c -m x -l", "cannot be used with"),
            ("sub wss://h -c c --raw --json", "cannot be used with"),
            ("sub wss://h -c c --count 0", "--count"),
            ("sub wss://h -c c --ca f --insecure", "cannot be used with"),
        ] {
            let exit = load(line, &[]).unwrap_err();
            assert_eq!((exit.code, exit.stdout), (2, String::new()));
            let message = exit.stderr;
            assert!(
                message.starts_with("error: ") && message.contains(part),
                "{message}"
            );
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        for command in CLIENT_COMMANDS {
            let exit = load(&format!("{command} --help"), &[]).unwrap_err();
            assert_eq!((exit.code, exit.stderr), (0, String::new()));
            assert!(
                exit.stdout.contains(&format!("mles {command}")),
                "{}",
                exit.stdout
            );
            for line in exit.stdout.lines() {
                assert!(line.len() <= 100, "too long: {line}");
            }
        }
    }
}
