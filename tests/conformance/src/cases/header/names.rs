//! Names are compared byte for byte.

use super::{accepted_before, random_letters};
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};
use crate::session::listed;
use crate::wire::Frame;

/// Names that somebody could take for one, and what they differ in.
const ALIKE: [(&str, &str, &str); 8] = [
    ("case", "Name", "name"),
    ("normalisation", "\u{e9}", "e\u{301}"),
    ("compatibility", "\u{fb01}n", "fin"),
    ("folding", "stra\u{df}e", "strasse"),
    ("space-behind", "a b", "a b "),
    ("space-ahead", "x", " x"),
    ("byte-order-mark", "name", "\u{feff}name"),
    ("width", "1", "\u{ff11}"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (point, one, other) in ALIKE {
        let title = format!("{one:?} and {other:?} in the name of a channel are two channels");
        let run = move |bench: &mut Bench| two_channels(bench, one, other);
        cases.push(case(format!("H2.4/channels-by-{point}"), title, run).connections(4));
        let title = format!("{one:?} and {other:?} on a channel are two uids");
        let run = move |bench: &mut Bench| two_uids(bench, one, other);
        cases.push(case(format!("H2.4/uids-by-{point}"), title, run).connections(3));
    }
    cases
}

fn two_channels(bench: &mut Bench, one: &str, other: &str) -> Judged {
    // What they differ in stands at the beginning of a name, and at its end.
    let own = random_letters(10);
    let (one, other) = (format!("{one}{own}{one}"), format!("{other}{own}{other}"));
    let mut alice = bench.join_on("alice", &one)?;
    let mut bob = bench.join_on("bob", &one)?;
    bench.meet(&mut alice, &mut bob)?;
    let mut carol = bench.join_on("carol", &other)?;
    let mut dave = bench.join_on("dave", &other)?;
    bench.meet(&mut carol, &mut dave)?;
    let marker = bench.marker();
    carol.say(&marker)?;
    dave.until(&marker).map_err(Stop::on_the_way)?;
    let heard = bench.fence(&mut bob, &mut alice);
    let heard = heard.map_err(Stop::on_the_way)?;
    match heard.is_empty() {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("nothing said on {other:?} reaches {one:?}"),
            listed(&heard),
        )),
    }
}

fn two_uids(bench: &mut Bench, one: &str, other: &str) -> Judged {
    let channel = bench.channel.clone();
    let mut first = bench.join_as("first", one)?;
    let mut carol = bench.join("carol")?;
    bench.meet(&mut carol, &mut first)?;
    let header = Frame::text(bench.header(other));
    let what = format!("{other:?} beside {one:?}");
    // Who is taken for the first is closed when the first answers a ping.
    accepted_before(bench, &mut first, &[header], other, &channel, &what)
}
