//! How long a network takes to come together, and to mend. Run them against the program as it is shipped:
//! `cargo test --release -p black-box --test network_bars -- --ignored --nocapture --test-threads 1`.
//! They print what they measure. Nothing may be lost or repeated in any build; times are held against their bars in a
//! release build only.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![expect(clippy::print_stdout, reason = "what is measured is for people")]

use std::time::{Duration, Instant};

use black_box::{Account, Binary, Crowd, DEADLINE, Network, suite};

suite! {
    #[ignore = "minutes: a ring of three, 50 times"]
    ring,
    #[ignore = "minutes: the root restarts, 10 times"]
    recovery,
    #[ignore = "minutes: the middle is killed at 1 000 messages a second, 3 times for 30 s"]
    failover,
}

/// R1.3: three servers in a ring are started at the same instant, while clients on each talk: the time from when the
/// last listens to one tree.
fn ring(binary: &Binary) {
    const TIMES: usize = 50;
    let mut network = Network::of(binary, &[&[1], &[2], &[0]]);
    let (mut trees, mut heard, mut sum) = (Vec::new(), Vec::new(), Account::default());
    let mut cut = 0;
    for _ in 0..TIMES {
        let listening = network.start_all();
        let mut crowd = Crowd::default();
        for (at, server) in network.running() {
            for channel in ["a", "b", "c"] {
                crowd.join(at, server, &format!("on-{at}"), channel);
            }
        }
        // Some messages go before there is a tree, some after.
        let mut met = None;
        crowd.send_at(500, |crowd, sent| {
            if met.is_none() && crowd.have_met() {
                met = Some(Instant::now());
            }
            assert!(Instant::now() < listening + DEADLINE, "no tree");
            met.is_none() || sent < 100
        });
        trees.push(
            network
                .wait_for_one_tree()
                .saturating_duration_since(listening),
        );
        heard.push(met.unwrap() - listening);
        let is_cut = |lines: Vec<String>| lines.iter().any(|line| line.contains("PeerLoop"));
        cut += usize::from(
            network
                .running()
                .any(|(_, node)| is_cut(node.log().lines())),
        );
        crowd.send_at(500, |_, sent| sent < 100);
        crowd.hear_all();
        add(&mut sum, crowd.account());
        let last = network.wait_for_one_tree();
        assert!(last <= Instant::now());
        network.kill_all();
    }
    println!("one tree after {}", shown(&mut trees));
    println!("a ring was cut, or refused, in {cut}");
    println!(
        "each client has heard of each other after {}",
        shown(&mut heard)
    );
    println!("{sum:?}");
    assert_nothing_wrong(sum);
    bar(
        trees[TIMES / 2],
        Duration::from_secs(2),
        "median to one tree",
    );
    bar(
        trees[TIMES - 1],
        Duration::from_secs(10),
        "longest to one tree",
    );
}

/// P6: the root is killed and restarts empty: the time from when the last of its peers has linked to it again until
/// somebody on it has the whole history.
fn recovery(binary: &Binary) {
    const TIMES: usize = 10;
    const CHANNELS: usize = 50;
    let (mut times, mut links, mut sum) = (Vec::new(), Vec::new(), Account::default());
    for _ in 0..TIMES {
        let (mut network, _) = Network::started(binary, &[&[], &[0], &[0]]);
        network.wait_for_one_tree();
        let mut crowd = Crowd::default();
        for at in [1, 2] {
            for channel in 0..CHANNELS {
                let uid = format!("on-{at}");
                crowd.join(at, network.node(at), &uid, &format!("c{channel}"));
            }
        }
        crowd.meet();
        crowd.send_each(80);
        crowd.hear_all();
        network.kill(0);
        crowd.send_each(10);
        network.start(0);
        let listening = Instant::now();
        for channel in 0..CHANNELS {
            crowd.join(0, network.node(0), "watcher", &format!("c{channel}"));
        }
        crowd.hear_all();
        let linked = [1, 2].map(|at| network.wait_for_links(at, 2));
        let linked = linked.into_iter().max().unwrap();
        links.push(linked.saturating_duration_since(listening));
        let complete = crowd.last(0).unwrap();
        times.push(complete.saturating_duration_since(linked));
        let histories = crowd.compare_histories(network.running());
        for history in histories.values() {
            assert_eq!(history.len(), 2 * 91 + 1 + 1);
        }
        add(&mut sum, crowd.account());
    }
    println!(
        "both peers of the root are back after {}",
        shown(&mut links)
    );
    println!(
        "its history is complete after another {}",
        shown(&mut times)
    );
    println!("{sum:?}");
    assert_nothing_wrong(sum);
    bar(times[TIMES - 1], Duration::from_secs(2), "longest recovery");
}

/// U1.2, P3: the server in the middle is killed while 1 000 messages a second go over it.
fn failover(binary: &Binary) {
    const TIMES: usize = 3;
    const CHANNELS: usize = 50;
    const RATE: u32 = 1_000;
    const MESSAGES: u64 = 30_000;
    let (mut times, mut sum) = (Vec::new(), Account::default());
    for _ in 0..TIMES {
        let mut network = Network::in_order(binary, &[&[], &[0], &[1, 0]]);
        let mut crowd = Crowd::default();
        for channel in 0..CHANNELS {
            for at in [0, 2] {
                let uid = format!("on-{at}");
                crowd.join(at, network.node(at), &uid, &format!("c{channel}"));
            }
        }
        for channel in 0..5 {
            crowd.join(1, network.node(1), "on-1", &format!("c{channel}"));
        }
        crowd.meet();
        let began = Instant::now();
        let mut killed = None;
        crowd.send_at(RATE, |crowd, sent| {
            if sent >= MESSAGES / 3 && killed.is_none() {
                killed = Some(network.kill(1));
                crowd.forget(1);
            }
            sent < MESSAGES
        });
        let took = began.elapsed();
        let back = network.wait_for_links(2, 2);
        times.push(back - killed.unwrap());
        crowd.hear_all();
        println!(
            "{MESSAGES} messages sent in {took:.1?}; all heard {:.1?} after that",
            began.elapsed() - took
        );
        assert!(took < DEADLINE * 4, "too slow to tell");
        add(&mut sum, crowd.account());
        crowd.compare_histories(network.running());
    }
    println!("the link is back after {}", shown(&mut times));
    println!("{sum:?}");
    assert_nothing_wrong(sum);
    bar(times[TIMES - 1], Duration::from_secs(3), "longest failover");
}

fn add(sum: &mut Account, account: Account) {
    sum.received += account.received;
    sum.lost += account.lost;
    sum.repeated += account.repeated;
    sum.own += account.own;
    sum.ended += account.ended;
}

fn assert_nothing_wrong(sum: Account) {
    let received = sum.received;
    let right = Account {
        received,
        ..Account::default()
    };
    assert_eq!(sum, right);
}

/// Sorts them, and tells of them.
fn shown(times: &mut [Duration]) -> String {
    times.sort();
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    format!(
        "{:.0?} at least, {median:.0?} median, {last:.0?} at most, of {}",
        times[0],
        times.len()
    )
}

fn bar(time: Duration, bar: Duration, what: &str) {
    if !cfg!(debug_assertions) {
        assert!(time < bar, "{what}: {time:?}, not below {bar:?}");
    }
}
