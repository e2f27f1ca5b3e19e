//! Servers are killed while clients talk: among the others nothing is lost, and nothing comes twice.

use std::time::Instant;

use black_box::{Crowd, DEADLINE, Network, Pair, pairs};

pairs! {
    root_comes_back,
    middle_is_killed_under_load;
    slow:
    #[ignore = "slow: run by .ci/run"]
    servers_in_the_middle_come_and_go,
}

/// P6, C1.3, U1.2: the root is killed and comes back empty. What those below it send meanwhile, and before, is in
/// its history again, and nobody below gets anything twice.
fn root_comes_back(pair: &Pair) {
    const CHANNELS: usize = 4;
    let (mut network, _) = Network::started(pair, &[&[], &[0], &[0]]);
    network.wait_for_one_tree();
    let mut crowd = Crowd::default();
    for (at, server) in network.running() {
        for channel in 0..CHANNELS {
            crowd.join(at, server, &format!("on-{at}"), &format!("c{channel}"));
        }
    }
    crowd.meet();
    crowd.send_each(10);
    crowd.hear_all();
    network.kill(0);
    crowd.forget(0);
    crowd.send_each(10);
    network.start(0);
    for below in [1, 2] {
        network.wait_for_links(below, 2);
    }
    // Who is there at once gets what is there, and the rest when it comes.
    for channel in 0..CHANNELS {
        crowd.join(0, network.node(0), "watcher", &format!("c{channel}"));
    }
    crowd.hear_all();
    crowd.assert_accounted();
    let histories = crowd.compare_histories(network.running());
    for (channel, history) in histories {
        // Of three there are an announcement and ten messages; of two of them ten more; the watcher; the last one.
        let count = 3 * 11 + 2 * 10 + 1 + 1;
        assert_eq!(history.len(), count, "{channel}: {history:#?}");
    }
    crowd.assert_accounted();
}

/// S1.3, S1.5, U1.2: a server in the middle is killed while a thousand messages a second go over it, and the one
/// below it goes to its second peer. What clients of the others send is received by each other client of them once,
/// and what one of them has of those whose server is gone, all have.
fn middle_is_killed_under_load(pair: &Pair) {
    const CHANNELS: usize = 50;
    const RATE: u32 = 1_000;
    let mut network = Network::in_order(pair, &[&[], &[0], &[1, 0], &[2]]);
    let first = network.wait_for_links(2, 1);
    let mut crowd = Crowd::default();
    for channel in 0..CHANNELS {
        for at in [0, 2] {
            let uid = format!("on-{at}");
            crowd.join(at, network.node(at), &uid, &format!("c{channel}"));
        }
        if channel % 10 == 0 {
            for at in [1, 3] {
                let uid = format!("on-{at}");
                crowd.join(at, network.node(at), &uid, &format!("c{channel}"));
            }
        }
    }
    crowd.meet();
    let mut killed = None;
    let mut back = None;
    crowd.send_at(RATE, |crowd, sent| {
        if sent >= 1_000 && killed.is_none() {
            killed = Some(network.kill(1));
            crowd.forget(1);
        }
        if let Some(killed) = killed {
            assert!(Instant::now() < killed + DEADLINE, "no link");
        }
        if back.is_none() && network.link(2, 2).is_some() {
            back = Some(sent);
        }
        back.is_none_or(|back| sent < back + 1_000)
    });
    crowd.hear_all();
    crowd.assert_accounted();
    assert!(network.link(2, 2) > Some(first));
    crowd.compare_histories(network.running());
    crowd.assert_accounted();
}

/// U1.2, G1.1, P3: two servers connect two others, and are killed in turns while messages go over them; each is back
/// before the other goes. What the clients at the ends send is received at the other end once and in order.
fn servers_in_the_middle_come_and_go(pair: &Pair) {
    const CHANNELS: usize = 10;
    let (mut network, _) = Network::started(pair, &[&[2, 3], &[3, 2], &[3], &[2]]);
    network.wait_for_one_tree();
    let mut crowd = Crowd::default();
    for channel in 0..CHANNELS {
        for at in [0, 1] {
            let uid = format!("on-{at}");
            crowd.join(at, network.node(at), &uid, &format!("c{channel}"));
        }
    }
    crowd.meet();
    for round in 0..6 {
        let gone = 2 + round % 2;
        crowd.send_at(200, |_, sent| sent < 50);
        network.kill(gone);
        // While they look for another way, and on it.
        crowd.send_at(200, |_, sent| sent < 200);
        crowd.hear_all();
        crowd.assert_accounted();
        network.start(gone);
        crowd.send_at(200, |_, sent| sent < 50);
        network.wait_for_one_tree();
    }
    crowd.hear_all();
    crowd.assert_accounted();
    crowd.compare_histories(network.running());
    crowd.assert_accounted();
}
