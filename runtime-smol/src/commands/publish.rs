//! `mles pub`: sends, and ends when the server has accepted everything.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::task::Poll;
use std::time::{Duration, Instant};

use runtime_common::config::Source;
use runtime_smol::client::{Client, End, Event, Frame, Options};
use smol::future::or;

use super::{State, code, input, say};
use crate::clock::Alarm;

pub(super) fn run(
    url: &str,
    mut options: Options,
    source: &Source,
    binary: bool,
    timeout: Option<Duration>,
) -> Result<ExitCode, String> {
    options.receive = false;
    // Certain, and quick: a pipe may hold any number of lines.
    options.config.checkpoint = true;
    // What can fail comes before the connection.
    let message = match source {
        Source::Message(text) => Some(frame(text.as_bytes().to_vec(), binary)?),
        Source::File(file) => Some(frame(file.read(u64::MAX)?, binary)?),
        Source::Stdin => {
            let mut content = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut content);
            read.map_err(|error| format!("can't read stdin: {error}"))?;
            Some(frame(content, binary)?)
        }
        Source::Lines => None,
    };
    if let Some(message) = &message {
        // One message may be as large as it likes; the server decides.
        let size = message.payload.len() + 2048;
        options.config.queue_bytes = options.config.queue_bytes.max(size);
    }
    smol::block_on(publish(url, options, message, binary, timeout))
}

async fn publish(
    url: &str,
    options: Options,
    message: Option<Frame>,
    binary: bool,
    timeout: Option<Duration>,
) -> Result<ExitCode, String> {
    let client = Client::start(url, options)?;
    let state = State::new(url);
    let mistake = RefCell::new(None);
    let patience = Patience::new(timeout);
    let given = Cell::new(0);
    let feed = async {
        let fed = match message {
            Some(message) => {
                given.set(1);
                client.send(message).await
            }
            None => lines(&client, binary, &given).await,
        };
        *mistake.borrow_mut() = fed.err();
        patience.input_ended();
        // What was taken before a mistake is sent all the same.
        client.finish().await;
        pending().await
    };
    let watch = async {
        loop {
            match client.next().await {
                Some(Event::Ended { end, why }) => return Ok(Some((end, code(end, &why)))),
                Some(event) => {
                    let accepted = client.accepted();
                    match event {
                        Event::Connected => patience.connected(),
                        Event::Waiting { .. } => patience.alone(accepted, given.get()),
                        Event::Received(_)
                        | Event::Resumed { .. }
                        | Event::CaughtUp { .. }
                        | Event::Ended { .. } => {}
                    }
                    state.tell(&event);
                }
                None => return Err("the client has ended".to_owned()),
            }
        }
    };
    let mut alarm = Alarm::default();
    let give_up = poll_fn(|cx| match alarm.is_due(patience.until(), cx) {
        true => Poll::Ready(Ok(None)),
        false => Poll::Pending,
    });
    // In this order: what the alarm goes by is what the others have just found out.
    let outcome = or(watch, or(feed, give_up)).await?;
    match (outcome, mistake.into_inner()) {
        // Of two lines the first one is the cause.
        (Some((End::Done | End::Assumed { .. }, _)), Some(line)) => Err(line),
        (Some((_, code)), _) => Ok(code),
        (None, line) => {
            if let Some(line) = line {
                say(&format!("error: {line}"));
            }
            Ok(patience.out(given.get(), client.accepted()))
        }
    }
}

/// How long it goes on without the server.
struct Patience {
    timeout: Option<Duration>,
    /// When it is at its end, unless the clock stands still.
    until: Cell<Option<Instant>>,
    /// The clock stands still while there is a connection and there may be more to send.
    still: Cell<bool>,
    fed: Cell<bool>,
    /// Whether there was ever a connection.
    ever: Cell<bool>,
    /// Messages that were accepted when the clock began.
    accepted: Cell<u64>,
}

impl Patience {
    fn new(timeout: Option<Duration>) -> Self {
        let patience = Self {
            timeout,
            until: Cell::new(None),
            still: Cell::new(false),
            fed: Cell::new(false),
            ever: Cell::new(false),
            accepted: Cell::new(0),
        };
        patience.begin();
        patience
    }

    fn begin(&self) {
        self.still.set(false);
        // What is beyond all time never comes.
        let until = self
            .timeout
            .and_then(|time| Instant::now().checked_add(time));
        self.until.set(until);
    }

    fn connected(&self) {
        self.ever.set(true);
        self.still.set(!self.fed.get());
    }

    /// There is no connection. A server that takes connections and no messages is as good as away: without progress
    /// the clock goes on where it began.
    fn alone(&self, accepted: u64, given: u64) {
        if self.still.replace(false) && (accepted > self.accepted.get() || accepted >= given) {
            self.accepted.set(accepted);
            self.begin();
        }
    }

    /// Everything from here on is to be over in time.
    fn input_ended(&self) {
        self.fed.set(true);
        self.begin();
    }

    fn until(&self) -> Option<Instant> {
        self.until.get().filter(|_| !self.still.get())
    }

    /// Says what became of the messages. Without any connection the server has none of them, which is a failure;
    /// with one it is not known.
    fn out(&self, given: u64, accepted: u64) -> ExitCode {
        let missing = given.saturating_sub(accepted);
        let (what, code) = match self.ever.get() {
            true => ("not known to be accepted", ExitCode::from(3)),
            false => ("not sent", ExitCode::FAILURE),
        };
        let rest = match self.fed.get() {
            true => "",
            false => ", and the rest of stdin was not read",
        };
        say(&format!(
            "error: gave up after {:?} (--timeout): {missing} of {given} messages are {what}{rest}",
            self.timeout.unwrap_or_default(),
        ));
        code
    }
}

async fn lines(client: &Client, binary: bool, given: &Cell<u64>) -> Result<(), String> {
    let stdin = input::lines();
    for number in 1_u64.. {
        let Ok(line) = stdin.recv().await else {
            break;
        };
        let at = |error| format!("line {number}: {error}");
        let frame = frame(line?, binary).map_err(at)?;
        given.set(number);
        client.send(frame).await.map_err(at)?;
    }
    Ok(())
}

fn frame(payload: Vec<u8>, binary: bool) -> Result<Frame, String> {
    if binary {
        Ok(Frame::binary(payload))
    } else {
        let text = String::from_utf8(payload);
        let text = text.map_err(|_| "text that is not UTF-8: give --binary".to_owned())?;
        Ok(Frame::text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock runs without a connection and after the input's end, and begins anew with progress alone.
    #[test]
    fn patience() {
        let never = Patience::new(None);
        never.alone(0, 0);
        assert_eq!(never.until(), None);
        let patience = Patience::new(Some(Duration::from_secs(3600)));
        let first = patience.until();
        assert!(first.is_some());
        patience.alone(0, 5);
        assert_eq!(patience.until(), first, "it runs from the start on");
        patience.connected();
        assert_eq!(
            patience.until(),
            None,
            "nobody knows when the next line comes"
        );
        patience.alone(0, 5);
        assert_eq!(patience.until(), first, "a connection is no progress");
        patience.connected();
        patience.alone(1, 5);
        let second = patience.until();
        assert!(second > first);
        patience.connected();
        patience.alone(1, 1);
        let third = patience.until();
        assert!(third > second, "nothing waited");
        patience.input_ended();
        let last = patience.until();
        assert!(last > third);
        patience.connected();
        patience.alone(3, 5);
        assert_eq!(patience.until(), last, "the end is the end");
    }
}
