//! Closing (client.md, section 11).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
