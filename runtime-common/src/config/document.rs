//! The configuration file: TOML, one key for each setting, no sections.
//!
//! No message shows a value or a source line: a shared key may stand where it does not belong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue, Error};

use super::cli;
use super::layer::{Form, Given, KEYS};
use crate::file;

/// A configuration file, taken apart.
#[derive(Default)]
pub(super) struct Document {
    path: PathBuf,
    entries: Vec<Entry>,
    /// By line, and one for each: the rest of a line only follows from its first.
    mistakes: BTreeMap<usize, String>,
    /// Some of it could not be read, so that what is missing may stand there all the same.
    pub(super) damaged: bool,
}

struct Entry {
    key: String,
    line: usize,
    texts: Vec<String>,
    form: Form,
    is_table: bool,
}

impl Document {
    /// The file of this path, which an option or a variable of this name gave.
    ///
    /// # Errors
    /// One line that says what to do: it can't be read, or is too large to be a configuration.
    pub(super) fn read(name: &str, path: &Path) -> Result<Document, String> {
        let bytes = file::read(name, path, MAX_FILE + 1)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!(
                "{name}: '{}' is larger than 64KiB: give the configuration file",
                path.display()
            ));
        }
        Ok(Document::parse(&bytes, path))
    }

    fn parse(bytes: &[u8], path: &Path) -> Document {
        let mut document = Document {
            path: path.to_owned(),
            ..Document::default()
        };
        let lines = Lines::of(bytes);
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = lines.at(error.valid_up_to());
                let mistake = "not UTF-8: save the file in that encoding".to_owned();
                document.mistakes.insert(line, mistake);
                document.damaged = true;
                return document;
            }
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        document.damaged = !errors.is_empty();
        for error in &errors {
            document.syntax(text, &lines, table.get_ref(), error);
        }
        for (key, value) in table.get_ref() {
            let from = lines.at(key.span().start.min(value.span().start));
            let to = lines.at(key.span().end.max(value.span().end));
            // What the parser made of a line that is none is not what was meant.
            if document.mistakes.range(from..=to).next().is_some() {
                continue;
            }
            let (texts, form) = texts(value.get_ref());
            document.entries.push(Entry {
                key: key.get_ref().to_string(),
                line: lines.at(key.span().start),
                texts,
                form,
                is_table: matches!(value.get_ref(), DeValue::Table(_)),
            });
        }
        document
    }

    /// Takes note of a syntax error.
    fn syntax(&mut self, text: &str, lines: &Lines, table: &DeTable<'_>, error: &Error) {
        let span = error.span().unwrap_or_default();
        let line = lines.at(span.start);
        let written = text[lines.start(line)..].trim_start_matches([' ', '\t']);
        let key = written
            .split(|c: char| c == '=' || c == ':' || c.is_whitespace())
            .next()
            .filter(|key| KEYS.contains(key) || no_key_here(key).is_some());
        let message = error.message();
        let mistake = if let Some(no_key_here) = key.and_then(no_key_here) {
            no_key_here.to_owned()
        } else if message.starts_with("duplicate key") {
            let key = &text[span.clone()];
            let first = table
                .iter()
                .find(|(other, _)| other.get_ref() == key && other.span() != span)
                .map(|(other, _)| lines.at(other.span().start));
            let first = first.map_or_else(String::new, |line| format!(", first in line {line}"));
            format!("{key}: given twice{first}: leave one out")
        } else {
            let what = if message.starts_with("string values must be quoted") {
                "no value of TOML: put text in quotes, such as \"8MiB\"; only numbers stand without"
                    .to_owned()
            } else {
                let message = message
                    .strip_suffix(", expected nothing")
                    .unwrap_or(message);
                format!("not TOML ({message}): write KEY = VALUE, such as limit = 200")
            };
            match key {
                Some(key) => format!("{key}: {what}"),
                None => what,
            }
        };
        self.mistakes.entry(line).or_insert(mistake);
    }

    /// Takes what was written for a key.
    pub(super) fn take(&mut self, key: &str) -> Option<Given> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.swap_remove(index);
        let origin = format!("{}:{}", self.path.display(), entry.line);
        if entry.form == Form::Strings && entry.texts.is_empty() {
            let mistake = format!("{key}: an empty array: give at least one, or leave {key} out");
            self.mistakes.insert(entry.line, mistake);
            return None;
        }
        Some(Given {
            texts: entry.texts.into_iter().map(Into::into).collect(),
            name: format!("{origin}: {key}"),
            origin,
            form: entry.form,
            directory: self.path.parent().unwrap_or(Path::new("")).to_owned(),
        })
    }

    /// What is wrong with the file itself, and with the keys that nobody took, by line.
    pub(super) fn mistakes(mut self) -> Vec<String> {
        let unsupported = cli::unsupported();
        for entry in &self.entries {
            self.mistakes
                .insert(entry.line, refusal(entry, &unsupported));
        }
        let path = self.path.display();
        let lines = self.mistakes.iter();
        lines
            .map(|(line, mistake)| format!("{path}:{line}: {mistake}"))
            .collect()
    }
}

