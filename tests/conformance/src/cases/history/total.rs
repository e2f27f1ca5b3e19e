//! The bound of all histories (client.md, M3.7 and M3.9).

use super::book::{Book, bound};
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::listed;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "M3.7/least-active-first",
            "above the total bound, the channels without activity for longest lose their entries, and the others none",
            least_active_first,
        )
        .connections(6)
        .company(Company::Disruptive),
        case(
            "M3.9/costs-nothing",
            "a channel with neither members nor entries takes nothing from the total bound",
            costs_nothing,
        ).connections(4)
        .company(Company::Disruptive),
    ]
}

fn least_active_first(bench: &mut Bench) -> Judged {
    // Room in each channel for what little comes later.
    const LEAVING: u64 = 2000;
    let bound = bound(bench)?;
    let total = bench.limits().history_bytes;
    let fit = total / bound;
    if total > 256 << 20 || fit < 5 || (fit + 3) * LEAVING > bound / 2 {
        return Err(Stop::Skip(format!(
            "this is tried with a total bound of up to 256 MiB that holds five full channels or more; \
             it is {total} bytes, and the bound of a channel {bound}"
        )));
    }
    // What is above the total is more than one channel and less than three.
    let count = fit + if total % bound > bound / 2 { 3 } else { 2 };
    let quiet = bench.another_channel();
    let mut first = Book::open(bench, "alice")?;
    first.fill(bench, LEAVING)?;
    let mut last = None;
    for nth in 1..count {
        let channel = match nth {
            1 => quiet.clone(),
            _ => bench.another_channel(),
        };
        if let Some(before) = last.take() {
            Book::leave(before);
        }
        let mut book = Book::open_on(bench, "alice", &channel)?;
        book.fill(bench, LEAVING)?;
        last = Some(book);
        // The channel that was filled first is not one of those that were quiet for longest.
        if nth == 3 {
            bench.note("there is activity on the first channel again");
            first.say(first.overhead() + 20)?;
        }
    }
    bench.note("the channels that are to be whole: the one filled last, and the first");
    if let Some(mut last) = last {
        last.read(bench)?;
        last.leave();
    }
    first.read(bench)?;
    first.leave();
    bench.note("the channel that was quiet for longest");
    let mut dave = bench.join_on("dave", &quiet)?;
    let mut erin = bench.join_on("erin", &quiet)?;
    erin.say(MARKER)?;
    let heard = dave.until(MARKER)?;
    match heard.is_empty() {
        true => Ok(()),
        false => Err(Stop::fail(
            "the channel that was quiet for longest has lost its messages, \
             for newer ones on others exceed the total bound by more than what it held",
            listed(&heard),
        )),
    }
}

const MARKER: &str = "nothing before this";

fn costs_nothing(bench: &mut Bench) -> Judged {
    // Names so long that few channels would fill the total by themselves.
    const NAME: usize = 3900;
    const MOST: u64 = 1 << 20;
    let total = bench.limits().history_bytes;
    if !(64 << 10..=MOST).contains(&total) {
        return Err(Stop::Skip(format!(
            "too many channels would be needed for a total bound of {total} bytes; \
             this is tried with 64 KiB to 1 MiB (--set history-bytes=…)"
        )));
    }
    if bench.limits().limit < 8 || bench.limits().rate_limit.is_some() {
        return Err(Stop::Skip(
            "the server keeps too little, or takes too few connections".into(),
        ));
    }
    let channels = total / NAME as u64 * 3 / 2;
    for nth in 0..channels {
        let name = format!("{} {nth} ", bench.another_channel());
        let name = format!("{name:x<NAME$}");
        let mut session = bench.join_on("alice", &name)?;
        // That she has been there: her close frame is answered with 1000, behind the join.
        session.say("there")?;
        session.leave();
    }
    let (mut alice, mut bob) = bench.pair()?;
    let mut said = Bench::met().to_vec();
    for nth in 0..3 {
        let text = format!("kept {nth}");
        alice.say(&text)?;
        bob.hears(&text).map_err(Stop::on_the_way)?;
        said.push(crate::session::Message::text(&text));
    }
    bench.join("carol")?.hears_all(&said)
}
