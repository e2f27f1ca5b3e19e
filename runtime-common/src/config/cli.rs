//! The command line. Every option is optional and holds what was written: [`super::Layer`] merges, [`super`] checks,
//! so that all mistakes are told at once, with the name under which each value was given.

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, Args, Parser};

use super::Exit;

/// Mles v2 publish/subscribe server over TLS WebSockets.
#[derive(Parser)]
#[command(
    name = "mles",
    version,
    next_line_help = true,
    allow_negative_numbers = true,
    after_help = AFTER_HELP
)]
pub(super) struct Cli {
    /// Address to accept on: IPv4, or IPv6 in brackets, with a port of its own or that of --port.
    /// Repeatable; MLES_LISTEN takes a list separated by commas.
    /// [default: 127.0.0.1 and ::1; with --tls-cert all addresses, IPv6 and IPv4]
    #[arg(
        long,
        value_name = "ADDR[:PORT]",
        help_heading = "Address and certificate",
        verbatim_doc_comment
    )]
    pub(super) listen: Vec<OsString>,

    /// TCP port, 0 to 65535; 0 takes a free one. [default: 8077; with --tls-cert 443]
    #[arg(
        short,
        long,
        value_name = "PORT",
        help_heading = "Address and certificate"
    )]
    pub(super) port: Option<OsString>,

    /// Certificate chain, PEM, the server's own certificate first; needs --tls-key. Repeatable:
    /// clients get the first that is for the name they ask for, else the first of all.
    /// MLES_TLS_CERT and MLES_TLS_KEY take lists separated by commas. New files are taken in
    /// while the server runs, within seconds or at once on SIGHUP.
    /// Without it the server makes a certificate for this machine and accepts only from it.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Address and certificate",
        verbatim_doc_comment
    )]
    pub(super) tls_cert: Vec<OsString>,

    /// Private key of the certificate, PEM; needs --tls-cert. Repeatable, in the same
    /// order as the certificates.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Address and certificate",
        verbatim_doc_comment
    )]
    pub(super) tls_key: Vec<OsString>,

    /// File whose first line is the shared key that clients must prove to know.
    /// Or set MLES_KEY to the key itself; not both. [default: no key, everybody may join]
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Address and certificate",
        verbatim_doc_comment
    )]
    pub(super) key_file: Option<OsString>,

    /// Messages kept per channel; 0 keeps none, at most 1000000. [default: 200]
    #[arg(short, long, value_name = "N", help_heading = "History")]
    pub(super) limit: Option<OsString>,

    /// Bytes kept per channel; 0 keeps none, at most --history-bytes.
    /// [default: 8MiB, or a quarter of --history-bytes if that is less]
    #[arg(
        long,
        value_name = "SIZE",
        help_heading = "History",
        verbatim_doc_comment
    )]
    pub(super) history_channel_bytes: Option<OsString>,

    /// Bytes kept in all channels together; 0 keeps none, at most 1024GiB. [default: 64MiB]
    #[arg(long, value_name = "SIZE", help_heading = "History")]
    pub(super) history_bytes: Option<OsString>,

    /// Largest message in bytes, 4KiB to 1GiB; who sends a larger one is closed. [default: 16MiB]
    #[arg(long, value_name = "SIZE", help_heading = "Sessions")]
    pub(super) max_message: Option<OsString>,

    /// Bytes that wait for a session that reads slowly, 4KiB to 1GiB; with more it is lagging
    /// and gets nothing further. One message always fits into an empty outbox. [default: 1MiB]
    #[arg(
        long,
        value_name = "SIZE",
        help_heading = "Sessions",
        verbatim_doc_comment
    )]
    pub(super) outbox: Option<OsString>,

    /// Time to take the history on joining, 10ms to 1h. [default: 60s]
    #[arg(long, value_name = "TIME", help_heading = "Sessions")]
    pub(super) replay_timeout: Option<OsString>,

    /// Time for the TLS handshake, 10ms to 1h. [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Sessions")]
    pub(super) handshake_timeout: Option<OsString>,

    /// Time from the WebSocket upgrade to the first message, 10ms to 1h. [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "Sessions")]
    pub(super) header_timeout: Option<OsString>,

    /// Silence after which a session is pinged, 10ms to 1h; closed when the fourth ping
    /// would be due. [default: 24s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Sessions",
        verbatim_doc_comment
    )]
    pub(super) ping_interval: Option<OsString>,

    /// Time to answer when a second session with the same name wants to join, 10ms to 1h.
    /// [default: 5s]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Sessions",
        verbatim_doc_comment
    )]
    pub(super) probe_timeout: Option<OsString>,

    /// Sessions at once, 1 to 10000000; further ones are refused.
    /// [default: 0.8 of the descriptors that the process may open]
    #[arg(long, value_name = "N", help_heading = "Limits", verbatim_doc_comment)]
    pub(super) max_sessions: Option<OsString>,

    /// Connections at once that are not sessions (yet), 1 to 1000000; with more, the oldest one
    /// of the source that holds the most of them is closed. [default: 256]
    #[arg(
        short,
        long,
        value_name = "N",
        help_heading = "Limits",
        verbatim_doc_comment
    )]
    pub(super) filelimit: Option<OsString>,

    /// New connections a minute from one IPv4 address or IPv6 /64, checked before TLS;
    /// 0 is no limit, at most 1000000. [default: 0]
    #[arg(long, value_name = "N", help_heading = "Limits", verbatim_doc_comment)]
    pub(super) rate_limit: Option<OsString>,

    /// Connections at once from one IPv4 address or IPv6 /64, not counting this machine's own;
    /// 0 is no limit, at most 1000000. [default: 32]
    #[arg(long, value_name = "N", help_heading = "Limits", verbatim_doc_comment)]
    pub(super) per_ip_limit: Option<OsString>,

    /// Threads that serve connections, 1 to 64; mles-std has one for each connection in any case.
    /// [default: one for each core]
    #[arg(long, value_name = "N", help_heading = "Limits", verbatim_doc_comment)]
    pub(super) threads: Option<OsString>,

    /// Server to make a network with, to which this one connects: whoever is on a channel there
    /// gets what is sent here, and the other way round. Repeatable, at most 64, in order of
    /// preference: the next is tried when one is away. MLES_PEER takes a list separated by
    /// commas. [default: none]
    #[arg(
        long,
        value_name = "wss://HOST[:PORT]",
        help_heading = "Peering",
        verbatim_doc_comment
    )]
    pub(super) peer: Vec<OsString>,

    /// File with more such servers, one in a line, behind those of --peer; # begins a comment. A
    /// new list is taken in while the server runs, within seconds or at once on SIGHUP.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Peering",
        verbatim_doc_comment
    )]
    pub(super) peers_file: Option<OsString>,

    /// Page with still more such servers, in the form of --peers-file and behind those; fetched
    /// at the start, which does not wait for it, then once in --peers-url-interval and on SIGHUP.
    /// If that fails, the list from before stays in use. Its certificate may be of an authority
    /// that this machine trusts, or as --peer-ca and --peer-fingerprint say. [default: none]
    #[arg(
        long,
        value_name = "https://HOST[:PORT]/PATH",
        help_heading = "Peering",
        verbatim_doc_comment
    )]
    pub(super) peers_url: Option<OsString>,

    /// Time from one look at that page to the next, 1s to 24h; after one in vain 1s, and then
    /// twice as long each time. [default: 5m]
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Peering",
        verbatim_doc_comment
    )]
    pub(super) peers_url_interval: Option<OsString>,

    /// File whose first line is the key that the servers of one network prove to know, and trust
    /// each other with every channel; not the clients' key.
    /// Or set MLES_PEER_KEY to the key itself; not both. [default: no key, no peers are accepted]
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Peering",
        verbatim_doc_comment
    )]
    pub(super) peer_key_file: Option<OsString>,

    /// Accept peers without a key: whoever can connect can be one.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Peering"
    )]
    pub(super) open_peering: Option<OsString>,

    /// PEM file with the certificates of peers, or of the authorities that have signed them; read
    /// again for each dial. [default: the authorities that this machine trusts]
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Peering",
        verbatim_doc_comment
    )]
    pub(super) peer_ca: Option<OsString>,

    /// SHA-256 fingerprint of the certificate of a peer, as that prints it. Repeatable; with
    /// --peer-ca either is enough. MLES_PEER_FINGERPRINT takes a list separated by commas.
    #[arg(
        long,
        value_name = "SHA256",
        help_heading = "Peering",
        verbatim_doc_comment
    )]
    pub(super) peer_fingerprint: Vec<OsString>,

    /// Server without peering to be a client of, on each channel that is wanted here; with the
    /// clients' key, if there is one. One server of a network, not more, should have it. Its
    /// certificate may be of an authority that this machine trusts, or as --peer-ca and
    /// --peer-fingerprint say. Repeatable, at most 8.
    /// MLES_BRIDGE takes a list separated by commas. [default: none]
    #[arg(
        long,
        value_name = "wss://HOST[:PORT]",
        help_heading = "Peering",
        verbatim_doc_comment
    )]
    pub(super) bridge: Vec<OsString>,

    /// How log lines are written: text, or json for one object a line. [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Log")]
    pub(super) log_format: Option<OsString>,

    /// Address to serve metrics for Prometheus on, over plain HTTP at /metrics; with a port alone
    /// 127.0.0.1. Whoever can connect there can read them. [default port: 8078; default: none]
    #[arg(
        long,
        value_name = "ADDR[:PORT]",
        help_heading = "Operation",
        verbatim_doc_comment
    )]
    pub(super) metrics: Option<OsString>,

    /// TOML file with settings, named like the options without the dashes in front, such as
    /// history-bytes = "64MiB". Relative file names in it start from its directory.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Configuration file",
        verbatim_doc_comment
    )]
    pub(super) config: Option<OsString>,

    /// Print every value and where it comes from, and what the settings of peers come to; check
    /// the files that are named and whether the addresses can be listened on, and exit: with 0
    /// if the server can start with them, with 2 and a line for each mistake if not. A port in
    /// use is none: it gets a note, for the server may run already.
    #[arg(
        long,
        action = ArgAction::SetTrue,
        help_heading = "Configuration file",
        verbatim_doc_comment
    )]
    pub(super) check_config: bool,

    #[command(flatten)]
    unsupported: Unsupported,
}

