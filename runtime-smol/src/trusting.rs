//! Whom this server believes to be the one that it has dialed: what `--peer-ca` and `--peer-fingerprint` say, and the
//! authorities that this machine trusts. The file is read again for each dial, for certificates end and are replaced.

use std::cell::RefCell;
use std::sync::Arc;

use runtime_common::config::{NamedFile, Peering};
use runtime_common::tls;
use runtime_common::trust::{Trust, client_config};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

/// What the settings say, as of now.
pub(crate) struct Trusting {
    fingerprints: Vec<[u8; 32]>,
    file: Option<NamedFile>,
    current: RefCell<Current>,
}

#[derive(Default)]
struct Current {
    /// Those of the file, as it was last good.
    certificates: Vec<CertificateDer<'static>>,
    /// What is wrong with it now, as it was told.
    mistake: Option<String>,
    /// For who is a peer, and for who may be of an authority too; made when somebody asks.
    made: [Option<Arc<ClientConfig>>; 2],
}

/// Whether a certificate of an authority that this machine trusts is as good as the settings say.
#[derive(Clone, Copy)]
pub(crate) enum Authorities {
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
    pub(crate) fn new(peering: &Peering) -> Result<Self, String> {
        let file = peering.ca.clone();
        let certificates = file.as_ref().map(tls::trusted_certificates).transpose()?;
        let current = Current {
            certificates: certificates.unwrap_or_default(),
            ..Current::default()
        };
        Ok(Self {
            fingerprints: peering.fingerprints.clone(),
            file,
            current: RefCell::new(current),
        })
    }

    /// What TLS needs to know for a dial.
    ///
    /// # Errors
    /// One line that says what to do: this machine trusts nobody.
    pub(crate) fn tls(
        &self,
        authorities: Authorities,
        options: &'static str,
    ) -> Result<Arc<ClientConfig>, String> {
        let mut current = self.current.borrow_mut();
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

    /// The same, of the file as it is now. One that can't be used is told of once, and what it held before counts.
    pub(crate) async fn tls_now(
        &self,
        authorities: Authorities,
        options: &'static str,
    ) -> Result<Arc<ClientConfig>, String> {
        if let Some(file) = self.file.clone() {
            // Elsewhere: it may be behind a network that has stopped.
            let path = file.path.display().to_string();
            let read = smol::unblock(move || tls::trusted_certificates(&file)).await;
            self.take_in(&path, read);
        }
        self.tls(authorities, options)
    }

    fn take_in(&self, path: &str, read: Result<Vec<CertificateDer<'static>>, String>) {
        let mut current = self.current.borrow_mut();
        match read {
            Err(mistake) => {
                if current.mistake.as_ref() != Some(&mistake) {
                    tracing::warn!("{mistake}; the certificates from before are trusted");
                }
                current.mistake = Some(mistake);
            }
            Ok(certificates) => {
                if certificates != current.certificates {
                    tracing::info!("took in '{path}': {} certificates", certificates.len());
                    current.made = Default::default();
                    current.certificates = certificates;
                }
                current.mistake = None;
            }
        }
    }
}
