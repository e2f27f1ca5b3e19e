//! What is merged, and what is made of it.

use super::*;
use crate::address::Address;
use crate::test_dir::TestDir;
use mles_sansio::Key;

mod check_config;
mod example;
mod mistakes;
mod refusals;
mod warnings;

fn load_os(args: &[OsString], env: &[(&str, OsString)]) -> Result<Config, Exit> {
    let args = std::iter::once("mles".into()).chain(args.iter().cloned());
    let env = |name: &str| {
        env.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.clone())
    };
    Config::load(args, &env, &|_| Vec::new())
}

fn load(args: &str, env: &[(&str, &str)]) -> Result<Config, Exit> {
    let args: Vec<OsString> = args.split_whitespace().map(OsString::from).collect();
    let env: Vec<(&str, OsString)> = env
        .iter()
        .map(|(name, value)| (*name, value.into()))
        .collect();
    load_os(&args, &env)
}

/// The mistakes, without the prefix that each line must have.
fn mistakes(result: Result<Config, Exit>) -> Vec<String> {
    let exit = result.unwrap_err();
    assert_eq!((exit.code, &exit.stdout[..]), (2, ""));
    exit.stderr
        .lines()
        .map(|line| line.strip_prefix("error: ").unwrap().to_owned())
        .collect()
}

#[test]
fn defaults() {
    let second = Duration::from_secs(1);
    let expected = Config {
        listen: Listen::Loopback { port: 8077 },
        certificates: Vec::new(),
        key: KeySource::None,
        limit: 200,
        history_channel_bytes: 8 << 20,
        history_bytes: 64 << 20,
        max_message: 16 << 20,
        outbox: 1 << 20,
        replay_timeout: 60 * second,
        handshake_timeout: 10 * second,
        header_timeout: 10 * second,
        ping_interval: 24 * second,
        probe_timeout: 5 * second,
        max_sessions: None,
        filelimit: 256,
        rate_limit: None,
        per_ip_limit: NonZeroU32::new(32),
        threads: None,
        peering: Peering {
            peers: Vec::new(),
            file: None,
            url: None,
            url_interval: 300 * second,
            key: KeySource::None,
            open: false,
            ca: None,
            fingerprints: Vec::new(),
            bridges: Vec::new(),
        },
        log_format: LogFormat::Text,
        metrics: None,
    };
    let config = load("", &[]).unwrap();
    assert_eq!(config, expected);
    assert!(config.local_mode());
    assert_eq!(config.warnings(), Vec::<String>::new());
}

#[test]
fn flag_before_variable_before_default() {
    let table = [
        ("", "", 200),
        ("", "3", 3),
        ("--limit 5", "", 5),
        ("-l 5", "3", 5),
        // What a flag replaces is not even read.
        ("--limit 0", "nonsense", 0),
    ];
    for (args, variable, limit) in table {
        assert_eq!(
            load(args, &[("MLES_LIMIT", variable)]).unwrap().limit,
            limit,
            "{args} {variable}"
        );
    }
    let config = load(
        "--listen ::1",
        &[("MLES_LISTEN", "127.0.0.1,127.0.0.2"), ("MLES_PORT", "9")],
    )
    .unwrap();
    assert_eq!(
        config.listen,
        Listen::Addresses(vec!["[::1]:9".parse().unwrap()])
    );
}

