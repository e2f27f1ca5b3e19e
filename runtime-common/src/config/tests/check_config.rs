//! `--check-config`: what it prints, and what it finds.

use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// Noon of 2029-12-30.
const NOW: Duration = Duration::from_secs(1_893_326_400);

fn check(args: &str, env: &[(&str, &str)]) -> Exit {
    check_with(args, env, &|_| Vec::new())
}

fn check_with(args: &str, env: &[(&str, &str)], look: &dyn Fn(&Config) -> Vec<Obstacle>) -> Exit {
    let args = format!("mles --check-config {args}");
    let read = Config::read(args.split_whitespace().map(OsString::from), &|name| {
        let value = env.iter().find(|(key, _)| *key == name);
        value.map(|(_, value)| value.into())
    });
    let names = env.iter().map(|(name, _)| OsString::from(name));
    report::check(
        read.unwrap_or_else(|exit| panic!("{}", exit.stderr)),
        names,
        SystemTime::UNIX_EPOCH + NOW,
        look,
    )
}

/// What it says of a setting: value and origin.
fn row(exit: &Exit, key: &str) -> (String, String) {
    let rows = exit.stdout.lines().filter_map(|line| {
        let (name, rest) = line.split_once(' ')?;
        (name == key).then_some(rest)
    });
    let rows: Vec<_> = rows.collect();
    let [row] = rows[..] else {
        panic!("{key} in {}", exit.stdout);
    };
    let (value, origin) = row.rsplit_once(" (").unwrap();
    (
        value.trim().to_owned(),
        origin.strip_suffix(')').unwrap().to_owned(),
    )
}

#[test]
fn every_setting_has_its_line() {
    let exit = check("", &[]);
    assert_eq!((exit.code, &exit.stderr[..]), (0, ""));
    let keys: Vec<&str> = exit
        .stdout
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .filter(|key| !["config", "key", "peer-key"].contains(key))
        .collect();
    assert_eq!(keys, layer::KEYS);
    let table = [
        ("config", "none"),
        ("listen", "127.0.0.1:8077, [::1]:8077"),
        ("tls-cert", "none"),
        ("key", "not set"),
        ("peer", "none"),
        ("peer-key", "not set"),
        ("open-peering", "false"),
        ("limit", "200"),
        ("history-bytes", "64MiB"),
        ("ping-interval", "24s"),
        ("max-sessions", "by descriptors"),
        ("rate-limit", "0"),
        ("log-format", "text"),
    ];
    for (key, value) in table {
        assert_eq!(row(&exit, key), (value.into(), "default".into()));
    }
    let columns = exit.stdout.lines().map(|line| line.find('(').unwrap());
    assert_eq!(
        columns.collect::<std::collections::BTreeSet<_>>().len(),
        1,
        "{}",
        exit.stdout
    );
}

#[test]
fn each_value_says_where_it_comes_from() {
    let dir = TestDir::new();
    let text = "limit = 1\nport = 2\noutbox = 8192\n\nheader-timeout = '90s'\n";
    let path = dir.file("m.toml", text).display().to_string();
    let exit = check(
        "--limit 5",
        &[
            ("MLES_CONFIG", &path),
            ("MLES_PORT", "6"),
            ("MLES_LIMIT", "7"),
            ("MLES_KEY", "hush"),
        ],
    );
    assert_eq!((exit.code, &exit.stderr[..]), (0, ""));
    let table = [
        ("config", path.clone(), "MLES_CONFIG".to_owned()),
        ("limit", "5".to_owned(), "--limit".to_owned()),
        ("port", "6".to_owned(), "MLES_PORT".to_owned()),
        ("outbox", "8KiB".to_owned(), format!("{path}:3")),
        ("header-timeout", "90s".to_owned(), format!("{path}:5")),
        ("key", "set".to_owned(), "MLES_KEY".to_owned()),
    ];
    for (key, value, origin) in table {
        assert_eq!(row(&exit, key), (value, origin));
    }
    assert!(!exit.stdout.contains("hush"));
}

