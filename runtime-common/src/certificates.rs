//! The certificates of a server while it runs: read at its start, read again when their files change, and told of
//! before they end.
//!
//! Nothing here waits: [`Certificates::check`] does what is due, and a runtime calls it every few seconds, and when the
//! operator asks for it. It reads files, which may take its time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{CertificateFiles, Config};
use crate::local_certificate::{Origin, RENEWED, data_directory, host_name, local_certificate};
use crate::tls::{Identities, Identity, fingerprint, unix};

mod pair;

use pair::Pair;

/// The certificates of a server, and where they are from.
#[derive(Debug)]
pub struct Certificates {
    shown: Arc<Identities>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Files(Vec<Pair>),
    Local(Local),
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// All is as it should be.
    Debug(String),
    /// All is well again, or something was replaced.
    Info(String),
    /// The operator has something to do.
    Warning(String),
}

/// Logs what there is to say.
pub fn log(remarks: Vec<Remark>) {
    for remark in remarks {
        match remark {
            Remark::Debug(line) => tracing::debug!("{line}"),
            Remark::Info(line) => tracing::info!("{line}"),
            Remark::Warning(line) => tracing::warn!("{line}"),
        }
    }
}

impl Certificates {
    /// Those of these settings: the operator's own, or one made for this machine.
    ///
    /// # Errors
    /// Those of [`Certificates::own`] and [`Certificates::local`].
    pub fn of(config: &Config, now: SystemTime) -> Result<(Certificates, Vec<Remark>), String> {
        if config.local_mode() {
            let directory = data_directory(&|name| std::env::var_os(name));
            Certificates::local(directory, host_name(), now)
        } else {
            Certificates::own(&config.certificates, now)
        }
    }

    /// The operator's own, the default first.
    ///
    /// # Errors
    /// One line that says what to do about the first pair of files that can't be used.
    pub fn own(
        files: &[CertificateFiles],
        now: SystemTime,
    ) -> Result<(Certificates, Vec<Remark>), String> {
        let mut remarks = Vec::new();
        let mut pairs = Vec::new();
        for files in files {
            pairs.push(Pair::load(files.clone(), now, &mut remarks)?);
        }
        let identities = pairs.iter().map(|pair| pair.identity().clone()).collect();
        let certificates = Certificates {
            shown: Arc::new(Identities::new(identities)),
            source: Source::Files(pairs),
        };
        Ok((certificates, remarks))
    }

    /// The one of local mode, see [`local_certificate`].
    ///
    /// # Errors
    /// Those of [`local_certificate`].
    pub fn local(
        directory: Option<PathBuf>,
        host: Option<String>,
        now: SystemTime,
    ) -> Result<(Certificates, Vec<Remark>), String> {
        let (identity, origin) = local_certificate(directory.as_deref(), now, host.as_deref())?;
        let local = Local {
            directory,
            host,
            identity: identity.clone(),
            tried: None,
        };
        let certificates = Certificates {
            shown: Arc::new(Identities::new(vec![identity])),
            source: Source::Local(local),
        };
        Ok((certificates, vec![remark(origin)]))
    }

    /// What clients are shown, for [`crate::tls::server_config`].
    pub fn shown(&self) -> &Arc<Identities> {
        &self.shown
    }

    /// The fingerprint of a certificate that was made here.
    pub fn local_fingerprint(&self) -> Option<String> {
        match &self.source {
            Source::Files(_) => None,
            Source::Local(local) => Some(fingerprint(local.identity.certificate())),
        }
    }

    /// Takes in what has changed since the last call, pair by pair: one that can't be used is told of once, and the
    /// one before stays in use. When the operator has `asked` for it, everything is read, and there is an answer.
    pub fn check(&mut self, now: SystemTime, asked: bool) -> Vec<Remark> {
        let mut remarks = Vec::new();
        match &mut self.source {
            Source::Files(pairs) => {
                for (number, pair) in pairs.iter_mut().enumerate() {
                    if pair.check(now, asked, &mut remarks) {
                        self.shown.replace(number, pair.identity().clone());
                    }
                }
                if asked && remarks.is_empty() {
                    remarks.push(Remark::Info("nothing new in the certificate files".into()));
                }
                for pair in pairs {
                    remarks.extend(pair.expiry(now));
                }
            }
            Source::Local(local) => {
                if local.check(now, asked, &mut remarks) {
                    self.shown.replace(0, local.identity.clone());
                }
            }
        }
        remarks
    }
}

