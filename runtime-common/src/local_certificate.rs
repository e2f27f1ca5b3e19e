//! The certificate of local mode: made on this machine, for this machine, and kept so that its fingerprint stays.
//!
//! Certificate and private key are in one file, which is replaced as a whole: two servers that start at once may both
//! make a pair, and the later one stays, but no pair is ever mixed.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, ServerName};

use crate::tls::{Identity, provider, unix};

/// Where the certificate of local mode is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was in this file already.
    Kept(PathBuf),
    /// It was made now and is kept in this file.
    Made {
        /// The file.
        path: PathBuf,
        /// Why it was made, as a clause: `there was none`, `the one before ends within 30 days`, …
        why: String,
    },
    /// It was made now and will be gone with the process; why, as a clause.
    InMemory(String),
}

/// The certificate of local mode: the one kept in `directory`, or a new one, which is kept there if possible.
///
/// It is for `localhost`, 127.0.0.1, `::1` and `host`, if that is a DNS name (see [`host_name`]), is valid for 365 days,
/// and is renewed 30 days before its end. `directory` is best [`data_directory`].
///
/// # Errors
/// The certificate can't be made at all, which no known circumstance causes. Everything about files is in [`Origin`].
pub fn local_certificate(
    directory: Option<&Path>,
    now: SystemTime,
    host: Option<&str>,
) -> Result<(Identity, Origin), String> {
    let names = names(host);
    let Some(directory) = directory else {
        let (identity, _) = make(&names, now)?;
        return Ok((
            identity,
            Origin::InMemory("neither XDG_DATA_HOME nor HOME is set".to_owned()),
        ));
    };
    let path = directory.join(FILE);
    let why = match load(&path, &names, now) {
        Ok(identity) => return Ok((identity, Origin::Kept(path))),
        Err(why) => why,
    };
    let (identity, pem) = make(&names, now)?;
    let origin = match keep(directory, &path, &pem) {
        Ok(()) => Origin::Made { path, why },
        Err(error) => {
            Origin::InMemory(format!("it can't be kept in '{}': {error}", path.display()))
        }
    };
    Ok((identity, origin))
}

/// Where the user's data of this program is: `$XDG_DATA_HOME/mles`, else `~/.local/share/mles`; `None` where neither
/// `XDG_DATA_HOME` nor `HOME` is an absolute path. `env` is best `&|name| std::env::var_os(name)`.
pub fn data_directory(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data =
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("mles"))
}

/// The name of this machine as it knows it, if it has one that is UTF-8.
pub fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    (!name.is_empty()).then_some(name)
}

/// What the certificate is for; a host name that is no DNS name is left out.
fn names(host: Option<&str>) -> Vec<ServerName<'static>> {
    let localhost = DnsName::try_from("localhost").map(ServerName::DnsName).ok();
    let addresses = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let mut names: Vec<_> = localhost
        .into_iter()
        .chain(addresses.map(ServerName::from))
        .collect();
    let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase());
    if let Some(host) = host
        .and_then(|host| DnsName::try_from(host).ok())
        .map(ServerName::DnsName)
        && !names.contains(&host)
    {
        names.push(host);
    }
    names
}

/// A new pair, and the text of its file.
fn make(names: &[ServerName<'static>], now: SystemTime) -> Result<(Identity, String), String> {
    let fail = |error: &dyn std::fmt::Display| {
        format!("can't make a certificate for this machine: {error}")
    };
    let alternative = |name: &ServerName<'_>| match name.to_str().parse() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => name.to_str().as_ref().try_into().map(SanType::DnsName),
    };
    let mut params = CertificateParams::default();
    params.subject_alt_names = names
        .iter()
        .map(alternative)
        .collect::<Result<_, _>>()
        .map_err(|e| fail(&e))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Mles on this machine");
    // A leaf: rustls refuses an authority's certificate as a server's.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now_unix = Duration::from_secs(unix(now).as_secs());
    params.not_before = epoch + now_unix.saturating_sub(BACKDATED);
    params.not_after = epoch + now_unix + VALID;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| fail(&e))?;
    let certificate = params.self_signed(&key).map_err(|e| fail(&e))?;
    let private_key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| fail(&e))?;
    let identity = Identity::new(vec![certificate.der().clone()], private_key, now)
        .map_err(|error| fail(&format_args!("{error:?}")))?;
    Ok((identity, certificate.pem() + &key.serialize_pem()))
}

/// The pair of a file, if it serves all names now and for a while; else why not, as a clause.
fn load(path: &Path, names: &[ServerName<'static>], now: SystemTime) -> Result<Identity, String> {
    let mut pem = Vec::new();
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err("there was none".to_owned());
        }
        other => other,
    };
    file.and_then(|file| {
        let mode = file.metadata()?.permissions().mode();
        file.take(MAX_FILE).read_to_end(&mut pem)?;
        Ok(mode)
    })
    .map_err(|error| format!("the one before can't be read: {error}"))
    .and_then(|mode| match mode & 0o077 {
        0 => Ok(()),
        _ => Err("others could read the private key of the one before".to_owned()),
    })?;
    let damaged = "the one before is damaged";
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(|_| damaged)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| damaged)?;
    let identity = Identity::new(vec![certificate], key, now).map_err(|_| damaged)?;
    verify(identity.certificate(), names, now)?;
    Ok(identity)
}

/// Whether clients that trust the certificate would take it for every name, now and when it is due for renewal.
fn verify(
    certificate: &CertificateDer<'static>,
    names: &[ServerName<'static>],
    now: SystemTime,
) -> Result<(), String> {
    let unfit = |error: &dyn std::fmt::Display| format!("the one before is unfit: {error}");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(|e| unfit(&e))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| unfit(&e))?;
    for name in names {
        let at = |time| verifier.verify_server_cert(certificate, &[], name, &[], unix(time));
        at(now).map_err(|e| unfit(&e))?;
        at(now + RENEWED).map_err(|_| "the one before ends within 30 days")?;
    }
    Ok(())
}

/// Puts the text in place as a whole, readable by the user alone.
fn keep(directory: &Path, path: &Path, pem: &str) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    // A name that no other server uses now; `create_new` below refuses what is left of a crash.
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = directory.join(format!("{FILE}.{}.{nanos}.{next}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What failed is told; that this fails too adds nothing.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// The file with certificate and private key, in the user's data directory.
const FILE: &str = "local.pem";

/// Bytes that are read of it; one that we made has about a thousand.
const MAX_FILE: u64 = 64 * 1024;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is valid: browsers refuse more than 398 days.
const VALID: Duration = DAY.saturating_mul(365);
/// How long before its end it is renewed.
pub(crate) const RENEWED: Duration = DAY.saturating_mul(30);
/// How long ago it began, for clients whose clock is behind.
const BACKDATED: Duration = DAY;

#[cfg(test)]
mod tests;
