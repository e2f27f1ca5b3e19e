//! Peers that mean harm, or are broken, once they are linked: what they may not send ends the link with the code that
//! the specification gives it, and the members of the server talk on.

use black_box::wire::{TEXT, head};
use black_box::{Binary, Client, Message, NUMBER_MOST, PEER_KEY, Peer, Talk, clock, nonce, suite};
use serde_json::{Value, json};

suite! {
    frames_out_of_place,
    turns_out_of_turn,
    forged_numbers,
    numbers_of_the_server_itself,
    times_ahead,
    large_payloads,
    headers_longer_than_messages,
    half_frames,
}

const MIB: u64 = 1 << 20;

/// What a server may grow by for a handful of links, one after the other: buffers of some connections. (It is less than
/// one, but what is freed is not given back at once.)
const LITTLE: u64 = 8 * MIB;

fn talk(binary: &Binary) -> Talk {
    Talk::begin(binary, &[], &[PEER_KEY])
}

/// F1.1, F1.4: what is no frame of a link, or none of the lower end.
fn frames_out_of_place(binary: &Binary) {
    let mut talk = talk(binary);
    let peer = Peer::link(&talk.server);
    let (uid, other) = (peer.uid.clone(), nonce());
    let text = |frame: Value| Message::text(frame.to_string());
    let message = |seq: Value, ts: Value| json!({"uid": "eve", "channel": "talk", "node": other, "seq": seq, "ts": ts});
    let mut with_peer = message(1.into(), 1.into());
    with_peer["peer"] = true.into();
    let frames = [
        Message::text(""),
        Message::text("{}"),
        Message::text("[]"),
        Message::text("hello"),
        Message::text(format!(
            r#"{{"uid":"{uid}","uid":"{uid}","peer":true,"path":[]}}"#
        )),
        Message::text(" ".repeat(65 * 1024)),
        Message::binary(peer.join_of("c").to_string().into_bytes()),
        text(peer.handshake(PEER_KEY.1)),
        text(peer.path_of(&[])),
        text(json!({"uid": uid, "channel": "talk", "peer": true, "done": true})),
        text(json!({"uid": other, "channel": "talk", "peer": true, "have": {}})),
        text(json!({"uid": other, "channel": "talk", "peer": false})),
        text(json!({"uid": uid, "channel": "", "peer": true, "have": {}})),
        text(json!({"uid": uid, "channel": "talk", "peer": true, "have": []})),
        text(json!({"uid": uid, "channel": "talk", "peer": true, "have": {"x": 1}})),
        text(json!({"uid": uid, "channel": "talk", "peer": true, "have": {other.clone(): -1}})),
        text(with_peer),
        text(message(0.into(), 1.into())),
        text(message(1.into(), 0.into())),
        text(message((NUMBER_MOST + 1).into(), 1.into())),
        text(message(1.into(), (NUMBER_MOST + 1).into())),
        text(message("1".into(), 1.into())),
        text(message(json!(1.5), 1.into())),
    ];
    drop(peer);
    for frame in frames {
        let mut peer = Peer::open(&talk.server);
        peer.uid = uid.clone();
        peer.shake();
        peer.client.send(frame);
        peer.expect_close(4012);
        talk.round();
    }
    talk.end_of_links(LITTLE);
}

/// G1.4, G1.5, C1.5: the upper end can't turn the link, nor can it reply to what nobody asked.
fn turns_out_of_turn(binary: &Binary) {
    let mut talk = talk(binary);
    let frames: [&dyn Fn(&Peer) -> Value; 3] = [
        &|peer| peer.turn_of(&[]),
        &|peer| peer.join_of("nobody asked"),
        &|peer| peer.handshake(PEER_KEY.1),
    ];
    for frame in frames {
        let mut peer = Peer::above(&talk.server);
        peer.say(&frame(&peer));
        peer.expect_close(4012);
        talk.round();
    }
    talk.end_of_links(LITTLE);
}

/// S1.1, section 14: a number that is too high silences the origin that it is said of, and nobody else.
fn forged_numbers(binary: &Binary) {
    let mut talk = talk(binary);
    let mut peer = Peer::link(&talk.server);
    peer.join("talk");
    let (origin, other) = (nonce(), nonce());
    peer.tell(
        "talk",
        &origin,
        NUMBER_MOST,
        clock(),
        Message::text("forged"),
    );
    for seq in [1, 2, NUMBER_MOST] {
        peer.tell("talk", &origin, seq, clock(), Message::text("silenced"));
    }
    peer.tell("talk", &other, 1, clock(), Message::text("heard"));
    for member in [&mut talk.alice, &mut talk.bob] {
        member.expect(["forged", "heard"]);
    }
    talk.round();
    talk.end_of_links(LITTLE);
}