const AFTER_HELP: &str = "\
SIZE is in bytes, or a whole number with KiB, MiB or GiB. TIME is in seconds, or a whole number
with ms, s, m or h.

Each option can be given as an environment variable too, such as MLES_HISTORY_BYTES for
--history-bytes, and in the configuration file. The option wins, then the variable, then the file.
An empty variable counts as not set, but an empty MLES_KEY or MLES_PEER_KEY is refused.
RUST_LOG sets what is logged: error, warn, info, debug or trace [default: info].

SIGTERM and SIGINT end the server, telling its clients, within 5 s. SIGUSR1 has it log a line of
numbers, as it does every hour. SIGHUP has it read the certificate files and the lists of peers
again.

/healthz answers 200, and 503 to who is connected already when the server ends. With peers it
says how many links there are, whether one is to an upstream, and how many lead to the root.

Memory has these bounds: --history-bytes; for messages on their way in, four times --max-message or,
if that is more, twice it for each thread; as much for those on their way out; for each session
about 11 kB, 45 kB while its socket is full; and for each link to another server, of which there are
64 at most, 4 MiB and a message that wait while it is slow.

mles talk, mles pub and mles sub are clients: mles talk --help says more.";

/// The names of the options that the public server has and this one has not yet.
pub(super) fn unsupported() -> Vec<String> {
    let command = <Cli as clap::CommandFactory>::command();
    let arguments = command.get_arguments();
    arguments
        .filter(|argument| argument.get_help_heading() == Some(UNSUPPORTED))
        .filter_map(|argument| argument.get_long().map(str::to_owned))
        .collect()
}

