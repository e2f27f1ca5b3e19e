//! What this package is made of: plain threads, and no executor behind its back.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::process::Command;

/// The packages that are compiled into this one.
fn tree(package: &str) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--offline", "--locked", "--package", package])
        .args(["--edges", "normal,build", "--prefix", "none"])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let name = |line: &str| line.split(' ').next().unwrap().to_owned();
    lines.lines().map(name).collect()
}

/// Executors, reactors, and what there is for their sake.
fn is_async(name: &str) -> bool {
    let prefixes = ["async-", "futures", "tokio", "smol"];
    let names = [
        "mio",
        "polling",
        "blocking",
        "event-listener",
        "embassy-executor",
        "pollster",
        "runtime-smol",
        "glommio",
        "monoio",
        "compio",
    ];
    names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[test]
fn no_executor_in_the_tree() {
    let found: Vec<_> = tree("runtime-std")
        .into_iter()
        .filter(|name| is_async(name))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    // The other server has some: so one would be seen.
    let of_smol = tree("runtime-smol");
    for name in ["smol", "async-executor", "futures-rustls", "polling"] {
        assert!(of_smol.iter().any(|it| it == name), "{name}");
        assert!(is_async(name));
    }
}
