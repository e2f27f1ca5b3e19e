//! Paths and rings (peering.md, section 7).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::link::{Handshake, Kind, Link, random_uid};
use crate::session::Event;

pub(super) fn cases() -> Vec<Case> {
    let alone = |case: Case| case.company(Company::Alone);
    vec![
        case(
            "R1.1/itself",
            "a handshake with the server's own uid is refused with 4010",
            itself,
        ),
        alone(case(
            "R1.1/on-its-path",
            "a handshake of a node on the server's own path is refused with 4010",
            on_its_path,
        )),
        alone(case(
            "R1.2/behind-its-upstreams",
            "the path of a server is its upstream's, and its upstream behind it",
            behind_its_upstreams,
        )),
        alone(case(
            "R1.2/ring",
            "if the server is on its upstream's path itself, what follows it there is its path",
            ring,
        )),
        alone(case(
            "R1.3/greatest-cuts",
            "the server closes its upstream link with 4010 if it is the greatest in a ring",
            greatest_cuts,
        )),
        alone(case(
            "R1.3/others-do-not",
            "the server does nothing if another is the greatest in a ring",
            others_do_not,
        )),
        alone(case(
            "R1.3/by-a-turn",
            "a turn whose path has the server on it closes a ring like any path",
            by_a_turn,
        )),
        alone(case(
            "R1.4/told-to-lower-ends",
            "lower ends are told of each change of the server's path",
            told_to_lower_ends,
        )),
        alone(case(
            "R1.5/latest-frame",
            "the latest frame with a path of the upstream's counts",
            latest_frame,
        )),
        alone(case(
            "R1.6/pings-and-closes",
            "when a node on its path has dialed, the server pings its upstream at once, and closes the link with 4005 if nothing comes for 10 s",
            pings_and_closes,
        ))
        .lasts(|_| Duration::from_secs(10)),
        alone(case(
            "R1.6/stays-if-it-lives",
            "the link to an upstream that answers the ping is kept",
            stays_if_it_lives,
        ).connections(4))
        .lasts(|_| Duration::from_secs(31)),
        case(
            "R1.7/64-nodes",
            "a handshake may have a path of 64 nodes",
            |bench| with_path(bench, 64).and_then(|mut link| link.shake()),
        ),
        case(
            "R1.7/65-nodes",
            "a handshake with a path of 65 nodes is refused with 4011",
            |bench| {
                let mut link = with_path(bench, 65)?;
                link.say(link.handshake())?;
                link.closed(4011).map(drop)
            },
        ),
        alone(case(
            "R1.7/upstream-with-63",
            "an upstream may have a path of 63 nodes",
            upstream_with_63,
        )),
        alone(case(
            "R1.7/upstream-with-64",
            "an upstream whose path has 64 nodes is closed with 4011",
            upstream_with_64,
        )),
        alone(case(
            "R1.7/turn-with-64",
            "a node that turns its link, having a path of 64 nodes, is closed with 4011",
            |bench| turned_with(bench, |_| nodes(64), 4011, random_uid()),
        )),
        alone(case(
            "R1.7/path-of-65",
            "an upstream that tells a path of 65 nodes is closed with 4011",
            path_of_65,
        )),
    ]
}

fn nodes(count: usize) -> Vec<String> {
    (0..count).map(|_| random_uid()).collect()
}

/// A connection whose handshake has a path of so many nodes.
fn with_path(bench: &Bench, count: usize) -> Judged<Link> {
    let mut link = bench.peer("peer")?;
    link.path = nodes(count);
    Ok(link)
}

/// A node with this uid is refused.
fn is_refused(bench: &Bench, uid: &str, code: u16) -> Judged {
    let mut link = bench.peer("dialer")?;
    link.uid = uid.to_owned();
    link.say(link.handshake())?;
    link.closed(code).map(drop)
}

fn itself(bench: &mut Bench) -> Judged {
    let server = bench.link("peer")?.server();
    is_refused(bench, &server, 4010)
}

fn on_its_path(bench: &mut Bench) -> Judged {
    let path = nodes(3);
    bench.beneath(&path, |bench, upstream| {
        for uid in &path {
            is_refused(bench, uid, 4010)?;
            // What it looks after meanwhile (R1.6) is alive.
            upstream.next(Duration::from_millis(1))?;
        }
        let uid = upstream.uid.clone();
        is_refused(bench, &uid, 4010)?;
        // Others are welcome.
        bench.link("other").map(drop)
    })
}

fn behind_its_upstreams(bench: &mut Bench) -> Judged {
    let path = nodes(2);
    bench.beneath(&path, |bench, upstream| {
        bench.has_path(&[&path[..], std::slice::from_ref(&upstream.uid)].concat())
    })
}

/// Greater than the uid of any server, but for one in four thousand millions.
fn greatest_uid() -> String {
    format!("ffffffff{}", &random_uid()[8..])
}

/// Less than the uid of any server, but for one in four thousand millions.
fn least_uid() -> String {
    format!("00000000{}", &random_uid()[8..])
}

fn ring(bench: &mut Bench) -> Judged {
    let (above, between) = (random_uid(), least_uid());
    bench.beneath_as(&greatest_uid(), &[], |bench, upstream| {
        let path = [above, upstream.server(), between.clone()];
        upstream.say(upstream.path_of(&path))?;
        bench.has_path(&[between, upstream.uid.clone()])
    })
}

