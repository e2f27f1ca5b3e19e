//! A strict scanner for the JSON of headers (RFC 8259): no tree, no numbers, members handed out as
//! they come. General parsers accept repeated members, headers do not (spec: H1).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::violation::Violation;

/// How deep the value of a header's member may nest (H1.7).
const DEPTH_MAX: usize = 16;

/// A member's value, as far as a header needs it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Text(Text),
    Bool(bool),
    /// Null, a number, an array or an object: known to be well-formed, and as it was written.
    Other(&'a str),
}

/// A string after unescaping: UTF-8 but for lone surrogates, which stand in it as the three bytes
/// that UTF-8 would give them. Two strings are equal if and only if their bytes are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    /// The string, unless it holds a lone surrogate.
    pub(crate) fn into_string(self) -> Option<String> {
        String::from_utf8(self.0).ok()
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.0 == name.as_bytes()
    }
}

/// Reads one JSON object with white space around it and nothing else, and hands each of its members
/// to `member`.
pub(crate) fn object<'a>(
    text: &'a str,
    mut member: impl FnMut(&Text, Value<'a>),
) -> Result<(), Violation> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    scanner.expect(b'{')?;
    scanner.members(0, &mut member)?;
    scanner.end()
}

/// Reads one JSON array, and hands each of its elements to `element`.
pub(crate) fn array<'a>(
    text: &'a str,
    mut element: impl FnMut(Value<'a>),
) -> Result<(), Violation> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    scanner.expect(b'[')?;
    scanner.elements(0, &mut element)?;
    scanner.end()
}

/// The value of a number that is written as digits alone and fits.
pub(crate) fn integer(text: &str) -> Option<u64> {
    // `parse` would take a plus sign, but JSON has none.
    text.parse().ok()
}

struct Scanner<'a> {
    text: &'a str,
    /// The same: valid UTF-8, of a bounded length.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        Self { text, bytes, at: 0 }
    }

    /// White space, and nothing else.
    fn end(&mut self) -> Result<(), Violation> {
        self.space();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(Violation::HeaderNotJson)
        }
    }

    /// What follows `{`, to the closing brace.
    fn members(
        &mut self,
        depth: usize,
        member: &mut dyn FnMut(&Text, Value<'a>),
    ) -> Result<(), Violation> {
        let mut names = BTreeSet::new();
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            self.expect(b'"')?;
            let name = self.string()?;
            if names.contains(&name) {
                return Err(Violation::HeaderRepeatedMember); // H1.8
            }
            self.space();
            self.expect(b':')?;
            let value = self.value(depth)?;
            member(&name, value);
            names.insert(name);
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// A value with the white space before it; `depth` containers are open around it.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Violation> {
        self.space();
        let start = self.at;
        match self.next()? {
            b'"' => self.string().map(Value::Text),
            b'{' => {
                let depth = deeper(depth)?;
                self.members(depth, &mut |_, _| ())?;
                Ok(self.other(start))
            }
            b'[' => {
                let depth = deeper(depth)?;
                self.elements(depth, &mut |_| ())?;
                Ok(self.other(start))
            }
            b't' => self.word(b"rue").map(|()| Value::Bool(true)),
            b'f' => self.word(b"alse").map(|()| Value::Bool(false)),
            b'n' => self.word(b"ull").map(|()| self.other(start)),
            first @ (b'-' | b'0'..=b'9') => self.number(first).map(|()| self.other(start)),
            _ => Err(Violation::HeaderNotJson),
        }
    }

    fn other(&self, start: usize) -> Value<'a> {
        Value::Other(&self.text[start..self.at])
    }

    /// What follows `[`, to the closing bracket.
    fn elements(
        &mut self,
        depth: usize,
        element: &mut dyn FnMut(Value<'a>),
    ) -> Result<(), Violation> {
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            let value = self.value(depth)?;
            element(value);
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// What follows the opening quote, to the closing one.
    fn string(&mut self) -> Result<Text, Violation> {
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Ok(Text(text)),
                b'\\' => match self.next()? {
                    plain @ (b'"' | b'\\' | b'/') => text.push(plain),
                    b'b' => text.push(0x08),
                    b'f' => text.push(0x0c),
                    b'n' => text.push(b'\n'),
                    b'r' => text.push(b'\r'),
                    b't' => text.push(b'\t'),
                    b'u' => self.escape(&mut text)?,
                    _ => return Err(Violation::HeaderNotJson),
                },
                0..0x20 => return Err(Violation::HeaderNotJson),
                plain => text.push(plain),
            }
        }
    }

    /// What follows `\u`: four digits, and if they are the first half of a pair, the second.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Violation> {
        let unit = self.unit()?;
        let mut code = unit;
        if (0xd800..0xdc00).contains(&unit) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.unit()?;
            if (0xdc00..0xe000).contains(&second) {
                code = 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
            } else {
                self.at = back;
            }
        }
        match char::from_u32(code) {
            Some(c) => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            // A lone surrogate: grammatical, so refused only in a name, later.
            None => text.extend([
                0xe0 | (code >> 12) as u8,
                0x80 | (code >> 6 & 0x3f) as u8,
                0x80 | (code & 0x3f) as u8,
            ]),
        }
        Ok(())
    }

    fn unit(&mut self) -> Result<u32, Violation> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16);
            unit = unit << 4 | digit.ok_or(Violation::HeaderNotJson)?;
        }
        Ok(unit)
    }

    /// What follows the first character of a number.
    fn number(&mut self, first: u8) -> Result<(), Violation> {
        let lead = if first == b'-' { self.next()? } else { first };
        match lead {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return Err(Violation::HeaderNotJson),
        }
        if self.take(b'.') {
            self.some_digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<(), Violation> {
        if !self.next()?.is_ascii_digit() {
            return Err(Violation::HeaderNotJson);
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn word(&mut self, rest: &[u8]) -> Result<(), Violation> {
        rest.iter().try_for_each(|&byte| self.expect(byte))
    }

    /// The white space of RFC 8259, and no other.
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, Violation> {
        let byte = self.bytes.get(self.at).ok_or(Violation::HeaderNotJson)?;
        self.at += 1;
        Ok(*byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Violation> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Violation::HeaderNotJson)
        }
    }
}

fn deeper(depth: usize) -> Result<usize, Violation> {
    if depth == DEPTH_MAX {
        Err(Violation::HeaderTooDeep) // H1.7
    } else {
        Ok(depth + 1)
    }
}
