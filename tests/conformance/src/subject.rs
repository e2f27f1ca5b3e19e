//! What is judged: a server, a client, or a server that dials.

use std::fmt;
use std::net::SocketAddr;
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
    /// A server that dials: the judge is its peers, and the servers that it is bridged to.
    Dialer(Arc<Program>),
}

impl Subject {
    /// What it is configured to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        match self {
            Self::Server(target) => &target.limits,
            Self::Client(program) | Self::Dialer(program) => &program.limits,
        }
    }

    /// What it is, for a person.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Server(target) => &target.url,
            Self::Client(program) | Self::Dialer(program) => &program.command,
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
            Self::Client(program) => program.again("--client"),
            Self::Dialer(program) => program.again("--dialer"),
        }
    }
}

/// A client, or a server that dials, as a command that the shell runs.
pub struct Program {
    /// The command.
    pub command: String,
    /// How long what has to happen at once may take.
    pub patience: Duration,
    /// What the judge's server is configured to, as a client may know it: the defaults.
    pub limits: Limits,
    /// The options that say all this, to be repeated.
    pub options: Vec<String>,
    /// Gives the address that the client is sent to instead of the judge's: something in between.
    pub via: Option<Via>,
}

/// Gives an address at which there is something between a client and this address.
pub type Via = Box<dyn Fn(SocketAddr) -> SocketAddr + Send + Sync>;

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.command).finish()
    }
}

impl Program {
    /// What is run by this command.
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

    /// The options that mean it, with this one for its command.
    fn again(&self, option: &str) -> String {
        let quoted = self.command.replace('\'', r"'\''");
        let options = self.options.iter().map(|option| format!(" {option}"));
        format!("{option} '{quoted}'{}", options.collect::<String>())
    }
}
