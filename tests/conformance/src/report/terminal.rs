//! The report for a terminal.

use std::io::{self, Write};

use super::{Found, Report, Status};
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
    let clauses = report.clauses();
    for section in clauses.chunk_by(|one, next| one.clause.section == next.clause.section) {
        writeln!(out, "\n{}", section[0].clause.section)?;
        let is_skipped = |found: &Found<'_>| found.status == Some(Status::Skip);
        if section.iter().all(is_skipped) && !style.verbose {
            let sign = style.paint(Status::Skip, sign(Status::Skip));
            writeln!(out, "  {sign} not tried")?;
            continue;
        }
        for found in section {
            write_found(report, found, style, out)?;
        }
    }
    write_summary(report, style, out)
}

/// One line for a clause, and what there is to be told of its cases.
fn write_found(
    report: &Report,
    found: &Found<'_>,
    style: Style,
    out: &mut impl Write,
) -> io::Result<()> {
    let Some(status) = found.status else {
        return Ok(());
    };
    let of = |wanted: Status| {
        let verdicts = found.verdicts.iter();
        verdicts
            .filter(|verdict| Status::of(&verdict.result) == wanted)
            .count()
    };
    let count = found.verdicts.len();
    let tried = count - of(Status::Skip);
    let mut told = match (status, tried) {
        (Status::Skip, _) => "not tried".to_owned(),
        (Status::Pass, 1) if count == 1 => found.verdicts[0].case.title.clone(),
        (Status::Pass, 1) => "1 case".to_owned(),
        (Status::Pass, _) => format!("{tried} cases"),
        (Status::Fail | Status::Inconclusive, _) => {
            format!("{} of {tried} passed", of(Status::Pass))
        }
    };
    if tried > 0 && tried < count {
        told.push_str(&format!(", {} not tried", count - tried));
    }
    let sign = style.paint(status, sign(status));
    let (id, level) = (found.clause.id, found.clause.level);
    writeln!(out, "  {sign} {id:<6} {level:<6} {told}")?;
    for verdict in &found.verdicts {
        let is_told = match Status::of(&verdict.result) {
            Status::Fail | Status::Inconclusive => true,
            Status::Pass | Status::Skip => style.verbose,
        };
        if is_told {
            write_verdict(report, verdict, style, out)?;
        }
    }
    Ok(())
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
    write_left_out(report, style, out)?;
    write_wrong(report, style, out)?;
    let verdict = match report.exit_code() {
        0 => style.paint(Status::Pass, "every MUST that was tried is kept"),
        1 => style.paint(Status::Fail, "not conforming: a MUST is not kept"),
        _ => style.paint(Status::Inconclusive, "of some MUSTs it cannot be said"),
    };
    writeln!(out, "{verdict}")
}

/// What was not tried, and why.
fn write_left_out(report: &Report, style: Style, out: &mut impl Write) -> io::Result<()> {
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for verdict in &report.verdicts {
        let Err(Stop::Skip(why)) = &verdict.result else {
            continue;
        };
        match reasons.iter_mut().find(|(reason, _)| reason == why) {
            Some((_, count)) => *count += 1,
            None => reasons.push((why, 1)),
        }
    }
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (why, count) in reasons {
        let told = format!("not tried: {count:>3}: {why}");
        writeln!(out, "{}", style.paint(Status::Skip, &told))?;
    }
    Ok(())
}

/// The names of what has not passed, once more: they stand far above.
fn write_wrong(report: &Report, style: Style, out: &mut impl Write) -> io::Result<()> {
    for status in [Status::Inconclusive, Status::Fail] {
        let verdicts = report.verdicts.iter();
        for verdict in verdicts.filter(|verdict| Status::of(&verdict.result) == status) {
            let level = verdict.case.clause().level;
            let told = format!("{} {} ({level})", sign(status), verdict.case.name);
            writeln!(out, "{}", style.paint(status, &told))?;
        }
    }
    Ok(())
}
