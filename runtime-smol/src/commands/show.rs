//! How received frames look.

use std::fmt::Write;

use runtime_smol::client::{Age, Delivery, Kind};

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
            let payload = base64(&delivery.frame.payload);
            format!(r#"{{"kind":"binary","base64":"{payload}","replay":{replay}}}"#)
        }
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // U+2028 and U+2029 end a line for some.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                // A String takes everything.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= group.len() {
                let value = bits >> (18 - 6 * digit) & 63;
                out.push(char::from(DIGITS[value as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648 section 10.
    #[test]
    fn base64_of_the_rfc() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn control_characters_do_nothing() {
        let hostile = "a\x1b[2J\r\u{7f}\u{9b}b\u{202e}c\td\ne \u{e9}\u{1f44d}";
        let expected = "a\\u{1b}[2J\\u{d}\\u{7f}\\u{9b}b\\u{202e}c\td\ne \u{e9}\u{1f44d}";
        assert_eq!(harmless(hostile), expected);
        assert_eq!(
            quoted("\"\\\n\u{1}\u{2028}\u{e9}"),
            "\"\\\"\\\\\\n\\u0001\\u2028\u{e9}\""
        );
    }
}
