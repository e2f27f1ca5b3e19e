//! Clauses that have no case, and why.

/// Each clause that cannot be judged from outside, and the reason.
pub const UNJUDGED: &[(&str, &str)] = &[];
