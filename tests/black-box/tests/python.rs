//! A client that nobody here wrote: Python's `websockets`.

use std::process::Command;

use black_box::{Binary, Server, suite};

suite! {
    #[ignore = "needs Python's websockets: run by .ci/run"]
    alice_and_bob,
}

/// T1.2, T2.1, T2.3, T2.6, H1.2, A2.4, J2.1, J3.3, M1.1, M1.5, M2.2, X1.4: the session of the public
/// description, over wss with the server's own certificate verified.
fn alice_and_bob(binary: &Binary) {
    let server = Server::start(binary, &[], &[]);
    let lines = server.stdout().lines();
    let fingerprint = lines.iter().find_map(|line| line.split("SHA-256 ").nth(1));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/alice_and_bob.py");
    // One that has `websockets`.
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python)
        .arg(script)
        .arg(server.address().port().to_string())
        .args(fingerprint)
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("have talked"),
        "{said}{complaint}"
    );
    server.assert_quiet();
}
