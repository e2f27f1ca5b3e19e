//! `examples/mles.toml` says what the code does.

use super::*;

const EXAMPLE: &str = include_str!("../../../../examples/mles.toml");

/// The settings of the file: their line, and whether it is an example and not the default.
fn settings() -> Vec<(&'static str, bool)> {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    (0..lines.len())
        .filter_map(|at| {
            let setting = lines[at].strip_prefix('#')?;
            setting
                .starts_with(|c: char| c.is_ascii_lowercase())
                .then(|| (setting, lines[at - 1].ends_with("Example:")))
        })
        .collect()
}

fn load_text(text: &str) -> Config {
    let dir = TestDir::new();
    let path = dir.file("mles.toml", text).display().to_string();
    load(&format!("--config {path}"), &[]).unwrap_or_else(|exit| panic!("{}", exit.stderr))
}

#[test]
fn every_setting_stands_there_once_in_order() {
    let keys: Vec<&str> = settings()
        .iter()
        .map(|(setting, _)| setting.split(" = ").next().unwrap())
        .collect();
    assert_eq!(keys, layer::KEYS);
}

#[test]
fn as_it_is_it_changes_nothing() {
    assert_eq!(load_text(EXAMPLE), load("", &[]).unwrap());
}

#[test]
fn its_defaults_are_the_codes() {
    let defaults = settings().into_iter().filter(|(_, example)| !example);
    let lines: Vec<&str> = defaults.map(|(setting, _)| setting).collect();
    assert!(lines.len() >= 15, "{lines:?}");
    assert_eq!(load_text(&lines.join("\n")), load("", &[]).unwrap());
}

#[test]
fn all_of_it_can_be_read() {
    let lines: Vec<&str> = settings().iter().map(|(setting, _)| *setting).collect();
    let config = load_text(&lines.join("\n"));
    assert_eq!(config.max_sessions, Some(10_000));
    assert!(!config.local_mode());
}

#[test]
fn it_fits_a_window() {
    for line in EXAMPLE.lines() {
        assert!(line.len() <= 115, "too long: {line}");
    }
}
