//! Files that change in every way, and the days before an end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::config::NamedFile;
use crate::test_dir::TestDir;

/// 2026-01-01.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_454
}

/// The PEM of a certificate for this name until 2026-01-01 and so many days, and of its key.
fn pem(name: &str, days: u32) -> (String, String) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2026, 1, 1) + DAY * days;
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn files(dir: &Path, certificate: &str, key: &str) -> CertificateFiles {
    CertificateFiles {
        certificate: NamedFile::new("--tls-cert", dir.join(certificate)),
        private_key: NamedFile::new("--tls-key", dir.join(key)),
    }
}

/// One pair of files, `CERT` and `KEY`, at 2026-01-01.
struct Bench {
    dir: TestDir,
    certificates: Certificates,
}

impl Bench {
    fn new() -> Bench {
        let dir = TestDir::new();
        put(dir.path(), &pem("a.example", 400));
        let files = files(dir.path(), "CERT", "KEY");
        let (certificates, remarks) = Certificates::own(&[files], start()).unwrap();
        let bench = Bench { dir, certificates };
        // At the start there is nobody else than new connections.
        let all = news(&bench, "2027-02-05 00:00 UTC").replace("new ", "");
        assert_eq!(lines(remarks, bench.dir.path()), [all]);
        bench
    }

    fn look(&mut self, asked: bool) -> Vec<String> {
        let remarks = self.certificates.check(start(), asked);
        lines(remarks, self.dir.path())
    }

