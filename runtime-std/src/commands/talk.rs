//! `mles-std talk`: a conversation.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use runtime_common::programs::LEAVE;
use runtime_common::programs::talk::{Talk, Typed};
use runtime_std::client::{Client, Options};

use super::{Happening, Happenings, input, spawn};

pub(super) fn run(url: &str, options: Options) -> Result<ExitCode, String> {
    let terminal = io::stdout().is_terminal();
    let mut talk = Talk::new(url, &options, io::stdout(), terminal);
    let typed = Arc::new(Typed::new(io::stdin().is_terminal()));
    let client = Arc::new(Client::start(url, options)?);
    let happenings = Happenings::of(&client)?.and_signals()?;
    let feed = (Arc::clone(&typed), Arc::clone(&client));
    spawn(move || {
        let (typed, client) = feed;
        for line in input::lines().map_while(Result::ok) {
            if let Some(frame) = typed.line(line) {
                typed.sent(client.send(frame));
            }
        }
        client.finish();
    })?;
    let mut leaving = None;
    loop {
        match happenings.next(leaving) {
            Some(Happening::Event(event)) => {
                if let Some(code) = talk.event(event)? {
                    return Ok(code);
                }
            }
            Some(Happening::Interrupted) => {
                client.finish();
                leaving = leaving.or_else(|| Some(Instant::now() + LEAVE));
            }
            Some(Happening::Fed(_)) => {}
            None => return Ok(typed.left(client.accepted())),
        }
    }
}
