//! `mles-conformance`: judges an implementation of Mles over the network.

#![expect(clippy::print_stdout, reason = "it prints what was asked for")]

use std::collections::HashSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use mles_conformance::report::terminal::Style;
use mles_conformance::report::{Report, Status, html, json, terminal};
use mles_conformance::wire::Trust;
use mles_conformance::{Case, Program, Run, Subject, Target, cases, clause, run};

/// Judges an implementation of Mles over the network, clause by clause of the specification.
///
/// A server is given by its URL. A client is given as a command, which is run for each case: it is to connect to
/// $MLES_URL as $MLES_UID on $MLES_CHANNEL, with the key $MLES_KEY if there is one, trusting the certificate in the file
/// $MLES_CA; to send each line of its input as a text message; and to print each message that it receives as a line.
///
/// How a server dials others is judged by itself: it too is given as a command, which is run for each case. It is to listen
/// on $MLES_LISTEN, with the clients' key $MLES_KEY if there is one, and to have the peers in $MLES_PEER, with the key
/// $MLES_PEER_KEY, and bridges to the servers in $MLES_BRIDGE: lists of URLs separated by commas, which may be empty; and to
/// trust the certificate in the file $MLES_PEER_CA.
///
/// Exit status: 0 if every MUST that was tried is kept, 1 if one is not, 2 if there was nothing to judge, 3 if of some
/// MUSTs it cannot be said.
#[derive(Debug, Parser)]
#[command(name = "mles-conformance", version)]
struct Options {
    /// The server: wss://host:port
    #[arg(required_unless_present_any = ["list", "client", "dialer"], conflicts_with_all = ["client", "dialer"])]
    server: Option<String>,
    /// Judge a client: the command that runs it, for the shell
    #[arg(long, value_name = "COMMAND")]
    client: Option<String>,
    /// Judge how a server dials its peers and bridges: the command that runs it, for the shell
    #[arg(long, value_name = "COMMAND", conflicts_with = "client")]
    dialer: Option<String>,
    /// A file with the key of the server's clients, if it has one
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// A file with the key of the server's peers: judge it as a server that takes peers, too
    #[arg(long, value_name = "FILE", conflicts_with = "peering")]
    peer_key_file: Option<PathBuf>,
    /// The server takes peers without a key: judge that too
    #[arg(long)]
    peering: bool,
    /// Take any certificate
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Trust the certificates in this file (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Judge only these: a letter, group, clause or case, such as J, J2, J2.1 or J2.1/oldest-first (may be repeated)
    #[arg(long, value_name = "WHICH")]
    only: Vec<String>,
    /// What the server is configured to, named as its options: limit=100, ping-interval=2s (may be repeated)
    #[arg(long, value_name = "LIMIT=VALUE")]
    set: Vec<String>,
    /// Also cases that take longer than 30 s
    #[arg(long)]
    slow: bool,
    /// Also cases that disturb the server's other users: not for a server that somebody uses
    #[arg(long)]
    disruptive: bool,
    /// A command that makes the server shut down, for the cases about that; they run last
    #[arg(long, value_name = "COMMAND")]
    shutdown_command: Option<String>,
    /// How many connections there may be at a time [default: 24; 48 to a server on this machine]
    #[arg(long, value_name = "COUNT")]
    connections: Option<usize>,
    /// How long what has to happen at once may take, in seconds; less than the probe's timeout
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    patience: f32,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as a page for a browser to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Show what was sent and what came for every case, not only for those that failed
    #[arg(long)]
    verbose: bool,
    /// List the clauses and their cases, and why clauses have none
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        return match list(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error.to_string()),
        };
    }
    match judge(&options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => complain(&error),
    }
}

#[expect(clippy::print_stderr, reason = "it is an error")]
fn complain(error: &str) -> ExitCode {
    eprintln!("mles-conformance: {error}");
    ExitCode::from(2)
}

/// The cases that are meant, of those that this keeps.
fn chosen(only: &[String], keeps: impl Fn(&Case) -> bool) -> Result<Vec<Case>, String> {
    let mut all = cases::all();
    all.retain(keeps);
    let mut meant = HashSet::new();
    for selection in only {
        let cases = cases::meant_by(&all, selection);
        if cases.is_empty() {
            return Err(format!(
                "--only {selection}: there is no such case; --list shows them all"
            ));
        }
        meant.extend(cases.into_iter().map(|case| case.name));
    }
    if !only.is_empty() {
        all.retain(|case| meant.contains(&case.name));
    }
    Ok(all)
}

