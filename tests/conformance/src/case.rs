//! A case: something that is done to an implementation to see whether it keeps a clause.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clause::{self, Clause};
use crate::transcript::Line;
use crate::{Bench, Limits, Site, Stand};

/// Why a case has not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The implementation did something else than the clause says.
    Fail {
        /// What the clause says.
        expected: String,
        /// What it did.
        came: String,
    },
    /// The case does not apply, and why.
    Skip(String),
    /// It cannot be said, and why: the judge did not get as far.
    Inconclusive(String),
}

impl Stop {
    /// A failure.
    pub fn fail(expected: impl Into<String>, came: impl Into<String>) -> Self {
        Self::Fail {
            expected: expected.into(),
            came: came.into(),
        }
    }

    /// The same where it is not what the case is about: what was missed on the way.
    #[must_use]
    pub fn on_the_way(self) -> Self {
        match &self {
            Self::Fail { expected, came } => Self::Inconclusive(format!(
                "did not get as far: expected {expected}; came: {came}"
            )),
            Self::Skip(_) | Self::Inconclusive(_) => self,
        }
    }
}

/// What a case comes to.
pub type Judged<T = ()> = Result<T, Stop>;

/// What of a case the runner has to know beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Company {
    /// It does not mind others, and they do not mind it.
    Any,
    /// It is about times or amounts that others would blur, or it would slow them down: it runs by itself.
    Alone,
    /// It changes what the server is to everybody, others included: it runs by itself, after those, and only if it is
    /// asked for.
    Disruptive,
    /// The server is gone afterwards.
    Last,
}

/// Something that is done to a server, and what the clause says of it.
#[derive(Clone)]
pub struct Case {
    /// The id of the clause, a slash, and what is special: `J2.1/oldest-first`.
    pub name: String,
    /// What has to be, in a sentence.
    pub title: String,
    /// How long it takes at least, if the server is right.
    pub lasts: fn(&Limits) -> Duration,
    /// How many connections it has at most at a time.
    pub connections: usize,
    /// Whether others may run at the same time.
    pub company: Company,
    procedure: Procedure,
}

/// What is done, and to whom.
#[derive(Clone)]
pub(crate) enum Procedure {
    /// To a server.
    Server(Arc<dyn Fn(&mut Bench) -> Judged + Send + Sync>),
    /// To a client.
    Client(Arc<dyn Fn(&mut Stand) -> Judged + Send + Sync>),
    /// To a server that dials.
    Dialer(Arc<dyn Fn(&mut Site) -> Judged + Send + Sync>),
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A case with this name, this sentence and this procedure.
pub(crate) fn case(
    name: impl Into<String>,
    title: impl Into<String>,
    run: impl Fn(&mut Bench) -> Judged + Send + Sync + 'static,
) -> Case {
    Case {
        name: name.into(),
        title: title.into(),
        lasts: |_| Duration::ZERO,
        connections: 3,
        company: Company::Any,
        procedure: Procedure::Server(Arc::new(run)),
    }
}

/// The same for a client.
pub(crate) fn client_case(
    name: impl Into<String>,
    title: impl Into<String>,
    run: impl Fn(&mut Stand) -> Judged + Send + Sync + 'static,
) -> Case {
    Case {
        procedure: Procedure::Client(Arc::new(run)),
        ..case(name, title, |_| Ok(()))
    }
}

/// The same for a server that dials.
pub(crate) fn dialer_case(
    name: impl Into<String>,
    title: impl Into<String>,
    run: impl Fn(&mut Site) -> Judged + Send + Sync + 'static,
) -> Case {
    Case {
        procedure: Procedure::Dialer(Arc::new(run)),
        ..case(name, title, |_| Ok(()))
    }
}

impl Case {
    /// The same, which takes at least this long.
    pub(crate) fn lasts(mut self, lasts: fn(&Limits) -> Duration) -> Self {
        self.lasts = lasts;
        self
    }

    /// The same with so many connections at a time, if they are not three.
    pub(crate) fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The same in this company.
    pub(crate) fn company(mut self, company: Company) -> Self {
        self.company = company;
        self
    }

    /// The id of its clause.
    #[must_use]
    pub fn clause_id(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Its clause.
    ///
    /// # Panics
    /// There is no such clause, which a test excludes.
    #[must_use]
    pub fn clause(&self) -> &'static Clause {
        clause::find(self.clause_id())
            .unwrap_or_else(|| panic!("{} is about no clause of the specification", self.name))
    }

    /// Whether a selection such as `J`, `J2`, `J2.1` or `J2.1/oldest-first` means it. Which names
    /// there are it does not know: [`crate::cases::meant_by`] does.
    #[must_use]
    pub fn is_meant_by(&self, selection: &str) -> bool {
        let Some(rest) = self.name.strip_prefix(selection) else {
            return false;
        };
        let whole = !selection.ends_with(|last: char| last.is_ascii_digit());
        whole || !rest.starts_with(|next: char| next.is_ascii_digit())
    }

    /// Whether it judges a client, not a server.
    #[must_use]
    pub fn is_about_clients(&self) -> bool {
        matches!(self.procedure, Procedure::Client(_))
    }

    /// Whether it judges what a server does that dials, and needs it to be started.
    #[must_use]
    pub fn is_about_dialers(&self) -> bool {
        matches!(self.procedure, Procedure::Dialer(_))
    }

    /// Whether it is about links, and so says nothing of a server that takes no peers. (O1.5 does.)
    #[must_use]
    pub fn needs_peers(&self) -> bool {
        let clause = self.clause();
        clause.document == "peering.md" && clause.id != "O1.5"
    }

    pub(crate) fn procedure(&self) -> &Procedure {
        &self.procedure
    }
}

/// What a case has come to, and how.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The case.
    pub case: Case,
    /// What it has come to.
    pub result: Judged,
    /// What was sent and what came.
    pub transcript: Vec<Line>,
    /// How long it took.
    pub took: Duration,
}

#[cfg(test)]
mod tests {

    #[test]
    fn a_selection_means_whole_numbers() {
        let case = super::case("J1.1/waits", "", |_| Ok(()));
        for meant in ["J", "J1", "J1.", "J1.1", "J1.1/", "J1.1/waits"] {
            assert!(case.is_meant_by(meant), "{meant}");
        }
        let longer = super::case("J1.10/x", "", |_| Ok(()));
        assert!(!longer.is_meant_by("J1.1"));
        assert!(!case.is_meant_by("J2"));
        assert!(!case.is_meant_by("1.1"));
    }
}
