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
        Self::nth(seed, 0)
    }

    /// The uid after so many changes (S1.4): the next two blocks each time.
    pub(crate) fn nth(seed: &Seed, changes: u64) -> Self {
        let block = |index| u128::from(seed.block("node", 2 * changes + index));
        Self(block(0) << 64 | block(1))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from the `siphash24` of spec/vectors/derive.py, which is checked against the
    /// vector of SipHash's own paper: `siphash24(salt + label + index, k0, k1)`, with the halves of
    /// the key and the index read and written little-endian.
    #[test]
    fn blocks_are_those_of_another_implementation() {
        let seed = Seed(core::array::from_fn(|i| i as u8));
        assert_eq!(seed.block("node", 0), 0x8a9e_7043_d3f1_e060);
        assert_eq!(seed.block("node", 1), 0x9b32_b27f_36dd_6696);
        assert_eq!(seed.block("", 0), 0xf8b4_fc7e_1565_68d7);
        assert_eq!(seed.block("jitter", u64::MAX), 0xae5a_a29f_a61a_15ac);
    }

    #[test]
    fn a_node_id_is_two_blocks_the_first_on_top() {
        let id = NodeId::of(&Seed([7; 32]));
        assert_eq!(id.0, 0x4356_0fd4_13d4_7d94_7af7_2a51_1e7a_0874);
        let written = alloc::format!("{id}");
        assert_eq!(written, "43560fd413d47d947af72a511e7a0874");
        assert_eq!(alloc::format!("{}", NodeId(1)).len(), 32);
    }

    #[test]
    fn every_bit_of_the_seed_counts() {
        let zero = NodeId::of(&Seed([0; 32]));
        for bit in 0..256 {
            let mut bytes = [0; 32];
            bytes[bit / 8] = 1 << (bit % 8);
            assert_ne!(NodeId::of(&Seed(bytes)), zero, "bit {bit}");
        }
    }
}
