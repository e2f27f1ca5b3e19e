//! Header (client.md, section 3).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
