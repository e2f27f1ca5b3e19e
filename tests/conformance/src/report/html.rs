//! The report as a page that needs nothing besides itself.

use std::fmt::Write as _;

use super::{Report, Status};
use crate::case::{Stop, Verdict};
use crate::clause::Level;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    let subject = escape(&report.subject);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Mles conformance: {subject}</title>\n<style>\n{STYLE}</style>\n\
         <h1>Mles conformance</h1>\n<p class=\"subject\">{subject}</p>\n"
    );
    summary(&mut page, report);
    page.push_str(
        "<p class=\"filter\">Show \
         <button data-show=\"all\" aria-pressed=\"true\">all</button> \
         <button data-show=\"fail\">failed</button> \
         <button data-show=\"inconclusive\">inconclusive</button> \
         <button data-show=\"skip\">skipped</button></p>\n",
    );
    let mut section = "";
    for found in report.clauses() {
        if found.clause.section != section {
            section = found.clause.section;
            let _ = writeln!(page, "<h2>{}</h2>", escape(section));
        }
        let status = found.status.map_or("skip", Status::word);
        let statuses: Vec<_> = found
            .verdicts
            .iter()
            .map(|verdict| Status::of(&verdict.result).word())
            .collect();
        let open = if status == "fail" { " open" } else { "" };
        let id = found.clause.id;
        let _ = write!(
            page,
            "<details class=\"clause {status}\" id=\"{id}\" data-has=\"{}\"{open}>\n\
             <summary><b>{status}</b> <span class=\"id\">{id}</span> <i>{}</i> {}</summary>\n",
            statuses.join(" "),
            found.clause.level,
            marked(&found.clause.text),
        );
        for verdict in &found.verdicts {
            one(&mut page, report, verdict);
        }
        page.push_str("</details>\n");
    }
    let _ = writeln!(
        page,
        "<footer>{} {}, {:.1} s</footer>\n<script>\n{SCRIPT}</script>",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        report.took.as_secs_f32()
    );
    page
}

fn summary(page: &mut String, report: &Report) {
    let verdict = match report.exit_code() {
        0 => ("pass", "Every MUST that was tried is kept."),
        1 => ("fail", "Not conforming: a MUST is not kept."),
        _ => ("inconclusive", "Of some MUSTs it cannot be said."),
    };
    let _ = write!(
        page,
        "<p class=\"verdict {}\">{}</p>\n<table class=\"summary\">\n\
         <tr><th><th>passed<th>failed<th>inconclusive<th>skipped\n",
        verdict.0, verdict.1
    );
    for level in [Level::Must, Level::Should, Level::May] {
        let _ = write!(page, "<tr><th>{level}");
        for status in [
            Status::Pass,
            Status::Fail,
            Status::Inconclusive,
            Status::Skip,
        ] {
            let count = report.count(level, status);
            let class = if count == 0 { "none" } else { status.word() };
            let _ = write!(page, "<td class=\"{class}\">{count}");
        }
        page.push('\n');
    }
    page.push_str("</table>\n");
}

fn one(page: &mut String, report: &Report, verdict: &Verdict) {
    let status = Status::of(&verdict.result).word();
    let case = &verdict.case;
    let open = if status == "fail" { " open" } else { "" };
    let _ = writeln!(
        page,
        "<details class=\"case {status}\" data-status=\"{status}\"{open}><summary><b>{status}</b> \
         <span class=\"id\">{}</span> {}</summary>",
        escape(&case.name),
        escape(&case.title)
    );
    match &verdict.result {
        Ok(()) => {}
        Err(Stop::Fail { expected, came }) => {
            let _ = writeln!(
                page,
                "<dl><dt>expected<dd>{}<dt>came<dd>{}</dl>",
                escape(expected),
                escape(came)
            );
        }
        Err(Stop::Skip(why) | Stop::Inconclusive(why)) => {
            let _ = writeln!(page, "<p>{}</p>", escape(why));
        }
    }
    if !verdict.transcript.is_empty() {
        page.push_str("<pre>");
        for line in &verdict.transcript {
            let _ = writeln!(page, "{}", escape(&line.to_string()));
        }
        page.push_str("</pre>\n");
    }
    let command = escape(&report.command_for(case));
    let _ = writeln!(
        page,
        "<p class=\"again\"><code>{command}</code></p></details>"
    );
}

/// A clause's text, in which code stands between backquotes.
fn marked(text: &str) -> String {
    let mut marked = String::new();
    for (number, part) in text.split('`').enumerate() {
        match number % 2 {
            0 => marked.push_str(&escape(part)),
            _ => _ = write!(marked, "<code>{}</code>", escape(part)),
        }
    }
    marked
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_implementation_sends_is_no_markup() {
        assert_eq!(escape("<b>&\""), "&lt;b&gt;&amp;&quot;");
        assert_eq!(marked("a `<b>` c"), "a <code>&lt;b&gt;</code> c");
    }
}
