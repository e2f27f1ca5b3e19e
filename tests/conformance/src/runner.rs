//! Running cases side by side.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Case, Company, Stop, Verdict};
use crate::{Bench, Target};

/// How cases are to be run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// How many connections the judge has at most at a time.
    pub connections: usize,
    /// Cases that last longer are skipped.
    pub longest: Option<Duration>,
    /// Whether cases are run that disturb the server's other users, and shut it down if it is known how.
    pub disruptive: bool,
}

/// What a case waits for before it begins.
struct Room {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Room {
    fn take(&self, wanted: usize) {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free < wanted);
        *waited.unwrap_or_else(PoisonError::into_inner) -= wanted;
    }

    fn give(&self, count: usize) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += count;
        self.freed.notify_all();
    }
}

/// Runs these cases, and hands each verdict over as it is there.
pub fn run(target: &Arc<Target>, cases: &[Case], how: Run, mut told: impl FnMut(Verdict) + Send) {
    let (mut crowd, mut others) = (Vec::new(), Vec::new());
    for case in cases {
        if let Some(why) = why_not(case, target, how) {
            told(skipped(case, why));
        } else if case.company == Company::Any {
            crowd.push(case);
        } else {
            others.push(case);
        }
    }
    // What lasts longest begins first.
    crowd.sort_by_key(|case| std::cmp::Reverse((case.lasts)(&target.limits)));
    others.sort_by_key(|case| case.company);
    side_by_side(target, &crowd, how.connections, &mut told);
    for case in others {
        told(run_one(target, case));
    }
}

fn side_by_side(
    target: &Arc<Target>,
    cases: &[&Case],
    connections: usize,
    told: &mut (impl FnMut(Verdict) + Send),
) {
    let room = Room {
        free: Mutex::new(connections),
        freed: Condvar::new(),
    };
    let told = Mutex::new(told);
    thread::scope(|scope| {
        for case in cases {
            let wanted = case.connections.min(connections);
            room.take(wanted);
            let (room, told) = (&room, &told);
            scope.spawn(move || {
                let verdict = run_one(target, case);
                room.give(wanted);
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told(verdict);
            });
        }
    });
}

fn why_not(case: &Case, target: &Target, how: Run) -> Option<String> {
    let lasts = (case.lasts)(&target.limits);
    if how.longest.is_some_and(|longest| lasts > longest) {
        let seconds = lasts.as_secs_f32();
        return Some(format!("it takes {seconds:.0} s, and --slow was not given"));
    }
    match case.company {
        Company::Any | Company::Alone => None,
        Company::Disruptive if how.disruptive => None,
        Company::Disruptive => {
            Some("it disturbs the server's other users, and --disruptive was not given".into())
        }
        Company::Last if target.shutdown.is_some() => None,
        Company::Last => {
            Some("how to shut the server down was not given (--shutdown-command)".into())
        }
    }
}

fn skipped(case: &Case, why: String) -> Verdict {
    Verdict {
        case: case.clone(),
        result: Err(Stop::Skip(why)),
        transcript: Vec::new(),
        took: Duration::ZERO,
    }
}

/// Runs one case.
pub fn run_one(target: &Arc<Target>, case: &Case) -> Verdict {
    let began = Instant::now();
    let mut bench = Bench::new(target.clone(), case);
    let result = catch_unwind(AssertUnwindSafe(|| case.run(&mut bench)));
    let result = result.unwrap_or_else(|_| {
        Err(Stop::Inconclusive(
            "the judge has panicked; please report what it printed".into(),
        ))
    });
    Verdict {
        case: case.clone(),
        result,
        transcript: bench.transcript().lines(),
        took: began.elapsed(),
    }
}
