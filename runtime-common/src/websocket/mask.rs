//! From the frames of a server, as they lie in outboxes, to those of a client (RFC 6455 section 5.3).

use super::header::{LENGTH_16, LENGTH_64, MASKED, SERVER_HEADER_MAX};
use super::read::unmask;

/// Masks the frames that one connection sends, whatever the pieces in which they come.
#[derive(Debug, Default)]
pub struct Masker {
    /// The header of the frame in progress, of which the first `len` bytes are here.
    header: [u8; SERVER_HEADER_MAX],
    len: usize,
    /// Payload bytes of the frame in progress that have not come.
    remaining: u64,
    /// Its masking key, turned so that its first byte belongs to the next payload byte.
    mask: [u8; 4],
}

impl Masker {
    /// Appends the masked form of `input` to `out`: a few bytes more for each frame that begins in it.
    /// What is kept is part of a frame's header at most.
    ///
    /// # Errors
    ///
    /// `key`, which gives the key of each frame, has failed: the connection is of no use any more. Keys have to
    /// come from a strong source of randomness, so that who chooses a payload cannot choose what is on the wire.
    pub fn mask<E>(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        mut key: impl FnMut() -> Result<[u8; 4], E>,
    ) -> Result<(), E> {
        while let [first, rest @ ..] = input {
            if self.remaining > 0 {
                let taken = usize::try_from(self.remaining)
                    .map_or(input.len(), |remaining| remaining.min(input.len()));
                let start = out.len();
                out.extend_from_slice(&input[..taken]);
                unmask(&mut out[start..], &mut self.mask);
                self.remaining -= taken as u64;
                input = &input[taken..];
                continue;
            }
            self.header[self.len] = *first;
            self.len += 1;
            input = rest;
            let Some(payload) = self.declared() else {
                continue;
            };
            self.mask = key()?;
            self.remaining = payload;
            self.header[1] |= MASKED;
            out.extend_from_slice(&self.header[..self.len]);
            out.extend_from_slice(&self.mask);
            self.len = 0;
        }
        Ok(())
    }

    /// The length of the payload, if the header is complete.
    fn declared(&self) -> Option<u64> {
        let [_, second, length @ ..] = &self.header[..self.len] else {
            return None;
        };
        match *second {
            LENGTH_16 => Some(u16::from_be_bytes(*length.first_chunk()?).into()),
            LENGTH_64 => Some(u64::from_be_bytes(*length.first_chunk()?)),
            short => Some(short.into()),
        }
    }
}
