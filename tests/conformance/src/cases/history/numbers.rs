//! Order and number of the entries (client.md, 7.1 and 7.2).

use std::thread;

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::{Event, Message, Session, listed};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "M3.2/order-of-acceptance",
            "what several members have said is replayed in the order in which it was accepted",
            order_of_acceptance,
        ),
        case(
            "M3.2/the-same-order-for-all",
            "what is said at the same time is replayed in the order in which it was distributed",
            the_same_order,
        )
        .connections(4),
        case(
            "M3.3/newest-messages",
            "a history keeps as many messages as the limit says, the newest",
            newest_messages,
        ),
        case(
            "M3.3/newest-announcements",
            "a history keeps as many announcements as the limit says, the newest",
            newest_announcements,
        )
        .connections(JOINERS + 3)
        .company(Company::Alone),
        case(
            "M3.4/nothing-is-kept",
            "with a limit of 0 there is no history",
            nothing_is_kept,
        )
        .connections(4),
    ]
}

/// Goes on only if so much fits in a history.
fn keeps(bench: &Bench, messages: u64) -> Judged {
    const COST: u64 = 300;
    let limits = bench.limits();
    if limits.limit < messages || limits.history_channel_bytes < messages * COST {
        return Err(Stop::Skip(format!(
            "the server keeps less than {messages} messages"
        )));
    }
    Ok(())
}

fn order_of_acceptance(bench: &mut Bench) -> Judged {
    keeps(bench, 16)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut said = Bench::met().to_vec();
    for nth in 0..4 {
        let (first, second) = (format!("alice {nth}"), format!("bob {nth}"));
        alice.say(&first)?;
        bob.hears(&first).map_err(Stop::on_the_way)?;
        bob.say(&second)?;
        alice.hears(&second).map_err(Stop::on_the_way)?;
        said.extend([Message::text(&first), Message::text(&second)]);
    }
    bench.join("carol")?.hears_all(&said)
}

fn the_same_order(bench: &mut Bench) -> Judged {
    const EACH: usize = 20;
    keeps(bench, 2 * EACH as u64 + 2)?;
    let (alice, bob) = bench.pair()?;
    let mut dave = bench.join("dave")?;
    let met = dave.until(Bench::HERE).map_err(Stop::on_the_way)?;
    if met != Bench::met()[..1] {
        let stop = Stop::fail("dave is replayed hello and here", listed(&met));
        return Err(stop.on_the_way());
    }
    let said = thread::scope(|scope| {
        let speak = |mut who: Session| {
            scope.spawn(move || {
                for nth in 0..EACH {
                    let text = format!("{} {nth}", who.who());
                    who.say(&text)?;
                }
                Ok::<_, Stop>(who)
            })
        };
        [alice, bob].map(speak).map(|thread| thread.join())
    });
    // They stay, so that nothing ends before it has been read.
    let mut stay = Vec::new();
    for one in said {
        let stopped = Stop::Inconclusive("a thread of the judge has panicked".into());
        stay.push(one.map_err(|_| stopped)??);
    }
    let mut live = Vec::new();
    for nth in 0..2 * EACH {
        let message = dave.message(&format!("message {nth} of {}", 2 * EACH));
        live.push(message.map_err(Stop::on_the_way)?);
    }
    let mut carol = bench.join("carol")?;
    carol.hears_all(&Bench::met())?;
    carol.hears_all(&live)
}

fn newest_messages(bench: &mut Bench) -> Judged {
    const MORE: u64 = 5;
    const MOST: u64 = 2000;
    let limit = bench.limits().limit;
    if limit == 0 || limit > MOST {
        return Err(Stop::Skip(format!(
            "the server keeps {limit} messages; this is tried with 1 to {MOST}"
        )));
    }
    keeps(bench, limit)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut said = Bench::met().to_vec();
    let all = limit + MORE;
    for nth in 1..=all {
        let text = format!("message {nth}");
        alice.say(&text)?;
        said.push(Message::text(&text));
        // By turns, so that neither has much to wait for.
        if nth % 50 == 0 || nth == all {
            bob.until(&text).map_err(Stop::on_the_way)?;
        }
    }
    let mut carol = bench.join("carol")?;
    let mut heard = carol.until(&format!("message {all}"))?;
    heard.push(Message::text(&format!("message {all}")));
    let kept = usize::try_from(limit).unwrap_or(usize::MAX);
    let newest = &said[said.len() - kept..];
    if heard == newest {
        return Ok(());
    }
    let first = heard.first().map_or("nothing".into(), Message::to_string);
    Err(Stop::fail(
        format!(
            "carol is replayed {kept} messages, from {} to {}",
            newest[0],
            newest[kept - 1]
        ),
        format!("{} messages, the first is {first}", heard.len()),
    ))
}

