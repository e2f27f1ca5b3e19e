//! Merging (peering.md, section 8): what a server does when others turn its links.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bench::{Bench, lasted};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Heard, Kind, Link, random_uid};

pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        case(
            "G1.4/turns-with-its-new-path",
            "a server that turns its upstream link says its new path there, before any other",
            turns_with_its_new_path,
        ),
        case(
            "G1.4/ignores-until-answered",
            "what comes on a link that the server has turned is ignored until the other end's turn has come",
            ignores_until_answered,
        ).connections(4),
        case(
            "G1.4/but-for-faults",
            "a fault on a link that the server has turned ends it with 4012",
            but_for_faults,
        ),
        case(
            "G1.4/message-that-had-begun",
            "a message whose header came before the turn is completed by its payload behind it",
            message_that_had_begun,
        ),
        case(
            "G1.5/answers",
            "a server answers a turn with a turn, and is the lower end from then on",
            answers,
        ),
        case(
            "G1.5/turns-its-own-upstream",
            "a server whose link is turned turns that to its own upstream, which is below it then",
            turns_its_own_upstream,
        ),
        case(
            "G1.7/60-seconds",
            "a turn that is not answered within 60 s ends the link with 4003",
            sixty_seconds,
        ).connections(4)
        .lasts(|_| Duration::from_secs(60)),
        case(
            "G1.8/joined-no-more",
            "a channel that was joined on a link is not when it has been turned by the server",
            joined_no_more,
        ).connections(4),
        case(
            "G1.8/joins-anew",
            "the server joins its channels anew on a link that was turned to it",
            joins_anew,
        ),
    ];
    cases
        .into_iter()
        .map(|case| case.company(Company::Alone))
        .collect()
}

/// The server hangs from `upstream`; `other` turns its link. What the server says to `upstream` then, and `other`.
fn turned(bench: &Bench, upstream: &mut Link, path: &[String]) -> Judged<(Heard, Link)> {
    let mut other = bench.link("other")?;
    other.turn(path).map_err(Stop::on_the_way)?;
    let heard = upstream.hear("a turn")?;
    match heard.kind == Kind::Turn {
        true => Ok((heard, other)),
        false => Err(Stop::fail("upstream receives a turn", heard.to_string())),
    }
}

fn turns_with_its_new_path(bench: &mut Bench) -> Judged {
    bench.beneath(&[random_uid()], |bench, upstream| {
        let above = [random_uid()];
        let (turn, other) = turned(bench, upstream, &above)?;
        let path = json!([above[0], other.uid]);
        let is_right = turn.head["path"] == path && turn.head["uid"] == upstream.server();
        other.leave();
        match is_right {
            true => Ok(()),
            false => Err(Stop::fail(
                format!("a turn with the path {path}"),
                turn.to_string(),
            )),
        }
    })
}

fn ignores_until_answered(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut alice = bench.join("alice")?;
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &join.head["have"])?;
        upstream.done(&channel)?;
        let marker = bench.marker();
        upstream.tells(&marker)?;
        alice.until(&marker).map_err(Stop::on_the_way)?;
        let (_, mut other) = turned(bench, upstream, &[]).map_err(Stop::on_the_way)?;
        // What is right as long as the turn has not come.
        let name = upstream.name();
        upstream.tell(&name, "under way")?;
        upstream.say(upstream.path_of(&[random_uid()]))?;
        upstream.done(&channel)?;
        upstream.say(upstream.leave_of(&channel))?;
        upstream.answer_turn(&[])?;
        // It is the lower end now, on a new link: what it says of a channel counts when it has joined it.
        upstream.say(upstream.join_of(&channel, &json!({})))?;
        let reply = upstream.hears(Kind::Join, &channel, "the reply to its join")?;
        if reply.head["have"][&name.node] == name.seq {
            return Err(Stop::fail(
                "nothing of what came before the turn",
                reply.to_string(),
            ));
        }
        upstream.tell(&name, "on the new link")?;
        alice.hears("on the new link")?;
        let path = bench.has_path(std::slice::from_ref(&other.uid));
        other.is_upper = true;
        other.leave();
        path
    })
}

