//! Peers that mean harm, or are broken, when they come: each is closed with the code that the specification gives it,
//! and the members of the server talk on.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use black_box::{Binary, NUMBER_MOST, PEER_KEY, Peer, Talk, clock, nonce, suite};
use serde_json::{Value, json};

suite! {
    wrong_keys,
    handshakes_of_other_connections,
    clocks_that_differ,
    lying_paths,
    too_many_links,
}

const MIB: u64 = 1 << 20;

/// What a server may grow by for a handful of links, one after the other: buffers of some connections. (It is less than
/// one, but what is freed is not given back at once.)
const LITTLE: u64 = 8 * MIB;

fn talk(binary: &Binary) -> Talk {
    Talk::begin(binary, &[], &[PEER_KEY])
}

/// A connection whose handshake is this, made from the right one.
fn refused(talk: &mut Talk, code: u16, change: impl Fn(&Peer, &mut Value)) {
    let mut peer = Peer::open(&talk.server);
    let mut handshake = peer.handshake(PEER_KEY.1);
    change(&peer, &mut handshake);
    peer.say(&handshake);
    peer.expect_close(code);
    talk.round();
}

/// O1.4, O1.1: 4001 for whoever does not know the key, and 4011 without a nonce.
fn wrong_keys(binary: &Binary) {
    let mut talk = talk(binary);
    for key in ["", "another", "the servers' secret "] {
        refused(&mut talk, 4001, |peer, handshake| {
            handshake["auth"] = peer.handshake(key)["auth"].clone();
        });
    }
    for auth in ["", "0", "00000000000000000", "?"] {
        refused(&mut talk, 4001, |_, handshake| {
            handshake["auth"] = auth.into()
        });
    }
    refused(&mut talk, 4001, |_, handshake| {
        handshake.as_object_mut().unwrap().remove("auth");
    });
    // The hash is that of the uid and the channel in the handshake.
    refused(&mut talk, 4001, |_, handshake| {
        handshake["uid"] = nonce().into()
    });
    refused(&mut talk, 4001, |_, handshake| {
        handshake["channel"] = "c".into()
    });
    let mut client = talk.server.open();
    let handshake = Peer::open(&talk.server).handshake(PEER_KEY.1);
    client.send(handshake.to_string());
    client.expect_close(4011);
    talk.end_of_links(LITTLE);
}

/// O1.4: what was good on one connection is of no use on another.
fn handshakes_of_other_connections(binary: &Binary) {
    let mut talk = talk(binary);
    let mut first = Peer::open(&talk.server);
    let overheard = first.handshake(PEER_KEY.1);
    first.say(&overheard);
    assert_eq!(first.hear()["peer"], true);
    refused(&mut talk, 4001, |_, handshake| {
        *handshake = overheard.clone()
    });
    // Nor when the one it was good on is gone, nor with the dialer's nonce said again: the acceptor draws anew.
    drop(first);
    refused(&mut talk, 4001, |_, handshake| {
        *handshake = overheard.clone()
    });
    talk.end_of_links(LITTLE);
}

/// O1.7: more than ten minutes apart.
fn clocks_that_differ(binary: &Binary) {
    let mut talk = talk(binary);
    const MINUTES: u64 = 60 * 1_000_000;
    for ts in [
        clock() - 11 * MINUTES,
        clock() + 11 * MINUTES,
        0,
        NUMBER_MOST,
    ] {
        refused(&mut talk, 4011, |_, handshake| handshake["ts"] = ts.into());
    }
    talk.end_of_links(LITTLE);
}

/// R1.1 to R1.3, R1.7: a handshake of the server itself, a path that is too long, and, from above, one that holds
/// the server.
fn lying_paths(binary: &Binary) {
    let mut talk = talk(binary);
    let server = Peer::link(&talk.server).other().to_owned();
    {
        let mut peer = Peer::open(&talk.server);
        peer.uid = server.clone();
        let handshake = peer.handshake(PEER_KEY.1);
        peer.say(&handshake);
        peer.expect_close(4010);
    }
    let long = |count: usize| -> Vec<String> { (0..count).map(|_| nonce()).collect() };
    refused(&mut talk, 4011, |_, handshake| {
        handshake["path"] = long(65).into()
    });
    for path in [long(64), vec![server.clone()], vec![server.clone(); 64]] {
        // Whoever is below may say what it likes: nothing depends on it.
        let mut peer = Peer::open(&talk.server);
        let mut handshake = peer.handshake(PEER_KEY.1);
        handshake["path"] = path.into();
        peer.say(&handshake);
        assert_eq!(peer.hear()["path"], json!([]));
        talk.round();
    }
    // From above: a ring, in which the server is the greatest and has to cut; and rows that are too long.
    let (most, more) = (long(64), long(65));
    let within = |path: &[String]| -> Vec<String> { path.to_vec() };
    for (path, code) in [
        (vec![server.clone()], 4010),
        (vec![nonce(), server, nonce()], 4010),
        (within(&most), 4011),
        (within(&more), 4011),
    ] {
        let path: Vec<&str> = path.iter().map(|node| &**node).collect();
        let mut peer = Peer::above(&talk.server);
        peer.say(&peer.path_of(&path));
        peer.expect_close(code);
        talk.round();
        let mut peer = Peer::link(&talk.server);
        peer.say(&peer.turn_of(&path));
        peer.expect_close(code);
        talk.round();
    }
    // Its own uid in its own path is its affair.
    let mut peer = Peer::above(&talk.server);
    let own = peer.uid.clone();
    peer.say(&peer.path_of(&[&own]));
    peer.client.settle();
    talk.round();
    talk.end_of_links(LITTLE);
}

/// O1.9: one link more than there may be.
fn too_many_links(binary: &Binary) {
    let mut talk = talk(binary);
    let links: Vec<_> = (0..64).map(|_| Peer::link(&talk.server)).collect();
    refused(&mut talk, 4004, |_, _| ());
    // Who is there may come again, and its former link goes.
    let mut links = links.into_iter();
    let mut former = links.next().unwrap();
    let mut again = Peer::open(&talk.server);
    again.uid = former.uid.clone();
    again.shake();
    former.expect_close(4002);
    talk.round();
    talk.end_of_links(LITTLE);
}
