//! `mles-std`: the Mles server on plain threads, and with a subcommand its clients.

use std::io::{self, Write};
use std::process::ExitCode;

use runtime_common::config::{ClientConfig, Config, Exit};
use runtime_common::listening;

mod commands;

fn main() -> ExitCode {
    let env = |name: &str| std::env::var_os(name);
    match ClientConfig::load(std::env::args_os(), &env) {
        Ok(Some(config)) => return commands::run(&config),
        Ok(None) => {}
        Err(exit) => return quit(&exit),
    }
    match Config::load(std::env::args_os(), &env, &listening::look) {
        Ok(_) => ExitCode::FAILURE,
        Err(exit) => quit(&exit),
    }
}

fn quit(exit: &Exit) -> ExitCode {
    // A closed pipe is the reader's wish, not an error.
    let _ = io::stdout().write_all(exit.stdout.as_bytes());
    let _ = io::stderr().write_all(exit.stderr.as_bytes());
    ExitCode::from(exit.code)
}
