//! Every mistake in one line, which names the setting, where it was written and what would be right.

use super::*;

mod file;

/// Arguments (FILE is the configuration file), environment, that file, and the one line.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

const TABLE: &[Case] = &[
    // Peering.
    (
        "--peer ws://one.example",
        &[],
        "",
        "--peer: 'ws://one.example': Mles runs over TLS alone: give wss://HOST[:PORT]",
    ),
    (
        "--peer wss://a --peer wss://a",
        &[],
        "",
        "--peer: a:443 is given twice: leave one out",
    ),
    (
        "",
        &[("MLES_PEER", "wss://a, b")],
        "",
        "MLES_PEER: 'b': not a WebSocket address: give wss://HOST[:PORT]",
    ),
    (
        "--peers-url http://lists.example/peers",
        &[],
        "",
        "--peers-url: 'http://lists.example/peers': Mles runs over TLS alone: give https://HOST[:PORT]/PATH",
    ),
    (
        "",
        &[("MLES_PEERS_URL", "wss://lists.example")],
        "",
        "MLES_PEERS_URL: 'wss://lists.example': not an address of the Web: give https://HOST[:PORT]/PATH",
    ),
    (
        "--config FILE",
        &[],
        "peers-url = ['https://a', 'https://b']",
        "FILE:1: peers-url: an array is no text: give a string in quotes",
    ),
    (
        "--peers-url https://a --peers-url-interval 10ms",
        &[],
        "",
        "--peers-url-interval: 10ms is out of range: give 1s to 24h",
    ),
    (
        "--config FILE",
        &[],
        "peer = 8077",
        "FILE:1: peer: an integer is no address: give a string in quotes, or an array of such",
    ),
    (
        "--peer-key-file f",
        &[("MLES_PEER_KEY", "s")],
        "",
        "MLES_PEER_KEY and --peer-key-file are both given: keep one of them",
    ),
    (
        "",
        &[("MLES_PEER_KEY", "")],
        "",
        "MLES_PEER_KEY is empty: set it to the key of the servers, or unset it",
    ),
    (
        "--open-peering",
        &[("MLES_PEER_KEY", "s")],
        "",
        "--open-peering: there is a peer key, which peers have to know: leave one of them out",
    ),
    (
        "--open-peering=yes",
        &[],
        "",
        "--open-peering: 'yes' is neither true nor false: give one of them",
    ),
    (
        "--config FILE",
        &[],
        "open-peering = 'true'",
        "FILE:1: open-peering: a string is no boolean: give true or false, without quotes",
    ),
    (
        "--config FILE",
        &[],
        "limit = true",
        "FILE:1: limit: a boolean is no whole number: give one, without quotes, such as 100",
    ),
    (
        "--config FILE",
        &[],
        "peer-key = 's'",
        "FILE:1: peer-key: the secret does not belong here: put it on the first line of a file of its own and name that with peer-key-file, or set MLES_PEER_KEY",
    ),
    (
        "--peer-fingerprint ab:cd",
        &[],
        "",
        "--peer-fingerprint: 'ab:cd' is no SHA-256 fingerprint: give 32 bytes in hexadecimal, as the server prints it",
    ),
    // Options.
    (
        "--limit many",
        &[],
        "",
        "--limit: 'many' is not a whole number: give 0 to 1000000",
    ),
    (
        "--port 70000",
        &[],
        "",
        "--port: 70000 is out of range: give 0 to 65535",
    ),
    (
        "--outbox 1KiB",
        &[],
        "",
        "--outbox: 1KiB is out of range: give 4KiB to 1GiB",
    ),
    (
        "--max-message 1TB",
        &[],
        "",
        "--max-message: '1TB' is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 8MiB",
    ),
    (
        "--ping-interval 1d",
        &[],
        "",
        "--ping-interval: '1d' is not a duration: give seconds, or a whole number with ms, s, m or h, such as 10s",
    ),
    (
        "--listen localhost",
        &[],
        "",
        "--listen: 'localhost' is not an address: give IP or IP:PORT, such as 127.0.0.1, 0.0.0.0:8077 or [::1]:8077",
    ),
    (
        "--listen 0.0.0.0 --listen 10.0.0.1",
        &[],
        "",
        "--listen: 10.0.0.1:8077 is part of 0.0.0.0:8077: leave one out",
    ),
    (
        "--log-format xml",
        &[],
        "",
        "--log-format: 'xml' is no log format: give text or json",
    ),
    (
        "--tls-cert c",
        &[],
        "",
        "--tls-cert needs the private key too: add --tls-key FILE",
    ),
    (
        "--config=",
        &[],
        "",
        "--config: can't read '': No such file or directory (os error 2); check the path and its permissions",
    ),
    (
        "--config /no/such",
        &[],
        "",
        "--config: can't read '/no/such': No such file or directory (os error 2); check the path and its permissions",
    ),
    (
        "--config /",
        &[],
        "",
        "--config: can't read '/': Is a directory (os error 21); check the path and its permissions",
    ),
    // Variables.
    (
        "",
        &[("MLES_RATE_LIMIT", "-1")],
        "",
        "MLES_RATE_LIMIT: '-1' is not a whole number: give 0 to 1000000",
    ),
    (
        "",
        &[("MLES_HISTORY_BYTES", "lots")],
        "",
        "MLES_HISTORY_BYTES: 'lots' is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 8MiB",
    ),
    (
        "",
        &[("MLES_LOG_FORMAT", "JSON")],
        "",
        "MLES_LOG_FORMAT: 'JSON' is no log format: give text or json",
    ),
    (
        "",
        &[("MLES_TLS_KEY", "k")],
        "",
        "MLES_TLS_KEY needs the certificate too: add --tls-cert FILE",
    ),
    (
        "",
        &[("MLES_CONFIG", "/no/such")],
        "",
        "MLES_CONFIG: can't read '/no/such': No such file or directory (os error 2); check the path and its permissions",
    ),
    (
        "",
        &[("MLES_LISTEN", "::1,::1")],
        "",
        "MLES_LISTEN: [::1]:8077 is given twice: leave one out",
    ),
    // Between places.
    (
        "--config FILE",
        &[("MLES_HISTORY_CHANNEL_BYTES", "2MiB")],
        "history-bytes = '1MiB'",
        "MLES_HISTORY_CHANNEL_BYTES: 2MiB is more than --history-bytes, which is 1MiB (FILE:1): lower it, or raise --history-bytes",
    ),
    (
        "--config FILE --history-bytes 5",
        &[],
        "history-channel-bytes = 6",
        "FILE:1: history-channel-bytes: 6 is more than --history-bytes, which is 5 (--history-bytes): lower it, or raise --history-bytes",
    ),
    (
        "--config FILE --tls-key k --tls-key l",
        &[],
        "\ntls-cert = 'c'",
        "FILE:2: tls-cert and --tls-key don't match, 1 and 2: give one private key for each certificate, in the same order",
    ),
    (
        "--config FILE",
        &[("MLES_TLS_KEY", "k, l")],
        "tls-cert = 'c, d'",
        "FILE:1: tls-cert and MLES_TLS_KEY don't match, 1 and 2: give one private key for each certificate, in the same order",
    ),
    (
        "--config FILE --tls-cert c",
        &[],
        "limit = 5",
        "--tls-cert needs the private key too: add --tls-key FILE",
    ),
];

