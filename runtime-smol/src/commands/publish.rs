//! `mles pub`: sends, and ends when the server has accepted everything.

use std::cell::RefCell;
use std::future::pending;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use runtime_common::config::Source;
use runtime_smol::client::{Client, End, Event, Frame, Options};
use smol::future::or;

use super::{State, code, input};

pub(super) fn run(
    url: &str,
    mut options: Options,
    source: &Source,
    binary: bool,
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
    smol::block_on(publish(url, options, message, binary))
}

async fn publish(
    url: &str,
    options: Options,
    message: Option<Frame>,
    binary: bool,
) -> Result<ExitCode, String> {
    let client = Client::start(url, options)?;
    let state = State::new(url);
    let mistake = RefCell::new(None);
    let feed = async {
        let fed = match message {
            Some(message) => client.send(message).await,
            None => lines(&client, binary).await,
        };
        *mistake.borrow_mut() = fed.err();
        // What was taken before a mistake is sent all the same.
        client.finish().await;
        pending().await
    };
    let watch = async {
        loop {
            match client.next().await {
                Some(Event::Ended { end, why }) => return Ok((end, code(end, &why))),
                Some(event) => state.tell(&event),
                None => return Err("the client has ended".to_owned()),
            }
        }
    };
    let (end, code) = or(watch, feed).await?;
    match mistake.into_inner() {
        // Of two lines the first one is the cause.
        Some(line) if matches!(end, End::Done | End::Assumed { .. }) => Err(line),
        Some(_) | None => Ok(code),
    }
}

async fn lines(client: &Client, binary: bool) -> Result<(), String> {
    let stdin = input::lines();
    for number in 1_u64.. {
        let Ok(line) = stdin.recv().await else {
            break;
        };
        let at = |error| format!("line {number}: {error}");
        let frame = frame(line?, binary).map_err(at)?;
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
