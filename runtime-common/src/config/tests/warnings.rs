//! What is allowed, and gets a warning.

use super::*;

#[test]
fn warns_where_local_mode_is_widened() {
    let reach = "other machines can connect, but the certificate was made for this one and nobody else trusts it; \
        for others give --tls-cert and --tls-key";
    let open = "without a shared key (MLES_KEY or --key-file) whoever connects may join";
    let warnings = |args, env: &[(&str, &str)]| load(args, env).unwrap().warnings();
    assert_eq!(
        warnings("--listen 0.0.0.0 --listen ::1", &[]),
        [format!("0.0.0.0:8077: {reach}; {open}")]
    );
    assert_eq!(
        warnings("--listen ::,10.0.0.1:1", &[("MLES_KEY", "s")]),
        [format!("[::]:8077, 10.0.0.1:1: {reach}")]
    );
    assert_eq!(
        warnings("--listen 127.1.2.3,::1,[::ffff:127.0.0.1]", &[]),
        Vec::<String>::new()
    );
    assert_eq!(
        warnings("--listen 0.0.0.0 --tls-cert c --tls-key k", &[]),
        Vec::<String>::new()
    );
}

#[test]
fn warns_where_others_can_read_the_metrics() {
    let warnings = |args| load(args, &[]).unwrap().warnings();
    for args in [
        "",
        "--metrics 1",
        "--metrics ::1",
        "--metrics [::ffff:127.0.0.1]:1",
    ] {
        assert_eq!(warnings(args), Vec::<String>::new(), "{args}");
    }
    let warning = "--metrics 0.0.0.0:8078: other machines can read the metrics, without encryption or a key; \
        give a loopback address, or have a firewall keep others out";
    assert_eq!(warnings("--metrics 0.0.0.0"), [warning]);
    assert_eq!(
        warnings("--metrics 0.0.0.0 --tls-cert c --tls-key k"),
        [warning]
    );
    assert_eq!(warnings("--metrics [::] --listen 0.0.0.0").len(), 2);
}

#[test]
fn warns_where_peering_is_open_or_idle() {
    let warnings = load("--open-peering", &[]).unwrap().warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("--open-peering: whoever can connect"));
    for options in [
        "--peer-ca f",
        &format!("--peer-fingerprint {}", "ab".repeat(32)),
    ] {
        let warnings = load(options, &[]).unwrap().warnings();
        assert!(
            matches!(&warnings[..], [line] if line.contains("--peer, --peers-file, --peers-url or --bridge"))
        );
        let named = format!("{options} --peers-file p");
        assert_eq!(load(&named, &[]).unwrap().warnings(), Vec::<String>::new());
    }
    let none = load("", &[("MLES_PEER_KEY", "s"), ("MLES_PEER", "wss://a")]);
    assert_eq!(none.unwrap().warnings(), Vec::<String>::new());
}

#[test]
fn unknown_variables_are_listed() {
    let names = [
        "PATH",
        "MLES_LIMITS",
        "MLES_KEY",
        "MLES_PEER_KEY",
        "MLES_LIMIT",
        "MLES_",
        "XMLES_A",
        "mles_limit",
        "MLES_DOMAINS",
        "MLES_CONFIG",
        "MLES_TIMEOUT",
    ];
    assert_eq!(
        unknown_variables(names.into_iter().map(OsString::from)),
        ["MLES_", "MLES_DOMAINS", "MLES_LIMITS"]
    );
}
