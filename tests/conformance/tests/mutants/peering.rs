//! Peering (peering.md).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
