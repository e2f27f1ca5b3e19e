//! What is on a connection.

use super::*;

/// M1: both kinds, both ways, and more than one record.
#[test]
fn messages() {
    let large = vec![7_u8; 100_000];
    let echo = |mut socket: Socket| {
        socket.read().unwrap();
        for _ in 0..5 {
            let message = socket.read().unwrap();
            socket.send(message).unwrap();
        }
    };
    let (url, served) = server(echo);
    let client = Client::connect(&url, options()).unwrap();
    let not_text = Frame {
        kind: Kind::Text,
        payload: (&b"\xff"[..]).into(),
    };
    // As deep as a header may be, which is what it is tried as.
    let (open, shut) = ("[".repeat(15), "]".repeat(15));
    let deep = format!(r#"{{"uid":"bob","channel":"c","x":{open}1{shut}}}"#);
    let frames = [
        Frame::text("\u{e9}"),
        Frame::binary(large),
        Frame::text(""),
        Frame::text(deep),
    ];
    for frame in &frames {
        client.send(frame.clone()).unwrap();
        assert_eq!(received(&client), *frame);
    }
    client.send(not_text).unwrap();
    assert_eq!(received(&client), Frame::binary(&b"\xff"[..]));
    served.join().unwrap();
}

/// What waits when a connection opens leaves together.
#[test]
fn a_batch_is_few_records() {
    let (go, wait) = channel();
    let read = move |mut socket: Socket| {
        for _ in 0..=200 {
            socket.read().unwrap();
        }
        socket.get_ref().sock.records
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url(&listener);
    let served = thread::spawn(move || {
        wait.recv().unwrap();
        read(accept(&listener))
    });
    let client = Client::start(&url, options()).unwrap();
    for number in 0..200 {
        client.send(Frame::text(number.to_string())).unwrap();
    }
    go.send(()).unwrap();
    let records = served.join().unwrap();
    // Five or so are for the handshake and the upgrade.
    assert!(records < 15, "{records}");
}

/// A server that reads nothing until it has written everything, and a client that does not stop sending: neither
/// fits into what the sockets hold.
#[test]
fn both_directions_at_once() {
    const COUNT: usize = 100;
    let payload = vec![1_u8; 256 << 10];
    let sent = payload.clone();
    let (url, served) = server(move |mut socket| {
        socket.read().unwrap();
        for _ in 0..COUNT {
            socket.send(Message::binary(sent.clone())).unwrap();
        }
        for _ in 0..COUNT {
            assert_eq!(socket.read().unwrap().len(), sent.len());
        }
    });
    let client = Arc::new(Client::connect(&url, options()).unwrap());
    let (sender, frame) = (Arc::clone(&client), Frame::binary(payload));
    let sending = thread::spawn(move || {
        for _ in 0..COUNT {
            sender.send(frame.clone()).unwrap();
        }
    });
    for _ in 0..COUNT {
        received(&client);
    }
    sending.join().unwrap();
    served.join().unwrap();
}

/// Who does not listen can send all the same.
#[test]
fn sending_without_listening() {
    let (url, served) = server(|mut socket| {
        socket.read().unwrap();
        for _ in 0..2000 {
            socket.send(Message::binary(vec![0; 1000])).unwrap();
        }
        (0..1000).all(|_| socket.read().is_ok())
    });
    let client = Client::connect(&url, options()).unwrap();
    for number in 0..1000 {
        client.send(Frame::text(number.to_string())).unwrap();
    }
    assert!(served.join().unwrap());
}

/// What is larger than the limit ends the connection.
#[test]
fn the_largest_message() {
    let (url, served) = server(|mut socket| {
        socket.read().unwrap();
        for size in [1000, 1001] {
            socket.send(Message::binary(vec![0; size])).unwrap();
        }
        while socket.read().is_ok() {}
    });
    let mut options = options();
    options.max_message = 1000;
    let client = Client::connect(&url, options).unwrap();
    assert_eq!(received(&client).payload.len(), 1000);
    let event = client.next_until(Instant::now() + DEADLINE);
    let lost =
        |event: &Event| matches!(event, Event::Waiting { why } if why.contains("is lost; trying"));
    assert!(
        event.as_ref().is_ok_and(|it| it.as_ref().is_some_and(lost)),
        "{event:?}"
    );
    served.join().unwrap();
}

/// RFC 6455 section 5.5.3.
#[test]
fn pings() {
    let (url, served) = server(|mut socket| {
        socket.read().unwrap();
        socket.send(Message::Ping("are you there?".into())).unwrap();
        socket.read().unwrap()
    });
    let _client = Client::connect(&url, options()).unwrap();
    assert_eq!(
        served.join().unwrap(),
        Message::Pong("are you there?".into())
    );
}

/// RFC 6455 section 5.5.1: the answer leaves, also if the client is dropped as soon as it has ended.
#[test]
fn the_answer_to_a_close_frame() {
    let (url, served) = server(|mut socket| {
        socket.read().unwrap();
        socket.close(Some(close(4001))).unwrap();
        socket.read().unwrap()
    });
    let client = Client::connect(&url, options()).unwrap();
    assert_eq!(ended(&client), End::Refused { code: 4001 });
    drop(client);
    assert_eq!(served.join().unwrap(), Message::Close(Some(close(4001))));
}

/// X1.4: the close frame comes behind everything, and its answer is the proof.
#[test]
fn finishing() {
    let (url, served) = server(|mut socket| {
        let mut messages = Vec::new();
        while let Ok(message) = socket.read() {
            messages.push(message);
        }
        messages
    });
    let client = Client::connect(&url, options()).unwrap();
    client.send(Frame::text("the last")).unwrap();
    client.finish();
    assert_eq!(ended(&client), End::Done);
    assert_eq!(client.accepted(), 1);
    assert_eq!(client.next(), None);
    assert!(client.send(Frame::text("later")).is_err());
    drop(client);
    let messages = served.join().unwrap();
    assert_eq!(
        messages[1..],
        [Message::text("the last"), Message::Close(Some(close(1000)))]
    );
}
