//! Merging (peering.md, section 8): what a server finds out of its peers, and what it makes of it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{is_probe, stays};
use crate::case::{Case, Judged, Stop, dialer_case as case};
use crate::link::{Heard, Kind, Link, random_uid};
use crate::site::Site;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "G1.1/begins-soon",
            "a server that has an upstream probes another peer 0.1 to 1 s after its root has changed",
            begins_soon,
        ),
        case(
            "G1.1/in-order",
            "a server probes the others of its list in its order, one at a time, and not its upstream",
            in_order,
        ),
        case(
            "G1.1/anew-with-each-change",
            "a server begins to probe anew when its root has changed",
            anew_with_each_change,
        ),
        case(
            "G1.9/doubles",
            "with each further change of the root a server waits twice as long before it probes",
            doubles,
        )
        .lasts(|_| Duration::from_secs(17)),
        case(
            "G1.10/left-alone",
            "a peer in the same tree is left alone for as long as the root had been the same, a quarter more or less",
            left_alone,
        )
        .lasts(|_| Duration::from_secs(8)),
        case(
            "G1.2/dials-to-stay",
            "a server that finds another root dials that peer to stay, its own path in the handshake",
            dials_to_stay,
        ),
        case(
            "G1.3/turns-the-old-link",
            "a peer with another root becomes the upstream, and the old upstream link is turned",
            turns_the_old_link,
        ),
        case(
            "G1.3/same-root-by-then",
            "a peer that has the same root when it is dialed to stay is closed with 1000",
            same_root_by_then,
        ),
        case(
            "G1.3/its-upstream",
            "a reply from the node that is the upstream already takes the place of the former link, which is closed with 4002",
            its_upstream,
        ),
        case(
            "G1.6/while-a-turn-is-outstanding",
            "a server does not probe while the other end has not answered its turn",
            while_a_turn_is_outstanding,
        )
        .lasts(|_| Duration::from_secs(3)),
    ]
}

/// The server has just got its upstream, at this time; and nobody has looked at the other peers since.
fn beneath(site: &mut Site, peers: usize) -> Judged<(Link, Instant)> {
    site.start(peers, 0)?;
    let (mut link, _) = site.greeting(0).map_err(Stop::on_the_way)?;
    let began = Instant::now();
    link.welcome()?;
    Ok((link, began))
}

/// The next dial is a probe of this one, in this time.
fn probed(site: &mut Site, which: usize, within: Duration) -> Judged<(Instant, Link, Heard)> {
    let dial = site.dial_to(which, within)?;
    let at = dial.at;
    let (link, handshake) = site.greeted(dial).map_err(Stop::on_the_way)?;
    stays(&handshake, false)?;
    Ok((at, link, handshake))
}

/// Replies to a probe as a node below this root.
fn answer(mut probe: Link, root: &str) -> Judged {
    probe.path = vec![root.to_owned()];
    probe.welcome()?;
    let closed = probe.closed(1000);
    closed.map(drop).map_err(Stop::on_the_way)
}

fn soon(began: Instant, at: Instant, least: Duration, most: Duration, late: Duration) -> Judged {
    let took = at.saturating_duration_since(began);
    match took + Duration::from_millis(10) >= least && took <= most + late {
        true => Ok(()),
        false => {
            let expected = format!(
                "a probe {:.1} to {:.1} s after the root has changed",
                least.as_secs_f32(),
                most.as_secs_f32()
            );
            Err(Stop::fail(
                expected,
                format!("after {:.2} s", took.as_secs_f32()),
            ))
        }
    }
}

const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(1);

fn begins_soon(site: &mut Site) -> Judged {
    let patience = site.patience();
    let (_upstream, began) = beneath(site, 2)?;
    let (at, _, handshake) = probed(site, 1, MOST + patience)?;
    soon(began, at, LEAST, MOST, patience)?;
    match handshake.text.trim_end().ends_with(r#""probe":true}"#) {
        true => Ok(()),
        false => Err(Stop::fail(
            "`probe` as the last member",
            handshake.to_string(),
        )),
    }
}

fn in_order(site: &mut Site) -> Judged {
    let patience = site.patience();
    let (_upstream, _) = beneath(site, 3)?;
    let root = site.uid(0);
    let (_, first, _) = probed(site, 1, MOST + patience)?;
    // One at a time.
    if let Some(dial) = site.dial_within(Duration::from_millis(700))? {
        let expected = "no second probe before the first is answered";
        return Err(Stop::fail(
            expected,
            format!("the server dials peer {}", dial.which),
        ));
    }
    answer(first, &root)?;
    let (_, second, _) = probed(site, 2, MOST + patience)?;
    answer(second, &root)
}

fn anew_with_each_change(site: &mut Site) -> Judged {
    let patience = site.patience();
    let (mut upstream, _) = beneath(site, 2)?;
    let root = site.uid(0);
    let (_, probe, _) = probed(site, 1, MOST + patience).map_err(Stop::on_the_way)?;
    answer(probe, &root)?;
    let other = random_uid();
    let path = json!([other, root]);
    let changed = Instant::now();
    upstream.say(upstream.path_of(std::slice::from_ref(&other)))?;
    // One that was under way may come before; it has the former path.
    let deadline = changed + MOST * 2 + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (at, probe, handshake) = probed(site, 1, left)?;
        if handshake.head["path"] == path {
            return soon(changed, at, LEAST * 2, MOST * 2, patience);
        }
        answer(probe, &root)?;
    }
}

