//! Auth (client.md, section 4).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
