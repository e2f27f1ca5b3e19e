//! Building the program under test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// A server program: the package it is made from, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binary {
    /// The package in its workspace.
    pub package: &'static str,
    /// The name of its binary.
    pub name: &'static str,
    /// The folder of a workspace of its own, from the root of this one.
    pub workspace: Option<&'static str>,
}

/// The server on smol.
pub const SMOL: Binary = Binary {
    package: "runtime-smol",
    name: "mles",
    workspace: None,
};

/// The server on plain threads.
pub const STD: Binary = Binary {
    package: "runtime-std",
    name: "mles-std",
    workspace: None,
};

/// The connection driver of the server on smol, on async-std: an example, which is not shipped.
pub const ASYNC_STD: Binary = Binary {
    package: "async-std-host",
    name: "mles-async-std",
    workspace: Some("examples/async-std-host"),
};

/// The programs of a network: its nodes are of the first and the second by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair(pub Binary, pub Binary);

impl Pair {
    /// The program of the node with this number.
    #[must_use]
    pub fn node(&self, number: usize) -> &Binary {
        match number % 2 {
            0 => &self.0,
            _ => &self.1,
        }
    }
}

impl From<&Binary> for Pair {
    fn from(both: &Binary) -> Self {
        Self(*both, *both)
    }
}

impl From<&Self> for Pair {
    fn from(pair: &Self) -> Self {
        *pair
    }
}

impl Binary {
    /// Whether as many threads as `--threads` says serve all connections; else each connection has its own.
    #[must_use]
    pub fn has_io_threads(&self) -> bool {
        *self == SMOL
    }

    /// Where the program is. The first call in a process has cargo build it, in the profile and the
    /// target directory of the running test, so that it is never older than its source.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        static BUILT: Mutex<Option<HashMap<Binary, PathBuf>>> = Mutex::new(None);
        let mut built = BUILT.lock().unwrap_or_else(|poison| poison.into_inner());
        let built = built.get_or_insert_default();
        built.entry(*self).or_insert_with(|| self.build()).clone()
    }

    fn build(&self) -> PathBuf {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
        let mut command = Command::new(cargo);
        command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--package", self.package, "--bin", self.name])
            .args(["--message-format", "json-render-diagnostics"])
            .args(place(self.workspace));
        if let Some(folder) = self.workspace {
            let manifest = format!("../../{folder}/Cargo.toml");
            command.args(["--locked", "--manifest-path", &manifest]);
        }
        // What cargo tells the test about its package is no business of the build: build scripts
        // that look at it would run again each time.
        for (name, _) in std::env::vars_os() {
            let it = name.to_string_lossy();
            if [
                "CARGO_PKG_",
                "CARGO_MANIFEST_",
                "CARGO_BIN_",
                "CARGO_CRATE_",
            ]
            .iter()
            .any(|prefix| it.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        let output = command.output().expect("cargo runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {errors}");
        let messages = String::from_utf8(output.stdout).unwrap();
        let executable = messages.lines().find_map(|line| self.executable(line));
        executable.unwrap_or_else(|| panic!("{command:?} names no executable: {messages}"))
    }

    /// The path in one of cargo's messages, if it is about this program.
    fn executable(&self, message: &str) -> Option<PathBuf> {
        let message: serde_json::Value = serde_json::from_str(message).ok()?;
        let target = message.get("target")?;
        let is_it = target.get("name")? == self.name && target.get("kind")?.get(0)? == "bin";
        let path = message.get("executable")?.as_str()?;
        is_it.then(|| PathBuf::from(path))
    }
}

/// The options that have cargo build where, and how, the running test was built:
/// its path is `TARGET_DIR[/TRIPLE]/PROFILE/deps/NAME`. Another workspace gets a directory in there.
fn place(workspace: Option<&str>) -> Vec<String> {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut options = vec!["--profile".to_owned()];
    options.push(match name(profile).as_str() {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    });
    let mut target = profile.parent().unwrap();
    // Cargo keeps this file in the root of each target directory, whoever made that.
    if !target.join(".rustc_info.json").exists() {
        options.extend(["--target".to_owned(), name(target)]);
        target = target.parent().unwrap();
    }
    let own = workspace.map(Path::new).and_then(Path::file_name);
    let target = own.map_or_else(|| target.to_owned(), |own| target.join(own));
    options.extend(["--target-dir".to_owned(), target.display().to_string()]);
    options
}
