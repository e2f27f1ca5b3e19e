//! What a joiner receives (section 5.2).

use std::thread;

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::{Message, Session, listed};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "J2.1/oldest-first",
            "a joiner receives the history first, oldest entry first",
            oldest_first,
        ),
        case(
            "J2.1/whole-history",
            "a joiner receives as many messages as the history keeps",
            whole_history,
        ),
        case(
            "J2.1/own-messages",
            "who joins again receives the messages of its earlier session too",
            own_messages,
        ),
        case(
            "J2.1/before-what-is-live",
            "a joiner receives the history before anything that was accepted after its join",
            before_what_is_live,
        ),
        case(
            "J2.2/type-and-bytes",
            "messages are replayed with the type and the bytes that they had",
            type_and_bytes,
        ),
        case(
            "J2.3/join-while-others-send",
            "who joins while others send misses nothing, and hears nothing twice or out of order",
            join_while_others_send,
        ).connections(4),
        case(
            "J2.3/behind-a-long-replay",
            "what is accepted while a long replay is under way comes behind it, in order",
            behind_a_long_replay,
        )
        .company(Company::Alone),
        case(
            "J2.4/evicted-after-the-join",
            "what the history loses while a joiner still receives its replay is replayed nevertheless",
            evicted_after_the_join,
        )
        .company(Company::Alone),
        case(
            "J2.5/not-this-join",
            "the replay does not contain the announcement of the join that it is for",
            not_this_join,
        ),
        case(
            "J2.5/older-announcement",
            "the replay contains the announcement of an earlier join of the same uid",
            older_announcement,
        ),
    ]
}

/// The messages are these, and nothing else.
fn same(came: &[Message], expected: &[Message], what: &str) -> Judged {
    let differ = came
        .iter()
        .zip(expected)
        .position(|(came, expected)| !came.equals(expected));
    match differ {
        None if came.len() == expected.len() => Ok(()),
        None => Err(Stop::fail(
            format!("{what}: {} messages", expected.len()),
            format!("{} messages: {}", came.len(), listed(came)),
        )),
        Some(at) => Err(Stop::fail(
            format!("{what}; message {} of it is {}", at + 1, expected[at]),
            came[at].to_string(),
        )),
    }
}

fn texts(prefix: &str, count: u64) -> Vec<Message> {
    let text = |number| Message::text(&format!("{prefix} {number}"));
    (1..=count).map(text).collect()
}

fn frames(messages: &[Message]) -> Vec<Frame> {
    let frame = |message: &Message| match message.text {
        true => Frame::text(message.payload.clone()),
        false => Frame::binary(message.payload.clone()),
    };
    messages.iter().map(frame).collect()
}

/// What a new session of this uid hears up to a marker of this speaker's, announcements left out.
fn replayed(bench: &mut Bench, uid: &str, speaker: &mut Session) -> Judged<Vec<Message>> {
    let mut joiner = bench.join(uid)?;
    let marker = bench.marker();
    speaker.say(&marker)?;
    joiner.until(&marker)
}

/// Alice says all of these, and bob has heard them: they are in the history.
fn told(alice: &mut Session, bob: &mut Session, messages: &[Message]) -> Judged {
    alice.send_together(&frames(messages))?;
    bob.hears_all(messages).map_err(Stop::on_the_way)
}

