//! Clauses that have no case, and why.

/// Each clause that cannot be judged from outside, and the reason.
pub const UNJUDGED: &[(&str, &str)] = &[
    (
        "L1.4",
        "what is activity decides when a history expires, which takes 30 days and is not configured",
    ),
    (
        "L1.5",
        "a channel would have to have members and no activity for 30 days, which is not configured",
    ),
];
