//! Running cases side by side.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::NO_PEERS;
use crate::case::{Case, Company, Judged, Procedure, Stop, Verdict};
use crate::transcript::Transcript;
use crate::{Bench, Site, Stand, Subject};

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
pub fn run(subject: &Subject, cases: &[Case], how: Run, mut told: impl FnMut(Verdict) + Send) {
    let (mut crowd, mut others) = (Vec::new(), Vec::new());
    for case in cases {
        if let Some(why) = why_not(case, subject, how) {
            told(skipped(case, why));
        } else if case.company == Company::Any {
            crowd.push(case);
        } else {
            others.push(case);
        }
    }
    // What lasts longest begins first.
    crowd.sort_by_key(|case| std::cmp::Reverse((case.lasts)(subject.limits())));
    others.sort_by_key(|case| case.company);
    let connections = subject.limits().connections(how.connections);
    side_by_side(subject, &crowd, connections, &mut told);
    for case in others {
        told(run_one(subject, case));
    }
}

fn side_by_side(
    subject: &Subject,
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
                let verdict = run_one(subject, case);
                room.give(wanted);
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told(verdict);
            });
        }
    });
}

/// With fewer connections that are not sessions yet, a case displaces its own.
const FEW: u64 = 8;

fn why_not(case: &Case, subject: &Subject, how: Run) -> Option<String> {
    let lasts = (case.lasts)(subject.limits());
    if how.longest.is_some_and(|longest| lasts > longest) {
        let seconds = lasts.as_secs_f32();
        return Some(format!("it takes {seconds:.0} s, and --slow was not given"));
    }
    if case.needs_peers() && !takes_peers(subject) {
        return Some(NO_PEERS.to_owned());
    }
    let most = subject.limits().max_sessions;
    let too_many = most.is_some_and(|most| case.connections as u64 > most);
    match case.company {
        Company::Any | Company::Alone
            if subject.limits().filelimit.is_some_and(|limit| limit < FEW) =>
        {
            Some(
                "the server takes very few connections that are not sessions yet (filelimit)"
                    .into(),
            )
        }
        Company::Any | Company::Alone if too_many => Some(format!(
            "it may have {} sessions at a time, more than the server takes (max-sessions)",
            case.connections
        )),
        Company::Any | Company::Alone => None,
        Company::Disruptive if how.disruptive => None,
        Company::Disruptive => {
            Some("it disturbs the server's other users, and --disruptive was not given".into())
        }
        Company::Last if can_shut_down(subject) => None,
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

fn takes_peers(subject: &Subject) -> bool {
    match subject {
        Subject::Server(target) => target.peer_key.is_some(),
        Subject::Client(_) | Subject::Dialer(_) => true,
    }
}

fn can_shut_down(subject: &Subject) -> bool {
    match subject {
        Subject::Server(target) => target.shutdown.is_some(),
        Subject::Client(_) | Subject::Dialer(_) => true,
    }
}

/// Runs one case.
pub fn run_one(subject: &Subject, case: &Case) -> Verdict {
    let began = Instant::now();
    let (result, transcript) = match (subject, case.procedure()) {
        (Subject::Server(target), Procedure::Server(procedure)) => {
            let mut bench = Bench::new(target.clone(), case);
            let result = caught(|| procedure(&mut bench));
            (result, bench.transcript().clone())
        }
        (Subject::Client(program), Procedure::Client(procedure)) => {
            let mut stand = Stand::new(program.clone(), case);
            let result = caught(|| procedure(&mut stand));
            (result, stand.transcript().clone())
        }
        (Subject::Dialer(program), Procedure::Dialer(procedure)) => {
            let mut site = Site::new(program.clone(), case);
            let result = caught(|| procedure(&mut site));
            (result, site.transcript().clone())
        }
        (Subject::Server(_) | Subject::Dialer(_), Procedure::Client(_)) => (
            Err(Stop::Skip("it is about clients (--client)".into())),
            Transcript::new(),
        ),
        (Subject::Client(_) | Subject::Dialer(_), Procedure::Server(_)) => (
            Err(Stop::Skip("it is about servers that run already".into())),
            Transcript::new(),
        ),
        (Subject::Server(_) | Subject::Client(_), Procedure::Dialer(_)) => (
            Err(Stop::Skip(
                "it is about servers that dial (--dialer)".into(),
            )),
            Transcript::new(),
        ),
    };
    Verdict {
        case: case.clone(),
        result,
        transcript: transcript.lines(),
        took: began.elapsed(),
    }
}

/// What the procedure gives, also if the judge is at fault.
fn caught(procedure: impl FnOnce() -> Judged) -> Judged {
    catch_unwind(AssertUnwindSafe(procedure)).unwrap_or_else(|_| {
        Err(Stop::Inconclusive(
            "the judge has panicked; please report what it printed".into(),
        ))
    })
}