fn doubles(site: &mut Site) -> Judged {
    const FURTHER: u32 = 4;
    let patience = site.patience();
    let (mut upstream, _) = beneath(site, 2)?;
    for _ in 0..FURTHER {
        upstream.say(upstream.path_of(&[random_uid()]))?;
    }
    let changed = Instant::now();
    let (least, most) = (LEAST * (1 << FURTHER), MOST * (1 << FURTHER));
    let deadline = changed + most + patience;
    // Pings are answered meanwhile.
    let dial = loop {
        upstream.next(Duration::from_millis(1))?;
        if let Some(dial) = site.dial_within(Duration::from_millis(500))? {
            break dial;
        }
        if Instant::now() > deadline {
            let expected = format!("a probe within {} s", most.as_secs());
            return Err(Stop::fail(expected, "none"));
        }
    };
    soon(changed, dial.at, least, most, patience)
}

fn left_alone(site: &mut Site) -> Judged {
    let patience = site.patience();
    let (_upstream, began) = beneath(site, 2)?;
    let root = site.uid(0);
    let (mut at, mut probe, _) = probed(site, 1, MOST + patience)?;
    for _ in 0..3 {
        answer(probe, &root)?;
        let same = at.saturating_duration_since(began);
        let within = same * 5 / 4 + MOST * 2 + patience;
        let (next, link, _) = probed(site, 1, within)?;
        let took = next.saturating_duration_since(at);
        if took + Duration::from_millis(20) < same * 3 / 4 {
            let expected = format!(
                "it is left alone for {:.1} s, a quarter more or less",
                same.as_secs_f32()
            );
            let came = format!("probed again after {:.1} s", took.as_secs_f32());
            return Err(Stop::fail(expected, came));
        }
        (at, probe) = (next, link);
    }
    Ok(())
}

/// The second peer has another root, and is dialed to stay.
fn found(site: &mut Site) -> Judged<(Link, Link, Heard)> {
    let patience = site.patience();
    let (upstream, _) = beneath(site, 2)?;
    let (_, mut probe, _) = probed(site, 1, MOST + patience).map_err(Stop::on_the_way)?;
    probe.welcome()?;
    let dial = site.dial_to(1, patience + MOST)?;
    let (link, handshake) = site.greeted(dial)?;
    Ok((upstream, link, handshake))
}

fn dials_to_stay(site: &mut Site) -> Judged {
    let (_upstream, _, handshake) = found(site)?;
    stays(&handshake, true)?;
    let path = json!([site.uid(0)]);
    match handshake.head["path"] == path {
        true => Ok(()),
        false => Err(Stop::fail(
            format!("the path {path}"),
            handshake.to_string(),
        )),
    }
}

fn turns_the_old_link(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let (mut upstream, mut link, _) = found(site).map_err(Stop::on_the_way)?;
    link.welcome()?;
    let heard = upstream.hear("a turn")?;
    let path = json!([site.uid(1)]);
    if heard.kind != Kind::Turn || heard.head["path"] != path {
        return Err(Stop::fail(
            format!("a turn with the path {path}"),
            heard.to_string(),
        ));
    }
    upstream.answer_turn(&[site.uid(1), upstream.server()])?;
    let _alice = site.bench()?.join("alice")?;
    link.joined(&channel).map(drop)
}

fn same_root_by_then(site: &mut Site) -> Judged {
    let (_upstream, mut link, _) = found(site).map_err(Stop::on_the_way)?;
    link.path = vec![site.uid(0)];
    link.welcome()?;
    link.closed(1000).map(drop)
}

fn its_upstream(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let (mut former, mut link, _) = found(site).map_err(Stop::on_the_way)?;
    // By now the entry leads to the node that is the upstream.
    link.uid = site.uid(0);
    link.welcome()?;
    former.closed(4002)?;
    let _alice = site.bench()?.join("alice")?;
    link.joined(&channel).map(drop)
}

fn while_a_turn_is_outstanding(site: &mut Site) -> Judged {
    let patience = site.patience();
    let (mut upstream, _) = beneath(site, 3)?;
    let (_, mut probe, _) = probed(site, 1, MOST + patience).map_err(Stop::on_the_way)?;
    probe.welcome()?;
    // It may probe the third before it dials the second to stay, or not.
    let deadline = Instant::now() + patience + MOST;
    let mut link = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let dial = site.dial(left).map_err(Stop::on_the_way)?;
        let which = dial.which;
        let (link, handshake) = site.greeted(dial).map_err(Stop::on_the_way)?;
        match is_probe(&handshake) {
            false if which == 1 => break link,
            _ => answer(link, &site.uid(0))?,
        }
    };
    link.welcome()?;
    upstream.hear("a turn").map_err(Stop::on_the_way)?;
    // It would begin 0.2 to 2 s after this change of the root.
    let deadline = Instant::now() + Duration::from_millis(2500);
    while let left = deadline.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        if let Some(dial) = site.dial_within(left)? {
            let expected = "no dial while its turn is not answered";
            return Err(Stop::fail(
                expected,
                format!("the server dials peer {}", dial.which),
            ));
        }
    }
    upstream.answer_turn(&[site.uid(1), upstream.server()])?;
    // And now it does.
    let dial = site.dial(MOST * 4 + patience)?;
    let (_, handshake) = site.greeted(dial).map_err(Stop::on_the_way)?;
    stays(&handshake, false)
}
