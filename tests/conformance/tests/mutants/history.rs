//! History and its bounds (client.md, section 7).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
