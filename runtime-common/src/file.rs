//! Files that the configuration names.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Its path.
    pub path: PathBuf,
    /// Where the configuration names it, for mistakes: `--tls-cert`, `MLES_TLS_CERT`, `/etc/mles.toml:3: tls-cert`.
    pub name: String,
}

impl NamedFile {
    /// A file of this path, which stands under this name in the configuration.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> NamedFile {
        NamedFile {
            path: path.into(),
            name: name.into(),
        }
    }

    /// Its content, or the first `max` bytes of that.
    ///
    /// # Errors
    /// It can't be read; one line that says what to do.
    pub fn read(&self, max: u64) -> Result<Vec<u8>, String> {
        read(&self.name, &self.path, max)
    }
}

/// The file that the configuration names under `name`, or its first `max` bytes: a device without end is no trap.
///
/// # Errors
/// It can't be read; one line that says what to do.
pub(crate) fn read(name: &str, path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max).read_to_end(&mut bytes))
        .map_err(|error| {
            let shown = path.display();
            format!("{name}: can't read '{shown}': {error}; check the path and its permissions")
        })?;
    Ok(bytes)
}
