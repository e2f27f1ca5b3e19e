//! The same clients, by the same script, at both programs: each gets the same bytes. What a program sends is its
//! trace.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use black_box::{Binary, Pair};
use stage::{Step, perform};

mod difference;
mod refusals;
mod sessions;
mod stage;
mod violations;

use refusals::{
    bad_headers, http_refusals, no_room, pages_and_upgrades, plain_and_garbage, slow_head,
    wrong_auth,
};
use sessions::{
    a_channel, a_lagging_member, a_newcomer_waits, closing, history_for_late_joiners,
    one_place_for_a_pair, silence, the_server_leaves, times,
};
use violations::{at_fault_before_the_join, at_fault_in_a_channel, no_room_for_a_message};

// One program with itself would only show that there is nothing random in a trace.
black_box::tests_of! {
    smol_std: &black_box::Pair(black_box::SMOL, black_box::STD);
    a_channel,
    a_lagging_member,
    a_newcomer_waits,
    at_fault_before_the_join,
    at_fault_in_a_channel,
    bad_headers,
    closing,
    history_for_late_joiners,
    http_refusals,
    no_room,
    no_room_for_a_message,
    one_place_for_a_pair,
    pages_and_upgrades,
    plain_and_garbage,
    silence,
    slow_head,
    the_server_leaves,
    times,
    wrong_auth,
}

/// A server, what happens there, and what has to be in its trace, lest nothing should have happened.
struct Scene {
    args: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
    steps: Vec<Step>,
    shows: &'static [&'static str],
}

impl Scene {
    /// Has both programs play it, and compares what they said.
    #[track_caller]
    fn compare(&self, pair: &Pair) {
        let play =
            |binary: Binary| move || perform(&binary, self.args, self.variables, &self.steps);
        let [one, other] = std::thread::scope(|scope| {
            let playing = [pair.0, pair.1].map(|binary| scope.spawn(play(binary)));
            playing.map(|it| it.join().unwrap())
        });
        let text = one.join("\n");
        for part in self.shows {
            assert!(
                text.contains(part),
                "{}: no {part:?} in {text}",
                pair.0.name
            );
        }
        if let Some(difference) = difference::between(&one, &other) {
            panic!("- {}\n+ {}\n{difference}", pair.0.name, pair.1.name);
        }
        let in_vain = [stage::NOTHING, stage::AWAY];
        assert!(
            !in_vain.iter().any(|part| text.contains(part)),
            "the script waits in vain:\n{text}"
        );
    }
}
