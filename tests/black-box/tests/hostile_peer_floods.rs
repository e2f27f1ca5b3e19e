//! Peers that say too much, or do not listen: what a server holds for them is bounded.

use black_box::{Binary, Message, PEER_KEY, Peer, Talk, suite};

suite! {
    a_flood_of_joins,
    a_flood_of_leaves,
    a_peer_that_does_not_read,
    a_peer_that_hears_nothing,
}

const MIB: u64 = 1 << 20;

/// Channels that a peer may have joined on a link.
const CHANNELS: usize = 65_536;

/// C1.8, M3.7: on one link so many channels can be joined, and no more. An empty one that is joined on a link takes a
/// bit more than 1 KiB, all maps that know it taken together: 70 MiB for all of them. Without the bound there would be
/// no end to that.
fn a_flood_of_joins(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[PEER_KEY]);
    let mut peer = Peer::link(&talk.server);
    let (mut joined, mut refused) = (0, 0);
    for batch in 0..(CHANNELS + 1_000).div_ceil(1_000) {
        for number in 0..1_000 {
            peer.say(&peer.join_of(&format!("{batch}-{number}")));
        }
        let mut answered = 0;
        while answered < 1_000 {
            let heard = peer.hear();
            if heard["peer"] == false {
                refused += 1;
                answered += 1;
            } else if !heard["done"].is_null() {
                joined += 1;
                answered += 1;
            }
        }
        talk.round();
    }
    assert_eq!(joined, CHANNELS);
    assert!(refused > 0);
    // One that is joined already may be joined again, and one that is left makes room for another.
    peer.join("0-0");
    peer.say(&peer.leave_of("0-0"));
    peer.join("one more");
    talk.end_of_links(96 * MIB);
}

/// C1.7: leaves, of what is joined and of what is not.
fn a_flood_of_leaves(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[PEER_KEY]);
    let mut peer = Peer::link(&talk.server);
    for round in 0..20 {
        for number in 0..1_000 {
            let channel = format!("{round}-{number}");
            if number % 4 == 0 {
                peer.say(&peer.join_of(&channel));
            }
            for _ in 0..3 {
                peer.say(&peer.leave_of(&channel));
            }
        }
        peer.say(&peer.leave_of("talk"));
        // Replies to joins that were left at once may be there or not.
        let _ = peer.client.recv_until_settled();
        talk.round();
    }
    // Nothing of all that is held.
    talk.end_of_links(16 * MIB);
}

/// C1.8: refusals of 4 MiB that are not read end the link; until then the server holds them, besides what is on its
/// way to the socket.
fn a_peer_that_does_not_read(binary: &Binary) {
    // There is room for a few channels, so that nearly all joins are refused.
    let args = ["--history-bytes", "64KiB"];
    let mut talk = Talk::begin(binary, &args, &[PEER_KEY]);
    let mut peer = Peer::open_on(talk.server.narrow_tls());
    peer.shake();
    let name = "x".repeat(4_000);
    let mut sent = 0;
    // A lot at a time, each while others talk: once it closes the link the server reads no more, and what fills the
    // socket from this end then keeps its last frame from being read here.
    while sent < 10_000 && !is_flooded(&talk) {
        for number in sent..sent + 50 {
            peer.say(&peer.join_of(&format!("{name}{number}")));
        }
        sent += 50;
        talk.round();
    }
    assert!(talk.server.log().wait_for("LinkFlood").is_some());
    assert!(sent > 1_000, "{sent}");
    peer.expect_close(4004);
    talk.round();
    // 4 MiB that are owed, one batch of frames for the socket, and what has been read and not been looked at.
    talk.end_of_links(16 * MIB);
}

/// S1.3, S1.6, section 10: what a link that does not read is to get is taken from the history; what leaves that is
/// kept up to 4 MiB, and then left out.
fn a_peer_that_hears_nothing(binary: &Binary) {
    let mut talk = Talk::begin(binary, &[], &[PEER_KEY]);
    let mut peer = Peer::open_on(talk.server.narrow_tls());
    peer.shake();
    peer.join("talk");
    let large = Message::binary(vec![7; 64 << 10]);
    for _ in 0..800 {
        talk.alice.send(large.clone());
        talk.bob.expect([large.clone()]);
    }
    talk.round();
    // It may read on where it was, and has what there is.
    let mut payloads = 0;
    while peer.client.recv() != Message::text("pong 1") {
        payloads += 1;
    }
    // Headers and payloads.
    assert!(payloads < 2 * 400, "{payloads}");
    // Of 50 MiB: 8 MiB of history, 4 MiB that are kept, and some of what is under way.
    talk.end_of_links(24 * MIB);
}

fn is_flooded(talk: &Talk) -> bool {
    let lines = talk.server.log().lines();
    lines.iter().any(|line| line.contains("LinkFlood"))
}