    fn shown(&self) -> String {
        fingerprint(self.certificates.shown().all()[0].certificate())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn put(dir: &Path, (certificate, key): &(String, String)) {
    fs::write(dir.join("CERT"), certificate).unwrap();
    fs::write(dir.join("KEY"), key).unwrap();
}

fn lines(remarks: Vec<Remark>, dir: &Path) -> Vec<String> {
    let dir = format!("{}/", dir.display());
    let shown = |remark| match remark {
        Remark::Debug(line) => format!("debug {line}"),
        Remark::Info(line) => format!("info {line}"),
        Remark::Warning(line) => format!("warn {line}"),
    };
    let lines = remarks.into_iter().map(shown);
    lines.map(|line| line.replace(&dir, "")).collect()
}

/// What is said of a new certificate.
fn news(bench: &Bench, ends: &str) -> String {
    format!(
        "info 'CERT': new connections are shown the certificate that ends on {ends}: SHA-256 {}",
        bench.shown()
    )
}

const NONE: [String; 0] = [];
const OTHER_KEY: &str = "warn --tls-key: the key in 'KEY' is not that of the first certificate in 'CERT': \
    give the key that belongs to it, and the server's own certificate first; the certificate before stays in use";
const GOOD: &str = "info 'CERT' is as before, and good: the certificate stays in use";
const NOTHING_NEW: &str = "info nothing new in the certificate files";

#[test]
fn taken_in_as_soon_as_both_files_are_there() {
    let mut bench = Bench::new();
    let first = bench.shown();
    for _ in 0..3 {
        assert_eq!(bench.look(false), NONE);
    }
    assert_eq!(bench.look(true), [NOTHING_NEW]);
    let next = pem("a.example", 500);
    fs::write(bench.path("CERT"), &next.0).unwrap();
    assert_eq!(bench.look(false), [OTHER_KEY]);
    for _ in 0..3 {
        assert_eq!(bench.look(false), NONE, "said already");
    }
    assert_eq!(bench.shown(), first);
    fs::write(bench.path("KEY"), &next.1).unwrap();
    assert_eq!(bench.look(false), [news(&bench, "2027-05-16 00:00 UTC")]);
    assert_ne!(bench.shown(), first);
    assert_eq!(bench.look(false), NONE);
}

#[test]
fn what_is_wrong_is_said_once_and_again_when_asked_or_when_it_changes() {
    let mut bench = Bench::new();
    let first = bench.shown();
    let good = fs::read(bench.path("CERT")).unwrap();
    let damaged = "warn --tls-cert: 'CERT' is a damaged PEM file: get the file again; the certificate before stays in use";
    fs::write(bench.path("CERT"), &good[..200]).unwrap();
    assert_eq!(bench.look(false), [damaged]);
    assert_eq!(bench.look(false), NONE);
    assert_eq!(bench.look(true), [damaged]);
    fs::write(bench.path("CERT"), &good[..300]).unwrap();
    assert_eq!(bench.look(false), [damaged], "another state");
    assert_eq!(bench.look(false), NONE);
    fs::remove_file(bench.path("CERT")).unwrap();
    let missing = bench.look(false);
    assert!(
        missing.len() == 1 && missing[0].contains("can't read 'CERT'"),
        "{missing:?}"
    );
    assert_eq!(bench.look(false), NONE);
    fs::create_dir(bench.path("CERT")).unwrap();
    let directory = bench.look(false);
    assert!(
        directory.len() == 1 && directory[0].contains("directory"),
        "{directory:?}"
    );
    fs::remove_dir(bench.path("CERT")).unwrap();
    fs::write(bench.path("CERT"), &good).unwrap();
    assert_eq!(bench.look(false), [GOOD]);
    assert_eq!(bench.look(false), NONE);
    assert_eq!(bench.shown(), first);
}

#[test]
fn renamed_into_place() {
    let mut bench = Bench::new();
    let next = pem("a.example", 500);
    for (name, text) in [("KEY", &next.1), ("CERT", &next.0)] {
        fs::write(bench.path("new"), text).unwrap();
        fs::rename(bench.path("new"), bench.path(name)).unwrap();
    }
    assert_eq!(bench.look(false), [news(&bench, "2027-05-16 00:00 UTC")]);
}

/// As Let's Encrypt's `live/` has them (a link for each file), and Kubernetes (one link to the directory).
#[test]
fn links_that_are_swapped() {
    let dir = TestDir::new();
    for (number, days) in [("1", 400), ("2", 500), ("3", 600)] {
        fs::create_dir(dir.path().join(number)).unwrap();
        put(&dir.path().join(number), &pem("a.example", days));
    }
    let link = |to: &str, at: &str| {
        let (new, at) = (dir.path().join("new"), dir.path().join(at));
        symlink(to, &new).unwrap();
        fs::rename(new, at).unwrap();
    };
    link("1", "..data");
    link("..data/CERT", "CERT");
    link("..data/KEY", "KEY");
    let files = files(dir.path(), "CERT", "KEY");
    let (mut certificates, _) = Certificates::own(&[files], start()).unwrap();
    let mut look = || lines(certificates.check(start(), false), dir.path());
    assert_eq!(look(), NONE);
    link("2", "..data");
    let said = look();
    assert!(
        said.len() == 1 && said[0].contains("ends on 2027-05-16"),
        "{said:?}"
    );
    assert_eq!(look(), NONE);
    link("3/CERT", "CERT");
    link("3/KEY", "KEY");
    let said = look();
    assert!(
        said.len() == 1 && said[0].contains("ends on 2027-08-24"),
        "{said:?}"
    );
    assert_eq!(look(), NONE);
}

#[test]
fn pairs_are_on_their_own() {
    let dir = TestDir::new();
    let all: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|name| {
            fs::create_dir(dir.path().join(name)).unwrap();
            put(&dir.path().join(name), &pem(name, 400));
            files(&dir.path().join(name), "CERT", "KEY")
        })
        .collect();
    let (mut certificates, _) = Certificates::own(&all, start()).unwrap();
    let shown = |certificates: &Certificates| {
        let all = certificates.shown().all();
        let all = all.iter().map(|one| fingerprint(one.certificate()));
        all.collect::<Vec<_>>()
    };
    let before = shown(&certificates);
    fs::write(dir.path().join("a/KEY"), "").unwrap();
    put(&dir.path().join("b"), &pem("b", 500));
    let said = lines(certificates.check(start(), false), dir.path());
    assert!(
        said.len() == 2 && said[0].contains("'a/KEY'") && said[1].contains("'b/CERT'"),
        "{said:?}"
    );
    let after = shown(&certificates);
    assert!(before[0] == after[0] && before[1] != after[1]);
}

#[test]
fn a_pipe_is_read_once() {
    let dir = TestDir::new();
    let next = pem("a.example", 400);
    put(dir.path(), &next);
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, next.0).unwrap()
    });
    let files = files(dir.path(), "pipe", "KEY");
    let (mut certificates, _) = Certificates::own(&[files], start()).unwrap();
    writer.join().unwrap();
    // Nobody writes: reading it would never end.
    assert_eq!(certificates.check(start(), false), []);
    let said = lines(certificates.check(start(), true), dir.path());
    assert_eq!(said, [NOTHING_NEW]);
}

