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
        "U1.5",
        "how an operator changes the list of a server that runs is each server's own affair",
    ),
    (
        "L3.8",
        "how much memory a session holds does not show in what the server sends; what bounds it that shows is judged by L3.1 to L3.4",
    ),
];