/// A setting of each kind, and where its files are said to be named.
fn every_setting(cert: &str, key: &str, key_file: &str, peer: [&str; 4]) -> Config {
    let files = |certificate, private_key| CertificateFiles {
        certificate: NamedFile::new(cert, certificate),
        private_key: NamedFile::new(key, private_key),
    };
    Config {
        listen: Listen::Addresses(vec![
            "10.0.0.1:1".parse().unwrap(),
            "[::]:2".parse().unwrap(),
        ]),
        certificates: vec![files("/c", "/k"), files("/d", "/l")],
        key: KeySource::File(NamedFile::new(key_file, "/f")),
        limit: 3,
        history_channel_bytes: 4,
        history_bytes: 5,
        max_message: 6 << 10,
        outbox: 7 << 20,
        replay_timeout: Duration::from_millis(80),
        handshake_timeout: Duration::from_secs(9),
        header_timeout: Duration::from_secs(10),
        ping_interval: Duration::from_secs(11),
        probe_timeout: Duration::from_secs(12),
        max_sessions: Some(13),
        filelimit: 14,
        rate_limit: NonZeroU32::new(15),
        per_ip_limit: NonZeroU32::new(16),
        log_format: LogFormat::Json,
        threads: Some(17),
        peering: Peering {
            peers: ["wss://a", "wss://[::1]:2"]
                .map(|url| Address::parse(url).unwrap())
                .into(),
            file: Some(NamedFile::new(peer[2], "/o")),
            url: Some(NamedUrl::new(
                peer[3],
                Address::parse_https("https://u/l?m").unwrap(),
            )),
            url_interval: Duration::from_secs(120),
            key: KeySource::File(NamedFile::new(peer[0], "/p")),
            open: false,
            ca: Some(NamedFile::new(peer[1], "/q")),
            fingerprints: vec![[0xab; 32], [0xcd; 32]],
            bridges: vec![Address::parse("wss://b:9").unwrap()],
        },
        metrics: Some("127.0.0.1:18".parse().unwrap()),
    }
}

#[test]
fn every_setting_from_each_place() {
    let args = "--listen 10.0.0.1 --listen [::]:2 --port 1 --tls-cert /c --tls-key /k --tls-cert /d --tls-key /l --key-file /f --limit 3 \
        --history-channel-bytes 4 --history-bytes 5 --max-message 6KiB --outbox 7MiB --replay-timeout 80ms \
        --handshake-timeout 9s --header-timeout 10 --ping-interval 11s --probe-timeout 12s --max-sessions 13 \
        --filelimit 14 --rate-limit 15 --per-ip-limit 16 --threads 17 --log-format json --metrics 18";
    let (ab, cd) = (&"ab".repeat(32), &"CD".repeat(32));
    let args = format!(
        "{args} --peer wss://a --peer wss://[::1]:2 --peers-file /o --peers-url https://u/l?m --peers-url-interval 2m --peer-key-file /p --open-peering=false --peer-ca /q \
         --peer-fingerprint {ab} --peer-fingerprint {cd} --bridge wss://b:9"
    );
    let peer = [
        "--peer-key-file",
        "--peer-ca",
        "--peers-file",
        "--peers-url",
    ];
    let expected = every_setting("--tls-cert", "--tls-key", "--key-file", peer);
    assert_eq!(load(&args, &[]).unwrap(), expected);

    let values = format!(
        "10.0.0.1,[::]:2 1 /c,/d /k,/l /f 3 4 5 6KiB 7MiB 80ms 9s 10 11s 12s 13 14 15 16 17 \
         wss://a,wss://[::1]:2 /o https://u/l?m 120 /p false /q {ab},{cd} wss://b:9 json 18"
    );
    let mut values = values.split(' ');
    let env: Vec<(&str, &str)> = layer::VARIABLES
        .iter()
        .map(|name| (*name, values.next().unwrap()))
        .collect();
    assert_eq!(values.next(), None);
    let peer = [
        "MLES_PEER_KEY_FILE",
        "MLES_PEER_CA",
        "MLES_PEERS_FILE",
        "MLES_PEERS_URL",
    ];
    let expected = every_setting("MLES_TLS_CERT", "MLES_TLS_KEY", "MLES_KEY_FILE", peer);
    assert_eq!(load("", &env).unwrap(), expected);

    let mut values = format!(
        "['10.0.0.1', '[::]:2'] 1 ['/c', '/d'] ['/k', '/l'] '/f' 3 4 5 '6KiB' '7MiB' '80ms' '9s' 10 '11s' '12s' 13 14 15 16 17 \
         ['wss://a', 'wss://[::1]:2'] '/o' 'https://u/l?m' '2m' '/p' false '/q' ['{ab}', '{cd}'] 'wss://b:9' 'json' 18"
    )
        .replace("', '", "','")
        .split(' ')
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter();
    let text: Vec<String> = layer::KEYS
        .iter()
        .map(|key| format!("{key} = {}", values.next().unwrap()))
        .collect();
    assert_eq!(values.next(), None);
    let dir = TestDir::new();
    let path = dir.file("m.toml", text.join("\n")).display().to_string();
    let at = |line, key| format!("{path}:{line}: {key}");
    let peer = [
        &at(25, "peer-key-file")[..],
        &at(27, "peer-ca"),
        &at(22, "peers-file"),
        &at(23, "peers-url"),
    ];
    let expected = every_setting(
        &at(3, "tls-cert"),
        &at(4, "tls-key"),
        &at(5, "key-file"),
        peer,
    );
    assert_eq!(load(&format!("--config {path}"), &[]).unwrap(), expected);
}