#[test]
fn each_is_one_line() {
    for (args, env, text, expected) in TABLE.iter().chain(file::TABLE) {
        let dir = TestDir::new();
        let path = dir.file("m.toml", text).display().to_string();
        let args = args.replace("--config FILE", &format!("--config {path}"));
        let lines: Vec<String> = mistakes(load(&args, env))
            .iter()
            .map(|line| line.replace(&path, "FILE"))
            .collect();
        assert_eq!(lines, [*expected], "{args} {env:?} {text}");
        assert!(!lines[0].contains("hush"));
    }
}

#[test]
fn a_file_that_is_no_text() {
    let dir = TestDir::new();
    let refusal = |content: &[u8]| {
        let path = dir.file("m.toml", content).display().to_string();
        mistakes(load(&format!("--config {path}"), &[]))
            .iter()
            .map(|line| line.replace(&path, "FILE"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        refusal(b"# fine\nlimit = \xff5\n"),
        ["FILE:2: not UTF-8: save the file in that encoding"]
    );
    assert_eq!(
        refusal(&vec![b'\n'; (1 << 16) + 1]),
        ["--config: 'FILE' is larger than 64KiB: give the configuration file"]
    );
}

/// All mistakes of a file at once, by line, then those of values; none that only follows from another.
#[test]
fn all_of_a_file() {
    let dir = TestDir::new();
    let text = "tls-cert = c.pem\ntls-key = 'k.pem'\nlimt = 1\nhistory-channel-bytes = '65MiB'\nhistory-bytes = 1G\nport = 'x'\n";
    let path = dir.file("m.toml", text).display().to_string();
    let lines = mistakes(load(&format!("--config {path} --outbox 1"), &[]));
    assert_eq!(
        lines
            .iter()
            .map(|line| line.replace(&path, "FILE"))
            .collect::<Vec<_>>(),
        [
            "FILE:1: tls-cert: no value of TOML: put text in quotes, such as \"8MiB\"; only numbers stand without",
            "FILE:3: limt: no such setting; the nearest is limit",
            "FILE:5: history-bytes: no value of TOML: put text in quotes, such as \"8MiB\"; only numbers stand without",
            "FILE:6: port: a string is no whole number: give one, without quotes, such as 100",
            "--outbox: 1 is out of range: give 4KiB to 1GiB",
        ]
    );
}
