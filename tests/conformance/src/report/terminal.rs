//! The report for a terminal.

use std::io::{self, Write};

use super::{Report, Status};
use crate::case::{Stop, Verdict};
use crate::clause::Level;

/// How it is written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// Transcripts of all cases, not only of those that have failed.
    pub verbose: bool,
}

impl Style {
    fn paint(self, status: Status, text: &str) -> String {
        let code = match status {
            Status::Pass => "32",
            Status::Fail => "1;31",
            Status::Inconclusive => "33",
            Status::Skip => "2",
        };
        match self.colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// The sign of a status.
fn sign(status: Status) -> &'static str {
    match status {
        Status::Pass => "✓",
        Status::Fail => "✗",
        Status::Inconclusive => "?",
        Status::Skip => "–",
    }
}

/// Writes the report.
///
/// # Errors
/// It cannot be written.
pub fn write(report: &Report, style: Style, out: &mut impl Write) -> io::Result<()> {
    let mut section = "";
    for found in report.clauses() {
        if found.clause.section != section {
            section = found.clause.section;
            writeln!(out, "\n{section}")?;
        }
        let passed = found
            .verdicts
            .iter()
            .filter(|verdict| verdict.result.is_ok())
            .count();
        let Some(status) = found.status else { continue };
        let sign = style.paint(status, sign(status));
        let id = found.clause.id;
        let level = found.clause.level;
        // One line for a clause whose cases have all passed, or none was tried.
        let all_alike = found
            .verdicts
            .iter()
            .all(|verdict| Status::of(&verdict.result) == status);
        let count = found.verdicts.len();
        match (status, count) {
            (Status::Pass, 1) => {
                let title = &found.verdicts[0].case.title;
                writeln!(out, "  {sign} {id:<6} {level:<6} {title}")?;
            }
            (Status::Pass, _) if all_alike => {
                writeln!(out, "  {sign} {id:<6} {level:<6} {count} cases")?;
            }
            _ => {
                writeln!(
                    out,
                    "  {sign} {id:<6} {level:<6} {passed} of {count} passed"
                )?;
                for verdict in &found.verdicts {
                    if verdict.result.is_err() {
                        write_verdict(report, verdict, style, out)?;
                    }
                }
            }
        }
        if style.verbose {
            for verdict in found
                .verdicts
                .iter()
                .filter(|verdict| verdict.result.is_ok())
            {
                write_verdict(report, verdict, style, out)?;
            }
        }
    }
    write_summary(report, style, out)
}

/// Writes one verdict with what led to it.
///
/// # Errors
/// It cannot be written.
pub fn write_verdict(
    report: &Report,
    verdict: &Verdict,
    style: Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let status = Status::of(&verdict.result);
    let sign = style.paint(status, sign(status));
    let case = &verdict.case;
    writeln!(out, "      {sign} {}: {}", case.name, case.title)?;
    match &verdict.result {
        Ok(()) => {}
        Err(Stop::Fail { expected, came }) => {
            writeln!(out, "          expected  {expected}")?;
            writeln!(out, "          came      {came}")?;
        }
        Err(Stop::Skip(why)) => return writeln!(out, "          skipped: {why}"),
        Err(Stop::Inconclusive(why)) => writeln!(out, "          inconclusive: {why}")?,
    }
    for line in &verdict.transcript {
        writeln!(out, "          {line}")?;
    }
    writeln!(out, "          again: {}", report.command_for(case))
}

fn write_summary(report: &Report, style: Style, out: &mut impl Write) -> io::Result<()> {
    writeln!(out)?;
    for level in [Level::Must, Level::Should, Level::May] {
        let count = |status| report.count(level, status);
        let parts = [
            Status::Pass,
            Status::Fail,
            Status::Inconclusive,
            Status::Skip,
        ]
        .map(|status| (status, count(status)));
        if parts.iter().all(|(_, count)| *count == 0) {
            continue;
        }
        write!(out, "{level:<7}")?;
        for (status, count) in parts {
            let text = format!("{count} {}", status.word());
            let shown = if count == 0 && status != Status::Pass {
                Status::Skip
            } else {
                status
            };
            write!(out, "  {}", style.paint(shown, &text))?;
        }
        writeln!(out)?;
    }
    let seconds = report.took.as_secs_f32();
    let clauses = report.clauses().len();
    let count = report.verdicts.len();
    writeln!(
        out,
        "{} cases about {clauses} clauses in {seconds:.1} s: {}",
        count, report.subject
    )?;
    let verdict = match report.exit_code() {
        0 => style.paint(Status::Pass, "every MUST that was tried is kept"),
        1 => style.paint(Status::Fail, "not conforming: a MUST is not kept"),
        _ => style.paint(Status::Inconclusive, "of some MUSTs it cannot be said"),
    };
    writeln!(out, "{verdict}")
}
