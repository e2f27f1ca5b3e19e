//! Clauses that have no case, and why.

/// Each clause that cannot be judged from outside, and the reason.
pub const UNJUDGED: &[(&str, &str)] = &[
    (
        "M4.3",
        "how much memory a server reserves for a declared length does not show in what it sends",
    ),
    (
        "L3.8",
        "how much memory a session holds does not show in what the server sends; what bounds it that shows is judged by L3.1 to L3.4",
    ),
];
