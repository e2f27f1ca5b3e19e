//! Opening a link (peering.md, section 2), as the server does that dials.

use std::time::{Duration, Instant};

use serde_json::json;

use super::stays;
use crate::bench::lasted;
use crate::case::{Case, Judged, Stop, dialer_case as case};
use crate::cases::peering::opening::{fault, is_uid, proves};
use crate::link::{Handshake, Link, MINUTE, random_uid};
use crate::session::Event;
use crate::site::Site;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "O1.1/dialer-nonce",
            "a server that dials says a nonce: 32 lower-case hexadecimal digits, new for each connection",
            nonce,
        ),
        case(
            "O1.1/dialer-is-a-client",
            "the upgrade is otherwise that of a client",
            is_a_client,
        ),
        case(
            "O1.1/dialer-gets-no-nonce",
            "a server that gets no nonce sends nothing, and ends the connection",
            gets_no_nonce,
        ),
        case(
            "O1.2/dialer-handshake",
            "a server that dials begins with a handshake",
            handshake,
        ),
        case(
            "O1.2/dialer-waits",
            "a server that dials waits for the reply before it sends more",
            waits,
        ),
        case(
            "O1.3/dialer-is-the-lower-end",
            "after the reply, a server that has dialed is the lower end of a link",
            is_the_lower_end,
        ),
        bad_reply(
            "O1.3/dialer-on-the-path",
            "a reply whose path has the dialer on it",
            1000,
            |link, reply| reply.path = vec![link.server()],
        ),
        case(
            "O1.4/dialer-proves",
            "the handshake proves that the server knows the peer key, by the nonces of both ends",
            |site| {
                site.start(1, 0)?;
                let key = site.bench()?.peer_key()?;
                let (link, _) = site.greeting(0).map_err(Stop::on_the_way)?;
                proves(&link, &key)
            },
        ),
        bad_reply(
            "O1.4/dialer-missing",
            "a reply without auth",
            4001,
            |_, reply| reply.auth = None,
        ),
        bad_reply(
            "O1.4/dialer-another-key",
            "a reply under another key",
            4001,
            |link, reply| {
                reply.auth = Some(link.auth_of(&reply.uid, &reply.channel, "another key"));
            },
        ),
        bad_reply(
            "O1.4/dialer-given-back",
            "a reply with the dialer's own hash",
            4001,
            |link, reply| {
                reply.auth = link.hello["auth"].as_str().map(str::to_owned);
            },
        ),
        bad_reply(
            "O1.2/dialer-too-long",
            "a reply of 4097 bytes",
            4000,
            |link, reply| {
                let missing = 4097 - reply.to_string().len();
                reply.channel.push_str(&"x".repeat(missing));
                reply.auth = Some(link.auth(&reply.channel));
            },
        ),
        bad_reply(
            "O1.2/dialer-bad-uid",
            "a reply whose uid is in upper case",
            4012,
            |link, reply| {
                link.uid = format!("{}F", &link.uid[1..]);
                *reply = link.handshake();
            },
        ),
        bad_reply(
            "O1.7/dialer-ahead",
            "a reply whose clock is more than ten minutes ahead",
            4011,
            |_, reply| {
                reply.ts += 11 * MINUTE;
            },
        ),
        bad_reply(
            "O1.7/dialer-behind",
            "a reply whose clock is more than ten minutes behind",
            4011,
            |_, reply| {
                reply.ts -= 11 * MINUTE;
            },
        ),
        bad_reply(
            "R1.1/dialer-itself",
            "a reply with the dialer's own uid",
            4010,
            |link, reply| {
                link.uid = link.server();
                *reply = link.handshake();
            },
        ),
        bad_reply(
            "R1.7/dialer-65-nodes",
            "a reply whose path has 65 nodes",
            4011,
            |_, reply| {
                reply.path = (0..65).map(|_| random_uid()).collect();
            },
        ),
        bad_reply(
            "R1.7/dialer-64-nodes",
            "a reply whose path has 64 nodes, and makes its own longer",
            4011,
            |_, reply| {
                reply.path = (0..64).map(|_| random_uid()).collect();
            },
        ),
        case(
            "R1.7/dialer-63-nodes",
            "a reply may have a path of 63 nodes",
            |site| {
                site.start(1, 0)?;
                let (mut link, _) = site.greeting(0).map_err(Stop::on_the_way)?;
                link.path = (0..63).map(|_| random_uid()).collect();
                link.welcome()?;
                joins(site, &mut link)
            },
        ),
        case(
            "O1.8/dialer-gives-up",
            "a link that is not open 10 s after the connection was dialed is given up",
            gives_up,
        )
        .lasts(|_| TEN),
        case(
            "O1.10/dialer-closes",
            "a server that has probed closes with 1000 when it has the reply",
            closes,
        ),
        case(
            "W1.1/only-dialing",
            "nobody waits for an upstream that is only dialed yet",
            only_dialing,
        ),
    ]
}

const TEN: Duration = Duration::from_secs(10);

/// A case in which the right reply, changed in this way, makes the dialer close with this code.
fn bad_reply(
    name: &'static str,
    what: &str,
    code: u16,
    change: fn(&mut Link, &mut Handshake),
) -> Case {
    let title = format!("a server that has dialed closes with {code} on {what}");
    case(name, title, move |site| {
        site.start(1, 0)?;
        let (mut link, _) = site.greeting(0).map_err(Stop::on_the_way)?;
        let mut reply = link.handshake();
        change(&mut link, &mut reply);
        link.say(&reply)?;
        link.closed(code).map(drop)
    })
}