/// How many join at a time.
const JOINERS: usize = 8;

fn newest_announcements(bench: &mut Bench) -> Judged {
    const MORE: usize = 4;
    const MOST: u64 = 250;
    let limit = bench.limits().limit;
    if limit == 0 || limit > MOST {
        return Err(Stop::Skip(format!(
            "a session is needed for each announcement that is kept, {limit}; this is tried with 1 to {MOST}"
        )));
    }
    if bench.limits().rate_limit.is_some() {
        return Err(Stop::Skip(
            "the server limits new connections, and many are needed".into(),
        ));
    }
    keeps(bench, limit)?;
    let kept = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut alice, bob) = bench.pair()?;
    let mut alice = {
        alice.hears_announcements = true;
        alice
    };
    bob.leave();
    let mut announced = Vec::new();
    let uids: Vec<_> = (0..kept + MORE)
        .map(|nth| format!("joiner {nth}"))
        .collect();
    for some in uids.chunks(JOINERS) {
        let joined: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = some
                .iter()
                .map(|uid| scope.spawn(|| bench.join(uid)))
                .collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        let mut stay = Vec::new();
        for one in joined {
            let stopped = Stop::Inconclusive("a thread of the judge has panicked".into());
            stay.push(one.map_err(|_| stopped)??);
        }
        // In the order in which the server has taken them.
        for _ in some {
            let message = alice.message("an announcement").map_err(Stop::on_the_way)?;
            announced.push(message);
        }
        for session in stay {
            session.vanish();
        }
    }
    alice.say("last")?;
    let mut carol = bench.join("carol")?.hearing_announcements();
    // Alice's is accepted before or after carol's join, and is behind the announcements either way.
    let heard = carol.until("last")?;
    let is_announcement = |message: &Message| message.announces_on(&bench.channel);
    let heard: Vec<_> = heard.into_iter().filter(is_announcement).collect();
    let newest = &announced[announced.len() - kept..];
    if heard == newest {
        return Ok(());
    }
    Err(Stop::fail(
        format!(
            "carol is replayed {kept} announcements, those of the newest {kept} joins of {}",
            announced.len()
        ),
        format!("{} announcements: {}", heard.len(), listed(&heard)),
    ))
}

fn nothing_is_kept(bench: &mut Bench) -> Judged {
    let limit = bench.limits().limit;
    if limit != 0 {
        return Err(Stop::Skip(format!(
            "the server keeps {limit} messages (--set limit=0 would say that it keeps none)"
        )));
    }
    let (mut alice, mut bob) = bench.pair()?;
    alice.say("not kept")?;
    bob.until("not kept").map_err(Stop::on_the_way)?;
    let mut carol = bench.join("carol")?.hearing_announcements();
    // Said again and again, until carol is there to hear it.
    const TRIES: usize = 20;
    for nth in 0..TRIES {
        alice.say(&format!("live {nth}"))?;
        let within = carol.patience() / 8;
        match carol.next_but_pings(within)? {
            Some(Event::Message(message)) if message.payload.starts_with(b"live ") => return Ok(()),
            Some(Event::Ping(_) | Event::Pong(_)) => {}
            Some(other) => {
                let expected = "carol receives nothing that was there before her";
                return Err(Stop::fail(expected, other.to_string()));
            }
            None => alice.note("carol has not heard it; once more"),
        }
    }
    let why = format!("carol has not heard any of {TRIES} messages");
    Err(Stop::Inconclusive(why))
}
