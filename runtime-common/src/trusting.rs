//! Whom this server believes to be the one that it has dialed: what `--peer-ca` and `--peer-fingerprint` say, and the
//! authorities that this machine trusts. The file is read again for each dial, for certificates end and are replaced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::config::{NamedFile, Peering};
use crate::tls;
use crate::trust::{Trust, client_config};

/// What the settings say, as of now.
#[derive(Debug)]
pub struct Trusting {
    fingerprints: Vec<[u8; 32]>,
    file: Option<NamedFile>,
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    /// Those of the file, as it was last good.
    certificates: Vec<CertificateDer<'static>>,
    /// What is wrong with it now, as it was told.
    mistake: Option<String>,
    /// For who is a peer, and for who may be of an authority too; made when somebody asks.
    made: [Option<Arc<ClientConfig>>; 2],
}

/// Whether a certificate of an authority that this machine trusts is as good as the settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// Only if the settings say nothing.
    Instead,
    /// In any case: for public servers.
    Too,
}

impl Trusting {
    /// As the settings and their file are now.
    ///
    /// # Errors
    /// One line that says what to do: the file can't be used.
    pub fn new(peering: &Peering) -> Result<Self, String> {
        let file = peering.ca.clone();
        let certificates = file.as_ref().map(tls::trusted_certificates).transpose()?;
        let current = Current {
            certificates: certificates.unwrap_or_default(),
            ..Current::default()
        };
        Ok(Self {
            fingerprints: peering.fingerprints.clone(),
            file,
            current: Mutex::new(current),
        })
    }

    /// What TLS needs to know for a dial.
    ///
    /// # Errors
    /// One line that says what to do: this machine trusts nobody.
    pub fn tls(
        &self,
        authorities: Authorities,
        options: &'static str,
    ) -> Result<Arc<ClientConfig>, String> {
        let mut current = self.current();
        if let Some(made) = &current.made[authorities as usize] {
            return Ok(made.clone());
        }
        let fingerprints = self.fingerprints.iter();
        let mut trusted: Vec<_> = fingerprints.map(|it| Trust::Fingerprint(*it)).collect();
        if !current.certificates.is_empty() {
            // Last, because its error says most.
            trusted.push(Trust::Certificates(current.certificates.clone()));
        }
        let system = |mut trusted: Vec<Trust>| {
            trusted.push(Trust::System);
            client_config(&Trust::AnyOf(trusted), options)
        };
        let made = match (trusted.is_empty(), authorities) {
            (true, _) => client_config(&Trust::System, options)?,
            (false, Authorities::Instead) => client_config(&Trust::AnyOf(trusted), options)?,
            // A machine without any authorities may do without.
            (false, Authorities::Too) => system(trusted.clone())
                .or_else(|_| client_config(&Trust::AnyOf(trusted), options))?,
        };
        current.made[authorities as usize] = Some(made.clone());
        Ok(made)
    }

    /// The file to read with [`tls::trusted_certificates`] and to [take in](Self::take_in) before each dial. It may be
    /// behind a network that has stopped.
    pub fn file(&self) -> Option<&NamedFile> {
        self.file.as_ref()
    }

    /// Takes in what was read of the file. One that can't be used is told of once, and what it held before counts.
    pub fn take_in(&self, read: Result<Vec<CertificateDer<'static>>, String>) {
        let mut current = self.current();
        match read {
            Err(mistake) => {
                if current.mistake.as_ref() != Some(&mistake) {
                    tracing::warn!("{mistake}; the certificates from before are trusted");
                }
                current.mistake = Some(mistake);
            }
            Ok(certificates) => {
                if certificates != current.certificates {
                    if let Some(file) = &self.file {
                        let (path, count) = (file.path.display(), certificates.len());
                        tracing::info!("took in '{path}': {count} certificates");
                    }
                    current.made = Default::default();
                    current.certificates = certificates;
                }
                current.mistake = None;
            }
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
