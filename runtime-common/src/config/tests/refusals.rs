//! Refusals of options and variables in full, and several at once.

use super::*;

/// Arguments, environment, the one line of the refusal.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    String,
);

#[test]
fn refusals_in_full() {
    let not_a_duration =
        "is not a duration: give seconds, or a whole number with ms, s, m or h, such as 10s";
    let not_a_size =
        "is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 8MiB";
    let different =
        "don't match, 2 and 1: give one private key for each certificate, in the same order";
    let table: [Case; 29] = [
        ("--limit x", &[], "--limit: 'x' is not a whole number: give 0 to 1000000".into()),
        ("-l -1", &[], "--limit: '-1' is not a whole number: give 0 to 1000000".into()),
        ("-l 1000001", &[], "--limit: 1000001 is out of range: give 0 to 1000000".into()),
        ("", &[("MLES_LIMIT", "x")], "MLES_LIMIT: 'x' is not a whole number: give 0 to 1000000".into()),
        ("-p 65536", &[], "--port: 65536 is out of range: give 0 to 65535".into()),
        ("-f 0", &[], "--filelimit: 0 is out of range: give 1 to 1000000".into()),
        ("--max-sessions 0", &[], "--max-sessions: 0 is out of range: give 1 to 10000000".into()),
        ("--rate-limit 1000001", &[], "--rate-limit: 1000001 is out of range: give 0 to 1000000".into()),
        ("--threads 65", &[], "--threads: 65 is out of range: give 1 to 64".into()),
        (
            "--metrics localhost",
            &[],
            "--metrics: 'localhost' is not an address: give PORT, IP or IP:PORT, such as 8078, 127.0.0.1:8078 or [::1]:8078".into(),
        ),
        ("--per-ip-limit x", &[], "--per-ip-limit: 'x' is not a whole number: give 0 to 1000000".into()),
        ("--outbox 0", &[], "--outbox: 0 is out of range: give 4KiB to 1GiB".into()),
        ("--outbox big", &[], format!("--outbox: 'big' {not_a_size}")),
        ("--max-message 2G", &[], "--max-message: 2G is out of range: give 4KiB to 1GiB".into()),
        ("--history-bytes 1025G", &[], "--history-bytes: 1025G is out of range: give 0 to 1024GiB".into()),
        (
            "--history-channel-bytes 65MiB",
            &[],
            "--history-channel-bytes: 65MiB is more than --history-bytes, which is 64MiB (default): lower it, or raise --history-bytes".into(),
        ),
        ("--replay-timeout 0", &[], "--replay-timeout: 0 is out of range: give 10ms to 1h".into()),
        ("--handshake-timeout 2h", &[], "--handshake-timeout: 2h is out of range: give 10ms to 1h".into()),
        ("--header-timeout 5ms", &[], "--header-timeout: 5ms is out of range: give 10ms to 1h".into()),
        ("--ping-interval 0s", &[], "--ping-interval: 0s is out of range: give 10ms to 1h".into()),
        ("", &[("MLES_PROBE_TIMEOUT", "soon")], format!("MLES_PROBE_TIMEOUT: 'soon' {not_a_duration}")),
        ("--tls-cert c", &[], "--tls-cert needs the private key too: add --tls-key FILE".into()),
        ("", &[("MLES_TLS_KEY", "k")], "MLES_TLS_KEY needs the certificate too: add --tls-cert FILE".into()),
        (
            "--tls-cert c --tls-key k --tls-cert d",
            &[],
            format!("--tls-cert and --tls-key {different}"),
        ),
        (
            "--tls-key k",
            &[("MLES_TLS_CERT", "c, d")],
            format!("MLES_TLS_CERT and --tls-key {different}"),
        ),
        ("", &[("MLES_KEY", "")], "MLES_KEY is empty: set it to the shared key, or unset it".into()),
        ("--key-file f", &[("MLES_KEY", "s")], "MLES_KEY and --key-file are both given: keep one of them".into()),
        (
            "",
            &[("MLES_KEY_FILE", "f"), ("MLES_KEY", "")],
            "MLES_KEY and MLES_KEY_FILE are both given: keep one of them".into(),
        ),
        (
            "-w www -d example.org",
            &[],
            "--domains, --wwwroot: not supported yet; leave out, and give your own certificate with --tls-cert and --tls-key".into(),
        ),
    ];
    for (args, env, expected) in table {
        assert_eq!(mistakes(load(args, env)), [expected], "{args} {env:?}");
    }
}

#[test]
fn refuses_empty_file_names_and_text_that_is_not_utf8() {
    for flag in ["--tls-cert", "--tls-key", "--key-file"] {
        let files = ["--tls-cert=c", "--tls-key=k"]
            .into_iter()
            .filter(|file| !file.starts_with(flag));
        let args: Vec<OsString> = files
            .map(Into::into)
            .chain([flag.into(), OsString::new()])
            .collect();
        assert_eq!(
            mistakes(load_os(&args, &[])),
            [format!(
                "{flag}: the file's name is empty: give one, or leave the setting out"
            )]
        );
    }
    let odd = <OsString as std::os::unix::ffi::OsStringExt>::from_vec(vec![b'5', 0xff]);
    assert_eq!(
        mistakes(load_os(&[], &[("MLES_LIMIT", odd.clone())])),
        ["MLES_LIMIT: not valid UTF-8: give text"]
    );
    assert_eq!(
        mistakes(load_os(&["--limit".into(), odd.clone()], &[])),
        ["--limit: not valid UTF-8: give text"]
    );
    // A key is bytes: it is taken as it is, never dropped.
    let config = load_os(&[], &[("MLES_KEY", odd)]).unwrap();
    assert_eq!(config.key.read(), Ok(Key::new(b"5\xff")));
}

#[test]
fn all_mistakes_at_once() {
    let lines = mistakes(load(
        "-r -l x --outbox 0 --listen localhost,8077",
        &[("MLES_KEY", "")],
    ));
    assert_eq!(
        lines,
        [
            "--redirect: not supported yet; leave out",
            "--listen: 'localhost' is not an address: give IP or IP:PORT, such as 127.0.0.1, 0.0.0.0:8077 or [::1]:8077",
            "--listen: '8077' is not an address: give IP or IP:PORT, such as 127.0.0.1, 0.0.0.0:8077 or [::1]:8077",
            "MLES_KEY is empty: set it to the shared key, or unset it",
            "--limit: 'x' is not a whole number: give 0 to 1000000",
            "--outbox: 0 is out of range: give 4KiB to 1GiB",
        ]
    );
}
