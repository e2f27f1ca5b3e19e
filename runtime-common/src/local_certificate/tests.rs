//! Made, kept, renewed, replaced; in every directory that may be there.

use super::*;
use crate::test_dir::TestDir;
use crate::tls::fingerprint;

/// 2026-01-01.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_454
}

fn get(directory: &Path, day: u32, host: &str) -> (String, Origin) {
    let (identity, origin) =
        local_certificate(Some(directory), start() + DAY * day, Some(host)).unwrap();
    assert_eq!(identity.warnings(), [] as [String; 0]);
    (fingerprint(identity.certificate()), origin)
}

fn made(path: &Path, why: &str) -> Origin {
    Origin::Made {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

#[test]
fn made_once_kept_and_renewed_in_time() {
    let dir = TestDir::new();
    let data = dir.path().join("share/mles");
    let path = data.join("local.pem");
    let (first, origin) = get(&data, 0, "host");
    assert_eq!(origin, made(&path, "there was none"));
    for day in [0, 1, 334] {
        assert_eq!(
            get(&data, day, "host"),
            (first.clone(), Origin::Kept(path.clone())),
            "day {day}"
        );
    }
    // The last second counts: valid up to and including day 365.
    let (second, origin) = get(&data, 336, "host");
    assert_eq!(origin, made(&path, "the one before ends within 30 days"));
    assert_ne!(first, second);
    assert_eq!(
        get(&data, 337, "host"),
        (second, Origin::Kept(path.clone()))
    );

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&path)), (0o700, 0o600));
    assert_eq!(
        fs::read_dir(&data).unwrap().count(),
        1,
        "a temporary file was left"
    );
}

#[test]
fn serves_every_name_from_yesterday_on() {
    let (identity, _) = local_certificate(None, start(), Some("Build-7.Example.org.")).unwrap();
    let texts = ["localhost", "127.0.0.1", "::1", "build-7.example.org"];
    let names = texts.map(|name| ServerName::try_from(name).unwrap());
    let certificate = identity.certificate();
    assert_eq!(verify(certificate, &names, start() - DAY), Ok(()));
    assert_eq!(verify(certificate, &names, start() + DAY * 335), Ok(()));
    assert!(verify(certificate, &names, start() - DAY * 2).is_err());
    assert!(
        verify(
            certificate,
            &[ServerName::try_from("other").unwrap()],
            start()
        )
        .is_err()
    );
}

#[test]
fn made_anew_where_it_does_not_serve() {
    let dir = TestDir::new();
    let path = dir.path().join("local.pem");
    get(dir.path(), 100, "host");
    let why = |day, host| match get(dir.path(), day, host).1 {
        Origin::Made { why, .. } => why,
        other @ (Origin::Kept(_) | Origin::InMemory(_)) => panic!("{other:?}"),
    };
    let unfit = why(100, "renamed");
    assert!(
        unfit.starts_with("the one before is unfit: ") && unfit.contains("renamed"),
        "{unfit}"
    );
    let early = why(50, "renamed");
    assert!(
        early.starts_with("the one before is unfit: ") && early.contains("not valid yet"),
        "{early}"
    );
    let late = why(600, "renamed");
    assert!(
        late.starts_with("the one before is unfit: ") && late.contains("expired"),
        "{late}"
    );

    let good = fs::read_to_string(&path).unwrap();
    let other = {
        let dir = TestDir::new();
        get(dir.path(), 600, "renamed");
        fs::read_to_string(dir.path().join("local.pem")).unwrap()
    };
    let key_at = good.find("-----BEGIN PRIVATE KEY-----").unwrap();
    let other_key = &other[other.find("-----BEGIN PRIVATE KEY-----").unwrap()..];
    let mixed = format!("{}{other_key}", &good[..key_at]);
    let no_key = &good[..key_at];
    let cut = &good[..good.len() / 2];
    for damaged in ["", "garbage", no_key, cut, &mixed] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(
            why(600, "renamed"),
            "the one before is damaged",
            "{damaged}"
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(
        why(600, "renamed"),
        "others could read the private key of the one before"
    );
    assert_eq!(get(dir.path(), 600, "renamed").1, Origin::Kept(path));
}

#[test]
fn a_host_name_that_is_no_dns_name_is_left_out() {
    for host in [
        "",
        "two words",
        "-dash",
        "a..b",
        "löcal",
        "10.0.0.1",
        "localhost",
        "LOCALHOST.",
        "[::1]",
    ] {
        assert_eq!(names(Some(host)), names(None), "{host}");
    }
    assert_eq!(names(None).len(), 3);
    // Whatever passes as a name must also be one to the verifier, or a new one were made at each start.
    for host in ["4db76d36", "a_b", "x--y", "a.b.c", "UPPER", "1234"] {
        let dir = TestDir::new();
        let (first, _) = get(dir.path(), 0, host);
        assert_eq!(
            get(dir.path(), 0, host),
            (first, Origin::Kept(dir.path().join("local.pem"))),
            "{host}"
        );
    }
}

#[test]
fn in_memory_where_it_cannot_be_kept() {
    let (_, origin) = local_certificate(None, start(), None).unwrap();
    assert_eq!(
        origin,
        Origin::InMemory("neither XDG_DATA_HOME nor HOME is set".into())
    );
    // A path below a regular file: even root can't make a directory there.
    let dir = TestDir::new();
    let below = dir.file("regular", "").join("mles");
    let (_, origin) = get(&below, 0, "host");
    let path = below.join("local.pem");
    let cause = "Not a directory (os error 20)";
    assert_eq!(
        origin,
        Origin::InMemory(format!("it can't be kept in '{}': {cause}", path.display()))
    );
    // The name is taken by a directory: no temporary file is left.
    let data = dir.path().join("data");
    fs::create_dir_all(data.join("local.pem")).unwrap();
    let (_, origin) = get(&data, 0, "host");
    let cause = "Is a directory (os error 21)";
    let path = data.join("local.pem");
    assert_eq!(
        origin,
        Origin::InMemory(format!("it can't be kept in '{}': {cause}", path.display()))
    );
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

#[test]
fn servers_that_start_at_once_never_mix_pairs() {
    let dir = TestDir::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| get(dir.path(), 0, "host"));
        }
    });
    assert_eq!(
        get(dir.path(), 0, "host").1,
        Origin::Kept(dir.path().join("local.pem"))
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn data_directories() {
    let table = [
        (Some("/x"), Some("/home/a"), Some("/x/mles")),
        (
            Some("relative"),
            Some("/home/a"),
            Some("/home/a/.local/share/mles"),
        ),
        (Some(""), Some("/home/a"), Some("/home/a/.local/share/mles")),
        (None, Some("/home/a"), Some("/home/a/.local/share/mles")),
        (None, Some(""), None),
        (None, None, None),
    ];
    for (data, home, expected) in table {
        let env = |name: &str| match name {
            "XDG_DATA_HOME" => data.map(OsString::from),
            "HOME" => home.map(OsString::from),
            other => panic!("{other} was asked for"),
        };
        assert_eq!(data_directory(&env), expected.map(PathBuf::from));
    }
}

#[test]
fn this_machine_has_a_name() {
    assert!(host_name().is_some());
}
