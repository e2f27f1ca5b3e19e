//! `mles`: the Mles server on smol, and with a subcommand its clients.

use std::process::ExitCode;

mod clock;
mod commands;
mod dialing;
mod listen;
mod monitor;
mod server;
mod socket;
mod watch;
mod worker;

fn main() -> ExitCode {
    runtime_common::life::run(commands::run, server::run)
}
