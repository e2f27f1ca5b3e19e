//! Clauses that have no case, and why.

/// Each clause that cannot be judged from outside, and the reason.
pub const UNJUDGED: &[(&str, &str)] = &[
    (
        "A2.6",
        "where two values of 64 bits differ changes the time of a comparison by nanoseconds, which no network lets through",
    ),
    (
        "A2.8",
        "which bytes of a file are the key shows only in whether the hash under it is taken, which A2.2 judges",
    ),
    (
        "A2.7",
        "a server that refuses to start cannot be connected to; it is for its operator to see",
    ),
    (
        "L1.4",
        "what is activity decides when a history expires, which takes 30 days and is not configured",
    ),
    (
        "L1.5",
        "a channel would have to have members and no activity for 30 days, which is not configured",
    ),
    (
        "M4.3",
        "how much memory a server reserves for a declared length does not show in what it sends",
    ),
    (
        "L3.8",
        "how much memory a session holds does not show in what the server sends; what bounds it that shows is judged by L3.1 to L3.4",
    ),
];

/// Clauses that could be judged from outside, and are not yet: mostly what a server does that dials.
pub const NOT_YET: &[&str] = &[
    "M3.11", "X1.16", "X1.17", "G1.1", "G1.9", "G1.10", "G1.2", "G1.3", "G1.6", "U1.1", "U1.2",
    "U1.3", "U1.4", "U1.5", "B1.1", "B1.2", "B1.3", "B1.4", "B1.5", "B1.6", "B1.7", "B1.8", "B1.9",
    "B1.10",
];
