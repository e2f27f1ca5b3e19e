//! What is judged: a server, or a client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{Limits, Target};

/// What is judged.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A server, to which the judge is a client or a peer.
    Server(Arc<Target>),
    /// A client, to which the judge is a server.
    Client(Arc<Program>),
}

impl Subject {
    /// What it is configured to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        match self {
            Self::Server(target) => &target.limits,
            Self::Client(program) => &program.limits,
        }
    }

    /// What it is, for a person.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Server(target) => &target.url,
            Self::Client(program) => &program.command,
        }
    }

    /// The options of the judge that mean it.
    #[must_use]
    pub fn options(&self) -> String {
        match self {
            Self::Server(target) => {
                let options = target.options.iter().map(|option| format!(" {option}"));
                format!("{}{}", target.url, options.collect::<String>())
            }
            Self::Client(program) => {
                let quoted = program.command.replace('\'', r"'\''");
                let options = program.options.iter().map(|option| format!(" {option}"));
                format!("--client '{quoted}'{}", options.collect::<String>())
            }
        }
    }
}

/// A client, as a command that the shell runs.
#[derive(Debug)]
pub struct Program {
    /// The command.
    pub command: String,
    /// How long what has to happen at once may take.
    pub patience: Duration,
    /// What the judge's server is configured to, as a client may know it: the defaults.
    pub limits: Limits,
    /// The options that say all this, to be repeated.
    pub options: Vec<String>,
    /// Where the client is sent instead of to the judge's address, and whom it has to trust: something in between that a
    /// test has put there.
    pub via: Option<fn(SocketAddr) -> (SocketAddr, PathBuf)>,
}

impl Program {
    /// A client that is run by this command.
    #[must_use]
    pub fn new(command: &str) -> Self {
        Self {
            command: command.to_owned(),
            patience: Duration::from_secs(4),
            limits: Limits::default(),
            options: Vec::new(),
            via: None,
        }
    }
}