#[test]
fn an_own_certificate_opens_the_server() {
    let config = load("--tls-cert c", &[("MLES_TLS_KEY", "k")]).unwrap();
    assert!(!config.local_mode());
    assert_eq!(config.listen, Listen::Everywhere { port: 443 });
    assert_eq!(config.warnings(), Vec::<String>::new());
    assert_eq!(
        load("--tls-cert c --tls-key k -p 0", &[]).unwrap().listen,
        Listen::Everywhere { port: 0 }
    );
}

/// Their paths, and where they are named.
fn pairs(config: &Config) -> Vec<[(&str, &str); 2]> {
    fn named(file: &NamedFile) -> (&str, &str) {
        (file.path.to_str().unwrap(), &file.name)
    }
    let pairs = config.certificates.iter();
    pairs
        .map(|pair| [named(&pair.certificate), named(&pair.private_key)])
        .collect()
}

#[test]
fn several_certificates_in_pairs() {
    let variables = [("MLES_TLS_CERT", "c, d"), ("MLES_TLS_KEY", "k,l")];
    let (cert, key) = ("MLES_TLS_CERT", "MLES_TLS_KEY");
    let config = load("", &variables).unwrap();
    let expected = [[("c", cert), ("k", key)], [("d", cert), ("l", key)]];
    assert_eq!(pairs(&config), expected);
    let (cert, key) = ("--tls-cert", "--tls-key");
    let split = "--tls-cert d --tls-cert c --tls-key l --tls-key k";
    let config = load(split, &variables).unwrap();
    let expected = [[("d", cert), ("l", key)], [("c", cert), ("k", key)]];
    assert_eq!(pairs(&config), expected);
    // An option names one file, whatever its name.
    let config = load("--tls-cert c,d --tls-key k", &[]).unwrap();
    assert_eq!(pairs(&config), [[("c,d", cert), ("k", key)]]);
    for texts in [("c,", "k,l"), ("c,", "k"), (",", "k"), (" ,d", "k,l")] {
        let variables = [("MLES_TLS_CERT", texts.0), ("MLES_TLS_KEY", texts.1)];
        assert_eq!(
            mistakes(load("", &variables)),
            ["MLES_TLS_CERT: the file's name is empty: give one, or leave the setting out"]
        );
    }
}

/// One as it is, or several; what is relative starts from the file's directory.
#[test]
fn certificates_in_the_file() {
    let dir = TestDir::new();
    let text = "tls-key = ['k,1', '/l']\n\ntls-cert = [\n  'c 1',\n  'sub/d',\n]\n";
    // Named like a variable, and yet none.
    let path = dir.file("MLES_m.toml", text).display().to_string();
    let config = load(&format!("--config {path}"), &[]).unwrap();
    let (cert, key) = (format!("{path}:3: tls-cert"), format!("{path}:1: tls-key"));
    let at = |name| dir.path().join(name).display().to_string();
    let (c, d, k) = (at("c 1"), at("sub/d"), at("k,1"));
    let expected = [
        [(&c[..], &cert[..]), (&k[..], &key[..])],
        [(&d[..], &cert[..]), ("/l", &key[..])],
    ];
    assert_eq!(pairs(&config), expected);
    // One by one, over places.
    let text = "tls-cert = 'c 1'\ntls-key = 'none'\n";
    let path = dir.file("m.toml", text).display().to_string();
    let config = load(&format!("--config {path} --tls-key k"), &[]).unwrap();
    let cert = format!("{path}:1: tls-cert");
    assert_eq!(pairs(&config), [[(&c[..], &cert[..]), ("k", "--tls-key")]]);
}

