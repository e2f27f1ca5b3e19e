//! Cases that need a server of their own, and how it is set.

use mles_conformance::{Case, Company};

/// Beginnings of names of cases, and settings besides the usual ones, or instead of them.
const SETTINGS: &[(&str, &[&str])] = &[
    ("M3.3/newest-announcements", &["limit=12"]),
    ("M3.4", &["limit=0"]),
    ("M3.5", &["history-channel-bytes=256KiB"]),
    ("M3.6", &["history-channel-bytes=256KiB"]),
    (
        "M3.7",
        &["history-bytes=1536KiB", "history-channel-bytes=256KiB"],
    ),
    (
        "M3.8/above-the-total",
        &["history-bytes=256KiB", "history-channel-bytes=256KiB"],
    ),
    ("M3.8", &["history-channel-bytes=256KiB"]),
    (
        "M3.9/forgotten-with",
        &["history-bytes=8MiB", "history-channel-bytes=256KiB"],
    ),
    ("M3.9", &["history-bytes=256KiB"]),
    ("M3.10", &["history-channel-bytes=256KiB", "limit=40"]),
    ("M4.6/closed-with-4004", &["max-message=64KiB"]),
    ("L3.7", &["replay-timeout=2s"]),
    (
        "L3.9",
        &[
            "history-bytes=16MiB",
            "history-channel-bytes=8MiB",
            "limit=20",
            "ping-interval=24s",
        ],
    ),
    ("L3.10/nobody-else", &["max-message=4MiB"]),
    // Who does not read is silent for long, on a machine that is busy.
    ("L2", &["ping-interval=24s"]),
    ("L3", &["ping-interval=24s"]),
    (
        "S1.6/never",
        &["history-bytes=8MiB", "history-channel-bytes=256KiB"],
    ),
    ("S2.3", &["history-bytes=4MiB"]),
    ("S2.4", &["history-bytes=4MiB"]),
    (
        "W1.5",
        &["history-bytes=8MiB", "history-channel-bytes=256KiB"],
    ),
    ("X1.10", &["max-sessions=6"]),
    ("X1.12", &["filelimit=8"]),
    ("X1.17/room-last", &["max-sessions=6"]),
];

/// The settings of the server that a case needs, if it needs one of its own.
pub(crate) fn of(case: &Case) -> Option<&'static [&'static str]> {
    let found = SETTINGS.iter().find(|(name, _)| case.is_meant_by(name));
    match (found, case.company) {
        (Some((_, settings)), _) => Some(settings),
        (None, Company::Last) => Some(&[]),
        (None, Company::Any | Company::Alone | Company::Disruptive) => None,
    }
}

/// Whether the server that a case has for itself has to take peers.
pub(crate) fn takes_peers(case: &Case) -> bool {
    case.clause().document == "peering.md" || case.is_meant_by("M3.9/forgotten-with")
}