#[test]
fn finds_every_mistake_and_shows_the_values_all_the_same() {
    let dir = TestDir::new();
    let text = "limit = 'x'\ntls-cert = 'c.pem'\ntls-key = 'k.pem'\nkey-file = 'secret'\n";
    let path = dir.file("m.toml", text).display().to_string();
    dir.file("secret", "\n");
    let exit = check(
        &format!("--config {path} --outbox 1"),
        &[("MLES_LIMT", "5")],
    );
    let shown = exit
        .stderr
        .replace(&dir.path().display().to_string(), "DIR");
    assert_eq!(exit.code, 2);
    assert_eq!(
        shown
            .lines()
            .map(|line| line.split(" '").next().unwrap())
            .collect::<Vec<_>>(),
        [
            "warning: unknown environment variable MLES_LIMT: see mles --help",
            "warning: DIR/m.toml:4: key-file: everybody on this machine may read",
            "error: DIR/m.toml:1: limit: a string is no whole number: give one, without quotes, such as 100",
            "error: --outbox: 1 is out of range: give 4KiB to 1GiB",
            "error: DIR/m.toml:4: key-file: the first line of",
            "error: DIR/m.toml:2: tls-cert: can't read",
        ]
    );
    assert_eq!(row(&exit, "limit"), ("?".into(), format!("{path}:1")));
    assert_eq!(row(&exit, "port"), ("443".into(), "default".into()));
}