/// The certificate of local mode.
#[derive(Debug)]
struct Local {
    directory: Option<PathBuf>,
    host: Option<String>,
    identity: Identity,
    /// When it could not be renewed.
    tried: Option<SystemTime>,
}

impl Local {
    /// Renews the certificate when that is due. Says whether there is another one now.
    fn check(&mut self, now: SystemTime, asked: bool, remarks: &mut Vec<Remark>) -> bool {
        if now + RENEWED <= self.identity.ends() {
            if asked {
                let until = date(self.identity.ends());
                remarks.push(Remark::Info(format!(
                    "the certificate made here ends on {until}, and is renewed 30 days before"
                )));
            }
            return false;
        }
        if !asked && lately(self.tried, now) {
            return false;
        }
        match local_certificate(self.directory.as_deref(), now, self.host.as_deref()) {
            Ok((identity, origin)) => {
                remarks.push(remark(origin));
                let shown = fingerprint(identity.certificate());
                remarks.push(Remark::Info(format!(
                    "new connections are shown this certificate from now on: SHA-256 {shown}"
                )));
                self.identity = identity;
                self.tried = None;
                true
            }
            Err(line) => {
                let until = date(self.identity.ends());
                remarks.push(Remark::Warning(format!(
                    "{line}; that in use ends on {until}: restart the server before"
                )));
                self.tried = Some(now);
                false
            }
        }
    }
}

fn remark(origin: Origin) -> Remark {
    match origin {
        Origin::Kept(path) => Remark::Debug(format!("certificate from {}", path.display())),
        Origin::Made { path, why } => Remark::Info(format!(
            "made a certificate ({why}), kept in {}",
            path.display()
        )),
        Origin::InMemory(why) => Remark::Warning(format!(
            "made a certificate that ends with this process: {why}"
        )),
    }
}

/// Whether there is something to say about an end: from 14 days before on, once a day.
fn is_due(now: SystemTime, ends: SystemTime, told: Option<SystemTime>) -> bool {
    ending(ends, now).is_some() && !lately(told, now)
}

/// What there is to say about the end of a certificate, from 14 days before on; completes "the certificate …".
pub(crate) fn ending(ends: SystemTime, now: SystemTime) -> Option<String> {
    let on = date(ends);
    let Ok(left) = ends.duration_since(now) else {
        return Some(format!("has expired, on {on}: clients refuse it"));
    };
    (left <= NOTICE).then(|| match left.as_secs() / DAY.as_secs() {
        0 => format!("ends within a day, on {on}"),
        1 => format!("ends in 1 day, on {on}"),
        days => format!("ends in {days} days, on {on}"),
    })
}

/// Whether something was less than a day ago, as far as the clock can be believed.
fn lately(then: Option<SystemTime>, now: SystemTime) -> bool {
    let apart = |then: SystemTime| match now.duration_since(then) {
        Ok(apart) => apart,
        Err(back) => back.duration(),
    };
    then.is_some_and(|then| apart(then) < DAY)
}

/// A day and a time of day, in UTC.
fn date(time: SystemTime) -> String {
    // In certificates no year has more than four digits.
    let since = Duration::from_secs(unix(time).as_secs());
    let date = rcgen::date_time_ymd(1970, 1, 1) + since;
    format!(
        "{} {:02}:{:02} UTC",
        date.date(),
        date.hour(),
        date.minute()
    )
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before a certificate's end it is told of.
const NOTICE: Duration = DAY.saturating_mul(14);

#[cfg(test)]
mod tests;
