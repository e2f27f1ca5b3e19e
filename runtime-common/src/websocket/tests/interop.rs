//! Another implementation reads what the server writes, and the server what it writes.

use std::io::{self, Read, Write};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::Message;
use tungstenite::protocol::frame::Frame as Part;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::{Role, WebSocket};

use super::*;
use crate::websocket::header::OP_CLOSE;
use crate::websocket::read::parse_close;
use crate::websocket::write::clip;

/// A stream in memory: what tungstenite reads, and what it wrote.
#[derive(Default)]
struct Pipe {
    input: io::Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client(input: Vec<u8>) -> WebSocket<Pipe> {
    let pipe = Pipe {
        input: io::Cursor::new(input),
        output: Vec::new(),
    };
    WebSocket::from_raw_socket(pipe, Role::Client, None)
}

/// A ping (or else a pong) and its payload.
type ControlSent = (bool, Vec<u8>);

/// One message as a client sends it: its fragments, each with the control frames before it.
#[derive(Clone, Debug)]
struct Sent {
    kind: Kind,
    fragments: Vec<(Vec<ControlSent>, Vec<u8>)>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let control = (any::<bool>(), vec(any::<u8>(), 0..=125));
    let controls = vec(control, 0..3);
    let fragment = prop_oneof![
        4 => vec(0..0x80_u8, 0..20),
        1 => vec(0..0x80_u8, 120..300),
        1 => (65_530..65_540_usize).prop_map(|len| vec![b'z'; len]),
    ];
    let kind = prop_oneof![Just(Kind::Text), Just(Kind::Binary)];
    (kind, vec((controls, fragment), 1..5)).prop_map(|(kind, fragments)| Sent { kind, fragments })
}

impl Sent {
    /// The message through tungstenite as a client, which masks each frame with a random key.
    fn send(&self, socket: &mut WebSocket<Pipe>) {
        for (i, (controls, fragment)) in self.fragments.iter().enumerate() {
            for (is_ping, payload) in controls {
                let control = if *is_ping {
                    Message::Ping(payload.clone().into())
                } else {
                    Message::Pong(payload.clone().into())
                };
                socket.send(control).unwrap();
            }
            let data = match (i, self.kind) {
                (0, Kind::Text) => Data::Text,
                (0, Kind::Binary) => Data::Binary,
                _ => Data::Continue,
            };
            let last = i + 1 == self.fragments.len();
            let frame = Part::message(fragment.clone(), OpCode::Data(data), last);
            socket.send(Message::Frame(frame)).unwrap();
        }
    }

    /// What the reader should make of it.
    fn items(&self) -> Vec<Item> {
        let controls = self.fragments.iter().flat_map(|(controls, _)| controls);
        let mut items: Vec<Item> = controls
            .map(|(is_ping, payload)| match is_ping {
                true => ping(payload),
                false => Ok(Incoming::Pong),
            })
            .collect();
        let payload: Vec<u8> = self.fragments.iter().flat_map(|f| f.1.clone()).collect();
        items.push(Ok(Incoming::Message(Frame {
            kind: self.kind,
            payload: payload.into(),
        })));
        items
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reads_what_tungstenite_sends(
        messages in vec(sent(), 1..6),
        sizes in vec(prop_oneof![1..8_usize, 1..3000_usize], 1..8),
    ) {
        let mut socket = client(Vec::new());
        for message in &messages {
            message.send(&mut socket);
        }
        let stream = &socket.get_ref().output;
        let expected: Vec<Item> = messages.iter().flat_map(Sent::items).collect();
        let cuts = sizes.iter().cycle().scan(0, |at, size| {
            *at += size;
            (*at < stream.len()).then_some(*at)
        });
        prop_assert_eq!(read_cut(MIB, stream, cuts), &expected[..]);
        prop_assert_eq!(read_cut(MIB, stream, []), expected);
    }

    #[test]
    fn tungstenite_reads_what_the_server_writes(
        messages in vec(sent(), 1..6),
        reason in "\\PC{0,30}",
    ) {
        let mut out = Vec::new();
        let mut expected = Vec::new();
        for item in messages.iter().flat_map(Sent::items) {
            match item {
                Ok(Incoming::Message(frame)) => {
                    put_frame(&mut out, &frame);
                    expected.push(match frame.kind {
                        Kind::Text => Message::Text(frame.payload.try_into().unwrap()),
                        Kind::Binary => Message::Binary(frame.payload),
                    });
                }
                Ok(Incoming::Ping(payload)) => {
                    put_pong(&mut out, &payload);
                    expected.push(Message::Pong(payload.to_vec().into()));
                }
                Ok(Incoming::Pong) => {
                    put_ping(&mut out);
                    expected.push(Message::Ping(Bytes::new()));
                }
                other => panic!("{other:?}"),
            }
        }
        let reason = clip(&reason, REASON_MAX);
        put_close(&mut out, 4008, reason);
        let mut socket = client(out);
        for message in expected {
            prop_assert_eq!(socket.read().unwrap(), message);
        }
        let Message::Close(Some(close)) = socket.read().unwrap() else {
            panic!("a close frame");
        };
        prop_assert_eq!(u16::from(close.code), 4008);
        prop_assert_eq!(close.reason.as_str(), reason);
    }
}

#[test]
fn tungstenite_agrees_on_every_close_code() {
    // It does not know 1014, which the registry has since.
    for code in (0..=65_535).filter(|&code| code != 1014) {
        let ours = parse_close(&u16::to_be_bytes(code)).is_ok();
        assert_eq!(ours, CloseCode::from(code).is_allowed(), "{code}");
    }
    assert_eq!(u8::from(OpCode::Control(Control::Close)), OP_CLOSE);
}