/// Why this entry is no setting.
fn refusal(entry: &Entry, unsupported: &[String]) -> String {
    let key = &entry.key;
    if let Some(no_key_here) = no_key_here(key) {
        return no_key_here.to_owned();
    }
    if unsupported.contains(key) {
        let why = cli::not_supported_yet([key.as_str()].into_iter());
        return format!("{key}: {why}");
    }
    if key == "config" || key == "check-config" {
        return format!("{key}: an option, and nothing for the file: give --{key}");
    }
    if entry.is_table {
        return format!(
            "{key}: there are no sections or dotted keys: write each setting as KEY = VALUE, such as limit = 200"
        );
    }
    let likeness = |known: &str| strsim::jaro(known, key);
    let nearest = KEYS
        .iter()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
        .filter(|known| likeness(known) > 0.7);
    match nearest {
        Some(known) => format!("{key}: no such setting; the nearest is {known}"),
        None => format!(
            "{key}: no such setting; mles --help lists them, and the key of --limit is limit"
        ),
    }
}

/// What a value says, as an option would, and its kind.
fn texts(value: &DeValue<'_>) -> (Vec<String>, Form) {
    match value {
        DeValue::String(text) => (vec![text.to_string()], Form::String),
        DeValue::Integer(integer) => {
            // A plus and other bases are TOML's; what does not fit is out of every range as it is.
            let digits = integer.as_str().trim_start_matches('+');
            let number = u64::from_str_radix(digits, integer.radix());
            let text = number.map_or_else(|_| digits.to_owned(), |number| number.to_string());
            (vec![text], Form::Integer)
        }
        DeValue::Float(_) => (Vec::new(), Form::Other("a float")),
        DeValue::Boolean(value) => (vec![value.to_string()], Form::Boolean),
        DeValue::Datetime(_) => (Vec::new(), Form::Other("a date")),
        DeValue::Table(_) => (Vec::new(), Form::Other("a table")),
        DeValue::Array(values) => {
            let strings = values.iter().map(|value| match value.get_ref() {
                DeValue::String(text) => Ok(text.to_string()),
                DeValue::Integer(_) => Err("an array with an integer"),
                DeValue::Float(_) => Err("an array with a float"),
                DeValue::Boolean(_) => Err("an array with a boolean"),
                DeValue::Datetime(_) => Err("an array with a date"),
                DeValue::Table(_) => Err("an array with a table"),
                DeValue::Array(_) => Err("an array with an array"),
            });
            match strings.collect() {
                Ok(texts) => (texts, Form::Strings),
                Err(name) => (Vec::new(), Form::Other(name)),
            }
        }
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &[u8]) -> Lines {
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = ends.map(|(at, _)| at + 1);
        Lines(std::iter::once(0).chain(starts).collect())
    }

    /// The line of an offset, from 1.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }

    /// The offset of a line.
    fn start(&self, line: usize) -> usize {
        self.0[line - 1]
    }
}

