//! The lines of stdin, read by a thread of their own: smol's adapter takes a terminal's end of input for a pause.

use std::io::{self, BufRead};

use smol::channel::Receiver;

/// The lines of stdin, without their line ends (LF or CRLF), up to its end or an error.
pub(super) fn lines() -> Receiver<Result<Vec<u8>, String>> {
    let (give, lines) = smol::channel::bounded(LINES);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = stdin.read_until(b'\n', &mut line);
            // Without a line end it was the input's end, which a terminal does not tell a second time.
            let last = !line.ends_with(b"\n");
            let item = match read {
                Ok(0) => return,
                Ok(_) => Ok(without_end(line)),
                Err(error) => Err(format!("can't read stdin: {error}")),
            };
            if give.send_blocking(item).is_err() || last {
                return;
            }
        }
    });
    lines
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

/// Lines that are read ahead.
const LINES: usize = 256;

#[cfg(test)]
mod tests {
    use super::without_end;

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
}
