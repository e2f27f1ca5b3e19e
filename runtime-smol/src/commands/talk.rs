//! `mles talk`: a conversation.

use std::future::pending;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use runtime_common::programs::talk::{Talk, Typed};
use runtime_smol::client::{Client, Options};
use smol::future::or;

use super::{input, interrupted, leave};

pub(super) async fn run(url: &str, options: Options) -> Result<ExitCode, String> {
    let terminal = io::stdout().is_terminal();
    let mut talk = Talk::new(url, &options, io::stdout(), terminal);
    let typed = Typed::new(io::stdin().is_terminal());
    let client = Client::start(url, options)?;
    let feed = async {
        let stdin = input::lines();
        while let Ok(Ok(line)) = stdin.recv().await {
            if let Some(frame) = typed.line(line) {
                typed.sent(client.send(frame).await);
            }
        }
        client.finish().await;
        pending().await
    };
    let converse = async {
        loop {
            if let Some(code) = talk.event(client.next().await)? {
                return Ok(code);
            }
        }
    };
    let stop = async {
        interrupted().await;
        leave(&client).await;
        Ok(typed.left(client.accepted()))
    };
    or(or(converse, stop), feed).await
}