fn but_for_faults(bench: &mut Bench) -> Judged {
    bench.beneath(&[], |bench, upstream| {
        let (_, other) = turned(bench, upstream, &[]).map_err(Stop::on_the_way)?;
        upstream.say(upstream.handshake())?;
        let closed = upstream.closed(4012).map(drop);
        other.leave();
        closed
    })
}

fn answers(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.peer_key()?;
    bench.is_root()?;
    let mut link = bench.link("peer")?;
    let turn = link.turn(&[])?;
    if turn.head["uid"] != link.server() || !turn.head["path"].is_array() {
        return Err(Stop::fail(
            "a turn with its uid and a path",
            turn.to_string(),
        ));
    }
    let _alice = bench.join("alice")?;
    link.joined(&channel)?;
    link.leave();
    bench.has_path(&[]).map_err(Stop::on_the_way)
}

fn turns_its_own_upstream(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let (_, other) = turned(bench, upstream, &[])?;
        upstream.answer_turn(&[])?;
        upstream.say(upstream.join_of(&channel, &json!({})))?;
        upstream.hears(Kind::Join, &channel, "the reply to its join")?;
        let path = bench.has_path(std::slice::from_ref(&other.uid));
        other.leave();
        path
    })
}

fn sixty_seconds(bench: &mut Bench) -> Judged {
    bench.beneath(&[], |bench, upstream| {
        let (_, mut other) = turned(bench, upstream, &[]).map_err(Stop::on_the_way)?;
        let began = Instant::now();
        let time = Duration::from_secs(60);
        let late = time + time / 4 + bench.patience();
        // Pings are answered on both, so that neither is taken for dead.
        let closed = loop {
            let moment = Duration::from_millis(100);
            other.next(moment)?;
            match upstream.next(moment)? {
                Some(crate::link::Said::Close(close)) => break close,
                Some(crate::link::Said::End(end)) => {
                    return Err(Stop::fail("upstream is closed with 4003", end.to_string()));
                }
                Some(crate::link::Said::Frame(_)) | None => {}
            }
            if began.elapsed() > late {
                return Err(Stop::fail("upstream is closed with 4003", "it is open"));
            }
        };
        other.leave();
        match closed.code {
            Some(4003) => lasted(
                began,
                Instant::now(),
                time,
                bench.patience(),
                "the link is closed",
            ),
            _ => Err(Stop::fail(
                "upstream is closed with 4003",
                closed.to_string(),
            )),
        }
    })
}

fn message_that_had_begun(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let _alice = bench.join("alice")?;
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &join.head["have"])?;
        upstream.done(&channel)?;
        let name = upstream.name();
        upstream.say(&name)?;
        let (_, other) = turned(bench, upstream, &[]).map_err(Stop::on_the_way)?;
        upstream.session.say("the payload, and no frame")?;
        upstream.answer_turn(&[])?;
        let works = upstream.still_works();
        other.leave();
        works
    })
}

fn joined_no_more(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    let (mut alice, mut bob) = bench.pair()?;
    bench.beneath(&[], |bench, upstream| {
        let join = upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &join.head["have"])?;
        upstream.done(&channel)?;
        let (_, other) = turned(bench, upstream, &[]).map_err(Stop::on_the_way)?;
        upstream.answer_turn(&[])?;
        // Behind the reply to this the server knows it.
        upstream.still_works().map_err(Stop::on_the_way)?;
        let marker = bench.marker();
        alice.say(&marker)?;
        bob.until(&marker).map_err(Stop::on_the_way)?;
        upstream.say(upstream.join_of(&channel, &json!({})))?;
        let replied = upstream.hears(Kind::Join, &channel, "nothing before the reply to its join");
        other.leave();
        replied.map(drop)
    })
}

fn joins_anew(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.is_root()?;
    let (mut link, mut alice) = bench.link_and_alice()?;
    link.turn(&[]).map_err(Stop::on_the_way)?;
    let marker = bench.marker();
    alice.say(&marker)?;
    let join = link.hears(
        Kind::Join,
        &channel,
        "the join of the channel, before anything else on it",
    )?;
    link.reply(&channel, &join.head["have"])?;
    link.hears_text(&marker)?;
    link.leave();
    bench.has_path(&[]).map_err(Stop::on_the_way)
}
