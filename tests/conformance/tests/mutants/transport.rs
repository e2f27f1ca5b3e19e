//! Transport (client.md, section 2).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
