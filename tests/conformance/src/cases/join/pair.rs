//! One session for each pair (section 5.1).

use std::time::{Duration, Instant};

use super::same_pair::{SECOND, STEP, says};
use crate::bench::{Bench, lasted};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::session::{Event, Session, listed};
use crate::wire::Frame;
use crate::{Limits, Message};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "J1.2/ping-at-once",
            "the incumbent is sent a ping as soon as a newcomer's header has come in",
            ping_at_once,
        ),
        case(
            "J1.2/receives-nothing",
            "a newcomer that waits receives nothing: no replay and no message",
            receives_nothing,
        ),
        case(
            "J1.2/nothing-processed",
            "nothing that a newcomer sends behind its header is processed while it waits",
            nothing_processed,
        ),
        case(
            "J1.2/incumbent-as-it-is",
            "an incumbent goes on as before while a newcomer waits",
            incumbent_as_it_is,
        ),
        case(
            "J1.3/newcomer-closed",
            "as soon as the incumbent has answered the ping, the newcomer is closed with 4002",
            newcomer_closed,
        ),
        case(
            "J1.3/incumbent-stays",
            "an incumbent that has answered the ping stays a member",
            incumbent_stays,
        ),
        case(
            "J1.5/incumbent-closed",
            "an incumbent of which nothing at all is received is closed with 4005 when the time of the probe is over",
            incumbent_closed,
        )
        .lasts(probe),
        case(
            "J1.5/newcomer-joins",
            "the newcomer joins when the incumbent has been silent for the time of the probe",
            newcomer_joins,
        )
        .lasts(probe),
        case(
            "J1.7/third-session",
            "while one newcomer waits for a pair, a further one is closed with 4002 at once",
            third_session,
        ).connections(4),
        case(
            "J1.7/not-pinged-again",
            "the incumbent is not pinged again for a further newcomer",
            not_pinged_again,
        ).connections(4),
        case(
            "J1.7/first-newcomer-waits-on",
            "a further newcomer changes nothing for the one that waits",
            first_newcomer_waits_on,
        ).connections(4),
        case(
            "J1.8/close-frame-sent",
            "who sends a close frame and opens the next session at once gets in at once",
            close_frame_sent,
        ),
        case(
            "J1.8/closed-by-the-server",
            "a session that the server has sent a close frame to is no incumbent, also if it does not answer",
            closed_by_the_server,
        ),
        case(
            "J1.9/lagging",
            "a member that does not read is an incumbent like any other: its pong keeps the newcomer out",
            lagging,
        ).connections(4)
        .company(Company::Alone),
        case(
            "J1.10/newcomer-ends",
            "when the newcomer's connection ends, a silent incumbent stays a member",
            newcomer_ends,
        )
        .lasts(|limits| probe(limits) * 5 / 4),
    ];
    for (name, what, sign) in SIGNS {
        let title = format!(
            "when {what} comes from the incumbent and no pong, the newcomer is closed with 4002, and not before the time of the probe is over"
        );
        cases.push(
            case(format!("J1.4/{name}"), title, move |bench| {
                other_sign(bench, sign)
            })
            .lasts(probe),
        );
    }
    for (name, what, leaves) in LEAVES {
        let title = format!("the newcomer joins at once when the incumbent {what}");
        cases.push(case(format!("J1.6/{name}"), title, move |bench| {
            incumbent_leaves(bench, leaves)
        }));
    }
    cases.sort_by_key(|case| crate::clause::rank(case.clause_id()));
    cases
}

fn probe(limits: &Limits) -> Duration {
    limits.probe_timeout
}

/// A member that may become an incumbent, another that may notice, and a session that may become a newcomer.
struct Stage {
    /// The incumbent, who answers no pings.
    alice: Session,
    bob: Session,
    newcomer: Session,
    /// What was in the ping.
    ping: Vec<u8>,
}

impl Stage {
    /// Nothing of alice's is under way, and she has read all that has come.
    fn new(bench: &mut Bench) -> Judged<Self> {
        let (alice, mut bob) = bench.pair()?;
        let mut alice = alice.silent();
        let newcomer = bench.open("newcomer")?;
        bench.acquaint(&mut alice, &mut bob)?;
        Ok(Self {
            alice,
            bob,
            newcomer,
            ping: Vec::new(),
        })
    }

