//! Files that options name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The file that `option` names, or its first `max` bytes: a device without end is no trap.
///
/// # Errors
/// It can't be read; one line that says what to do.
pub(crate) fn read(option: &str, path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max).read_to_end(&mut bytes))
        .map_err(|error| {
            let shown = path.display();
            format!("{option}: can't read '{shown}': {error}; check the path and its permissions")
        })?;
    Ok(bytes)
}
