//! Each clause of the specification has a case, or a reason why it can't be judged from outside; none has both.

use std::collections::BTreeSet;

use mles_conformance::{cases, clause};

#[test]
fn every_clause_has_a_case_or_a_reason() {
    let judged: BTreeSet<_> = cases::all()
        .iter()
        .map(|case| case.clause_id().to_owned())
        .collect();
    let mut reasons = BTreeSet::new();
    for (id, why) in cases::UNJUDGED {
        assert!(clause::find(id).is_some(), "{id} is no clause");
        assert!(reasons.insert(*id), "{id} has two reasons");
        assert!(!judged.contains(*id), "{id} has a case and a reason");
        assert!(why.len() > 20 && !why.ends_with('.'), "{id}: {why:?}");
    }
    let neither: Vec<_> = clause::all()
        .iter()
        .map(|clause| clause.id)
        .filter(|id| !judged.contains(*id) && !reasons.contains(id))
        .collect();
    assert!(
        neither.is_empty(),
        "neither a case nor a reason: {neither:?}"
    );
}