/// What to say of a secret, which has no place in the file, if this is the key of one.
fn no_key_here(key: &str) -> Option<&'static str> {
    match key {
        "key" => Some(
            "key: the secret does not belong here: put it on the first line of a file of its own and name that with key-file, or set MLES_KEY",
        ),
        "peer-key" => Some(
            "peer-key: the secret does not belong here: put it on the first line of a file of its own and name that with peer-key-file, or set MLES_PEER_KEY",
        ),
        _ => None,
    }
}

/// Bytes of a configuration file: ten times the example with all its comments, and nothing that takes long to read.
const MAX_FILE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(text.as_bytes(), Path::new("m.toml"))
    }

    #[test]
    fn values_as_options_would_say_them() {
        let table: [(&str, &[&str], Form); 12] = [
            ("limit = 5", &["5"], Form::Integer),
            ("limit = 1_000", &["1000"], Form::Integer),
            ("limit = 0xff", &["255"], Form::Integer),
            ("limit = +5", &["5"], Form::Integer),
            ("limit = -5", &["-5"], Form::Integer),
            (
                "limit = 99999999999999999999",
                &["99999999999999999999"],
                Form::Integer,
            ),
            ("limit = \"5\"", &["5"], Form::String),
            ("'limit' = '''5'''", &["5"], Form::String),
            ("limit = [\"a\",\n 'b',\n]", &["a", "b"], Form::Strings),
            ("limit = 1.5", &[], Form::Other("a float")),
            ("limit = true", &["true"], Form::Boolean),
            (
                "limit = ['a', 1]",
                &[],
                Form::Other("an array with an integer"),
            ),
        ];
        for (text, texts, form) in table {
            let mut document = parse(text);
            let given = document.take("limit").unwrap();
            assert_eq!(
                (given.texts, given.form),
                (texts.iter().map(Into::into).collect(), form),
                "{text}"
            );
            assert_eq!(document.mistakes(), Vec::<String>::new());
        }
    }

    #[test]
    fn a_value_knows_its_line_and_its_directory() {
        let text = "\u{feff}# a comment\r\n\r\nlisten = [\r\n'::1',\r\n]\r\nport = 5\r\n";
        let mut document = Document::parse(text.as_bytes(), Path::new("/etc/m.toml"));
        let listen = document.take("listen").unwrap();
        assert_eq!(
            (&listen.origin[..], &listen.name[..], listen.directory),
            ("/etc/m.toml:3", "/etc/m.toml:3: listen", "/etc".into())
        );
        assert_eq!(document.take("port").unwrap().origin, "/etc/m.toml:6");
        assert_eq!(document.take("limit"), None);
    }

    #[test]
    fn what_stands_in_whole_lines_survives_the_others() {
        let mut document = parse("limit = 8MiB\nport = 5\noutbox == 3\n");
        assert!(document.damaged);
        assert_eq!(document.take("limit"), None);
        assert_eq!(document.take("outbox"), None);
        assert_eq!(document.take("port").unwrap().texts, ["5"]);
        assert_eq!(document.mistakes().len(), 2);
    }

    /// Cut anywhere and with any byte in any place, it is a document or a mistake with a line of the file.
    #[test]
    fn damaged_files() {
        let text = "# limits\nlimit = 5\nlisten = [\"::1\", '127.0.0.1:1']\n[a.b]\nc = { d = 1.5e3 }\nkey = \"\"\"x\ny\"\"\"\n";
        let mut samples: Vec<Vec<u8>> = (0..text.len())
            .map(|end| text.as_bytes()[..end].to_vec())
            .collect();
        for at in 0..text.len() {
            for byte in [
                0, b'\n', b'"', b'=', b'[', b']', b'{', b'.', b'#', 0xc3, 0xff,
            ] {
                let mut sample = text.as_bytes().to_vec();
                sample[at] = byte;
                samples.push(sample);
            }
        }
        for sample in samples {
            let lines = 1 + sample.iter().filter(|&&byte| byte == b'\n').count();
            let mut document = Document::parse(&sample, Path::new("m.toml"));
            for key in KEYS {
                document.take(key);
            }
            for mistake in document.mistakes() {
                let line = mistake.split(':').nth(1).unwrap().parse::<usize>();
                assert!((1..=lines).contains(&line.unwrap()), "{mistake}");
            }
        }
    }
}
