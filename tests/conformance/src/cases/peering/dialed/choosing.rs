//! Choosing an upstream (peering.md, section 9).

use std::time::{Duration, Instant};

use super::stays;
use crate::case::{Case, Judged, Stop, dialer_case as case};
use crate::link::{Kind, Link};
use crate::site::Site;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "U1.1/in-order",
            "a server dials its peers in the order of its list; the first that takes it is its upstream",
            in_order,
        ),
        case(
            "U1.1/one-at-a-time",
            "a server does not dial a peer while another has not answered",
            one_at_a_time,
        )
        .lasts(|_| Duration::from_secs(2)),
        case(
            "U1.2/lost",
            "when its upstream is lost, a server goes on with the entry behind, and from the last to the first",
            |site| goes_on(site, Link::cut),
        ),
        case(
            "U1.2/closed",
            "when its upstream closes, a server goes on with the entry behind",
            |site| goes_on(site, |link| link.refuse(1012)),
        ),
        case(
            "U1.3/doubles-with-each-pass",
            "behind the last entry a server waits for 250 ms at first, and twice as long with each pass",
            |site| doubles(site, |link| link.refuse(4004)),
        )
        .lasts(|_| Duration::from_secs(4)),
        case(
            "U1.3/lost-soon",
            "an upstream that is lost again within 30 s is dialed after 250 ms at first, and then twice as long each time",
            |site| doubles(site, |mut link| {
                link.welcome()?;
                link.still_taken()?;
                link.cut()
            }),
        )
        .lasts(|_| Duration::from_secs(4)),
        case(
            "U1.3/between-entries",
            "between two entries a server waits for 250 ms, in later passes too",
            between_entries,
        )
        .lasts(|_| Duration::from_secs(4)),
        case(
            "U1.3/at-most-30-seconds",
            "a server waits for 30 s at most",
            at_most_30_seconds,
        )
        .lasts(|_| Duration::from_secs(125)),
        case(
            "U1.4/kept",
            "an upstream that lives is kept, even if a peer before it in the list can be had again",
            kept,
        )
        .lasts(|_| Duration::from_secs(4)),
    ]
}

const FIRST: Duration = Duration::from_millis(250);

/// The next dial is to this one; it is refused.
fn refused(site: &mut Site, which: usize, within: Duration) -> Judged {
    let dial = site.dial_to(which, within)?;
    let (link, _) = site.greeted(dial).map_err(Stop::on_the_way)?;
    link.refuse(4004)
}

fn in_order(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let patience = site.patience();
    site.start(3, 0)?;
    refused(site, 0, patience)?;
    refused(site, 1, patience)?;
    let dial = site.dial_to(2, patience)?;
    let (mut link, _) = site.greeted(dial).map_err(Stop::on_the_way)?;
    link.welcome()?;
    let _alice = site.bench()?.join("alice")?;
    link.joined(&channel).map(drop)
}

fn one_at_a_time(site: &mut Site) -> Judged {
    let patience = site.patience();
    site.start(2, 0)?;
    let (link, _) = site.greeting(0)?;
    match site.dial_within(Duration::from_secs(2))? {
        None => {}
        Some(_) => {
            let expected = "no second dial while the first peer has not answered";
            return Err(Stop::fail(expected, "the server dials again"));
        }
    }
    link.refuse(4004)?;
    refused(site, 1, patience)
}

fn goes_on(site: &mut Site, end: impl FnOnce(Link) -> Judged) -> Judged {
    let patience = site.patience();
    site.start(3, 0)?;
    let mut upstream = site.upstream()?;
    upstream.still_taken()?;
    end(upstream)?;
    // It may have begun to probe the others (G1.1): that is no dial to stay.
    for which in [1, 2, 0] {
        let deadline = Instant::now() + patience + FIRST * 8;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let dial = site.dial(left)?;
            let came = dial.which;
            let (link, handshake) = site.greeted(dial).map_err(Stop::on_the_way)?;
            link.refuse(4004)?;
            if stays(&handshake, false).is_ok() {
                continue;
            }
            if came != which {
                let expected = format!("the server dials peer {which}");
                return Err(Stop::fail(expected, format!("it dials peer {came}")));
            }
            break;
        }
    }
    Ok(())
}

