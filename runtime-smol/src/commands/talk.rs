//! `mles talk`: a conversation.

use std::cell::Cell;
use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use runtime_smol::client::{Age, Client, Delivery, Event, Frame, Kind, Options};
use smol::future::or;

use super::{State, code, input, interrupted, leave, say, show, stopped};

pub(super) async fn run(url: &str, options: Options) -> Result<ExitCode, String> {
    let (uid, channel) = (options.config.uid.clone(), options.config.channel.clone());
    let client = Client::start(url, options)?;
    let state = State::new(url);
    let terminal = io::stdout().is_terminal();
    let typed = io::stdin().is_terminal();
    let given = Cell::new(0_u64);
    let feed = async {
        let stdin = input::lines();
        while let Ok(Ok(line)) = stdin.recv().await {
            if typed && line.is_empty() {
                continue;
            }
            match String::from_utf8(line) {
                Ok(text) => match client.send(Frame::text(text)).await {
                    Ok(()) => given.set(given.get() + 1),
                    Err(why) => say(&format!("mles: not sent: {why}")),
                },
                Err(_) => say("mles: not sent: the line is not UTF-8"),
            }
        }
        client.finish().await;
        pending().await
    };
    let converse = async {
        let mut history = false;
        let mut greeted = false;
        loop {
            match client.next().await {
                Some(Event::Received(delivery)) => {
                    history |= delivery.age == Age::History;
                    if let Some(code) = stopped(print(&delivery, terminal))? {
                        return Ok(code);
                    }
                }
                Some(Event::Connected) if !greeted => {
                    greeted = true;
                    say(&format!("mles: connected to {url}, {uid} on {channel}"));
                }
                Some(Event::CaughtUp { resent }) => {
                    if history && terminal {
                        say("mles: so much for the history");
                    }
                    history = false;
                    state.tell(&Event::CaughtUp { resent });
                }
                Some(Event::Ended { end, why }) => return Ok(code(end, &why)),
                Some(event) => state.tell(&event),
                None => return Err("the client has ended".to_owned()),
            }
        }
    };
    let stop = async {
        interrupted().await;
        leave(&client).await;
        match given.get().saturating_sub(client.accepted()) {
            0 => Ok(ExitCode::SUCCESS),
            lines => {
                say(&format!(
                    "error: {lines} lines are not known to be accepted"
                ));
                Ok(ExitCode::from(3))
            }
        }
    };
    or(or(converse, stop), feed).await
}

/// On a terminal with a mark: `~` for what is from the history, `<` for what is live, `*` for who has joined.
/// Elsewhere the messages alone.
fn print(delivery: &Delivery, terminal: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let payload = &delivery.frame.payload;
    if !terminal {
        if delivery.joined.is_none() {
            out.write_all(payload)?;
            out.write_all(b"\n")?;
        }
        return out.flush();
    }
    let mark = match delivery.age {
        Age::History => '~',
        Age::Live => '<',
    };
    match (&delivery.joined, delivery.frame.kind) {
        (Some(uid), _) => {
            let uid = show::one_line(uid);
            writeln!(
                out,
                "* {uid} has joined{}",
                if mark == '~' { " (history)" } else { "" }
            )?;
        }
        (None, Kind::Binary) => writeln!(out, "{mark} ({} bytes)", payload.len())?,
        (None, Kind::Text) => {
            let text = show::harmless(&String::from_utf8_lossy(payload));
            // No line of a message can look like another message.
            writeln!(out, "{mark} {}", text.replace('\n', "\n  "))?;
        }
    }
    out.flush()
}
