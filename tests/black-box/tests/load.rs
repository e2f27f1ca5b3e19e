//! Many members on one channel.

use black_box::{Binary, Client, Message, Server, suite};

suite! {
    a_hundred_members,
    #[ignore = "slow: run by .ci/run"]
    a_thousand_members,
}

fn a_hundred_members(binary: &Binary) {
    closed_loop(binary, 100, 2_000);
}

fn a_thousand_members(binary: &Binary) {
    closed_loop(binary, 1_000, 4_000);
}

/// M1.1, M1.3, J2.3: with 64 messages of 64 bytes in flight, every member receives each of them exactly
/// once and in order.
fn closed_loop(binary: &Binary, count: u64, messages: u64) {
    const IN_FLIGHT: u64 = 64;
    let server = Server::start(binary, &[], &[]);
    let mut publisher = server.join("publisher", "load");
    let mut members: Vec<Client> = (0..count)
        .map(|n| server.join(&n.to_string(), "load"))
        .collect();
    // Everybody has been told of everybody: what comes now are messages.
    for member in &mut members {
        member.recv_until_settled();
    }
    (0..IN_FLIGHT.min(messages)).for_each(|number| publisher.send(message(number)));
    for number in 0..messages {
        for (who, member) in members.iter_mut().enumerate() {
            let got = member.recv();
            assert!(
                got == message(number),
                "member {who}: {got:?} instead of {number}"
            );
        }
        if number + IN_FLIGHT < messages {
            publisher.send(message(number + IN_FLIGHT));
        }
    }
    // And nothing else: the next is the last.
    publisher.send("the last");
    for member in &mut members {
        assert_eq!(member.recv(), Message::text("the last"));
    }
}

fn message(number: u64) -> Message {
    let mut bytes = [b'.'; 64];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Message::binary(bytes.to_vec())
}
