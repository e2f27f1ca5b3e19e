//! Join (client.md, section 5).

mod announcement;
mod pair;
mod replay;

use crate::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    [pair::mutants(), replay::mutants(), announcement::mutants()]
        .into_iter()
        .flatten()
        .collect()
}