/// S1.4: the highest number of the server itself has it take another uid, and costs the peer its link.
fn numbers_of_the_server_itself(binary: &Binary) {
    let mut talk = talk(binary);
    for by_message in [true, false] {
        let mut peer = Peer::link(&talk.server);
        let server = peer.other().to_owned();
        peer.join("talk");
        if by_message {
            peer.tell(
                "talk",
                &server,
                NUMBER_MOST,
                clock(),
                Message::text("as you"),
            );
            talk.alice.expect(["as you"]);
            talk.bob.expect(["as you"]);
        } else {
            peer.say(&json!({"uid": peer.uid, "channel": "talk", "peer": true, "have": {server.clone(): NUMBER_MOST}}));
            peer.client.settle();
        }
        talk.round();
        peer.expect_close(1012);
        let again = Peer::link(&talk.server);
        assert_ne!(again.other(), server);
        talk.round();
    }
    talk.end_of_links(LITTLE);
}

/// F1.6: more than two hours ahead ends the link; more than one is skipped.
fn times_ahead(binary: &Binary) {
    let mut talk = talk(binary);
    const MINUTES: u64 = 60 * 1_000_000;
    for ts in [clock() + 121 * MINUTES, NUMBER_MOST] {
        let mut peer = Peer::link(&talk.server);
        peer.join("talk");
        peer.tell("talk", &nonce(), 1, ts, Message::text("from tomorrow"));
        peer.expect_close(4012);
        talk.round();
    }
    let mut peer = Peer::link(&talk.server);
    peer.join("talk");
    let origin = nonce();
    peer.tell(
        "talk",
        &origin,
        1,
        clock() + 90 * MINUTES,
        Message::text("too early"),
    );
    peer.tell("talk", &origin, 1, clock(), Message::text("just now"));
    for member in [&mut talk.alice, &mut talk.bob] {
        member.expect(["just now"]);
    }
    talk.round();
    talk.end_of_links(LITTLE);
}

/// F1.5: above the bound that the server's handshake gave.
fn large_payloads(binary: &Binary) {
    let mut talk = Talk::begin(binary, &["--max-message", "100KiB"], &[PEER_KEY]);
    const MOST: usize = 100 << 10;
    for more in [1, 1 << 10, 1 << 20] {
        let mut peer = Peer::link(&talk.server);
        assert_eq!(peer.reply["max"], MOST);
        peer.join("talk");
        let (origin, payload) = (nonce(), Message::binary(vec![7; MOST]));
        peer.tell("talk", &origin, 1, clock(), payload.clone());
        for member in [&mut talk.alice, &mut talk.bob] {
            member.expect([payload.clone()]);
        }
        peer.say(
            &json!({"uid": "eve", "channel": "talk", "node": origin, "seq": 2, "ts": clock()}),
        );
        // The server may be gone before it has been told all.
        let _ = peer.client.try_send(Message::binary(vec![7; MOST + more]));
        peer.expect_close(4012);
        talk.round();
    }
    talk.end_of_links(LITTLE);
}

/// F1.1, F1.5: a header has up to 64 KiB, however short messages have to be.
fn headers_longer_than_messages(binary: &Binary) {
    let mut talk = Talk::begin(binary, &["--max-message", "4KiB"], &[PEER_KEY]);
    let mut peer = Peer::link(&talk.server);
    let have: serde_json::Map<_, _> = (0..1200).map(|_| (nonce(), 1.into())).collect();
    let join = json!({"uid": peer.uid, "channel": "talk", "peer": true, "have": have});
    assert!((40_000..65_536).contains(&join.to_string().len()));
    peer.say(&join);
    while peer.hear()["done"] != true {}
    // Whereas this is a payload.
    let origin = nonce();
    peer.tell("talk", &origin, 1, clock(), Message::text("x".repeat(4096)));
    for member in [&mut talk.alice, &mut talk.bob] {
        member.expect(["x".repeat(4096)]);
    }
    peer.tell("talk", &origin, 2, clock(), Message::text("x".repeat(4097)));
    peer.expect_close(4012);
    // A client gets no more for having said that it may be a peer (M4.2).
    let mut client: Client = Peer::open(&talk.server).client;
    client.join("eve", "elsewhere");
    client.send("x".repeat(4097));
    client.expect_close(1009);
    talk.round();
    talk.end_of_links(LITTLE);
}

/// F1.3, X1.15: what is behind a header is its payload, whatever it is; and what does not come to its end is nothing.
fn half_frames(binary: &Binary) {
    let mut talk = talk(binary);
    let mut peer = Peer::link(&talk.server);
    peer.join("talk");
    let origin = nonce();
    let header = json!({"uid": "eve", "channel": "talk", "node": origin, "seq": 1, "ts": clock()});
    peer.say(&header);
    peer.say(&header);
    for member in [&mut talk.alice, &mut talk.bob] {
        member.expect([header.to_string()]);
    }
    // A header, and then nothing; half a header; half a payload.
    for reset in [true, false] {
        for cut in 0..3 {
            let mut peer = Peer::link(&talk.server);
            peer.join("talk");
            if cut != 1 {
                let header = json!({"uid": "eve", "channel": "talk", "node": nonce(), "seq": 1, "ts": clock()});
                peer.say(&header);
            }
            peer.client.settle();
            if cut > 0 {
                peer.client.send_bytes(&head(TEXT, 1 << 20));
                peer.client.send_bytes(&[b'x'; 1000]);
            }
            match reset {
                true => peer.client.reset(),
                false => peer.client.vanish(),
            }
            talk.round();
        }
    }
    talk.end_of_links(LITTLE);
}
