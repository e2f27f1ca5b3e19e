//! `mles pub`: sends, and ends when the server has accepted everything.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use runtime_common::config::Source;
use runtime_common::programs::publish::{Feed, Publish, prepare};
use runtime_smol::client::{Client, Frame, Options};
use smol::future::or;

use super::input;
use crate::clock::Alarm;

pub(super) fn run(
    url: &str,
    mut options: Options,
    source: &Source,
    binary: bool,
    timeout: Option<Duration>,
) -> Result<ExitCode, String> {
    // What can fail comes before the connection.
    let message = prepare(&mut options, source, binary)?;
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
    let publish = RefCell::new(Publish::new(url, timeout));
    let given = Feed::new(binary);
    let feed = async {
        let fed = match message {
            Some(message) => {
                given.only();
                client.send(message).await
            }
            None => lines(&client, &given).await,
        };
        publish.borrow_mut().input_ended(fed);
        client.finish().await;
        pending().await
    };
    let watch = async {
        loop {
            let event = client.next().await;
            let (accepted, given) = (client.accepted(), given.given());
            if let Some(code) = publish.borrow_mut().event(event, accepted, given)? {
                return Ok(Some(code));
            }
        }
    };
    let mut alarm = Alarm::default();
    let give_up = poll_fn(|cx| {
        let until = publish.borrow().until();
        match alarm.is_due(until, cx) {
            true => Poll::Ready(Ok(None)),
            false => Poll::Pending,
        }
    });
    // In this order: what the alarm goes by is what the others have just found out.
    let ended: Result<_, String> = or(watch, or(feed, give_up)).await;
    let publish = publish.into_inner();
    Ok(ended?.unwrap_or_else(|| publish.gave_up(client.accepted(), given.given())))
}

async fn lines(client: &Client, feed: &Feed) -> Result<(), String> {
    let stdin = input::lines();
    while let Ok(line) = stdin.recv().await {
        let sent = client.send(feed.line(line)?).await;
        sent.map_err(|error| feed.untaken(&error))?;
    }
    Ok(())
}
