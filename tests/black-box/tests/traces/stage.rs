//! Plays a script at a server, step by step, and notes what comes back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::time::Duration;

use black_box::wire::{self, CLOSE, TEXT};
use black_box::{Binary, Server, Signal, Tls, header, tls, upgrade, upgrade_request};
use siphasher::sip::SipHasher24;

/// One thing that happens. What each of them waits for has come when the next begins.
pub(crate) enum Step {
    /// A WebSocket of this name.
    Open(&'static str),
    /// The same; its end takes little that nobody reads.
    OpenNarrow(&'static str),
    /// A TLS connection of this name.
    Connect(&'static str),
    /// It sends these bytes.
    Send(&'static str, Vec<u8>),
    /// It sends them one by one.
    SendSlowly(&'static str, Vec<u8>),
    /// It gets so many frames.
    Hear(&'static str, usize),
    /// It gets frames to the end, and answers a close frame.
    End(&'static str),
    /// It gets frames to the end, and answers nothing. Whether TLS announces this end is not looked at.
    EndUnanswered(&'static str),
    /// It ends its half: TLS is told so.
    HalfClose(&'static str),
    /// It is gone without a word.
    Vanish(&'static str),
    /// It gets an answer to this request, to the end of the connection.
    Answer(&'static str, Vec<u8>),
    /// A request on a TLS connection of its own, and its answer.
    Ask(Vec<u8>),
    /// A request for a WebSocket, and the head of its answer.
    Upgrade(Vec<u8>),
    /// Bytes on a TCP connection, and all that comes back.
    Plain(Vec<u8>),
    /// The server is told to end, and has said that it will.
    Stop,
    /// It has ended.
    Ended,
}

/// A header with these names.
pub(crate) fn join(who: &'static str, channel: &str) -> Step {
    text(who, &header(who, channel))
}

/// A text message.
pub(crate) fn text(who: &'static str, text: &str) -> Step {
    Step::Send(who, wire::frame(TEXT, text.as_bytes()))
}

/// A frame that begins with this byte.
pub(crate) fn frame(who: &'static str, first: u8, payload: &[u8]) -> Step {
    Step::Send(who, wire::frame(first, payload))
}

/// A close frame.
pub(crate) fn close(who: &'static str, code: u16, reason: &str) -> Step {
    frame(who, CLOSE, &wire::close(code, reason))
}

/// In a trace: the server said nothing for so long that it will not.
pub(crate) const NOTHING: &str = "nothing comes";

/// The same of a client whose connection has ended before.
pub(crate) const AWAY: &str = "it is not there any more";

/// Longer than any time of the server's that a script waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The trace of a script.
pub(crate) fn perform(
    binary: &Binary,
    args: &[&str],
    variables: &[(&str, &str)],
    steps: &[Step],
) -> Vec<String> {
    let server = Server::start(binary, args, variables);
    let mut stage = Stage {
        server: Some(server),
        ends: BTreeMap::new(),
        strict: true,
        trace: Vec::new(),
    };
    for (number, step) in steps.iter().enumerate() {
        stage.trace.push(format!("{number}. {}", step.shown()));
        stage.play(step);
    }
    stage.trace
}

impl Step {
    fn shown(&self) -> String {
        match self {
            Self::Open(who) | Self::OpenNarrow(who) => format!("{who} opens a WebSocket"),
            Self::Connect(who) => format!("{who} connects"),
            Self::Send(who, bytes) | Self::SendSlowly(who, bytes) => {
                format!("{who} sends {}", sent(bytes))
            }
            Self::Hear(who, count) => format!("{who} hears {count}"),
            Self::End(who) => format!("{who} hears the rest"),
            Self::EndUnanswered(who) => format!("{who} hears the rest and answers nothing"),
            Self::HalfClose(who) => format!("{who} sends no more"),
            Self::Vanish(who) => format!("{who} vanishes"),
            Self::Answer(who, bytes) => format!("{who} asks {}", shown(bytes)),
            Self::Ask(bytes) => format!("somebody asks {}", shown(bytes)),
            Self::Upgrade(bytes) => format!("somebody upgrades {}", shown(bytes)),
            Self::Plain(bytes) => format!("somebody sends without TLS {}", shown(bytes)),
            Self::Stop => "the server is to end".to_owned(),
            Self::Ended => "the server ends".to_owned(),
        }
    }
}

struct Stage {
    /// None once it has ended.
    server: Option<Server>,
    ends: BTreeMap<&'static str, Tls>,
    /// Whether TLS has to announce the end of a connection.
    strict: bool,
    trace: Vec<String>,
}

impl Stage {
    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Open(who) => {
                let stream = self.server().tls();
                self.enter(who, stream, true);
            }
            Step::OpenNarrow(who) => {
                let stream = self.server().narrow_tls();
                self.enter(who, stream, true);
            }
            Step::Connect(who) => {
                let stream = self.server().tls();
                self.enter(who, stream, false);
            }
            Step::Send(who, bytes) => self.send(who, bytes),
            Step::SendSlowly(who, bytes) => bytes.iter().for_each(|byte| self.send(who, &[*byte])),
            Step::Hear(who, count) => (0..*count).for_each(|_| {
                self.hear(who);
            }),
            Step::End(who) => self.hear_rest(who, true),
            Step::EndUnanswered(who) => self.hear_rest(who, false),
            Step::HalfClose(who) => {
                if let Some(stream) = self.ends.get_mut(who) {
                    stream.conn.send_close_notify();
                }
                self.send(who, b"");
            }
            Step::Vanish(who) => drop(self.ends.remove(who)),
            Step::Answer(who, bytes) => match self.ends.remove(who) {
                Some(stream) => self.answer(stream, bytes),
                None => self.note(AWAY),
            },
            Step::Ask(bytes) => {
                let stream = self.server().tls();
                self.answer(stream, bytes);
            }
            Step::Upgrade(bytes) => {
                let head = upgrade(&mut self.server().tls(), bytes).head;
                self.note_lines(&head);
            }
            Step::Plain(bytes) => {
                let stream = self.server().tcp();
                self.answer(stream, bytes);
            }
            Step::Stop => {
                self.server().signal(Signal::TERM);
                self.server()
                    .log()
                    .wait_for("stopping")
                    .expect("it says so");
            }
            Step::Ended => {
                let ended = self.server.take().expect("it runs").wait();
                self.note(&format!("{:?}", ended.status.code()));
            }
        }
    }

    fn enter(&mut self, who: &'static str, mut stream: Tls, opens: bool) {
        stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        if opens {
            let request = upgrade_request("/", &["Sec-WebSocket-Protocol: mles-websocket"]);
            let status = upgrade(&mut stream, &request).status;
            self.note(&format!("HTTP {status}"));
        }
        self.ends.insert(who, stream);
    }

    /// The server may have ended the connection already: what it says of that is heard.
    fn send(&mut self, who: &str, bytes: &[u8]) {
        match self.ends.get_mut(who) {
            Some(stream) => {
                let _ = stream.write_all(bytes).and_then(|()| stream.flush());
            }
            None => self.note(AWAY),
        }
    }

    /// Notes the next frame. Gives its first byte, none if nothing comes any more.
    fn hear(&mut self, who: &str) -> Option<u8> {
        let Some(stream) = self.ends.get_mut(who) else {
            self.note(AWAY);
            return None;
        };
        match next_frame(stream) {
            Ok((head, payload)) => {
                self.note(&format!("{who} < {}", frame_shown(&head, &payload)));
                Some(head[0])
            }
            Err(error) => {
                // Told of by TLS, within no frame.
                let told = error.kind() == io::ErrorKind::WriteZero;
                let what = match error.kind() == io::ErrorKind::WouldBlock {
                    true => NOTHING,
                    false if told || !self.strict => "the end",
                    false => "the end without a word",
                };
                self.note(&format!("{who} < {what}"));
                self.ends.remove(who);
                None
            }
        }
    }

    fn hear_rest(&mut self, who: &str, answers: bool) {
        self.strict = answers;
        while let Some(first) = self.hear(who) {
            if first == CLOSE && answers {
                self.send(who, &wire::frame(CLOSE, &wire::close(1000, "")));
            }
        }
        self.strict = true;
    }

    /// Sends these bytes, and notes all that comes back.
    fn answer(&mut self, mut stream: impl Read + Write, bytes: &[u8]) {
        // Who is not listened to any more may still be answered.
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
        let mut answer = Vec::new();
        let end = match stream.read_to_end(&mut answer) {
            Ok(_) => "the end",
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => NOTHING,
            Err(_) => "the end without a word",
        };
        let head = answer.windows(4).position(|part| part == b"\r\n\r\n");
        let (head, body) = answer.split_at(head.map_or(0, |at| at + 4));
        let head = String::from_utf8_lossy(head).into_owned();
        self.note_lines(&head);
        if !body.is_empty() {
            self.note(&shown(body));
        }
        self.note(end);
    }

    fn note(&mut self, what: &str) {
        self.trace.push(format!("    {what}"));
    }

    fn note_lines(&mut self, head: &str) {
        head.split_terminator("\r\n")
            .for_each(|line| self.note(line));
    }
}

/// The next frame: its head, as it is, and its payload. The end is [`io::ErrorKind::WriteZero`].
fn next_frame(stream: &mut Tls) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut first = [0];
    if stream.read(&mut first)? == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let mut head = first.to_vec();
    let mut more = |stream: &mut Tls, count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes)?;
        head.extend(&bytes);
        io::Result::Ok(bytes)
    };
    let second = more(stream, 1)?[0];
    let rest = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let long = more(stream, rest)?;
    let long = long
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    let length = if rest == 0 {
        usize::from(second & 0x7f)
    } else {
        long
    };
    // A server that masks would be found out by the head.
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok((head, payload))
}

/// A frame for a person, and all that it is made of.
fn frame_shown(head: &[u8], payload: &[u8]) -> String {
    let mut line = String::new();
    head.iter()
        .for_each(|byte| write!(line, "{byte:02x}").unwrap());
    match head[0] & 0x0f {
        8 if payload.len() >= 2 => {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            line += &format!(" close {code} {}", shown(&payload[2..]));
        }
        other => {
            let kind = match other {
                1 => "text",
                2 => "binary",
                8 => "close",
                9 => "ping",
                10 => "pong",
                _ => "?",
            };
            line += &format!(" {kind} {}", shown(payload));
        }
    }
    line
}

/// What a client sends: frames, if it is nothing else.
fn sent(bytes: &[u8]) -> String {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some((frame, more)) = sent_frame(rest) {
        frames.push(frame);
        rest = more;
    }
    if frames.is_empty() || !rest.is_empty() {
        frames.push(shown(rest));
    }
    frames.join(", ")
}

/// A masked frame at the start, and what follows it.
fn sent_frame(bytes: &[u8]) -> Option<(String, &[u8])> {
    let second = *bytes.get(1)?;
    let (at, length) = match second & 0x7f {
        126 => (4, bytes.get(2..4)?),
        127 => (10, bytes.get(2..10)?),
        _ => (2, &[second & 0x7f][..]),
    };
    let length = length
        .iter()
        .fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    let mask = bytes.get(at..at + 4)?;
    let end = (at + 4).checked_add(usize::try_from(length).ok()?)?;
    let payload = bytes.get(at + 4..end)?.iter().zip(mask.iter().cycle());
    let payload: Vec<u8> = payload.map(|(byte, mask)| byte ^ mask).collect();
    let is_masked = second & 0x80 != 0;
    is_masked.then(|| (frame_shown(&bytes[..at], &payload), &bytes[end..]))
}

/// Bytes in a line: those of long ones as their hash.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 160;
    let start = bytes[..bytes.len().min(MOST)].escape_ascii();
    if bytes.len() <= MOST {
        return format!("\"{start}\"");
    }
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    let start = bytes[..40].escape_ascii();
    format!(
        "\"{start}…\" {} bytes {:016x}",
        bytes.len(),
        hasher.finish()
    )
}

/// A hello that is cut off.
pub(crate) fn half_a_hello() -> Vec<u8> {
    tls::hello()[..50].to_vec()
}
