//! The shared-key check of the header (spec: A1, A2, A3).

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::event::Nonces;
use crate::violation::Violation;

/// The server's shared key. Its content never shows in `Debug` output.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// A key of these bytes, or `None` if there are none: an empty key protects nothing and is
    /// refused where it is configured (A2.7).
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The `auth` member of a header: a secret of its owner, so it neither prints nor leaves (A3.1, A3.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Auth(pub(crate) String);

impl Auth {
    /// What the client sent, for the one who checks it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(..)")
    }
}

/// The hash a client proves the key with: SipHash-2-4 under the zero key over uid ‖ channel ‖ key,
/// without separators (A1.1).
#[must_use]
pub fn hash(uid: &str, channel: &str, key: Option<&Key>) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(uid.as_bytes());
    hasher.write(channel.as_bytes());
    hasher.write(key.map_or(&[], |key| &key.0));
    hasher.finish()
}

/// What a node proves the peer key with on one connection: the same hash over uid ‖ channel ‖ peer key ‖
/// the dialer's nonce ‖ the acceptor's, each nonce as its 32 hexadecimal digits (O1.4).
#[must_use]
pub fn link_hash(uid: &str, channel: &str, key: Option<&Key>, nonces: Nonces) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(uid.as_bytes());
    hasher.write(channel.as_bytes());
    hasher.write(key.map_or(&[], |key| &key.0));
    for nonce in [nonces.dialer, nonces.acceptor] {
        hasher.write(alloc::format!("{nonce:032x}").as_bytes());
    }
    hasher.finish()
}

/// Checks a peer's `auth`, which is always there.
///
/// # Errors
///
/// [`Violation::PeerAuth`].
pub fn check_link(
    uid: &str,
    channel: &str,
    auth: Option<&Auth>,
    key: Option<&Key>,
    nonces: Nonces,
) -> Result<(), Violation> {
    let claimed = auth.and_then(|auth| parse(&auth.0));
    // As in `check`, one comparison of one word.
    match claimed {
        Some(claimed) if claimed ^ link_hash(uid, channel, key, nonces) == 0 => Ok(()),
        Some(_) | None => Err(Violation::PeerAuth),
    }
}

/// Checks a header's `auth` against the server's key.
///
/// # Errors
///
/// [`Violation::AuthMissing`] if a key is set and `auth` is not there (A2.1);
/// [`Violation::AuthMalformed`] if it is not 1 to 16 hexadecimal digits (A1.4);
/// [`Violation::AuthMismatch`] if it is another hash.
pub fn check(
    uid: &str,
    channel: &str,
    auth: Option<&Auth>,
    key: Option<&Key>,
) -> Result<(), Violation> {
    let Some(auth) = auth else {
        return match key {
            Some(_) => Err(Violation::AuthMissing), // A2.1
            None => Ok(()),                         // A2.3
        };
    };
    let claimed = parse(&auth.0).ok_or(Violation::AuthMalformed)?; // A1.4
    // One comparison of one word: the time does not depend on where the two differ (A2.6).
    if claimed ^ hash(uid, channel, key) == 0 {
        Ok(())
    } else {
        Err(Violation::AuthMismatch)
    }
}

/// 1 to 16 hexadecimal digits of either case, and nothing else (A1.3): unlike `from_str_radix`,
/// no leading sign.
fn parse(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.chars().try_fold(0_u64, |value, digit| {
        Some(value << 4 | u64::from(digit.to_digit(16)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from the `siphash24` of spec/vectors/derive.py. The second and the third pair
    /// are one text without separators (A1.1).
    #[test]
    fn hashes_are_those_of_another_implementation() {
        let key = |bytes: &str| Key::new(bytes.as_bytes());
        for (uid, channel, secret, expected) in [
            ("alice", "example", "", 0x9b3b_9552_7f7c_2d80),
            ("ab", "c", "", 0x3fc8_8496_4770_eede),
            ("a", "bc", "", 0x3fc8_8496_4770_eede),
            (
                "alice",
                "example",
                "mles-devel-frank",
                0xcddd_69d5_f977_1d66,
            ),
            ("ä", "☃", "k", 0xb3d5_0cbb_6a2f_9188),
        ] {
            assert_eq!(hash(uid, channel, key(secret).as_ref()), expected);
        }
    }

    /// A1.3, A1.4: a number has many spellings, and everything else has no value.
    #[test]
    fn digits_and_nothing_else() {
        for (digits, value) in [
            ("0", 0),
            ("0000000000000000", 0),
            ("1", 1),
            ("aF", 0xaf),
            ("ffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(parse(digits), Some(value), "{digits}");
        }
        let long = "00000000000000001";
        let many = [
            "", "+1", "-1", "0x1", " 1", "1 ", "1_0", "g", "١", "１", long,
        ];
        for digits in many {
            assert_eq!(parse(digits), None, "{digits}");
        }
    }

    /// A2.2, A2.6: every bit counts, wherever the difference is.
    #[test]
    fn one_wrong_bit_fails() {
        let right = hash("alice", "example", None);
        for bit in 0..64 {
            let wrong = Auth(alloc::format!("{:x}", right ^ 1 << bit));
            let checked = check("alice", "example", Some(&wrong), None);
            assert_eq!(checked, Err(Violation::AuthMismatch), "bit {bit}");
        }
        let right = Auth(alloc::format!("{right:x}"));
        assert_eq!(check("alice", "example", Some(&right), None), Ok(()));
    }
}