fn oldest_first(bench: &mut Bench) -> Judged {
    bench.keeps(20, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut expected = Bench::met().to_vec();
    for number in 1..=4 {
        // In this order, since each has heard the other.
        let (from_alice, from_bob) = (texts("alice", number), texts("bob", number));
        told(&mut alice, &mut bob, &from_alice[from_alice.len() - 1..])?;
        told(&mut bob, &mut alice, &from_bob[from_bob.len() - 1..])?;
        expected.extend(from_alice.last().cloned());
        expected.extend(from_bob.last().cloned());
    }
    let came = replayed(bench, "carol", &mut alice)?;
    same(&came, &expected, "the history, oldest first")
}

fn whole_history(bench: &mut Bench) -> Judged {
    bench.keeps(4, 0)?;
    let limits = bench.limits();
    // Not more than the bytes allow either.
    let count = limits.limit.min(200);
    let count = count.min(limits.history_channel_bytes.min(limits.history_bytes / 2) / 512);
    let (mut alice, mut bob) = bench.pair()?;
    let expected = texts("message", count - 2);
    told(&mut alice, &mut bob, &expected)?;
    let all = [&Bench::met()[..], &expected].concat();
    // The marker may push the first out before the join.
    let mut joiner = bench.join("carol")?;
    joiner.hears_all(&all)
}

fn own_messages(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (alice, mut bob) = bench.pair()?;
    alice.leave();
    let came = replayed(bench, "alice", &mut bob)?;
    same(
        &came,
        &Bench::met(),
        "the history, her own message included",
    )
}

fn before_what_is_live(bench: &mut Bench) -> Judged {
    bench.keeps(20, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let before = texts("before", 5);
    told(&mut alice, &mut bob, &before)?;
    let mut carol = bench.join("carol")?;
    // Once bob has heard carol, what alice says comes after the join.
    bench
        .fence(&mut carol, &mut bob)
        .map_err(Stop::on_the_way)?;
    let after = texts("after", 5);
    alice.send_together(&frames(&after))?;
    let expected = [&Bench::met()[..], &before, &after].concat();
    carol.hears_all(&expected)
}

fn type_and_bytes(bench: &mut Bench) -> Judged {
    bench.keeps(20, 200_000)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut messages = vec![
        Message::text("Grüße, 世界 \u{1f30d}"),
        Message::binary("Grüße, 世界 \u{1f30d}"),
        Message::text("\u{feff} \t{\"not\": \"looked at\"}\n\0"),
        Message::text(""),
        Message::binary([]),
        Message::binary([0xff, 0, 0xfe, 0x80]),
        Message::binary(vec![0xa5; 70_000]),
        Message::text(&"x".repeat(66_000)),
        Message::binary(vec![1; 125]),
        Message::binary(vec![2; 126]),
        Message::binary(vec![3; 65_535]),
    ];
    let most = bench.limits().max_message;
    messages.retain(|message| message.payload.len() as u64 <= most);
    for message in &messages {
        told(&mut alice, &mut bob, std::slice::from_ref(message))?;
    }
    let came = replayed(bench, "carol", &mut alice)?;
    let expected = [&Bench::met()[..], &messages].concat();
    same(&came, &expected, "the history as it was sent")
}

fn join_while_others_send(bench: &mut Bench) -> Judged {
    const ROUNDS: u64 = 4;
    const EACH: u64 = 16;
    bench.keeps(ROUNDS * EACH * 2 + 10, 0)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut witness = bench.join("witness")?;
    bench
        .fence(&mut alice, &mut witness)
        .map_err(Stop::on_the_way)?;
    let mut all = Vec::new();
    for round in 1..=ROUNDS {
        let mut joiner = bench.open(&format!("joiner {round}"))?;
        let header = bench.header(joiner.who());
        let say = |from: &mut Session, name: &str| -> Judged {
            (0..EACH).try_for_each(|number| from.say(&format!("{name} {round}.{number}")))
        };
        // All three send at once.
        let (a, b, c) = thread::scope(|scope| {
            let a = scope.spawn(|| say(&mut alice, "alice"));
            let b = scope.spawn(|| say(&mut bob, "bob"));
            let c = joiner.say(&header);
            (a.join(), b.join(), c)
        });
        c?;
        for said in [a, b] {
            said.map_err(|_| Stop::Inconclusive("the judge has panicked".into()))??;
        }
        // What the joiner receives is what there was before, and then what the witness receives.
        for _ in 0..EACH * 2 {
            let message = witness.message("what alice and bob have said");
            all.push(message.map_err(Stop::on_the_way)?);
        }
        let marker = bench.marker();
        alice.say(&marker)?;
        witness.hears(&marker).map_err(Stop::on_the_way)?;
        let came = joiner.until(&marker)?;
        let mut before: Vec<_> = Bench::met().into();
        before.push(Message::text("marker 1"));
        let expected = [&before[..], &all].concat();
        same(&came, &expected, "each message once, in one order for all")?;
        all.push(Message::text(&marker));
        joiner.leave();
    }
    Ok(())
}

/// How many large messages a history is filled with, and how long they are. Together they are more than a socket takes
/// at once, if there is room for that.
fn large(bench: &Bench) -> Judged<(u64, u64)> {
    bench.keeps(8, 1 << 20)?;
    let limits = bench.limits();
    let bound = limits.history_channel_bytes.min(limits.history_bytes / 8);
    let total = (bound * 3 / 4).min(6 << 20);
    bench.replays_have_time(total)?;
    let count = limits.limit.min(100) / 2;
    let size = (total / count).min(limits.max_message).min(1 << 18);
    Ok((count, size))
}

/// Fills the history with large messages, which bob hears one by one.
fn filled(bench: &mut Bench) -> Judged<(Session, Session, Vec<Message>)> {
    let (count, size) = large(bench)?;
    let (mut alice, mut bob) = bench.pair()?;
    let mut history: Vec<_> = Bench::met().into();
    for number in 0..count {
        let mut payload = vec![b'x'; usize::try_from(size).unwrap_or(1)];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        let message = Message::binary(payload);
        let sent = told(&mut alice, &mut bob, std::slice::from_ref(&message));
        sent.map_err(Stop::on_the_way)?;
        history.push(message);
    }
    Ok((alice, bob, history))
}

/// A joiner that does not read, and is a member.
fn joiner(bench: &mut Bench, bob: &mut Session) -> Judged<Session> {
    let mut carol = bench.open_slim("carol")?;
    carol.say(&bench.header("carol"))?;
    bench.fence(&mut carol, bob).map_err(Stop::on_the_way)?;
    Ok(carol)
}

fn behind_a_long_replay(bench: &mut Bench) -> Judged {
    let (mut alice, mut bob, history) = filled(bench)?;
    let mut carol = joiner(bench, &mut bob)?;
    let live = texts("live", 10);
    told(&mut alice, &mut bob, &live)?;
    let heard = carol.hears_all(&history);
    let heard = heard.and_then(|()| carol.hears_all(&live));
    super::tidy(bench, &mut bob);
    heard
}

fn evicted_after_the_join(bench: &mut Bench) -> Judged {
    let limits = bench.limits();
    // What evicts waits in the outbox behind the replay.
    if limits.limit > 1000 || limits.limit * 64 > limits.outbox {
        let why = "the server's limit is too high for a history to be pushed out quickly";
        return Err(Stop::Skip(why.into()));
    }
    let limit = limits.limit;
    let (mut alice, mut bob, history) = filled(bench)?;
    let mut carol = joiner(bench, &mut bob)?;
    let live = texts("live", limit);
    told(&mut alice, &mut bob, &live)?;
    carol.hears_all(&history)?;
    carol.hears_all(&live)
}

fn not_this_join(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, _bob) = bench.pair()?;
    let (came, _carol) = bench.replay("carol", &mut alice)?;
    let own = Message::announcement("carol", &bench.channel);
    match came.iter().any(|message| message.equals(&own)) {
        false => Ok(()),
        true => Err(Stop::fail(
            "carol does not receive the announcement of her own join",
            listed(&came),
        )),
    }
}

fn older_announcement(bench: &mut Bench) -> Judged {
    bench.keeps(10, 0)?;
    let (mut alice, bob) = bench.pair()?;
    bob.leave();
    let (came, _bob) = bench.replay("bob", &mut alice)?;
    let older = Message::announcement("bob", &bench.channel);
    let count = came.iter().filter(|message| message.equals(&older));
    match count.count() {
        1 => Ok(()),
        _ => Err(Stop::fail(
            "bob receives the announcement of his earlier join, once",
            listed(&came),
        )),
    }
}
