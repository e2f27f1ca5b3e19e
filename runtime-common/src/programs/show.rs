//! How received frames look.

use std::fmt::Write;

use data_encoding::BASE64;
use mles_sansio::Kind;
use mles_sansio::client::{Age, Delivery};

/// Text of somebody else's as it may go to a terminal: it can neither move the cursor nor turn the writing around.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
        match c {
            '\n' | '\t' => shown.push(c),
            _ if c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}') => {
                shown.extend(c.escape_unicode());
            }
            _ => shown.push(c),
        }
    }
    shown
}

/// The same on one line.
pub(super) fn one_line(text: &str) -> String {
    harmless(text).replace('\n', "\\n")
}

/// A frame as a line of JSON.
pub(super) fn json(delivery: &Delivery) -> String {
    let replay = delivery.age == Age::History;
    let text = |bytes| quoted(&String::from_utf8_lossy(bytes));
    match (&delivery.joined, delivery.frame.kind) {
        (Some(uid), _) => format!(
            r#"{{"kind":"joined","uid":{},"replay":{replay}}}"#,
            quoted(uid)
        ),
        (None, Kind::Text) => {
            let payload = text(&delivery.frame.payload);
            format!(r#"{{"kind":"text","payload":{payload},"replay":{replay}}}"#)
        }
        (None, Kind::Binary) => {
            let payload = BASE64.encode(&delivery.frame.payload);
            format!(r#"{{"kind":"binary","base64":"{payload}","replay":{replay}}}"#)
        }
    }
}

/// A string of JSON. What JSON leaves as it is, but a terminal or some reader of lines does not, is escaped too.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in serde_json::Value::from(text).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                // A String takes everything.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_nothing() {
        let hostile = "a\x1b[2J\r\u{7f}\u{9b}b\u{202e}c\td\ne \u{e9}\u{1f44d}";
        let expected = "a\\u{1b}[2J\\u{d}\\u{7f}\\u{9b}b\\u{202e}c\td\ne \u{e9}\u{1f44d}";
        assert_eq!(harmless(hostile), expected);
        assert_eq!(one_line("a\nb\x1b"), "a\\nb\\u{1b}");
        assert_eq!(
            quoted("\"\\\n\u{1}\u{2028}\u{e9}"),
            "\"\\\"\\\\\\n\\u0001\\u2028\u{e9}\""
        );
    }
}