fn nonce(site: &mut Site) -> Judged {
    site.start(1, 0)?;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let dial = site.dial(site.patience()).map_err(Stop::on_the_way)?;
        match dial.nonce() {
            Some(nonce) if is_uid(nonce) && !nonces.iter().any(|other| other == nonce) => {
                nonces.push(nonce.to_owned());
            }
            _ => {
                let came: Vec<_> = dial.request.all("Mles-Nonce").collect();
                let expected =
                    "one field Mles-Nonce of 32 lower-case hexadecimal digits, drawn anew";
                return Err(Stop::fail(expected, format!("Mles-Nonce: {came:?}")));
            }
        }
        let (link, _) = site.greeted(dial).map_err(Stop::on_the_way)?;
        link.refuse(4004)?;
    }
    Ok(())
}

fn is_a_client(site: &mut Site) -> Judged {
    site.start(1, 0)?;
    let dial = site.dial(site.patience()).map_err(Stop::on_the_way)?;
    let request = &dial.request;
    let has = |name: &str, wanted: &str| {
        request
            .all(name)
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    let fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "mles-websocket"),
    ];
    for (name, value) in fields {
        if !has(name, value) {
            let came: Vec<_> = request.all(name).collect();
            return Err(Stop::fail(format!("{name}: {value}"), format!("{came:?}")));
        }
    }
    match request.method == "GET" && request.version == "HTTP/1.1" {
        true => Ok(()),
        false => {
            let came = format!("{} … {}", request.method, request.version);
            Err(Stop::fail("GET … HTTP/1.1", came))
        }
    }
}

fn gets_no_nonce(site: &mut Site) -> Judged {
    site.start(1, 0)?;
    let dial = site.dial(site.patience()).map_err(Stop::on_the_way)?;
    let mut link = site.upgrade(dial, false)?;
    let patience = site.patience();
    link.session.ends(patience).map(drop)
}

fn handshake(site: &mut Site) -> Judged {
    site.start(1, 0)?;
    let dial = site.dial(site.patience()).map_err(Stop::on_the_way)?;
    let mut link = site.upgrade(dial, true)?;
    let heard = link.hear("a handshake")?;
    stays(&heard, true)?;
    if let Some(fault) = fault(&heard.head) {
        let expected = "a handshake: uid, channel, auth, peer, path, ts, max";
        return Err(Stop::fail(expected, format!("{fault}: {heard}")));
    }
    match heard.head["path"] == json!([]) && heard.text.len() <= 4096 {
        true => Ok(()),
        false => Err(Stop::fail(
            "the empty path, as it has no upstream",
            heard.to_string(),
        )),
    }
}

fn waits(site: &mut Site) -> Judged {
    let channel = site.channel.clone();
    site.start(1, 0)?;
    let (mut link, _) = site.greeting(0).map_err(Stop::on_the_way)?;
    // Something that it would have to say on a link.
    let (_alice, _bob) = site.bench()?.pair()?;
    link.minds_all = true;
    if let Some(said) = link.next(Duration::from_millis(100))? {
        return Err(Stop::fail("nothing before the reply", said.to_string()));
    }
    link.minds_all = false;
    link.welcome()?;
    link.joined(&channel).map(drop)
}

/// The server joins the case's channel on this link: it is its upstream.
fn joins(site: &mut Site, link: &mut Link) -> Judged {
    let channel = site.channel.clone();
    let _alice = site.bench()?.join("alice")?;
    link.joined(&channel).map(drop)
}

fn is_the_lower_end(site: &mut Site) -> Judged {
    site.start(1, 0)?;
    let mut link = site.upstream()?;
    joins(site, &mut link)
}

fn gives_up(site: &mut Site) -> Judged {
    site.start(1, 0)?;
    let dial = site.dial(site.patience()).map_err(Stop::on_the_way)?;
    let began = dial.at;
    let (mut link, _) = site.greeted(dial).map_err(Stop::on_the_way)?;
    let patience = site.patience();
    let deadline = began + TEN + TEN / 4 + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match link.session.next(left)? {
            Some(Event::Close(_) | Event::End(_)) => {
                return lasted(began, Instant::now(), TEN, patience, "the link is given up");
            }
            Some(Event::Ping(_) | Event::Pong(_)) => {}
            Some(Event::Message(message)) => {
                return Err(Stop::fail("nothing before the reply", message.to_string()));
            }
            None => return Err(Stop::fail("the link is given up after 10 s", "it is not")),
        }
    }
}

fn closes(site: &mut Site) -> Judged {
    site.start(2, 0)?;
    let _upstream = site.upstream()?;
    let root = site.uid(0);
    let (mut probe, handshake) = site.greeting(1).map_err(Stop::on_the_way)?;
    stays(&handshake, false)?;
    probe.path = vec![root];
    probe.welcome()?;
    probe.closed(1000).map(drop)
}

fn only_dialing(site: &mut Site) -> Judged {
    site.start(1, 0)?;
    let (_link, _) = site.greeting(0).map_err(Stop::on_the_way)?;
    let bench = site.bench()?;
    bench.keeps(4, 100)?;
    crate::cases::peering::without_a_wait(bench, "the replay", |bench| {
        bench.channel = bench.another_channel();
        let mut alice = bench.join("alice")?;
        alice.say(crate::Bench::HELLO)?;
        let began = Instant::now();
        let mut bob = bench.join("bob")?;
        bob.until(crate::Bench::HELLO)?;
        Ok(began)
    })
}
