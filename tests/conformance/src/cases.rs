//! The cases, a module for each part of the specification.

mod auth;
mod clients;
mod closing;
mod header;
mod history;
mod join;
mod keep_alive;
mod leaving;
mod messages;
mod peering;
mod slow;
mod transport;
mod unjudged;

pub use unjudged::UNJUDGED;

use crate::case::Case;

/// All cases, in the order of the text.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        transport::cases(),
        header::cases(),
        auth::cases(),
        join::cases(),
        messages::cases(),
        history::cases(),
        leaving::cases(),
        slow::cases(),
        keep_alive::cases(),
        closing::cases(),
        peering::cases(),
        clients::cases(),
    ]
    .concat()
}

/// Those of these cases that a selection means: the one with this name, or else all whose names begin so.
#[must_use]
pub fn meant_by(cases: &[Case], selection: &str) -> Vec<Case> {
    let is_whole = cases.iter().any(|case| case.name == selection);
    let is_meant = |case: &&Case| match is_whole {
        true => case.name == selection,
        false => case.is_meant_by(selection),
    };
    cases.iter().filter(is_meant).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_name_means_that_case_alone() {
        let cases = all();
        let names = |selection: &str| {
            let meant = meant_by(&cases, selection).into_iter();
            meant.map(|case| case.name).collect::<Vec<_>>()
        };
        // It is the beginning of others.
        let longer = names("H1.5/auth-");
        assert!(!longer.is_empty());
        assert_eq!(names("H1.5/auth"), ["H1.5/auth"]);
        assert!(names("H1.5").len() > longer.len());
        assert!(names("H1.5/nothing").is_empty());
    }
}
