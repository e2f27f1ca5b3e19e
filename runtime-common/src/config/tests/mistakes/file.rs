//! Mistakes that stand in the configuration file.

use super::Case;

pub(super) const TABLE: &[Case] = &[
    // The file: values.
    (
        "--config FILE",
        &[],
        "port = 70000",
        "FILE:1: port: 70000 is out of range: give 0 to 65535",
    ),
    (
        "--config FILE",
        &[],
        "\n\nlimit = -1",
        "FILE:3: limit: '-1' is not a whole number: give 0 to 1000000",
    ),
    (
        "--config FILE",
        &[],
        "limit = 99999999999999999999999",
        "FILE:1: limit: 99999999999999999999999 is out of range: give 0 to 1000000",
    ),
    (
        "--config FILE",
        &[],
        "outbox = '8MB'",
        "FILE:1: outbox: '8MB' is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 8MiB",
    ),
    (
        "--config FILE",
        &[],
        "probe-timeout = '2h'",
        "FILE:1: probe-timeout: 2h is out of range: give 10ms to 1h",
    ),
    (
        "--config FILE",
        &[],
        "log-format = 'xml'",
        "FILE:1: log-format: 'xml' is no log format: give text or json",
    ),
    (
        "--config FILE",
        &[],
        "listen = ['::1',\n 'localhost']",
        "FILE:1: listen: 'localhost' is not an address: give IP or IP:PORT, such as 127.0.0.1, 0.0.0.0:8077 or [::1]:8077",
    ),
    (
        "--config FILE",
        &[],
        "tls-key = 'k'",
        "FILE:1: tls-key needs the certificate too: add tls-cert = \"FILE\"",
    ),
    (
        "--config FILE",
        &[],
        "tls-key = 'k'\ntls-cert = ''",
        "FILE:2: tls-cert: the file's name is empty: give one, or leave the setting out",
    ),
    (
        "--config FILE",
        &[("MLES_KEY", "s")],
        "key-file = 'f'",
        "MLES_KEY and FILE:1: key-file are both given: keep one of them",
    ),
    (
        "--config FILE",
        &[],
        "outbox = \"a\\nb\\u001b\"",
        "FILE:1: outbox: 'a\\nb\\u{1b}' is not a size: give bytes, or a whole number with KiB, MiB or GiB, such as 8MiB",
    ),
    (
        "--config FILE",
        &[],
        "tls-cert = ['c', 'd']",
        "FILE:1: tls-cert needs the private key too: add tls-key = \"FILE\"",
    ),
    (
        "--config FILE",
        &[],
        "tls-cert = ['c', 'd']\ntls-key = 'k'",
        "FILE:1: tls-cert and FILE:2: tls-key don't match, 2 and 1: give one private key for each certificate, in the same order",
    ),
    (
        "--config FILE",
        &[],
        "tls-cert = ['c', '']\ntls-key = 'k'",
        "FILE:1: tls-cert: the file's name is empty: give one, or leave the setting out",
    ),
    // The file: kinds of values.
    (
        "--config FILE",
        &[],
        "tls-cert = ['c', 1]\ntls-key = ['k', 'l']",
        "FILE:1: tls-cert: an array with an integer is no file's name: give a string in quotes, or an array of such",
    ),
    (
        "--config FILE",
        &[],
        "tls-cert = true\ntls-key = 'k'",
        "FILE:1: tls-cert: a boolean is no file's name: give a string in quotes, or an array of such",
    ),
    (
        "--config FILE",
        &[],
        "tls-cert = []",
        "FILE:1: tls-cert: an empty array: give at least one, or leave tls-cert out",
    ),
    (
        "--config FILE",
        &[],
        "key-file = ['f']",
        "FILE:1: key-file: an array is no file's name: give a string in quotes",
    ),
    (
        "--config FILE",
        &[],
        "limit = '200'",
        "FILE:1: limit: a string is no whole number: give one, without quotes, such as 100",
    ),
    (
        "--config FILE",
        &[],
        "limit = 1.5",
        "FILE:1: limit: a float is no whole number: give one, without quotes, such as 100",
    ),
    (
        "--config FILE",
        &[],
        "max-sessions = [1]",
        "FILE:1: max-sessions: an array with an integer is no whole number: give one, without quotes, such as 100",
    ),
    (
        "--config FILE",
        &[],
        "outbox = true",
        "FILE:1: outbox: a boolean is no size: give bytes, or a string such as \"8MiB\"",
    ),
    (
        "--config FILE",
        &[],
        "history-channel-bytes = 1e6",
        "FILE:1: history-channel-bytes: a float is no size: give bytes, or a string such as \"8MiB\"",
    ),
    (
        "--config FILE",
        &[],
        "header-timeout = 00:00:10",
        "FILE:1: header-timeout: a date is no duration: give seconds, or a string such as \"10s\"",
    ),
    (
        "--config FILE",
        &[],
        "key-file = 5",
        "FILE:1: key-file: an integer is no file's name: give a string in quotes",
    ),
    (
        "--config FILE",
        &[],
        "log-format = false",
        "FILE:1: log-format: a boolean is no text: give a string in quotes",
    ),
    (
        "--config FILE",
        &[],
        "listen = 8077",
        "FILE:1: listen: an integer is no address: give a string such as \"127.0.0.1\", or an array of such",
    ),
    (
        "--config FILE",
        &[],
        "listen = ['::1', 5]",
        "FILE:1: listen: an array with an integer is no address: give a string such as \"127.0.0.1\", or an array of such",
    ),
    (
        "--config FILE",
        &[],
        "listen = []",
        "FILE:1: listen: an empty array: give at least one, or leave listen out",
    ),
    (
        "--config FILE",
        &[],
        "[limit]\nn = 5",
        "FILE:1: limit: a table is no whole number: give one, without quotes, such as 100",
    ),
    // The file: keys.
    (
        "--config FILE",
        &[],
        "limt = 5",
        "FILE:1: limt: no such setting; the nearest is limit",
    ),
    (
        "--config FILE",
        &[],
        "history_bytes = 5",
        "FILE:1: history_bytes: no such setting; the nearest is history-bytes",
    ),
    (
        "--config FILE",
        &[],
        "zzz = 5",
        "FILE:1: zzz: no such setting; mles --help lists them, and the key of --limit is limit",
    ),
    (
        "--config FILE",
        &[],
        "\"a\\nb\" = 5",
        "FILE:1: a\\nb: no such setting; mles --help lists them, and the key of --limit is limit",
    ),
    (
        "--config FILE",
        &[],
        "[server]\nlimit = 5",
        "FILE:1: server: there are no sections or dotted keys: write each setting as KEY = VALUE, such as limit = 200",
    ),
    (
        "--config FILE",
        &[],
        "domains = ['example.org']",
        "FILE:1: domains: not supported yet; leave out, and give your own certificate with --tls-cert and --tls-key",
    ),
    (
        "--config FILE",
        &[],
        "config = 'other.toml'",
        "FILE:1: config: an option, and nothing for the file: give --config",
    ),
    (
        "--config FILE",
        &[],
        "limit = 5\nport = 1\nlimit = 5",
        "FILE:3: limit: given twice, first in line 1: leave one out",
    ),
    // The file: secrets.
    (
        "--config FILE",
        &[],
        "key = 'hush'",
        "FILE:1: key: the secret does not belong here: put it on the first line of a file of its own and name that with key-file, or set MLES_KEY",
    ),
    (
        "--config FILE",
        &[],
        "\n key=hush",
        "FILE:2: key: the secret does not belong here: put it on the first line of a file of its own and name that with key-file, or set MLES_KEY",
    ),
    (
        "--config FILE",
        &[],
        "key_fil = 'hush'",
        "FILE:1: key_fil: no such setting; the nearest is key-file",
    ),
    // The file: syntax.
    (
        "--config FILE",
        &[],
        "limit = 5\noutbox = 8MiB",
        "FILE:2: outbox: no value of TOML: put text in quotes, such as \"8MiB\"; only numbers stand without",
    ),
    (
        "--config FILE",
        &[],
        "port 80",
        "FILE:1: port: not TOML (key with no value, expected `=`): write KEY = VALUE, such as limit = 200",
    ),
    (
        "--config FILE",
        &[],
        "port: 80",
        "FILE:1: port: not TOML (key with no value, expected `=`): write KEY = VALUE, such as limit = 200",
    ),
    (
        "--config FILE",
        &[],
        "limit = 007",
        "FILE:1: limit: not TOML (unexpected leading zero): write KEY = VALUE, such as limit = 200",
    ),
    (
        "--config FILE",
        &[],
        "limit = 5,",
        "FILE:1: limit: not TOML (unexpected key or value, expected newline, `#`): write KEY = VALUE, such as limit = 200",
    ),
    (
        "--config FILE",
        &[],
        "key-file = 'f",
        "FILE:1: key-file: not TOML (invalid literal string, expected `'`): write KEY = VALUE, such as limit = 200",
    ),
    (
        "--config FILE",
        &[],
        "# fine\n<limit>5</limit>",
        "FILE:2: not TOML (key with no value, expected `=`): write KEY = VALUE, such as limit = 200",
    ),
];
