//! Two thousand sessions at once. Run it against the program as it is shipped:
//! `cargo test --release -p black-box --test many_sessions -- --ignored --nocapture`. It prints what it measures.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![expect(clippy::print_stdout, reason = "what is measured is for people")]

use std::time::Instant;

use black_box::{Binary, Client, Message, Server, suite};

suite! {
    #[ignore = "minutes, and hundreds of megabytes: two thousand sessions"]
    two_thousand_members_of_a_channel,
}

const SESSIONS: usize = 2_000;

/// Threads of the test that the clients share.
const HANDS: usize = 4;

/// Memory that a session may cost, with the thread that it may have.
const MEMORY_MOST: u64 = 128 << 10;

/// M1.1, J3.3, L3.8, L1.1, X1.15: each is a member, what one says reaches all, and when all have left, nothing of them
/// is there any more. What each costs is printed.
fn two_thousand_members_of_a_channel(binary: &Binary) {
    // Announcements of each reach each: nobody is to lag for them, or be asked whether it lives, whatever else this
    // machine does.
    let args = ["--outbox", "8MiB", "--ping-interval", "1h"];
    let server = Server::start(binary, &args, &[]);
    let threads = server.threads();
    let memory = server.memory(false);
    let began = Instant::now();
    let mut clients: Vec<Vec<Client>> = by_hand((0..HANDS).collect(), |hand| {
        let numbers = (0..SESSIONS).skip(hand).step_by(HANDS);
        numbers
            .map(|number| server.join(&format!("{number}"), "all"))
            .collect()
    });
    println!(
        "{}: {SESSIONS} joins in {:.1?}",
        binary.name,
        began.elapsed()
    );
    assert_eq!(server.number("sessions"), SESSIONS as u64);

    // All that they have been told of each other.
    clients = by_hand(clients, |mut clients| {
        for client in &mut clients {
            client.recv_until_settled();
        }
        clients
    });
    let (now, serving) = (server.memory(false), server.threads());
    let each = now.saturating_sub(memory) / SESSIONS as u64;
    println!(
        "{} kB at rest, {} kB with all: {:.1} kB each; {threads} threads at rest, {serving} with all",
        memory >> 10,
        now >> 10,
        each as f64 / 1024.0
    );
    assert!(each < MEMORY_MOST, "{each} bytes each");
    match binary.has_io_threads() {
        true => assert_eq!(serving, threads),
        false => assert!(
            (SESSIONS..3 * SESSIONS).contains(&(serving - threads)),
            "{serving} threads"
        ),
    }

    let began = Instant::now();
    let mut sender = clients[0].remove(0);
    sender.send("to all");
    clients = by_hand(clients, |mut clients| {
        let all = Message::text("to all");
        clients
            .iter_mut()
            .for_each(|client| client.expect([all.clone()]));
        clients
    });
    println!("a message reaches all in {:.1?}", began.elapsed());

    by_hand(clients, |clients| {
        for (number, client) in clients.into_iter().enumerate() {
            match number % 3 {
                0 => drop(client.leave()),
                1 => client.vanish(),
                _ => client.reset(),
            }
        }
    });
    sender.leave();
    server.wait_for_threads(threads, "all have left");
    server.wait_for_number("sessions", 0, "all have left");
    server.assert_serves();
    println!("{} kB when all have left", server.memory(false) >> 10);
}

/// Does the same with each, all at the same time.
fn by_hand<T: Send, R: Send>(shares: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let hands: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(|| work(share)))
            .collect();
        hands.into_iter().map(|hand| hand.join().unwrap()).collect()
    })
}