    /// The same for a case that waits for the end of the probe, and would be disturbed by that of the keep-alive.
    fn lasting(bench: &mut Bench) -> Judged<Self> {
        let limits = bench.limits();
        if limits.ping_interval * 4 < limits.probe_timeout * 5 / 4 + bench.patience() * 2 {
            let why = "the server's ping-interval is too short for its probe-timeout to be judged";
            return Err(Stop::Skip(why.into()));
        }
        Self::new(bench)
    }

    /// The newcomer sends alice's header, and alice gets the ping. Gives when the header was sent.
    fn comes(&mut self, bench: &Bench) -> Judged<Instant> {
        let began = Instant::now();
        self.newcomer.say(&bench.header("alice"))?;
        self.is_pinged(bench)?;
        Ok(began)
    }

    /// Alice gets the ping, and does not answer yet.
    fn is_pinged(&mut self, bench: &Bench) -> Judged {
        let deadline = Instant::now() + bench.patience();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.alice.next(left)?;
            if let Some(Event::Pong(_)) = event {
                continue;
            }
            return self.takes_ping(event);
        }
    }

    fn takes_ping(&mut self, event: Option<Event>) -> Judged {
        match event {
            Some(Event::Ping(payload)) => {
                self.ping = payload;
                Ok(())
            }
            Some(other) => Err(Stop::Inconclusive(format!(
                "the incumbent receives {other} and not a ping"
            ))),
            None => Err(Stop::Inconclusive("the incumbent is not pinged".into())),
        }
    }

    /// Alice answers the ping.
    fn pong(&mut self) -> Judged {
        self.alice.send(&Frame::pong(self.ping.clone()))
    }

    /// What comes to the newcomer once alice answers pings, if anything does. That of the keep-alive may have come before
    /// that of the probe: she answers each.
    fn comes_of_pongs(&mut self) -> Judged<Option<Event>> {
        self.pong()?;
        self.alice.answers_pings = true;
        let deadline = Instant::now() + self.newcomer.patience();
        while Instant::now() < deadline {
            if let Some(event) = self.newcomer.next(STEP)? {
                return Ok(Some(event));
            }
            self.alice.next(Duration::from_millis(1))?;
        }
        Ok(None)
    }

    /// Alice and bob still hear each other.
    fn both_are_there(&mut self, bench: &mut Bench) -> Judged {
        stays(bench.fence(&mut self.bob, &mut self.alice))?;
        stays(bench.fence(&mut self.alice, &mut self.bob))?;
        Ok(())
    }

    /// The newcomer is a member: what it says reaches bob in this time.
    fn newcomer_is_in(&mut self, bench: &mut Bench, within: Duration) -> Judged {
        let marker = bench.marker();
        self.newcomer.say(&marker)?;
        let patience = self.bob.patience();
        self.bob.connection().patience = within;
        let heard = self.bob.until(&marker);
        self.bob.connection().patience = patience;
        let heard = heard.map_err(|stop| instead(stop, "the newcomer becomes a member"));
        heard.map(|_| ())
    }
}

/// Says in a failure what it is about.
fn instead(stop: Stop, expected: &str) -> Stop {
    match stop {
        Stop::Fail { expected: of, came } => Stop::fail(format!("{expected}: {of}"), came),
        Stop::Skip(_) | Stop::Inconclusive(_) => stop,
    }
}

pub(super) fn stays<T>(result: Judged<T>) -> Judged<T> {
    result.map_err(|stop| instead(stop, "the incumbent stays a member"))
}

fn ping_at_once(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    stage.newcomer.say(&bench.header("alice"))?;
    stage.alice.ping(bench.patience())
}

fn receives_nothing(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    stage.newcomer.hears_announcements = true;
    stage.comes(bench)?;
    bench
        .fence(&mut stage.bob, &mut stage.alice)
        .map_err(Stop::on_the_way)?;
    let expected = "the newcomer receives nothing but a close frame in the end";
    first_is_close(&mut stage, expected)
}

