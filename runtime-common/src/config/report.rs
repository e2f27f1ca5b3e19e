//! What `--check-config` says: every value with where it comes from, and what is wrong with all of it.

use std::ffi::OsString;
use std::fmt::{Display, Write};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use super::{
    CertificateFiles, Config, Exit, KeySource, NamedFile, Obstacle, Read, explain, layer,
    unknown_variables,
};
use crate::certificates::ending;
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

    /// What a line about it begins with, as if it were a mistake.
    fn name(&self) -> String {
        let Value { key, origin, .. } = self;
        if origin == DEFAULT {
            format!("{key} ({origin})")
        } else if origin.starts_with("--") || origin.starts_with("MLES_") {
            origin.clone()
        } else {
            format!("{origin}: {key}")
        }
    }
}

/// The origin of what nobody wrote.
pub(super) const DEFAULT: &str = "default";

/// Looks at everything that can be looked at without being noticed: nobody can connect, nothing is written.
pub(super) fn check(
    read: Read,
    names: impl Iterator<Item = OsString>,
    now: SystemTime,
    look: &dyn Fn(&Config) -> Vec<Obstacle>,
) -> Exit {
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
    let mut notes = Vec::new();
    // With a mistake in the settings it is not known what the addresses are.
    let obstacles = match mistakes.is_empty() {
        true => look(&config),
        false => Vec::new(),
    };
    for Obstacle {
        key,
        what,
        expected,
    } in obstacles
    {
        let value = values.iter().find(|value| value.key == key);
        let name = value.map_or_else(|| key.to_owned(), Value::name);
        let to = if expected { &mut notes } else { &mut mistakes };
        to.push(format!("{name}: {what}"));
    }
    // What has no path is a mistake that was already told.
    let named = |file: &NamedFile| !file.path.as_os_str().is_empty();
    for key in [&config.key, &config.peering.key] {
        if let KeySource::File(file) = key
            && named(file)
        {
            mistakes.extend(key.read().err());
            warnings.extend(open_to_all(file));
        }
    }
    if let Some(file) = &config.peering.ca
        && named(file)
    {
        mistakes.extend(tls::trusted_certificates(file).err());
    }
    let (peers, wrong) = explain::peering(&config.peering, &values);
    mistakes.extend(wrong);
    for files in &config.certificates {
        let CertificateFiles {
            certificate,
            private_key,
        } = files;
        if named(certificate) && named(private_key) {
            match tls::load_identity(certificate, private_key, now) {
                Err(mistake) => add(&mut mistakes, mistake),
                Ok(identity) => {
                    let (name, path) = (&certificate.name, certificate.path.display());
                    let end = ending(identity.ends(), now);
                    let end = end.map(|state| format!("the certificate {state}; renew it"));
                    let expired = identity.ends() < now || identity.has_expired_issuer();
                    for line in identity.warnings().iter().cloned().chain(end) {
                        let to = if expired {
                            &mut mistakes
                        } else {
                            &mut warnings
                        };
                        add(to, format!("{name}: '{path}': {line}"));
                    }
                }
            }
        }
        if let Some(warning) = open_to_all(private_key) {
            add(&mut warnings, warning);
        }
    }
    Exit {
        code: if mistakes.is_empty() { 0 } else { 2 },
        stdout: table(values) + &paragraph(&peers),
        stderr: lines("note", &notes) + &lines("warning", &warnings) + &lines("error", &mistakes),
    }
}

/// Adds a line, once: certificates may share a file.
fn add(lines: &mut Vec<String>, line: String) {
    if !lines.contains(&line) {
        lines.push(line);
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
        // The keys themselves are no settings of a layer.
        let key = match key {
            "key" => "key-file",
            "peer-key" => "peer-key-file",
            _ => key,
        };
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

/// Lines below an empty one, if there are any.
fn paragraph(lines: &[String]) -> String {
    let lines = lines.iter().map(|line| one_line(line) + "\n");
    let text: String = lines.collect();
    if text.is_empty() {
        text
    } else {
        format!("\n{text}")
    }
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
