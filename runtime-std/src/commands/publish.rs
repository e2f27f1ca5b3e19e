//! `mles-std pub`: sends, and ends when the server has accepted everything.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use runtime_common::config::Source;
use runtime_common::programs::publish::{Feed, Publish, prepare};
use runtime_std::client::{Client, Frame, Options};

use super::{Happening, Happenings, input, spawn};

pub(super) fn run(
    url: &str,
    mut options: Options,
    source: &Source,
    binary: bool,
    timeout: Option<Duration>,
) -> Result<ExitCode, String> {
    // What can fail comes before the connection.
    let message = prepare(&mut options, source, binary)?;
    let client = Arc::new(Client::start(url, options)?);
    let mut publish = Publish::new(url, timeout);
    let given = Arc::new(Feed::new(binary));
    let happenings = Happenings::of(&client)?;
    let feed = (Arc::clone(&client), Arc::clone(&given));
    let told = happenings.give.clone();
    spawn(move || {
        let (client, given) = feed;
        let fed = send(&client, &given, message);
        // Before an end that follows from it. Who does not listen has ended.
        let _ = told.send(Happening::Fed(fed));
        client.finish();
    })?;
    loop {
        match happenings.next(publish.until()) {
            Some(Happening::Event(event)) => {
                let (accepted, given) = (client.accepted(), given.given());
                if let Some(code) = publish.event(event, accepted, given)? {
                    return Ok(code);
                }
            }
            Some(Happening::Fed(fed)) => publish.input_ended(fed),
            Some(Happening::Interrupted) => {}
            None => return Ok(publish.gave_up(client.accepted(), given.given())),
        }
    }
}

fn send(client: &Client, feed: &Feed, message: Option<Frame>) -> Result<(), String> {
    if let Some(message) = message {
        feed.only();
        return client.send(message);
    }
    for line in input::lines() {
        let sent = client.send(feed.line(line)?);
        sent.map_err(|error| feed.untaken(&error))?;
    }
    Ok(())
}
