//! Sessions that are lost, refused, cannot be had, or stop.

use std::time::Duration;

use mles_sansio::{BridgeTrouble, DialFault, Frame};

use crate::told::{abroad, announcement, net, received, say, settle, texts, troubles};

#[test]
fn a_connection_that_breaks() {
    // B1.8: what is said on either side meanwhile arrives once, and nothing twice, although the older
    // server replays all that it has each time, and "again" is said again.
    let mut net = net();
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    let mut here = vec![announcement("eve")];
    let mut there = Vec::new();
    for round in 0..5 {
        net.older_loses_all();
        let (mine, hers) = (format!("alice {round}"), format!("eve {round}"));
        say(&mut net, alice, &mine);
        say(&mut net, alice, "again");
        net.foreign_say(eve, Frame::text(hers.clone()));
        net.foreign_say(eve, Frame::text("again"));
        here.extend([hers, "again".into()]);
        there.extend([mine, "again".into()]);
        settle(&mut net, 60);
        assert_eq!(received(&net, alice), here, "round {round}");
        assert_eq!(abroad(&net, eve), there, "round {round}");
    }
}

#[test]
fn what_was_under_way_when_it_broke_is_sent_again() {
    // B1.8
    let mut net = net();
    let eve = net.foreign_join("eve", "room");
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 5);
    say(&mut net, alice, "arrives");
    settle(&mut net, 1);
    say(&mut net, alice, "is lost");
    // As far as the node: the connection breaks with it in the socket.
    while net.hosts[0].node.stats().messages < 2 {
        let (wire, side) = net.deliverable()[0];
        net.deliver(wire, side);
    }
    net.older_loses_all();
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["arrives", "is lost"]);
}

#[test]
fn a_server_that_cannot_be_had() {
    // B1.10: told once, tried again, and what was said waits.
    let mut net = net();
    let alice = net.join(0, "alice", "room");
    let eve = net.foreign_join("eve", "room");
    let started = net.time;
    while net.time < started + 300_000_000 {
        while let Some((wire, side)) = net.deliverable().first().copied() {
            net.deliver(wire, side);
        }
        while let Some((host, dial)) = net.bridge_dials.first().copied() {
            net.connect_bridge(host, dial, false);
        }
        while let Some(host) = net.due().first().copied() {
            net.event(host, mles_sansio::Event::Timeout);
        }
        net.advance(Duration::from_secs(10));
    }
    assert_eq!(
        troubles(&net),
        [BridgeTrouble::Dial(DialFault::Unreachable)]
    );
    say(&mut net, alice, "patience");
    settle(&mut net, 60);
    assert_eq!(abroad(&net, eve), ["patience"]);
}

#[test]
fn a_server_that_refuses() {
    // B1.10: it is asked again five minutes later, not before.
    let mut net = net();
    net.older.refuses = Some(4001);
    let alice = net.join(0, "alice", "room");
    settle(&mut net, 60);
    assert_eq!(troubles(&net), [BridgeTrouble::Refused(4001)]);
    let before = net.older.next_session();
    settle(&mut net, 200);
    assert_eq!(net.older.next_session(), before);
    net.older.refuses = None;
    say(&mut net, alice, "hello?");
    settle(&mut net, 120);
    assert_eq!(
        texts(&net.older.history["room"])[1..],
        [announcement("alice"), "hello?".into()]
    );
}

#[test]
fn what_was_under_way_when_it_was_refused_is_sent_again() {
    // B1.8: although a message of the server's came behind it, and whatever was refused.
    for (code, big) in [(4001, ""), (1012, ""), (1009, &"x".repeat(99))] {
        let mut net = net();
        let eve = net.foreign_join("eve", "room");
        let alice = net.join(0, "alice", "room");
        settle(&mut net, 5);
        for text in ["first", big, "second"] {
            say(&mut net, alice, text);
        }
        while net.hosts[0].node.stats().messages < 3 {
            let (wire, side) = net.deliverable()[0];
            net.deliver(wire, side);
        }
        net.foreign_say(eve, Frame::text("meanwhile"));
        let messages = net.hosts[0].node.stats().bridge_messages;
        while net.hosts[0].node.stats().bridge_messages == messages {
            let ready = net.deliverable().into_iter();
            let mut in_order = ready.filter(|(wire, side)| {
                !matches!(net.wires[wire][*side].to, crate::net::Party::Older(_))
            });
            let (wire, side) = in_order.next().expect("something");
            net.deliver(wire, side);
        }
        net.older_closes_all(code);
        settle(&mut net, 15 * 60);
        let mut heard = abroad(&net, eve);
        heard.retain(|text| !text.is_empty());
        assert_eq!(heard, ["first", "second"], "{code}");
        assert_eq!(received(&net, alice), [&announcement("eve"), "meanwhile"]);
        // Nobody wants the channel: what was left out does not keep it.
        net.cut(net.clients[alice].wire.expect("a connection"));
        settle(&mut net, 11 * 60);
        assert_eq!(net.older.sessions.len(), 0);
    }
}

#[test]
fn a_server_that_stops_takes_its_leave() {
    let mut net = net();
    let _ = net.join(0, "alice", "room");
    settle(&mut net, 5);
    net.event(0, mles_sansio::Event::Shutdown);
    settle(&mut net, 60);
    assert_eq!(net.older.sessions.len(), 0);
    assert_eq!(net.bridge_dials.len(), 0);
}

#[test]
fn a_server_that_stops_while_it_dials() {
    // What comes of the dials concerns nobody any more.
    let mut net = net();
    for n in 0..6 {
        let _ = net.join(0, "alice", &format!("room {n}"));
    }
    while let Some((wire, side)) = net.deliverable().first().copied() {
        net.deliver(wire, side);
    }
    assert_eq!(net.bridge_dials.len(), 4);
    net.event(0, mles_sansio::Event::Shutdown);
    for works in [true, false, true, false] {
        let (host, dial) = net.bridge_dials[0];
        net.connect_bridge(host, dial, works);
    }
    settle(&mut net, 60);
    assert_eq!((net.older.sessions.len(), net.bridge_dials.len()), (0, 0));
    assert_eq!(net.hosts[0].node.stats().bridge_connections, 0);
}
