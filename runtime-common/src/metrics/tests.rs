//! The text against the rules of its format, by a reader that knows nothing of the writer.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::*;

/// What a scraper makes of a text: the value of each sample, by what stands before it.
type Samples = BTreeMap<String, f64>;

/// Reads a text as the format's description has it (Prometheus, "Exposition formats", text format 0.0.4), more
/// strictly where the format leaves a choice: every family has its two comments, in this order, and its samples
/// follow at once; names keep the conventions.
fn read(text: &str) -> Result<Samples, String> {
    let body = text.strip_suffix('\n').ok_or("the last line has no end")?;
    let mut samples = Samples::new();
    let mut families = BTreeSet::new();
    let mut family = None;
    let mut help = None;
    for line in body.split('\n') {
        let wrong = |what: &str| format!("{what}: {line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            let escapes = words.replace("\\\\", "").replace("\\n", "");
            if words.trim() != words || words.is_empty() || escapes.contains('\\') {
                return Err(wrong("bad help"));
            }
            if !families.insert(name) {
                return Err(wrong("a family twice"));
            }
            help = Some(name);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            if help.take() != Some(name) {
                return Err(wrong("its help is not before it"));
            }
            if !["gauge", "counter"].contains(&kind)
                || (kind == "counter") != name.ends_with("_total")
            {
                return Err(wrong("bad type"));
            }
            if !name.starts_with("mles_") && !name.starts_with("process_") {
                return Err(wrong("whose is it"));
            }
            family = Some((name, kind));
        } else {
            let (name, kind) = family.ok_or_else(|| wrong("a sample of nothing"))?;
            let (series, value) = line.rsplit_once(' ').ok_or_else(|| wrong("no value"))?;
            let after = series.strip_prefix(name);
            let labels = after.ok_or_else(|| wrong("another family's"))?;
            if help.is_some() || !is_name(name) || !are_labels(labels) {
                return Err(wrong("bad sample"));
            }
            let value: f64 = value.parse().map_err(|_| wrong("no number"))?;
            if !value.is_finite() || value < 0.0 && kind == "counter" {
                return Err(wrong("bad value"));
            }
            if samples.insert(series.to_owned(), value).is_some() {
                return Err(wrong("a sample twice"));
            }
        }
    }
    Ok(samples)
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`, without the colons, which are for rules.
fn is_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

/// Nothing, or `{name="value",…}` with `\`, `"` and line feeds escaped, and no name twice.
fn are_labels(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let inner = text.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    let Some(mut rest) = inner else { return false };
    let mut names = BTreeSet::new();
    loop {
        let Some((name, value)) = rest.split_once("=\"") else {
            return false;
        };
        if !is_name(name) || name.starts_with("__") || !names.insert(name) {
            return false;
        }
        let mut bytes = value.bytes().enumerate();
        let end = loop {
            match bytes.next() {
                Some((at, b'"')) => break at,
                Some((_, b'\\')) => match bytes.next() {
                    Some((_, b'\\' | b'"' | b'n')) => {}
                    _ => return false,
                },
                Some(_) => {}
                None => return false,
            }
        };
        match &value[end + 1..] {
            "" => return true,
            more => match more.strip_prefix(',') {
                Some(more) => rest = more,
                None => return false,
            },
        }
    }
}

#[test]
fn the_reader_knows_right_from_wrong() {
    let good = "# HELP mles_a_total A \\\\ b.\n# TYPE mles_a_total counter\n\
        mles_a_total 1\nmles_a_total{b=\"c\",d=\"e\\\"\\\\\\n}\"} 0.5\n";
    assert_eq!(read(good).unwrap().len(), 2);
    for (part, bad) in [
        ("0.5\n", "0.5"),
        ("0.5", "x"),
        ("0.5", "-1"),
        ("0.5", "NaN"),
        ("0.5", "1 1700000000000"),
        ("counter", "gauge"),
        ("counter", "number"),
        ("# TYPE mles_a_total counter\n", ""),
        ("# HELP mles_a_total A \\\\ b.\n", ""),
        ("A \\\\ b.", "A \\ b."),
        ("A \\\\ b.", ""),
        ("mles_a_total 1\n", "mles_a_total 1\nmles_a_total 1\n"),
        ("mles_a_total 1\n", "mles_b_total 1\n"),
        ("mles_a_total 1\n", "\n"),
        ("mles_a_total 1\n", "mles_a_total_bytes 1\n"),
        ("d=", "b="),
        ("d=", "1="),
        ("d=", "="),
        ("\\\"", "\""),
        ("\\n", "\\t"),
        ("\",d", "\"d"),
        ("}\"}", "}\""),
    ] {
        assert_ne!(good.replacen(part, bad, 1), good, "{part} {bad}");
        assert!(
            read(&good.replacen(part, bad, 1)).is_err(),
            "{part} → {bad}"
        );
    }
    assert!(read(&good.replace("mles_", "other_")).is_err());
    assert!(read(&good.repeat(2)).is_err());
}

fn snapshot() -> Snapshot {
    let mut arrivals = Arrivals::default();
    for (count, why) in [
        (1, Refused::Rate),
        (2, Refused::PerIp),
        (3, Refused::NotPending),
        (4, Refused::Sessions),
    ] {
        (0..count).for_each(|_| arrivals.refused(why));
    }
    arrivals.answered(200);
    arrivals.answered(503);
    arrivals.answered(503);
    arrivals.failed();
    Snapshot {
        stats: Stats {
            opening: 5,
            sessions: 6,
            lagging: 7,
            channels: 8,
            history_bytes: 9,
            joins: 10,
            messages: u64::MAX,
            message_bytes: 12,
            lagged: 13,
            violations: 14,
            stale: 15,
            breaches: 16,
            links: 31,
            upstreams: 1,
            hops: 33,
            links_opened: 34,
            link_messages: 35,
            link_accepted: 36,
            link_duplicates: 37,
            link_ignored: 38,
            link_ahead: 39,
            link_sent: 40,
            link_too_big: 41,
            link_dropped: 42,
            link_resyncs: 43,
            link_refusals: 44,
            link_recovered: 45,
            bridge_connections: 46,
            bridge_messages: 47 + 48 + 49,
            bridge_known: 48,
            bridge_repeats: 49,
            bridge_sent: 50,
            bridge_dropped: 51,
        },
        closes: [
            (Closing::Answer, 17),
            (Closing::Violation(Violation::AuthMismatch), 18),
        ]
        .into(),
        arrivals,
        accepted: 19,
        pending: 20,
        threads: vec![21, 22],
        limits: Limits {
            filelimit: 23,
            max_sessions: 24,
            per_ip_limit: NonZeroU32::new(1),
            rate_limit: None,
        },
        history_limit: 25,
        place: None,
        started: Duration::from_millis(1_700_000_000_250),
        uptime: Duration::from_millis(3_600_999),
        process: Some(Process {
            resident: 26,
            cpu: Duration::from_millis(27_010),
        }),
    }
}

#[test]
fn a_text_keeps_the_formats_rules_and_has_every_number() {
    let text = snapshot().exposition();
    let samples = read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for (series, value) in [
        ("process_start_time_seconds", 1_700_000_000.25),
        ("process_cpu_seconds_total", 27.01),
        ("process_resident_memory_bytes", 26.0),
        ("mles_pending_connections", 20.0),
        ("mles_pending_connections_limit", 23.0),
        ("mles_opening_connections", 5.0),
        ("mles_sessions", 6.0),
        ("mles_sessions_limit", 24.0),
        ("mles_lagging_sessions", 7.0),
        ("mles_thread_connections{thread=\"0\"}", 21.0),
        ("mles_thread_connections{thread=\"1\"}", 22.0),
        ("mles_channels", 8.0),
        ("mles_history_bytes", 9.0),
        ("mles_history_limit_bytes", 25.0),
        ("mles_connections_total", 19.0),
        ("mles_refused_connections_total{reason=\"rate_limit\"}", 1.0),
        (
            "mles_refused_connections_total{reason=\"per_ip_limit\"}",
            2.0,
        ),
        ("mles_refused_connections_total{reason=\"filelimit\"}", 3.0),
        (
            "mles_refused_connections_total{reason=\"max_sessions\"}",
            4.0,
        ),
        ("mles_failed_connections_total", 1.0),
        ("mles_http_responses_total{code=\"200\"}", 1.0),
        ("mles_http_responses_total{code=\"404\"}", 0.0),
        ("mles_http_responses_total{code=\"503\"}", 2.0),
        ("mles_joins_total", 10.0),
        ("mles_messages_total", u64::MAX as f64),
        ("mles_message_bytes_total", 12.0),
        ("mles_lagged_sessions_total", 13.0),
        ("mles_closes_total{code=\"1000\",cause=\"client\"}", 17.0),
        (
            "mles_closes_total{code=\"4001\",cause=\"auth_mismatch\"}",
            18.0,
        ),
        (
            "mles_closes_total{code=\"4001\",cause=\"auth_missing\"}",
            0.0,
        ),
        ("mles_links{to=\"upstream\"}", 1.0),
        ("mles_links{to=\"downstream\"}", 30.0),
        ("mles_root_hops", 33.0),
        ("mles_links_opened_total", 34.0),
        (
            "mles_link_received_messages_total{result=\"accepted\"}",
            36.0,
        ),
        (
            "mles_link_received_messages_total{result=\"duplicate\"}",
            37.0,
        ),
        (
            "mles_link_received_messages_total{result=\"not_joined\"}",
            38.0,
        ),
        ("mles_link_received_messages_total{result=\"ahead\"}", 39.0),
        ("mles_link_sent_messages_total", 40.0),
        ("mles_link_omitted_messages_total{reason=\"too_big\"}", 41.0),
        ("mles_link_omitted_messages_total{reason=\"no_room\"}", 42.0),
        ("mles_link_joins_total{result=\"synchronised\"}", 43.0),
        ("mles_link_joins_total{result=\"refused\"}", 44.0),
        ("mles_link_recovered_messages_total", 45.0),
        ("mles_bridge_connections", 46.0),
        (
            "mles_bridge_received_messages_total{result=\"accepted\"}",
            47.0,
        ),
        (
            "mles_bridge_received_messages_total{result=\"known\"}",
            48.0,
        ),
        (
            "mles_bridge_received_messages_total{result=\"repeated\"}",
            49.0,
        ),
        ("mles_bridge_sent_messages_total", 50.0),
        ("mles_bridge_omitted_messages_total", 51.0),
        ("mles_breaches_total", 16.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}\n{text}");
    }
    let version = format!(
        "mles_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(samples.get(&version), Some(&1.0));
    // A cause has a name of its own: with two of the same, a series would be there twice.
    let closes = samples.keys().filter(|it| it.starts_with("mles_closes_"));
    assert_eq!(closes.count(), Violation::ALL.len() + 3);
    assert!(text.len() < 16 * 1024, "{} bytes", text.len());
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut snapshot = snapshot();
    snapshot.process = None;
    let samples = read(&snapshot.exposition()).unwrap();
    let process: Vec<_> = samples.keys().filter(|it| it.starts_with("proc")).collect();
    assert_eq!(process, ["process_start_time_seconds"]);
    assert!(!snapshot.line().contains("resident"));
}

#[test]
fn the_line() {
    assert_eq!(
        snapshot().line(),
        "stats uptime_seconds=3600 threads=2 cpu_seconds=27 resident_bytes=26 pending=20 pending_limit=23 opening=5 \
         sessions=6 sessions_limit=24 lagging=7 channels=8 history_bytes=9 history_limit_bytes=25 accepted=19 joins=10 \
         messages=18446744073709551615 message_bytes=12 lagged=13 violations=14 failed=1 refused_rate_limit=1 \
         refused_per_ip_limit=2 refused_filelimit=3 refused_max_sessions=4 bridge_connections=46 bridge_received=144 \
         bridge_sent=50 bridge_lost=51 breaches=16"
    );
    let mut without = snapshot();
    without.stats.bridge_connections = 0;
    without.stats.bridge_messages = 0;
    without.stats.bridge_sent = 0;
    assert!(!without.line().contains("bridge"));
}

/// Where there may be links, it says how they are.
#[test]
fn the_line_of_a_network() {
    let mut snapshot = snapshot();
    let [node, root] = [NodeId(1), NodeId(2)];
    snapshot.place = Some(Place {
        node,
        upstream: None,
        root,
    });
    let line = snapshot.line();
    let (before, links) = line.split_once(" links=").unwrap();
    assert!(before.ends_with(" refused_max_sessions=4"), "{line}");
    assert_eq!(
        links,
        "31 upstream=1 hops=33 link_received=35 link_duplicates=37 link_recovered=45 link_sent=40 link_lost=83 \
         bridge_connections=46 bridge_received=144 bridge_sent=50 bridge_lost=51 breaches=16"
    );
    let (one, two) = (format!("{node}"), format!("{root}"));
    for (upstream, shown) in [(None, ""), (Some(root), &*two)] {
        snapshot.place = Some(Place {
            node,
            upstream,
            root,
        });
        let series =
            format!("mles_node_info{{node=\"{one}\",upstream=\"{shown}\",root=\"{two}\"}}");
        let samples = read(&snapshot.exposition()).unwrap();
        assert_eq!(samples.get(&series), Some(&1.0), "{series}");
    }
}

#[test]
fn a_process_as_linux_tells_it() {
    let stat = "77 (a ) b (c) S 1 77 77 0 -1 4194304 900 0 12 0 150 50 0 0 20 0 4 0 1234 99999744 2500 \
        18446744073709551615 1 1 0 0 0 0 0 4096 17 0 0 0 17 1 0 0 0 0 0\n";
    let expected = Process {
        resident: 2500 * 4096,
        cpu: Duration::from_secs(2),
    };
    assert_eq!(Process::parse(stat, 4096, 100), Some(expected));
    for bad in ["", ")", "77 (mles) S 1 2", &stat.replace("2500", "x")] {
        assert_eq!(Process::parse(bad, 4096, 100), None, "{bad}");
    }
    assert_eq!(Process::parse(stat, 4096, 0), None);
    #[cfg(target_os = "linux")]
    assert!(Process::read().unwrap().resident > 1 << 20);
}