/// The first thing that comes is a close frame.
fn first_is_close(stage: &mut Stage, expected: &str) -> Judged {
    match stage.comes_of_pongs()? {
        Some(Event::Close(_)) => Ok(()),
        Some(other @ (Event::Message(_) | Event::Ping(_) | Event::Pong(_))) => {
            Err(Stop::fail(expected, other.to_string()))
        }
        Some(Event::End(end)) => Err(Stop::Inconclusive(format!("no close frame: {end}"))),
        None => Err(Stop::Inconclusive("it was not closed".into())),
    }
}

fn nothing_processed(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    let frames = [
        Frame::text(bench.header("alice")),
        Frame::text(SECOND),
        Frame::ping("newcomer"),
    ];
    stage.newcomer.send_together(&frames)?;
    stage.is_pinged(bench)?;
    bench.nothing_but_fence(
        &mut stage.alice,
        &mut stage.bob,
        "what the newcomer has sent",
    )?;
    let expected = "the newcomer's ping is not answered";
    first_is_close(&mut stage, expected)?;
    bench.nothing_but_fence(
        &mut stage.alice,
        &mut stage.bob,
        "what the newcomer has sent",
    )
}

fn incumbent_as_it_is(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    stage.comes(bench)?;
    stage.both_are_there(bench)?;
    // And again, now that something has been received from the incumbent.
    stage.both_are_there(bench)
}

fn newcomer_closed(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    stage.comes(bench)?;
    let expected = "the newcomer is closed with 4002";
    match stage.comes_of_pongs()? {
        Some(Event::Close(close)) if close.code == Some(4002) => Ok(()),
        Some(other) => Err(Stop::fail(expected, other.to_string())),
        None => Err(Stop::fail(expected, "nothing, while alice answered pings")),
    }
}

fn incumbent_stays(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    stage.comes(bench)?;
    first_is_close(&mut stage, "the newcomer is closed").map_err(Stop::on_the_way)?;
    stage.both_are_there(bench)
}

type Sign = fn(&mut Session) -> Judged;

/// What may come from an incumbent.
const SIGNS: [(&str, &str, Sign); 4] = [
    ("message", "a message", |alice| alice.say("half done")),
    ("part-of-a-frame", "part of a frame", |alice| {
        let bytes = Frame::text("half done").encode();
        alice.send_bytes(&bytes[..10], "the first 10 bytes of text \"half done\"")
    }),
    ("fragment", "a fragment of a message", |alice| {
        alice.send(&Frame::text("half ").unfinished())
    }),
    ("ping", "a ping", |alice| alice.send(&Frame::ping(""))),
];

fn other_sign(bench: &mut Bench, sign: Sign) -> Judged {
    let mut stage = Stage::lasting(bench)?;
    let began = stage.comes(bench)?;
    sign(&mut stage.alice)?;
    let (time, patience) = (bench.limits().probe_timeout, bench.patience());
    let within = time * 5 / 4 + patience;
    stage.newcomer.closed_within(4002, within)?;
    let ended = stage.newcomer.heard_at();
    lasted(began, ended, time, patience, "the newcomer is closed")?;
    stays(bench.fence(&mut stage.bob, &mut stage.alice))?;
    Ok(())
}

fn incumbent_closed(bench: &mut Bench) -> Judged {
    let mut stage = Stage::lasting(bench)?;
    let began = stage.comes(bench)?;
    let (time, patience) = (bench.limits().probe_timeout, bench.patience());
    stage.alice.closed_within(4005, time * 5 / 4 + patience)?;
    let ended = stage.alice.heard_at();
    lasted(began, ended, time, patience, "the incumbent is closed")
}

fn newcomer_joins(bench: &mut Bench) -> Judged {
    let mut stage = Stage::lasting(bench)?;
    let began = stage.comes(bench)?;
    let (time, patience) = (bench.limits().probe_timeout, bench.patience());
    stage.newcomer_is_in(bench, time * 5 / 4 + patience)?;
    let ended = stage.bob.heard_at();
    lasted(began, ended, time, patience, "the newcomer joins")
}

type Leaves = fn(Session) -> Judged<Option<Session>>;

