//! How many descriptors the process needs, gets, and what that makes of the limits.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the limit on open descriptors leaves for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// What the soft limit must be raised to; `None` where it is enough, or can't be raised.
    pub raise_to: Option<u64>,
    /// Sessions at once: what was asked for, or 0.8 of the descriptors, as far as they reach; at least 1.
    pub max_sessions: u32,
    /// Connections at once that are not sessions: what was asked for, as far as half of the descriptors reach; at
    /// least 1.
    pub filelimit: u32,
    /// For the log, where less was possible than was asked for: what is missing, and what to do.
    pub shortage: Option<String>,
}

/// What to make of a soft and a hard `RLIMIT_NOFILE` (`None` is unlimited), pure.
///
/// One descriptor is needed for each session and for each connection that is not one yet, and [`RESERVED`] for
/// listeners, files and what the runtime itself has open. With a wish for sessions, the soft limit is raised to what
/// that needs; without one, to the hard limit, and sessions get 0.8 of it, or what the others leave.
pub fn descriptors(
    soft: Option<u64>,
    hard: Option<u64>,
    max_sessions: Option<u32>,
    filelimit: u32,
) -> Descriptors {
    let hard = hard.unwrap_or(UNLIMITED);
    let soft = soft.unwrap_or(UNLIMITED).min(hard);
    let needed = max_sessions.map(|sessions| u64::from(sessions) + u64::from(filelimit) + RESERVED);
    let open = needed.map_or(hard, |needed| needed.clamp(soft, hard));

    let usable = open.saturating_sub(RESERVED).max(2);
    let pending = u64::from(filelimit).min(usable / 2);
    let room = usable - pending;
    let sessions = max_sessions.map_or((open / 5 * 4).min(room), |sessions| {
        u64::from(sessions).min(room)
    });

    let mut less = Vec::new();
    if let Some(wanted) = max_sessions.filter(|wanted| sessions < u64::from(*wanted)) {
        less.push(format!("--max-sessions is {sessions} instead of {wanted}"));
    }
    if pending < u64::from(filelimit) {
        less.push(format!("--filelimit is {pending} instead of {filelimit}"));
    }
    let shortage = (!less.is_empty()).then(|| {
        let wanted = needed.unwrap_or(2 * u64::from(filelimit) + RESERVED);
        format!(
            "{}: the process may open only {open} descriptors; raise its hard limit to {wanted} (ulimit -Hn, LimitNOFILE= of systemd)",
            less.join(", ")
        )
    });
    Descriptors {
        raise_to: (open > soft).then_some(open),
        // Neither is larger than what was asked for, or than a process can have.
        max_sessions: u32::try_from(sessions).unwrap_or(u32::MAX).max(1),
        filelimit: u32::try_from(pending).unwrap_or(filelimit).max(1),
        shortage,
    }
}

/// Raises this process's `RLIMIT_NOFILE` as [`descriptors`] says, and tells what came of it; never fails. Where the
/// system refuses, the result is that of the limit as it was, and [`Descriptors::raise_to`] is `None`.
pub fn raise_descriptors(max_sessions: Option<u32>, filelimit: u32) -> Descriptors {
    let limit = getrlimit(Resource::Nofile);
    let plan = descriptors(limit.current, limit.maximum, max_sessions, filelimit);
    match plan.raise_to {
        None => plan,
        Some(soft) => match setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(soft),
                maximum: limit.maximum,
            },
        ) {
            Ok(()) => plan,
            Err(_) => descriptors(limit.current, limit.current, max_sessions, filelimit),
        },
    }
}

/// Descriptors that are kept for other things than connections.
pub const RESERVED: u64 = 32;

/// What counts as unlimited: Linux's own default bound for a process (`fs.nr_open`).
const UNLIMITED: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let shortage = |text: &str| Some(text.to_owned());
        #[rustfmt::skip]
        let table = [
            // soft, hard, wanted sessions, filelimit -> raise to, sessions, pending
            (1024, 524_288, None, 256, Some(524_288), 419_428, 256),
            (524_288, 524_288, None, 256, None, 419_428, 256),
            (1024, 4096, None, 256, Some(4096), 3276, 256),
            // 0.8 would not leave room for the others.
            (1024, 1024, None, 256, None, 736, 256),
            (1024, 524_288, Some(1000), 256, Some(1288), 1000, 256),
            (1024, 524_288, Some(736), 256, None, 736, 256),
            (1024, 524_288, Some(1), 1, None, 1, 1),
        ];
        for (soft, hard, wanted, filelimit, raise_to, max_sessions, pending) in table {
            let expected = Descriptors {
                raise_to,
                max_sessions,
                filelimit: pending,
                shortage: None,
            };
            assert_eq!(
                descriptors(Some(soft), Some(hard), wanted, filelimit),
                expected
            );
        }
        let unlimited = Descriptors {
            raise_to: None,
            max_sessions: 838_860,
            filelimit: 256,
            shortage: None,
        };
        assert_eq!(descriptors(None, None, None, 256), unlimited);

        let expected = Descriptors {
            raise_to: Some(4096),
            max_sessions: 3808,
            filelimit: 256,
            shortage: shortage(
                "--max-sessions is 3808 instead of 10000: the process may open only 4096 descriptors; \
                 raise its hard limit to 10288 (ulimit -Hn, LimitNOFILE= of systemd)",
            ),
        };
        assert_eq!(
            descriptors(Some(1024), Some(4096), Some(10_000), 256),
            expected
        );
        let expected = Descriptors {
            raise_to: None,
            max_sessions: 112,
            filelimit: 112,
            shortage: shortage(
                "--max-sessions is 112 instead of 200, --filelimit is 112 instead of 256: \
                 the process may open only 256 descriptors; raise its hard limit to 488 (ulimit -Hn, LimitNOFILE= of systemd)",
            ),
        };
        assert_eq!(descriptors(Some(256), Some(256), Some(200), 256), expected);
        let expected = Descriptors {
            raise_to: None,
            max_sessions: 1,
            filelimit: 1,
            shortage: shortage(
                "--filelimit is 1 instead of 256: the process may open only 0 descriptors; \
                 raise its hard limit to 544 (ulimit -Hn, LimitNOFILE= of systemd)",
            ),
        };
        assert_eq!(descriptors(Some(0), Some(0), None, 256), expected);
    }

    #[test]
    fn connections_always_fit() {
        for open in (100..3000).step_by(7) {
            for wanted in [None, Some(1), Some(500), Some(u32::MAX)] {
                for filelimit in [1, 256, 1_000_000] {
                    let it = descriptors(Some(open), Some(open), wanted, filelimit);
                    assert!(
                        u64::from(it.max_sessions) + u64::from(it.filelimit) + RESERVED <= open,
                        "{open} {it:?}"
                    );
                    assert!(it.raise_to.is_none() && it.max_sessions >= 1 && it.filelimit >= 1);
                }
            }
        }
    }

    #[test]
    fn raises_this_process() {
        let it = raise_descriptors(None, 256);
        if let Some(soft) = it.raise_to {
            assert_eq!(getrlimit(Resource::Nofile).current, Some(soft));
        }
        // What was raised stays: a second time there is nothing to do.
        assert_eq!(
            raise_descriptors(None, 256),
            Descriptors {
                raise_to: None,
                ..it
            }
        );
    }
}
