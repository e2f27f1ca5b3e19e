//! `mles`: the Mles server on smol, and with a subcommand its clients.

use std::process::ExitCode;

mod clock;
mod commands;
mod dialing;
mod driver;
mod handover;
mod io_thread;
mod listen;
mod monitor;
mod route;
mod server;
mod session;
mod sniff;
mod socket;
mod transport;
mod turn;
mod watch;
mod worker;

fn main() -> ExitCode {
    runtime_common::life::run(commands::run, server::run)
}
