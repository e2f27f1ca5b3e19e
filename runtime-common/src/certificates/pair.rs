//! A certificate and its private key, in two files that may change at any time.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::CertificateFiles;
use crate::tls::{Identity, fingerprint, load_identity};

use super::{Remark, date, ending, is_due};

/// A pair of files, and what is in use of it.
#[derive(Debug)]
pub(super) struct Pair {
    files: CertificateFiles,
    identity: Identity,
    seen: Seen,
    /// What is wrong with the files that were seen last.
    trouble: Option<String>,
    /// When its end was told of.
    told: Option<SystemTime>,
}

impl Pair {
    /// # Errors
    /// One line that says what to do: the files can't be used.
    pub(super) fn load(
        files: CertificateFiles,
        now: SystemTime,
        remarks: &mut Vec<Remark>,
    ) -> Result<Pair, String> {
        let (seen, loaded) = read(&files, now);
        let mut pair = Pair {
            files,
            identity: loaded?,
            seen,
            trouble: None,
            told: None,
        };
        // What --fingerprint takes, and what is there to compare with after a renewal.
        remarks.push(Remark::Info(pair.news("connections")));
        remarks.extend(pair.warnings());
        remarks.extend(pair.expiry(now));
        Ok(pair)
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads the files again, if there is a reason to. Says whether there is something else in use now.
    pub(super) fn check(
        &mut self,
        now: SystemTime,
        asked: bool,
        remarks: &mut Vec<Remark>,
    ) -> bool {
        let stamps = Stamps::of(&self.files);
        let unchanged = stamps == self.seen.stamps && self.seen.for_good && self.trouble.is_none();
        if stamps.once_only() || unchanged && !asked {
            return false;
        }
        let before = self.seen;
        let loaded;
        (self.seen, loaded) = read(&self.files, now);
        let shown = self.files.certificate.path.display();
        match loaded {
            Err(line) => {
                let known = self.seen.stamps == before.stamps
                    && self
                        .trouble
                        .as_ref()
                        .is_some_and(|trouble| *trouble == line);
                if asked || !known {
                    remarks.push(Remark::Warning(format!(
                        "{line}; the certificate before stays in use"
                    )));
                }
                self.trouble = Some(line);
                false
            }
            Ok(identity) if identity.shows_the_same(&self.identity) => {
                if self.trouble.take().is_some() {
                    remarks.push(Remark::Info(format!(
                        "'{shown}' is as before, and good: the certificate stays in use"
                    )));
                }
                false
            }
            Ok(identity) => {
                self.identity = identity;
                remarks.push(Remark::Info(self.news("new connections")));
                self.trouble = None;
                self.told = None;
                remarks.extend(self.warnings());
                true
            }
        }
    }

    /// What these connections are shown.
    fn news(&self, connections: &str) -> String {
        format!(
            "'{}': {connections} are shown the certificate that ends on {}: SHA-256 {}",
            self.files.certificate.path.display(),
            date(self.identity.ends()),
            fingerprint(self.identity.certificate())
        )
    }

    fn warnings(&self) -> impl Iterator<Item = Remark> {
        let shown = self.files.certificate.path.display();
        let lines = self.identity.warnings().iter();
        lines.map(move |line| Remark::Warning(format!("'{shown}': {line}")))
    }

    /// What there is to say now about the end of the certificate in use.
    pub(super) fn expiry(&mut self, now: SystemTime) -> Option<Remark> {
        let ends = self.identity.ends();
        if !is_due(now, ends, self.told) {
            return None;
        }
        self.told = Some(now);
        let (shown, state) = (self.files.certificate.path.display(), ending(ends, now)?);
        Some(Remark::Warning(format!(
            "'{shown}': the certificate {state}; renew it: new files are taken in without a restart"
        )))
    }
}

/// What was known of the files when they were read.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stamps: Stamps,
    /// The files were quiet: a change after that shows in the stamps, however coarse their clock is.
    for_good: bool,
}

