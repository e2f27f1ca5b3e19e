//! The client programs.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Binary, DEADLINE, Ended, Log, TempDir};

/// A client program that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Tool {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Log,
    stderr: Log,
    _home: TempDir,
}

impl Tool {
    /// Starts the program with these arguments and variables, pipes on all ends.
    #[must_use]
    pub fn start(binary: &Binary, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let home = TempDir::new();
        let mut child = Command::new(binary.path())
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        Self {
            stdin: child.stdin.take(),
            stdout: Log::of(child.stdout.take().unwrap()),
            stderr: Log::of(child.stderr.take().unwrap()),
            child,
            _home: home,
        }
    }

    /// Starts the program and gives its stdout to `reader`, which may stop reading: then the pipe breaks.
    #[must_use]
    pub fn read_by(
        binary: &Binary,
        args: &[&str],
        reader: impl FnOnce(std::process::ChildStdout) + Send + 'static,
    ) -> Self {
        let home = TempDir::new();
        let mut child = Command::new(binary.path())
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || reader(stdout));
        Self {
            stdin: None,
            stdout: Log::of(std::io::empty()),
            stderr: Log::of(child.stderr.take().unwrap()),
            child,
            _home: home,
        }
    }

    /// Writes to its stdin; it may have ended.
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("its stdin is open");
        let _ = stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush());
    }

    /// Ends its stdin.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// What it writes to stdout.
    #[must_use]
    pub fn stdout(&self) -> &Log {
        &self.stdout
    }

    /// What it writes to stderr.
    #[must_use]
    pub fn stderr(&self) -> &Log {
        &self.stderr
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Ended {
        self.stdin = None;
        let began = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if began.elapsed() > 3 * DEADLINE => {
                    panic!("it does not end: {:#?}", self.stderr.lines())
                }
                // A process has no other way to tell its end but to be asked.
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        Ended {
            status,
            stdout: self.stdout.lines(),
            stderr: self.stderr.lines(),
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("the program's last lines: {:#?}", self.stderr.lines());
        }
    }
}
