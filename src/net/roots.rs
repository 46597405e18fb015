//! Whom to trust: the authorities of the system or those named instead, and what is added to them.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::certificates;

/// The authorities that are trusted before anybody adds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those of the first of these files that holds any, else of the first folder, else the list
    /// that is built in. What cannot be read is passed by.
    Found {
        files: Vec<PathBuf>,
        folders: Vec<PathBuf>,
    },
    /// These and no others, as `SSL_CERT_FILE` and `SSL_CERT_DIR` ask for: what cannot be read or
    /// holds no certificate is an error.
    Named {
        file: Option<PathBuf>,
        folders: Vec<PathBuf>,
    },
}

/// Where systems keep the bundle of all authorities:
/// [Go's list](https://go.dev/src/crypto/x509/root_linux.go).
const BUNDLES: [&str; 6] = [
    // Debian, Ubuntu, Gentoo, Arch, Alpine.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // SUSE.
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // Alpine without its package, macOS.
    "/etc/ssl/cert.pem",
];
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

impl Default for Roots {
    /// The system's.
    fn default() -> Self {
        Self::Found {
            files: BUNDLES.iter().map(PathBuf::from).collect(),
            folders: FOLDERS.iter().map(PathBuf::from).collect(),
        }
    }
}

impl Roots {
    /// The error is a sentence that names the file.
    pub(super) fn load(&self) -> Result<RootCertStore, String> {
        match self {
            Self::Found { files, folders } => Ok(found(files, folders)),
            Self::Named { file, folders } => named(file.as_deref(), folders),
        }
    }
}

fn found(files: &[PathBuf], folders: &[PathBuf]) -> RootCertStore {
    for path in files.iter().chain(folders) {
        let read = match path.is_dir() {
            true => certificates::read_folder(path),
            false => certificates::read(path),
        };
        match read {
            Ok(certificates) if !certificates.is_empty() => {
                log::debug!("trusting the authorities in {}", path.display());
                return store(certificates);
            }
            Ok(_) => {}
            Err(problem) if path.exists() => log::warn!("authorities passed by: {problem}"),
            Err(_) => {}
        }
    }
    log::debug!("no authorities on this system: trusting those that are built in");
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

fn named(file: Option<&Path>, folders: &[PathBuf]) -> Result<RootCertStore, String> {
    let mut all = Vec::new();
    if let Some(file) = file {
        let problem = |problem| format!("SSL_CERT_FILE {problem}");
        all.extend(certificates::read(file).map_err(problem)?);
    }
    for folder in folders {
        let problem = |problem| format!("SSL_CERT_DIR {problem}");
        all.extend(certificates::read_folder(folder).map_err(problem)?);
    }
    if all.is_empty() {
        let folders = folders.iter().map(|folder| folder.display().to_string());
        let folders = folders.collect::<Vec<_>>().join(":");
        return Err(format!("SSL_CERT_DIR {folders}: holds no certificate"));
    }
    Ok(store(all))
}

fn store(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    let (_, unusable) = store.add_parsable_certificates(certificates);
    if unusable > 0 {
        log::debug!("{unusable} certificates among the authorities are of no use");
    }
    store
}