/// Why these options are refused, without the dashes, that the public server has; and what to do.
pub(super) fn not_supported_yet<'a>(mut options: impl Iterator<Item = &'a str>) -> &'static str {
    // Only those that get certificates have something in their place.
    if options.any(|option| ["domains", "email", "cache", "staging"].contains(&option)) {
        "not supported yet; leave out, and give your own certificate with --tls-cert and --tls-key"
    } else {
        "not supported yet; leave out"
    }
}

const UNSUPPORTED: &str = "Not supported yet";

/// What the public server has and this one has not yet: recognised, so that the refusal can say so.
#[derive(Args)]
#[command(next_help_heading = UNSUPPORTED)]
struct Unsupported {
    /// Names to get a certificate for.
    #[arg(short, long, value_name = "NAME")]
    domains: Vec<OsString>,

    /// Contact for the certificate authority.
    #[arg(short, long, value_name = "ADDRESS")]
    email: Vec<OsString>,

    /// Directory that keeps certificates.
    #[arg(short, long, value_name = "DIR")]
    cache: Option<OsString>,

    /// Directory of files to serve.
    #[arg(short, long, value_name = "DIR")]
    wwwroot: Option<OsString>,

    /// Use the certificate authority's staging environment.
    #[arg(short, long, action = ArgAction::SetTrue)]
    staging: bool,

