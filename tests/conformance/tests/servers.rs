//! The servers of this repository, judged as anybody would judge them: by the program.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code: what is not expected is a panic, and that is how it says so"
)]

use std::io::{BufRead as _, BufReader};
use std::panic::{catch_unwind, resume_unwind};
use std::process::{Command, Stdio};

use black_box::{Binary, Launch, PEER_KEY, TempDir, suite};
use serde_json::Value;

suite!(
    is_right_by_default,
    #[ignore = "takes minutes: cases that wait for long timers, and those that disturb"]
    is_right_in_everything,
    is_right_with_a_key_and_peers,
    is_right_when_it_dials,
);

/// Runs the judge, and gives its report.
fn judge(server: &black_box::Server, files: &TempDir, args: &[&str]) -> Value {
    let url = format!("wss://{}", server.address());
    let mut all = vec![&*url, "--insecure"];
    all.extend(args);
    report(files, &all)
}

fn report(files: &TempDir, args: &[&str]) -> Value {
    let report = files.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_mles-conformance"))
        .arg("--json")
        .arg(&report)
        .args(args)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap()
}

/// No case has failed, of whatever level, and none is undecided.
fn is_right(report: &Value) {
    for level in ["MUST", "SHOULD", "MAY"] {
        let counts = &report["summary"][level];
        assert_eq!(counts["fail"], 0, "{level}");
        assert_eq!(counts["inconclusive"], 0, "{level}");
    }
}

/// The server that was written from the specification alone.
#[test]
#[ignore = "needs Python's websockets: run by .ci/run"]
fn the_example_is_right() {
    let files = TempDir::new();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    files.file("cert.pem", pair.cert.pem());
    files.file("key.pem", pair.signing_key.serialize_pem());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/examples/server.py");
    // One that has `websockets`.
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut server = Command::new(python)
        .arg(script)
        .args(["--listen", "127.0.0.1:0", "--cert"])
        .arg(files.path().join("cert.pem"))
        .arg("--key")
        .arg(files.path().join("key.pem"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let output = server.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut told).unwrap();
    let judged = catch_unwind(|| {
        let url = told.trim_start_matches("listening on ").trim_end();
        is_right(&report(&files, &[url, "--insecure"]));
    });
    server.kill().unwrap();
    server.wait().unwrap();
    if let Err(panic) = judged {
        resume_unwind(panic);
    }
}

fn is_right_by_default(binary: &Binary) {
    let server = Launch::new(binary).start();
    let report = judge(&server, &TempDir::new(), &[]);
    is_right(&report);
    let seconds = report["seconds"].as_f64().unwrap();
    // What the README promises is a minute; a machine may be busy.
    assert!(seconds < 180.0, "{seconds}");
}

fn is_right_with_a_key_and_peers(binary: &Binary) {
    let files = TempDir::new();
    files.file("key", "the clients' key\n");
    files.file("peer-key", PEER_KEY.1);
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let server = Launch::new(binary)
        .args(&["--key-file", &path("key")])
        .env(PEER_KEY.0, PEER_KEY.1)
        .start();
    let (key, peer_key) = (path("key"), path("peer-key"));
    let args = ["--key-file", &key, "--peer-key-file", &peer_key];
    is_right(&judge(&server, &files, &args));
}

fn is_right_when_it_dials(binary: &Binary) {
    let files = TempDir::new();
    let command = format!(
        r#"XDG_DATA_HOME="{}/$$"; export XDG_DATA_HOME; exec {}"#,
        files.path().display(),
        binary.path().display()
    );
    is_right(&report(&files, &["--dialer", &command]));
}

fn is_right_in_everything(binary: &Binary) {
    let server = Launch::new(binary).start();
    let args = ["--slow", "--disruptive"];
    is_right(&judge(&server, &TempDir::new(), &args));
}
