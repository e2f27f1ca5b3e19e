//! `mles sub`: prints what comes.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use runtime_common::config::Format;
use runtime_common::programs::subscribe::{Subscribe, prepare};
use runtime_smol::client::{Client, Options};
use smol::future::or;

use super::{interrupted, leave};

pub(super) async fn run(
    url: &str,
    mut options: Options,
    count: Option<u64>,
    format: Format,
    live: bool,
) -> Result<ExitCode, String> {
    prepare(&mut options);
    let client = Client::start(url, options)?;
    let terminal = io::stdout().is_terminal();
    let mut sub = Subscribe::new(url, io::stdout().lock(), terminal, count, format, live);
    let print = async {
        loop {
            // What is there is written together.
            let event = match client.ready() {
                Some(event) => Some(event),
                None => {
                    if let Some(code) = sub.flush()? {
                        return Ok(code);
                    }
                    client.next().await
                }
            };
            if let Some(code) = sub.event(event)? {
                return Ok(code);
            }
        }
    };
    let outcome = or(print, async {
        interrupted().await;
        Ok(ExitCode::SUCCESS)
    })
    .await;
    // What was printed before a signal is out; the rest is written now.
    drop(sub);
    leave(&client).await;
    outcome
}