    /// Redirect from port 80.
    #[arg(short, long, action = ArgAction::SetTrue)]
    redirect: bool,

    /// Size of the cache of compressed files, in MB.
    #[arg(short = 'C', long, value_name = "MB")]
    compression_cache: Option<OsString>,

    /// Reverse proxy rules.
    #[arg(short = 'P', long, value_name = "PREFIX=URL")]
    proxy: Vec<OsString>,

    /// Cross-origin headers on files.
    #[arg(long, action = ArgAction::SetTrue)]
    cors: bool,
}

impl Cli {
    /// Splits the command line into its options.
    ///
    /// # Errors
    /// `--help`, `--version`, and what is no command line at all, in one line.
    pub(super) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Cli, Exit> {
        parse(arguments)
    }

    /// The refusal of the options that are not there yet, if one was given.
    pub(super) fn refusal(&self) -> Option<String> {
        let it = &self.unsupported;
        let given: Vec<&str> = [
            (!it.domains.is_empty(), "--domains"),
            (!it.email.is_empty(), "--email"),
            (it.cache.is_some(), "--cache"),
            (it.wwwroot.is_some(), "--wwwroot"),
            (it.staging, "--staging"),
            (it.redirect, "--redirect"),
            (it.compression_cache.is_some(), "--compression-cache"),
            (!it.proxy.is_empty(), "--proxy"),
            (it.cors, "--cors"),
        ]
        .into_iter()
        .filter_map(|(given, name)| given.then_some(name))
        .collect();
        (!given.is_empty()).then(|| {
            let plain = given.iter().map(|name| name.trim_start_matches('-'));
            let why = not_supported_yet(plain);
            format!("{}: {why}", given.join(", "))
        })
    }
}

/// Splits a command line.
///
/// # Errors
/// `--help`, `--version`, and what is no command line at all, in one line.
pub(super) fn parse<T: Parser>(arguments: impl Iterator<Item = OsString>) -> Result<T, Exit> {
    let mut arguments = arguments.peekable();
    let mut command = T::command();
    // The same options in another program.
    let program = arguments.peek().map(Path::new).and_then(Path::file_name);
    if program.is_some_and(|name| name == STD) && command.get_name() == "mles" {
        command = command.name(STD);
    }
    let matches = command.try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| T::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let text = error.render().to_string();
        if error.use_stderr() {
            Exit::mistakes(&[one_line(&text)])
        } else {
            Exit {
                code: 0,
                stdout: text.trim_end().to_owned() + "\n",
                stderr: String::new(),
            }
        }
    })
}

/// The server on plain threads.
const STD: &str = "mles-std";