#[test]
fn files_and_certificates() {
    let dir = TestDir::new();
    let certificate = |year| {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let (good, key) = certificate(4000);
    let (old, old_key) = certificate(2001);
    let (soon, soon_key) = certificate(2030);
    let private = |name, content: &str| {
        let path = dir.file(name, content);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        path.display().to_string()
    };
    let files = [
        ("good", private("good", &good)),
        ("key", private("key", &key)),
        ("old-key", private("old-key", &old_key)),
        ("old", private("old", &old)),
        ("soon-key", private("soon-key", &soon_key)),
        ("soon", private("soon", &soon)),
        ("none", dir.path().join("none").display().to_string()),
        ("secret", private("secret", "hush\n")),
    ];
    let table = [
        ("--tls-cert @good --tls-key @key --key-file @secret", 0, ""),
        (
            "--tls-cert @good --tls-key @old-key",
            2,
            "error: --tls-key: the key in '@old-key' is not that of the first certificate in '@good': give the key that belongs to it, and the server's own certificate first\n",
        ),
        (
            "--tls-cert @old --tls-key @old-key",
            2,
            "error: --tls-cert: '@old': the certificate has expired, on 2001-01-01 00:00 UTC: clients refuse it; renew it\n",
        ),
        // Every pair, and each mistake once.
        (
            "--tls-cert @good --tls-key @key --tls-cert @old --tls-key @old-key --tls-cert @old --tls-key @old-key --tls-cert @soon --tls-key @soon-key",
            2,
            "warning: --tls-cert: '@soon': the certificate ends in 1 day, on 2030-01-01 00:00 UTC; renew it\n\
             error: --tls-cert: '@old': the certificate has expired, on 2001-01-01 00:00 UTC: clients refuse it; renew it\n",
        ),
        (
            "--tls-cert @good --tls-key @key --tls-cert @good --tls-key @none --tls-cert @old --tls-key @none",
            2,
            "error: --tls-key: can't read '@none': No such file or directory (os error 2); check the path and its permissions\n",
        ),
        (
            "--tls-cert @good --tls-key @key --tls-cert @old",
            2,
            "error: --tls-cert and --tls-key don't match, 2 and 1: give one private key for each certificate, in the same order\n",
        ),
        (
            "--key-file @key",
            2,
            "error: --key-file: '@key' is a PEM file: give a file whose first line is the shared key (a private key goes to --tls-key)\n",
        ),
        // Half a pair is told once, and not looked for on the disk.
        (
            "--tls-cert @good",
            2,
            "error: --tls-cert needs the private key too: add --tls-key FILE\n",
        ),
        (
            "--listen 0.0.0.0",
            0,
            "warning: 0.0.0.0:8077: other machines can connect, but the certificate was made for this one and nobody else trusts it; for others give --tls-cert and --tls-key; without a shared key (MLES_KEY or --key-file) whoever connects may join\n",
        ),
    ];
    for (args, code, expected) in table {
        let args = args.split(' ').map(|arg| {
            let file = files
                .iter()
                .find(|(name, _)| arg.strip_prefix('@') == Some(name));
            file.map_or(arg, |(_, path)| path)
        });
        let exit = check(&args.collect::<Vec<_>>().join(" "), &[]);
        let stderr = exit
            .stderr
            .replace(&format!("{}/", dir.path().display()), "@");
        assert_eq!((exit.code, &stderr[..]), (code, expected));
        assert!(!exit.stdout.contains("hush"));
    }
}

/// What the settings of peers come to: a line for each peer, and for each thing that holds for all.
#[test]
fn what_peers_come_to() {
    let dir = TestDir::new();
    let pem = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = |name, content: &str| {
        let path = dir.file(name, content);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    };
    private("one.pem", &pem.cert.pem());
    private("two.pem", &pem.cert.pem().repeat(2));
    private("key", "hush\n");
    private(
        "list",
        "# ours\nwss://two.example:8077\n\nwss://one.example\n",
    );
    private("bad", "wss://two.example\nws://three.example\nfour\n");
    let (ab, cd) = ("ab".repeat(32), "cd".repeat(32));
    let known = "good if its certificate";
    let authority = format!("{known} is of an authority that this machine trusts, and is for");
    let no_key = "peer key: not set: only servers with --open-peering take this one as a peer";
    let refused = "peers that connect: refused, there is no peer key";
    let by_key = "peers that connect: accepted if they know the peer key";
    // Arguments, environment, what stands below the values, what the other lines begin with.
    type Case<'a> = (
        String,
        &'a [(&'a str, &'a str)],
        &'a [String],
        &'a [&'a str],
    );
    let table: [Case<'_>; 7] = [
        (String::new(), &[], &[], &[]),
        (
            format!("--bridge wss://older.example --peer-fingerprint {ab}"),
            &[],
            &[format!(
                "bridge to wss://older.example:443 (--bridge): {known} has the fingerprint of --peer-fingerprint, or is of an \
                 authority that this machine trusts, and is for 'older.example'"
            )],
            &[],
        ),
        (
            "--peer wss://one.example --peer wss://[::1]:1".into(),
            &[],
            &[
                format!("peer wss://one.example:443 (--peer): {authority} 'one.example'"),
                format!("peer wss://[::1]:1 (--peer): {authority} '::1'"),
                no_key.into(),
                refused.into(),
            ],
            &[],
        ),
        (
            format!("--peers-file @list --peer-fingerprint {ab}"),
            &[("MLES_PEER", "wss://one.example"), ("MLES_PEER_KEY", "hush")],
            &[
                format!("peer wss://one.example:443 (MLES_PEER): {known} has the fingerprint of --peer-fingerprint"),
                format!("peer wss://two.example:8077 ('@list', line 2): {known} has the fingerprint of --peer-fingerprint"),
                "peer key: set (MLES_PEER_KEY)".into(),
                by_key.into(),
            ],
            &[],
        ),
        (
            format!(
                "--peer wss://one.example --peer-ca @two.pem --peer-fingerprint {ab} --peer-fingerprint {cd} --peer-key-file @key"
            ),
            &[],
            &[
                format!(
                    "peer wss://one.example:443 (--peer): {known} is one of the 2 in '@two.pem' or signed with one of them, \
                     and is for 'one.example' (--peer-ca), or has one of the 2 fingerprints of --peer-fingerprint"
                ),
                "peer key: the first line of '@key'".into(),
                by_key.into(),
            ],
            &[],
        ),
        (
            "--peers-url https://lists.example/a?hush --open-peering --peer-ca @one.pem".into(),
            &[],
            &[
                "peers of https://lists.example:443/a?… (--peers-url): fetched only when the server runs, and then every 5m; they \
                 come behind all others"
                    .into(),
                no_key.into(),
                "peers that connect: accepted, whoever they are (--open-peering)".into(),
            ],
            &["warning: --open-peering: "],
        ),
        (
            "--peers-file @bad".into(),
            &[],
            &[
                format!("peer wss://two.example:443 ('@bad', line 1): {authority} 'two.example'"),
                no_key.into(),
                refused.into(),
            ],
            &[
                "error: --peers-file: '@bad', line 2: 'ws://three.example': Mles",
                "error: --peers-file: '@bad', line 3: 'four': not a WebSocket address",
            ],
        ),
    ];
    let at = format!("{}/", dir.path().display());
    for (args, env, lines, told) in table {
        let exit = check(&args.replace('@', &at), env);
        let (stdout, stderr) = (exit.stdout.replace(&at, "@"), exit.stderr.replace(&at, "@"));
        let (_, below) = stdout.split_once("\n\n").unwrap_or_default();
        assert_eq!(below.lines().collect::<Vec<_>>(), lines, "{args}");
        assert_eq!(stderr.lines().count(), told.len(), "{stderr}");
        for (line, told) in stderr.lines().zip(told) {
            assert!(line.starts_with(told), "{line}");
        }
        assert_eq!(exit.code == 2, stderr.contains("error: "));
        assert!(!stdout.contains("hush"), "{stdout}");
    }
}

