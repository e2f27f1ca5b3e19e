//! Random numbers of the operating system's, for what others must not guess.

use std::io;

use ring::rand::{SecureRandom, SystemRandom};

/// Fills a buffer.
///
/// # Errors
/// The operating system gives none.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let failed = |_| io::Error::other("the operating system gives no random numbers");
    SystemRandom::new().fill(bytes).map_err(failed)
}

/// A nonce for a connection between nodes (O1.1).
///
/// # Errors
/// The operating system gives none.
pub fn nonce() -> io::Result<u128> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(u128::from_be_bytes(bytes))
}

/// Keys for masking frames. Many are drawn at once: asking the system for each costs more than the frame.
#[derive(Debug)]
pub struct Keys {
    drawn: [[u8; 4]; 64],
    left: usize,
}

impl Keys {
    /// Draws none yet.
    #[expect(clippy::new_without_default, reason = "nobody needs it")]
    pub fn new() -> Self {
        Self {
            drawn: [[0; 4]; 64],
            left: 0,
        }
    }

    /// One.
    ///
    /// # Errors
    /// The operating system gives none.
    pub fn draw(&mut self) -> io::Result<[u8; 4]> {
        if self.left == 0 {
            fill(self.drawn.as_flattened_mut())?;
            self.left = self.drawn.len();
        }
        self.left -= 1;
        Ok(self.drawn[self.left])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_comes_twice() {
        let mut keys = Keys::new();
        let drawn: HashSet<_> = (0..200).map(|_| keys.draw().unwrap()).collect();
        // Of 200 numbers below 2^32 two are the same once in 200 000 runs.
        assert!(drawn.len() >= 199);
        assert_ne!(nonce().unwrap(), nonce().unwrap());
    }
}
