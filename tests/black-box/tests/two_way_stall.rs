//! Both ends of a connection have much to send, and neither reads at first: nothing stands still for good.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that can't go on, or gets what it does not expect, fails"
)]

use std::time::{Duration, Instant};

use black_box::{
    Binary, Client, DEADLINE, Launch, Message, PEER_KEY as KEY, Pair, Server, Signal, Talk,
    TempDir, fingerprint, header, pairs, peer_url, suite, unused_port,
};

suite! {
    two_that_push_and_miss_nothing,
    two_that_push_and_lag,
    eight_that_push_at_each_other,
}

pairs! {
    histories_that_meet,
}

const SIZE: usize = 64 * 1024;

/// Message `number` of a sender, `SIZE` bytes long.
fn numbered(sender: usize, number: usize) -> Message {
    let mut message = vec![(sender * 31 + number) as u8; SIZE];
    message[..8].copy_from_slice(&(number as u64).to_be_bytes());
    message[8] = sender as u8;
    Message::binary(message)
}

/// Sender and number of such a message, which is as it was sent.
fn number_of(message: &Message) -> (usize, usize) {
    let Message::Binary(bytes) = message else {
        panic!("a numbered message was expected: {message:?}");
    };
    let (sender, number) = (
        usize::from(bytes[8]),
        u64::from_be_bytes(bytes[..8].try_into().unwrap()),
    );
    let number = number as usize;
    assert!(*message == numbered(sender, number), "{sender} {number}");
    (sender, number)
}

/// Members of one channel, each of which has been told of all others.
fn members(server: &Server, count: usize) -> Vec<Client> {
    let mut members: Vec<_> = (0..count)
        .map(|number| server.join(&number.to_string(), "pushed"))
        .collect();
    for member in &mut members {
        member.recv_until_settled();
    }
    members
}

/// Each sends this many as fast as it can, and reads nothing before all that is accepted; two others talk meanwhile,
/// and no round of theirs takes long.
fn push(talk: &mut Talk, members: Vec<Client>, count: usize) -> Vec<Client> {
    let pushing: Vec<_> = members
        .into_iter()
        .enumerate()
        .map(|(sender, mut member)| {
            std::thread::spawn(move || {
                (0..count).for_each(|number| member.send(numbered(sender, number)));
                member
            })
        })
        .collect();
    let began = Instant::now();
    let all = (pushing.len() * count * SIZE) as u64;
    let taken = |talk: &Talk| {
        let sent = pushing.iter().all(std::thread::JoinHandle::is_finished);
        sent && talk.server.number("message_bytes") >= all
    };
    while !taken(talk) {
        let round = Instant::now();
        talk.round();
        let took = round.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let took = began.elapsed();
        assert!(took < 2 * DEADLINE, "what is sent is not taken");
    }
    pushing.into_iter().map(|it| it.join().unwrap()).collect()
}

/// What one has received of each other, in order and without holes from the first on; and whether 4008 came then.
fn read(member: &mut Client, senders: usize, all: usize) -> (Vec<usize>, bool) {
    let mut next = vec![0; senders];
    while next.iter().sum::<usize>() < all {
        let message = match member.next_frame() {
            Message::Close(close) => {
                assert_eq!(u16::from(close.unwrap().code), 4008);
                return (next, true);
            }
            Message::Ping(_) | Message::Pong(_) => continue,
            message => message,
        };
        let (sender, number) = number_of(&message);
        assert_eq!(number, next[sender], "of {sender}");
        next[sender] += 1;
    }
    (next, false)
}

/// L2.1, L2.2, L2.3, L3.1, L3.10: two send 20 MiB each, and read nothing before that is taken. What waits for either is
/// less than its outbox holds: each gets everything.
fn two_that_push_and_miss_nothing(binary: &Binary) {
    const COUNT: usize = 320;
    let mut talk = Talk::begin(
        binary,
        &["--outbox", "64MiB", "--max-message", "64MiB"],
        &[],
    );
    let members = members(&talk.server, 2);
    let mut members = push(&mut talk, members, COUNT);
    for (number, member) in members.iter_mut().enumerate() {
        let (next, lagged) = read(member, 2, COUNT);
        assert!(
            !lagged && next[1 - number] == COUNT && next[number] == 0,
            "{next:?}"
        );
    }
    for member in members {
        assert!(member.leave().is_empty());
    }
    talk.round();
}