/// Reads both files, once more if one changes meanwhile: they may be replaced one after the other, or by a link
/// that both are behind.
fn read(files: &CertificateFiles, now: SystemTime) -> (Seen, Result<Identity, String>) {
    let mut stamps = Stamps::of(files);
    let mut tries = 1;
    loop {
        let loaded = load_identity(&files.certificate, &files.private_key, now);
        let after = Stamps::of(files);
        if after == stamps || tries == TRIES {
            let for_good = stamps.0.iter().all(|stamp| stamp.is_quiet(now));
            return (Seen { stamps, for_good }, loaded);
        }
        stamps = after;
        tries += 1;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamps([Stamp; 2]);

impl Stamps {
    fn of(files: &CertificateFiles) -> Stamps {
        Stamps([&files.certificate, &files.private_key].map(|file| Stamp::of(&file.path)))
    }

    /// Whether one of the files was there to be read at the start only.
    fn once_only(&self) -> bool {
        self.0.contains(&Stamp::Pipe)
    }
}

/// What tells one state of a file from another without reading it. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Missing,
    /// A pipe or the like, which gives its content once, and might have us wait for it the next time.
    Pipe,
    File {
        device: u64,
        inode: u64,
        size: u64,
        modified: (i64, i64),
        /// The time of the last change to the file or its permissions, which nobody can set.
        changed: (i64, i64),
    },
}

impl Stamp {
    fn of(path: &Path) -> Stamp {
        match fs::metadata(path) {
            Err(_) => Stamp::Missing,
            Ok(it) if it.is_file() || it.is_dir() => Stamp::File {
                device: it.dev(),
                inode: it.ino(),
                size: it.size(),
                modified: (it.mtime(), it.mtime_nsec()),
                changed: (it.ctime(), it.ctime_nsec()),
            },
            Ok(_) => Stamp::Pipe,
        }
    }

    /// Whether the file has not changed for a while.
    fn is_quiet(&self, now: SystemTime) -> bool {
        match self {
            Stamp::Missing | Stamp::Pipe => true,
            Stamp::File { changed, .. } => {
                let since = Duration::from_secs(u64::try_from(changed.0).unwrap_or(0));
                now.duration_since(UNIX_EPOCH + since)
                    .is_ok_and(|age| age > QUIET)
            }
        }
    }
}

/// How often a pair is read that changes while it is read.
const TRIES: u32 = 3;

/// Longer than the clock of any file system is coarse.
const QUIET: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::config::NamedFile;
    use crate::test_dir::TestDir;

    fn pair(dir: &TestDir, now: SystemTime) -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let files = CertificateFiles {
            certificate: NamedFile::new("--tls-cert", dir.file("CERT", certificate)),
            private_key: NamedFile::new("--tls-key", dir.file("KEY", key.serialize_pem())),
        };
        Pair::load(files, now, &mut Vec::new()).unwrap()
    }

    #[test]
    fn what_changed_a_moment_ago_is_read_once_more() {
        let dir = TestDir::new();
        let now = SystemTime::now();
        let mut pair = pair(&dir, now);
        // The next change may be within the same tick of the file system's clock.
        assert!(!pair.seen.for_good);
        assert!(!pair.check(now + QUIET * 2, false, &mut Vec::new()));
        assert!(pair.seen.for_good);
    }

    #[test]
    fn what_could_not_be_read_is_tried_again_although_nothing_changes() {
        let dir = TestDir::new();
        let later = SystemTime::now() + QUIET * 2;
        let mut pair = pair(&dir, later);
        assert!(pair.seen.for_good);
        pair.trouble = Some("for want of descriptors".to_owned());
        let mut remarks = Vec::new();
        assert!(!pair.check(later, false, &mut remarks));
        assert!(matches!(&remarks[..], [Remark::Info(_)]), "{remarks:?}");
        assert_eq!(pair.trouble, None);
    }

    #[test]
    fn permissions_and_other_content_of_the_same_size_are_changes() {
        let dir = TestDir::new();
        let path = dir.file("KEY", "one");
        let change = |change: &dyn Fn()| {
            let before = Stamp::of(&path);
            let began = std::time::Instant::now();
            // Again, until the file system's clock has moved.
            while Stamp::of(&path) == before {
                change();
                assert!(began.elapsed() < Duration::from_secs(10));
            }
        };
        change(&|| fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap());
        change(&|| fs::write(&path, "two").unwrap());
        fs::remove_file(&path).unwrap();
        assert_eq!(Stamp::of(&path), Stamp::Missing);
    }
}
