//! The shared key of the clients (A1): where it comes from and how it is read.

use mles_sansio::Key;

use super::NamedFile;

/// The longest key, in bytes: far beyond any passphrase, short enough to notice a file that is no key.
pub const MAX_KEY: usize = 4096;

/// Where the shared key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// There is none: everybody may join (A2.3).
    None,
    /// `MLES_KEY`.
    Environment(Key),
    /// The first line of this file.
    File(NamedFile),
}

impl KeySource {
    /// The key itself: reads the file of `--key-file`, whose first line without its line end (LF or CRLF) is the key.
    ///
    /// # Errors
    /// One line that says what to do: the file can't be read, its first line is empty or longer than [`MAX_KEY`]
    /// bytes, or it is a PEM file, whose first line is no secret. The line never holds anything of the file.
    pub fn read(&self) -> Result<Option<Key>, String> {
        match self {
            KeySource::None => Ok(None),
            KeySource::Environment(key) => Ok(Some(key.clone())),
            KeySource::File(file) => read_file(file).map(Some),
        }
    }
}

fn read_file(file: &NamedFile) -> Result<Key, String> {
    let (name, shown) = (&file.name, file.path.display());
    // Two bytes for the line end, so that a key of exactly MAX_KEY bytes is told from a longer one.
    let bytes = file.read(MAX_KEY as u64 + 2)?;
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"-----BEGIN ") {
        return Err(format!(
            "{name}: '{shown}' is a PEM file: give a file whose first line is the shared key (a private key goes to --tls-key)"
        ));
    }
    key_of(line).map_err(|error| {
        format!("{name}: the first line of '{shown}' {error}: write the shared key there, or leave the option out")
    })
}

/// A key of these bytes; the error completes "it … ".
pub(super) fn key_of(bytes: &[u8]) -> Result<Key, &'static str> {
    if bytes.len() > MAX_KEY {
        return Err("is longer than 4096 bytes");
    }
    Key::new(bytes).ok_or("is empty") // A2.7
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use std::path::PathBuf;

    fn source(path: PathBuf) -> KeySource {
        KeySource::File(NamedFile::new("--key-file", path))
    }

    /// A2.8
    #[test]
    fn first_line_without_its_end() {
        let dir = TestDir::new();
        let longest = "x".repeat(MAX_KEY);
        let cases: [(&[u8], &[u8]); 8] = [
            (b"secret", b"secret"),
            (b"secret\n", b"secret"),
            (b"secret\r\n", b"secret"),
            (b"secret\nsecond line\n", b"secret"),
            (b" spaces stay \n", b" spaces stay "),
            (b"\xff\xfe any bytes\n", b"\xff\xfe any bytes"),
            (longest.as_bytes(), longest.as_bytes()),
            (b"a\rb\n", b"a\rb"),
        ];
        for (content, key) in cases {
            let path = dir.file("key", content);
            assert_eq!(source(path).read(), Ok(Key::new(key)));
        }
    }

    #[test]
    fn refusals() {
        let dir = TestDir::new();
        let refuse = |content: &[u8]| {
            let path = dir.file("key", content);
            source(path.clone())
                .read()
                .unwrap_err()
                .replace(&path.display().to_string(), "FILE")
        };
        let empty = "--key-file: the first line of 'FILE' is empty: write the shared key there, or leave the option out";
        assert_eq!(refuse(b""), empty);
        assert_eq!(refuse(b"\nsecret"), empty);
        assert_eq!(refuse(b"\r\nsecret"), empty);
        assert_eq!(
            refuse(&[b'x'; MAX_KEY + 1]),
            "--key-file: the first line of 'FILE' is longer than 4096 bytes: write the shared key there, or leave the option out"
        );
        assert_eq!(
            refuse(b"-----BEGIN PRIVATE KEY-----\nMC4C"),
            "--key-file: 'FILE' is a PEM file: give a file whose first line is the shared key (a private key goes to --tls-key)"
        );
        let missing = dir.path().join("missing");
        assert_eq!(
            source(missing.clone()).read().unwrap_err(),
            format!(
                "--key-file: can't read '{}': No such file or directory (os error 2); check the path and its permissions",
                missing.display()
            )
        );
    }

    #[test]
    fn no_source_no_key() {
        assert_eq!(KeySource::None.read(), Ok(None));
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        let key = key_of(b"mles-devel-frank").unwrap();
        assert_eq!(
            format!("{:?}", KeySource::Environment(key)),
            "Environment(Key(..))"
        );
    }
}