/// L2.1, L2.2, L2.3, L2.4, L2.5, L2.6, L2.7, L3.3: the same with an outbox that does not hold it: each gets a prefix and
/// 4008, and finds the rest in the history, all that it has sent itself too.
fn two_that_push_and_lag(binary: &Binary) {
    const COUNT: usize = 480;
    let args = [
        "--history-channel-bytes",
        "64MiB",
        "--limit",
        "1000",
        "--history-bytes",
        "256MiB",
    ];
    let mut talk = Talk::begin(binary, &args, &[]);
    let members = members(&talk.server, 2);
    let members = push(&mut talk, members, COUNT);
    let read = |(number, mut member): (usize, Client)| {
        let (next, lagged) = read(&mut member, 2, COUNT);
        assert!(lagged || next[1 - number] == COUNT, "{next:?}");
        assert_eq!(next[number], 0, "its own");
        if lagged {
            member.expect_end();
        }
        lagged
    };
    let lagged = members.into_iter().enumerate().map(read);
    assert_eq!(
        lagged.filter(|lagged| *lagged).count(),
        2,
        "30 MiB fit into 1 MiB"
    );
    talk.round();
    let mut late = talk.server.join("late", "pushed");
    late.expect(["0", "1"].map(|uid| header(uid, "pushed")));
    let mut next = [0; 2];
    for _ in 0..2 * COUNT {
        let (sender, number) = number_of(&late.recv());
        assert_eq!(number, next[sender], "of {sender}");
        next[sender] += 1;
    }
    assert_eq!(next, [COUNT; 2], "in the history");
}

/// L2.2, L2.3, L2.7, L3.1, L3.8, L3.10: eight push at each other as fast as they can: what is to be sent is seven times
/// what is received. Whoever lags gets a prefix; all that they say is taken, and memory stays bounded.
fn eight_that_push_at_each_other(binary: &Binary) {
    const COUNT: usize = 80;
    const MEMBERS: usize = 8;
    let mut talk = Talk::begin(binary, &["--history-bytes", "8MiB"], &[]);
    let members = members(&talk.server, MEMBERS);
    let members = push(&mut talk, members, COUNT);
    // 280 MiB were to be sent: what the system did not take, and is above 1 MiB for each, was not kept.
    talk.assert_small(96 << 20);
    for (number, mut member) in members.into_iter().enumerate() {
        let (next, lagged) = read(&mut member, MEMBERS, (MEMBERS - 1) * COUNT);
        assert_eq!(next[number], 0, "its own");
        let all = (0..MEMBERS).filter(|other| *other != number);
        assert!(
            lagged || all.map(|other| next[other]).all(|it| it == COUNT),
            "{next:?}"
        );
    }
    talk.round();
    talk.server.assert_serves();
}

const CHANNELS: usize = 40;
const EACH: usize = 8;

fn channel(number: usize) -> String {
    format!("channel {number}")
}

/// A member on each channel, who has said 512 KiB there.
fn say_much(server: &Server, side: usize) -> Vec<Client> {
    let member = |at| {
        let mut member = server.join(&format!("on {side}"), &channel(at));
        (0..EACH).for_each(|number| member.send(numbered(side, number)));
        member.settle();
        member
    };
    (0..CHANNELS).map(member).collect()
}

/// P6, S1.2, S1.3, L2.2: two servers have 20 MiB of history each, on the same forty channels, when the first link
/// between them is made: each sends all of its own as the other does. The members get what they lack, once and in
/// order; the histories are the same; meanwhile others talk at both.
fn histories_that_meet(pair: &Pair) {
    let files = TempDir::new();
    let nobody = format!("wss://localhost:{}", unused_port());
    let file = files.file("peers", nobody);
    let histories = ["--history-bytes", "128MiB"];
    let upper = Launch::new(&pair.0)
        .args(&histories)
        .env(KEY.0, KEY.1)
        .start();
    let lower = Launch::new(&pair.1)
        .args(&histories)
        .args(&[
            "--peers-file",
            &file,
            "--peer-fingerprint",
            &fingerprint(&upper),
        ])
        .env(KEY.0, KEY.1)
        .start();
    let servers = [&upper, &lower];
    let mut members = [0, 1].map(|side| say_much(servers[side], side));
    files.file("peers", peer_url(&upper));
    lower.signal(Signal::HUP);
    lower.log().wait_for("linked to peer").unwrap();
    let linked = Instant::now();
    for (side, members) in members.iter_mut().enumerate() {
        let other = 1 - side;
        for (at, member) in members.iter_mut().enumerate() {
            member.expect([header(&format!("on {other}"), &channel(at))]);
            member.expect((0..EACH).map(|number| numbered(other, number)));
            if at % 10 == 0 {
                servers[side].assert_serves();
            }
        }
    }
    assert!(linked.elapsed() < 2 * DEADLINE, "{:?}", linked.elapsed());
    for member in members.iter_mut().flatten() {
        assert!(member.recv_until_settled().is_empty(), "nothing came twice");
    }
    for at in 0..CHANNELS {
        let [one, other] = servers.map(|server| {
            let mut late = server.join("late", &channel(at));
            let texts = 2;
            (0..2 * EACH + texts)
                .map(|_| late.recv())
                .collect::<Vec<_>>()
        });
        assert!(one == other, "{}: two histories", channel(at));
    }
}
