//! The clauses of the specification, read from its text.

use std::fmt;
use std::sync::LazyLock;

/// How binding a clause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It leaves no choice: it says MUST, or states how things are.
    Must,
    /// There may be good reasons to do otherwise.
    Should,
    /// It permits something: who makes use of it has to do so within its bounds.
    May,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        })
    }
}

/// One clause.
#[derive(Clone, Debug)]
pub struct Clause {
    /// Its id, such as `J1.2`.
    pub id: &'static str,
    /// How binding it is.
    pub level: Level,
    /// The document that it stands in, in `spec/`.
    pub document: &'static str,
    /// The heading that it stands under.
    pub section: &'static str,
    /// Its text.
    pub text: String,
}

static CLAUSES: LazyLock<Vec<Clause>> = LazyLock::new(|| {
    let client = read("client.md", include_str!("../../../spec/client.md"));
    let peering = read("peering.md", include_str!("../../../spec/peering.md"));
    client.chain(peering).collect()
});

/// All clauses, in the order of the text.
#[must_use]
pub fn all() -> &'static [Clause] {
    &CLAUSES
}

/// The clause with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Clause> {
    CLAUSES.iter().find(|clause| clause.id == id)
}

/// The paragraphs that begin with an id in bold.
fn read(document: &'static str, text: &'static str) -> impl Iterator<Item = Clause> {
    let mut section = "";
    text.split("\n\n").filter_map(move |paragraph| {
        let paragraph = paragraph.trim();
        if let Some(heading) = paragraph.strip_prefix('#') {
            section = heading.trim_start_matches('#').lines().next()?.trim();
        }
        let (id, text) = paragraph.strip_prefix("**")?.split_once("**")?;
        id.split_once('.')?.1.parse::<u32>().ok()?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let level = level(&text);
        Some(Clause {
            id,
            level,
            document,
            section,
            text,
        })
    })
}

/// The strictest key word of a text: what it allows besides takes nothing from what it demands.
fn level(text: &str) -> Level {
    let has = |word: &str| {
        text.split(|letter: char| !letter.is_ascii_alphabetic())
            .any(|part| part == word)
    };
    match (has("MUST"), has("SHOULD"), has("MAY")) {
        (true, _, _) => Level::Must,
        (_, true, _) => Level::Should,
        (_, _, true) => Level::May,
        _ => Level::Must,
    }
}

/// Where a clause stands among its fellows: `J1.2` before `J1.10`.
#[must_use]
pub fn rank(id: &str) -> usize {
    let found = CLAUSES.iter().position(|clause| clause.id == id);
    found.unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bold_id_at_the_beginning_of_a_line_is_a_clause() {
        for (document, text) in [
            ("client.md", include_str!("../../../spec/client.md")),
            ("peering.md", include_str!("../../../spec/peering.md")),
        ] {
            let ids = text
                .lines()
                .filter(|line| line.starts_with("**"))
                .map(|line| line.split("**").nth(1).unwrap_or_default())
                .filter(|id| {
                    id.split_once('.')
                        .is_some_and(|(_, number)| number.parse::<u32>().is_ok())
                });
            let read = all().iter().filter(|clause| clause.document == document);
            assert!(ids.eq(read.map(|clause| clause.id)));
        }
    }

    #[test]
    fn levels_are_those_of_the_text() {
        let of = |id| find(id).map(|clause| clause.level);
        assert_eq!(of("T1.1"), Some(Level::Must));
        assert_eq!(of("A1.2"), Some(Level::Should));
        assert_eq!(of("J1.1"), Some(Level::Must), "a statement is binding");
        assert_eq!(level("It may, and it MAY."), Level::May);
        assert_eq!(
            of("M4.6"),
            Some(Level::Must),
            "who does it has to do it right"
        );
    }
}
