//! `mles-std`: the Mles server on plain threads, and with a subcommand its clients.

use std::process::ExitCode;

mod commands;
mod dialing;
mod driver;
mod inbox;
mod listen;
mod monitor;
mod server;
mod session;
mod socket;
#[cfg(test)]
mod testing;
mod thread;
mod transport;
mod turn;
mod watch;

fn main() -> ExitCode {
    runtime_common::life::run(commands::run, server::run)
}