#[test]
fn zero_and_the_maximum_where_they_mean_something() {
    let config = load(
        "-l 0 --history-bytes 0 --rate-limit 0 --per-ip-limit 0 -p 0",
        &[],
    )
    .unwrap();
    assert_eq!(
        (
            config.limit,
            config.history_bytes,
            config.history_channel_bytes
        ),
        (0, 0, 0)
    );
    assert_eq!((config.rate_limit, config.per_ip_limit), (None, None));
    assert_eq!(config.listen, Listen::Loopback { port: 0 });
    let most = "-l 1000000 --history-bytes 1024GiB --history-channel-bytes 1024GiB --max-message 1GiB --outbox 1GiB \
        --replay-timeout 1h --handshake-timeout 1h --header-timeout 1h --ping-interval 1h --probe-timeout 1h \
        --max-sessions 10000000 -f 1000000 --rate-limit 1000000 --per-ip-limit 1000000 -p 65535";
    let config = load(most, &[]).unwrap();
    assert_eq!(
        (config.max_message, config.history_channel_bytes),
        (1 << 30, 1 << 40)
    );
}

#[test]
fn a_small_total_bounds_the_default_of_a_channel() {
    assert_eq!(
        load("--history-bytes 1MiB", &[])
            .unwrap()
            .history_channel_bytes,
        256 << 10
    );
    assert_eq!(
        load("--history-bytes 1GiB", &[])
            .unwrap()
            .history_channel_bytes,
        8 << 20
    );
}

#[test]
fn the_key_comes_from_the_environment_and_stays_hidden() {
    let config = load("", &[("MLES_KEY", "mles-devel-frank")]).unwrap();
    assert_eq!(config.key.read(), Ok(Key::new(b"mles-devel-frank")));
    assert!(!format!("{config:?}").contains("frank"));
}

#[test]
fn help_tells_the_defaults() {
    let exit = load("--help", &[]).unwrap_err();
    let defaults = [
        (
            "--port",
            format!("[default: {LOCAL_PORT}; with --tls-cert {TLS_PORT}]"),
        ),
        ("--limit", format!("[default: {LIMIT}]")),
        (
            "--history-channel-bytes",
            format!("[default: {}, or", units::show_size(HISTORY_CHANNEL_BYTES)),
        ),
        (
            "--history-bytes <",
            format!("[default: {}]", units::show_size(HISTORY_BYTES)),
        ),
        (
            "--max-message",
            format!("[default: {}]", units::show_size(MAX_MESSAGE)),
        ),
        (
            "--outbox",
            format!("[default: {}]", units::show_size(OUTBOX)),
        ),
        (
            "--replay-timeout",
            format!("[default: {}s]", REPLAY_TIMEOUT.as_secs()),
        ),
        (
            "--handshake-timeout",
            format!("[default: {}s]", HANDSHAKE_TIMEOUT.as_secs()),
        ),
        (
            "--header-timeout",
            format!("[default: {}s]", HEADER_TIMEOUT.as_secs()),
        ),
        (
            "--ping-interval",
            format!("[default: {}s]", PING_INTERVAL.as_secs()),
        ),
        (
            "--probe-timeout",
            format!("[default: {}s]", PROBE_TIMEOUT.as_secs()),
        ),
        (
            "--metrics",
            format!("[default port: {METRICS_PORT}; default: none]"),
        ),
        ("--peers-url-interval <", "[default: 5m]".to_owned()),
        ("--filelimit", format!("[default: {FILELIMIT}]")),
        ("--rate-limit", format!("[default: {RATE_LIMIT}]")),
        ("--per-ip-limit", format!("[default: {PER_IP_LIMIT}]")),
        ("--log-format", "[default: text]".to_owned()),
    ];
    for (option, default) in defaults {
        let (_, after) = exit
            .stdout
            .split_once(&format!("{option} ").replace("< ", "<"))
            .unwrap();
        let help = after
            .split("\n  -")
            .next()
            .unwrap()
            .split("\n      --")
            .next()
            .unwrap();
        assert!(
            help.contains(&default),
            "{option} does not say {default}:\n{help}"
        );
    }
}
