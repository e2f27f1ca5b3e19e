//! The client programs: `mles talk`, `mles pub`, `mles sub`.

use std::future::pending;
use std::process::ExitCode;

use async_signal::{Signal, Signals};
use runtime_common::config::{ClientConfig, Task};
use runtime_common::programs::{self, LEAVE};
use runtime_smol::client::Client;
use smol::future::or;
use smol::stream::StreamExt;

mod input;
mod publish;
mod subscribe;
mod talk;

/// Runs a client to its end.
pub(crate) fn run(config: &ClientConfig) -> ExitCode {
    let outcome = programs::options(config).and_then(|options| match &config.task {
        Task::Talk => smol::block_on(talk::run(&config.url, options)),
        Task::Pub {
            source,
            binary,
            timeout,
        } => publish::run(&config.url, options, source, *binary, *timeout),
        Task::Sub {
            count,
            format,
            live,
        } => smol::block_on(subscribe::run(&config.url, options, *count, *format, *live)),
    });
    programs::exit(outcome)
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() {
    match Signals::new([Signal::Int, Signal::Term]) {
        Ok(mut signals) => _ = signals.next().await,
        Err(_) => pending().await,
    }
}

/// Leaves the channel, if the server answers soon.
async fn leave(client: &Client) {
    or(
        async {
            client.finish().await;
            while client.next().await.is_some() {}
        },
        async {
            smol::Timer::after(LEAVE).await;
        },
    )
    .await;
}
