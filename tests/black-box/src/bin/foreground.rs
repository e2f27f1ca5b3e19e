//! `foreground PROGRAM ARGUMENTS…`: makes the terminal on stdin the controlling one of a new session and becomes the
//! program there, as a terminal emulator does. Without that ^C is no signal.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{ioctl_tiocsctty, setsid};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let Some(program) = args.next() else {
        eprintln!("foreground: which program?");
        return ExitCode::FAILURE;
    };
    let error = become_it(program, args);
    eprintln!("foreground: {error}");
    ExitCode::FAILURE
}

/// Returns only if it fails.
fn become_it(program: OsString, args: impl Iterator<Item = OsString>) -> io::Error {
    let alone = setsid().and_then(|_| ioctl_tiocsctty(io::stdin()));
    match alone {
        Ok(()) => Command::new(program).args(args).exec(),
        Err(error) => error.into(),
    }
}
