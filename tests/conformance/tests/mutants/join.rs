//! Join (client.md, section 5).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
