//! What a run has come to: for a terminal, for programs, for a browser.

pub mod html;
pub mod json;
pub mod terminal;

use crate::case::{Case, Stop, Verdict};
use crate::clause::{self, Clause, Level};
use crate::{Judged, Subject, cases};

/// All verdicts of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was judged, for a person.
    pub subject: String,
    /// The command that repeats it, without a selection.
    pub command: String,
    /// The verdicts, in the order of the clauses.
    pub verdicts: Vec<Verdict>,
    /// How long it took.
    pub took: std::time::Duration,
}

/// What a verdict says in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// It does not apply, or was not tried.
    Skip,
    /// As the clause says.
    Pass,
    /// It cannot be said.
    Inconclusive,
    /// Not as the clause says.
    Fail,
}

impl Status {
    /// The status of a result.
    #[must_use]
    pub fn of(result: &Judged) -> Self {
        match result {
            Ok(()) => Self::Pass,
            Err(Stop::Fail { .. }) => Self::Fail,
            Err(Stop::Skip(_)) => Self::Skip,
            Err(Stop::Inconclusive(_)) => Self::Inconclusive,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

/// What was found of one clause.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The clause.
    pub clause: &'static Clause,
    /// The worst of its verdicts; none if it has no case.
    pub status: Option<Status>,
    /// Its verdicts.
    pub verdicts: Vec<&'a Verdict>,
}

impl Report {
    /// A report of these verdicts, whatever their order.
    #[must_use]
    pub fn new(subject: &Subject, mut verdicts: Vec<Verdict>, took: std::time::Duration) -> Self {
        verdicts.sort_by_key(|verdict| {
            let case = &verdict.case;
            (clause::rank(case.clause_id()), case.name.clone())
        });
        Self {
            subject: subject.name().to_owned(),
            command: format!("mles-conformance {}", subject.options()),
            verdicts,
            took,
        }
    }

    /// The command line that repeats one case.
    #[must_use]
    pub fn command_for(&self, case: &Case) -> String {
        format!("{} --only {}", self.command, case.name)
    }

    /// The clauses that were judged, with what was found.
    #[must_use]
    pub fn clauses(&self) -> Vec<Found<'_>> {
        let mut found: Vec<Found<'_>> = Vec::new();
        for verdict in &self.verdicts {
            let clause = verdict.case.clause();
            let status = Status::of(&verdict.result);
            match found.last_mut() {
                Some(last) if last.clause.id == clause.id => {
                    last.status = last.status.max(Some(status));
                    last.verdicts.push(verdict);
                }
                _ => found.push(Found {
                    clause,
                    status: Some(status),
                    verdicts: vec![verdict],
                }),
            }
        }
        found
    }

    /// How many cases of this level have come to this.
    #[must_use]
    pub fn count(&self, level: Level, status: Status) -> usize {
        let counted = |verdict: &&Verdict| {
            verdict.case.clause().level == level && Status::of(&verdict.result) == status
        };
        self.verdicts.iter().filter(counted).count()
    }

    /// 0 if every MUST that was tried is kept; 1 if one is not; 3 if of one it cannot be said.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.count(Level::Must, Status::Fail) > 0 {
            1
        } else if self.count(Level::Must, Status::Inconclusive) > 0
            || self.count(Level::Must, Status::Pass) == 0
        {
            3
        } else {
            0
        }
    }
}

/// Why a clause has no case, if it has none.
#[must_use]
pub fn why_unjudged(id: &str) -> Option<&'static str> {
    let found = cases::UNJUDGED.iter().find(|(clause, _)| *clause == id);
    found.map(|(_, why)| *why)
}
