//! What entries cost, and the bound of a channel (client.md, 7.3).

use super::book::{Book, CHANNEL_FLAT, bound};
use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::Message;
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    [
        case(
            "M3.5/payload-and-64",
            "entries that cost exactly the bound of a channel, payload, uid and 64 each, are all kept",
            |bench| filled(bench, "alice", 0, Costs::Fit),
        ),
        case(
            "M3.5/a-byte-more",
            "entries that cost one byte more than the bound of a channel lose the oldest",
            |bench| filled(bench, "alice", 0, Costs::OneMore),
        ),
        case(
            "M3.5/bytes-of-the-uid-fit",
            "a uid costs its bytes in UTF-8 for each entry: what fits exactly is all kept",
            |bench| filled(bench, &"ü\u{1f30d}".repeat(60), MANY, Costs::Fit),
        ),
        case(
            "M3.5/bytes-of-the-uid-a-byte-more",
            "a uid costs its bytes in UTF-8 for each entry: one byte more loses the oldest",
            |bench| filled(bench, &"ü\u{1f30d}".repeat(60), MANY, Costs::OneMore),
        ),
        case(
            "M3.6/oldest-first",
            "the oldest entries give way, announcements as well as messages, and no more than have to",
            oldest_first,
        ),
        case(
            "M3.6/without-the-channel",
            "the name of a channel does not count in the bound of its entries",
            without_the_channel,
        ).connections(4),
        case(
            "M3.8/above-the-channels-bound",
            "a message that costs more than the bound of a channel is distributed, not stored, and displaces nothing",
            above_the_bound,
        ),
        case(
            "M3.8/as-long-as-the-channels-bound",
            "a message that costs exactly the bound of a channel is stored",
            exactly_the_bound,
        ),
        case(
            "M3.8/above-the-total",
            "a message that with its channel costs more than the total bound is distributed, not stored, and displaces nothing",
            above_the_total,
        ).connections(4),
        case(
            "M3.10/older-announcement-first",
            "an announcement takes the place of the older one before the bound is applied",
            older_announcement_first,
        ),
        case(
            "M3.10/limit-before-bound",
            "the limit is applied before the bound of the channel",
            limit_before_bound,
        ),
    ]
    .map(alone)
    .into()
}

/// What a history is filled to.
#[derive(Clone, Copy)]
enum Costs {
    Fit,
    OneMore,
}

/// How many small entries show what an entry costs.
const MANY: u64 = 60;

/// Fills a history with so many small entries and some big ones.
fn filled(bench: &mut Bench, uid: &str, small: u64, costs: Costs) -> Judged {
    let bound = bound(bench)?;
    let mut book = Book::open(bench, uid)?;
    let each = book.overhead() + 20;
    // Not more than there is room for.
    let small = small.min(bench.limits().limit / 2).min(bound / 2 / each);
    book.say_many(small, each)?;
    match costs {
        Costs::Fit => {
            book.fill(bench, 0)?;
            bench.note(format!("the entries cost {} bytes now", book.cost()));
        }
        Costs::OneMore => {
            let last = book.overhead() + 40;
            book.fill(bench, last)?;
            bench.note(format!("the entries cost {} bytes now", book.cost()));
            book.say(last + 1)?;
        }
    }
    book.read(bench)
}

fn oldest_first(bench: &mut Bench) -> Judged {
    bound(bench)?;
    let mut book = Book::open(bench, "alice")?;
    // First an announcement, then an announcement and two messages.
    book.fill(bench, 0)?;
    for count in [1, 3] {
        book.say(book.cost_of_first(count))?;
        book.read(bench)?;
    }
    Ok(())
}

fn without_the_channel(bench: &mut Bench) -> Judged {
    bound(bench)?;
    bench.channel.push_str(&" long".repeat(100));
    let mut book = Book::open(bench, "alice")?;
    book.fill(bench, 0)?;
    book.read(bench)
}

/// Goes on only if a message may be so long.
fn sendable(bench: &Bench, cost: u64) -> Judged {
    match cost <= bench.limits().max_message {
        true => Ok(()),
        false => Err(Stop::Skip(
            "the largest message does not cost as much as the bound".into(),
        )),
    }
}

fn above_the_bound(bench: &mut Bench) -> Judged {
    let bound = bound(bench)?;
    sendable(bench, bound)?;
    let mut book = Book::open(bench, "alice")?;
    book.say(200)?;
    distributed(bench, &mut book, bound + 1)?;
    book.say(201)?;
    book.read(bench)
}

/// Alice says something that costs so much, and bob hears it: that is what the case is about.
fn distributed(bench: &Bench, book: &mut Book, cost: u64) -> Judged {
    let length = cost - book.overhead();
    let payload = vec![b'x'; usize::try_from(length).unwrap_or(usize::MAX)];
    let time = bench.time_for(length);
    for session in [&mut book.alice, &mut book.bob] {
        session.connection().patience = time;
    }
    book.alice.send(&Frame::binary(payload.clone()))?;
    book.bob.hears_message(&Message::binary(payload))
}

fn exactly_the_bound(bench: &mut Bench) -> Judged {
    let bound = bound(bench)?;
    sendable(bench, bound)?;
    let mut book = Book::open(bench, "alice")?;
    book.say(200)?;
    for session in [&mut book.alice, &mut book.bob] {
        session.connection().patience = bench.time_for(bound);
    }
    book.say(bound)?;
    book.read(bench)
}

fn above_the_total(bench: &mut Bench) -> Judged {
    let limits = bench.limits();
    let own = CHANNEL_FLAT + bench.channel.len() as u64;
    let (total, bound) = (limits.history_bytes, limits.history_channel_bytes);
    if bound + own <= total {
        return Err(Stop::Skip(
            "what the bound of a channel lets in never costs more than the total bound".into(),
        ));
    }
    if limits.limit < 8 || !(16 << 10..=64 << 20).contains(&total) {
        return Err(Stop::Skip("the history is too small, or too large".into()));
    }
    sendable(bench, total)?;
    let mut book = Book::open(bench, "alice")?;
    book.say(200)?;
    distributed(bench, &mut book, total - own + 1)?;
    // The model knows of the channel's bound only, so that what was too long is not in it.
    book.say(201)?;
    book.read(bench)
}

fn older_announcement_first(bench: &mut Bench) -> Judged {
    bound(bench)?;
    let mut book = Book::open(bench, "alice")?;
    book.fill(bench, 0)?;
    // Carol's announcement is there from before: with each of her joins a newer one takes its place.
    book.read(bench)?;
    book.read(bench)
}

fn limit_before_bound(bench: &mut Bench) -> Judged {
    let bound = bound(bench)?;
    let limit = bench.limits().limit;
    if limit > 1000 {
        return Err(Stop::Skip(format!("the server keeps {limit} messages")));
    }
    let mut book = Book::open(bench, "alice")?;
    // As many messages as the limit says, and as many bytes as the bound says.
    let small = book.overhead() + 20;
    if (limit + 4) * small > bound / 2 {
        return Err(Stop::Skip(format!(
            "the bound of a channel, {bound} bytes, has no room for {limit} messages"
        )));
    }
    let missing = |book: &Book| limit.saturating_sub(book.messages() + book.count_to_fill(bench));
    while missing(&book) > 0 {
        book.say_many(missing(&book), small)?;
    }
    book.fill(bench, 0)?;
    // The oldest message gives way to one that costs as much as it, and nothing else does.
    book.say(book.overhead() + Bench::HELLO.len() as u64)?;
    book.read(bench)
}