fn target(options: &Options, server: &str) -> Result<Target, String> {
    let mut again = Vec::new();
    let trust = match &options.ca {
        Some(file) => {
            again.push(format!("--ca {}", file.display()));
            Trust::File(file.clone())
        }
        None if options.insecure => {
            again.push("--insecure".into());
            Trust::Anyone
        }
        None => Trust::System,
    };
    let mut target = Target::new(server, trust)?;
    if let Some(file) = &options.key_file {
        target.key = Some(key(file)?);
        again.push(format!("--key-file {}", file.display()));
    }
    if let Some(file) = &options.peer_key_file {
        target.peer_key = Some(key(file)?);
        again.push(format!("--peer-key-file {}", file.display()));
    } else if options.peering {
        target.peer_key = Some(String::new());
        again.push("--peering".into());
    }
    for limit in &options.set {
        target.limits.set(limit)?;
        again.push(format!("--set {limit}"));
    }
    if let Some(command) = &options.shutdown_command {
        target.shutdown = Some(command.clone());
        again.push(format!("--shutdown-command '{command}'"));
    }
    target.patience = patience(options)?;
    again.extend(common(options));
    target.options = again;
    Ok(target)
}

fn program(options: &Options, command: &str) -> Result<Program, String> {
    let mut program = Program::new(command);
    program.patience = patience(options)?;
    program.options = common(options);
    Ok(program)
}

fn patience(options: &Options) -> Result<Duration, String> {
    let patience = Duration::try_from_secs_f32(options.patience);
    patience.map_err(|error| format!("--patience: {error}"))
}

/// What has to be said again to judge a client or a server in the same way.
fn common(options: &Options) -> Vec<String> {
    [
        (options.slow, "--slow"),
        (options.disruptive, "--disruptive"),
    ]
    .iter()
    .filter(|(given, _)| *given)
    .map(|(_, option)| (*option).to_owned())
    .collect()
}

/// The key in a file: its first line.
fn key(file: &PathBuf) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
    let key = text.lines().next().unwrap_or_default();
    match key.is_empty() {
        true => Err(format!("{}: there is no key in it", file.display())),
        false => Ok(key.to_owned()),
    }
}

fn judge(options: &Options) -> Result<u8, String> {
    let subject = match (&options.client, &options.dialer) {
        (Some(command), _) => Subject::Client(Arc::new(program(options, command)?)),
        (None, Some(command)) => Subject::Dialer(Arc::new(program(options, command)?)),
        (None, None) => {
            let server = options.server.as_deref().unwrap_or_default();
            let target = target(options, server)?;
            // Nothing can be judged where nobody answers.
            drop(target.connect()?);
            Subject::Server(Arc::new(target))
        }
    };
    let cases = chosen(&options.only, |case| is_about(options, case))?;
    let usual = match &subject {
        Subject::Server(target) if target.is_near() => 48,
        Subject::Server(_) | Subject::Client(_) | Subject::Dialer(_) => 24,
    };
    let how = Run {
        connections: options.connections.unwrap_or(usual).max(1),
        longest: (!options.slow).then_some(Duration::from_secs(30)),
        disruptive: options.disruptive,
    };
    let began = Instant::now();
    let mut verdicts = Vec::new();
    let progress = io::stderr().is_terminal();
    let (count, mut failed) = (cases.len(), 0);
    run(&subject, &cases, how, |verdict| {
        failed += usize::from(Status::of(&verdict.result) == Status::Fail);
        verdicts.push(verdict);
        if progress {
            let done = verdicts.len();
            let _ = write!(io::stderr(), "\r{done} of {count} cases, {failed} failed ");
        }
    });
    if progress {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    let report = Report::new(&subject, verdicts, began.elapsed());
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let style = Style {
        colour,
        verbose: options.verbose,
    };
    let written = terminal::write(&report, style, &mut io::stdout().lock());
    written.map_err(|error| error.to_string())?;
    if let Some(file) = &options.json {
        save(file, &format!("{:#}\n", json::value(&report)))?;
    }
    if let Some(file) = &options.html {
        save(file, &html::page(&report))?;
    }
    Ok(report.exit_code())
}

/// Whether a case is about what is to be judged.
fn is_about(options: &Options, case: &Case) -> bool {
    case.is_about_clients() == options.client.is_some()
        && case.is_about_dialers() == options.dialer.is_some()
}

fn save(file: &PathBuf, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn list(options: &Options) -> Result<(), String> {
    let only = &options.only;
    let all = options.client.is_none() && options.dialer.is_none();
    let cases = chosen(only, |case| all || is_about(options, case))?;
    for clause in clause::all() {
        let of_it: Vec<_> = cases
            .iter()
            .filter(|case| case.clause_id() == clause.id)
            .collect();
        let why = mles_conformance::report::why_unjudged(clause.id);
        if of_it.is_empty() && (!only.is_empty() || why.is_none()) {
            continue;
        }
        println!("{:<6} {:<6} {}", clause.id, clause.level, clause.text);
        for case in of_it {
            println!("         {}: {}", case.name, case.title);
        }
        if let Some(why) = why {
            println!("         no case: {why}");
        }
    }
    Ok(())
}
