//! Slow readers (client.md, section 9).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
