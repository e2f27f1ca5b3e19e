//! Threads that end, and waiting that does.

use super::*;

/// Disconnected when the client's last thread has ended, and the client is dropped.
fn life(client: &Client) -> Receiver<()> {
    let (held, life) = channel();
    *lock(&client.mailbox.life) = Some(held);
    life
}

#[track_caller]
fn assert_ends(life: &Receiver<()>) {
    let ended = life.recv_timeout(DEADLINE);
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
}

/// A server that reads until the end.
fn reading() -> (String, JoinHandle<()>) {
    server(|mut socket| while socket.read().is_ok() {})
}

#[test]
fn a_client_that_is_dropped() {
    let (url, served) = reading();
    let client = Client::connect(&url, options()).unwrap();
    let life = life(&client);
    drop(client);
    assert_ends(&life);
    served.join().unwrap();
}

#[test]
fn a_client_that_has_ended() {
    let (url, served) = reading();
    let client = Client::connect(&url, options()).unwrap();
    let life = life(&client);
    client.finish();
    assert_eq!(ended(&client), End::Done);
    served.join().unwrap();
    drop(client);
    assert_ends(&life);
}

/// The server takes connections and says nothing.
#[test]
fn a_dial_that_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::start(&url(&listener), options()).unwrap();
    let life = life(&client);
    let (mut stream, _) = listener.accept().unwrap();
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).unwrap();
    drop(client);
    assert_ends(&life);
}

/// Both threads of the connection wait: the server does not read, and the user does not listen.
#[test]
fn a_connection_that_is_stuck() {
    let (gone, wait) = channel::<()>();
    let (full, filled) = channel();
    let (url, served) = server(move |mut socket| {
        socket.read().unwrap();
        let stream = &socket.get_ref().sock.stream;
        let timeout = Some(Duration::from_millis(500));
        stream.set_write_timeout(timeout).unwrap();
        while socket.send(Message::binary(vec![0; 100_000])).is_ok() {}
        full.send(()).unwrap();
        wait.recv().unwrap_err();
    });
    let client = Client::connect(&url, options()).unwrap();
    let life = life(&client);
    let frame = Frame::binary(vec![0; 1 << 20]);
    for _ in 0..20 {
        client.send(frame.clone()).unwrap();
    }
    filled.recv().unwrap();
    drop(client);
    assert_ends(&life);
    drop(gone);
    served.join().unwrap();
}

#[test]
fn waiting_has_an_end() {
    let (url, served) = reading();
    let client = Client::connect(&url, options()).unwrap();
    // Whatever comes of the replay comes first.
    let deadline = Instant::now() + Duration::from_millis(10);
    let mut event = client.next_until(deadline);
    while event.is_ok() {
        event = client.next_until(deadline);
    }
    assert!(Instant::now() >= deadline);
    assert_eq!(client.ready(), None);
    drop(client);
    served.join().unwrap();
}

/// A user who waits in one thread is told by another one.
#[test]
fn everybody_who_waits_is_told() {
    let (url, served) = reading();
    let client = Arc::new(Client::connect(&url, options()).unwrap());
    let waiting = [(); 3].map(|()| {
        let client = Arc::clone(&client);
        thread::spawn(move || while client.next().is_some() {})
    });
    client.finish();
    for thread in waiting {
        thread.join().unwrap();
    }
    served.join().unwrap();
}

/// A server that says nothing, and a deadline that has passed.
#[test]
fn a_way_has_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::parse(&url(&listener)).unwrap();
    let tls = runtime_common::trust::client_config(&Trust::Anyone, "--").unwrap();
    let way = way::Way::new(address, tls, "--");
    let stream = way.tcp(Instant::now() + DEADLINE, &|| false).unwrap();
    let soon = Instant::now() + Duration::from_millis(10);
    let errors = [
        way.tls(&stream, soon).err(),
        way.tcp(Instant::now(), &|| false).err(),
        way.tcp(Instant::now() + DEADLINE, &|| true).err(),
    ];
    for error in errors.map(Option::unwrap) {
        assert!(error.text.contains("does not answer") && !error.lasting);
    }
    assert!(Instant::now() >= soon);
}