/// clap's first line and its tips, without the usage that follows.
fn one_line(rendered: &str) -> String {
    let mut lines = rendered.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let mut line = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    if line.ends_with(':') {
        // What is missing stands in lines of its own.
        let missing: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        line = format!("{line} {}", missing.join(", "));
    }
    for tip in lines.filter_map(|line| line.strip_prefix("tip: ")) {
        line.push_str("; ");
        line.push_str(tip);
    }
    line + "; --help lists the options"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Cli, Exit> {
        Cli::read(
            std::iter::once("mles")
                .chain(arguments.iter().copied())
                .map(OsString::from),
        )
    }

    #[test]
    fn is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_public_servers_flags_are_recognised() {
        let long = "--domains a --domains b --email e --cache c --wwwroot w --staging --redirect --compression-cache 9 --proxy p=u --cors";
        let short = "-d a -d b -e e -c c -w w -s -r -C 9 -P p=u --cors";
        for line in [long, short] {
            let cli = read(&line.split(' ').collect::<Vec<_>>())
                .unwrap_or_else(|exit| panic!("{}", exit.stderr));
            assert_eq!(
                cli.refusal().unwrap(),
                "--domains, --email, --cache, --wwwroot, --staging, --redirect, --compression-cache, --proxy, --cors: \
                 not supported yet; leave out, and give your own certificate with --tls-cert and --tls-key"
            );
        }
        let cli = read(&["-l", "5", "-f", "6", "-p", "7"])
            .unwrap_or_else(|exit| panic!("{}", exit.stderr));
        assert_eq!(cli.refusal(), None);
        assert_eq!(cli.limit.as_deref(), Some("5".as_ref()));
        assert_eq!(cli.filelimit.as_deref(), Some("6".as_ref()));
        assert_eq!(cli.port.as_deref(), Some("7".as_ref()));
    }

    #[test]
    fn usage_errors_are_one_line() {
        let cases = [
            (
                &["--limt", "5"][..],
                "error: unexpected argument '--limt' found; a similar argument exists: '--limit'; --help lists the options",
            ),
            (
                &["stray"],
                "error: unexpected argument 'stray' found; --help lists the options",
            ),
            (
                &["--limit"],
                "error: a value is required for '--limit <N>' but none was supplied; --help lists the options",
            ),
            (
                &["--port", "1", "-p", "2"],
                "error: the argument '--port <PORT>' cannot be used multiple times; --help lists the options",
            ),
            (
                &["--cors=yes"],
                "error: unexpected value 'yes' for '--cors' found; no more were expected; --help lists the options",
            ),
        ];
        for (arguments, message) in cases {
            let exit = read(arguments).err().unwrap();
            assert_eq!(
                exit,
                Exit {
                    code: 2,
                    stdout: String::new(),
                    stderr: format!("{message}\n"),
                }
            );
        }
    }

    #[test]
    fn version() {
        for flag in ["-V", "--version"] {
            assert_eq!(
                read(&[flag]).err().unwrap(),
                Exit {
                    code: 0,
                    stdout: concat!("mles ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
                    stderr: String::new(),
                }
            );
            let arguments = ["/usr/bin/mles-std", flag].map(OsString::from);
            let exit = parse::<Cli>(arguments.into_iter()).err().unwrap();
            let version = concat!("mles-std ", env!("CARGO_PKG_VERSION"), "\n");
            assert_eq!(exit.stdout, version);
        }
    }

    #[test]
    fn help_mentions_every_option_and_fits_a_terminal() {
        let short = read(&["-h"]).err().unwrap();
        let long = read(&["--help"]).err().unwrap();
        assert_eq!((long.code, &long.stderr[..]), (0, ""));
        assert_eq!(short.stdout, long.stdout);
        for argument in <Cli as clap::CommandFactory>::command().get_arguments() {
            let name = argument.get_long().unwrap();
            let (_, help) = long.stdout.split_once(&format!("--{name}")).unwrap();
            assert!(
                help.lines().nth(1).unwrap().trim().len() > 10,
                "--{name} has no help"
            );
        }
        for line in long.stdout.lines() {
            assert!(line.len() <= 100, "too long: {line}");
        }
    }
}