/// Whether a server has waited as long as it has to: spread by a quarter to either side.
fn waited(began: Instant, ended: Instant, time: Duration, late: Duration) -> Judged {
    let took = ended.saturating_duration_since(began);
    // Clocks differ a little, and the connection may have ended before it began here.
    let least = (time * 3 / 4).saturating_sub(Duration::from_millis(20));
    match took >= least && took <= time * 5 / 4 + late {
        true => Ok(()),
        false => {
            let expected = format!(
                "a wait of {:.2} s, a quarter more or less",
                time.as_secs_f32()
            );
            Err(Stop::fail(expected, format!("{:.2} s", took.as_secs_f32())))
        }
    }
}

fn doubles(site: &mut Site, end: fn(Link) -> Judged) -> Judged {
    let patience = site.patience();
    site.start(1, 0)?;
    let mut ended = None;
    for pass in 0..5 {
        let time = FIRST * (1 << pass) / 2;
        let dial = site.dial(patience + time * 5 / 4)?;
        if let Some(ended) = ended {
            waited(ended, dial.at, time, patience)?;
        }
        let (link, _) = site.greeted(dial).map_err(Stop::on_the_way)?;
        let now = Instant::now();
        end(link)?;
        ended = Some(now);
    }
    Ok(())
}

fn between_entries(site: &mut Site) -> Judged {
    // One that is no entry's wait would be longer by now.
    const LATE: Duration = Duration::from_millis(900);
    let patience = site.patience();
    site.start(2, 0)?;
    for pass in 0..4 {
        refused(site, 0, patience + FIRST * (1 << pass))?;
        let began = Instant::now();
        let dial = site.dial_to(1, patience)?;
        waited(
            began,
            dial.at,
            FIRST,
            if pass < 3 { patience } else { LATE },
        )?;
        let (link, _) = site.greeted(dial).map_err(Stop::on_the_way)?;
        link.refuse(4004)?;
    }
    Ok(())
}

fn at_most_30_seconds(site: &mut Site) -> Judged {
    const MOST: Duration = Duration::from_secs(30);
    let patience = site.patience();
    site.start(1, 0)?;
    let mut ended = None;
    for pass in 0..10 {
        let time = (FIRST * (1 << pass) / 2).min(MOST);
        let dial = site.dial(patience + time * 5 / 4)?;
        if let Some(ended) = ended {
            waited(ended, dial.at, time, patience)?;
        }
        let (link, _) = site.greeted(dial).map_err(Stop::on_the_way)?;
        ended = Some(Instant::now());
        link.refuse(4004)?;
    }
    Ok(())
}

fn kept(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    let patience = site.patience();
    site.start(2, 0)?;
    refused(site, 0, patience)?;
    let dial = site.dial_to(1, patience)?;
    let (mut upstream, _) = site.greeted(dial).map_err(Stop::on_the_way)?;
    upstream.welcome()?;
    let root = site.uid(1);
    let deadline = Instant::now() + Duration::from_secs(4);
    let mut probes = 0;
    while let left = deadline.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        // The peer before it is there, in the same tree.
        if let Some(dial) = site.dial_within(left)? {
            let (mut link, handshake) = site.greeted(dial).map_err(Stop::on_the_way)?;
            stays(&handshake, false)?;
            link.path = vec![root.clone()];
            link.welcome()?;
            link.closed(1000)?;
            probes += 1;
        }
    }
    if probes == 0 {
        let why = "the server has not looked at the peer before its upstream (G1.1)";
        return Err(Stop::Inconclusive(why.into()));
    }
    let _alice = site.bench()?.join("alice")?;
    upstream
        .hears(
            Kind::Join,
            &channel,
            "the join of a channel: it is the upstream still",
        )
        .map(drop)
}
