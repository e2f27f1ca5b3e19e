//! The seed, and the documented generator behind everything that looks random.
//!
//! The runtime draws 256 bits once, at start. With the key `k` = bytes 0–15 of the seed and the salt
//! `s` = bytes 16–31, block `i` of a label is
//!
//! ```text
//! block(label, i) = SipHash-2-4(key = k, s ‖ label ‖ i as 8 bytes, little-endian)
//! ```
//!
//! so that a run can be repeated bit for bit, in any language (P8).

use core::fmt;
use core::hash::Hasher;

use siphasher::sip::SipHasher24;

/// 256 bits from the operating system, drawn once at start.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// Block `index` of the stream that `label` names.
    #[must_use]
    pub fn block(&self, label: &str, index: u64) -> u64 {
        let (key, salt) = self.0.split_at(16);
        let mut wide = [0; 16];
        wide.copy_from_slice(key);
        let mut hasher = SipHasher24::new_with_key(&wide);
        hasher.write(salt);
        hasher.write(label.as_bytes());
        hasher.write(&index.to_le_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for Seed {
    /// A seed is a secret of the node: it predicts jitter and uids.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// A node's uid: 128 random bits, new at every start, written as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

impl NodeId {
    /// The uid that belongs to `seed`: blocks 0 and 1 of the label `node`, the first on top.
    #[must_use]
    pub fn of(seed: &Seed) -> Self {
        Self(u128::from(seed.block("node", 0)) << 64 | u128::from(seed.block("node", 1)))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
