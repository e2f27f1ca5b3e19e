//! Networks of every shape: each client hears each other once, and the histories are the same everywhere.

use black_box::{Crowd, Network, Pair, pairs};

pairs! {
    a_chain_of_three,
    a_ring_of_three,
    a_pair_that_peers_both_ways,
    a_star_of_four,
}

/// D1, D2, C1.1, S1.2: from one end to the other, over a server in between.
fn a_chain_of_three(pair: &Pair) {
    talk_everywhere(pair, &[&[], &[0], &[1]]);
}

/// R1.2, R1.3: a ring is cut once, and nothing is lost or repeated by that.
fn a_ring_of_three(pair: &Pair) {
    talk_everywhere(pair, &[&[1], &[2], &[0]]);
}

/// R1.1, R1.3: two that dial each other keep one link.
fn a_pair_that_peers_both_ways(pair: &Pair) {
    talk_everywhere(pair, &[&[1], &[0]]);
}

/// S1.2: what comes from one link goes to all others.
fn a_star_of_four(pair: &Pair) {
    talk_everywhere(pair, &[&[], &[0], &[0], &[0]]);
}

const CHANNELS: usize = 4;

/// On each server, two clients on each channel; each sends while the tree may still be in the making.
fn talk_everywhere(pair: &Pair, peers: &[&[usize]]) {
    let (network, _) = Network::started(pair, peers);
    let mut crowd = Crowd::default();
    populate(&mut crowd, &network, 2);
    crowd.send_each(10);
    network.wait_for_one_tree();
    crowd.meet();
    crowd.send_each(10);
    crowd.hear_all();
    let members = (2 * network.len()) as u64;
    let each = CHANNELS as u64 * members * (members - 1) * 20;
    assert_eq!(crowd.assert_accounted(), each);
    let histories = crowd.compare_histories(network.running());
    for history in histories.values() {
        // Announcements, messages, and the last one.
        assert_eq!(history.len() as u64, members * 21 + 1);
    }
    crowd.assert_accounted();
}

fn populate(crowd: &mut Crowd, network: &Network, each: usize) {
    for (at, server) in network.running() {
        for channel in 0..CHANNELS {
            for number in 0..each {
                crowd.join(
                    at,
                    server,
                    &format!("{at}-{number}"),
                    &format!("c{channel}"),
                );
            }
        }
    }
}
