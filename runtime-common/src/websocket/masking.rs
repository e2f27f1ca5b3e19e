//! Frames on their way from an outbox into a connection that was dialed.

use std::io;

use super::Masker;
use crate::random::Keys;

/// Masks what an outbox holds as it leaves, a record's worth at a time, so that a link costs no copy of what waits
/// for it: outboxes hold frames of a server, whichever end of the connection this is.
#[derive(Debug)]
pub struct Masking {
    masker: Masker,
    keys: Keys,
    /// Masked, and not yet taken beyond `taken`: hardly more than [`RECORD`].
    out: Vec<u8>,
    taken: usize,
}

impl Masking {
    /// Of a connection that begins.
    #[expect(clippy::new_without_default, reason = "it is never equal to another")]
    pub fn new() -> Self {
        Self {
            masker: Masker::default(),
            keys: Keys::new(),
            out: Vec::new(),
            taken: 0,
        }
    }

    /// Masks the first of these bytes, and says how many: to be called when nothing [masked](Self::masked) is left.
    ///
    /// # Errors
    /// The operating system gives no random numbers.
    pub fn mask(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(RECORD)];
        let keys = &mut self.keys;
        self.masker.mask(piece, &mut self.out, || keys.draw())?;
        Ok(piece.len())
    }

    /// What is masked and not taken yet.
    pub fn masked(&self) -> &[u8] {
        &self.out[self.taken..]
    }

    /// The first of it was taken.
    pub fn advance(&mut self, count: usize) {
        self.taken += count;
        if self.taken == self.out.len() {
            self.out.clear();
            self.taken = 0;
        }
    }
}

/// Bytes that are masked at once: about the largest TLS record.
const RECORD: usize = 16 * 1024;
