//! The client programs where a person sits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::{Binary, DEADLINE, Log, TempDir};

/// A program on a terminal of its own: in the foreground, as a shell would have it. Dropping it ends the program.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Log,
    _home: TempDir,
}

impl Terminal {
    /// Starts the program with these arguments. `foreground` is where the program of that name is.
    #[must_use]
    pub fn start(foreground: &str, binary: &Binary, args: &[&str]) -> Self {
        let home = TempDir::new();
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let far = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        let end = || Stdio::from(far.try_clone().unwrap());
        let child = Command::new(foreground)
            .arg(binary.path())
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the program runs");
        let keyboard = File::from(near);
        Self {
            child,
            screen: Log::of(Screen(keyboard.try_clone().unwrap())),
            keyboard,
            _home: home,
        }
    }

    /// Types this; the terminal turns `\r` into a line's end, `\x03` into SIGINT, and `\x04` into the end of input.
    pub fn type_in(&mut self, keys: impl AsRef<[u8]>) {
        self.keyboard.write_all(keys.as_ref()).unwrap();
    }

    /// What is written to the terminal, by the program and as the echo of what is typed. Each line ends with `\r`.
    #[must_use]
    pub fn screen(&self) -> &Log {
        &self.screen
    }

    /// Waits for the program's end; gives the lines of the screen without their ends.
    pub fn wait(&mut self) -> (ExitStatus, Vec<String>) {
        let began = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if began.elapsed() > 3 * DEADLINE => {
                    panic!("it does not end: {:#?}", self.screen.lines())
                }
                // A process has no other way to tell its end but to be asked.
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        self.screen.wait_for_end();
        let line = |line: &String| line.strip_suffix('\r').unwrap_or(line).to_owned();
        (status, self.screen.lines().iter().map(line).collect())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the terminal's lines: {:#?}", self.screen.lines());
        }
    }
}

/// A terminal's output: its end is the error EIO.
struct Screen(File);

impl Read for Screen {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.0.read(bytes) {
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(0),
            result => result,
        }
    }
}
