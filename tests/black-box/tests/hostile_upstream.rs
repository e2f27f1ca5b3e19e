//! A server's upstream that means harm, or is broken: the server closes the link with the code that the specification
//! gives it, and its members talk on, whatever they would wait for.

use black_box::{Binary, Dialed, Message, PEER_KEY, Talk, Upstream, header, nonce, suite};
use serde_json::{Value, json};

suite! {
    replies_that_lie,
    frames_from_above,
    an_upstream_that_refuses_all,
    an_upstream_that_never_answers,
    an_upstream_that_moves_all_the_time,
}

const LITTLE: u64 = 8 << 20;

/// A server below this peer, and two who talk on it.
fn talk(binary: &Binary, upstream: &Upstream) -> Talk {
    let args = upstream.args();
    let args: Vec<&str> = args.iter().map(|arg| &**arg).collect();
    Talk::begin(binary, &args, &[PEER_KEY])
}

/// O1.3, O1.4, O1.7, R1.1, R1.7, F1.4: what the dialer checks in a reply.
fn replies_that_lie(binary: &Binary) {
    type Change = fn(&mut Dialed, &mut Value);
    let lies: [(u16, Change); 8] = [
        (4001, |_, reply| reply["auth"] = "0".into()),
        // What the dialer has proved its own uid with is no proof for another.
        (4001, |peer, reply| {
            reply["auth"] = peer.hello["auth"].clone()
        }),
        (4010, |peer, reply| *reply = peer.hello.clone()),
        (4011, |_, reply| {
            let path: Vec<String> = (0..65).map(|_| nonce()).collect();
            reply["path"] = path.into();
        }),
        (4011, |_, reply| reply["ts"] = 1.into()),
        (4012, |_, reply| reply["max"] = "much".into()),
        (4012, |peer, reply| *reply = peer.path_of(&[])),
        (4012, |peer, reply| *reply = peer.join_of("talk")),
    ];
    for (code, lie) in lies {
        let upstream = Upstream::new();
        let mut talk = talk(binary, &upstream);
        let mut peer = upstream.accept();
        let mut reply = peer.handshake(PEER_KEY.1);
        lie(&mut peer, &mut reply);
        peer.say(&reply);
        peer.expect_close(code);
        talk.round();
    }
}

/// F1.4, C1.5: what the upper end may not send, or not now.
fn frames_from_above(binary: &Binary) {
    let frames: [fn(&Dialed) -> Value; 6] = [
        |peer| peer.turn_of(&[]),
        |peer| peer.handshake(PEER_KEY.1),
        |peer| peer.join_of("nobody asked"),
        |_| json!({"uid": nonce(), "peer": true, "path": []}),
        |peer| json!({"uid": peer.hello["uid"], "channel": "talk", "peer": false}),
        |_| json!({"uid": "eve", "channel": "talk", "node": "nobody", "seq": 1, "ts": 1}),
    ];
    for frame in frames {
        let upstream = Upstream::new();
        let mut talk = talk(binary, &upstream);
        let mut peer = upstream.accept();
        peer.reply();
        let frame = frame(&peer);
        peer.say(&frame);
        peer.expect_close(4012);
        talk.round();
        talk.end_of_links(LITTLE);
    }
}

/// C1.8, W1.2: a join that is refused has nobody wait.
fn an_upstream_that_refuses_all(binary: &Binary) {
    let upstream = Upstream::new();
    let mut talk = talk(binary, &upstream);
    let mut peer = upstream.accept();
    peer.reply();
    assert_eq!(peer.hear()["channel"], "talk");
    let refusal = peer.leave_of("talk");
    peer.say(&refusal);
    talk.round();
    let mut carol = talk.server.join("carol", "elsewhere");
    assert_eq!(peer.hear()["channel"], "elsewhere");
    let refusal = peer.leave_of("elsewhere");
    peer.say(&refusal);
    let mut dave = talk.server.join("dave", "elsewhere");
    dave.expect([header("carol", "elsewhere")]);
    carol.expect([header("dave", "elsewhere")]);
    talk.end_of_links(LITTLE);
}

/// W1.1: nobody waits for the history of an upstream longer than 2 s; and nobody who is there notices that it is
/// waited for.
fn an_upstream_that_never_answers(binary: &Binary) {
    let upstream = Upstream::new();
    let mut talk = talk(binary, &upstream);
    let mut peer = upstream.accept();
    peer.reply();
    assert_eq!(peer.hear()["channel"], "talk");
    talk.round();
    let mut carol = talk.server.join("carol", "talk");
    talk.alice.expect([header("carol", "talk")]);
    talk.bob.expect([header("carol", "talk")]);
    talk.round();
    carol.expect([header("alice", "talk"), header("bob", "talk")]);
    for round in 1..=2 {
        carol.expect([format!("ping {round}"), format!("pong {round}")]);
    }
    // What the upstream sends in place of a reply is ignored (C1.5).
    let message = json!({"uid": "eve", "channel": "talk", "node": nonce(), "seq": 1, "ts": 1});
    peer.say(&message);
    peer.say(&message);
    talk.round();
    carol.expect(["ping 3", "pong 3"]);
    let got: Vec<Message> = carol.leave();
    assert!(got.is_empty(), "{got:?}");
    talk.end_of_links(LITTLE);
}

/// R1.4, G1.1: paths that change all the time, each with another root.
fn an_upstream_that_moves_all_the_time(binary: &Binary) {
    let upstream = Upstream::new();
    let mut talk = talk(binary, &upstream);
    let mut peer = upstream.accept();
    peer.reply();
    for number in 0..5_000 {
        let path: Vec<String> = (0..number % 60).map(|_| nonce()).collect();
        let path: Vec<&str> = path.iter().map(|node| &**node).collect();
        let frame = peer.path_of(&path);
        peer.say(&frame);
        if number % 1_000 == 0 {
            talk.round();
        }
    }
    talk.end_of_links(LITTLE);
}
