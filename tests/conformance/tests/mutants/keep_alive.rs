//! Keep-alive (client.md, section 10).

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![]
}
