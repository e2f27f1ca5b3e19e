//! What `--check-config` says: every value with where it comes from, and what is wrong with all of it.

use std::ffi::OsString;
use std::fmt::{Display, Write};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use super::{Exit, KeySource, NamedFile, Read, layer, unknown_variables};
use crate::tls;

/// What a setting is in the end, and where that was written.
pub(super) struct Value {
    pub(super) key: &'static str,
    value: String,
    pub(super) origin: String,
}

impl Value {
    pub(super) fn new(key: &'static str, value: impl Display, origin: &str) -> Value {
        Value {
            key,
            value: one_line(&value.to_string()),
            origin: one_line(origin),
        }
    }
}

/// The origin of what nobody wrote.
pub(super) const DEFAULT: &str = "default";

/// Looks at everything that can be looked at without doing anything: no socket is bound, nothing is written.
pub(super) fn check(read: Read, names: impl Iterator<Item = OsString>, now: SystemTime) -> Exit {
    let Read {
        config,
        mut mistakes,
        values,
        check_only: _,
    } = read;
    let mut warnings: Vec<String> = unknown_variables(names)
        .iter()
        .map(|name| format!("unknown environment variable {name}: see mles --help"))
        .collect();
    warnings.extend(config.warnings());
    // What has no path is a mistake that was already told.
    let named = |file: &NamedFile| !file.path.as_os_str().is_empty();
    if let KeySource::File(file) = &config.key
        && named(file)
    {
        mistakes.extend(config.key.read().err());
        warnings.extend(open_to_all(file));
    }
    if let Some(files) = &config.certificate {
        if named(&files.certificate) && named(&files.private_key) {
            match tls::load_identity(&files.certificate, &files.private_key, now) {
                Err(mistake) => mistakes.push(mistake),
                Ok(identity) => {
                    let lines = identity.warnings().iter();
                    let lines = lines.map(|line| format!("{}: {line}", files.certificate.name));
                    if identity.has_expired() {
                        mistakes.extend(lines);
                    } else {
                        warnings.extend(lines);
                    }
                }
            }
        }
        warnings.extend(open_to_all(&files.private_key));
    }
    Exit {
        code: if mistakes.is_empty() { 0 } else { 2 },
        stdout: table(values),
        stderr: lines("warning", &warnings) + &lines("error", &mistakes),
    }
}

/// A warning if everybody on the machine may read this file.
fn open_to_all(file: &NamedFile) -> Option<String> {
    let mode = fs::metadata(&file.path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        let (name, path) = (&file.name, file.path.display());
        format!(
            "{name}: everybody on this machine may read '{path}': take that away with chmod o-r"
        )
    })
}

/// The values in the order of the settings, one line each, in columns.
fn table(mut values: Vec<Value>) -> String {
    let place = |key: &str| {
        // The shared key is no setting of a layer.
        let key = if key == "key" { "key-file" } else { key };
        layer::KEYS.iter().position(|known| *known == key)
    };
    values.sort_by_key(|value| place(value.key));
    let wide = |text: fn(&Value) -> &str| values.iter().map(|it| text(it).chars().count()).max();
    let key = wide(|it| it.key).unwrap_or_default();
    // One long list of addresses must not push all origins out of the window.
    let value = wide(|it| &it.value).unwrap_or_default().min(40);
    let mut text = String::new();
    for it in &values {
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "{:key$}  {:value$}  ({})",
            it.key, it.value, it.origin
        );
    }
    text
}

/// Lines of this kind, each with its end.
pub(super) fn lines(kind: &str, lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("{kind}: {}\n", one_line(line)))
        .collect()
}

/// What a person wrote may hold line feeds, or command a terminal.
fn one_line(text: &str) -> String {
    let escaped = |c: char| {
        let visible = (!c.is_control()).then_some(c);
        let hidden = c.is_control().then(|| c.escape_default());
        visible.into_iter().chain(hidden.into_iter().flatten())
    };
    text.chars().flat_map(escaped).collect()
}
