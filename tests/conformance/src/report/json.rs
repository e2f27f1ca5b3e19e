//! The report for programs.

use serde_json::{Value, json};

use super::{Report, Status};
use crate::case::{Stop, Verdict};
use crate::clause::Level;

/// The report as JSON. Its form is told in the README beside this crate.
#[must_use]
pub fn value(report: &Report) -> Value {
    let clauses: Vec<_> = report
        .clauses()
        .iter()
        .map(|found| {
            json!({
                "clause": found.clause.id,
                "level": found.clause.level.to_string(),
                "section": found.clause.section,
                "document": found.clause.document,
                "text": found.clause.text,
                "status": found.status.map(Status::word),
                "cases": found.verdicts.iter().map(|verdict| one(report, verdict)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let counts = |level: Level| {
        let count = |status: Status| report.count(level, status);
        json!({
            "pass": count(Status::Pass), "fail": count(Status::Fail),
            "inconclusive": count(Status::Inconclusive), "skip": count(Status::Skip),
        })
    };
    json!({
        "judge": concat!("mles-conformance ", env!("CARGO_PKG_VERSION")),
        "subject": report.subject,
        "command": report.command,
        "seconds": seconds(report.took),
        "exit_code": report.exit_code(),
        "summary": {
            "MUST": counts(Level::Must), "SHOULD": counts(Level::Should), "MAY": counts(Level::May),
        },
        "clauses": clauses,
    })
}

fn one(report: &Report, verdict: &Verdict) -> Value {
    let mut value = json!({
        "case": verdict.case.name,
        "title": verdict.case.title,
        "status": Status::of(&verdict.result).word(),
        "seconds": seconds(verdict.took),
        "again": report.command_for(&verdict.case),
        "transcript": verdict.transcript.iter().map(|line| json!({
            "at": seconds(line.at), "who": line.who, "way": line.way.to_string(), "what": line.what,
        })).collect::<Vec<_>>(),
    });
    match &verdict.result {
        Ok(()) => {}
        Err(Stop::Fail { expected, came }) => {
            value["expected"] = json!(expected);
            value["came"] = json!(came);
        }
        Err(Stop::Skip(why) | Stop::Inconclusive(why)) => value["why"] = json!(why),
    }
    value
}

/// To the millisecond.
fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
