//! `mles sub`: prints what comes.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use runtime_common::config::Format;
use runtime_smol::client::{Age, Client, Delivery, Event, Options};
use smol::future::or;

use super::{State, code, interrupted, leave, show, stopped};

pub(super) async fn run(
    url: &str,
    mut options: Options,
    count: Option<u64>,
    format: Format,
    live: bool,
) -> Result<ExitCode, String> {
    // Also where the server keeps more than usual, nothing is printed twice.
    options.config.remember = REMEMBER;
    let client = Client::start(url, options)?;
    let state = State::new(url);
    let terminal = io::stdout().is_terminal();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = count.unwrap_or(u64::MAX);
    let print = async {
        while left > 0 {
            // What is there is written together.
            let event = match client.ready() {
                Some(event) => Some(event),
                None => {
                    if let Some(code) = stopped(out.flush())? {
                        return Ok(code);
                    }
                    client.next().await
                }
            };
            match event {
                Some(Event::Received(delivery)) => {
                    let counts = delivery.joined.is_none();
                    if live && delivery.age == Age::History || !counts && format != Format::Json {
                        continue;
                    }
                    let written = write(&mut out, &delivery, format, terminal);
                    if let Some(code) = stopped(written)? {
                        return Ok(code);
                    }
                    left -= u64::from(counts);
                }
                Some(Event::Ended { end, why }) => return Ok(code(end, &why)),
                Some(event) => state.tell(&event),
                None => return Err("the client has ended".to_owned()),
            }
        }
        stopped(out.flush())?;
        Ok(ExitCode::SUCCESS)
    };
    let outcome = or(print, async {
        interrupted().await;
        Ok(ExitCode::SUCCESS)
    })
    .await;
    // What was printed before a signal is out; the flush at the end of `out` takes the rest.
    drop(out);
    leave(&client).await;
    outcome
}

fn write(
    out: &mut impl Write,
    delivery: &Delivery,
    format: Format,
    terminal: bool,
) -> io::Result<()> {
    let payload = &delivery.frame.payload;
    match format {
        Format::Raw => out.write_all(payload),
        Format::Json => writeln!(out, "{}", show::json(delivery)),
        Format::Lines if terminal => {
            let text = String::from_utf8_lossy(payload);
            writeln!(out, "{}", show::harmless(&text))
        }
        Format::Lines => {
            out.write_all(payload)?;
            out.write_all(b"\n")
        }
    }
}

/// Messages that are recognised after a reconnect.
const REMEMBER: usize = 8192;