const LEAVES: [(&str, &str, Leaves); 4] = [
    ("close-frame", "sends a close frame", |mut alice| {
        alice.send(&Frame::close(1000, ""))?;
        Ok(Some(alice))
    }),
    (
        "message-and-close-frame",
        "sends a message and then a close frame",
        |mut alice| {
            alice.send_together(&[Frame::text("the last"), Frame::close(1001, "")])?;
            Ok(Some(alice))
        },
    ),
    (
        "connection-ends",
        "is gone without a close frame",
        |alice| {
            alice.vanish();
            Ok(None)
        },
    ),
    (
        "violation",
        "violates RFC 6455 and is closed for it",
        |mut alice| {
            alice.send(&Frame::text("reserved").reserved(4))?;
            Ok(Some(alice))
        },
    ),
];

fn incumbent_leaves(bench: &mut Bench, leaves: Leaves) -> Judged {
    let mut stage = Stage::new(bench)?;
    let began = stage.comes(bench)?;
    let Stage {
        alice,
        mut bob,
        mut newcomer,
        ..
    } = stage;
    // Its connection stays open until the case is over, unless it has gone.
    let _gone = leaves(alice)?;
    let marker = bench.marker();
    newcomer.say(&marker)?;
    let heard = bob.until(&marker);
    heard.map_err(|stop| instead(stop, "the newcomer becomes a member at once"))?;
    at_once(bench, began)
}

/// Whether the end of the probe can be excluded as the cause.
fn at_once(bench: &Bench, began: Instant) -> Judged {
    match began.elapsed() < bench.limits().probe_timeout {
        true => Ok(()),
        false => Err(Stop::Inconclusive(
            "it took longer than a probe of the incumbent, so that it may have been that".into(),
        )),
    }
}

fn third_session(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    stage.comes(bench)?;
    let mut third = bench.join_as("third", "alice")?;
    third.closed(4002)?;
    Ok(())
}

/// A third session has come and is closed, and what has come of it for the others can be heard.
fn third_comes(bench: &Bench, stage: &mut Stage) -> Judged {
    let mut third = bench.join_as("third", "alice")?;
    let closed = third.close_frame(bench.patience(), "the third session is closed");
    closed.map_err(Stop::on_the_way)?;
    stage.bob.say("the third has gone")
}

fn not_pinged_again(bench: &mut Bench) -> Judged {
    // A ping may come at that moment for another reason, but not each time.
    let mut ping = String::new();
    for _ in 0..3 {
        let Some(came) = pinged_for_a_third(bench)? else {
            return Ok(());
        };
        ping = came;
        bench.channel = bench.another_channel();
    }
    Err(Stop::fail(
        "the incumbent is not pinged for a third session",
        format!("{ping}, each time"),
    ))
}

/// The ping, if there is one, that comes to the incumbent when a third session comes.
fn pinged_for_a_third(bench: &mut Bench) -> Judged<Option<String>> {
    let mut stage = Stage::new(bench)?;
    let began = stage.comes(bench)?;
    // So that the keep-alive has no reason to ping either.
    let spoken = Instant::now();
    bench
        .fence(&mut stage.alice, &mut stage.bob)
        .map_err(Stop::on_the_way)?;
    third_comes(bench, &mut stage)?;
    let ping = pinged_before_bob_speaks(bench, &mut stage.alice)?;
    let limits = bench.limits();
    let late = spoken.elapsed() > limits.ping_interval * 9 / 10
        || began.elapsed() > limits.probe_timeout * 9 / 10;
    if late && ping.is_some() {
        let why = "it took so long that the incumbent may have been pinged with reason";
        return Err(Stop::Inconclusive(why.into()));
    }
    Ok(ping)
}

/// The ping, if there is one, that comes to alice before what bob says of the third session.
fn pinged_before_bob_speaks(bench: &Bench, alice: &mut Session) -> Judged<Option<String>> {
    let deadline = Instant::now() + bench.patience();
    let mut ping = None;
    loop {
        match alice.next(deadline.saturating_duration_since(Instant::now()))? {
            Some(came @ Event::Ping(_)) => ping = Some(came.to_string()),
            event @ Some(Event::Message(_)) => {
                if says(event.as_ref(), "the third has gone") {
                    return Ok(ping);
                }
            }
            Some(Event::Pong(_)) => {}
            Some(end @ (Event::Close(_) | Event::End(_))) => {
                return Err(Stop::Inconclusive(format!("the incumbent has gone: {end}")));
            }
            None => return Err(Stop::Inconclusive("bob is not heard".into())),
        }
    }
}

