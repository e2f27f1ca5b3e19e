//! How many links there may be, of whom, and for how long one may take to open (peering.md, section 2).

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::case::{Case, Company, Judged, Stop, case};
use crate::limits::Limits;
use crate::link::{Handshake, Link, Said, random_uid};
use crate::wire::Frame;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "O1.5/takes-no-peers",
            "a server that takes no peers refuses a handshake with 4011, however wrong it is",
            takes_no_peers,
        ),
        case(
            "O1.6/comes-again",
            "a second link of one node is taken, and the first is closed with 4002",
            comes_again,
        ),
        case(
            "O1.6/probe",
            "a probe does not end the link of its node",
            probe_replaces_nothing,
        ),
        case(
            "O1.8/nothing-comes",
            "a connection with nonces is closed with 4003 when no handshake has come in time",
            nothing_comes,
        )
        .lasts(time_to_open),
        case(
            "O1.9/64-links",
            "a server takes 64 links, and refuses a further one with 4004",
            links_64,
        )
        .connections(68)
        .company(Company::Disruptive),
        case(
            "O1.9/no-room-needed",
            "a server that has 64 links replies to a probe, and takes a node that comes again",
            no_room_needed,
        )
        .connections(68)
        .company(Company::Disruptive),
        case(
            "O1.10/reply-and-close",
            "a probe is replied to, and the connection closed with 1000",
            reply_and_close,
        ),
    ]
}

fn takes_no_peers(bench: &mut Bench) -> Judged {
    if bench.peer_key().is_ok() {
        return Err(Stop::Skip("the server takes peers".into()));
    }
    let request = bench.upgrade_request().with("Mles-Nonce", &random_uid());
    let Ok((mut session, response)) = bench.upgrade("peer", &request)? else {
        return Err(Stop::Inconclusive("no upgrade".into()));
    };
    let path: Vec<_> = (0..65).map(|_| random_uid()).collect();
    let handshake = Handshake {
        uid: random_uid(),
        channel: "conformance".into(),
        auth: None,
        path,
        ts: 1,
        max: 1 << 20,
        probe: false,
    };
    session.say(&handshake.to_string())?;
    let expected = "peer is closed with 4011";
    let close = session.close_frame(bench.patience(), expected)?;
    match close.code {
        Some(4011) => Ok(()),
        // Only one that takes peers has to give a nonce.
        Some(4001) if response.field("Mles-Nonce").is_some() => Err(Stop::Skip(
            "the server seems to take peers, and that was not said (--peer-key-file, --peering)"
                .into(),
        )),
        _ => Err(Stop::fail(expected, close.to_string())),
    }
}

fn comes_again(bench: &mut Bench) -> Judged {
    let mut first = bench.link("first")?;
    let mut second = bench.peer("second")?;
    second.uid = first.uid.clone();
    second.shake()?;
    first.closed(4002)?;
    second.still_works()
}

fn probe_replaces_nothing(bench: &mut Bench) -> Judged {
    let mut link = bench.link("peer")?;
    let mut probe = bench.peer("probe")?;
    probe.uid = link.uid.clone();
    let handshake = Handshake {
        probe: true,
        ..probe.handshake()
    };
    probe.shake_with(&handshake).map_err(Stop::on_the_way)?;
    probe.closed(1000).map_err(Stop::on_the_way)?;
    link.still_works()
}

/// Whether the connection is to be a link shows only by its first frame: until then it is a client's, too (H3.1).
fn time_to_open(limits: &Limits) -> Duration {
    limits.header_timeout.max(Duration::from_secs(10))
}

fn nothing_comes(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    let began = Instant::now();
    // Half of a handshake is none.
    let handshake = link.handshake().to_string();
    let (half, _) = handshake.split_at(handshake.len() / 2);
    link.session.send(&Frame::text(half).unfinished())?;
    let ten = Duration::from_secs(10);
    let least = bench.limits().header_timeout.min(ten);
    let most = time_to_open(bench.limits());
    let late = most + most / 4 + bench.patience();
    link.session.closed_within(4003, late)?;
    // Clocks differ a little, and the upgrade was before the response came.
    if began.elapsed() < least.saturating_sub(least / 10 + Duration::from_millis(300)) {
        let expected = format!("{:.1} s to open the link", least.as_secs_f32());
        let came = format!("closed after {:.1} s", began.elapsed().as_secs_f32());
        return Err(Stop::fail(expected, came));
    }
    Ok(())
}

/// All links that the server takes, and one that it has refused with 4004.
fn all_links(bench: &Bench) -> Judged<Vec<Link>> {
    bench.peer_key()?;
    let is_near = bench.target().is_near();
    let limits = bench.limits();
    if limits.per_ip_limit.is_some_and(|limit| limit < 68) && !is_near {
        let why = "the server takes too few connections from here (--set per-ip-limit)";
        return Err(Stop::Skip(why.into()));
    }
    if limits.rate_limit.is_some_and(|limit| limit < 100) {
        let why = "the server takes too few connections a minute from here (--set rate-limit)";
        return Err(Stop::Skip(why.into()));
    }
    let mut links: Vec<Link> = Vec::new();
    let mut heard = Instant::now();
    loop {
        // So that none is closed because it does not answer pings.
        if heard.elapsed() > Duration::from_secs(3) {
            for link in &mut links {
                link.next(Duration::ZERO)?;
            }
            heard = Instant::now();
        }
        let mut link = bench.peer("peer")?;
        link.say(link.handshake())?;
        let expected = match links.len() {
            64.. => "the 65th link is refused with 4004",
            _ => "a reply, or 4004",
        };
        match link.next(bench.patience())? {
            Some(Said::Frame(_)) if links.len() < 64 => links.push(link),
            Some(Said::Close(close)) if close.code == Some(4004) => return Ok(links),
            Some(other) => return Err(Stop::fail(expected, other.to_string())),
            None => return Err(Stop::fail(expected, "nothing")),
        }
    }
}

fn links_64(bench: &mut Bench) -> Judged {
    let mut links = all_links(bench)?;
    // One that is there is not disturbed.
    if let Some(link) = links.first_mut() {
        link.still_works()?;
    }
    match links.len() {
        64 => Ok(()),
        count => Err(Stop::Inconclusive(format!(
            "the server took {count} links; it may have others, of which it cannot be known here"
        ))),
    }
}

fn no_room_needed(bench: &mut Bench) -> Judged {
    let mut links = all_links(bench).map_err(Stop::on_the_way)?;
    let mut probe = bench.peer("probe")?;
    let handshake = Handshake {
        probe: true,
        ..probe.handshake()
    };
    probe.shake_with(&handshake)?;
    let Some(former) = links.first_mut() else {
        return Err(Stop::Inconclusive("the server takes no link".into()));
    };
    let mut again = bench.peer("again")?;
    again.uid.clone_from(&former.uid);
    again.shake()?;
    former.closed(4002).map(drop)
}

fn reply_and_close(bench: &mut Bench) -> Judged {
    let mut link = bench.peer("peer")?;
    let handshake = Handshake {
        probe: true,
        ..link.handshake()
    };
    link.shake_with(&handshake)?;
    link.closed(1000).map(drop)
}