/// Relative names start from the file's directory, others are as they are.
#[test]
fn names_of_files_in_the_file() {
    let dir = TestDir::new();
    let text = "tls-cert = ['sub/c.pem', 'd.pem']\ntls-key = ['/k.pem', '/l.pem']\n";
    let path = dir.file("m.toml", text).display().to_string();
    let exit = check(&format!("--config {path}"), &[("MLES_KEY_FILE", "f")]);
    let at = |name| dir.path().join(name).display().to_string();
    let expected = format!("{}, {}", at("sub/c.pem"), at("d.pem"));
    assert_eq!(row(&exit, "tls-cert"), (expected, format!("{path}:1")));
    assert_eq!(row(&exit, "tls-key").0, "/k.pem, /l.pem");
    assert_eq!(row(&exit, "key-file").0, "f");
    assert_eq!(row(&exit, "key"), ("set".into(), "key-file".into()));
}

/// Each says where the setting was written. A port in use is no mistake; and where there is one in the settings,
/// the addresses are not looked at.
#[test]
fn addresses() {
    let obstacle = |key, expected| Obstacle {
        key,
        what: format!("{key} can't be"),
        expected,
    };
    let in_use = |_: &Config| vec![obstacle("port", true)];
    let impossible = |_: &Config| vec![obstacle("listen", false), obstacle("metrics", false)];
    let dir = TestDir::new();
    let path = dir.file("m.toml", "listen = '::1'\n").display().to_string();
    let file = format!("--config {path}");
    let in_file = format!(
        "error: {path}:1: listen: listen can't be\nerror: MLES_METRICS: metrics can't be\n"
    );
    let both = "error: listen (default): listen can't be\nerror: --metrics: metrics can't be\n";
    type Look<'a> = &'a dyn Fn(&Config) -> Vec<Obstacle>;
    let table: [(&str, &[_], Look<'_>, u8, &str); 5] = [
        ("", &[], &in_use, 0, "note: port (default): port can't be\n"),
        ("-p 1", &[], &in_use, 0, "note: --port: port can't be\n"),
        ("--metrics 1", &[], &impossible, 2, both),
        (&file, &[("MLES_METRICS", "1")], &impossible, 2, &in_file),
        (
            "-p x",
            &[],
            &impossible,
            2,
            "error: --port: 'x' is not a whole number: give 0 to 65535\n",
        ),
    ];
    for (args, env, look, code, stderr) in table {
        let exit = check_with(args, env, look);
        assert_eq!((exit.code, &exit.stderr[..]), (code, stderr), "{args}");
    }
}
