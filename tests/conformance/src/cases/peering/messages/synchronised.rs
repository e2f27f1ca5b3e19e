//! When a channel is synchronised (peering.md, 5.3).

use std::time::Instant;

use serde_json::json;

use crate::bench::{Bench, lasted};
use crate::case::{Case, Company, Judged, Stop, case};
use crate::cases::peering::{WAIT, keeps_history, without_a_wait};
use crate::link::Kind;

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    vec![
        case(
            "S3.1/behind-what-it-lacks",
            "`done` comes behind what the lower end lacks",
            behind_what_it_lacks,
        ),
        alone(case(
            "S3.1/behind-the-upstreams",
            "`done` does not come before the server's own upstream has said it",
            behind_the_upstreams,
        )),
        alone(case(
            "S3.1/upstream-refuses",
            "`done` comes at once when the server's own upstream has refused the channel",
            upstream_refuses,
        )),
        alone(case(
            "S3.2/two-seconds",
            "`done` comes after 2 s if the server's own upstream does not say it",
            two_seconds,
        ))
        .lasts(|_| WAIT),
    ]
}

fn behind_what_it_lacks(bench: &mut Bench) -> Judged {
    keeps_history(bench)?;
    let (_alice, _bob) = bench.pair()?;
    let channel = bench.channel.clone();
    let mut link = bench.link("peer")?;
    link.say(link.join_of(&channel, &json!({})))?;
    link.hears(Kind::Join, &channel, "the reply to its join")
        .map_err(Stop::on_the_way)?;
    for text in [Bench::HELLO, Bench::HERE] {
        link.hears_text(text)?;
    }
    link.hears(Kind::Done, &channel, "that the channel is synchronised")
        .map(drop)
}

fn behind_the_upstreams(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut lower = bench.link("lower")?;
        let began = Instant::now();
        lower.say(lower.join_of(&channel, &json!({})))?;
        lower
            .hears(Kind::Join, &channel, "the reply to its join")
            .map_err(Stop::on_the_way)?;
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &json!({}))?;
        // What the upstream has, and something else that comes on the link.
        let marker = bench.marker();
        upstream.tells(&marker)?;
        let other = bench.another_channel();
        lower.minds(&other);
        for expected in [
            "what the server's upstream has",
            "the reply to another join",
        ] {
            let heard = lower.hear(expected)?;
            if heard.is(Kind::Done, &channel) {
                if began.elapsed() > WAIT * 9 / 10 {
                    let why = "it took so long that the server need not wait any longer";
                    return Err(Stop::Inconclusive(why.into()));
                }
                let expected = "no `done` before the server's upstream has said it";
                return Err(Stop::fail(expected, heard.to_string()));
            }
            if heard.says(&marker) {
                lower.say(lower.join_of(&other, &json!({})))?;
            }
        }
        // What comes from there before `done` comes before it here.
        let last = bench.marker();
        upstream.tells(&last)?;
        upstream.done(&channel)?;
        lower.hears_text(&last)?;
        lower.hears(Kind::Done, &channel, "`done`").map(drop)
    })
}

fn upstream_refuses(bench: &mut Bench) -> Judged {
    bench.beneath(&[], |bench, upstream| {
        let mut lower = bench.link("lower")?;
        without_a_wait(bench, "`done`", |bench| {
            let channel = bench.another_channel();
            lower.minds(&channel);
            upstream.minds(&channel);
            lower.say(lower.join_of(&channel, &json!({})))?;
            upstream.joined(&channel).map_err(Stop::on_the_way)?;
            let began = Instant::now();
            upstream.say(upstream.leave_of(&channel))?;
            lower.until("`done`", |heard| heard.is(Kind::Done, &channel))?;
            Ok(began)
        })
    })
}

fn two_seconds(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath(&[], |bench, upstream| {
        let mut lower = bench.link("lower")?;
        let began = Instant::now();
        lower.say(lower.join_of(&channel, &json!({})))?;
        upstream.joined(&channel).map_err(Stop::on_the_way)?;
        upstream.reply(&channel, &json!({}))?;
        let replied = lower.hears(Kind::Join, &channel, "the reply to its join");
        replied.map_err(Stop::on_the_way)?;
        let late = WAIT + WAIT / 4 + bench.patience();
        let heard = lower.hear_within(late, "`done`")?;
        if !heard.is(Kind::Done, &channel) {
            return Err(Stop::fail("`done`", heard.to_string()));
        }
        lasted(
            began,
            Instant::now(),
            WAIT,
            bench.patience(),
            "`done` comes",
        )
    })
}