#[test]
fn told_of_from_fourteen_days_before_the_end_on_and_once_a_day() {
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    let ends = start() + DAY * 20;
    assert!(!is_due(ends - NOTICE - second, ends, None));
    let mut told = None;
    let mut times = Vec::new();
    for hours in 0..20 * 24 {
        let now = ends - NOTICE + hour * hours;
        if is_due(now, ends, told) {
            told = Some(now);
            times.push(hours);
        }
    }
    // Before the end, at it, and after it.
    assert_eq!(times, (0..20).map(|day| day * 24).collect::<Vec<_>>());
    // The clock is set, by a little and by a lot.
    assert!(!is_due(ends - hour, ends, Some(ends)));
    assert!(is_due(ends - DAY, ends, Some(ends)));
    assert!(!is_due(ends - DAY * 100, ends, Some(ends)));
}

#[test]
fn what_is_told_of_an_end() {
    let dir = TestDir::new();
    put(dir.path(), &pem("a.example", 10));
    let files = files(dir.path(), "CERT", "KEY");
    let line = |what: &str| {
        format!(
            "warn 'CERT': the certificate {what}; renew it: new files are taken in without a restart"
        )
    };
    let (mut certificates, remarks) = Certificates::own(&[files], start()).unwrap();
    assert_eq!(
        lines(remarks, dir.path())[1..],
        [line("ends in 10 days, on 2026-01-11 00:00 UTC")]
    );
    let hour = Duration::from_secs(3600);
    let mut look = |time| lines(certificates.check(time, false), dir.path());
    assert_eq!(look(start() + hour * 23), NONE);
    assert_eq!(
        look(start() + hour * 25),
        [line("ends in 8 days, on 2026-01-11 00:00 UTC")]
    );
    assert_eq!(
        look(start() + DAY * 9),
        [line("ends in 1 day, on 2026-01-11 00:00 UTC")]
    );
    assert_eq!(
        look(start() + DAY * 10),
        [line("ends within a day, on 2026-01-11 00:00 UTC")]
    );
    assert_eq!(
        look(start() + DAY * 11),
        [line(
            "has expired, on 2026-01-11 00:00 UTC: clients refuse it"
        )]
    );
    // Renewed, but not for long; then for long.
    put(dir.path(), &pem("a.example", 20));
    let said = look(start() + DAY * 11);
    assert_eq!(
        said[1..],
        [line("ends in 9 days, on 2026-01-21 00:00 UTC")],
        "{said:?}"
    );
    put(dir.path(), &pem("a.example", 400));
    assert_eq!(look(start() + DAY * 12).len(), 1);
    assert_eq!(look(start() + DAY * 13), NONE);
}

#[test]
fn the_local_certificate_is_renewed_while_the_server_runs() {
    let dir = TestDir::new();
    let data = dir.path().to_owned();
    let (mut certificates, remarks) =
        Certificates::local(Some(data), Some("host".into()), start()).unwrap();
    assert_eq!(
        lines(remarks, dir.path()),
        ["info made a certificate (there was none), kept in local.pem"]
    );
    let first = certificates.local_fingerprint().unwrap();
    let mut look = |day, asked| {
        let said = certificates.check(start() + DAY * day, asked);
        let shown = fingerprint(certificates.shown().all()[0].certificate());
        assert_eq!(certificates.local_fingerprint().unwrap(), shown);
        (lines(said, dir.path()), shown)
    };
    assert_eq!(look(335, false), (vec![], first.clone()));
    assert_eq!(
        look(335, true).0,
        [
            "info the certificate made here ends on 2027-01-01 00:00 UTC, and is renewed 30 days before"
        ]
    );
    let (said, second) = look(336, false);
    assert_ne!(first, second);
    assert_eq!(
        said,
        [
            "info made a certificate (the one before ends within 30 days), kept in local.pem"
                .to_owned(),
            format!(
                "info new connections are shown this certificate from now on: SHA-256 {second}"
            ),
        ]
    );
    assert_eq!(look(337, false), (vec![], second));
}

#[test]
fn dates() {
    assert_eq!(date(SystemTime::UNIX_EPOCH), "1970-01-01 00:00 UTC");
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    assert_eq!(date(last), "9999-12-31 23:59 UTC");
}