fn greatest_cuts(bench: &mut Bench) -> Judged {
    let others = [least_uid(), least_uid()];
    bench.beneath_as(&least_uid(), &[], |bench, upstream| {
        let path = [others[0].clone(), upstream.server(), others[1].clone()];
        upstream.say(upstream.path_of(&path))?;
        upstream.closed(4010)?;
        // And so becomes the root.
        bench.has_path(&[])
    })
}

fn by_a_turn(bench: &mut Bench) -> Judged {
    turned_with(bench, |link| vec![link.server()], 4010, least_uid())
}

/// A node with this uid that turns its link, having this path, is closed with this code; and the server is a root again.
fn turned_with(bench: &Bench, path: fn(&Link) -> Vec<String>, code: u16, uid: String) -> Judged {
    bench.peer_key()?;
    bench.is_root()?;
    let mut link = bench.peer("peer")?;
    link.uid = uid;
    link.shake().map_err(Stop::on_the_way)?;
    link.say(link.turn_of(&path(&link)))?;
    link.closed(code)?;
    drop(link);
    bench.has_path(&[])
}

fn others_do_not(bench: &mut Bench) -> Judged {
    let channel = bench.channel.clone();
    bench.beneath_as(&greatest_uid(), &[], |bench, upstream| {
        upstream.say(upstream.path_of(&[upstream.server()]))?;
        bench.has_path(std::slice::from_ref(&upstream.uid))?;
        let _alice = bench.join("alice")?;
        upstream.joined(&channel).map(drop)
    })
}

/// The lower end hears of this path, whatever paths come before.
fn hears_of(lower: &mut Link, path: &[String]) -> Judged {
    let expected = format!("the path {}", json!(path));
    let is_it = |value: &Value| *value == json!(path);
    lower
        .until(&expected, |heard| {
            heard.kind == Kind::Path && is_it(&heard.head["path"])
        })
        .map(drop)
}

fn told_to_lower_ends(bench: &mut Bench) -> Judged {
    bench.peer_key()?;
    bench.is_root()?;
    let mut lower = bench.link("lower")?;
    lower.hears_paths = true;
    let mut uid = String::new();
    bench.beneath(&[], |_, upstream| {
        uid = upstream.uid.clone();
        hears_of(&mut lower, std::slice::from_ref(&uid))?;
        for count in [1, 5, 2] {
            let path = nodes(count);
            upstream.say(upstream.path_of(&path))?;
            hears_of(
                &mut lower,
                &[&path[..], std::slice::from_ref(&uid)].concat(),
            )?;
        }
        Ok(())
    })?;
    // The upstream is lost.
    hears_of(&mut lower, &[])
}

fn latest_frame(bench: &mut Bench) -> Judged {
    bench.beneath(&nodes(1), |bench, upstream| {
        let uid = upstream.uid.clone();
        for count in [2, 0, 3] {
            let path = nodes(count);
            upstream.say(upstream.path_of(&path))?;
            bench.has_path(&[&path[..], std::slice::from_ref(&uid)].concat())?;
        }
        Ok(())
    })
}

fn pings_and_closes(bench: &mut Bench) -> Judged {
    let path = nodes(1);
    bench.beneath(&path, |bench, upstream| {
        // A probe says nothing of the kind: it is not what the server pings for.
        let mut probe = bench.peer("probe")?;
        probe.uid.clone_from(&path[0]);
        let handshake = Handshake {
            probe: true,
            ..probe.handshake()
        };
        probe.say(&handshake)?;
        probe.closed(4010).map_err(Stop::on_the_way)?;
        // The pings that are due anyway (U1.6) come every 5 s: there has just been time for the first, if it comes at once.
        upstream.next(Duration::from_millis(300))?;
        is_refused(bench, &path[0], 4010).map_err(Stop::on_the_way)?;
        let began = Instant::now();
        upstream.session.answers_pings = false;
        upstream.session.ping(Duration::from_secs(3))?;
        let ten = Duration::from_secs(10);
        upstream
            .session
            .closed_within(4005, ten + ten / 4 + bench.patience())?;
        match began.elapsed() < ten * 9 / 10 {
            false => Ok(()),
            true => {
                let came = format!("closed after {:.1} s", began.elapsed().as_secs_f32());
                Err(Stop::fail("10 s to answer", came))
            }
        }
    })
}

fn stays_if_it_lives(bench: &mut Bench) -> Judged {
    let path = nodes(1);
    bench.beneath(&path, |bench, upstream| {
        is_refused(bench, &path[0], 4010).map_err(Stop::on_the_way)?;
        let deadline = Instant::now() + Duration::from_secs(12);
        while let left = deadline.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            match upstream.session.next(left)? {
                Some(Event::Close(_) | Event::End(_)) => {
                    return Err(Stop::fail("the link is kept", "it is closed"));
                }
                Some(Event::Message(_) | Event::Ping(_) | Event::Pong(_)) | None => {}
            }
        }
        bench.has_path(&[path[0].clone(), upstream.uid.clone()])
    })
}

fn upstream_with_63(bench: &mut Bench) -> Judged {
    let path = nodes(63);
    bench.beneath(&[], |bench, upstream| {
        upstream.say(upstream.path_of(&path))?;
        bench.has_path(&[&path[..], std::slice::from_ref(&upstream.uid)].concat())
    })
}

fn upstream_with_64(bench: &mut Bench) -> Judged {
    bench.beneath(&[], |_, upstream| {
        upstream.say(upstream.path_of(&nodes(64)))?;
        upstream.closed(4011).map(drop)
    })
}

fn path_of_65(bench: &mut Bench) -> Judged {
    bench.beneath(&[], |_, upstream| {
        upstream.say(upstream.path_of(&nodes(65)))?;
        upstream.closed(4011).map(drop)
    })
}
