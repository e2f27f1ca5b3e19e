//! Leaving and expiry (client.md, section 8).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