fn first_newcomer_waits_on(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    stage.comes(bench)?;
    third_comes(bench, &mut stage)?;
    stage.alice.send(&Frame::close(1000, ""))?;
    let patience = bench.patience();
    stage.newcomer_is_in(bench, patience)
}

fn close_frame_sent(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    let began = Instant::now();
    stage.alice.send(&Frame::close(1000, ""))?;
    stage.newcomer.say(&bench.header("alice"))?;
    let patience = bench.patience();
    stage.newcomer_is_in(bench, patience)?;
    at_once(bench, began)
}

fn closed_by_the_server(bench: &mut Bench) -> Judged {
    let mut stage = Stage::new(bench)?;
    stage.alice.send(&Frame::text("reserved").reserved(4))?;
    let expected = "alice is closed for reserved bits";
    let closed = stage.alice.close_frame(bench.patience(), expected);
    closed.map_err(Stop::on_the_way)?;
    let began = Instant::now();
    stage.newcomer.say(&bench.header("alice"))?;
    let patience = bench.patience();
    stage.newcomer_is_in(bench, patience)?;
    at_once(bench, began)
}

/// So much that it does not fit into what lies between a server and a client that does not read.
const FLOOD: u64 = 8 << 20;

fn lagging(bench: &mut Bench) -> Judged {
    let limits = bench.limits();
    let size = limits.max_message.min(1 << 19);
    let outbox = limits.outbox;
    if outbox > 16 << 20 {
        let why = "the outboxes of the server are so long that nobody lags soon";
        return Err(Stop::Skip(why.into()));
    }
    let mut alice = bench.open_slim("alice")?;
    alice.say(&bench.header("alice"))?;
    let mut bob = bench.join("bob")?;
    bench.meet(&mut alice, &mut bob)?;
    let mut carol = bench.join("carol")?;
    bench
        .fence(&mut bob, &mut carol)
        .map_err(Stop::on_the_way)?;
    // One at a time, so that carol does not lag: alice alone does not read.
    for _ in 0..(FLOOD + 2 * outbox).div_ceil(size) {
        let message = Message::binary(vec![7; usize::try_from(size).unwrap_or(1 << 19)]);
        bob.send(&Frame::binary(message.payload.clone()))
            .map_err(Stop::on_the_way)?;
        carol.hears_message(&message).map_err(Stop::on_the_way)?;
        // So that she is not taken for dead (K1.3).
        alice.send(&Frame::pong("")).map_err(Stop::on_the_way)?;
    }
    let mut newcomer = bench.open("newcomer")?;
    // The ping cannot be read, but a pong can be sent: once the newcomer's header has come in, it counts.
    newcomer.say(&bench.header("alice"))?;
    let deadline = Instant::now() + bench.patience();
    let expected = "the newcomer is closed with 4002";
    loop {
        alice.send(&Frame::pong(""))?;
        match newcomer.next(STEP)? {
            Some(Event::Close(close)) if close.code == Some(4002) => break,
            Some(Event::Close(close)) if close.code.is_none() => {
                let why = "the newcomer is refused, but no code says for what";
                return Err(Stop::Inconclusive(why.into()));
            }
            Some(other) => return Err(Stop::fail(expected, other.to_string())),
            None if Instant::now() > deadline => {
                return Err(Stop::fail(
                    expected,
                    "nothing, while the incumbent sent pongs",
                ));
            }
            None => {}
        }
    }
    super::tidy(bench, &mut bob);
    Ok(())
}

fn newcomer_ends(bench: &mut Bench) -> Judged {
    let mut stage = Stage::lasting(bench)?;
    stage.comes(bench)?;
    let Stage {
        mut alice,
        mut bob,
        newcomer,
        ..
    } = stage;
    newcomer.vanish();
    let time = bench.limits().probe_timeout * 5 / 4 + bench.patience() / 4;
    stays(alice.hears_nothing(time))?;
    let heard = stays(bench.fence(&mut bob, &mut alice))?;
    if !heard.is_empty() {
        return Err(Stop::fail("alice receives nothing more", listed(&heard)));
    }
    stays(bench.fence(&mut alice, &mut bob))?;
    Ok(())
}
