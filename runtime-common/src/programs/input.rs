//! The lines of stdin.

use std::io::BufRead;

/// The lines of an input, without their line ends (LF or CRLF), up to its end or an error.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    /// Of this.
    pub fn new(input: R) -> Self {
        Self {
            input,
            ended: false,
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Vec<u8>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut line = Vec::new();
        let read = self.input.read_until(b'\n', &mut line);
        // Without a line end it was the input's end, which a terminal does not tell a second time.
        self.ended = !line.ends_with(b"\n");
        match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(without_end(line))),
            Err(error) => {
                self.ended = true;
                Some(Err(unreadable(&error)))
            }
        }
    }
}

/// What to say of a stdin that can't be read.
pub(super) fn unreadable(error: &std::io::Error) -> String {
    format!("can't read stdin: {error}")
}

fn without_end(mut line: Vec<u8>) -> Vec<u8> {
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends() {
        for (line, expected) in [
            ("", ""),
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\r", "a\r"),
            ("\n", ""),
            ("\r\n", ""),
            ("a\n\n", "a\n"),
        ] {
            assert_eq!(without_end(line.into()), expected.as_bytes());
        }
    }

    /// Whoever asks after the end does not read again.
    #[test]
    fn the_end_is_told_once() {
        let mut lines = Lines::new(&b"a\n\nb"[..]);
        let texts: Vec<_> = lines.by_ref().map(|line| line.unwrap()).collect();
        assert_eq!(texts, [&b"a"[..], b"", b"b"]);
        lines.input = b"more\n";
        assert!(lines.next().is_none());
    }
}
